//! A node: all RRsets of one name of the registry.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::cell::Cell;
use super::rrset::{A, Aaaa, RRset, Srv, remainder};

/// What the registry has at one name. Without RRsets it exists all the same: NODATA.
#[derive(Debug, Default)]
pub struct Node {
    /// The longest TTL of its records, in seconds; a lease with less left makes it shorter, down to 1.
    pub ttl_secs: u32,
    /// The most records that an answer holds; 0: all.
    pub max_answers: usize,
    /// Distinct IPv4 addresses of the best priority.
    pub a: Option<RRset<A>>,
    /// Distinct IPv6 addresses of the best priority.
    pub aaaa: Option<RRset<Aaaa>>,
    /// One record an instance, every priority.
    pub srv: Option<RRset<Srv>>,
}

/// What the registry has at one address: the instances that PTR names, never empty.
#[derive(Debug)]
pub struct Pointers {
    /// The longest TTL of its records, in seconds.
    pub ttl_secs: u32,
    /// Who has the address: who is listed, then who lingers.
    cells: Box<[Arc<Cell>]>,
    /// How many of them were listed.
    listed: usize,
    /// How many turns there have been: one counter for all workers and transports.
    turns: AtomicU64,
}

impl Pointers {
    /// The instances at an address, those that are listed before those that linger; goes on counting `turns`.
    pub fn new(ttl_secs: u32, cells: Box<[Arc<Cell>]>, turns: u64) -> Self {
        let listed = cells.partition_point(|cell| !cell.lease.is_dead());
        Self { ttl_secs, cells, listed, turns: AtomicU64::new(turns) }
    }

    /// How many turns there have been.
    pub fn turns(&self) -> u64 {
        self.turns.load(Ordering::Relaxed)
    }

    /// Takes a turn: all instances, beginning with the listed one whose turn it is.
    pub fn take_turn(&self) -> impl Iterator<Item = &Arc<Cell>> {
        let first = match self.listed {
            0 | 1 => 0,
            listed => remainder(self.turns.fetch_add(1, Ordering::Relaxed), listed),
        };
        let (listed, lingering) = self.cells.split_at(self.listed);
        let (later, begin) = listed.split_at(first);
        begin.iter().chain(later).chain(lingering)
    }
}
