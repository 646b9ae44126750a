//! A chunk: some records of an RRset, laid out as replies hold them.
//!
//! A reply copies its octets and does not look at the instances behind them: a bound on their deadlines says that the
//! TTL that stands in the octets is right. A change in an RRset makes one chunk anew and keeps the others.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use super::lease::LeaseTime;
use super::record::{Record, TTL_AT};

/// Records of a chunk at most: what a change copies, and more than a reply over UDP has room for.
pub const CHUNK_RECORDS: usize = 128;

/// Some records of an RRset and of one priority, in their order; never empty.
#[derive(Debug)]
pub struct Chunk<R> {
    records: Box<[R]>,
    octets: Box<[u8]>,
    /// Octets of each record, if all have as many.
    even: u16,
    uneven: Option<Box<Uneven>>,
    /// Milliseconds on the lease clock up to which all records are good: a lower bound, for deadlines move on.
    until: AtomicU64,
}

/// Where the records of a chunk are not all alike.
#[derive(Debug, Default)]
struct Uneven {
    /// Where each record's octets end; empty if all have as many.
    ends: Box<[u16]>,
    /// For each record the sum of the weights up to and with it; empty if all are equal.
    sums: Box<[u64]>,
}

impl Uneven {
    /// `None` where all are alike.
    fn of<R: Record>(records: &[R], ends: Vec<u16>) -> Option<Box<Self>> {
        let mut weight = 0;
        let add = |record: &R| {
            weight += u64::from(record.weight());
            weight
        };
        let even = records.windows(2).all(|pair| pair[0].weight() == pair[1].weight());
        let sums: Vec<_> = if even { Vec::new() } else { records.iter().map(add).collect() };
        let all_alike = sums.is_empty() && ends.is_empty();
        (!all_alike).then(|| Box::new(Self { ends: ends.into(), sums: sums.into() }))
    }
}

/// The octets of a chunk that is being made.
#[derive(Debug)]
struct LaidOut {
    octets: Vec<u8>,
    /// Where each record's octets end.
    ends: Vec<u16>,
    /// The least deadline, in milliseconds.
    until: u64,
}

impl Default for LaidOut {
    fn default() -> Self {
        Self { octets: Vec::new(), ends: Vec::with_capacity(CHUNK_RECORDS), until: u64::MAX }
    }
}

impl LaidOut {
    fn encode<R: Record>(&mut self, record: &R, ttl: u32) {
        record.encode(ttl, &mut self.octets);
        self.until = self.until.min(record.deadline().map_or(u64::MAX, LeaseTime::millis));
        self.end();
    }

    fn copy<R: Record>(&mut self, base: &Chunk<R>, record: usize) {
        self.octets.extend_from_slice(base.octets(record..record + 1));
        self.end();
    }

    fn end(&mut self) {
        // 128 records of at most 369 octets.
        self.ends.push(u16::try_from(self.octets.len()).unwrap_or(u16::MAX));
    }

    fn lay_out<R: Record>(&mut self, records: &[R], ttl: u32) {
        for record in records {
            self.encode(record, ttl);
            if self.ends.len() == 1 {
                // Mostly all are as long as the first.
                self.octets.reserve_exact(self.octets.len() * (records.len() - 1));
            }
        }
    }

    fn lay_out_from<R: Record>(&mut self, records: &[R], ttl: u32, base: &Chunk<R>) {
        self.octets.reserve(base.octets.len() + base.octets.len() / base.len().max(1));
        self.until = base.until.load(Ordering::Relaxed);
        let mut at = 0;
        for record in records {
            if base.records.get(at).is_some_and(|there| there.is(record)) {
                self.copy(base, at);
                at += 1;
                continue;
            }
            let before = |there: &R| there.order(record).is_lt();
            while base.records.get(at).is_some_and(before) {
                at += 1;
            }
            match base.records.get(at) {
                Some(there) if there.is(record) => self.copy(base, at),
                _ => self.encode(record, ttl),
            }
            // What had its place is not to come any more.
            at +=
                usize::from(base.records.get(at).is_some_and(|there| there.order(record).is_eq()));
        }
    }
}

