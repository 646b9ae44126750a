//! Who is in the cache and who goes when there is no room: S3-FIFO, on the writing side alone.
//!
//! A new entry sits in a queue *on trial*, a tenth of the room; at its end it goes, unless it was asked for
//! meanwhile: then it moves to the queue of those that are *kept*, and from the end of that again to its beginning
//! as often as it was asked for. Whoever went from trial and comes back soon is kept at once. So names that are asked
//! for once (most, and all of a flood of random ones) pass through a tenth of the room and leave the others alone, which
//! neither LRU nor CLOCK can say; and a reader who finds an entry moves nothing, it only counts.

use std::collections::VecDeque;
use std::sync::Arc;

use super::entry::Entry;
use crate::view::LeaseTime;

/// The part of the room that is on trial.
const ON_TRIAL: usize = 10;
/// How often an entry must be asked for to be kept.
const KEPT_FROM: u32 = 2;
/// Entries that are looked at to find one that goes, at most: so an insertion takes microseconds, whatever is in the
/// cache. After that the next one goes as it is.
const MOST_LOOKS: usize = 256;
/// Seats that may be empty and still queue, beside one for each that is taken.
const MOST_EMPTY: usize = 64;
/// Octets of room for which there is one place among those who went from trial.
const OCTETS_A_GHOST: usize = 1024;
const LEAST_GHOSTS: usize = 64;
const MOST_GHOSTS: usize = 1 << 20;

/// Where an entry sits. Its number is in the entry, and in one of the queues until its turn there comes.
#[derive(Debug, Default)]
struct Seat {
    entry: Option<Arc<Entry>>,
    is_kept: bool,
}

/// All entries, in the order in which they go.
#[derive(Debug)]
pub struct Seats {
    seats: Vec<Seat>,
    free: Vec<u32>,
    trial: VecDeque<u32>,
    kept: VecDeque<u32>,
    trial_octets: usize,
    octets: usize,
    most: usize,
    entries: usize,
    evictions: u64,
    /// Hashes of those that went from trial, each in its own place until another comes there.
    ghosts: Box<[u32]>,
}

impl Seats {
    /// Seats for entries of `most` octets together.
    pub fn new(most: usize) -> Self {
        let ghosts = (most / OCTETS_A_GHOST).next_power_of_two().clamp(LEAST_GHOSTS, MOST_GHOSTS);
        let ghosts = vec![0; ghosts].into_boxed_slice();
        Self {
            seats: Vec::new(),
            free: Vec::new(),
            trial: VecDeque::new(),
            kept: VecDeque::new(),
            trial_octets: 0,
            octets: size_of_val(&*ghosts),
            most,
            entries: 0,
            evictions: 0,
            ghosts,
        }
    }

    /// A seat for an entry that has none; `None` if the numbers have run out.
    pub fn take(&mut self, hash: u64) -> Option<u32> {
        if self.trial.len() + self.kept.len() > 2 * self.entries + MOST_EMPTY {
            self.sweep();
        }
        let is_kept = self.was_here(hash);
        let number = self.free.pop().or_else(|| u32::try_from(self.seats.len()).ok())?;
        if number as usize == self.seats.len() {
            self.seats.push(Seat::default());
        }
        self.seats.get_mut(number as usize)?.is_kept = is_kept;
        if is_kept { &mut self.kept } else { &mut self.trial }.push_back(number);
        Some(number)
    }

    /// Takes empty seats out of the queues, whose turn may be long in coming.
    fn sweep(&mut self) {
        let Self { seats, free, trial, kept, .. } = self;
        for queue in [trial, kept] {
            queue.retain(|number| {
                let seat = seats.get(*number as usize);
                let is_taken = seat.is_some_and(|seat| seat.entry.is_some());
                if !is_taken {
                    free.push(*number);
                }
                is_taken
            });
        }
    }

