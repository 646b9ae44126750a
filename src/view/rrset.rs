//! An RRset of the registry: who is in it, and whose turn it is to be first.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::cell::Cell;
use super::lease::LeaseTime;

/// A member of an RRset: one record.
pub trait Record {
    /// Lower goes first.
    fn priority(&self) -> u16;
    /// The share of turns to be first.
    fn weight(&self) -> u32;
    /// Milliseconds that the record is good for at least; `None`: without end.
    fn remaining_ms(&self, now: LeaseTime) -> Option<u64>;
}

/// An A or AAAA record: an address, and the instances that share it.
#[derive(Debug)]
pub struct Address<A> {
    /// The address.
    pub address: A,
    /// The weights of all who share it, added up.
    pub weight: u32,
    /// Who shares it; never empty.
    pub cells: Box<[Arc<Cell>]>,
}

/// An A record.
pub type A = Address<Ipv4Addr>;
/// An AAAA record.
pub type Aaaa = Address<Ipv6Addr>;

/// An SRV record: an instance and one of its ports.
#[derive(Debug)]
pub struct Srv {
    /// The port.
    pub port: u16,
    /// The instance.
    pub cell: Arc<Cell>,
}

impl<T> Record for Address<T> {
    fn priority(&self) -> u16 {
        0 // an address RRset holds one priority only
    }

    fn weight(&self) -> u32 {
        self.weight
    }

    fn remaining_ms(&self, now: LeaseTime) -> Option<u64> {
        // The record is right as long as one of those who share the address is there.
        let mut longest = 0;
        for cell in &self.cells {
            longest = longest.max(cell.lease.remaining_ms(now)?);
        }
        Some(longest)
    }
}

impl Record for Srv {
    fn priority(&self) -> u16 {
        self.cell.instance.body.priority
    }

    fn weight(&self) -> u32 {
        self.cell.instance.body.weight.into()
    }

    fn remaining_ms(&self, now: LeaseTime) -> Option<u64> {
        self.cell.lease.remaining_ms(now)
    }
}

/// Records in the order of their priorities, and whose turn it is.
#[derive(Debug)]
pub struct RRset<R> {
    records: Box<[R]>,
    /// Where each priority's records lie; never empty ranges.
    groups: Box<[Range<usize>]>,
    /// For each record of the first group the sum of the weights up to and with it; empty if all are equal.
    shares: Box<[u64]>,
    /// How many turns there have been: one counter for all workers and transports.
    turns: AtomicU64,
    /// Whether an instance in it is held by the brake.
    held: bool,
}

impl<R: Record> RRset<R> {
    /// An RRset of at least one record that goes on counting `turns`; `None` without records.
    pub fn new(mut records: Vec<R>, turns: u64, held: bool) -> Option<Self> {
        if records.is_empty() {
            return None;
        }
        records.sort_by_key(Record::priority);
        let mut groups = Vec::new();
        let mut start = 0;
        for group in records.chunk_by(|one, next| one.priority() == next.priority()) {
            groups.push(start..start + group.len());
            start += group.len();
        }
        let first = &records[groups[0].clone()];
        let shares = shares(first);
        Some(Self {
            records: records.into(),
            groups: groups.into(),
            shares,
            turns: AtomicU64::new(turns),
            held,
        })
    }

    /// All records, in the order of their priorities.
    pub fn records(&self) -> &[R] {
        &self.records
    }

    /// Whether an instance in it is held by the brake.
    pub fn held(&self) -> bool {
        self.held
    }

    /// How many turns there have been.
    pub fn turns(&self) -> u64 {
        self.turns.load(Ordering::Relaxed)
    }

    /// Takes a turn: all records, beginning with the one whose turn it is.
    ///
    /// With n records of equal weight, n turns in a row put each first once. With unequal weights the turns are
    /// spread by the golden ratio's multiples, whose discrepancy falls with the number of turns. Other
    /// priorities follow the first one, each rotated in itself.
    pub fn take_turn(&self) -> Turn<'_, R> {
        let turn = self.turns.fetch_add(1, Ordering::Relaxed);
        let first = self.groups[0].len();
        let start =
            if self.shares.is_empty() { remainder(turn, first) } else { self.share_of(turn) };
        Turn { rrset: self, turn, group: 0, start, given: 0 }
    }

    fn share_of(&self, turn: u64) -> usize {
        let total = self.shares.last().copied().unwrap_or(1);
        let point = turn.wrapping_mul(GOLDEN_RATIO);
        let weight = ((u128::from(point) * u128::from(total)) >> 64) as u64;
        self.shares.partition_point(|share| *share <= weight)
    }
}

/// 2^64 divided by the golden ratio, made odd.
const GOLDEN_RATIO: u64 = 0x9E37_79B9_7F4A_7C15;

#[allow(clippy::cast_possible_truncation)] // a remainder is smaller than `length`
pub(super) fn remainder(turn: u64, length: usize) -> usize {
    (turn % length as u64) as usize
}

fn shares<R: Record>(group: &[R]) -> Box<[u64]> {
    let weight = group[0].weight();
    if group.iter().all(|record| record.weight() == weight) {
        return Box::default();
    }
    let mut sum = 0;
    let add = |record: &R| {
        sum += u64::from(record.weight());
        sum
    };
    group.iter().map(add).collect()
}

/// The records of an RRset in the order of one turn.
#[derive(Debug)]
pub struct Turn<'a, R> {
    rrset: &'a RRset<R>,
    turn: u64,
    group: usize,
    start: usize,
    given: usize,
}

impl<R> Clone for Turn<'_, R> {
    fn clone(&self) -> Self {
        Self { ..*self }
    }
}

impl<'a, R> Iterator for Turn<'a, R> {
    type Item = &'a R;

    fn next(&mut self) -> Option<&'a R> {
        let mut group = self.rrset.groups.get(self.group)?;
        if self.given == group.len() {
            self.group += 1;
            group = self.rrset.groups.get(self.group)?;
            self.given = 0;
            self.start = remainder(self.turn, group.len());
        }
        let mut at = self.start + self.given;
        if at >= group.len() {
            at -= group.len();
        }
        self.given += 1;
        self.rrset.records.get(group.start + at)
    }
}
