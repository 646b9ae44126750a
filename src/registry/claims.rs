//! Whose the names of services are, also for a while after a service is gone.
//!
//! The first principal that registers a service has its name, until one comes whose scope names the service: somebody who may
//! do much with a pattern cannot keep it from whom it is meant for. When the last instance is off the list the name is
//! *released*: for some minutes nobody else gets it, so that a service that restarts is not taken over meanwhile. Names
//! that were registered through an open door are nobody's.

use std::collections::{HashMap, VecDeque};

use super::command::Refusal;
use super::names::ServiceName;
use super::owner::{Actor, Owner};
use super::{Hashing, Registry};

/// Released names that are kept for their owners at most; beyond it the oldest go early. A row and some 100 octets each.
pub const MAX_RELEASED: usize = 100_000;

/// Whose a service's name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// Who has it.
    pub owner: Owner,
    /// When the last instance went off the list, in milliseconds since 1970 UTC; `None`: there are instances.
    pub released_unix_ms: Option<u64>,
}

/// A service's claim before and after a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClaimChange {
    /// As it was; `None`: the name was nobody's.
    pub before: Option<Claim>,
    /// As it is.
    pub after: Option<Claim>,
}

/// Names that were released.
#[derive(Debug, Default)]
pub(super) struct Released {
    names: HashMap<ServiceName, (Owner, u64), Hashing>,
    /// In the order in which they were released; some have been claimed again or released anew since.
    order: VecDeque<(u64, ServiceName)>,
}

impl Released {
    /// Who has the name still, and since when it is released.
    pub(super) fn get(&self, service: &ServiceName, since_unix_ms: u64) -> Option<(Owner, u64)> {
        self.names.get(service).copied().filter(|(_, at)| *at > since_unix_ms)
    }

    /// Keeps a name; those that were released at `since_unix_ms` or before are let go.
    pub(super) fn insert(&mut self, service: ServiceName, owner: Owner, at: u64, since: u64) {
        self.names.insert(service.clone(), (owner, at));
        self.order.push_back((at, service));
        while let Some((at, _)) = self.order.front()
            && (*at <= since || self.names.len() > MAX_RELEASED || self.has_mostly_leftovers())
            && let Some((at, service)) = self.order.pop_front()
        {
            if self.names.get(&service).is_some_and(|(_, last)| *last == at) {
                self.names.remove(&service);
            }
        }
    }

    pub(super) fn remove(&mut self, service: &ServiceName) {
        self.names.remove(service);
    }

    /// One name that comes and goes leaves an entry each time.
    fn has_mostly_leftovers(&self) -> bool {
        self.order.len() > 2 * MAX_RELEASED
    }
}

/// The rules.
impl Registry {
    /// Keeps released names for their owners for so long.
    pub fn reserve_names_for(&mut self, reserved_ms: u64) {
        self.reserved_ms = reserved_ms;
    }

    /// When a name must have been released to be anybody's at `now_unix_ms`: then or before.
    pub fn free_since(&self, now_unix_ms: u64) -> u64 {
        now_unix_ms.saturating_sub(self.reserved_ms)
    }

    /// Puts stored claims back, after the instances. One of a service without any was released now at the latest.
    pub fn restore_claim(&mut self, service: &ServiceName, claim: Claim, now_unix_ms: u64) {
        let released = match self.services.contains_key(service) {
            true => None,
            false => Some(claim.released_unix_ms.unwrap_or(now_unix_ms)),
        };
        let claim = Claim { released_unix_ms: released, ..claim };
        self.put_claim(service, Some(claim), now_unix_ms);
    }

    /// Whose the name of a service is at `now_unix_ms`; `None`: nobody's.
    pub fn claim(&self, service: &ServiceName, now_unix_ms: u64) -> Option<Claim> {
        match self.services.get(service) {
            Some(listed) => (listed.owner != Owner::NOBODY)
                .then_some(Claim { owner: listed.owner, released_unix_ms: None }),
            None => {
                let (owner, at) = self.released.get(service, self.free_since(now_unix_ms))?;
                Some(Claim { owner, released_unix_ms: Some(at) })
            }
        }
    }

