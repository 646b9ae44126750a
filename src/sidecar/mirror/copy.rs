//! What is copied, as a state machine: without I/O and without a clock of its own.
//!
//! It is told what the source lists ([`Copied::full`], [`Copied::delta`]) and what our server answered
//! ([`Copied::answered`]), and says what our server is to be told next ([`Copied::batch`]). An instance is in it from when
//! the source lists it to when our server has been told that it is gone.
//!
//! The source may be in trouble and list next to nothing: servers of Eureka do so after a restart. So a whole list that
//! suddenly lacks most of what is copied is not believed before it has lacked them for a while.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::entry::{AGAIN, Action, Answer, Entry, Item, Kind, There};
use super::instance::{Instance, List, Name};
use super::summary::Summary;

/// Items of a batch at most: what servers of Eureka send each other.
const BATCH: usize = 250;
/// Octets of instances in a batch at most: a server takes 2 MiB.
const BATCH_OCTETS: usize = 1 << 20;
/// Of a batch, what renewals may take while there is other work: their time is counted, and yet all gets its turn.
const BATCH_RENEWALS: usize = BATCH / 2;
/// Fewer than this may all go at once, and nobody doubts it.
const FEWEST_TO_DOUBT: usize = 3;
/// Lists of changes go back three minutes. Whoever was away for about as long needs a whole one.
const DELTA_HOLDS: Duration = Duration::from_secs(120);

/// Which list is to be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    Full,
    Delta,
}

/// What is due, soonest first.
type Agenda = BTreeSet<(Duration, Arc<Name>)>;

/// All that is copied.
#[derive(Debug)]
pub(super) struct Copied {
    believe_after: Duration,
    entries: BTreeMap<Arc<Name>, Entry>,
    renewals: Agenda,
    work: Agenda,
    /// Items that our server has not answered.
    in_flight: usize,
    /// When a list was last taken; `None`: never.
    listed_at: Option<Duration>,
    /// Whether changes have led to something else than the source has.
    is_out_of_step: bool,
    /// How many are missing and kept.
    doubted: usize,
    /// How many of the last whole list could not be read.
    unreadable: usize,
    summary: Summary,
}

impl Copied {
    pub(super) fn new(believe_after: Duration) -> Self {
        Self {
            believe_after,
            entries: BTreeMap::new(),
            renewals: Agenda::new(),
            work: Agenda::new(),
            in_flight: 0,
            listed_at: None,
            is_out_of_step: false,
            doubted: 0,
            unreadable: 0,
            summary: Summary::default(),
        }
    }

    /// Which list is to be asked for now.
    pub(super) fn wanted(&self, now: Duration) -> Wanted {
        let is_fresh = self.listed_at.is_some_and(|at| now.saturating_sub(at) < DELTA_HOLDS);
        match is_fresh && !self.is_out_of_step && self.doubted == 0 {
            true => Wanted::Delta,
            false => Wanted::Full,
        }
    }

    /// Whether the source has listed anything yet.
    pub(super) fn is_listed(&self) -> bool {
        self.listed_at.is_some()
    }

    /// How many are kept although the source lists them no more.
    pub(super) fn doubted(&self) -> usize {
        self.doubted
    }

    /// Takes a whole list.
    pub(super) fn full(&mut self, now: Duration, list: List) {
        let listed: HashSet<_> = list.instances.iter().map(|one| one.name.clone()).collect();
        let ours = self.entries.values().filter(|entry| entry.is_ours()).count();
        let missing: Vec<Arc<Name>> = self
            .entries
            .iter()
            .filter(|(name, entry)| !entry.is_gone && !listed.contains(*name))
            .map(|(name, _)| name.clone())
            .collect();
        let lacked = missing.iter().filter(|name| self.entries[*name].is_ours()).count();
        let is_doubtful = ours >= FEWEST_TO_DOUBT && lacked * 2 > ours;
        for name in missing {
            self.lack(now, &name, is_doubtful);
        }
        for instance in list.instances {
            let name = self.merge(instance);
            self.plan(now, &name);
        }
        if std::mem::replace(&mut self.unreadable, list.unreadable.len()) != list.unreadable.len() {
            list.unreadable.into_iter().for_each(|reason| self.summary.unreadable.add(reason));
        }
        self.listed_at = Some(now);
        self.is_out_of_step = false;
        self.doubted = self.entries.values().filter(|it| it.missing_since.is_some()).count();
    }

