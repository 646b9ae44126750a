//! One reply of upstream's, laid out so that one copy answers.
//!
//! What stands after the question of a reply is the same for every client whose question has the same name, whatever
//! its letters' case: compression pointers lead into the question at offset 12 or to what follows. So an entry
//! holds these octets, and marks where each record's TTL stands and where it ends.

use std::sync::atomic::{AtomicU32, Ordering};

use super::key::Scope;
use crate::view::LeaseTime;

/// Milliseconds of a second.
const SECOND_MS: u64 = 1000;
/// How often an entry must have been asked for to count as asked often: it is then prefetched, and stays when room
/// is made. Above it readers write nothing.
pub const ASKED_OFTEN: u32 = 3;
/// An entry that is asked often is asked for anew in this last part of its life.
const LAST_PART: u64 = 10;

/// How often an entry was asked for; beside it, whether somebody was told to prefetch it.
const ASKED: u32 = 0xffff;
const PREFETCH_TOLD: u32 = 1 << 31;

/// What the allocator takes beside what it gives, with what it rounds up: two words at most.
const ALLOCATION: usize = 16;
/// Octets of the map for an entry: a node with a pointer, and up to four slots of a pointer and an octet, for the
/// map's table grows by doubling, and holds the old one meanwhile.
const MAP: usize = 8 + ALLOCATION + 4 * 9;
/// Octets of the entry's seat, its number in a queue and in the list of free seats, each in a list that grows by
/// doubling.
const SEAT: usize = 2 * (24 + 4 + 4);
/// The two counts of an [`Arc`](std::sync::Arc).
const ARC: usize = 16;

/// The sections that an entry's records stand in: the additional one has none, they are not the question's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// The answer.
    Answer,
    /// Why there is no more.
    Authority,
}

/// A record in an entry. Offsets are counted from the question's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Where its TTL stands.
    pub ttl: u16,
    /// Where it ends.
    pub end: u16,
    /// The section that it is in.
    pub section: Section,
    /// Whether it is the last of its RRset: a reply is cut here only.
    pub is_last: bool,
}

/// What an entry says besides its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The response code.
    pub rcode: u8,
    /// Whether upstream has validated it (AD; RFC 4035, section 3.2.3).
    pub is_authentic: bool,
    /// What it is good for.
    pub scope: Scope,
    /// When it came.
    pub stored: LeaseTime,
    /// How long it holds; 0: it answers who waits for it, and is not kept.
    pub life_secs: u32,
    /// Whether its last record is an alias of a name that has to be asked for: an upstream that knew no more, or a name
    /// that is for others to answer.
    pub leads_on: bool,
    /// Why it is not what was asked for: the code of an extended error (RFC 8914, section 4); 0: it is.
    pub error: u16,
}

/// A reply of upstream's, or that there was none. It never changes; its use is counted.
#[derive(Debug)]
pub struct Entry {
    /// The key, then the records.
    octets: Box<[u8]>,
    marks: Box<[Mark]>,
    hash: u64,
    head: Head,
    key: u16,
    pub(super) seat: u32,
    used: AtomicU32,
}

/// As much of an entry as fits.
#[derive(Debug, Clone, Copy)]
pub struct Fitting<'e> {
    /// The octets of the records.
    pub octets: &'e [u8],
    /// One mark a record.
    pub marks: &'e [Mark],
    /// Whether this is all of it.
    pub is_whole: bool,
}

impl Entry {
    /// An entry of `records` that are marked by `marks`. The key has 258 octets at most.
    pub(super) fn new(key: &[u8], hash: u64, records: &[u8], marks: Vec<Mark>, head: Head) -> Self {
        Self {
            octets: [key, records].concat().into(),
            marks: marks.into(),
            hash,
            head,
            key: u16::try_from(key.len()).unwrap_or_default(),
            seat: 0,
            used: AtomicU32::new(0),
        }
    }

    /// What it says besides its records.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// The key's octets.
    #[inline]
    pub(super) fn key(&self) -> &[u8] {
        self.octets.get(..usize::from(self.key)).unwrap_or_default()
    }

    pub(super) fn hash(&self) -> u64 {
        self.hash
    }