impl<R: Record> Chunk<R> {
    /// A chunk of records whose octets have this TTL in seconds. What `base`, in the same order, has of them is not encoded
    /// again, and no cell of these is read: it may lie in memory that nobody has asked for in a while.
    pub(super) fn new(records: Vec<R>, ttl: u32, base: Option<&Self>) -> Self {
        let mut laid_out = LaidOut::default();
        match base.filter(|base| base.ttl() == Some(ttl)) {
            Some(base) => laid_out.lay_out_from(&records, ttl, base),
            None => laid_out.lay_out(&records, ttl),
        }
        let LaidOut { octets, mut ends, until } = laid_out;
        let even = ends.first().copied().unwrap_or_default();
        let all_even =
            (1..).zip(&ends).all(|(count, end)| usize::from(*end) == count * usize::from(even));
        if all_even {
            ends.clear();
        }
        Self {
            even,
            uneven: Uneven::of(&records, ends),
            octets: octets.into(),
            records: records.into(),
            until: AtomicU64::new(until),
        }
    }

    /// The TTL that stands in the octets, in seconds.
    pub(super) fn ttl(&self) -> Option<u32> {
        self.octets.get(TTL_AT..).and_then(<[u8]>::first_chunk).map(|ttl| u32::from_be_bytes(*ttl))
    }

    /// The records.
    pub fn records(&self) -> &[R] {
        &self.records
    }

    /// How many records there are: never none.
    #[inline]
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// The octets of all records.
    #[inline]
    pub fn all_octets(&self) -> &[u8] {
        &self.octets
    }

    /// The octets of some of the records.
    #[inline]
    pub fn octets(&self, range: Range<usize>) -> &[u8] {
        self.octets.get(self.start(range.start)..self.start(range.end)).unwrap_or_default()
    }

    #[inline]
    fn start(&self, record: usize) -> usize {
        if R::OCTETS > 0 {
            return record * R::OCTETS;
        }
        match self.uneven.as_deref().map(|uneven| &*uneven.ends) {
            None | Some([]) => record * usize::from(self.even),
            Some(ends) => {
                let end = record.checked_sub(1).and_then(|before| ends.get(before));
                end.map_or(0, |end| usize::from(*end))
            }
        }
    }

    /// The sums of the weights, if these are not equal.
    #[inline]
    fn sums(&self) -> Option<&[u64]> {
        self.uneven.as_deref().map(|uneven| &*uneven.sums).filter(|sums| !sums.is_empty())
    }

    /// Whether all records are good up to `to`. False may be out of date: see [`look_again`](Self::look_again).
    #[inline]
    pub fn lasts(&self, to: LeaseTime) -> bool {
        self.until.load(Ordering::Relaxed) >= to.millis()
    }

    /// Reads all deadlines to know how long the records last. Whoever else does so meanwhile finds what is as true.
    pub fn look_again(&self) {
        let deadlines = self.records.iter().filter_map(Record::deadline);
        let until = deadlines.min().map_or(u64::MAX, LeaseTime::millis);
        self.until.store(until, Ordering::Relaxed);
    }

    /// The sum of all weights.
    pub(super) fn weight(&self) -> u64 {
        match self.sums().and_then(<[u64]>::last) {
            Some(sum) => *sum,
            None => {
                let weight = self.records.first().map_or(0, Record::weight);
                u64::from(weight) * self.records.len() as u64
            }
        }
    }

    /// The weight that every record has, if it is the same.
    pub(super) fn equal_weight(&self) -> Option<u32> {
        if self.sums().is_none() { self.records.first().map(Record::weight) } else { None }
    }

    /// The record that has the weight at `point`, which is less than the sum.
    pub(super) fn at_weight(&self, point: u64) -> usize {
        match self.sums() {
            Some(sums) => sums.partition_point(|sum| *sum <= point),
            None => {
                let weight = self.records.first().map_or(1, Record::weight);
                usize::try_from(point / u64::from(weight.max(1))).unwrap_or(0)
            }
        }
    }
}