    /// Takes a list of changes; whether the outcome is not what the source has, and a whole list is wanted.
    pub(super) fn delta(&mut self, now: Duration, list: List) -> bool {
        let mut touched = Vec::with_capacity(list.instances.len());
        for instance in list.instances {
            // What is gone and is back counts once, as what it is in the end.
            if !instance.is_deleted {
                touched.push(self.merge(instance));
            } else if let Some(entry) = self.entries.get_mut(&instance.name) {
                entry.is_gone = true;
                entry.missing_since = None;
                touched.push(instance.name);
            }
        }
        for name in touched {
            self.plan(now, &name);
        }
        self.listed_at = Some(now);
        self.is_out_of_step = list.hash.is_some_and(|hash| hash != self.hash());
        self.is_out_of_step
    }

    /// The source has no list of changes: a whole one is wanted.
    pub(super) fn no_delta(&mut self) {
        self.is_out_of_step = true;
    }

    /// How many of each status the source has, as it says so itself: `DOWN_1_UP_4_`.
    fn hash(&self) -> String {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for entry in self.entries.values().filter(|entry| entry.is_at_source()) {
            *counts.entry(&entry.instance.status).or_default() += 1;
        }
        counts.iter().map(|(status, count)| format!("{status}_{count}_")).collect()
    }

    fn merge(&mut self, instance: Instance) -> Arc<Name> {
        let name = instance.name.clone();
        let instance = Arc::new(instance);
        let new = || Entry::new(instance.clone());
        let entry = self.entries.entry(name.clone()).or_insert_with(new);
        entry.instance = instance;
        entry.is_gone = false;
        entry.missing_since = None;
        name
    }

    /// A whole list lacks an instance. In doubt it is kept for a while.
    fn lack(&mut self, now: Duration, name: &Arc<Name>, is_doubtful: bool) {
        let Some(entry) = self.entries.get_mut(name) else { return };
        if entry.missing_since.is_none() && is_doubtful && entry.is_ours() {
            entry.missing_since = Some(now);
        }
        let is_believed =
            entry.missing_since.is_none_or(|since| now.saturating_sub(since) >= self.believe_after);
        if is_believed {
            entry.missing_since = None;
            entry.is_gone = true;
            self.plan(now, name);
        }
    }

    /// Puts into the agendas what is next for an instance, and forgets it if there is nothing left to do.
    fn plan(&mut self, now: Duration, name: &Arc<Name>) {
        let Some(entry) = self.entries.get_mut(name) else { return };
        let due = entry.next(now).map(|(at, action)| match action {
            Action::Renew => (at, Kind::Renewal),
            Action::Register | Action::Cancel => (at, Kind::Work),
        });
        // What is refused is tried again when it is time, however often it is listed meanwhile.
        let stays = matches!((entry.due, due), (Some((before, Kind::Work)), Some((at, Kind::Work))) if before <= at);
        if stays {
            return;
        }
        let before = std::mem::replace(&mut entry.due, due);
        let is_over = entry.is_gone && due.is_none();
        if let Some((at, kind)) = before {
            self.agenda(kind).remove(&(at, name.clone()));
        }
        if let Some((at, kind)) = due {
            self.agenda(kind).insert((at, name.clone()));
        }
        if is_over {
            self.entries.remove(name);
        }
    }

    fn agenda(&mut self, kind: Kind) -> &mut Agenda {
        match kind {
            Kind::Renewal => &mut self.renewals,
            Kind::Work => &mut self.work,
        }
    }

