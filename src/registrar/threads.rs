//! The registrar's three threads: the one writer, the lease thread, and the lease clock's.

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use parking_lot::{Condvar, Mutex};

use super::clock::TICK_MS;
use super::core::{Core, Job, Now};
use super::{Ack, Clock, Figures, Gauges, Pulse, Settings};
use crate::history::History;
use crate::registry::{InstanceId, ServiceName};
use crate::store::{Loaded, Store, StoreError};
use crate::view::{Cell, Place, View};

/// Commands that may wait: what 64 connections pipeline, many times over; beyond it a door says 503.
const QUEUE: usize = 65_536;
/// Commands that one commit takes at most: some milliseconds of work, so that the first waits no longer.
const BATCH: usize = 4_096;
/// Errands that may wait: whoever asks for one waits for it, and an administrator has one under way.
const ERRANDS: usize = 64;
/// How often the lease thread judges. With the wheel's slots of 10 ms a lapse is out after 30 ms at most.
const TICK: Duration = Duration::from_millis(20);
/// Shorter pauses are not worth a line in the log.
const PAUSE_TOLD_MS: u64 = 250;
/// How long owed removals wait for the next try when the store does not work.
const RETRY: Duration = Duration::from_secs(1);
/// How often the registrar looks around when nothing is asked of it.
const LOOK_AROUND: Duration = Duration::from_secs(10);
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
    pub(super) history: History,
    queue: Mutex<Queue>,
    wake: Condvar,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    expired: Vec<Arc<Cell>>,
    /// Called when all that was queued before them is published or refused.
    barriers: Vec<Barrier>,
    errands: Vec<Errand>,
    /// Whether leases have come to stand elsewhere, of which is to be told.
    has_stood: bool,
    closed: bool,
}

impl Queue {
    fn is_empty(&self) -> bool {
        let Self { jobs, expired, barriers, errands, has_stood, closed: _ } = self;
        let is_idle = jobs.is_empty() && expired.is_empty() && barriers.is_empty();
        is_idle && errands.is_empty() && !has_stood
    }
}

/// Called once, on the registrar's thread.
pub(super) type Barrier = Box<dyn FnOnce() + Send>;

/// Something else that the store is to do.
pub(super) type Errand = Box<dyn FnOnce(&mut Store) + Send>;

/// What the registrar takes from its queue.
struct Taken {
    jobs: Vec<Job>,
    expired: Vec<Arc<Cell>>,
    barriers: Vec<Barrier>,
    errands: Vec<Errand>,
}

impl Shared {
    pub(super) fn new(view: Arc<View>, history: History) -> Self {
        Self {
            view,
            history,
            clock: Arc::default(),
            gauges: Arc::default(),
            queue: Mutex::default(),
            wake: Condvar::new(),
        }
    }

    /// Queues a job; gives back whom to tell if there is no room or no thread any more.
    pub(super) fn push(&self, job: Job) -> Result<(), Ack> {
        let mut queue = self.queue.lock();
        if queue.closed || queue.jobs.len() >= QUEUE {
            return Err(job.ack);
        }
        queue.jobs.push_back(job);
        self.wake.notify_one();
        Ok(())
    }

    /// Queues a barrier; it is dropped if there is no thread any more.
    pub(super) fn push_barrier(&self, barrier: Barrier) {
        let mut queue = self.queue.lock();
        if !queue.closed {
            queue.barriers.push(barrier);
            self.wake.notify_one();
        }
    }

    /// Queues an errand; it is dropped if there is no thread any more, or too many wait.
    pub(super) fn push_errand(&self, errand: Errand) {
        let mut queue = self.queue.lock();
        if !queue.closed && queue.errands.len() < ERRANDS {
            queue.errands.push(errand);
            self.wake.notify_one();
        }
    }

    fn is_closed(&self) -> bool {
        self.queue.lock().closed
    }

    pub(super) fn pulse(&self) -> Pulse {
        self.gauges.pulses.get()
    }

