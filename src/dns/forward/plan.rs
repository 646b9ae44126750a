//! Who is asked for which names: the configuration, ready to be used.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::time::Instant;

use super::exchange::Means;
use super::judge::Private;
use super::pool::Pool;
use super::rules::Rules;
use super::special::{self, Special};
use super::upstream::Address;
use crate::view::wire::{self, Name};

/// Who is asked for which names.
#[derive(Default)]
pub struct Plan {
    rules: Rules<Group>,
    pub(super) private: Private,
}

/// Who is asked for the names of a zone.
#[derive(Clone)]
pub enum Group {
    /// These.
    Upstreams(Arc<Upstreams>),
    /// Nobody: they have the same answer everywhere.
    Special(Special),
    /// Nobody, by the configuration.
    Nobody,
}

/// Upstreams for the names of a zone.
pub struct Upstreams {
    /// The zone.
    pub zone: Name,
    /// The upstreams.
    pub pool: Pool,
    is_looping: AtomicBool,
}

impl Upstreams {
    /// Whether what they are asked comes back to us.
    pub fn is_looping(&self) -> bool {
        self.is_looping.load(Ordering::Relaxed)
    }

    /// Says whether it does; gives whether that is new.
    pub(super) fn set_looping(&self, is_looping: bool) -> bool {
        self.is_looping.swap(is_looping, Ordering::Relaxed) != is_looping
    }

    /// Where they are and how they are spoken to, for people.
    pub fn shown(&self) -> String {
        let all: Vec<_> = self.pool.upstreams().iter().map(|up| up.address().to_string()).collect();
        all.join(", ")
    }
}

/// A zone, and the upstreams for its names; none: nobody is asked.
pub type Rule<'r> = (&'r str, Vec<Address>);

impl Plan {
    /// A plan of these rules, the root's being for all other names. `private` says what becomes of private addresses.
    /// A zone that is no name is left out: the configuration has none.
    pub fn new<'r>(
        rules: impl IntoIterator<Item = Rule<'r>>,
        private: Private,
        means: &Means,
    ) -> Self {
        let mut plan = Self { rules: Rules::default(), private };
        for special in special::ALL {
            plan.set(special.zone, |_| Group::Special(special));
        }
        for (zone, addresses) in rules {
            plan.set(zone, |zone| match addresses.is_empty() {
                true => Group::Nobody,
                false => Group::Upstreams(Arc::new(upstreams(zone, addresses, means))),
            });
        }
        plan
    }

    fn set(&mut self, zone: &str, group: impl FnOnce(&Name) -> Group) {
        let name = wire::parse(zone, b"\0").ok().and_then(|zone| Name::read(&zone));
        if let Some(name) = name {
            self.rules.set(&name, group(&name));
        }
    }

    /// Who is asked for a name.
    pub fn find(&self, name: &Name) -> Group {
        self.rules.find(name).cloned().unwrap_or(Group::Nobody)
    }

    /// All groups of upstreams.
    pub fn upstreams(&self) -> impl Iterator<Item = &Arc<Upstreams>> {
        self.rules.groups().filter_map(|group| match group {
            Group::Upstreams(upstreams) => Some(upstreams),
            Group::Special(_) | Group::Nobody => None,
        })
    }
}

fn upstreams(zone: &Name, addresses: Vec<Address>, means: &Means) -> Upstreams {
    Upstreams {
        zone: zone.clone(),
        pool: Pool::new(zone, addresses, means, Instant::now()),
        is_looping: AtomicBool::new(false),
    }
}
