//! A lease's deadline as one atomic word: the only thing that a renewal writes.
//!
//! The word holds the deadline and the lease's condition. Anybody may renew a live lease; everything else
//! (lapse, revive, bury, kill) is done by whoever holds the roster, so these races remain: a renewal against
//! each of them. Compare-and-swap decides each: a renewal that was acknowledged has moved the deadline that the
//! judge compares, and one that comes later finds the lease lapsed or dead and is told so. `tests/loom` checks
//! this file in every order that the memory model allows.

use crate::sync::{AtomicU64, Ordering};

/// A moment on the lease clock: milliseconds since the server started, not counting its pauses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct LeaseTime(u64);

impl LeaseTime {
    /// The moment `ms` milliseconds after the start.
    pub const fn from_millis(ms: u64) -> Self {
        Self(if ms > MOST_MS { MOST_MS } else { ms })
    }

    /// Milliseconds since the start.
    pub const fn millis(self) -> u64 {
        self.0
    }

    /// The moment `ms` milliseconds later.
    pub const fn plus(self, ms: u64) -> Self {
        Self::from_millis(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to this moment; 0 if it is not earlier.
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// The latest deadline that a word can hold; it stands for "no end".
const MOST_MS: u64 = u64::MAX >> 2;
const CONDITION: u64 = 0b11;
const LIVE: u64 = 0b00;
const LAPSED: u64 = 0b01;
const DEAD: u64 = 0b11;

/// What a renewal met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewal {
    /// The lease runs until then at least; `None`: it has no end.
    Renewed(Option<LeaseTime>),
    /// It has lapsed; whoever holds the roster can revive it.
    Lapsed,
    /// It is over. A new registration may have taken its place.
    Dead,
}

/// A lease: live until a deadline, lapsed (revivable for a while), or dead.
#[derive(Debug)]
pub struct Lease(AtomicU64);

impl Lease {
    /// A live lease; `None` has no end.
    pub fn new(deadline: Option<LeaseTime>) -> Self {
        Self(AtomicU64::new(word(deadline.unwrap_or(LeaseTime(MOST_MS)), LIVE)))
    }

    /// A lapsed lease: what takes the place of one.
    pub fn lapsed(deadline: Option<LeaseTime>) -> Self {
        Self(AtomicU64::new(word(deadline.unwrap_or(LeaseTime(MOST_MS)), LAPSED)))
    }

    /// The deadline, past or future; `None` if there is no end.
    pub fn deadline(&self) -> Option<LeaseTime> {
        end(self.0.load(Ordering::Acquire))
    }

    /// Milliseconds left; `None` if there is no end.
    pub fn remaining_ms(&self, now: LeaseTime) -> Option<u64> {
        end(self.0.load(Ordering::Relaxed)).map(|deadline| deadline.since(now))
    }

    /// Whether the lease is dead.
    pub fn is_dead(&self) -> bool {
        self.0.load(Ordering::Acquire) & CONDITION == DEAD
    }

    /// Moves a live lease's deadline to `to`, or leaves it where it is if that is later.
    pub fn renew(&self, to: LeaseTime) -> Renewal {
        let mut seen = self.0.load(Ordering::Acquire);
        loop {
            match seen & CONDITION {
                LIVE => {}
                LAPSED => return Renewal::Lapsed,
                _ => return Renewal::Dead,
            }
            if end(seen).is_none_or(|deadline| deadline >= to) {
                return Renewal::Renewed(end(seen));
            }
            match self.0.compare_exchange_weak(
                seen,
                word(to, LIVE),
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => return Renewal::Renewed(Some(to)),
                Err(found) => seen = found,
            }
        }
    }

    /// Judges the lease: lapsed if its deadline is at or before `now`, else the deadline to look again at.
    pub fn lapse(&self, now: LeaseTime) -> Judgement {
        let mut seen = self.0.load(Ordering::Acquire);
        loop {
            match (seen & CONDITION, end(seen)) {
                (LIVE, Some(deadline)) if deadline <= now => {
                    let lapsed = word(deadline, LAPSED);
                    match self.0.compare_exchange_weak(
                        seen,
                        lapsed,
                        Ordering::AcqRel,
                        Ordering::Acquire,
                    ) {
                        Ok(_) => return Judgement::Lapsed,
                        Err(found) => seen = found,
                    }
                }
                (LIVE, Some(deadline)) => return Judgement::LiveUntil(deadline),
                _ => return Judgement::NotLive,
            }
        }
    }

    /// Makes a lapsed lease live again until `to`; false if it was not lapsed.
    pub fn revive(&self, to: LeaseTime) -> bool {
        self.leave_lapsed(word(to, LIVE))
    }

    /// Ends a lapsed lease for good; false if it was not lapsed.
    pub fn bury(&self) -> bool {
        self.leave_lapsed(word(LeaseTime(0), DEAD))
    }

    /// Ends the lease whatever it is, and says until when it was live (`None`: it was not, or has no end).
    pub fn kill(&self) -> Option<LeaseTime> {
        let was = self.0.swap(word(LeaseTime(0), DEAD), Ordering::AcqRel);
        if was & CONDITION == LIVE { end(was) } else { None }
    }

    fn leave_lapsed(&self, next: u64) -> bool {
        let seen = self.0.load(Ordering::Acquire);
        // Nobody else moves a lapsed lease: renewals leave it alone and the roster has one holder.
        seen & CONDITION == LAPSED
            && self.0.compare_exchange(seen, next, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

/// Renews the lease of what is listed under a name, whatever happens to it meanwhile; gives what was renewed,
/// or nothing if nothing is listed.
///
/// `find` looks up what is listed now; a replaced one is dead after its successor can be found. `revive`, under
/// the roster's lock, makes a lapsed one live again if it still can.
pub fn renew_listed<C>(
    find: impl Fn() -> Option<C>,
    lease: impl Fn(&C) -> &Lease,
    same: impl Fn(&C, &C) -> bool,
    to: impl Fn(&C) -> LeaseTime,
    revive: impl Fn(&C) -> bool,
) -> Option<C> {
    let mut met_dead: Option<C> = None;
    loop {
        let found = find()?;
        if met_dead.as_ref().is_some_and(|dead| same(dead, &found)) {
            return None; // dead and not replaced: it is being unlisted
        }
        match lease(&found).renew(to(&found)) {
            Renewal::Renewed(_) => return Some(found),
            Renewal::Lapsed if revive(&found) => return Some(found),
            // Another renewal revived it first, or it is dead by now: look again.
            Renewal::Lapsed => {}
            Renewal::Dead => met_dead = Some(found),
        }
    }
}

/// What the judge found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// It has lapsed, now.
    Lapsed,
    /// It was renewed: look again then.
    LiveUntil(LeaseTime),
    /// It has lapsed or died before, or has no end.
    NotLive,
}

fn word(deadline: LeaseTime, condition: u64) -> u64 {
    deadline.0 << 2 | condition
}

fn end(word: u64) -> Option<LeaseTime> {
    let ms = word >> 2;
    (ms < MOST_MS).then_some(LeaseTime(ms))
}
