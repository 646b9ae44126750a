//! The roster: who is listed, and where each lease stands. The writing half of the view.
//!
//! It lies behind one lock. The registrar lists and unlists what it has made durable, the lease thread ticks, a
//! renewal that finds its lease lapsed revives it; each publishes before it lets go of the lock. The lock is
//! never held over I/O. Readers of DNS never take it.

mod feed;
mod judge;
mod list;
mod members;
mod names;
mod publish;
mod settings;
mod stood;
mod wheel;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, VecDeque};
use std::net::IpAddr;
use std::ops::Bound;
use std::sync::Arc;

use super::cell::Cell;
use super::draft::{Crowds, Draft, Move};
use super::key::{Hashed, Key};
use super::lease::{LeaseTime, Renewal};
use super::renewals::cell_key;
use super::{Hashing, Maps};
use crate::registry::brake::GlobalBrake;
use crate::registry::{Instance, InstanceId, ServiceName};
use feed::Feed;
pub use feed::{MAX_FEED, Seen, Taken};
pub use list::{Listed, Place, Remaining, Summary, Tally};
pub use members::Standing;
use members::{Count, Lapsed, Member, Members};
pub use names::{field_of, names_of};
use publish::AtAddress;
pub use settings::{AnswerSettings, Settings};
pub use stood::Stood;
use wheel::Wheel;

/// What is due later than now.
#[derive(Debug)]
enum Timer {
    /// A suspect's or held instance's time is up, unless that was moved.
    Standing(Place),
    /// A label has answered long enough after its instance was unlisted.
    Linger(Arc<Cell>),
    /// A lapse no longer counts for the global brake.
    Lapse,
}

#[derive(Debug)]
struct Timed(LeaseTime, u64, Timer);

impl PartialEq for Timed {
    fn eq(&self, other: &Self) -> bool {
        (self.0, self.1) == (other.0, other.1)
    }
}

impl Eq for Timed {}

impl PartialOrd for Timed {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Timed {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.0, self.1).cmp(&(other.0, other.1))
    }
}

/// Who is listed.
#[derive(Debug, Default)]
pub struct Roster {
    services: BTreeMap<ServiceName, Members>,
    wheel: Wheel,
    timers: BinaryHeap<Reverse<Timed>>,
    timers_set: u64,
    settings: Settings,
    brake: GlobalBrake,
    /// Held until the global brake lets go, oldest first; some may have been revived or unlisted since.
    held_by_all: VecDeque<Place>,
    /// Lapses of a term's time whose instances are not listed any more.
    gone_lapses: usize,
    tally: Tally,
    /// Who has an address; kept only where there are reverse zones.
    by_address: HashMap<IpAddr, AtAddress>,
    /// Who shares addresses beyond those that the records tell apart, by name.
    crowds: HashMap<Key, Crowds>,
    /// Names directly under the zone that exist for the sake of names below: how many services need each.
    protocols: HashMap<Key, usize>,
    /// Names that have changed since they were published, and the services they are of.
    drafts: HashMap<Key, (ServiceName, Draft), Hashed>,
    dirty_addresses: BTreeSet<IpAddr>,
    /// Changes for the one who keeps a copy, once there is one.
    feed: Option<Feed>,
    /// Where leases stood before they came to stand elsewhere, of those of which the registrar was not told yet.
    stood: HashMap<Place, Standing, Hashing>,
}

/// What a listed instance's lease is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseStart {
    /// A whole term from now: it was registered.
    Term,
    /// What is left of it in milliseconds: it was loaded from the store.
    Remaining(u64),
    /// As it is: something else was changed.
    AsItIs,
}

