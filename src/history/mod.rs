//! History: what happened to instances, why, and who did it; for those who look back, and for those who watch.
//!
//! The registrar tells every [`Event`] once, after it is in the view. Who watches asks for what came after a revision and
//! is woken when there is more: nothing is queued for anybody, so one who is slow costs the others nothing, and one who
//! falls too far behind is told so. `kept.rs` says what is kept and where it has gaps; the store keeps the same.

mod event;
mod kept;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::registry::ServiceName;
pub use event::{After, By, Event, Fields, Kind};
use kept::Kept;
pub use kept::{Limits, Since, Sought, TooOld};

/// Who may watch at a time: each holds a connection, and some KiB.
pub const MAX_WATCHERS: usize = 8_192;
/// Events that a watcher is given at once.
pub const EVENTS_AT_ONCE: usize = 512;

/// What happened; clones are the same.
#[derive(Debug, Clone)]
pub struct History(Arc<Desk>);

#[derive(Debug)]
struct Desk {
    kept: Mutex<Kept>,
    bells: Mutex<Bells>,
    watchers: AtomicUsize,
    /// By the order of [`Kind::ALL`].
    told: [AtomicU64; Kind::ALL.len()],
}

/// Rung when there is more; the value says whether there will be no more.
type Bell = watch::Sender<bool>;

/// What wakes those who watch.
#[derive(Debug, Default)]
struct Bells {
    services: HashMap<ServiceName, Bell, foldhash::quality::RandomState>,
    all: Bell,
    is_over: bool,
}

impl Default for History {
    fn default() -> Self {
        Self::new(Limits::default())
    }
}

impl History {
    /// One that keeps so many events.
    pub fn new(limits: Limits) -> Self {
        Self(Arc::new(Desk {
            kept: Mutex::new(Kept::new(limits)),
            bells: Mutex::default(),
            watchers: AtomicUsize::new(0),
            told: Default::default(),
        }))
    }

    /// Begins with what an earlier life of the server kept: events in the order of their revisions, of which none is missing
    /// after `gaps`, up to `revision`. Gives the revisions of those that are too many.
    pub fn restore(&self, events: Vec<Event>, gaps: u64, revision: u64) -> Vec<u64> {
        self.0.kept.lock().restore(events, gaps, revision)
    }

    /// Tells events, which are in the view, in the order of their revisions. Gives the revisions of those that are forgotten
    /// for them by those who look back.
    pub fn tell(&self, events: &[Arc<Event>]) -> Vec<u64> {
        let mut forgotten = Vec::new();
        if events.is_empty() {
            return forgotten;
        }
        let mut kept = self.0.kept.lock();
        for event in events {
            self.0.told[event.kind as usize].fetch_add(1, Ordering::Relaxed);
            kept.push(event, &mut forgotten);
        }
        drop(kept);
        self.0.bells.lock().ring(events);
        forgotten
    }

    /// The revision of the last event that was told: what is listed is at least as new.
    pub fn revision(&self) -> u64 {
        self.0.kept.lock().last()
    }

    /// After which revision no event is missing for those who look back at all services.
    pub fn gaps(&self) -> u64 {
        self.0.kept.lock().gaps()
    }

    /// After which revision no event of a service, or of all, is missing for those who look back.
    pub fn complete_since(&self, service: Option<&str>) -> u64 {
        self.0.kept.lock().complete_since(service)
    }

    /// The last events, newest first, of services that `may` lets through; at most `limit`.
    pub fn look_back(
        &self,
        sought: Sought<'_>,
        limit: usize,
        may: impl Fn(&str) -> bool,
    ) -> Vec<Arc<Event>> {
        self.0.kept.lock().look_back(sought, limit, may)
    }

