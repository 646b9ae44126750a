//! An RRset of the registry: its chunks, and whose turn it is to be first.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};

use super::chunk::Chunk;
use super::record::Record;

/// Whether who reads records takes the turn that it is given, or only looks whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taking {
    /// It takes it: the next one has another.
    Turn,
    /// It looks, to explain.
    Look,
}

/// Records in the order of their priorities, and whose turn it is.
#[derive(Debug)]
pub struct RRset<R> {
    /// How many turns there have been: one counter for all workers and transports.
    turns: AtomicU64,
    /// All records, if they are in one chunk; else the first of them.
    head: Arc<Chunk<R>>,
    /// All records, if they are not.
    groups: Option<Box<Groups<R>>>,
}

/// Records by priority; never empty.
#[derive(Debug)]
struct Groups<R>(Box<[Group<R>]>);

/// The records of one priority.
#[derive(Debug)]
struct Group<R> {
    chunks: Box<[Arc<Chunk<R>>]>,
    /// How many records there are up to and with each chunk.
    ends: Box<[usize]>,
    /// The sum of the weights up to and with each chunk; empty if all weights are equal.
    sums: Box<[u64]>,
}

impl<R: Record> RRset<R> {
    /// An RRset of these chunks, by priority, that goes on counting `turns`; `None` without any.
    pub(super) fn new(priorities: Vec<Vec<Arc<Chunk<R>>>>, turns: u64) -> Option<Self> {
        let head = priorities.first()?.first()?.clone();
        let single = matches!(&*priorities, [chunks] if chunks.len() == 1);
        let groups = || Groups(priorities.into_iter().map(Group::new).collect());
        let groups = (!single).then(|| Box::new(groups()));
        Some(Self { turns: AtomicU64::new(turns), head, groups })
    }

    /// The chunks of each priority.
    pub(super) fn priorities(&self) -> impl Iterator<Item = &[Arc<Chunk<R>>]> {
        let head = self.groups.is_none().then(|| std::slice::from_ref(&self.head));
        head.into_iter().chain(self.groups().iter().map(|group| &*group.chunks))
    }

    /// The records by priority; none if they are in one chunk.
    #[inline]
    fn groups(&self) -> &[Group<R>] {
        self.groups.as_ref().map_or(&[], |groups| &groups.0)
    }

    /// The first chunk in the records' own order: mostly the only one.
    pub fn head(&self) -> &Chunk<R> {
        &self.head
    }

    /// How many turns there have been.
    pub fn turns(&self) -> u64 {
        self.turns.load(Ordering::Relaxed)
    }

    /// A turn: all records, beginning with the one whose turn it is.
    ///
    /// With n records of equal weight, n turns in a row put each first once. With unequal weights the turns are
    /// spread by the golden ratio's multiples, whose discrepancy falls with the number of turns. Other
    /// priorities follow the first one, each rotated in itself.
    #[inline]
    pub fn turn(&self, taking: Taking) -> Turn<'_, R> {
        match taking {
            Taking::Turn => self.nth_turn(self.turns.fetch_add(1, Ordering::Relaxed)),
            Taking::Look => self.nth_turn(self.turns()),
        }
    }

    /// All records in their own order, without taking a turn.
    pub fn in_order(&self) -> Turn<'_, R> {
        let chunks = self.first_chunks();
        Turn { rrset: self, turn: 0, group: 0, chunks, chunk: 0, at: 0, left: self.first_len() }
    }

    #[inline]
    fn nth_turn(&self, turn: u64) -> Turn<'_, R> {
        let (chunk, at) = match self.groups().first() {
            None => (0, first_of_chunk(&self.head, turn)),
            Some(group) => group.first_of(turn),
        };
        let chunks = self.first_chunks();
        Turn { rrset: self, turn, group: 0, chunks, chunk, at, left: self.first_len() }
    }

    #[inline]
    fn first_chunks(&self) -> &[Arc<Chunk<R>>] {
        self.groups().first().map_or(std::slice::from_ref(&self.head), |group| &group.chunks)
    }

    #[inline]
    fn first_len(&self) -> usize {
        self.groups().first().map_or(self.head.len(), Group::len)
    }
}

impl<R: Record> Group<R> {
    fn new(chunks: Vec<Arc<Chunk<R>>>) -> Self {
        let (mut records, mut weight) = (0, 0);
        let (mut ends, mut sums) = (Vec::new(), Vec::new());
        let first = chunks.first().and_then(|chunk| chunk.equal_weight());
        let mut equal = first.is_some();
        for chunk in &chunks {
            records += chunk.len();
            weight += chunk.weight();
            equal &= chunk.equal_weight() == first;
            ends.push(records);
            sums.push(weight);
        }
        if equal {
            sums.clear();
        }
        Self { chunks: chunks.into(), ends: ends.into(), sums: sums.into() }
    }

