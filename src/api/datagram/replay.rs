//! The replay table: which signed datagrams have been accepted, and what they were told.
//!
//! For each instance that datagrams speak of it keeps the sender's boot id, the highest sequence, a bitmap of the
//! 64 sequences up to it, and the last eight replies. So a datagram that comes twice is told the same and done
//! once, in whatever order the network delivers. The rules, in their order:
//!
//! - A new boot id must come with a later time than anything accepted before, and starts afresh.
//! - A sequence among the last eight accepted: the same datagram gets the same reply (or silence, as long as
//!   the first has none), another one nothing.
//! - A sequence that was accepted before, or is 64 or more below the highest, gets nothing.
//! - A registration that a `DRAIN` or `DEREGISTER` with a higher sequence has overtaken gets nothing: what its
//!   sender ended must not come back because the network was slow.
//! - Else it is accepted. If then it cannot be carried out now (the store is down, the registry is loading), it is
//!   forgotten: it had no effect, and the same datagram may succeed later.
//!
//! An entry lives 60 s after the last datagram that was accepted: after that the time check refuses everything that
//! the entry stands against, as a datagram's time may differ by 30 s either way. That holds as long as the wall
//! clock is not set back after the entry is gone: the door's essay says what happens then.

use std::collections::HashMap;
use std::hash::BuildHasher;

use foldhash::quality::RandomState;
use parking_lot::Mutex;

use super::line::Verb;
use super::reply::Reply;

/// Milliseconds that a datagram's time may differ from ours.
pub(super) const TIME_WINDOW_MS: u64 = 30_000;
/// Milliseconds for which an instance is remembered: a datagram may be stamped 30 s ahead and be repeated until
/// 30 s after that, the last moment included.
const KEEP_MS: u64 = 2 * TIME_WINDOW_MS;
/// Milliseconds between two looks for entries that are over.
const SWEEP_MS: u64 = 10_000;
/// Entries that the table may have, at about 350 octets each: a million instances that renew by datagram.
const MAX_SENDERS: usize = 1 << 20;
/// Parts of the table, each with its own lock: few threads meet, and a sweep holds one up for less than 1 ms.
const SHARDS: usize = 256;
/// Replies that are remembered for one instance: a client repeats its last datagram, not one before many others.
const RECENT: usize = 8;

/// An instance in the table: 128 bits of hash of its service and id, so that every entry has one size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Slot([u64; 2]);

/// What slots are hashed with, drawn at the start. Only who has a key comes here, and may renew any instance: so the
/// hash has to spread names and not to withstand an attack.
#[derive(Debug, Default)]
pub(super) struct Seeds([RandomState; 2]);

impl Seeds {
    /// Of what a principal says of an instance: nobody's lines overtake another's.
    pub(super) fn slot(&self, principal: &str, service: &str, id: &str) -> Slot {
        Slot(self.0.each_ref().map(|seed| seed.hash_one((principal, service, id))))
    }
}

/// Where in the table a datagram belongs, and what it is known by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) slot: Slot,
    pub(super) boot: u128,
    pub(super) seq: u64,
    /// The first digits of the datagram's mac: 64 bits tell its bodies apart, as only the key's holder makes them.
    pub(super) mark: u64,
}

/// What the table says of a datagram.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Entry {
    /// It is new, and is now pending: settle it or forget it.
    Accepted,
    /// It was accepted before and told this.
    Repeated(Reply),
    /// It was accepted before and has no reply yet.
    Pending,
    /// It is out of the sequence.
    Refused,
    /// It is of another sender, or of one before it began anew, and not later than what was accepted.
    Overtaken,
    /// It is new, and there is no room for another instance.
    Full,
}

/// The table.
pub(super) struct Senders {
    pub(super) seeds: Seeds,
    shards: Box<[Mutex<Shard>]>,
}

#[derive(Default)]
struct Shard {
    senders: HashMap<Slot, Sender, foldhash::fast::RandomState>,
    sweep_at: u64,
}

impl Senders {
    pub(super) fn new() -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { seeds: Seeds::default(), shards }
    }

    /// Decides on a datagram whose mac and time are good; `time` is its own.
    pub(super) fn enter(&self, place: &Place, time: u64, verb: Verb, now: u64) -> Entry {
        let mut shard = self.shard(place).lock();
        shard.sweep(now);
        if let Some(sender) = shard.senders.get_mut(&place.slot) {
            return sender.enter(place, time, verb, now);
        }
        if shard.senders.len() >= MAX_SENDERS / SHARDS {
            return Entry::Full;
        }
        let mut sender = Sender::new(place.boot);
        let entry = sender.enter(place, time, verb, now);
        shard.senders.insert(place.slot, sender);
        entry
    }

    /// Keeps what a pending datagram is told.
    pub(super) fn settle(&self, place: &Place, reply: &Reply) {
        self.with_recent(place, |recent| recent.told = Some(Told::from(reply)));
    }

    /// Forgets a pending datagram.
    pub(super) fn forget(&self, place: &Place) {
        let mut shard = self.shard(place).lock();
        if let Some(sender) = shard.senders.get_mut(&place.slot) {
            sender.forget(place);
        }
    }

    /// How many instances are remembered.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().senders.len()).sum()
    }

    fn with_recent(&self, place: &Place, change: impl FnOnce(&mut Recent)) {
        let mut shard = self.shard(place).lock();
        let sender = shard.senders.get_mut(&place.slot).filter(|s| s.boot == place.boot);
        if let Some(recent) = sender.and_then(|sender| sender.recent(place.seq)) {
            change(recent);
        }
    }

    fn shard(&self, place: &Place) -> &Mutex<Shard> {
        &self.shards[usize::from(place.slot.0[0].to_le_bytes()[0]) % SHARDS]
    }
}

