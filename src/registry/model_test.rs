//! The registry against a model so simple that it can be seen to be right: one flat map, every rule by looking
//! at all of it. 10,000 sequences of 50 operations.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone, PartialEq)]
struct Row {
    label: String,
    port: u16,
    tags: Vec<String>,
    lease: LeaseTerm,
    state: State,
    override_: Option<State>,
    revision: u64,
}

#[derive(Debug, Default, Clone, PartialEq)]
struct Model {
    rows: BTreeMap<(String, String), Row>,
    revision: u64,
}

#[derive(Debug, Clone)]
enum Op {
    Register {
        service: usize,
        id: usize,
        port: u16,
        tags: Vec<usize>,
        lease: u8,
        state: Option<State>,
    },
    Declare {
        service: usize,
        id: usize,
        state: State,
    },
    Override {
        service: usize,
        id: usize,
        state: Option<State>,
    },
    Deregister {
        service: usize,
        id: usize,
    },
    DeregisterService {
        service: usize,
    },
    /// Takes back the changes of the last so many operations.
    Undo {
        operations: usize,
    },
}

const SERVICES: [&str; 3] = ["web", "api", "db"];
const IDS: [&str; 6] = ["w1", "w2", "blue", "A B", "Über", "2-1"];
const TAGS: [&str; 6] = ["blue", "green", "2.1", "w1", "Blue", "???"];

fn state() -> impl Strategy<Value = State> {
    prop_oneof![Just(State::Up), Just(State::Draining), Just(State::Down)]
}

fn op() -> impl Strategy<Value = Op> {
    let (service, id) = (0..SERVICES.len(), 0..IDS.len());
    let at = (service.clone(), id);
    prop_oneof![
        8 => (
            at.clone(),
            80_u16..83,
            prop::collection::vec(0..TAGS.len(), 0..3),
            0_u8..3,
            prop::option::of(state()),
        ).prop_map(|((service, id), port, tags, lease, state)| {
            Op::Register { service, id, port, tags, lease, state }
        }),
        2 => (at.clone(), state()).prop_map(|((service, id), state)| Op::Declare { service, id, state }),
        2 => (at.clone(), prop::option::of(state())).prop_map(|((service, id), state)| {
            Op::Override { service, id, state }
        }),
        3 => at.prop_map(|(service, id)| Op::Deregister { service, id }),
        1 => service.prop_map(|service| Op::DeregisterService { service }),
        1 => (1_usize..6).prop_map(|operations| Op::Undo { operations }),
    ]
}

fn term(lease: u8) -> LeaseTerm {
    if lease == 0 { LeaseTerm::Endless } else { LeaseTerm::Secs(lease.into()) }
}

fn tag_label(tag: &str) -> Option<String> {
    Tag::parse("tags", tag).unwrap().label().map(String::from)
}

impl Model {
    fn apply(&mut self, op: &Op) -> bool {
        match op {
            Op::Register { service, id, port, tags, lease, state } => {
                self.register(*service, *id, *port, tags, term(*lease), *state)
            }
            Op::Declare { service, id, state } => {
                self.amend(*service, *id, |row| row.state = *state)
            }
            Op::Override { service, id, state } => {
                self.amend(*service, *id, |row| row.override_ = *state)
            }
            Op::Deregister { service, id } => {
                let gone =
                    self.rows.remove(&(SERVICES[*service].into(), IDS[*id].into())).is_some();
                self.revision += u64::from(gone);
                gone
            }
            Op::DeregisterService { service } => {
                let before = self.rows.len();
                self.rows.retain(|(name, _), _| name != SERVICES[*service]);
                self.revision += (before - self.rows.len()) as u64;
                before != self.rows.len()
            }
            Op::Undo { .. } => unreachable!("the test keeps copies of the model"),
        }
    }

    fn register(
        &mut self,
        service: usize,
        id: usize,
        port: u16,
        tags: &[usize],
        lease: LeaseTerm,
        state: Option<State>,
    ) -> bool {
        let at = (SERVICES[service].to_owned(), IDS[id].to_owned());
        let mut tags: Vec<_> = tags.iter().map(|tag| TAGS[*tag].to_owned()).collect();
        tags.sort();
        tags.dedup();
        let others = self.rows.iter().filter(|(key, _)| key.0 == at.0 && **key != at);
        let others: Vec<_> = others.map(|(_, row)| row.clone()).collect();
        let before = self.rows.get(&at).cloned();
        let other_tags: Vec<_> = others
            .iter()
            .chain(&before)
            .flat_map(|row| row.tags.iter().filter_map(|t| tag_label(t)))
            .collect();
        let label = match &before {
            Some(before) => before.label.clone(),
            None => {
                let id = InstanceId::parse(&at.1).unwrap();
                let free = |label: &String| others.iter().all(|row| row.label != *label);
                let mut candidates = Label::candidates(&id).map(|label| label.to_string());
                let label =
                    candidates.find(|label| free(label) || other_tags.contains(label)).unwrap();
                if other_tags.contains(&label) {
                    return false;
                }
                label
            }
        };
        let labels: Vec<_> = others.iter().map(|row| &row.label).chain([&label]).collect();
        if tags.iter().filter_map(|tag| tag_label(tag)).any(|tag| labels.contains(&&tag)) {
            return false;
        }
        let state = state.or(before.as_ref().map(|before| before.state)).unwrap_or_default();
        let override_ = before.as_ref().and_then(|before| before.override_);
        let revision = before.as_ref().map_or(0, |before| before.revision);
        let mut row = Row { label, port, tags, lease, state, override_, revision };
        if before.as_ref() != Some(&row) {
            self.revision += 1;
            row.revision = self.revision;
            self.rows.insert(at, row);
        }
        true
    }