    fn len(&self) -> usize {
        self.ends.last().copied().unwrap_or(0)
    }

    /// The chunk, and the record in it, whose turn it is.
    fn first_of(&self, turn: u64) -> (usize, usize) {
        if let Some(total) = self.sums.last() {
            let point = point_of(turn, *total);
            let chunk = self.sums.partition_point(|sum| *sum <= point);
            let before = chunk.checked_sub(1).and_then(|before| self.sums.get(before)).copied();
            let at = self.chunks.get(chunk).map_or(0, |c| c.at_weight(point - before.unwrap_or(0)));
            return (chunk, at);
        }
        self.place_of(remainder(turn, self.len()))
    }

    fn place_of(&self, record: usize) -> (usize, usize) {
        let chunk = self.ends.partition_point(|end| *end <= record);
        let before = chunk.checked_sub(1).and_then(|before| self.ends.get(before)).copied();
        (chunk, record - before.unwrap_or(0))
    }
}

#[inline]
fn first_of_chunk<R: Record>(chunk: &Chunk<R>, turn: u64) -> usize {
    match chunk.equal_weight() {
        Some(_) => remainder(turn, chunk.len()),
        None => chunk.at_weight(point_of(turn, chunk.weight())),
    }
}

/// 2^64 divided by the golden ratio, made odd.
const GOLDEN_RATIO: u64 = 0x9E37_79B9_7F4A_7C15;

/// A point below `total`, which is above 0: those of successive turns are spread evenly.
fn point_of(turn: u64, total: u64) -> u64 {
    let point = turn.wrapping_mul(GOLDEN_RATIO);
    ((u128::from(point) * u128::from(total)) >> 64) as u64
}

#[allow(clippy::cast_possible_truncation)] // a remainder is smaller than `length`
#[inline]
pub(super) fn remainder(turn: u64, length: usize) -> usize {
    (turn % length.max(1) as u64) as usize
}

/// A turn of `count` records that are counted by themselves: which one is first.
pub(super) fn turn_of(turns: &AtomicU16, count: usize, taking: Taking) -> usize {
    match (count, taking) {
        (0 | 1, _) => 0,
        (_, Taking::Turn) => remainder(turns.fetch_add(1, Ordering::Relaxed).into(), count),
        (_, Taking::Look) => remainder(turns.load(Ordering::Relaxed).into(), count),
    }
}

/// The records of an RRset in the order of one turn, in runs that lie together.
#[derive(Debug)]
pub struct Turn<'a, R> {
    rrset: &'a RRset<R>,
    turn: u64,
    group: usize,
    chunks: &'a [Arc<Chunk<R>>],
    chunk: usize,
    at: usize,
    /// Records of the group that are still to be given.
    left: usize,
}

/// Records that lie together.
#[derive(Debug)]
pub struct Run<'a, R> {
    /// Where.
    pub chunk: &'a Chunk<R>,
    /// Which of the chunk; never none.
    pub range: Range<usize>,
}

impl<R> Run<'_, R> {
    /// At most the first so many of these records.
    #[inline]
    pub fn first(self, most: usize) -> Self {
        let end = self.range.end.min(self.range.start.saturating_add(most));
        Self { range: self.range.start..end, ..self }
    }
}

impl<R> Clone for Turn<'_, R> {
    fn clone(&self) -> Self {
        Self { ..*self }
    }
}

impl<'a, R: Record> Turn<'a, R> {
    /// Goes on to the next priority; `None` if there is none, or answers do not hold it.
    fn next_group(&mut self) -> Option<()> {
        if !R::EVERY_PRIORITY {
            return None;
        }
        self.group += 1;
        let group = self.rrset.groups().get(self.group)?;
        self.chunks = &group.chunks;
        self.left = group.len();
        (self.chunk, self.at) = group.place_of(remainder(self.turn, self.left));
        Some(())
    }
}

impl<'a, R: Record> Iterator for Turn<'a, R> {
    type Item = Run<'a, R>;

    #[inline]
    fn next(&mut self) -> Option<Run<'a, R>> {
        if self.left == 0 {
            self.next_group()?;
        }
        let chunk = self.chunks.get(self.chunk)?;
        let end = chunk.len().min(self.at + self.left);
        let run = Run { chunk, range: self.at..end };
        self.left -= end - self.at;
        self.at = 0;
        self.chunk += 1;
        if self.chunk == self.chunks.len() {
            self.chunk = 0;
        }
        Some(run)
    }
}
