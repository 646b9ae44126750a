//! One step of the registrar: a batch of commands from decision to acknowledgement.
//!
//! Decide and apply, keeping (before, after); make it durable; publish; acknowledge. If it cannot be made
//! durable it is undone in reverse, and what changes nothing is carried out all the same. No thread, no clock:
//! the times are passed in, so that scenarios run on a made-up clock.

use std::sync::Arc;
use std::time::Instant;

use super::owed::Owed;
use super::{Ack, COMMIT_BUCKETS, Committed, Gauges, Settings, load};
use crate::access::Authorised;
use crate::audit::Audit;
use crate::history::{Event, History};
use crate::registry::{
    Change, Command, Instance, InstanceId, Outcome, Refusal, Registry, ServiceName,
};
use crate::store::{Batch, Loaded, Store, StoreError};
use crate::view::zones::Conflict;
use crate::view::{Cell, LeaseStart, LeaseTime, View, field_of, names_of};

/// Serials that are reserved ahead: much moves the serial without a commit, and none that was shown may come again.
const SERIALS_AHEAD: u32 = 65_536;
/// Overrides whose time is up that one commit ends at most, for the same reason.
const ENDED_OVERRIDES: usize = 4_096;
/// Revisions that are reserved ahead: leases that lapse are told without a commit, and no revision may come again.
const REVISIONS_AHEAD: u64 = 65_536;

/// The two times that a step is given.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// On the lease clock.
    pub lease: LeaseTime,
    /// The time of day, in milliseconds since 1970 UTC.
    pub unix_ms: u64,
}

/// A command with who asks it and whom to tell.
pub struct Job {
    /// What is asked.
    pub command: Command,
    /// By whom, who may.
    pub by: Authorised,
    /// Told what became of it.
    pub ack: Ack,
}

/// What the registrar's thread owns.
pub struct Core {
    pub(super) registry: Registry,
    pub(super) store: Store,
    pub(super) view: Arc<View>,
    gauges: Arc<Gauges>,
    audit: Audit,
    pub(super) history: History,
    /// What is not durable yet and nobody waits for.
    pub(super) owed: Owed,
    /// The serial that the store would go on from.
    reserved_serial: u32,
    /// The revision that the store would go on from.
    reserved_revision: u64,
    /// How far ahead revisions are reserved.
    ahead: u64,
    /// The time of day at which the last step began, in milliseconds since 1970 UTC.
    stepped_unix_ms: u64,
}

/// A command that was decided.
pub(super) struct Decided {
    ack: Ack,
    pub(super) by: Authorised,
    verb: &'static str,
    pub(super) result: Result<Outcome, Refusal>,
    pub(super) kind: Kind,
}

/// What a command does to the lease of the instance that it names.
#[derive(Clone)]
pub(super) enum Kind {
    /// Begins its term anew.
    Register(ServiceName, InstanceId),
    /// Leaves it.
    Other,
}

impl Core {
    /// A registrar over a store that is not loaded yet.
    pub fn new(store: Store, view: Arc<View>, gauges: Arc<Gauges>, settings: Settings) -> Self {
        let mut registry = Registry::default();
        registry.reserve_names_for(settings.reserved_ms);
        Self {
            registry,
            store,
            view,
            gauges,
            audit: settings.audit,
            history: settings.history,
            owed: Owed::default(),
            reserved_serial: 0,
            reserved_revision: 0,
            ahead: REVISIONS_AHEAD,
            stepped_unix_ms: 0,
        }
    }

    /// Loads everything that is stored, and says so to readers. `None` if `stop` said to leave off.
    pub fn load(
        &mut self,
        now: impl Fn() -> LeaseTime + Send,
        unix_ms: u64,
        stop: impl Fn() -> bool,
    ) -> Result<Option<Loaded>, StoreError> {
        let Self { registry, store, view, .. } = self;
        let loaded = load::load(store, registry, view, now, stop)?;
        let Some(mut loaded) = loaded else { return Ok(None) };
        loaded.skipped.extend(load::load_claims(store, registry, unix_ms)?);
        self.registry.advance_to(loaded.revision);
        loaded.skipped.extend(self.load_history(loaded.revision, unix_ms)?);
        let _ = self.commit(&[], &[], &[]); // said and counted there; what is owed stays so
        self.reserve();
        self.view.set_loaded();
        Ok(Some(loaded))
    }

