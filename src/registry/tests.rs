//! What commands do, case by case; `model_test` tries them in long random sequences.

use super::*;

fn service(name: &str) -> ServiceName {
    ServiceName::parse(name).unwrap()
}

fn id(id: &str) -> InstanceId {
    InstanceId::parse(id).unwrap()
}

fn body(port: u16, tags: &[&str]) -> Body {
    let mut body = Body::new([10, 0, 0, 1].into(), port, LeaseTerm::Secs(30));
    body.texts = Texts::stored(None, &tags.join("\n"), "").unwrap();
    body.checked().unwrap()
}

fn register(name: &str, instance: &str, port: u16, tags: &[&str]) -> Command {
    Command::register(service(name), id(instance), body(port, tags), None)
}

fn declare(instance: &str, state: State) -> Command {
    let declared = Declared::parse(state, "test").unwrap();
    Command::Declare { service: service("web"), id: id(instance), declared }
}

#[test]
fn an_identical_registration_changes_nothing() {
    let mut registry = Registry::default();
    let first = registry.apply(register("web", "w1", 80, &["blue"]), &Actor::ANYBODY, 1).unwrap();
    assert!(first.created);
    assert_eq!(registry.revision(), 1);
    let again = registry.apply(register("web", "w1", 80, &["blue"]), &Actor::ANYBODY, 2).unwrap();
    assert!(!again.created && again.changes.is_empty());
    assert_eq!(again.instance, first.instance);
    assert_eq!(registry.revision(), 1);
    let changed = registry.apply(register("web", "w1", 81, &["blue"]), &Actor::ANYBODY, 3).unwrap();
    assert_eq!((changed.created, changed.changes.len(), registry.revision()), (false, 1, 2));
    let instance = changed.instance.unwrap();
    assert_eq!(
        (instance.registered_unix_ms, instance.changed_unix_ms, instance.revision),
        (1, 3, 2)
    );
}

#[test]
fn a_registration_without_a_state_leaves_it_and_an_override_stays_above() {
    let mut registry = Registry::default();
    registry.apply(register("web", "w1", 80, &[]), &Actor::ANYBODY, 1).unwrap();
    registry.apply(declare("w1", State::Draining), &Actor::ANYBODY, 1).unwrap();
    let override_ = Some(Override::endless(Declared::parse(State::Down, "broken").unwrap()));
    let (web, w1) = (service("web"), id("w1"));
    let command = Command::Override { service: web.clone(), id: w1.clone(), override_ };
    registry.apply(command, &Actor::ANYBODY, 1).unwrap();
    let again = registry.apply(register("web", "w1", 80, &[]), &Actor::ANYBODY, 1).unwrap();
    assert!(again.changes.is_empty());
    let instance = registry
        .apply(register("web", "w1", 81, &[]), &Actor::ANYBODY, 1)
        .unwrap()
        .instance
        .unwrap();
    assert_eq!((instance.declared.state, instance.state()), (State::Draining, State::Down));
    let command = Command::Override { service: web, id: w1, override_: None };
    let instance = registry.apply(command, &Actor::ANYBODY, 1).unwrap().instance.unwrap();
    assert_eq!(instance.state(), State::Draining);
}

#[test]
fn a_tag_and_a_label_are_never_the_same_name() {
    let mut registry = Registry::default();
    registry.apply(register("web", "blue", 80, &["v1"]), &Actor::ANYBODY, 1).unwrap();
    let refused =
        registry.apply(register("web", "w2", 80, &["Blue"]), &Actor::ANYBODY, 1).unwrap_err();
    assert!(matches!(refused, Refusal::TagIsLabel { .. }), "{refused}");
    let refused = registry.apply(register("web", "v1", 80, &[]), &Actor::ANYBODY, 1).unwrap_err();
    assert!(matches!(refused, Refusal::LabelIsTag { .. }), "{refused}");
    let refused =
        registry.apply(register("web", "self", 80, &["self"]), &Actor::ANYBODY, 1).unwrap_err();
    assert!(matches!(refused, Refusal::TagIsLabel { .. }), "{refused}");
    registry
        .apply(register("api", "v1", 80, &["blue"]), &Actor::ANYBODY, 1)
        .expect("another service's names");
    registry.apply(register("web", "blue", 80, &[]), &Actor::ANYBODY, 1).unwrap();
    registry.apply(register("web", "v1", 80, &[]), &Actor::ANYBODY, 1).expect("the tag is gone");
    assert_eq!(registry.revision(), 4, "refusals have none");
}

