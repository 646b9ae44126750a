//! What upstream servers said about names that are not ours, for as long as it holds.
//!
//! One cache for all transports. Readers pin a concurrent map once a batch, as they do the view's, and look up
//! without waiting for anybody; a hit adds one to a relaxed counter, until the entry counts as asked often. Entries
//! never change. Whoever writes holds a mutex that no reader takes, and makes the room that a new entry needs
//! ([`seats`] says who goes). The cache is bounded in octets, all that an entry costs included.
//!
//! No I/O and no clock: `now` is passed in. What comes in has been judged: only an answer to the question that was
//! asked, see `dns::forward::accept`. Each entry is found by its question alone, so nothing in it can answer another.

mod draft;
mod entry;
mod key;
pub mod layout;
mod records;
mod seats;

use std::cell::Cell;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use papaya::{Equivalent, HashMap, HashMapRef, LocalGuard};
use parking_lot::Mutex;

use crate::view::wire::Name;
use crate::view::{Hashed, LeaseTime, Sought};
pub use draft::{Draft, MOST_LIFE_SECS, MOST_NEGATIVE_SECS, RRset, TooLong};
pub use entry::{ASKED_OFTEN, Entry, Fitting, Head, Mark, Section};
use key::Room;
pub use key::{Question, Scope};
pub use records::{Record, WrittenName};
use seats::Seats;

/// Seconds for which an entry may be served after its end when upstream fails, if nothing else is said: between the one
/// and three days of RFC 8767, section 5.
pub const STALE_SECS: u64 = 86_400;
/// Seconds for which the first failure is remembered, and any: RFC 9520, section 3.2, allows one second to five minutes,
/// and what is served stale meanwhile is to be asked for again after 30 (RFC 8767, section 5). Each that follows soon is
/// remembered for twice as long.
const FIRST_FAILURE_SECS: u32 = 5;
const MOST_FAILURE_SECS: u32 = 30;
/// The part of the cache that one entry may fill: a few long answers must not sweep all others out.
const MOST_OF_ONE: usize = 16;
/// SERVFAIL (RFC 1035, section 4.1.1).
const SERVFAIL: u8 = 2;

/// An entry in the map: it is its own key.
#[derive(Debug)]
struct Held(Arc<Entry>);

impl PartialEq for Held {
    fn eq(&self, other: &Self) -> bool {
        self.0.key() == other.0.key()
    }
}

impl Eq for Held {}

impl Hash for Held {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0.hash());
    }
}

impl Equivalent<Held> for Sought<'_> {
    #[inline]
    fn equivalent(&self, held: &Held) -> bool {
        self.octets() == held.0.key()
    }
}

/// What upstream said.
#[derive(Debug)]
pub struct Cache {
    map: HashMap<Held, (), Hashed>,
    seats: Mutex<Seats>,
    most_octets: usize,
    stale_ms: u64,
    flushes: AtomicU64,
    found: Found,
}

/// How look-ups ended.
#[derive(Debug, Default)]
struct Found {
    hits: AtomicU64,
    misses: AtomicU64,
    stale: AtomicU64,
}

/// What there is in a cache, and what came of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Entries.
    pub entries: usize,
    /// Octets that they take, all included.
    pub octets: usize,
    /// Look-ups that found what holds.
    pub hits: u64,
    /// Look-ups that found nothing.
    pub misses: u64,
    /// Look-ups that found what no longer holds and may still be served.
    pub stale: u64,
    /// Entries that went to make room.
    pub evictions: u64,
}