    /// Takes a batch of commands, and instances whose leases are over, from decision to acknowledgement.
    ///
    /// The time is asked for again after the commit: a lease begins when its registration is acknowledged.
    pub fn step(&mut self, jobs: Vec<Job>, expired: &[Arc<Cell>], now: impl Fn() -> Now) {
        let began = now();
        self.stepped_unix_ms = began.unix_ms;
        self.tell_stood(began);
        let over: Vec<_> = expired.iter().flat_map(|cell| self.forget(cell, began)).collect();
        self.tell_unwaited(over);
        let mut changes = Vec::new();
        let ended = self.registry.ended_overrides(began.unix_ms, ENDED_OVERRIDES).into_iter();
        // Before what people ask for now: who sets one anew means to keep it.
        let ended = ended.map(|command| Job {
            command,
            by: Authorised::ended_override(),
            ack: Box::new(|_| ()),
        });
        let jobs = ended.chain(jobs);
        let decided: Vec<_> = jobs.map(|job| self.decide(job, began, &mut changes)).collect();
        let events = self.events_of(&decided, began);
        let committed = self.commit(&changes, &events, &[]);
        if let Err(reason) = committed {
            self.registry.undo(&changes);
            self.settle_without_store(decided, &reason, now());
        } else {
            self.publish(decided, &events, now());
        }
    }

    /// Reserves serials and revisions ahead of those that were shown, if there are few left.
    pub fn reserve(&mut self) {
        let reserved = (self.reserved_serial, self.reserved_revision);
        if (self.reserve_serial(), self.reserve_revision()) != reserved {
            let _ = self.write(&Owed::default(), &[]); // said and counted there; the next change reserves too
        }
    }

    /// Ends well: nothing is owed, and a server that begins again goes on from where this one is.
    pub fn close(&mut self) {
        let owes_nothing = self.commit(&[], &[], &[]).is_ok() && !self.owes();
        if owes_nothing && self.reserved_revision != self.registry.revision() {
            self.ahead = 0;
            let _ = self.write(&Owed::default(), &[]); // said and counted there; the next start finds out
        }
    }

    /// Flushes what is left of long leases.
    pub fn flush(&mut self, remaining: &[(ServiceName, InstanceId, u64)]) {
        if !remaining.is_empty() {
            let _ = self.commit(&[], &[], remaining); // said and counted there; the next flush tries again
        }
    }

    /// Has the store do something else.
    pub fn run_errand(&mut self, errand: impl FnOnce(&mut Store)) {
        errand(&mut self.store);
    }

    /// The registry's revision.
    pub fn revision(&self) -> u64 {
        self.registry.revision()
    }

    /// How long it is until the next override ends by itself, in milliseconds. After a failed commit it is no less than
    /// `retry_ms`: those whose time is up wait for the disk.
    pub fn next_override_end(&self, now_unix_ms: u64, retry_ms: u64) -> Option<u64> {
        let left = self.registry.next_override_end()?.saturating_sub(now_unix_ms);
        let failed = self.gauges.commits().unavailable.is_some();
        Some(if failed { left.max(retry_ms) } else { left })
    }

    /// Whether something that has happened waits for the disk.
    pub fn owes(&self) -> bool {
        self.owed.presses()
    }

    /// Takes an instance out of the registry whose lease is over, unless it has been registered again since; gives what
    /// is to be told.
    fn forget(&mut self, cell: &Cell, now: Now) -> Option<Arc<Event>> {
        let (service, id) = (&cell.instance.service, &cell.instance.id);
        let listed_again = self.view.instance(service.as_str(), id.as_str(), now.lease).is_some();
        if listed_again {
            return None;
        }
        let command = Command::Deregister { service: service.clone(), id: id.clone() };
        let by = Authorised::server();
        let outcome = self.registry.apply(command, by.actor(), now.unix_ms).ok()?;
        let change = outcome.changes.into_iter().next()?;
        self.audit.changed(now.unix_ms, by.by(), "expire", &change);
        self.gauges.expiries.add(1);
        let event = self.expired(&change, by.by(), now);
        self.owed.changes.push(change);
        Some(event)
    }

