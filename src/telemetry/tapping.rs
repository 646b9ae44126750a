//! The thread that reads what is tapped of queries, and hands it to the query log and to dnstap.
//!
//! Queries never wait for it. It looks often enough that the buffers of busy responders hold out, and as seldom as it may
//! where little is asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, SystemTime};

use super::dnstap::Dnstap;
use super::query_log::QueryLog;
use crate::answer::tap::Taps;
use crate::registrar::Clock;

/// The time between two looks: a buffer of 1 MiB has room for what a core answers meanwhile, 100,000 queries a second.
const PAUSE: Duration = Duration::from_millis(20);

/// What is counted for metrics.
#[derive(Debug, Default)]
pub struct Counts {
    /// Lines of the query log.
    pub logged: AtomicU64,
    /// Times that it could not be written.
    pub log_failures: AtomicU64,
    /// Messages sent over dnstap.
    pub sent: AtomicU64,
    /// Messages that nobody took.
    pub unsent: AtomicU64,
    /// Queries that found no room in their buffer.
    pub lost: AtomicU64,
}

/// The running thread.
#[derive(Debug)]
pub struct Tapping {
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
}

/// What others reach of it.
#[derive(Debug, Default)]
struct Shared {
    counts: Counts,
    stop: AtomicBool,
    reopen: AtomicBool,
}

/// What others may ask of it; clones are the same. By default there is none.
#[derive(Debug, Clone, Default)]
pub struct Handle(Option<Arc<Shared>>);

impl Handle {
    /// Opens the query log again: the one before was moved away.
    pub fn reopen(&self) {
        if let Some(shared) = &self.0 {
            shared.reopen.store(true, Ordering::Relaxed);
        }
    }

    /// Counters for metrics: name, what it counts, value.
    pub fn figures(&self) -> Vec<(&'static str, &'static str, u64)> {
        let Some(shared) = &self.0 else { return Vec::new() };
        let Counts { logged, log_failures, sent, unsent, lost } = &shared.counts;
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        vec![
            ("query_log_lines", "Lines of the query log written.", get(logged)),
            (
                "query_log_failures",
                "Times that the query log could not be written.",
                get(log_failures),
            ),
            ("dnstap_sent", "Messages sent over dnstap.", get(sent)),
            ("dnstap_unsent", "Messages for dnstap that nobody took.", get(unsent)),
            ("tap_lost", "Tapped queries that found no room.", get(lost)),
        ]
    }
}

/// Where what is tapped goes.
#[derive(Debug, Default)]
pub struct Outlets {
    /// To a file.
    pub log: Option<QueryLog>,
    /// To a socket.
    pub dnstap: Option<Dnstap>,
}

impl Outlets {
    /// One query in so many has to be tapped for both, and whether whole.
    fn needs(&self) -> (u32, bool) {
        let log = self.log.as_ref().map(QueryLog::one_in);
        let dnstap = self.dnstap.as_ref().map(Dnstap::one_in);
        let finest = log.into_iter().chain(dnstap).min().unwrap_or(0);
        (finest, self.dnstap.is_some())
    }
}

/// Begins to tap, if there is anywhere to go.
///
/// # Errors
/// No thread can be started.
pub fn start(
    taps: &Arc<Taps>,
    clock: Arc<Clock>,
    mut outlets: Outlets,
) -> std::io::Result<(Handle, Option<Tapping>)> {
    let (one_in, whole) = outlets.needs();
    if one_in == 0 {
        return Ok((Handle::default(), None));
    }
    taps.set(one_in, whole);
    let shared = Arc::<Shared>::default();
    let (told, taps) = (shared.clone(), taps.clone());
    let work = move || {
        let mut room = Vec::new();
        while !told.stop.load(Ordering::Acquire) {
            std::thread::sleep(PAUSE);
            look(&told, &taps, &clock, &mut outlets, &mut room);
        }
        taps.set(0, false);
        look(&told, &taps, &clock, &mut outlets, &mut room);
        if let Some(dnstap) = &mut outlets.dnstap {
            dnstap.end();
        }
    };
    let thread = Builder::new().name("tap".into()).spawn(work)?;
    Ok((Handle(Some(shared.clone())), Some(Tapping { shared, thread })))
}

fn look(shared: &Shared, taps: &Taps, clock: &Clock, outlets: &mut Outlets, room: &mut Vec<u8>) {
    let Outlets { log, dnstap } = outlets;
    let (now, unix) = (clock.now(), SystemTime::now());
    let lost = taps.take(room, |tapped| {
        let at = unix.checked_sub(Duration::from_millis(now.since(tapped.at))).unwrap_or(unix);
        if let Some(log) = log {
            log.tell(&tapped, at);
        }
        if let Some(dnstap) = dnstap {
            dnstap.tell(&tapped, at);
        }
    });
    shared.counts.lost.fetch_add(lost, Ordering::Relaxed);
    if let Some(log) = log {
        let anew = shared.reopen.swap(false, Ordering::Relaxed);
        log.write(&shared.counts, anew);
    }
    if let Some(dnstap) = dnstap {
        dnstap.send(&shared.counts);
    }
}

impl Tapping {
    /// Hands on what is left, and ends.
    pub fn end(self) {
        self.shared.stop.store(true, Ordering::Release);
        let _ = self.thread.join();
    }
}

/// Takes one in so many of what comes: an outlet may want fewer than another.
#[derive(Debug)]
pub(super) struct Sampling {
    one_in: u32,
    seen: u64,
    taken: u64,
}

impl Sampling {
    pub(super) fn new(one_in: u32) -> Self {
        Self { one_in, seen: 0, taken: 0 }
    }

    pub(super) fn one_in(&self) -> u32 {
        self.one_in
    }

    /// Whether this one is taken, of queries of which one in `tapped_one_in` comes here.
    pub(super) fn takes(&mut self, tapped_one_in: u32) -> bool {
        self.seen += u64::from(tapped_one_in);
        let due = self.seen.div_ceil(u64::from(self.one_in));
        let takes = due > self.taken;
        self.taken = due;
        takes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outlet_takes_its_share_of_what_is_tapped() {
        for (one_in, tapped_one_in, share) in
            [(1, 1, 1000), (10, 1, 100), (10, 10, 1000), (30, 20, 667)]
        {
            let mut sampling = Sampling::new(one_in);
            let taken = (0..1000).filter(|_| sampling.takes(tapped_one_in)).count();
            assert_eq!(taken, share, "{one_in} of {tapped_one_in}");
        }
    }
}
