//! The registry: all services and their instances, as a state machine.
//!
//! [`Registry::apply`] decides and applies one [`Command`]; the same commands in the same order give the same
//! registry and the same labels and revisions. There is no I/O here, no clock (`now` is passed in) and no
//! lease: a lease's deadline lives in a cell of the view, and what became of it arrives as a command.
//! Whoever applies commands keeps the [`Change`]s until they are durable, and [`Registry::undo`]es them if
//! they cannot be made so.

pub mod brake;
mod claims;
mod command;
mod instance;
mod names;
mod owner;
mod packed;
mod service;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use claims::Released;
pub use claims::{Claim, ClaimChange, MAX_RELEASED};
pub use command::{Basis, Change, Command, Outcome, Refusal};
pub use instance::{Body, Declared, Instance, LeaseTerm, Override, Protocol, State};
pub use instance::{MAX_ADDRESSES, MAX_META_OCTETS, MAX_PORTS, MAX_REASON_OCTETS, MAX_TAGS};
pub use names::{InstanceId, Invalid, Label, PortName, RESERVED, ServiceName, Tag, tag_label};
pub use names::{MAX_ID_OCTETS, MAX_LABEL_OCTETS, MAX_SERVICE_OCTETS, MAX_TAG_OCTETS};
pub use owner::{Actor, Owner};
pub use packed::MAX_ORIGIN_OCTETS;
pub use packed::{Addresses, Origin, Reason, Texts};
use service::Service;

/// Instances that one service may have: a reply over TCP has room for no more than a few thousand, so that nobody would
/// be told of the others.
pub const MAX_INSTANCES_A_SERVICE: usize = 10_000;
/// Instances that the registry may hold, at about 1 KiB each.
pub const MAX_INSTANCES: usize = 2_000_000;

/// Seeded at random for each map: who registers cannot choose names that meet in one place.
type Hashing = foldhash::quality::RandomState;

/// All services and their instances.
#[derive(Debug, Default)]
pub struct Registry {
    services: HashMap<ServiceName, Service, Hashing>,
    instances: usize,
    revision: u64,
    released: Released,
    /// How long a released name is kept for its owner, in milliseconds.
    reserved_ms: u64,
    /// How many instances each owner has; nobody's are not counted.
    owned: HashMap<Owner, u32, Hashing>,
    /// Overrides that end by themselves: when, in milliseconds since 1970 UTC, and whose.
    ends: BTreeSet<(u64, ServiceName, InstanceId)>,
}

impl Registry {
    /// An empty registry that goes on counting from `revision`.
    pub fn new(revision: u64) -> Self {
        Self { revision, ..Self::default() }
    }

    /// The revision of the last change.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// How many instances are listed.
    pub fn len(&self) -> usize {
        self.instances
    }

    /// Whether nothing is listed.
    pub fn is_empty(&self) -> bool {
        self.instances == 0
    }

    /// The listed instance `id` of `service`.
    pub fn get(&self, service: &ServiceName, id: &InstanceId) -> Option<&Arc<Instance>> {
        self.services.get(service)?.get(id)
    }

