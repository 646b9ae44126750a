//! The lease clock: monotonic milliseconds, less the time in which the process could not run.
//!
//! A thread of its own ticks it. When a tick comes long after the one before, the process was stopped or the
//! machine stood still, and nobody could renew: the gap is taken off the clock, which adds it to every deadline
//! at once. Until the tick that notices has come, the clock stands still for everybody, and the judge goes by the
//! last tick alone: so nothing is judged by time that a pause is about to take off.

use std::time::Instant;

use crate::sync::{AtomicU64, Ordering};
use crate::view::LeaseTime;

/// How often the clock is ticked, in milliseconds.
pub(super) const TICK_MS: u64 = 10;
/// A gap between ticks from which on it is a pause: no regular one is as long, unless the machine is overloaded.
const PAUSE_MS: u64 = 50;

/// The lease clock.
#[derive(Debug)]
pub struct Clock {
    start: Instant,
    /// Odd while a tick is being written.
    version: AtomicU64,
    /// When the last tick was, in milliseconds since `start`.
    ticked_ms: AtomicU64,
    paused_ms: AtomicU64,
}

impl Default for Clock {
    fn default() -> Self {
        Self {
            start: Instant::now(),
            version: AtomicU64::new(0),
            ticked_ms: AtomicU64::new(0),
            paused_ms: AtomicU64::new(0),
        }
    }
}

impl Clock {
    /// The moment now: what a lease is renewed from.
    pub fn now(&self) -> LeaseTime {
        self.read(|ticked, paused| {
            // Read after the tick's figures, so that a pause in between makes it late, never early.
            let elapsed = self.elapsed_ms();
            moment(elapsed, ticked, paused)
        })
    }

    /// The moment of the last tick: what leases are judged by.
    pub fn last_tick(&self) -> LeaseTime {
        self.read(|ticked, paused| moment(ticked, ticked, paused))
    }

    fn read(&self, moment: impl Fn(u64, u64) -> LeaseTime) -> LeaseTime {
        loop {
            let version = self.version.load(Ordering::Acquire);
            let paused = self.paused_ms.load(Ordering::Acquire);
            let ticked = self.ticked_ms.load(Ordering::Acquire);
            let moment = moment(ticked, paused);
            if version.is_multiple_of(2) && self.version.load(Ordering::Acquire) == version {
                return moment;
            }
            std::hint::spin_loop();
        }
    }

    /// Ticks: takes a pause since the last tick off the clock. One thread does it.
    pub fn tick(&self) -> LeaseTime {
        self.tick_at(self.elapsed_ms())
    }

    /// Milliseconds of pauses that were taken off.
    pub fn paused_ms(&self) -> u64 {
        self.paused_ms.load(Ordering::Relaxed)
    }

    fn tick_at(&self, elapsed: u64) -> LeaseTime {
        let ticked = self.ticked_ms.load(Ordering::Relaxed);
        let mut paused = self.paused_ms.load(Ordering::Relaxed);
        let gap = elapsed.saturating_sub(ticked);
        if gap > PAUSE_MS {
            paused += gap - TICK_MS;
        }
        self.version.fetch_add(1, Ordering::AcqRel);
        self.ticked_ms.store(elapsed, Ordering::Release);
        self.paused_ms.store(paused, Ordering::Release);
        self.version.fetch_add(1, Ordering::AcqRel);
        moment(elapsed, elapsed, paused)
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

fn moment(elapsed: u64, ticked: u64, paused: u64) -> LeaseTime {
    LeaseTime::from_millis(elapsed.min(ticked.saturating_add(PAUSE_MS)).saturating_sub(paused))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_taken_off_and_a_late_tick_is_not() {
        let clock = Clock::default();
        assert_eq!(clock.tick_at(20).millis(), 20);
        assert_eq!(clock.tick_at(70).millis(), 70, "50 ms late is no pause");
        assert_eq!(clock.tick_at(5_070).millis(), 80, "of a pause no more counts than of a tick");
        assert_eq!((clock.paused_ms(), clock.last_tick().millis()), (4_990, 80));
        assert_eq!(clock.tick_at(5_080).millis(), 90);
    }

    #[test]
    fn between_a_pause_and_the_tick_that_notices_it_stands_still() {
        assert_eq!(moment(5_000, 220, 0).millis(), 270);
        assert_eq!(moment(240, 220, 0).millis(), 240);
    }
}