    /// The name in lower-case wire form that it is about: replies to questions for this name alone may hold it.
    pub fn name(&self) -> &[u8] {
        super::key::name_of(self.key())
    }

    /// The octets after the question of a reply.
    pub(super) fn records(&self) -> &[u8] {
        self.octets.get(usize::from(self.key)..).unwrap_or_default()
    }

    /// A mark for each record.
    pub(super) fn marks(&self) -> &[Mark] {
        &self.marks
    }

    /// Whether it says that upstream failed.
    pub fn is_failure(&self) -> bool {
        self.head.scope == Scope::Failure
    }

    /// When it no longer holds.
    pub fn ends(&self) -> LeaseTime {
        self.head.stored.plus(self.life_ms())
    }

    pub(super) fn life_ms(&self) -> u64 {
        u64::from(self.head.life_secs) * SECOND_MS
    }

    /// Whether it holds at `now`.
    pub fn is_fresh(&self, now: LeaseTime) -> bool {
        now < self.ends()
    }

    /// Its age in whole seconds.
    pub fn age_secs(&self, now: LeaseTime) -> u32 {
        u32::try_from(now.since(self.head.stored) / SECOND_MS).unwrap_or(u32::MAX)
    }

    /// As many records of the answer, and after them whole RRsets, as have room in `room` octets. A cut answer holds
    /// what fits: some clients never ask over TCP (musl before 1.2.4) and take that.
    pub fn fitting(&self, room: usize) -> Fitting<'_> {
        let records = self.records();
        if records.len() <= room {
            return Fitting { octets: records, marks: &self.marks, is_whole: true };
        }
        let may_end = |mark: &Mark| mark.is_last || mark.section == Section::Answer;
        let fits = |mark: &Mark| may_end(mark) && usize::from(mark.end) <= room;
        let count = self.marks.iter().rposition(fits).map_or(0, |last| last + 1);
        let marks = self.marks.get(..count).unwrap_or_default();
        let end = marks.last().map_or(0, |mark| usize::from(mark.end));
        Fitting { octets: records.get(..end).unwrap_or_default(), marks, is_whole: false }
    }

    /// Counts that it was asked for.
    #[inline]
    pub(super) fn count_use(&self) {
        if self.asked() < ASKED_OFTEN {
            self.used.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How often it was asked for lately: up to [`ASKED_OFTEN`], or as many more as there are readers.
    #[inline]
    pub(super) fn asked(&self) -> u32 {
        self.used.load(Ordering::Relaxed) & ASKED
    }

    /// Forgets one time that it was asked for. Only the one who makes room takes away.
    pub(super) fn forget_use(&self) {
        if self.asked() > 0 {
            self.used.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Whether it is in the last part of its life, in which it is asked for anew.
    pub fn is_ending(&self, now: LeaseTime) -> bool {
        now.since(self.head.stored) >= self.life_ms() - self.life_ms() / LAST_PART
    }

    /// Whether the caller is to ask upstream for it before it ends; true once.
    #[inline]
    pub(super) fn is_due(&self, now: LeaseTime) -> bool {
        self.is_ending(now)
            && self.asked() >= ASKED_OFTEN
            && self.used.load(Ordering::Relaxed) & PREFETCH_TOLD == 0
            && self.used.fetch_or(PREFETCH_TOLD, Ordering::Relaxed) & PREFETCH_TOLD == 0
    }

    /// The memory that it takes in a cache, everything included.
    pub fn octets(&self) -> usize {
        let own = ARC + size_of::<Self>() + self.octets.len() + size_of_val(&*self.marks);
        own + 3 * ALLOCATION + MAP + SEAT
    }
}

impl Fitting<'_> {
    /// Where each record's TTL stands, from the first record on, and what it was when the entry came.
    pub fn ttls(&self) -> impl Iterator<Item = (usize, u32)> {
        self.marks.iter().map(|mark| {
            let at = usize::from(mark.ttl);
            let octets = self.octets.get(at..).and_then(|octets| octets.first_chunk());
            (at, octets.map_or(0, |octets| u32::from_be_bytes(*octets)))
        })
    }

    /// How many records stand in a section.
    pub fn count(&self, section: Section) -> usize {
        self.marks.iter().filter(|mark| mark.section == section).count()
    }
}
