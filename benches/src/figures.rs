//! What a load counts, and how it says so: one line of `key=value`.
//!
//! Latencies go into a histogram whose buckets are 1/64 of their value wide, so that nothing is kept a query.

use std::fmt::Write as _;
use std::time::Instant;

/// Buckets of one power of two.
const STEPS: usize = 64;

/// How long things took, in nanoseconds.
pub struct Latencies {
    buckets: Vec<u64>,
    count: u64,
}

impl Latencies {
    /// None yet.
    pub fn new() -> Self {
        Self { buckets: vec![0; STEPS * STEPS], count: 0 }
    }

    /// One took so long.
    pub fn add(&mut self, nanos: u64) {
        self.buckets[bucket(nanos)] += 1;
        self.count += 1;
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The time in microseconds within which a share of `share` was done.
    pub fn percentile(&self, share: f64) -> f64 {
        let mut before = 0;
        for (at, count) in self.buckets.iter().enumerate() {
            before += count;
            if before as f64 > self.count as f64 * share {
                return middle(at) / 1000.0;
            }
        }
        0.0
    }
}

fn bucket(nanos: u64) -> usize {
    let power = nanos.max(1).ilog2().saturating_sub(6);
    let step = usize::try_from(nanos >> power).unwrap_or(usize::MAX);
    power as usize * STEPS + step
}

fn middle(bucket: usize) -> f64 {
    let power = (bucket / STEPS).saturating_sub(1);
    let (step, width) = (bucket - power * STEPS, (1_u64 << power) as f64);
    step as f64 * width + width / 2.0
}

/// A line of figures that is being written.
#[derive(Default)]
pub struct Line(String);

impl Line {
    /// Adds a number as it is.
    pub fn count(mut self, key: &str, value: u64) -> Self {
        let _ = write!(self.0, "{key}={value} ");
        self
    }

    /// Adds a number with two digits after the point.
    pub fn value(mut self, key: &str, value: f64) -> Self {
        let _ = write!(self.0, "{key}={value:.2} ");
        self
    }

    /// Adds `total` in proportion to `count`.
    pub fn average(self, key: &str, total: u64, count: u64) -> Self {
        self.value(key, total as f64 / count.max(1) as f64)
    }

    /// Adds the times that half, 99 and 99.9 in 100 took at most.
    pub fn latencies(self, latencies: &Latencies) -> Self {
        self.value("p50_us", latencies.percentile(0.5))
            .value("p99_us", latencies.percentile(0.99))
            .value("p999_us", latencies.percentile(0.999))
    }

    /// Writes the line to standard output.
    pub fn print(self) {
        println!("{}", self.0.trim_end());
    }
}

/// The time since the load began, in nanoseconds.
#[derive(Clone, Copy)]
pub struct Clock(Instant);

impl Clock {
    /// It begins now.
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Nanoseconds since then, at least 1.
    pub fn now(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX).max(1)
    }
}

/// An even rate: when which is due.
pub struct Pace {
    gap: f64,
    begun: u64,
}

impl Pace {
    /// So many a second.
    pub fn new(rate: f64) -> Self {
        Self { gap: 1e9 / rate, begun: 0 }
    }

    /// When the next is due, in nanoseconds since the start, if that is not after `now`. It is taken as begun.
    pub fn take(&mut self, now: u64) -> Option<u64> {
        let due = nanos(self.begun as f64 * self.gap);
        if due > now {
            return None;
        }
        self.begun += 1;
        Some(due.max(1))
    }
}

/// Seconds as nanoseconds.
pub fn seconds(secs: f64) -> u64 {
    nanos(secs * 1e9)
}

#[allow(clippy::cast_possible_truncation, reason = "a run is no longer than 500 years")]
fn nanos(nanos: f64) -> u64 {
    nanos as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_within_a_64th_of_the_time() {
        for nanos in [1, 63, 64, 65, 127, 128, 1_000, 123_456, 30_000_000_000] {
            let mut latencies = Latencies::new();
            latencies.add(nanos);
            let read = latencies.percentile(0.5) * 1000.0;
            assert!((read - nanos as f64).abs() <= nanos as f64 / 64.0 + 1.0, "{nanos}: {read}");
        }
    }

    #[test]
    fn an_even_rate_is_even() {
        let mut pace = Pace::new(1000.0);
        assert_eq!(pace.take(1), Some(1));
        assert_eq!(pace.take(999_999), None);
        assert_eq!(pace.take(2_000_000), Some(1_000_000));
        assert_eq!(pace.take(2_000_000), Some(2_000_000));
        assert_eq!(pace.take(2_000_000), None);
    }
}
