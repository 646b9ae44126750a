//! The view: what readers see of the registry and the zone files, ready to be encoded.
//!
//! Readers never wait: names, cells and addresses are concurrent maps, zone files one snapshot that is swapped
//! whole. The [`Roster`] is the other half, who is listed and in which standing; whoever holds its lock (the
//! registrar after a commit, the lease thread at a tick, a renewal that revives) publishes what changed.
//! Nothing here reads a clock or does I/O.

mod cell;
mod chunk;
mod draft;
mod key;
mod leaves;
pub mod lease;
mod made;
mod node;
pub mod record;
mod renewals;
mod roster;
mod rrset;
#[cfg(test)]
pub(crate) mod testing;
pub mod wire;
pub mod zones;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use papaya::{HashMap, HashMapRef, LocalGuard};
use parking_lot::{Mutex, MutexGuard};

use crate::registry::{Instance, InstanceId, ServiceName};
use crate::shared::{Hand, Shared};

pub use cell::Cell;
pub use chunk::Chunk;
use key::Key;
pub use key::{Hashed, Sought};
pub use lease::LeaseTime;
pub use node::{Labelled, Node, Pointers};
pub use record::{A, Aaaa, Record, Srv};
pub use renewals::{Renewals, Renewed};
use roster::Roster;
pub use roster::{
    AnswerSettings, LeaseStart, Listed, MAX_FEED, Place, Remaining, Seen, Settings, Standing,
    Stood, Summary, Taken, Tally, field_of, names_of,
};
pub use rrset::{RRset, Run, Taking, Turn};
pub use zones::Zones;

/// Instances after which a slice of what is made anew ends, with the service it is in: some ten milliseconds, and a few
/// times that where a service has as many instances as it may.
const INSTANCES_A_SLICE: usize = 2000;

/// Seeded at random for each map: who registers cannot choose names that meet in one place.
type Hashing = foldhash::quality::RandomState;
type Map<K, V, H = Hashing> = HashMap<K, V, H>;
type MapRef<'a, K, V, H = Hashing> = HashMapRef<'a, K, V, H, LocalGuard<'a>>;

/// What readers look things up in.
#[derive(Debug, Default)]
struct Maps {
    /// Services and what is theirs, by name relative to the zone.
    names: Map<Key, Node, Hashed>,
    /// Instances by their own names `L.S`. A tag may have the name of a label that lingers: `names` goes before.
    labels: Map<Key, Labelled, Hashed>,
    addresses: Map<IpAddr, Pointers>,
    /// Cells of instances whose ids are not their labels, by service, a NUL, and id.
    cells: Map<Key, Arc<Cell>, Hashed>,
}

/// What readers see, and the roster that it is made from.
#[derive(Debug, Default)]
pub struct View {
    maps: Maps,
    roster: Mutex<Roster>,
    zones: Shared<Zones>,
    serial: AtomicU32,
    loaded: AtomicBool,
}

