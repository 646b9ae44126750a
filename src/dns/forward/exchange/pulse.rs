//! A connection's pulse: whether it is open, and whether the upstream does on it what it owes.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// How long an upstream may owe replies and complete none: as long as a question has in all.
pub const STALL: Duration = Duration::from_secs(4);
/// The same, until new questions go elsewhere if they can: the way to the upstream may be gone without a word, and a
/// question that is repeated should not be lost on the same connection again.
pub const SLOW: Duration = Duration::from_secs(1);

/// What is known of a connection, by its task and by whoever chooses one.
#[derive(Debug)]
pub struct Pulse(Mutex<Beat>);

#[derive(Debug)]
struct Beat {
    is_open: bool,
    under_way: usize,
    /// When the upstream last did what it should, or began to owe.
    since: Instant,
}

impl Pulse {
    /// Of a connection that is yet to open.
    pub fn new(now: Instant) -> Self {
        Self(Mutex::new(Beat { is_open: false, under_way: 0, since: now }))
    }

    /// It is open.
    pub fn opened(&self, now: Instant) {
        let mut beat = self.0.lock();
        beat.is_open = true;
        beat.since = now;
    }

    /// Whether it was opened.
    pub fn is_open(&self) -> bool {
        self.0.lock().is_open
    }

    /// A question was asked.
    pub fn asked(&self, now: Instant) {
        let mut beat = self.0.lock();
        if beat.under_way == 0 {
            beat.since = now;
        }
        beat.under_way += 1;
    }

    /// One was replied to.
    pub fn replied(&self, now: Instant) {
        self.given_up();
        self.0.lock().since = now;
    }

    /// One is waited for no longer.
    pub fn given_up(&self) {
        let mut beat = self.0.lock();
        beat.under_way = beat.under_way.saturating_sub(1);
    }

    /// Whether the upstream owes more than it should.
    pub fn is_slow(&self, now: Instant) -> bool {
        let beat = self.0.lock();
        beat.under_way > 0 && now.saturating_duration_since(beat.since) >= SLOW
    }

    /// When the connection has had its time, if it may be without questions for `idle`.
    pub fn deadline(&self, idle: Duration) -> Instant {
        let beat = self.0.lock();
        beat.since + if beat.under_way == 0 { idle } else { STALL }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upstream_owes_from_the_first_question_to_the_next_reply() {
        let (start, idle) = (Instant::now(), Duration::from_secs(10));
        let pulse = Pulse::new(start);
        assert!(!pulse.is_open());
        pulse.opened(start + SLOW);
        assert!(pulse.is_open());
        assert_eq!(pulse.deadline(idle), start + SLOW + idle);
        let asked = start + SLOW * 2;
        pulse.asked(asked);
        pulse.asked(asked + SLOW / 2);
        assert_eq!(pulse.deadline(idle), asked + STALL);
        assert!(!pulse.is_slow(asked + SLOW / 2));
        assert!(pulse.is_slow(asked + SLOW));
        pulse.replied(asked + SLOW);
        assert!(!pulse.is_slow(asked + SLOW * 3 / 2));
        assert!(pulse.is_slow(asked + SLOW * 2));
        pulse.given_up();
        assert!(!pulse.is_slow(asked + SLOW * 9));
        assert_eq!(pulse.deadline(idle), asked + SLOW + idle);
    }
}
