//! The view: what readers see of the registry and the zone files, ready to be encoded.
//!
//! Readers never wait: names, cells and addresses are concurrent maps, zone files one snapshot that is swapped
//! whole. The [`Roster`] is the other half, who is listed and in which standing; whoever holds its lock (the
//! registrar after a commit, the lease thread at a tick, a renewal that revives) publishes what changed.
//! Nothing here reads a clock or does I/O.

mod cell;
pub mod lease;
mod node;
mod rrset;
#[cfg(test)]
pub(crate) mod testing;
pub mod wire;
pub mod zones;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use papaya::{HashMap, HashMapRef, LocalGuard};
use parking_lot::RwLock;

pub use cell::Cell;
pub use lease::LeaseTime;
pub use node::{Node, Pointers};
pub use rrset::{A, Aaaa, Address, RRset, Record, Srv, Turn};
pub use zones::Zones;

type Map<K, V> = HashMap<K, V, std::hash::RandomState>;
type MapRef<'a, K, V> = HashMapRef<'a, K, V, std::hash::RandomState, LocalGuard<'a>>;

/// What readers see.
#[derive(Debug, Default)]
pub struct View {
    /// Nodes by name relative to the zone, in lower-case wire form without the root.
    names: Map<Box<[u8]>, Node>,
    addresses: Map<IpAddr, Pointers>,
    zones: RwLock<Arc<Zones>>,
    zones_version: AtomicU64,
    serial: AtomicU32,
    loaded: AtomicBool,
}

impl View {
    /// Pins the maps for a batch of queries.
    pub fn read(&self) -> Reader<'_> {
        Reader { names: self.names.pin(), addresses: self.addresses.pin() }
    }

    /// The zones as they are, and the version to ask [`zones_version`](Self::zones_version) for.
    pub fn zones(&self) -> (u64, Arc<Zones>) {
        let zones = self.zones.read();
        (self.zones_version.load(Ordering::Acquire), zones.clone())
    }

    /// Moves when the zones are replaced: a worker keeps its snapshot until then.
    pub fn zones_version(&self) -> u64 {
        self.zones_version.load(Ordering::Acquire)
    }

    /// Replaces the zones as a whole.
    pub fn set_zones(&self, zones: Zones) {
        let mut place = self.zones.write();
        *place = Arc::new(zones);
        self.zones_version.fetch_add(1, Ordering::Release);
    }

    /// The serial of the zones' SOA: it moves with their content.
    pub fn serial(&self) -> u32 {
        self.serial.load(Ordering::Relaxed)
    }

    /// Whether the registry is loaded whole: until then a name that is not found may yet exist.
    pub fn loaded(&self) -> bool {
        self.loaded.load(Ordering::Acquire)
    }
}

/// The maps, pinned: what it gives stays as it is until it is dropped.
pub struct Reader<'a> {
    names: MapRef<'a, Box<[u8]>, Node>,
    addresses: MapRef<'a, IpAddr, Pointers>,
}

impl Reader<'_> {
    /// What the registry has at a name relative to a zone (lower-case wire form without the root).
    pub fn name(&self, relative: &[u8]) -> Option<&Node> {
        self.names.get(relative)
    }

    /// Which instances have an address.
    pub fn pointers(&self, address: IpAddr) -> Option<&Pointers> {
        self.addresses.get(&address)
    }
}