    pub(super) fn figures(&self) -> Figures {
        let (tally, global_brake) = self.view.tally();
        let commits = self.gauges.commits();
        Figures {
            loaded: self.view.loaded(),
            instances: tally.instances,
            endless: tally.endless,
            services: tally.services,
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
    fn take(&self, until: Instant) -> Option<Taken> {
        let mut queue = self.queue.lock();
        while queue.is_empty() {
            if queue.closed {
                return None;
            }
            if self.wake.wait_until(&mut queue, until).timed_out() {
                break;
            }
        }
        let count = queue.jobs.len().min(BATCH);
        let jobs: Vec<_> = queue.jobs.drain(..count).collect();
        let expired = std::mem::take(&mut queue.expired);
        queue.has_stood = false;
        let all = queue.jobs.is_empty();
        let barriers = if all { std::mem::take(&mut queue.barriers) } else { Vec::new() };
        let errands = std::mem::take(&mut queue.errands);
        Some(Taken { jobs, expired, barriers, errands })
    }
}

/// The running threads; [`stop`](Running::stop) ends them in order.
pub struct Running {
    shared: Arc<Shared>,
    stop_judging: Arc<AtomicBool>,
    registrar: JoinHandle<()>,
    judges: [JoinHandle<()>; 2],
}

impl Running {
    /// Carries out what is queued, takes no more, and ends.
    pub fn stop(self) {
        self.shared.queue.lock().closed = true;
        self.shared.wake.notify_one();
        let _ = self.registrar.join();
        self.stop_judging.store(true, Ordering::Release);
        for judge in self.judges {
            let _ = judge.join();
        }
    }
}

pub(super) fn start(
    shared: &Arc<Shared>,
    store: Store,
    settings: Settings,
    loaded: impl FnOnce(Result<Option<Loaded>, StoreError>) + Send + 'static,
) -> io::Result<Running> {
    let stop_judging = Arc::new(AtomicBool::new(false));
    let clock = {
        let (shared, stop) = (shared.clone(), stop_judging.clone());
        let tick = move || tick(&shared, &stop);
        Builder::new().name("lease-clock".into()).spawn(move || or_abort("lease-clock", tick))?
    };
    let judge = {
        let (shared, stop) = (shared.clone(), stop_judging.clone());
        let judge = move || judge(&shared, &stop);
        Builder::new().name("leases".into()).spawn(move || or_abort("leases", judge))?
    };
    let registrar = {
        let shared = shared.clone();
        let run = move || run(&shared, store, settings, loaded);
        Builder::new().name("registrar".into()).spawn(move || or_abort("registrar", run))?
    };
    Ok(Running { shared: shared.clone(), stop_judging, registrar, judges: [clock, judge] })
}

/// Without one of these threads the server would look alive and be none: it ends, and is started anew. What it
/// acknowledged is durable.
fn or_abort(thread: &str, work: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(work)).is_err() {
        tracing::error!("the thread `{thread}` has failed by a defect of ours: the server ends");
        std::process::abort();
    }
}

fn run(
    shared: &Shared,
    store: Store,
    settings: Settings,
    loaded: impl FnOnce(Result<Option<Loaded>, StoreError>),
) {
    let mut core = Core::new(store, shared.view.clone(), shared.gauges.clone(), settings);
    let unix_ms = shared.now().unix_ms;
    let result = core.load(|| shared.clock.now(), unix_ms, || shared.is_closed());
    let is_loaded = matches!(result, Ok(Some(_)));
    shared.gauges.revision.store(core.revision(), Ordering::Relaxed);
    shared.gauges.began_empty.store(core.revision() == 0, Ordering::Relaxed);
    loaded(result);
    if !is_loaded {
        return;
    }
    let mut flush = Flush::new();
    loop {
        // Where the doors wait for this very core, they send the replies to the last batch first, and what its
        // clients ask next comes into this one: half as many commits. A free core is not given up.
        std::thread::yield_now();
        let wait = if core.owes() { RETRY } else { LOOK_AROUND };
        let retry_ms = u64::try_from(RETRY.as_millis()).unwrap_or(u64::MAX);
        let override_ends = core.next_override_end(shared.now().unix_ms, retry_ms);
        let wait = override_ends.map_or(wait, |ms| wait.min(Duration::from_millis(ms)));
        let until = flush.next.min(Instant::now() + wait);
        let taken = shared.gauges.pulses.waiting(|| shared.take(until));
        let Some(taken) = taken else { return core.close() };
        core.step(taken.jobs, &taken.expired, || shared.now());
        for errand in taken.errands {
            core.run_errand(errand);
        }
        shared.gauges.revision.store(core.revision(), Ordering::Relaxed);
        for barrier in taken.barriers {
            barrier();
        }
        core.reserve();
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

/// Ticks the lease clock, and does nothing else: what takes time elsewhere is no pause of the process.
fn tick(shared: &Shared, stop: &AtomicBool) {
    let clock = &shared.clock;
    let mut known = 0;
    while !stop.load(Ordering::Acquire) {
        clock.tick();
        shared.gauges.pulses.clock.add(1);
        let paused = clock.paused_ms();
        let paused_ms = paused - known;
        if paused_ms >= PAUSE_TOLD_MS {
            tracing::warn!(paused_ms, "the process could not run: every lease got that time back");
        }
        known = paused;
        std::thread::sleep(Duration::from_millis(TICK_MS));
    }
}

/// The lease thread: the one judge of lapses.
fn judge(shared: &Shared, stop: &AtomicBool) {
    let mut braked = (0, false);
    while !stop.load(Ordering::Acquire) {
        // Until all is loaded nothing is judged: leases begin when their service is published.
        if shared.view.loaded() {
            let expired = shared.view.tick(shared.clock.last_tick());
            if !expired.is_empty() {
                tracing::info!(expired = expired.len(), "leases are over");
                shared.queue.lock().expired.extend(expired);
                shared.wake.notify_one();
            }
            if shared.view.has_stood() {
                shared.queue.lock().has_stood = true;
                shared.wake.notify_one();
            }
            braked = tell_of_brake(&shared.view, braked);
        }
        shared.gauges.pulses.leases.add(1);
        std::thread::sleep(TICK);
    }
}

/// Logs what the brake holds, when that changes.
fn tell_of_brake(view: &View, before: (usize, bool)) -> (usize, bool) {
    let (tally, global) = view.tally();
    let now = (tally.services_braked, global);
    if now != before {
        let held: usize = tally.instances.iter().map(|by_standing| by_standing[2]).sum();
        let services = tally.services_braked;
        if held > 0 {
            tracing::warn!(
                held,
                services,
                global,
                "the brake holds instances whose leases lapsed together"
            );
        } else {
            tracing::info!("the brake holds nothing any more");
        }
    }
    now
}
