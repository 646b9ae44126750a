//! What the registrar counts of itself.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

use super::COMMIT_BUCKETS;
use super::core::bucket;

/// A count that only grows.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    pub(super) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Signs of life of the registrar's threads.
#[derive(Debug, Default)]
pub(super) struct Pulses {
    pub(super) registrar: Count,
    /// The registrar waits, for work or for the disk, however long that takes.
    pub(super) registrar_waits: AtomicBool,
    pub(super) leases: Count,
    pub(super) clock: Count,
}

impl Pulses {
    /// Has the registrar wait for what `wait` waits for.
    pub(super) fn waiting<T>(&self, wait: impl FnOnce() -> T) -> T {
        self.registrar_waits.store(true, Ordering::Relaxed);
        let waited_for = wait();
        self.registrar.add(1);
        self.registrar_waits.store(false, Ordering::Relaxed);
        waited_for
    }

    pub(super) fn get(&self) -> Pulse {
        let waits = self.registrar_waits.load(Ordering::Relaxed);
        Pulse {
            registrar: (!waits).then(|| self.registrar.get()),
            leases: self.leases.get(),
            clock: self.clock.get(),
        }
    }
}

/// How far each thread has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pulse {
    /// The registrar; `None`: it waits, for work or for the disk.
    pub registrar: Option<u64>,
    /// The lease thread.
    pub leases: u64,
    /// The thread of the lease clock.
    pub clock: u64,
}

impl Pulse {
    /// The names of the threads that have not moved since an earlier look.
    pub fn stopped_since(&self, earlier: &Self) -> Vec<&'static str> {
        let registrar = self.registrar.is_some() && self.registrar == earlier.registrar;
        [
            ("registrar", registrar),
            ("leases", self.leases == earlier.leases),
            ("lease-clock", self.clock == earlier.clock),
        ]
        .into_iter()
        .filter_map(|(thread, stopped)| stopped.then_some(thread))
        .collect()
    }
}

/// Counts of the registrar, its lease thread and its renewals.
#[derive(Debug, Default)]
pub struct Gauges {
    pub(super) changes: Count,
    pub(super) renewals: Count,
    pub(super) unknown_renewals: Count,
    pub(super) expiries: Count,
    pub(super) revision: AtomicU64,
    /// Whether the store had never held anything when the server began; not known before it is loaded.
    pub(super) began_empty: AtomicBool,
    pub(super) pulses: Pulses,
    commits: Mutex<Commits>,
}

/// How the commits went.
#[derive(Debug, Default, Clone)]
pub(super) struct Commits {
    pub(super) made: u64,
    pub(super) failed: u64,
    pub(super) durations: [u64; COMMIT_BUCKETS.len() + 1],
    pub(super) seconds: f64,
    pub(super) unavailable: Option<String>,
}

impl Gauges {
    /// Counts a commit that took so many seconds.
    pub(super) fn committed(&self, seconds: f64) {
        let mut commits = self.commits.lock();
        commits.made += 1;
        commits.seconds += seconds;
        if let Some(count) = commits.durations.get_mut(bucket(seconds)) {
            *count += 1;
        }
    }

    /// Notes that commits work; says so once if they did not before.
    pub(super) fn available(&self) {
        if self.commits.lock().unavailable.take().is_some() {
            tracing::info!("the store works again, changes are taken");
        }
    }

    /// Notes that a commit failed; true if that is new, or has a new reason.
    pub(super) fn unavailable(&self, reason: &str) -> bool {
        let mut commits = self.commits.lock();
        commits.failed += 1;
        let new = commits.unavailable.as_deref() != Some(reason);
        commits.unavailable = Some(reason.to_owned());
        new
    }

    pub(super) fn commits(&self) -> Commits {
        self.commits.lock().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_does_not_move_is_named_unless_it_waits() {
        let pulses = Pulses::default();
        let before = pulses.get();
        assert_eq!(pulses.get().stopped_since(&before), ["registrar", "leases", "lease-clock"]);
        pulses.leases.add(1);
        pulses.waiting(|| {
            assert_eq!(pulses.get().stopped_since(&before), ["lease-clock"]);
        });
        pulses.clock.add(1);
        assert_eq!(pulses.get().stopped_since(&before), [""; 0], "it has waited since");
        let before = pulses.get();
        pulses
            .waiting(|| assert_eq!(pulses.get().stopped_since(&before), ["leases", "lease-clock"]));
    }
}
