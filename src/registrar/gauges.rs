//! What the registrar counts of itself.

use std::sync::atomic::{AtomicU64, Ordering};

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

/// Counts of the registrar, its lease thread and its renewals.
#[derive(Debug, Default)]
pub struct Gauges {
    pub(super) changes: Count,
    pub(super) renewals: Count,
    pub(super) unknown_renewals: Count,
    pub(super) expiries: Count,
    pub(super) revision: AtomicU64,
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
