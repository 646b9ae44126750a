//! The registrar's two threads: the one writer, and the lease thread.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use parking_lot::{Condvar, Mutex};

use super::core::{Core, Job, Now};
use super::{Clock, Figures, Gauges};
use crate::registry::{InstanceId, ServiceName};
use crate::store::{Loaded, Store, StoreError};
use crate::view::{Cell, Place, View};

/// Commands that may wait: what 64 connections pipeline, many times over; beyond it a door says 503.
const QUEUE: usize = 65_536;
/// Commands that one commit takes at most: some milliseconds of work, so that the first waits no longer.
const BATCH: usize = 4_096;
/// How often the lease thread judges. With the wheel's slots of 10 ms a lapse is out after 30 ms at most.
const TICK: Duration = Duration::from_millis(20);
/// How long owed removals wait for the next try when the store does not work.
const RETRY: Duration = Duration::from_secs(1);
/// How often what is left of long leases is flushed.
const FLUSH_EVERY: Duration = Duration::from_secs(120);
/// Leases with longer terms than this have what is left of them flushed.
const LONG_LEASE_MS: u64 = 5 * 60 * 1000;
/// Instances that are looked at in one go of a flush, between two batches of commands.
const FLUSH_SLICE: usize = 2_000;

/// What doors and threads share.
pub struct Shared {
    pub(super) view: Arc<View>,
    pub(super) clock: Arc<Clock>,
    pub(super) gauges: Arc<Gauges>,
    queue: Mutex<Queue>,
    wake: Condvar,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    expired: Vec<Arc<Cell>>,
    closed: bool,
}

impl Shared {
    pub(super) fn new(view: Arc<View>) -> Self {
        Self {
            view,
            clock: Arc::default(),
            gauges: Arc::default(),
            queue: Mutex::default(),
            wake: Condvar::new(),
        }
    }

    /// Queues a job; gives it back if there is no room or no thread any more.
    pub(super) fn push(&self, job: Job) -> Result<(), Job> {
        let mut queue = self.queue.lock();
        if queue.closed || queue.jobs.len() >= QUEUE {
            return Err(job);
        }
        queue.jobs.push_back(job);
        self.wake.notify_one();
        Ok(())
    }

    pub(super) fn figures(&self) -> Figures {
        let (tally, services, global_brake) = self.view.tally();
        let commits = self.gauges.commits();
        Figures {
            loaded: self.view.loaded(),
            instances: tally.instances,
            endless: tally.endless,
            services,
            answering: tally.answering,
            services_braked: tally.services_braked,
            global_brake,
            queue: self.queue.lock().jobs.len(),
            revision: self.gauges.revision.load(Ordering::Relaxed),
            changes: self.gauges.changes.get(),
            renewals: self.gauges.renewals.get(),
            unknown_renewals: self.gauges.unknown_renewals.get(),
            expiries: self.gauges.expiries.get(),
            revivals: tally.revivals,
            commits: commits.made,
            failed_commits: commits.failed,
            commit_durations: commits.durations,
            commit_seconds: commits.seconds,
            unavailable: commits.unavailable,
            paused_ms: self.clock.paused_ms(),
        }
    }

    fn now(&self) -> Now {
        let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Now {
            lease: self.clock.now(),
            unix_ms: u64::try_from(unix.as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// Waits for work, or until `until`; `None` when there will be no more.
    fn take(&self, until: Option<Instant>) -> Option<(Vec<Job>, Vec<Arc<Cell>>)> {
        let mut queue = self.queue.lock();
        while queue.jobs.is_empty() && queue.expired.is_empty() {
            if queue.closed {
                return None;
            }
            match until {
                None => self.wake.wait(&mut queue),
                Some(until) if self.wake.wait_until(&mut queue, until).timed_out() => break,
                Some(_) => {}
            }
        }
        let count = queue.jobs.len().min(BATCH);
        Some((queue.jobs.drain(..count).collect(), std::mem::take(&mut queue.expired)))
    }
}

/// The running threads; [`stop`](Running::stop) ends them in order.
pub struct Running {
    shared: Arc<Shared>,
    stop_judging: Arc<AtomicBool>,
    registrar: JoinHandle<()>,
    judge: JoinHandle<()>,
}

impl Running {
    /// Carries out what is queued, takes no more, and ends.
    pub fn stop(self) {
        self.shared.queue.lock().closed = true;
        self.shared.wake.notify_one();
        let _ = self.registrar.join();
        self.stop_judging.store(true, Ordering::Release);
        let _ = self.judge.join();
    }
}

pub(super) fn start(
    shared: &Arc<Shared>,
    store: Store,
    loaded: impl FnOnce(Result<Loaded, StoreError>) + Send + 'static,
) -> io::Result<Running> {
    let stop_judging = Arc::new(AtomicBool::new(false));
    let judge = {
        let (shared, stop) = (shared.clone(), stop_judging.clone());
        Builder::new().name("leases".into()).spawn(move || judge(&shared, &stop))?
    };
    let registrar = {
        let shared = shared.clone();
        Builder::new().name("registrar".into()).spawn(move || run(&shared, store, loaded))?
    };
    Ok(Running { shared: shared.clone(), stop_judging, registrar, judge })
}

fn run(shared: &Shared, store: Store, loaded: impl FnOnce(Result<Loaded, StoreError>)) {
    let mut core = Core::new(store, shared.view.clone(), shared.gauges.clone());
    let result = core.load(|| shared.clock.now());
    let failed = result.is_err();
    loaded(result);
    if failed {
        return;
    }
    let mut flush = Flush::new();
    loop {
        let retry = core.owes().then(|| Instant::now() + RETRY);
        let until = retry.map_or(flush.next, |retry| retry.min(flush.next));
        let Some((jobs, expired)) = shared.take(Some(until)) else { return };
        core.step(jobs, &expired, shared.now());
        shared.gauges.revision.store(core.revision(), Ordering::Relaxed);
        if Instant::now() >= flush.next {
            core.flush(&flush.slice(shared));
        }
    }
}

/// Where the flush of long leases is: a slice at a time, so that commands do not wait for a whole one.
struct Flush {
    next: Instant,
    after: Option<Place>,
}

impl Flush {
    fn new() -> Self {
        Self { next: Instant::now() + FLUSH_EVERY, after: None }
    }

    fn slice(&mut self, shared: &Shared) -> Vec<(ServiceName, InstanceId, u64)> {
        let now = shared.clock.now();
        let after = self.after.as_ref();
        let remaining = shared.view.remaining(after, LONG_LEASE_MS, FLUSH_SLICE, now);
        self.after = remaining.last;
        if self.after.is_none() {
            self.next = Instant::now() + FLUSH_EVERY;
        }
        remaining.leases
    }
}

/// The lease thread: the one judge of lapses.
fn judge(shared: &Shared, stop: &AtomicBool) {
    let paused = AtomicU64::new(0);
    while !stop.load(Ordering::Acquire) {
        let now = shared.clock.tick();
        let pauses = shared.clock.paused_ms();
        let new = pauses - paused.swap(pauses, Ordering::Relaxed);
        if new > 0 {
            tracing::warn!(
                paused_ms = new,
                "the process could not run: every lease got that time back"
            );
        }
        // Until all is loaded nothing is judged: leases begin when their service is published.
        if shared.view.loaded() {
            let expired = shared.view.tick(now);
            if !expired.is_empty() {
                tracing::info!(expired = expired.len(), "leases are over");
                shared.queue.lock().expired.extend(expired);
                shared.wake.notify_one();
            }
        }
        std::thread::sleep(TICK);
    }
}
