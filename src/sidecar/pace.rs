//! When the next call is made.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

/// The first wait after a failed call; each further one is twice as long.
const FIRST_RETRY: Duration = Duration::from_millis(500);
/// The shortest time between renewals, whatever the lease.
const LEAST: Duration = Duration::from_millis(200);

/// The time from one renewal to the next: a third of the lease, so that two may be lost.
pub(super) fn renewal_interval(lease: Duration) -> Duration {
    (lease / 3).max(LEAST)
}

/// The time to wait after so many failures in a row: 0.5, 1, 2, … seconds, at most `most`.
pub(super) fn retry(failures: u32, most: Duration) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    FIRST_RETRY.saturating_mul(1 << doublings).min(most)
}

/// The time, moved by up to a tenth either way, so that what starts together does not call together.
pub(super) fn jitter(time: Duration) -> Duration {
    // Each RandomState has keys of its own: its hash of nothing is a random number, good enough for this.
    let random = RandomState::new().build_hasher().finish() >> 40;
    let share = f64::from(u32::try_from(random).unwrap_or(0)) / f64::from(1u32 << 24);
    time.mul_f64(0.9 + 0.2 * share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_renewal_interval() {
        let most = renewal_interval(Duration::from_secs(9));
        let waits = [1, 2, 3, 4, 50].map(|failures| retry(failures, most).as_millis());
        assert_eq!(waits, [500, 1000, 2000, 3000, 3000]);
    }

    #[test]
    fn jitter_stays_within_a_tenth_and_varies() {
        let times: Vec<_> = (0..1000).map(|_| jitter(Duration::from_secs(10))).collect();
        assert!(times.iter().all(|t| (9.0..=11.0).contains(&t.as_secs_f64())), "{times:?}");
        assert!(times.iter().any(|t| t.as_secs_f64() < 9.5));
        assert!(times.iter().any(|t| t.as_secs_f64() > 10.5));
    }
}