/// What the cache has for a question.
#[derive(Debug, Clone, Copy)]
pub enum Lookup<'r> {
    /// An answer.
    Fresh(&'r Entry),
    /// An answer that is asked for often and ends soon: whoever is told this, one alone, answers with it and has
    /// upstream asked.
    Due(&'r Entry),
    /// What is to be served if upstream fails (RFC 8767), with a TTL of 30 s.
    Stale {
        /// The answer that no longer holds.
        entry: &'r Entry,
        /// Whether upstream has failed just now: there is no need to ask it.
        has_failed: bool,
    },
    /// Upstream has failed just now, and is not to be asked again yet (RFC 9520).
    Failed(&'r Entry),
    /// Nothing.
    Nothing,
}

impl Cache {
    /// A cache of at most `most_octets`, whose entries may be served stale for [`STALE_SECS`].
    pub fn new(most_octets: usize) -> Self {
        Self::with_stale(most_octets, STALE_SECS)
    }

    /// A cache of at most `most_octets`, whose entries may be served for `stale_secs` after their end.
    pub fn with_stale(most_octets: usize, stale_secs: u64) -> Self {
        Self {
            map: HashMap::with_hasher(Hashed::default()),
            seats: Mutex::new(Seats::new(most_octets)),
            most_octets,
            stale_ms: stale_secs.saturating_mul(1000),
            flushes: AtomicU64::new(0),
            found: Found::default(),
        }
    }

    /// Pins the map for a batch of queries.
    pub fn read(&self) -> Reader<'_> {
        let (hits, misses, stale) = Default::default();
        Reader { cache: self, map: self.map.pin(), hits, misses, stale }
    }

    /// Takes an entry in, in the place of an older one. It is given back shared, to answer those who wait for it: it
    /// is not kept if it holds for no time, is too long, or older than what there is.
    pub fn insert(&self, mut entry: Entry, now: LeaseTime) -> Arc<Entry> {
        let octets = entry.octets();
        if entry.head().life_secs == 0 || octets > self.most_octets / MOST_OF_ONE {
            return Arc::new(entry);
        }
        let mut seats = self.seats.lock();
        let map = self.map.pin();
        let found = map.get_key_value(&Sought::new(entry.key())).map(|(held, ())| held.0.clone());
        let seat = match found {
            Some(old) if old.head().stored > entry.head().stored => None,
            Some(old) => Some(old.seat),
            None => seats.take(entry.hash()),
        };
        let Some(seat) = seat else { return Arc::new(entry) };
        entry.seat = seat;
        let entry = Arc::new(entry);
        seats.put(entry.clone());
        map.insert(Held(entry.clone()), ());
        while let Some(gone) = seats.make_room(|entry| seats::is_over(entry, now, self.stale_ms)) {
            map.remove(&Sought::new(gone.key()));
        }
        entry
    }

    /// Takes in what upstream said to a question: there is an end to its failures, and if the name is there, to its
    /// absence.
    pub fn answered(&self, question: Question<'_>, entry: Entry, now: LeaseTime) -> Arc<Entry> {
        let mut room = Room::new(question);
        self.remove(room.key(Scope::Failure));
        if entry.head().scope == Scope::Type {
            self.remove(room.key(Scope::Name));
        }
        self.insert(entry, now)
    }

    /// Remembers that upstream failed to answer a question: for a few seconds the first time, for longer each time
    /// that follows soon (RFC 9520, section 3.2). What there is of an answer stays.
    ///
    /// `error` says why, as an extended error.
    pub fn failed(&self, question: Question<'_>, error: u16, now: LeaseTime) -> Arc<Entry> {
        let mut room = Room::new(question);
        let before = {
            let map = self.map.pin();
            map.get_key_value(&room.key(Scope::Failure)).map(|(held, ())| held.0.clone())
        };
        let life_secs = match before {
            Some(before) if now < before.ends().plus(u64::from(MOST_FAILURE_SECS) * 1000) => {
                let before = before.head();
                // Who fails while the failure is remembered has asked before that.
                let again = now.since(before.stored) >= u64::from(before.life_secs) * 1000;
                (before.life_secs * if again { 2 } else { 1 }).min(MOST_FAILURE_SECS)
            }
            _ => FIRST_FAILURE_SECS,
        };
        let draft = Draft::new(question).because(error);
        self.insert(draft.finish(SERVFAIL, false, Scope::Failure, now, life_secs), now)
    }

    fn remove(&self, key: Sought<'_>) {
        let map = self.map.pin();
        // Mostly there is nothing, and the lock is not needed to see it.
        if map.get_key_value(&key).is_none() {
            return;
        }
        let mut seats = self.seats.lock();
        if let Some((held, ())) = map.get_key_value(&key) {
            seats.clear(held.0.seat);
            map.remove(&key);
        }
    }

    /// Forgets all that is known of a name, and with `subtree` of all names below it. Says how many entries that were.
    /// Writers wait as long as it takes to look at all entries; readers do not.
    pub fn flush(&self, name: &Name, subtree: bool) -> usize {
        self.forget(|entry| match subtree {
            true => layout::is_in(entry.name(), name.wire()),
            false => entry.name() == name.wire(),
        })
    }

    /// Forgets that upstreams failed: others are asked from now on.
    pub fn forget_failures(&self) -> usize {
        self.forget(Entry::is_failure)
    }

    fn forget(&self, is_meant: impl Fn(&Entry) -> bool) -> usize {
        let mut seats = self.seats.lock();
        self.flushes.fetch_add(1, Ordering::Release);
        let gone: Vec<_> = seats.entries().filter(|entry| is_meant(entry)).cloned().collect();
        let map = self.map.pin();
        for entry in &gone {
            seats.clear(entry.seat);
            map.remove(&Sought::new(entry.key()));
        }
        gone.len()
    }

    /// How often something was flushed: what was asked before is not to be taken in after.
    pub fn flushes(&self) -> u64 {
        self.flushes.load(Ordering::Acquire)
    }

    /// Octets that the entries may take.
    pub fn most_octets(&self) -> usize {
        self.most_octets
    }

    /// What there is, and what came of it.
    pub fn stats(&self) -> Stats {
        let (entries, octets, evictions) = self.seats.lock().tally();
        let [hits, misses, stale] = [&self.found.hits, &self.found.misses, &self.found.stale]
            .map(|count| count.load(Ordering::Relaxed));
        Stats { entries, octets, hits, misses, stale, evictions }
    }
}

fn hit(entry: &Entry, now: LeaseTime) -> Lookup<'_> {
    entry.count_use();
    if entry.is_due(now) { Lookup::Due(entry) } else { Lookup::Fresh(entry) }
}

