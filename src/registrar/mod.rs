//! The registrar: the one way in which the registry changes, and the one judge of leases.
//!
//! Doors hold a [`Registrar`]: they submit commands, which are acknowledged once they are durable and in the
//! view, and they renew leases, which touches neither.

mod clock;
mod core;
mod gauges;
mod load;
mod owed;
mod renewals;
#[cfg(test)]
mod scenario_test;
mod telling;
mod threads;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::oneshot;

use crate::access::Authorised;
use crate::audit::Audit;
use crate::history::History;
use crate::registry::{Actor, Command, Outcome, Refusal, ServiceName};
use crate::store::{Loaded, Store, StoreError};
use crate::view::{LeaseTime, View};
pub use crate::view::{Listed, MAX_FEED, Renewed, Seen, Standing, Summary, Taken};
pub use clock::Clock;
use core::Job;
use gauges::Gauges;
pub use gauges::Pulse;
pub use renewals::Renewals;
pub use threads::Running;
use threads::Shared;

/// Told, once, what became of a command: after it is durable and in the view, or refused. It runs on the
/// registrar's thread and must not block.
pub type Ack = Box<dyn FnOnce(Result<Committed, Refusal>) + Send>;

/// A command that was carried out, is durable, and is in the view.
#[derive(Debug, Clone)]
pub struct Committed {
    /// What it did.
    pub outcome: Outcome,
    /// How long the lease of the named instance runs now, in milliseconds; `None`: without end, or gone.
    pub expires_in_ms: Option<u64>,
    /// The registry's revision after it.
    pub revision: u64,
}

/// Figures for metrics.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    /// Whether the registry is loaded whole.
    pub loaded: bool,
    /// Listed instances: `[state][standing]`, up, draining, down by live, suspect, held.
    pub instances: [[usize; 3]; 3],
    /// Listed instances whose lease has no end.
    pub endless: usize,
    /// Listed services.
    pub services: usize,
    /// Listed instances that answer.
    pub answering: usize,
    /// Services that the brake holds instances of.
    pub services_braked: usize,
    /// Whether the brake holds over all services.
    pub global_brake: bool,
    /// Commands in the queue.
    pub queue: usize,
    /// The registry's revision.
    pub revision: u64,
    /// Changes that became durable.
    pub changes: u64,
    /// Renewals of something listed, with or without an end of its lease; a registration again is none.
    pub renewals: u64,
    /// Renewals of something not listed.
    pub unknown_renewals: u64,
    /// Instances whose lease ended for good.
    pub expiries: u64,
    /// Leases that lapsed and were renewed before they ended.
    pub revivals: u64,
    /// Commits that were made; those that failed are not among them.
    pub commits: u64,
    /// Commits that failed.
    pub failed_commits: u64,
    /// Commits by duration: how many took at most `COMMIT_BUCKETS[i]` seconds, the last bucket without bound.
    pub commit_durations: [u64; COMMIT_BUCKETS.len() + 1],
    /// Seconds that all commits took together.
    pub commit_seconds: f64,
    /// Why changes are refused now, if so.
    pub unavailable: Option<String>,
    /// Milliseconds of pauses that were added to every deadline.
    pub paused_ms: u64,
}

/// What the registrar is told once.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// How long the name of a service that is gone is kept for its owner, in milliseconds.
    pub reserved_ms: u64,
    /// Told of every change.
    pub audit: Audit,
    /// Told of every change, and of where leases come to stand.
    pub history: History,
}

/// Upper bounds of the commit durations, in seconds.
pub const COMMIT_BUCKETS: [f64; 10] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5];

/// The registrar as doors hold it; clones are the same one.
#[derive(Clone)]
pub struct Registrar(Arc<Shared>);

impl Registrar {
    /// Starts the registrar on a store: its thread loads the registry, then `loaded` is called there with what
    /// came of it (`None`: it was stopped before the end); the lease thread begins after that.
    pub fn start(
        store: Store,
        view: Arc<View>,
        settings: Settings,
        loaded: impl FnOnce(Result<Option<Loaded>, StoreError>) + Send + 'static,
    ) -> std::io::Result<(Self, Running)> {
        let shared = Arc::new(Shared::new(view, settings.history.clone()));
        let running = threads::start(&shared, store, settings, loaded)?;
        Ok((Self(shared), running))
    }