    /// Whether the actor may register in a service, by whose its name is.
    pub(super) fn check_claim(
        &self,
        service: &ServiceName,
        actor: &Actor,
        now: u64,
    ) -> Result<(), Refusal> {
        let Some(claim) = self.claim(service, now) else { return Ok(()) };
        if claim.owner.is(actor.owner) || actor.is_admin || actor.names_service {
            return Ok(());
        }
        let left = |released: u64| {
            let ms = released.saturating_add(self.reserved_ms).saturating_sub(now);
            ms.div_ceil(1000)
        };
        let reserved_secs = claim.released_unix_ms.map(left);
        Err(Refusal::Claimed { service: service.clone(), reserved_secs })
    }

    /// What becomes of a service's claim when its instances have changed; `owner` is whose the changed one is, and
    /// `takes_name` whether it has the name from now on.
    pub(super) fn settle_claim(
        &mut self,
        service: &ServiceName,
        owner: Owner,
        takes_name: bool,
        before: Option<Claim>,
        now: u64,
    ) -> Option<ClaimChange> {
        let is_listed = self.services.contains_key(service);
        let after = match before {
            Some(claim) if is_listed => {
                let owner = if takes_name { owner } else { claim.owner };
                Some(Claim { owner, released_unix_ms: None })
            }
            Some(claim) => {
                Some(Claim { released_unix_ms: claim.released_unix_ms.or(Some(now)), ..claim })
            }
            None if is_listed && owner != Owner::NOBODY => {
                Some(Claim { owner, released_unix_ms: None })
            }
            None => None,
        };
        if after.is_some() {
            self.put_claim(service, after, now);
        }
        (after != before).then_some(ClaimChange { before, after })
    }

    pub(super) fn put_claim(&mut self, service: &ServiceName, claim: Option<Claim>, now: u64) {
        self.released.remove(service);
        if let Some(listed) = self.services.get_mut(service) {
            listed.owner = claim.map_or(Owner::NOBODY, |claim| claim.owner);
        } else if let Some(Claim { owner, released_unix_ms: Some(at) }) = claim {
            self.released.insert(service.clone(), owner, at, self.free_since(now));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(n: usize) -> ServiceName {
        ServiceName::parse(&format!("s{n}")).unwrap()
    }

    #[test]
    fn a_name_is_kept_until_its_time_is_over() {
        let owner = Owner::named("claims-a");
        let mut released = Released::default();
        released.insert(name(1), owner, 1_000, 0);
        assert_eq!(released.get(&name(1), 999), Some((owner, 1_000)));
        assert_eq!(released.get(&name(1), 1_000), None);
        released.insert(name(2), owner, 2_000, 1_000);
        assert_eq!((released.names.len(), released.order.len()), (1, 1));
        released.remove(&name(2));
        assert_eq!(released.get(&name(2), 0), None);
    }

    #[test]
    fn a_name_that_was_released_anew_is_kept_from_then_on() {
        let owner = Owner::named("claims-a");
        let mut released = Released::default();
        released.insert(name(1), owner, 1_000, 0);
        released.insert(name(1), owner, 2_000, 1_500);
        assert_eq!(released.get(&name(1), 1_500), Some((owner, 2_000)));
    }

    #[test]
    fn beyond_the_bound_the_oldest_go() {
        let owner = Owner::named("claims-a");
        let mut released = Released::default();
        for n in 0..=MAX_RELEASED {
            released.insert(name(n), owner, 1_000 + n as u64, 0);
        }
        assert_eq!(released.names.len(), MAX_RELEASED);
        assert_eq!(released.get(&name(0), 0), None);
        assert!(released.get(&name(MAX_RELEASED), 0).is_some());
        for _ in 0..3 * MAX_RELEASED {
            released.insert(name(7), owner, u64::MAX, 0);
        }
        assert!(released.order.len() <= 2 * MAX_RELEASED);
    }
}
