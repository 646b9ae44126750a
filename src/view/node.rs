//! What the registry has at a name, at an instance's label, at an address.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::cell::Cell;
use super::record::{A, Aaaa, Srv};
use super::roster::AnswerSettings;
use super::rrset::{RRset, Taking, remainder};

/// What the registry has at one name, the labels of instances apart. Without RRsets it exists all the same: NODATA.
#[derive(Debug, Default)]
pub struct Node {
    /// How its answers are made.
    pub settings: AnswerSettings,
    /// How many want it to exist: the roster's figure.
    pub(super) wanted: u32,
    /// How many of those that answer are held by the brake.
    pub held: u32,
    /// Distinct IPv4 addresses of the best priority.
    pub a: Option<RRset<A>>,
    /// Distinct IPv6 addresses of the best priority.
    pub aaaa: Option<RRset<Aaaa>>,
    /// One record an instance, every priority.
    pub srv: Option<RRset<Srv>>,
}

impl Node {
    /// Whether it exists for the sake of names below only.
    pub fn is_bare(&self) -> bool {
        self.a.is_none() && self.aaaa.is_none() && self.srv.is_none()
    }
}

/// What the registry has at the label of an instance, in every state while it is listed and a little longer.
#[derive(Debug)]
pub struct Labelled {
    /// The instance.
    pub cell: Arc<Cell>,
    /// How its answers are made.
    pub settings: AnswerSettings,
    /// Whether it is held by the brake.
    pub held: bool,
    /// Whether the label is the instance's id: then renewals find it here.
    pub has_id: bool,
}

impl Labelled {
    /// Its IPv4 addresses in the order of one turn, as many as an answer holds.
    pub fn turn_v4(&self, taking: Taking) -> impl Iterator<Item = Ipv4Addr> + Clone + '_ {
        let first = self.cell.turn_v4(taking);
        let turned = self.cell.v4().skip(first).chain(self.cell.v4().take(first));
        turned.take(self.settings.most())
    }

    /// Its IPv6 addresses in the order of one turn, as many as an answer holds.
    pub fn turn_v6(&self, taking: Taking) -> impl Iterator<Item = Ipv6Addr> + Clone + '_ {
        let first = self.cell.turn_v6(taking);
        let turned = self.cell.v6().skip(first).chain(self.cell.v6().take(first));
        turned.take(self.settings.most())
    }
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

    /// A turn: all instances, beginning with the listed one whose turn it is.
    pub fn turn(&self, taking: Taking) -> impl Iterator<Item = &Arc<Cell>> {
        let first = match (self.listed, taking) {
            (0 | 1, _) => 0,
            (listed, Taking::Turn) => remainder(self.turns.fetch_add(1, Ordering::Relaxed), listed),
            (listed, Taking::Look) => remainder(self.turns(), listed),
        };
        let (listed, lingering) = self.cells.split_at(self.listed);
        let (later, begin) = listed.split_at(first);
        begin.iter().chain(later).chain(lingering)
    }
}