impl Roster {
    /// Lists an instance that is durable, in the place of what was listed of it.
    pub(super) fn list(
        &mut self,
        maps: &Maps,
        instance: &Arc<Instance>,
        start: LeaseStart,
        now: LeaseTime,
    ) {
        let old = self.member(&instance.service, &instance.id).cloned();
        if start == LeaseStart::AsItIs && old.is_none() {
            return; // its lease ended meanwhile: what is not listed has no state to change
        }
        if start == LeaseStart::Term {
            self.forget_stood(instance); // its registration says it all
        }
        let term = instance.body.lease.millis();
        let deadline = match (start, &old) {
            (LeaseStart::AsItIs, Some(old)) => old.cell.lease.deadline(),
            (LeaseStart::Remaining(ms), _) => term.map(|_| now.plus(ms)),
            (LeaseStart::Term | LeaseStart::AsItIs, _) => term.map(|term| now.plus(term)),
        };
        let kept = old.as_ref().filter(|_| start == LeaseStart::AsItIs).and_then(Member::lapse);
        let member = match kept {
            Some(kept) => Member::lapsed(Cell::lapsed(instance.clone(), deadline).into(), kept),
            None => Member::live(Cell::new(instance.clone(), deadline).into()),
        };
        let cell = member.cell.clone();
        // Renewals find the new cell before the old one dies: one that meets the dead cell looks again.
        self.publish_cell(maps, &cell, member.is_held());
        if let Some(old) = old {
            let same_term = old.cell.instance.body.lease == instance.body.lease;
            if let Some(renewed) = old.cell.lease.kill().filter(|_| same_term) {
                cell.lease.renew(renewed);
            }
            self.take_out(maps, &old.cell, now);
            self.leave_addresses(&old.cell);
        }
        self.put_in(maps, member, now);
    }

    /// Renews a listed instance for a term; false if there is nothing that can be renewed.
    pub(super) fn renew(
        &mut self,
        maps: &Maps,
        service: &ServiceName,
        id: &InstanceId,
        now: LeaseTime,
    ) -> bool {
        let Some(cell) = self.member(service, id).map(|member| member.cell.clone()) else {
            return false;
        };
        let Some(term) = cell.instance.body.lease.millis() else { return true };
        match cell.lease.renew(now.plus(term)) {
            Renewal::Renewed(_) => true,
            Renewal::Lapsed => self.revive(maps, &cell, now),
            Renewal::Dead => false,
        }
    }

    /// Makes a suspect or held instance live again; false if the cell is not such a one's any more.
    pub(super) fn revive(&mut self, maps: &Maps, cell: &Arc<Cell>, now: LeaseTime) -> bool {
        let term = cell.instance.body.lease.millis().unwrap_or(0);
        if self.member_of(cell).is_none() || !cell.lease.revive(now.plus(term)) {
            return false;
        }
        self.set_standing(maps, cell, Standing::Live, LeaseTime::default(), now);
        self.wheel.insert(cell);
        self.tally.revivals += 1;
        true
    }

    /// Takes an instance off the list; its label answers for one record TTL longer.
    pub(super) fn unlist(
        &mut self,
        maps: &Maps,
        service: &ServiceName,
        id: &InstanceId,
        now: LeaseTime,
    ) {
        if let Some(cell) = self.member(service, id).map(|member| member.cell.clone()) {
            cell.lease.kill();
            self.retire(maps, &cell, now);
        }
    }

    /// What unlisting is, whether by its owner or because its lease is over; the lease is dead already.
    fn retire(&mut self, maps: &Maps, cell: &Arc<Cell>, now: LeaseTime) {
        let instance = &cell.instance;
        self.forget_stood(instance);
        self.take_out(maps, cell, now);
        self.linger_address(cell);
        maps.cells.pin().remove(&cell_key(instance.service.as_str(), instance.id.as_str()));
        let ttl_ms = u64::from(self.settings.of(&instance.service).ttl_secs) * 1000;
        if let Some(members) = self.services.get_mut(&instance.service) {
            members.lingering.insert(instance.label.clone(), cell.clone());
            self.want_service(maps, &instance.service, Move::In);
        }
        self.set_timer(now.plus(ttl_ms), Timer::Linger(cell.clone()));
    }

    /// Replaces the settings; false if they are the same. What is published is made anew by
    /// [`publish_anew`](Self::publish_anew).
    pub(super) fn set_settings(&mut self, settings: Settings) -> bool {
        if self.settings == settings {
            return false;
        }
        self.settings = settings;
        if !self.settings.reverse {
            let addresses = std::mem::take(&mut self.by_address);
            self.dirty_addresses.extend(addresses.into_keys());
        }
        true
    }