#[test]
fn labels_are_unique_and_stay() {
    let mut registry = Registry::default();
    let label = |outcome: Outcome| outcome.instance.unwrap().label.to_string();
    let slug =
        label(registry.apply(register("web", "Web 1", 80, &[]), &Actor::ANYBODY, 1).unwrap());
    let taken = label(registry.apply(register("web", &slug, 80, &[]), &Actor::ANYBODY, 1).unwrap());
    assert_ne!(taken, slug);
    assert_eq!(
        label(registry.apply(register("web", "Web 1", 81, &[]), &Actor::ANYBODY, 1).unwrap()),
        slug
    );
    assert_eq!(
        label(registry.apply(register("web", &slug, 81, &[]), &Actor::ANYBODY, 1).unwrap()),
        taken
    );
}

#[test]
fn what_is_not_listed_cannot_be_changed() {
    let mut registry = Registry::default();
    let (web, w1) = (service("web"), id("w1"));
    for command in [
        declare("w1", State::Down),
        Command::Override { service: web.clone(), id: w1.clone(), override_: None },
        Command::Deregister { service: web.clone(), id: w1 },
        Command::DeregisterService { service: web },
    ] {
        assert_eq!(registry.apply(command, &Actor::ANYBODY, 1).unwrap_err(), Refusal::NotListed);
    }
    assert_eq!(registry.revision(), 0);
}

#[test]
fn undo_takes_everything_back() {
    let mut registry = Registry::default();
    registry.apply(register("web", "w1", 80, &["blue"]), &Actor::ANYBODY, 1).unwrap();
    registry.apply(register("web", "w2", 80, &[]), &Actor::ANYBODY, 1).unwrap();
    let before = registry.get(&service("web"), &id("w1")).cloned();
    let mut changes = Vec::new();
    for command in [
        register("web", "w1", 90, &["green"]),
        register("web", "w3", 80, &[]),
        Command::DeregisterService { service: service("web") },
        register("web", "blue", 80, &[]),
    ] {
        changes.extend(registry.apply(command, &Actor::ANYBODY, 2).unwrap().changes);
    }
    registry.undo(&changes);
    assert_eq!((registry.revision(), registry.len()), (2, 2));
    assert_eq!(registry.get(&service("web"), &id("w1")).cloned(), before);
    let refused = registry.apply(register("web", "blue", 80, &[]), &Actor::ANYBODY, 3).unwrap_err();
    assert!(matches!(refused, Refusal::LabelIsTag { .. }), "the tag is back: {refused}");
}

#[test]
fn a_registration_that_rests_on_what_has_changed_since_is_refused() {
    let mut registry = Registry::default();
    let with = |basis, port| match register("web", "w1", port, &[]) {
        Command::Register { service, id, body, declared, .. } => {
            Command::Register { service, id, body, declared, basis }
        }
        other => other,
    };
    let mut apply = |basis, port| registry.apply(with(basis, port), &Actor::ANYBODY, 1);
    assert_eq!(apply(Basis::Listed(Some(1)), 80).unwrap_err(), Refusal::Outdated);
    let first = apply(Basis::Listed(None), 80).unwrap().instance.unwrap().revision;
    assert_eq!(apply(Basis::Listed(None), 81).unwrap_err(), Refusal::Outdated);
    let second = apply(Basis::Listed(Some(first)), 81).unwrap().instance.unwrap().revision;
    assert_eq!(apply(Basis::Listed(Some(first)), 82).unwrap_err(), Refusal::Outdated);
    assert!(apply(Basis::Nothing, 82).unwrap().instance.unwrap().revision > second);
}

#[test]
fn the_same_state_without_a_reason_keeps_the_reason_and_another_replaces_it() {
    let mut registry = Registry::default();
    let mut reason = |reason: &str| {
        let declared = Some(Declared::parse(State::Down, reason).unwrap());
        let Command::Register { service, id, body, basis, .. } = register("web", "w1", 80, &[])
        else {
            unreachable!("made above")
        };
        let command = Command::Register { service, id, body, declared, basis };
        let outcome = registry.apply(command, &Actor::ANYBODY, 1).unwrap();
        outcome.instance.unwrap().declared.reason.to_string()
    };
    assert_eq!(["STARTING", "", "DOWN"].map(&mut reason), ["STARTING", "STARTING", "DOWN"]);
}