    /// When something is due; `None`: nothing is.
    pub(super) fn due(&self) -> Option<Duration> {
        let soonest = |agenda: &Agenda| agenda.first().map(|(at, _)| *at);
        soonest(&self.renewals).into_iter().chain(soonest(&self.work)).min()
    }

    /// What our server is to be told now; empty: nothing. It has to be [`answered`](Self::answered) before the next.
    pub(super) fn batch(&mut self, now: Duration) -> Vec<Item> {
        let is_due = |agenda: &Agenda| agenda.first().is_some_and(|(at, _)| *at <= now);
        let (mut items, mut octets) = (Vec::new(), 0);
        while items.len() < BATCH && octets < BATCH_OCTETS {
            let kind = match (is_due(&self.renewals), is_due(&self.work)) {
                (true, other) if !other || items.len() < BATCH_RENEWALS => Kind::Renewal,
                (_, true) => Kind::Work,
                _ => break,
            };
            let Some((_, name)) = self.agenda(kind).pop_first() else { break };
            let Some(entry) = self.entries.get_mut(&name) else { continue };
            entry.due = None;
            let Some((_, action)) = entry.next(now) else { continue };
            if action == Action::Register {
                octets += entry.instance.text.len();
                entry.there = There::Perhaps;
            }
            items.push(Item { action, instance: entry.instance.clone() });
        }
        self.in_flight = items.len();
        items
    }

    /// Our server has answered a batch, or has not: then there are no answers.
    pub(super) fn answered(&mut self, now: Duration, items: &[Item], answers: &[Answer]) {
        self.in_flight = 0;
        let none = Answer::default();
        for (at, item) in items.iter().enumerate() {
            let answer = answers.get(at).unwrap_or(&none);
            let name = &item.instance.name;
            let Some(entry) = self.entries.get_mut(name) else { continue };
            entry.answered(now, item, answer, &mut self.summary);
            self.plan_after(now, name, answer.code >= 500);
        }
    }

    /// Plans what is next for an instance; what the server could not do has to wait.
    fn plan_after(&mut self, now: Duration, name: &Arc<Name>, has_failed: bool) {
        // It may have been planned anew while the answer was on its way.
        if let Some(entry) = self.entries.get_mut(name)
            && let Some((at, kind)) = entry.due.take()
        {
            self.agenda(kind).remove(&(at, name.clone()));
        }
        self.plan(if has_failed { now + AGAIN } else { now }, name);
    }

    /// All copies are to be taken off.
    pub(super) fn leave(&mut self, now: Duration) {
        let names: Vec<_> = self.entries.keys().cloned().collect();
        for name in names {
            if let Some(entry) = self.entries.get_mut(&name) {
                entry.is_gone = true;
            }
            self.plan(now, &name);
        }
    }

    /// Whether something other than renewals is due.
    pub(super) fn has_work(&self, now: Duration) -> bool {
        self.work.first().is_some_and(|(at, _)| *at <= now)
    }

    /// Whether our server has been told all that there is: what is left to do is to ask again for what it did not take.
    pub(super) fn is_settled(&self) -> bool {
        let mut work = self.work.iter().filter_map(|(_, name)| self.entries.get(name));
        self.in_flight == 0 && work.all(|entry| !entry.is_gone && entry.is_declined())
    }

    /// Whether there is something to tell.
    pub(super) fn has_changed(&self) -> bool {
        !self.summary.is_empty()
    }

    /// What has become of all since it was last asked.
    pub(super) fn summary(&mut self) -> Summary {
        let mut summary = std::mem::take(&mut self.summary);
        let mut apps = HashSet::new();
        for (name, entry) in &self.entries {
            if let There::Copy(_) = entry.there {
                summary.instances += 1;
                apps.insert(&name.app);
            }
        }
        summary.apps = apps.len();
        summary
    }
}

#[cfg(test)]
mod tests;