    /// Puts an entry on its seat, in the place of who sat there.
    pub fn put(&mut self, entry: Arc<Entry>) {
        let octets = entry.octets();
        self.clear(entry.seat);
        if let Some(seat) = self.seats.get_mut(entry.seat as usize) {
            self.octets += octets;
            self.entries += 1;
            self.trial_octets += if seat.is_kept { 0 } else { octets };
            seat.entry = Some(entry);
        }
    }

    /// Empties a seat. Its number is free when its turn in its queue has come.
    pub fn clear(&mut self, number: u32) -> Option<Arc<Entry>> {
        let seat = self.seats.get_mut(number as usize)?;
        let entry = seat.entry.take()?;
        let octets = entry.octets();
        self.octets -= octets;
        self.entries -= 1;
        self.trial_octets -= if seat.is_kept { 0 } else { octets };
        Some(entry)
    }

    /// Takes somebody out if there are too many octets. `is_over` says of an entry that it is of no use any more.
    pub fn make_room(&mut self, is_over: impl Fn(&Entry) -> bool) -> Option<Arc<Entry>> {
        if self.octets <= self.most {
            return None;
        }
        for looks in 0.. {
            let from_trial = self.kept.is_empty() || self.trial_octets > self.most / ON_TRIAL;
            let queue = if from_trial { &mut self.trial } else { &mut self.kept };
            let number = queue.pop_front()?;
            let Some(entry) = self.seats.get(number as usize).and_then(|seat| seat.entry.as_ref())
            else {
                self.free.push(number);
                continue;
            };
            if looks < MOST_LOOKS && !is_over(entry) && stays(entry, from_trial) {
                self.keep(number, from_trial);
                continue;
            }
            return self.evict(number, from_trial);
        }
        None
    }

    fn keep(&mut self, number: u32, from_trial: bool) {
        self.kept.push_back(number);
        if let Some(seat) = self.seats.get_mut(number as usize) {
            let octets = seat.entry.as_ref().map_or(0, |entry| entry.octets());
            self.trial_octets -= if from_trial { octets } else { 0 };
            seat.is_kept = true;
        }
    }

    fn evict(&mut self, number: u32, from_trial: bool) -> Option<Arc<Entry>> {
        let entry = self.clear(number)?;
        self.free.push(number);
        self.evictions += 1;
        if from_trial {
            let (place, rest) = self.ghost(entry.hash());
            if let Some(place) = self.ghosts.get_mut(place) {
                *place = rest;
            }
        }
        Some(entry)
    }

    /// Whether an entry of this hash went from trial lately.
    fn was_here(&self, hash: u64) -> bool {
        let (place, rest) = self.ghost(hash);
        self.ghosts.get(place) == Some(&rest)
    }

    /// The place of a ghost, and what tells it from others there; 0 is nobody.
    fn ghost(&self, hash: u64) -> (usize, u32) {
        let [a, b, c, d, rest @ ..] = hash.to_be_bytes();
        let place = u32::from_be_bytes([a, b, c, d]) as usize & (self.ghosts.len() - 1);
        (place, u32::from_be_bytes(rest).max(1))
    }

    /// All entries.
    pub fn entries(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.seats.iter().filter_map(|seat| seat.entry.as_ref())
    }

    /// How many seats there are, empty ones included.
    #[cfg(test)]
    pub fn seats(&self) -> usize {
        self.seats.len()
    }

    /// How many entries there are, how many octets they and the ghosts have, and how many were evicted.
    pub fn tally(&self) -> (usize, usize, u64) {
        (self.entries, self.octets, self.evictions)
    }
}

/// Whether an entry whose turn has come stays; if so it will be asked for again to stay the next time.
fn stays(entry: &Entry, from_trial: bool) -> bool {
    let stays = entry.asked() >= if from_trial { KEPT_FROM } else { 1 };
    if stays && !from_trial {
        entry.forget_use();
    }
    stays
}

/// Whether an entry is past all use at `now`, be it stale.
pub fn is_over(entry: &Entry, now: LeaseTime, stale_ms: u64) -> bool {
    now >= entry.ends().plus(stale_ms)
}
