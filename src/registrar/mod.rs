//! The registrar: the one way in which the registry changes, and the one judge of leases.
//!
//! Doors hold a [`Registrar`]: they submit commands, which are acknowledged once they are durable and in the
//! view, and they renew leases, which touches neither.

use std::sync::Arc;

use crate::registry::{Command, Instance, LeaseTerm, Outcome, Refusal};

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

/// What became of a renewal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewed {
    /// The lease runs its term again.
    Renewed(LeaseTerm),
    /// Not listed: register again.
    Unknown,
    /// The registry is still being loaded, and it is not known yet: ask again soon.
    Loading,
}

/// An instance as it is listed, with where it stands.
#[derive(Debug, Clone)]
pub struct Listed {
    /// The instance.
    pub instance: Arc<Instance>,
    /// Milliseconds to the deadline of its lease, 0 if that has passed; `None`: without end.
    pub expires_in_ms: Option<u64>,
    /// Where its lease stands.
    pub standing: Standing,
}

/// Where a listed instance's lease stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It runs.
    Live,
    /// It has lapsed; a renewal within a third of its term revives it.
    Suspect,
    /// It has lapsed, and the brake keeps it in the answers.
    Held,
}

/// A service, summed up.
#[derive(Debug, Clone)]
pub struct Summary {
    /// The service.
    pub service: crate::registry::ServiceName,
    /// How many instances are listed.
    pub instances: usize,
    /// How many of them are answering.
    pub answering: usize,
}

/// Figures for metrics and readiness.
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
    /// Renewals that moved a deadline.
    pub renewals: u64,
    /// Renewals of something not listed.
    pub unknown_renewals: u64,
    /// Instances whose lease ended for good.
    pub expiries: u64,
    /// Leases that lapsed and were renewed before they ended.
    pub revivals: u64,
    /// Commits that were made, and that failed.
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

/// Upper bounds of the commit durations, in seconds.
pub const COMMIT_BUCKETS: [f64; 10] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5];

/// The registrar as doors hold it; clones are the same one.
#[derive(Clone)]
pub struct Registrar {}

impl Registrar {
    /// Queues a command. `ack` is called from here, with [`Refusal::Unavailable`], if the queue is full.
    pub fn submit(&self, command: Command, ack: Ack) {
        let _ = (command, ack);
        todo!()
    }

    /// Queues a command and waits for what becomes of it.
    pub async fn change(&self, command: Command) -> Result<Committed, Refusal> {
        let _ = command;
        todo!()
    }

    /// Renews a lease for its term from now.
    pub fn renew(&self, service: &str, id: &str) -> Renewed {
        let _ = (service, id);
        todo!()
    }

    /// Services in the order of their names, at most `limit`, from the first name after `after`.
    pub fn services(&self, after: Option<&str>, limit: usize) -> Vec<Summary> {
        let _ = (after, limit);
        todo!()
    }

    /// Instances of a service in the order of their ids, at most `limit`, from the first id after `after`;
    /// `None` if the service is not listed.
    pub fn instances(
        &self,
        service: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Option<Vec<Listed>> {
        let _ = (service, after, limit);
        todo!()
    }

    /// One listed instance.
    pub fn instance(&self, service: &str, id: &str) -> Option<Listed> {
        let _ = (service, id);
        todo!()
    }

    /// Figures for metrics and readiness.
    pub fn figures(&self) -> Figures {
        todo!()
    }
}

impl Listed {
    /// Whether it is in the answers, and why or why not, in a sentence for people.
    pub fn answering(&self) -> (bool, String) {
        todo!()
    }
}