    /// Queues a command of somebody who may. `ack` is called from here, with [`Refusal::Unavailable`], if the queue is full.
    pub fn submit(&self, command: Command, by: Authorised, ack: Ack) {
        if let Err(ack) = self.0.push(Job { command, by, ack }) {
            let reason =
                "the queue of changes is full, or the server is stopping; ask again in a second";
            ack(Err(Refusal::Unavailable(reason.to_owned())));
        }
    }

    /// Queues a command and waits for what becomes of it.
    pub async fn change(&self, command: Command, by: Authorised) -> Result<Committed, Refusal> {
        let (sender, receiver) = oneshot::channel();
        let ack = move |result| {
            let _ = sender.send(result); // nobody waits any more: the change stands all the same
        };
        self.submit(command, by, Box::new(ack));
        let stopping = || Refusal::Unavailable("the server is stopping".to_owned());
        receiver.await.unwrap_or_else(|_| Err(stopping()))
    }

    /// Calls `then`, on the registrar's thread, when all that was submitted before is published or refused.
    pub fn after_queued(&self, then: impl FnOnce() + Send + 'static) {
        self.0.push_barrier(Box::new(then));
    }

    /// Has the store do something on the registrar's thread, between two batches, and waits for what comes of it.
    /// `None`: the server is stopping.
    pub async fn with_store<T: Send + 'static>(
        &self,
        errand: impl FnOnce(&mut Store) -> T + Send + 'static,
    ) -> Option<T> {
        let (sender, receiver) = oneshot::channel();
        self.0.push_errand(Box::new(move |store| {
            let _ = sender.send(errand(store)); // nobody waits any more: what was done stands
        }));
        receiver.await.ok()
    }

    /// Renews a lease for its term from now.
    pub fn renew(&self, service: &str, id: &str, actor: &Actor) -> Renewed {
        self.renewals().renew(service, id, actor)
    }

    /// A batch of renewals from now: the clock is read once for all of them. To be dropped before anything is
    /// waited for.
    pub fn renewals(&self) -> Renewals<'_> {
        Renewals::new(self.0.view.renewals(self.now()), &self.0.gauges)
    }

    /// The moment now on the lease clock.
    pub fn now(&self) -> LeaseTime {
        self.0.clock.now()
    }

    /// The lease clock, for those who answer queries.
    pub fn clock(&self) -> Arc<Clock> {
        self.0.clock.clone()
    }

    /// Services in the order of their names, at most `limit`, from the first name after `after`.
    pub fn services(&self, after: Option<&str>, limit: usize) -> Vec<Summary> {
        self.0.view.services(after, limit)
    }

    /// Instances of a service in the order of their ids, at most `limit`, from the first id after `after`;
    /// `None` if the service is not listed.
    pub fn instances(
        &self,
        service: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Option<Vec<Listed>> {
        self.0.view.instances(service, after, limit, self.now())
    }

    /// One listed instance.
    pub fn instance(&self, service: &str, id: &str) -> Option<Listed> {
        self.0.view.instance(service, id, self.now())
    }

    /// What happened to instances: complete once the registry is loaded.
    pub fn history(&self) -> &History {
        &self.0.history
    }

    /// Whether there was nothing in the store when the server began, and never had been.
    pub fn began_empty(&self) -> bool {
        self.0.gauges.began_empty.load(Ordering::Relaxed)
    }

    /// Keeps changes of who is seen from now on, for the one who keeps a copy.
    pub fn begin_feed(&self) {
        self.0.view.begin_feed();
    }

    /// Takes changes of who is seen, see [`View::take_feed`].
    pub fn take_feed(&self, limit: usize) -> Option<Taken> {
        self.0.view.take_feed(limit, self.now())
    }

    /// The instances of a service whose leases run or are held, in the order of their ids.
    pub fn seen(&self, service: &ServiceName) -> Vec<Listed> {
        self.0.view.seen(service, self.now())
    }

    /// Whether the registry is loaded whole; it stays so. Takes no lock.
    pub fn is_loaded(&self) -> bool {
        self.0.view.loaded()
    }

    /// Why changes are refused now, if so. Waits neither for the roster nor for the queue.
    pub fn unavailable(&self) -> Option<String> {
        self.0.gauges.commits().unavailable
    }

    /// How far the threads have come, to see later whether they still move.
    pub fn pulse(&self) -> Pulse {
        self.0.pulse()
    }

    /// How many instances and services are listed; it grows while the registry is being loaded.
    pub fn listed(&self) -> (usize, usize) {
        let (tally, _) = self.0.view.tally();
        (tally.instances.as_flattened().iter().sum(), tally.services)
    }

    /// Figures for metrics.
    pub fn figures(&self) -> Figures {
        self.0.figures()
    }
}