    /// The instances of `service`, in the order of their ids.
    pub fn instances<'a>(
        &'a self,
        service: &ServiceName,
    ) -> impl Iterator<Item = &'a Arc<Instance>> + use<'a> {
        self.services.get(service).into_iter().flat_map(Service::iter)
    }

    /// Puts a stored instance back, as it was when the store was written, and gives it as it is listed.
    pub fn restore(&mut self, mut instance: Instance) -> Arc<Instance> {
        self.share_service(&mut instance);
        self.revision = self.revision.max(instance.revision);
        let instance = Arc::new(instance);
        self.replace(None, Some(instance.clone()));
        instance
    }

    /// Lets the name of the service be one text for all its instances.
    fn share_service(&self, instance: &mut Instance) {
        if let Some((service, _)) = self.services.get_key_value(&instance.service) {
            instance.service.clone_from(service);
        }
    }

    /// Counts something that is told as changes are, and is none of the registry's.
    pub fn count_on(&mut self) -> u64 {
        self.revision += 1;
        self.revision
    }

    /// Goes on counting from `revision`, if that is further.
    pub fn advance_to(&mut self, revision: u64) {
        self.revision = self.revision.max(revision);
    }

    /// When the next override ends by itself: milliseconds since 1970 UTC.
    pub fn next_override_end(&self) -> Option<u64> {
        self.ends.first().map(|(until, _, _)| *until)
    }

    /// The commands that end overrides whose time is up, at most `limit`.
    pub fn ended_overrides(&self, now_unix_ms: u64, limit: usize) -> Vec<Command> {
        let ended = self.ends.iter().take_while(|(until, _, _)| *until <= now_unix_ms).take(limit);
        let end = |(_, service, id): &(u64, ServiceName, InstanceId)| Command::Override {
            service: service.clone(),
            id: id.clone(),
            override_: None,
        };
        ended.map(end).collect()
    }

    /// Decides and applies one command on behalf of `actor`; `now_unix_ms` is the time of day since 1970 UTC.
    ///
    /// That the actor may do such a thing at all is decided before; here it is whose the instance and the service are.
    pub fn apply(
        &mut self,
        command: Command,
        actor: &Actor,
        now_unix_ms: u64,
    ) -> Result<Outcome, Refusal> {
        let now = now_unix_ms;
        match command {
            Command::Register { service, id, body, declared, basis } => {
                let registering = Registering { service, id, body: *body, declared, basis };
                self.register(registering, actor, now)
            }
            Command::Declare { service, id, declared } => {
                let before = self.own(&service, &id, actor)?;
                Ok(self.amend(before, now, |instance| instance.declared = declared))
            }
            Command::Override { service, id, override_ } => {
                let before = self.get(&service, &id).ok_or(Refusal::NotListed)?.clone();
                Ok(self.amend(before, now, |instance| {
                    instance.override_ = override_.map(Box::new);
                }))
            }
            Command::Deregister { service, id } => {
                let before = self.own(&service, &id, actor)?;
                Ok(Outcome {
                    instance: None,
                    created: false,
                    changes: vec![self.change(Some(before), None, false, now)],
                })
            }
            Command::DeregisterService { service } => self.deregister_all(&service, actor, now),
        }
    }

    /// Takes back what [`apply`](Self::apply) did: the changes of one or more commands, oldest first.
    pub fn undo(&mut self, changes: &[Change]) {
        for change in changes.iter().rev() {
            self.replace(change.after.as_deref(), change.before.clone());
            if let Some(claim) = &change.claim {
                self.put_claim(&change.instance().service, claim.before, 0);
            }
            self.revision = change.revision - 1;
        }
    }

    /// The listed instance, if the actor may change it.
    fn own(
        &self,
        service: &ServiceName,
        id: &InstanceId,
        actor: &Actor,
    ) -> Result<Arc<Instance>, Refusal> {
        let listed = self.get(service, id).ok_or(Refusal::NotListed)?;
        if actor.may_touch(listed.owner) {
            Ok(listed.clone())
        } else {
            Err(Refusal::NotYours { id: id.clone() })
        }
    }

    fn deregister_all(
        &mut self,
        service: &ServiceName,
        actor: &Actor,
        now: u64,
    ) -> Result<Outcome, Refusal> {
        let all: Vec<_> = self.instances(service).cloned().collect();
        if all.is_empty() {
            return Err(Refusal::NotListed);
        }
        if let Some(others) = all.iter().find(|listed| !actor.may_touch(listed.owner)) {
            return Err(Refusal::NotYours { id: others.id.clone() });
        }
        let changes =
            all.into_iter().map(|before| self.change(Some(before), None, false, now)).collect();
        Ok(Outcome { instance: None, created: false, changes })
    }

    fn register(
        &mut self,
        registering: Registering,
        actor: &Actor,
        now: u64,
    ) -> Result<Outcome, Refusal> {
        let Registering { service, id, body, declared, basis } = registering;
        let before = self.get(&service, &id).cloned();
        if basis != Basis::Nothing
            && basis != Basis::Listed(before.as_ref().map(|before| before.revision))
        {
            return Err(Refusal::Outdated);
        }
        // What one has goes on, whoever has the name now.
        if !before.as_ref().is_some_and(|before| before.owner.is(actor.owner)) {
            self.check_claim(&service, actor, now)?;
        }
        let owner = self.owner_of(before.as_deref(), &id, actor)?;
        if before.is_none() && self.instances >= MAX_INSTANCES {
            return Err(Refusal::Full { what: "instances", most: MAX_INSTANCES });
        }
        let label = match self.services.get(&service) {
            Some(listed) => listed.label_for(&id, &body)?,
            None => Service::default().label_for(&id, &body)?,
        };
        let declared = declared_anew(before.as_deref().map(|before| &before.declared), declared);
        if let Some(before) = &before
            && before.body == body
            && before.declared == declared
            && before.owner == owner
        {
            return Ok(Outcome {
                instance: Some(before.clone()),
                created: false,
                changes: Vec::new(),
            });
        }
        let mut after = Instance {
            label,
            body,
            declared,
            override_: before.as_ref().and_then(|before| before.override_.clone()),
            registered_unix_ms: before.as_ref().map_or(now, |before| before.registered_unix_ms),
            changed_unix_ms: now,
            revision: 0,
            owner,
            service,
            id,
        };
        after.share_label();
        self.share_service(&mut after);
        let created = before.is_none();
        let takes_name = created && actor.names_service;
        let change = self.change(before, Some(after), takes_name, now);
        Ok(Outcome { instance: change.after.clone(), created, changes: vec![change] })
    }

    /// Whose the instance is when the actor has registered it.
    fn owner_of(
        &self,
        before: Option<&Instance>,
        id: &InstanceId,
        actor: &Actor,
    ) -> Result<Owner, Refusal> {
        let owner = before.map_or(Owner::NOBODY, |before| before.owner);
        if !actor.may_touch(owner) {
            return Err(Refusal::NotYours { id: id.clone() });
        }
        // What an administrator mends stays its owner's.
        if owner != Owner::NOBODY {
            return Ok(owner);
        }
        match actor.max_instances {
            Some(most) if self.owned.get(&actor.owner).is_some_and(|has| *has >= most) => {
                Err(Refusal::Quota { owner: actor.owner, most })
            }
            Some(0) => Err(Refusal::Quota { owner: actor.owner, most: 0 }),
            _ => Ok(actor.owner),
        }
    }

    fn amend(
        &mut self,
        before: Arc<Instance>,
        now: u64,
        amend: impl FnOnce(&mut Instance),
    ) -> Outcome {
        let mut after = Instance::clone(&before);
        amend(&mut after);
        if after == *before {
            return Outcome { instance: Some(before), created: false, changes: Vec::new() };
        }
        after.changed_unix_ms = now;
        let change = self.change(Some(before), Some(after), false, now);
        Outcome { instance: change.after.clone(), created: false, changes: vec![change] }
    }

    fn change(
        &mut self,
        before: Option<Arc<Instance>>,
        after: Option<Instance>,
        takes_name: bool,
        now: u64,
    ) -> Change {
        self.revision += 1;
        let revision = self.revision;
        let after = after.map(|instance| Arc::new(Instance { revision, ..instance }));
        let named = after.as_ref().or(before.as_ref());
        let service = named.map(|instance| (instance.service.clone(), instance.owner));
        let claim_before = service.as_ref().and_then(|(service, _)| self.claim(service, now));
        self.replace(before.as_deref(), after.clone());
        let claim = service.and_then(|(service, owner)| {
            self.settle_claim(&service, owner, takes_name, claim_before, now)
        });
        Change { before, after, revision, claim: claim.map(Box::new) }
    }

    /// The one place where instances come and go.
    fn replace(&mut self, before: Option<&Instance>, after: Option<Arc<Instance>>) {
        if let Some(before) = before
            && let Some(service) = self.services.get_mut(&before.service)
        {
            service.remove(before);
            self.instances -= 1;
            if let Some(end) = end_of_override(before) {
                self.ends.remove(&end);
            }
            if service.is_empty() && after.is_none() {
                self.services.remove(&before.service);
            }
            self.disown(before.owner);
        }
        if let Some(after) = after {
            if after.owner != Owner::NOBODY {
                *self.owned.entry(after.owner).or_default() += 1;
            }
            self.ends.extend(end_of_override(&after));
            self.services.entry(after.service.clone()).or_default().insert(after);
            self.instances += 1;
        }
    }

    fn disown(&mut self, owner: Owner) {
        if let Some(count) = self.owned.get_mut(&owner) {
            *count -= 1;
            if *count == 0 {
                self.owned.remove(&owner);
            }
        }
    }
}

/// When an instance's override ends by itself, if it does.
fn end_of_override(instance: &Instance) -> Option<(u64, ServiceName, InstanceId)> {
    let until = instance.override_.as_deref()?.until_unix_ms?;
    Some((until, instance.service.clone(), instance.id.clone()))
}

/// A registration that is being decided on.
struct Registering {
    service: ServiceName,
    id: InstanceId,
    body: Body,
    declared: Option<Declared>,
    basis: Basis,
}

/// What an owner declares when it registers.
fn declared_anew(before: Option<&Declared>, given: Option<Declared>) -> Declared {
    match (before, given) {
        (Some(before), None) => before.clone(),
        (Some(before), Some(given)) if before.state == given.state && given.reason.is_empty() => {
            before.clone()
        }
        (_, given) => given.unwrap_or_default(),
    }
}

#[cfg(test)]
mod model_test;
#[cfg(test)]
mod owner_test;
#[cfg(test)]
mod tests;