    /// Makes the answers of the services after one anew, until these have `limit` instances; gives the last service,
    /// `None` after the end.
    pub(super) fn publish_anew(
        &mut self,
        maps: &Maps,
        after: Option<&ServiceName>,
        limit: usize,
    ) -> Option<ServiceName> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let services = self.services.range::<ServiceName, _>((from, Bound::Unbounded));
        let mut instances = 0;
        let slice = services.take_while(|(_, members)| {
            let goes_on = instances < limit;
            instances += members.by_id.len() + members.lingering.len();
            goes_on
        });
        let services: Vec<_> = slice.map(|(service, _)| service.clone()).collect();
        for service in &services {
            self.publish_service_anew(maps, service);
        }
        services.into_iter().next_back()
    }

    fn member(&self, service: &ServiceName, id: &InstanceId) -> Option<&Member> {
        self.services.get(service)?.by_id.get(id.as_str())
    }

    /// The member that a cell stands for, if it still does.
    fn member_of(&self, cell: &Arc<Cell>) -> Option<&Member> {
        let member = self.member(&cell.instance.service, &cell.instance.id)?;
        Arc::ptr_eq(&member.cell, cell).then_some(member)
    }

    fn is_held(&self, cell: &Arc<Cell>) -> bool {
        self.member_of(cell).is_some_and(Member::is_held)
    }

    /// Lists a member. One that is not live keeps its place and time: what waits for them knows it by name.
    fn put_in(&mut self, maps: &Maps, member: Member, now: LeaseTime) {
        let cell = member.cell.clone();
        self.enter_addresses(&cell);
        if member.standing() == Standing::Live {
            self.wheel.insert(&cell);
        }
        self.answer(maps, &member, Move::In);
        if member.is_seen() {
            self.tell(&member, false, now);
        }
        let service = cell.instance.service.clone();
        let members = self.services.entry(service.clone()).or_default();
        members.count(&member, &mut self.tally, Count::In);
        members.by_id.insert(member);
        self.tally.services += usize::from(members.by_id.len() == 1);
        if let Some(lingering) = members.lingering.remove(&cell.instance.label) {
            self.leave_addresses(&lingering);
            self.want_service(maps, &service, Move::Out);
        }
    }

    fn take_out(&mut self, maps: &Maps, cell: &Arc<Cell>, now: LeaseTime) {
        let instance = &cell.instance;
        let Some(members) = self.services.get_mut(&instance.service) else { return };
        if let Some(member) = members.by_id.take(instance.id.as_str()) {
            members.count(&member, &mut self.tally, Count::Out);
            self.tally.services -= usize::from(members.by_id.is_empty());
            self.answer(maps, &member, Move::Out);
            if member.is_seen() {
                self.tell(&member, true, now);
            }
        }
    }

    fn set_standing(
        &mut self,
        maps: &Maps,
        cell: &Arc<Cell>,
        standing: Standing,
        until: LeaseTime,
        now: LeaseTime,
    ) {
        let instance = &cell.instance;
        let Some(members) = self.services.get_mut(&instance.service) else { return };
        let Some(before) = members.by_id.take(instance.id.as_str()) else { return };
        let held_since = match before.lapse() {
            Some(lapsed) if before.is_held() => lapsed.held_since,
            _ => now,
        };
        let after = match standing {
            Standing::Live => Member::live(cell.clone()),
            _ => Member::lapsed(cell.clone(), Lapsed { standing, until, held_since }),
        };
        members.count(&before, &mut self.tally, Count::Out);
        members.count(&after, &mut self.tally, Count::In);
        members.by_id.insert(after.clone());
        self.change_standing(maps, &before, &after);
        if before.is_seen() != after.is_seen() {
            self.tell(&after, before.is_seen(), now);
        }
        if before.is_held() != after.is_held() {
            self.publish_label(maps, cell, after.is_held());
        }
        let place = (instance.service.clone(), instance.id.clone());
        self.stood.entry(place.clone()).or_insert(before.standing());
        match standing {
            Standing::Live => {}
            _ if until == HELD_BY_ALL => self.held_by_all.push_back(place),
            _ => self.set_timer(until, Timer::Standing(place)),
        }
    }

    fn set_timer(&mut self, at: LeaseTime, timer: Timer) {
        self.timers_set += 1;
        self.timers.push(Reverse(Timed(at, self.timers_set, timer)));
    }
}

/// The end of what the global brake holds: when it lets go.
const HELD_BY_ALL: LeaseTime = LeaseTime::from_millis(u64::MAX);