    fn decide(&mut self, job: Job, now: Now, changes: &mut Vec<Change>) -> Decided {
        let kind = match &job.command {
            Command::Register { service, id, .. } => Kind::Register(service.clone(), id.clone()),
            _ => Kind::Other,
        };
        let (by, verb) = (job.by, job.command.verb());
        let about =
            self.audit.is_on().then(|| (job.command.service().clone(), job.command.id().cloned()));
        let mut result = self.registry.apply(job.command, by.actor(), now.unix_ms);
        if matches!(kind, Kind::Register(..)) {
            result = result.and_then(|outcome| self.refuse_zone_file_names(outcome));
        }
        match (&result, about) {
            (Ok(outcome), _) => changes.extend(outcome.changes.iter().cloned()),
            (Err(refusal), Some((service, id))) if refusal.is_denial() => {
                let id = id.as_ref().map(InstanceId::as_str);
                self.audit.denied(by.by(), verb, Some(service.as_str()), id, &refusal.to_string());
            }
            (Err(_), _) => {}
        }
        Decided { ack: job.ack, by, verb, result, kind }
    }

    /// A name that a zone file has is the zone file's.
    fn refuse_zone_file_names(&mut self, outcome: Outcome) -> Result<Outcome, Refusal> {
        let zones = self.view.zones();
        if !zones.may_conflict() {
            return Ok(outcome);
        }
        let names = |instance: &Option<Arc<Instance>>| instance.as_deref().map(names_of);
        let mut new = Vec::new();
        for change in &outcome.changes {
            let before = names(&change.before).unwrap_or_default();
            new.extend(names(&change.after).unwrap_or_default());
            new.retain(|name| !before.contains(name));
        }
        match zones.conflict(&new) {
            None => Ok(outcome),
            Some(conflict) => {
                self.registry.undo(&outcome.changes);
                let Conflict { relative, name, file, line, .. } = conflict;
                let after = outcome.changes.iter().find_map(|change| change.after.as_deref());
                let field = after.map_or("service", |instance| field_of(instance, &relative));
                Err(Refusal::InZoneFile { field, name, file, line })
            }
        }
    }

    /// Makes changes durable with what is told of them, after all that is owed; does nothing if there is nothing to do.
    fn commit(
        &mut self,
        changes: &[Change],
        events: &[Arc<Event>],
        remaining: &[(ServiceName, InstanceId, u64)],
    ) -> Result<(), String> {
        while self.owed.exceeds_a_commit() {
            let some = self.owed.take_some();
            if let Err(reason) = self.write(&some, &[]) {
                self.owed.put_back(some);
                return Err(reason);
            }
        }
        if changes.is_empty() && !self.owed.presses() && remaining.is_empty() {
            return Ok(());
        }
        let mut all = std::mem::take(&mut self.owed);
        let owed = all.add(changes, events);
        let written = self.write(&all, remaining);
        if written.is_err() {
            all.cut(owed);
            self.owed = all;
        }
        // Nobody waits for what is owed: it is tried again.
        if changes.is_empty() { Ok(()) } else { written }
    }

    /// One commit.
    fn write(
        &mut self,
        owed: &Owed,
        remaining: &[(ServiceName, InstanceId, u64)],
    ) -> Result<(), String> {
        let (serial, reserved_revision) = (self.reserve_serial(), self.reserve_revision());
        let events: Vec<_> = owed.events.iter().cloned().collect();
        let forgotten: Vec<_> = owed.forgotten.iter().copied().collect();
        let batch = Batch {
            changes: &owed.changes,
            remaining,
            free_since_unix_ms: self.registry.free_since(self.stepped_unix_ms),
            events: &events,
            forgotten: &forgotten,
            history_gaps: self.history.gaps().max(owed.lost()),
            revision: self.registry.revision(),
            reserved_revision,
            serial,
        };
        let began = Instant::now();
        match self.gauges.pulses.waiting(|| self.store.commit(&batch)) {
            Ok(()) => {
                self.gauges.committed(began.elapsed().as_secs_f64());
                self.gauges.changes.add(owed.changes.len() as u64);
                self.gauges.available();
                (self.reserved_serial, self.reserved_revision) = (serial, reserved_revision);
                Ok(())
            }
            Err(error) => {
                let reason = error.to_string();
                if self.gauges.unavailable(&reason) {
                    tracing::error!(reason, "changes are refused until the store works again");
                }
                Err(reason)
            }
        }
    }