/// The map, pinned: what it gives stays as it is until it is dropped. Its look-ups are counted then.
pub struct Reader<'c> {
    cache: &'c Cache,
    map: HashMapRef<'c, Held, (), Hashed, LocalGuard<'c>>,
    hits: Cell<u64>,
    misses: Cell<u64>,
    stale: Cell<u64>,
}

impl Reader<'_> {
    #[inline]
    fn find(&self, key: Sought<'_>) -> Option<&Entry> {
        self.map.get_key_value(&key).map(|(held, ())| &*held.0)
    }

    /// What there is for a question at `now`.
    #[inline]
    pub fn look_up(&self, question: Question<'_>, now: LeaseTime) -> Lookup<'_> {
        let mut room = Room::new(question);
        let found = match self.find(room.key(Scope::Type)) {
            Some(own) if own.is_fresh(now) => hit(own, now),
            own => self.look_further(own, &mut room, now),
        };
        let count = match found {
            Lookup::Fresh(_) | Lookup::Due(_) | Lookup::Failed(_) => &self.hits,
            Lookup::Stale { .. } => &self.stale,
            Lookup::Nothing => &self.misses,
        };
        count.set(count.get() + 1);
        found
    }

    /// The question has no answer of its own that holds: the name may be known not to exist, the answer of old may
    /// do, or upstream have failed.
    fn look_further<'r>(
        &'r self,
        own: Option<&'r Entry>,
        room: &mut Room,
        now: LeaseTime,
    ) -> Lookup<'r> {
        let no_name = self.find(room.key(Scope::Name));
        if let Some(no_name) = no_name.filter(|no_name| no_name.is_fresh(now)) {
            return hit(no_name, now);
        }
        let failure = self.find(room.key(Scope::Failure)).filter(|failure| failure.is_fresh(now));
        let stale = [own, no_name].into_iter().flatten().max_by_key(|entry| entry.head().stored);
        match (stale, failure) {
            (Some(entry), failure) if !seats::is_over(entry, now, self.cache.stale_ms) => {
                entry.count_use();
                Lookup::Stale { entry, has_failed: failure.is_some() }
            }
            (_, Some(failure)) => Lookup::Failed(failure),
            (_, None) => Lookup::Nothing,
        }
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        let found = &self.cache.found;
        for (sum, count) in
            [(&found.hits, &self.hits), (&found.misses, &self.misses), (&found.stale, &self.stale)]
        {
            if count.get() > 0 {
                sum.fetch_add(count.get(), Ordering::Relaxed);
            }
        }
    }
}

#[cfg(test)]
mod tests;