    /// Watches the events of a service, or of all, after `revision`; `None`: from now on.
    ///
    /// # Errors
    /// There is no seat, or events after `revision` may be forgotten.
    pub fn watch(
        &self,
        service: Option<&ServiceName>,
        revision: Option<u64>,
    ) -> Result<Watcher, NoWatch> {
        let seat = Seat::take(self).ok_or(NoWatch::Full)?;
        // Heard before it is looked, so that nothing falls in between.
        let bell = self.0.bells.lock().listen(service);
        let kept = self.0.kept.lock();
        let revision = revision.unwrap_or_else(|| kept.last());
        kept.since(service.map(ServiceName::as_str), revision, 1).map_err(NoWatch::TooOld)?;
        drop(kept);
        Ok(Watcher { seat, service: service.cloned(), revision, bell })
    }

    /// Nobody watches any more: whoever does is told that there will be no more.
    pub fn end(&self) {
        let mut bells = self.0.bells.lock();
        bells.is_over = true;
        for bell in bells.services.values().chain([&bells.all]) {
            bell.send_replace(true);
        }
    }

    /// What happened since the start, and how often.
    pub fn told(&self) -> Vec<(&'static str, u64)> {
        let counts = self.0.told.iter().map(|count| count.load(Ordering::Relaxed));
        Kind::ALL.iter().map(|kind| kind.as_str()).zip(counts).collect()
    }

    /// How many watch, and how many events are kept for those who look back.
    pub fn figures(&self) -> (usize, usize) {
        (self.0.watchers.load(Ordering::Relaxed), self.0.kept.lock().len())
    }
}

impl Bells {
    fn listen(&mut self, service: Option<&ServiceName>) -> watch::Receiver<bool> {
        let bell = match service {
            Some(service) => self.services.entry(service.clone()).or_default(),
            None => &mut self.all,
        };
        if self.is_over {
            bell.send_replace(true);
        }
        bell.subscribe()
    }

    /// Wakes those who watch these events' services, each once.
    fn ring(&mut self, events: &[Arc<Event>]) {
        self.all.send_replace(self.is_over);
        if self.services.is_empty() {
            return;
        }
        for same in events.chunk_by(|one, next| one.service == next.service) {
            let Some(event) = same.first() else { continue };
            if let Some(bell) = self.services.get(&event.service) {
                bell.send_replace(self.is_over);
            }
        }
    }
}

/// Why somebody cannot watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoWatch {
    /// Too many watch already.
    Full,
    /// It was away for too long.
    TooOld(TooOld),
}

/// One who watches, from where it stands.
#[derive(Debug)]
pub struct Watcher {
    seat: Seat,
    service: Option<ServiceName>,
    revision: u64,
    bell: watch::Receiver<bool>,
}

impl Watcher {
    /// Every event up to this revision was given, or was not of the service.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// What there is and was not given yet, oldest first, at most [`EVENTS_AT_ONCE`].
    ///
    /// # Errors
    /// Some of it is forgotten: it fell too far behind.
    pub fn take(&mut self) -> Result<Vec<Arc<Event>>, TooOld> {
        self.bell.mark_unchanged();
        let kept = self.seat.0.0.kept.lock();
        let service = self.service.as_ref().map(ServiceName::as_str);
        let since = kept.since(service, self.revision, EVENTS_AT_ONCE)?;
        self.revision = since.revision;
        Ok(since.events)
    }

    /// Waits until there may be more; false: there will be no more.
    pub async fn wait(&mut self) -> bool {
        // Not marked as seen: what was rung since the last look is to wake us at once.
        let is_over = *self.bell.borrow();
        !is_over && self.bell.changed().await.is_ok() && !*self.bell.borrow()
    }
}

/// A place among those who watch.
#[derive(Debug)]
struct Seat(History);

impl Seat {
    fn take(history: &History) -> Option<Self> {
        let relaxed = Ordering::Relaxed;
        let one_more = |taken: usize| (taken < MAX_WATCHERS).then_some(taken + 1);
        history.0.watchers.fetch_update(relaxed, relaxed, one_more).ok()?;
        Some(Self(history.clone()))
    }
}

impl Drop for Watcher {
    /// The last who watches a service takes its bell away.
    fn drop(&mut self) {
        let Some(service) = &self.service else { return };
        let mut bells = self.seat.0.0.bells.lock();
        // Our own is one.
        if bells.services.get(service).is_some_and(|bell| bell.receiver_count() <= 1) {
            bells.services.remove(service);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.0.watchers.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
