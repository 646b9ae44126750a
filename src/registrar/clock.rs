//! The lease clock: monotonic milliseconds, less the time in which the process could not run.
//!
//! A thread of its own ticks it. When a tick comes long after the one before, the process was stopped or the
//! machine stood still, and nobody could renew: the gap is taken off the clock, which adds it to every deadline
//! at once. Until the tick that notices has come, the clock stands still for everybody.

use std::time::Instant;

use crate::sync::{AtomicU64, Ordering};
use crate::view::LeaseTime;

/// A gap between ticks from which on it is a pause: five times the longest regular one.
const PAUSE_MS: u64 = 250;

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
    /// The moment now.
    pub fn now(&self) -> LeaseTime {
        loop {
            let version = self.version.load(Ordering::Acquire);
            let paused = self.paused_ms.load(Ordering::Acquire);
            let ticked = self.ticked_ms.load(Ordering::Acquire);
            // Read after the tick's figures, so that a pause in between makes it late, never early.
            let elapsed = self.elapsed_ms();
            if version.is_multiple_of(2) && self.version.load(Ordering::Acquire) == version {
                return moment(elapsed, ticked, paused);
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
        paused += elapsed.saturating_sub(ticked.saturating_add(PAUSE_MS));
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
        assert_eq!(clock.tick_at(220).millis(), 220, "200 ms late is no pause");
        assert_eq!(
            clock.tick_at(5_220).millis(),
            470,
            "the clock stood still 250 ms after the tick"
        );
        assert_eq!(clock.paused_ms(), 4_750);
        assert_eq!(clock.tick_at(5_240).millis(), 490);
    }

    #[test]
    fn between_a_pause_and_the_tick_that_notices_it_stands_still() {
        assert_eq!(moment(5_000, 220, 0).millis(), 470);
        assert_eq!(moment(300, 220, 0).millis(), 300);
    }
}
