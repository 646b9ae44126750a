//! What is kept of events, and up to where it has no gap.
//!
//! Two things are kept of the same events: the last ones of each service, for those who look back, and the last ones of
//! all, for those who watch. A service that changes all the time takes no other's history away, and a burst in one
//! service leaves its watchers room to catch up.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use super::Event;
use crate::registry::ServiceName;

/// Events that are kept for those who watch, whatever service they are of: some bursts of the largest service there may
/// be. Most of them are kept for those who look back, too.
const RECENT: usize = 32_768;

/// How many events are kept for those who look back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// In all.
    pub events: usize,
    /// Of each service.
    pub events_a_service: usize,
}

impl Default for Limits {
    /// As `config.toml` has it.
    fn default() -> Self {
        Self { events: 65_536, events_a_service: 1_024 }
    }
}

/// There may have been events since that revision that are forgotten: what is complete begins at another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooOld {
    /// Every event after this revision is there.
    pub complete_since: u64,
}

/// Some events, and up to where they go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Since {
    /// The events, oldest first.
    pub events: Vec<Arc<Event>>,
    /// From which revision to go on.
    pub revision: u64,
}

/// Which events somebody looks back at.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sought<'a> {
    /// Of this service; of all.
    pub service: Option<&'a str>,
    /// Of this instance.
    pub id: Option<&'a str>,
    /// With lower revisions than this.
    pub before: Option<u64>,
}

/// The events of one service.
#[derive(Debug, Default)]
struct OfService {
    events: VecDeque<Arc<Event>>,
    /// The revision of the last one that was forgotten.
    floor: u64,
}

/// The events that are kept.
#[derive(Debug)]
pub(super) struct Kept {
    limits: Limits,
    /// By revision.
    all: BTreeMap<u64, Arc<Event>>,
    services: HashMap<ServiceName, OfService, foldhash::quality::RandomState>,
    /// Every event up to this revision may be forgotten, also of services of which none is kept.
    floor: u64,
    /// Every event of `all` up to this revision may have had neighbours that are forgotten.
    gaps: u64,
    recent: VecDeque<Arc<Event>>,
    /// Events up to this revision are not recent.
    recent_floor: u64,
    /// The last revision that was told.
    last: u64,
}