    fn amend(&mut self, service: usize, id: usize, amend: impl FnOnce(&mut Row)) -> bool {
        let Some(row) = self.rows.get_mut(&(SERVICES[service].into(), IDS[id].into())) else {
            return false;
        };
        let before = row.clone();
        amend(row);
        if *row != before {
            self.revision += 1;
            row.revision = self.revision;
        }
        true
    }
}

fn command(op: &Op) -> Command {
    let name = |service: usize| ServiceName::parse(SERVICES[service]).unwrap();
    let instance = |id: usize| InstanceId::parse(IDS[id]).unwrap();
    let declared = |state| Declared::parse(state, "").unwrap();
    match op {
        Op::Register { service, id, port, tags, lease, state } => {
            let mut body = Body::new([10, 0, 0, 1].into(), *port, term(*lease));
            let tags: Vec<_> = tags.iter().map(|tag| TAGS[*tag]).collect();
            body.texts = Texts::stored(None, &tags.join("\n"), "").unwrap();
            let body = body.checked().unwrap();
            Command::register(name(*service), instance(*id), body, *state)
        }
        Op::Declare { service, id, state } => Command::Declare {
            service: name(*service),
            id: instance(*id),
            declared: declared(*state),
        },
        Op::Override { service, id, state } => {
            // Every other one ends by itself.
            let until_unix_ms = (id % 2 == 0).then_some(1_000 + *id as u64);
            let override_ =
                state.map(|state| Override { declared: declared(state), until_unix_ms });
            Command::Override { service: name(*service), id: instance(*id), override_ }
        }
        Op::Deregister { service, id } => {
            Command::Deregister { service: name(*service), id: instance(*id) }
        }
        Op::DeregisterService { service } => Command::DeregisterService { service: name(*service) },
        Op::Undo { .. } => unreachable!("the test undoes by itself"),
    }
}

fn contents(registry: &Registry) -> Model {
    let (mut rows, mut ending) = (BTreeMap::new(), 0);
    for instance in
        SERVICES.iter().flat_map(|s| registry.instances(&ServiceName::parse(s).unwrap()))
    {
        let override_ = instance.override_.as_deref();
        ending += usize::from(override_.is_some_and(|set| set.until_unix_ms.is_some()));
        let row = Row {
            label: instance.label.to_string(),
            port: instance.body.port,
            tags: instance.body.texts.tags().map(str::to_owned).collect(),
            lease: instance.body.lease,
            state: instance.declared.state,
            override_: instance.override_.as_ref().map(|set| set.declared.state),
            revision: instance.revision,
        };
        rows.insert((instance.service.to_string(), instance.id.to_string()), row);
    }
    assert_eq!(rows.len(), registry.len());
    assert_eq!(registry.ended_overrides(u64::MAX, usize::MAX).len(), ending);
    Model { rows, revision: registry.revision() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn the_registry_does_what_the_model_does(ops in prop::collection::vec(op(), 50)) {
        let mut registry = Registry::default();
        let mut model = Model::default();
        let mut history: Vec<(Vec<Change>, Model)> = Vec::new();
        for op in &ops {
            if let Op::Undo { operations } = op {
                let from = history.len().saturating_sub(*operations);
                let undone: Vec<_> = history.drain(from..).collect();
                let changes: Vec<_> = undone.iter().flat_map(|(changes, _)| changes.clone()).collect();
                registry.undo(&changes);
                model = undone.first().map_or(model, |(_, before)| before.clone());
            } else {
                let before = model.clone();
                let result = registry.apply(command(op), &Actor::ANYBODY, 1);
                prop_assert_eq!(result.is_ok(), model.apply(op), "{:?}: {:?}", op, result);
                history.push((result.map(|outcome| outcome.changes).unwrap_or_default(), before));
            }
            prop_assert_eq!(&contents(&registry), &model, "after {:?}", op);
        }
    }
}