impl View {
    /// Pins the maps for a batch of queries.
    pub fn read(&self) -> Reader<'_> {
        Reader {
            names: self.maps.names.pin(),
            labels: self.maps.labels.pin(),
            addresses: self.maps.addresses.pin(),
        }
    }

    /// Makes room for so many more instances at once, instead of again and again while they come.
    pub fn make_room(&self, instances: usize) {
        self.maps.labels.pin().reserve(instances);
        self.maps.names.pin().reserve(instances / 2);
    }

    /// The zones as they are.
    pub fn zones(&self) -> Arc<Zones> {
        self.zones.get()
    }

    /// The zones for a worker, which takes them in hand for each batch of queries.
    pub fn zones_hand(&self) -> Hand<Zones> {
        self.zones.hand()
    }

    /// Replaces the zones as a whole, see [`Shared::set`].
    pub fn set_zones(&self, zones: impl Into<Arc<Zones>>) {
        self.zones.set(zones, || {
            self.serial.fetch_add(1, Ordering::Relaxed);
        });
    }

    /// The serial of the zones' SOA: it moves with their content.
    pub fn serial(&self) -> u32 {
        self.serial.load(Ordering::Relaxed)
    }

    fn revive(&self, cell: &Arc<Cell>, now: LeaseTime) -> bool {
        self.edit(now).roster.revive(&self.maps, cell, now)
    }

    /// Takes the roster to change it; what was changed is published when the edit is dropped.
    pub fn edit(&self, now: LeaseTime) -> Edit<'_> {
        Edit { view: self, roster: self.roster.lock(), now }
    }

    /// Judges all leases at `now`. Gives those that are over: off the list already, their rows yet to be deleted.
    pub fn tick(&self, now: LeaseTime) -> Vec<Arc<Cell>> {
        let mut edit = self.edit(now);
        edit.roster.tick(&self.maps, now)
    }

    /// Services in the order of their names, at most `limit`, from the first name after `after`.
    pub fn services(&self, after: Option<&str>, limit: usize) -> Vec<Summary> {
        self.roster.lock().services(after, limit)
    }

    /// Instances of a service in the order of their ids, at most `limit`, from the first id after `after`;
    /// `None` if the service is not listed.
    pub fn instances(
        &self,
        service: &str,
        after: Option<&str>,
        limit: usize,
        now: LeaseTime,
    ) -> Option<Vec<Listed>> {
        self.roster.lock().instances(service, after, limit, now)
    }

    /// One listed instance.
    pub fn instance(&self, service: &str, id: &str, now: LeaseTime) -> Option<Listed> {
        self.roster.lock().instance(service, id, now)
    }

    /// Keeps changes of who is seen from now on, for [`take_feed`](Self::take_feed). There is one reader.
    pub fn begin_feed(&self) {
        self.roster.lock().begin_feed();
    }

    /// Takes changes of who is seen, of services with `limit` instances and one service more at a time; `None`: begin anew.
    pub fn take_feed(&self, limit: usize, now: LeaseTime) -> Option<Taken> {
        self.roster.lock().take_feed(limit, now)
    }

    /// The instances of a service that are listed and whose leases run or are held, in the order of their ids.
    pub fn seen(&self, service: &ServiceName, now: LeaseTime) -> Vec<Listed> {
        self.roster.lock().seen(service, now)
    }

    /// Whether any lease has come to stand elsewhere since [`take_stood`](Self::take_stood).
    pub fn has_stood(&self) -> bool {
        self.roster.lock().has_stood()
    }

    /// Takes the leases that have come to stand elsewhere, in the order of services and ids. There is one reader.
    pub fn take_stood(&self) -> Vec<Stood> {
        self.roster.lock().take_stood()
    }

    /// How many there are of what, and whether the global brake holds.
    pub fn tally(&self) -> (Tally, bool) {
        let roster = self.roster.lock();
        (roster.tally().clone(), roster.global_brake())
    }

    /// What is left of leases with terms over `least_ms`, of at most `limit` instances after one.
    pub fn remaining(
        &self,
        after: Option<&Place>,
        least_ms: u64,
        limit: usize,
        now: LeaseTime,
    ) -> Remaining {
        self.roster.lock().remaining(after, least_ms, limit, now)
    }

    /// Replaces the settings and makes all answers anew, some services at a time: who else needs the roster waits
    /// for no more than one of the slices.
    pub fn set_settings(&self, settings: Settings, now: LeaseTime) {
        if !self.edit(now).roster.set_settings(settings) {
            return;
        }
        let mut done = None;
        loop {
            let mut edit = self.edit(now);
            done = edit.roster.publish_anew(&self.maps, done.as_ref(), INSTANCES_A_SLICE);
            if done.is_none() {
                return;
            }
        }
    }

    /// Begins the serial at `serial`.
    pub fn set_serial(&self, serial: u32) {
        self.serial.store(serial, Ordering::Relaxed);
    }

    /// Says that the registry is loaded whole.
    pub fn set_loaded(&self) {
        self.loaded.store(true, Ordering::Release);
    }

    /// Whether the registry is loaded whole: until then a name that is not found may yet exist.
    pub fn loaded(&self) -> bool {
        self.loaded.load(Ordering::Acquire)
    }
}

/// The roster in the hands of one who changes it. Readers see the changes when it is dropped.
pub struct Edit<'a> {
    view: &'a View,
    roster: MutexGuard<'a, Roster>,
    now: LeaseTime,
}

impl Edit<'_> {
    /// Lists an instance that is durable, in the place of what was listed of it.
    pub fn list(&mut self, instance: &Arc<Instance>, start: LeaseStart) {
        self.roster.list(&self.view.maps, instance, start, self.now);
    }

    /// Takes an instance off the list; its label answers for one record TTL longer.
    pub fn unlist(&mut self, service: &ServiceName, id: &InstanceId) {
        self.roster.unlist(&self.view.maps, service, id, self.now);
    }

    /// Renews a listed instance for a term, revives it if it has lapsed; false if it is not listed.
    pub fn renew(&mut self, service: &ServiceName, id: &InstanceId) -> bool {
        self.roster.renew(&self.view.maps, service, id, self.now)
    }

    /// One listed instance.
    pub fn instance(&self, service: &str, id: &str) -> Option<Listed> {
        self.roster.instance(service, id, self.now)
    }
}

impl Drop for Edit<'_> {
    fn drop(&mut self) {
        if self.roster.publish(&self.view.maps) {
            self.view.serial.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The maps, pinned: what it gives stays as it is until it is dropped.
pub struct Reader<'a> {
    names: MapRef<'a, Key, Node, Hashed>,
    labels: MapRef<'a, Key, Labelled, Hashed>,
    addresses: MapRef<'a, IpAddr, Pointers>,
}

impl Reader<'_> {
    /// What the registry has at a name relative to a zone (lower-case wire form without the root).
    #[inline]
    pub fn name(&self, relative: Sought<'_>) -> Option<&Node> {
        self.names.get(&relative)
    }

    /// The instance whose own name this is (lower-case wire form without the root), if it is not also a name that
    /// [`name`](Self::name) has.
    #[inline]
    pub fn label(&self, relative: Sought<'_>) -> Option<&Labelled> {
        self.labels.get(&relative)
    }

    /// Whether the registry has the name.
    pub fn has(&self, relative: Sought<'_>) -> bool {
        self.name(relative).is_some() || self.label(relative).is_some()
    }

    /// Which instances have an address.
    pub fn pointers(&self, address: IpAddr) -> Option<&Pointers> {
        self.addresses.get(&address)
    }
}