    /// The revision that a restart goes on from if the server does not end well. Nothing was told before the first
    /// change.
    fn reserve_revision(&self) -> u64 {
        let told = self.registry.revision();
        let left = self.reserved_revision.saturating_sub(told);
        match self.ahead {
            ahead if told == 0 || ahead == 0 => told,
            ahead if left > ahead / 2 && left <= ahead => self.reserved_revision,
            ahead => told + ahead,
        }
    }

    /// The serial that a restart goes on from: far enough ahead of all that were shown.
    fn reserve_serial(&self) -> u32 {
        let shown = self.view.serial();
        let left = self.reserved_serial.wrapping_sub(shown);
        if left > SERIALS_AHEAD / 2 && left <= SERIALS_AHEAD {
            self.reserved_serial
        } else {
            shown.wrapping_add(SERIALS_AHEAD)
        }
    }

    /// Publishes a batch that is durable, tells of it, and then acknowledges it.
    fn publish(&mut self, decided: Vec<Decided>, events: &[Arc<Event>], now: Now) {
        let (now, unix_ms) = (now.lease, now.unix_ms);
        let mut edit = self.view.edit(now);
        for Decided { by, verb, result, kind, .. } in &decided {
            let Ok(outcome) = result else { continue };
            for change in &outcome.changes {
                self.audit.changed(unix_ms, by.by(), verb, change);
            }
            let start = match kind {
                Kind::Register(..) => LeaseStart::Term,
                Kind::Other => LeaseStart::AsItIs,
            };
            for change in &outcome.changes {
                match &change.after {
                    Some(after) => edit.list(after, start),
                    None => edit.unlist(&change.instance().service, &change.instance().id),
                }
            }
            if let (Kind::Register(service, id), Some(instance), []) =
                (kind, &outcome.instance, &*outcome.changes)
                && !edit.renew(service, id)
            {
                // Its lease ended while it was being registered again.
                edit.list(instance, LeaseStart::Term);
            }
        }
        drop(edit);
        let forgotten = self.history.tell(events);
        self.owed.tell([], forgotten);
        self.acknowledge(decided, now);
    }

    /// The store refused the batch: what would change nothing is done, the rest is refused.
    fn settle_without_store(&mut self, decided: Vec<Decided>, reason: &str, now: Now) {
        let settle = |mut decided: Decided| {
            // A refusal too may rest on a change that was undone.
            let certain = decided.result.as_ref().is_ok_and(|outcome| {
                let listed = |instance: &Arc<Instance>| {
                    self.registry.get(&instance.service, &instance.id) == Some(instance)
                };
                outcome.changes.is_empty() && outcome.instance.as_ref().is_some_and(listed)
            });
            if !certain {
                decided.result = Err(Refusal::Unavailable(reason.to_owned()));
            }
            decided
        };
        let settled = decided.into_iter().map(settle).collect();
        self.publish(settled, &[], now);
    }

    fn acknowledge(&self, decided: Vec<Decided>, now: LeaseTime) {
        let revision = self.registry.revision();
        for Decided { ack, result, kind, .. } in decided {
            ack(result.map(|outcome| {
                let expires_in_ms = outcome.instance.as_ref().and_then(|instance| match kind {
                    // Its term has just begun.
                    Kind::Register(..) => instance.body.lease.millis(),
                    Kind::Other => {
                        let (service, id) = (instance.service.as_str(), instance.id.as_str());
                        self.view.instance(service, id, now)?.expires_in_ms
                    }
                });
                Committed { outcome, expires_in_ms, revision }
            }));
        }
    }
}

/// In which bucket a commit of so many seconds is counted.
pub(super) fn bucket(seconds: f64) -> usize {
    COMMIT_BUCKETS.iter().position(|bound| seconds <= *bound).unwrap_or(COMMIT_BUCKETS.len())
}