impl Shard {
    fn sweep(&mut self, now: u64) {
        if now < self.sweep_at && self.sweep_at <= now + SWEEP_MS {
            return;
        }
        self.sweep_at = now + SWEEP_MS;
        self.senders.retain(|_, sender| now.saturating_sub(sender.accepted_at) <= KEEP_MS);
    }
}

/// What is remembered of one instance's datagrams.
struct Sender {
    boot: u128,
    /// The latest time that a datagram said.
    time: u64,
    /// When the last one was accepted.
    accepted_at: u64,
    highest: u64,
    /// Bit n: `highest - n` was accepted.
    accepted: u64,
    /// The highest sequence of a `DRAIN` or `DEREGISTER`.
    ended: Option<u64>,
    recent: [Option<Recent>; RECENT],
    next: u8,
}

/// One of the last datagrams that were accepted.
struct Recent {
    seq: u64,
    mark: u64,
    /// `None`: nothing yet.
    told: Option<Told>,
}

/// A reply as it is remembered: the frequent ones in two words.
enum Told {
    Ok(u64),
    Unknown,
    Other(Box<Reply>),
}

impl Told {
    fn from(reply: &Reply) -> Self {
        match reply {
            Reply::Ok { expires_ms } => Told::Ok(*expires_ms),
            Reply::Unknown => Told::Unknown,
            reply => Told::Other(Box::new(reply.clone())),
        }
    }

    fn reply(&self) -> Reply {
        match self {
            Told::Ok(expires_ms) => Reply::Ok { expires_ms: *expires_ms },
            Told::Unknown => Reply::Unknown,
            Told::Other(reply) => Reply::clone(reply),
        }
    }
}

impl Sender {
    fn new(boot: u128) -> Self {
        Self {
            boot,
            time: 0,
            accepted_at: 0,
            highest: 0,
            accepted: 0,
            ended: None,
            recent: [const { None }; RECENT],
            next: 0,
        }
    }

    fn enter(&mut self, place: &Place, time: u64, verb: Verb, now: u64) -> Entry {
        if place.boot != self.boot {
            if time <= self.time {
                return Entry::Overtaken;
            }
            *self = Self { time: self.time, ..Self::new(place.boot) };
        } else if place.seq <= self.highest {
            if let Some(recent) = self.recent(place.seq) {
                return recent.entry(place.mark);
            }
            if !self.is_open(place.seq) {
                return Entry::Refused;
            }
        }
        let ends = matches!(verb, Verb::Drain | Verb::Deregister);
        if verb == Verb::Register && self.ended.is_some_and(|ended| place.seq < ended) {
            return Entry::Refused;
        }
        self.accept(place);
        self.time = self.time.max(time);
        self.accepted_at = now;
        if ends {
            self.ended = self.ended.max(Some(place.seq));
        }
        Entry::Accepted
    }

    /// Whether a sequence up to the highest is in the window, and was not accepted.
    fn is_open(&self, seq: u64) -> bool {
        bit(self.highest - seq).is_some_and(|bit| self.accepted & bit == 0)
    }

    fn accept(&mut self, place: &Place) {
        if let Some(ahead) = place.seq.checked_sub(self.highest) {
            self.accepted = u32::try_from(ahead)
                .ok()
                .and_then(|ahead| self.accepted.checked_shl(ahead))
                .unwrap_or(0);
            self.highest = place.seq;
        }
        self.accepted |= bit(self.highest - place.seq).unwrap_or(0);
        let recent = Recent { seq: place.seq, mark: place.mark, told: None };
        if let Some(oldest) = self.recent.get_mut(usize::from(self.next) % RECENT) {
            *oldest = Some(recent);
        }
        self.next = self.next.wrapping_add(1);
    }

    fn forget(&mut self, place: &Place) {
        let pending = self
            .recent
            .iter_mut()
            .find(|r| r.as_ref().is_some_and(|r| r.seq == place.seq && r.told.is_none()));
        if place.boot == self.boot
            && let Some(pending) = pending
        {
            *pending = None;
            let behind = self.highest.saturating_sub(place.seq);
            self.accepted &= !bit(behind).unwrap_or(0);
        }
    }

    fn recent(&mut self, seq: u64) -> Option<&mut Recent> {
        let is = |at: &usize| self.recent[*at].as_ref().is_some_and(|recent| recent.seq == seq);
        // The newest is the one that is settled, mostly: that spares fetching the others from memory.
        let newest = usize::from(self.next.wrapping_sub(1)) % RECENT;
        let at = Some(newest).filter(is).or_else(|| (0..RECENT).find(is))?;
        self.recent[at].as_mut()
    }
}

impl Recent {
    fn entry(&self, mark: u64) -> Entry {
        match &self.told {
            _ if mark != self.mark => Entry::Refused,
            None => Entry::Pending,
            Some(told) => Entry::Repeated(told.reply()),
        }
    }
}

/// The bit of a sequence that is `behind` the highest; `None` outside the window.
fn bit(behind: u64) -> Option<u64> {
    1_u64.checked_shl(u32::try_from(behind).ok()?)
}

#[cfg(test)]
mod tests;