impl Kept {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            all: BTreeMap::new(),
            services: HashMap::default(),
            floor: 0,
            gaps: 0,
            recent: VecDeque::new(),
            recent_floor: 0,
            last: 0,
        }
    }

    /// Begins with what an earlier life of the server kept: events in the order of their revisions, of which none is
    /// missing after `gaps`. Gives the revisions of those that are too many.
    pub(super) fn restore(&mut self, events: Vec<Event>, gaps: u64, revision: u64) -> Vec<u64> {
        let mut forgotten = Vec::new();
        (self.floor, self.gaps, self.recent_floor) = (gaps, gaps, gaps);
        for event in events {
            let is_recent = event.revision > gaps;
            self.keep(&Arc::new(event), is_recent, &mut forgotten);
        }
        self.last = self.last.max(revision);
        forgotten
    }

    /// Adds an event with a higher revision than all before. Gives the revisions of those that it pushes out of what
    /// those see who look back.
    pub(super) fn push(&mut self, event: &Arc<Event>, forgotten: &mut Vec<u64>) {
        self.keep(event, true, forgotten);
    }

    fn keep(&mut self, event: &Arc<Event>, is_recent: bool, forgotten: &mut Vec<u64>) {
        self.last = event.revision;
        if is_recent {
            self.recent.push_back(event.clone());
            while self.recent.len() > RECENT {
                self.recent_floor = self.recent.pop_front().map_or(0, |old| old.revision);
            }
        }
        let of_service = self
            .services
            .entry(event.service.clone())
            .or_insert_with(|| OfService { floor: self.floor, ..OfService::default() });
        of_service.events.push_back(event.clone());
        self.all.insert(event.revision, event.clone());
        if of_service.events.len() > self.limits.events_a_service
            && let Some(old) = of_service.events.pop_front()
        {
            of_service.floor = old.revision;
            self.all.remove(&old.revision);
            self.forget(old.revision, forgotten);
        }
        while self.all.len() > self.limits.events {
            self.forget_oldest(forgotten);
        }
    }

    fn forget_oldest(&mut self, forgotten: &mut Vec<u64>) {
        let Some((revision, old)) = self.all.pop_first() else { return };
        self.floor = revision;
        if let Some(of_service) = self.services.get_mut(&old.service) {
            of_service.events.pop_front();
            of_service.floor = revision;
            if of_service.events.is_empty() {
                self.services.remove(&old.service);
            }
        }
        self.forget(revision, forgotten);
    }

    fn forget(&mut self, revision: u64, forgotten: &mut Vec<u64>) {
        self.gaps = self.gaps.max(revision);
        forgotten.push(revision);
    }

    /// The last revision that was told.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// After which revision no event is missing for those who look back at all services.
    pub(super) fn gaps(&self) -> u64 {
        self.gaps
    }

    /// How many events are kept for those who look back.
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// After which revision every event of a service, or of all, is there for those who look back.
    pub(super) fn complete_since(&self, service: Option<&str>) -> u64 {
        match service {
            None => self.gaps,
            Some(service) => {
                self.services.get(service).map_or(self.floor, |of_service| of_service.floor)
            }
        }
    }

    /// The last events, newest first, of services that `may` lets through; at most `limit`.
    pub(super) fn look_back(
        &self,
        sought: Sought<'_>,
        limit: usize,
        may: impl Fn(&str) -> bool,
    ) -> Vec<Arc<Event>> {
        let below = sought.before.unwrap_or(u64::MAX);
        let matches = |event: &&Arc<Event>| {
            event.revision < below
                && sought.id.is_none_or(|id| event.id.as_str() == id)
                && may(event.service.as_str())
        };
        match sought.service {
            Some(service) => {
                let events = self.services.get(service).map(|of_service| &of_service.events);
                let events = events.into_iter().flat_map(|events| events.iter().rev());
                events.filter(matches).take(limit).cloned().collect()
            }
            None => {
                let events = self.all.range(..below).rev().map(|(_, event)| event);
                events.filter(matches).take(limit).cloned().collect()
            }
        }
    }

    /// The events of a service, or of all, after `revision`, oldest first, at most `limit`.
    pub(super) fn since(
        &self,
        service: Option<&str>,
        revision: u64,
        limit: usize,
    ) -> Result<Since, TooOld> {
        let complete_since = self.complete_since(service);
        if revision > self.last {
            return Err(TooOld { complete_since: self.last });
        }
        let events: Vec<_> = match service {
            Some(service) if revision >= complete_since => {
                let events = self.services.get(service).map(|of_service| &of_service.events);
                events.map_or_else(Vec::new, |events| after(events, revision, limit).collect())
            }
            _ if revision >= self.recent_floor => {
                let events = after(&self.recent, revision, usize::MAX);
                let of_service = |event: &Arc<Event>| {
                    service.is_none_or(|service| event.service.as_str() == service)
                };
                events.filter(of_service).take(limit).collect()
            }
            None if revision >= complete_since => {
                let events = self.all.range(revision + 1..);
                events.map(|(_, event)| event.clone()).take(limit).collect()
            }
            _ => return Err(TooOld { complete_since: complete_since.min(self.recent_floor) }),
        };
        let is_all = events.len() < limit;
        let last = events.last().map_or(revision, |event| event.revision);
        Ok(Since { events, revision: if is_all { self.last } else { last } })
    }
}

/// The events after a revision, of some in the order of theirs.
fn after(
    events: &VecDeque<Arc<Event>>,
    revision: u64,
    limit: usize,
) -> impl Iterator<Item = Arc<Event>> {
    let from = events.partition_point(|event| event.revision <= revision);
    events.range(from..).take(limit).cloned()
}
