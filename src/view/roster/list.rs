//! What people and metrics are told of the roster.

use std::ops::Bound;
use std::sync::Arc;

use super::super::lease::LeaseTime;
use super::{Member, Roster, Standing};
use crate::registry::brake::Lapses;
use crate::registry::{Declared, Instance, InstanceId, ServiceName, State};

/// An instance as it is listed, with where it stands.
#[derive(Debug, Clone)]
pub struct Listed {
    /// The instance.
    pub instance: Arc<Instance>,
    /// Milliseconds to the deadline of its lease, 0 if that has passed; `None`: without end.
    pub expires_in_ms: Option<u64>,
    /// Where its lease stands.
    pub standing: Standing,
}

/// A service, summed up.
#[derive(Debug, Clone)]
pub struct Summary {
    /// The service.
    pub service: ServiceName,
    /// How many instances are listed.
    pub instances: usize,
    /// How many of them are answering.
    pub answering: usize,
}

/// Where an instance stands in the order of all: its service, its id.
pub type Place = (ServiceName, InstanceId);

/// What is left of leases, up to a place.
#[derive(Debug, Clone, Default)]
pub struct Remaining {
    /// Service, id, milliseconds left.
    pub leases: Vec<(ServiceName, InstanceId, u64)>,
    /// The last instance that was looked at; `None`: there were no more.
    pub last: Option<Place>,
}

/// How many there are of what.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Listed instances, `[state][standing]`: up, draining, down by live, suspect, held.
    pub instances: [[usize; 3]; 3],
    /// Listed instances whose lease has no end.
    pub endless: usize,
    /// Listed instances that answer.
    pub answering: usize,
    /// Leases that run and that have lapsed.
    pub lapses: Lapses,
    /// Listed services.
    pub services: usize,
    /// Services of which the brake holds instances.
    pub services_braked: usize,
    /// Leases that lapsed and were renewed before they were over.
    pub revivals: u64,
}

impl Listed {
    pub(super) fn of(member: &Member, now: LeaseTime) -> Self {
        Self {
            instance: member.instance().clone(),
            expires_in_ms: member.cell.lease.remaining_ms(now),
            standing: member.standing(),
        }
    }

    /// Whether it is in the answers, and why or why not, in a sentence for people.
    pub fn answering(&self) -> (bool, String) {
        let because =
            |reason: &str| if reason.is_empty() { String::new() } else { format!(": {reason}") };
        let instance = &*self.instance;
        if let Some(set) = instance.override_.as_deref().filter(|o| o.declared.state != State::Up) {
            let Declared { state, reason } = &set.declared;
            return (false, format!("an operator set it to {state}{}", because(reason)));
        }
        let Declared { state, reason } = &instance.declared;
        if instance.state() != State::Up {
            return (false, format!("its owner declared it {state}{}", because(reason)));
        }
        match self.standing {
            Standing::Suspect => (false, "its lease has lapsed; a renewal revives it".to_owned()),
            Standing::Held => (
                true,
                "held by the brake: its lease has lapsed, together with too many others".to_owned(),
            ),
            Standing::Live if *state != State::Up => {
                (true, format!("an operator set it to up, above its owner's {state}"))
            }
            Standing::Live => (true, "its state is up and its lease runs".to_owned()),
        }
    }
}

impl Roster {
    pub(in crate::view) fn services(&self, after: Option<&str>, limit: usize) -> Vec<Summary> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let listed = self.services.range::<str, _>((from, Bound::Unbounded));
        let listed = listed.filter(|(_, members)| !members.by_id.is_empty());
        let summary = listed.map(|(service, members)| Summary {
            service: service.clone(),
            instances: members.by_id.len(),
            answering: members.answering,
        });
        summary.take(limit).collect()
    }

    pub(in crate::view) fn instances(
        &self,
        service: &str,
        after: Option<&str>,
        limit: usize,
        now: LeaseTime,
    ) -> Option<Vec<Listed>> {
        let members = self.services.get(service).filter(|members| !members.by_id.is_empty())?;
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let listed = members.by_id.range::<str, _>((from, Bound::Unbounded));
        Some(listed.take(limit).map(|member| Listed::of(member, now)).collect())
    }

    pub(in crate::view) fn instance(
        &self,
        service: &str,
        id: &str,
        now: LeaseTime,
    ) -> Option<Listed> {
        Some(Listed::of(self.services.get(service)?.by_id.get(id)?, now))
    }

    /// How many there are of what.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Whether the brake holds over all services.
    pub fn global_brake(&self) -> bool {
        self.brake.holds()
    }

    /// What is left of leases with terms over `least_ms`, of at most `limit` instances after one.
    pub(in crate::view) fn remaining(
        &self,
        after: Option<&Place>,
        least_ms: u64,
        limit: usize,
        now: LeaseTime,
    ) -> Remaining {
        let mut remaining = Remaining::default();
        let first = after.map_or(Bound::Unbounded, |(service, _)| Bound::Included(service));
        let services = self.services.range::<ServiceName, _>((first, Bound::Unbounded));
        let fresh = services.flat_map(|(service, members)| {
            let from = after.filter(|(last, _)| last == service).map(|(_, id)| id.as_str());
            let from = from.map_or(Bound::Unbounded, Bound::Excluded);
            members.by_id.range::<str, _>((from, Bound::Unbounded))
        });
        for member in fresh.take(limit) {
            let instance = member.instance();
            let place = (instance.service.clone(), instance.id.clone());
            let long = instance.body.lease.millis().is_some_and(|term| term > least_ms);
            if let Some(left) = member.cell.lease.remaining_ms(now).filter(|_| long) {
                remaining.leases.push((place.0.clone(), place.1.clone(), left));
            }
            remaining.last = Some(place);
        }
        remaining
    }
}
