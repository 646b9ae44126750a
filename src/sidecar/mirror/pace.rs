//! When one that does not answer is asked again, and what is said of it.

use std::time::Duration;

use crate::sidecar::pace::{jitter, retry};

/// How one behaves that we call.
#[derive(Debug, Default)]
pub(super) struct Pace {
    failures: u32,
    /// Since when there have been failures.
    failing_since: Duration,
    /// It is not called before.
    pub(super) not_before: Duration,
}

impl Pace {
    /// Counts a failure; whether it is the first of a row, of which is told. The next call waits for `most` at most.
    pub(super) fn failed(&mut self, now: Duration, most: Duration) -> bool {
        if self.failures == 0 {
            self.failing_since = now;
        }
        self.failures = self.failures.saturating_add(1);
        self.not_before = now + jitter(retry(self.failures, most));
        self.failures == 1
    }

    /// It has answered; for how long it had not, if so.
    pub(super) fn succeeded(&mut self, now: Duration) -> Option<Duration> {
        let had_failed = std::mem::take(&mut self.failures) > 0;
        self.not_before = now;
        had_failed.then(|| now.saturating_sub(self.failing_since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failure_and_the_end_of_a_row_are_told() {
        let secs = Duration::from_secs;
        let mut pace = Pace::default();
        assert_eq!(pace.succeeded(secs(1)), None);
        assert!(pace.failed(secs(2), secs(30)));
        assert!(pace.not_before > secs(2) && pace.not_before < secs(3));
        assert!(!pace.failed(secs(3), secs(30)));
        for _ in 0..50 {
            assert!(!pace.failed(secs(4), secs(30)));
        }
        assert!(pace.not_before <= secs(37), "{:?}", pace.not_before);
        assert_eq!(pace.succeeded(secs(9)), Some(secs(7)));
        assert!(pace.failed(secs(10), secs(30)));
    }
}
