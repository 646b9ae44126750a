//! What has to be done here so that what is listed there is listed here. There is no I/O and no clock: the time is passed in,
//! in milliseconds.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::list::{Fate, List, Name, hash, number};

/// A list that lacks more than half of so many instances may be a registry that has begun anew, empty.
const FEW: usize = 3;
/// The longest time between two renewals of an instance.
const RENEW_AT_MOST_MS: u64 = 10_000;
/// How long a lease is of which nothing is said, in milliseconds.
const DEFAULT_LEASE_MS: u64 = 90_000;
/// How long until what was refused, or failed, is tried again.
const TRY_AGAIN_MS: u64 = 1_000;
/// How long until it is looked again whether an instance that was registered here by itself still is.
const LOOK_AGAIN_MS: u64 = 30_000;

/// What is done about an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// It is registered as it is given.
    Register,
    /// Its lease is renewed.
    Renew,
    /// It is taken off the list.
    Cancel,
}

/// Something to do.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// About which instance.
    pub name: Name,
    /// What.
    pub action: Action,
    /// What is said of the instance.
    pub info: Arc<Value>,
}

/// Where an instance stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// It is to be registered here.
    Wanted,
    /// It is listed here, as a copy.
    Copied,
    /// It is registered here by itself.
    OfItself,
    /// It was refused, as it is given now.
    Refused,
    /// It is gone there, and to be taken off the list here.
    Gone,
}

#[derive(Debug)]
struct Held {
    info: Arc<Value>,
    standing: Standing,
    /// When something is to be done next.
    due: u64,
}

/// The copy.
#[derive(Debug, Default)]
pub struct Copy {
    held: BTreeMap<Name, Held>,
    /// Since when whole lists have lacked too much to be believed.
    doubted_since: Option<u64>,
    believe_after_ms: u64,
}

/// What became of a whole list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Belief {
    /// It was taken.
    Taken,
    /// It lacks so many, of so many, and those are kept for now.
    Doubted(usize, usize),
}

/// What came of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It was done.
    Done,
    /// The instance is not listed here.
    NotListed,
    /// The instance is registered here by itself.
    OfItself,
    /// It will not be done as it is.
    Refused,
    /// It could not be done now.
    Failed,
}

impl Copy {
    /// An empty copy; a list that lacks more than half is believed after so long.
    pub fn new(believe_after_ms: u64) -> Self {
        Self { believe_after_ms, ..Self::default() }
    }

    /// Takes a whole list: what is not in it is gone, if that can be.
    pub fn take_all(&mut self, list: List, now: u64) -> Belief {
        let names: std::collections::BTreeSet<&Name> =
            list.given.iter().map(|given| &given.name).collect();
        let is_there = |held: &Held| held.standing != Standing::Gone;
        let known = self.held.values().filter(|held| is_there(held)).count();
        let missing: Vec<Name> = self
            .held
            .iter()
            .filter(|(name, held)| is_there(held) && !names.contains(name))
            .map(|(name, _)| name.clone())
            .collect();
        let lacks = missing.len();
        let is_odd = lacks >= FEW && lacks * 2 > known;
        let since = is_odd.then(|| self.doubted_since.unwrap_or(now));
        let belief = match since.map(|since| now.saturating_sub(since)) {
            Some(waited) if waited < self.believe_after_ms => Belief::Doubted(lacks, known),
            _ => Belief::Taken,
        };
        self.doubted_since = since.filter(|_| belief != Belief::Taken);
        if belief == Belief::Taken {
            missing.into_iter().for_each(|name| self.go(&name, now));
        }
        self.take_given(list, now);
        belief
    }

    /// Takes what has changed; false if the copy is then not what the source has.
    pub fn take_delta(&mut self, delta: List, now: u64) -> bool {
        let wanted = delta.hash.clone();
        self.take_given(delta, now);
        wanted.is_none_or(|wanted| wanted == self.hash())
    }

    fn take_given(&mut self, list: List, now: u64) {
        for given in list.given {
            match (given.fate, self.held.get_mut(&given.name)) {
                (Fate::Gone, _) => self.go(&given.name, now),
                (Fate::Listed, Some(held)) if is_same(&held.info, &given.info) => {
                    if held.standing == Standing::Gone {
                        (held.standing, held.due) = (Standing::Wanted, now);
                    }
                }
                (Fate::Listed, _) => {
                    let held = Held { info: given.info, standing: Standing::Wanted, due: now };
                    self.held.insert(given.name, held);
                }
            }
        }
    }

    fn go(&mut self, name: &Name, now: u64) {
        let Some(held) = self.held.get_mut(name) else { return };
        match held.standing {
            // It may be listed here from before.
            Standing::Wanted | Standing::Copied => {
                (held.standing, held.due) = (Standing::Gone, now);
            }
            Standing::OfItself | Standing::Refused => drop(self.held.remove(name)),
            Standing::Gone => {}
        }
    }

    fn hash(&self) -> String {
        let there = self.held.values().filter(|held| held.standing != Standing::Gone);
        hash(there.map(|held| &*held.info))
    }

    /// What is to be done now, at most `limit` items; what is not answered is due again.
    pub fn due(&self, now: u64, limit: usize) -> Vec<Item> {
        let due = self.held.iter().filter(|(_, held)| held.due <= now);
        let item = |(name, held): (&Name, &Held)| Item {
            name: name.clone(),
            action: match held.standing {
                Standing::Wanted | Standing::Refused => Action::Register,
                Standing::Copied | Standing::OfItself => Action::Renew,
                Standing::Gone => Action::Cancel,
            },
            info: held.info.clone(),
        };
        due.take(limit).map(item).collect()
    }

    /// When something is to be done next.
    pub fn next_due(&self) -> Option<u64> {
        self.held.values().map(|held| held.due).min()
    }

    /// Notes what came of an item.
    pub fn answered(&mut self, item: &Item, answer: Answer, now: u64) {
        let Some(held) = self.held.get_mut(&item.name) else { return };
        // It may have changed since.
        if !Arc::ptr_eq(&held.info, &item.info) {
            return;
        }
        match (item.action, answer) {
            (Action::Cancel, Answer::Failed) | (_, Answer::Failed) => {
                held.due = now + TRY_AGAIN_MS;
            }
            (Action::Cancel, _) => drop(self.held.remove(&item.name)),
            (_, Answer::Done) => {
                held.standing = Standing::Copied;
                held.due = now + renew_every(&held.info);
            }
            (_, Answer::NotListed) => (held.standing, held.due) = (Standing::Wanted, now),
            (_, Answer::OfItself) => {
                (held.standing, held.due) = (Standing::OfItself, now + LOOK_AGAIN_MS);
            }
            (_, Answer::Refused) => {
                (held.standing, held.due) = (Standing::Refused, now + LOOK_AGAIN_MS);
            }
        }
    }

    /// Everything that is listed here as a copy is to be taken off the list.
    pub fn end(&mut self, now: u64) {
        self.held.retain(|_, held| matches!(held.standing, Standing::Copied | Standing::Gone));
        for held in self.held.values_mut() {
            (held.standing, held.due) = (Standing::Gone, now);
        }
    }

    /// How many instances are copied, are here by themselves, and are refused.
    pub fn counts(&self) -> [usize; 3] {
        let count = |standing| self.held.values().filter(|held| held.standing == standing).count();
        [Standing::Copied, Standing::OfItself, Standing::Refused].map(count)
    }

    /// How many of what is held is still to be done.
    pub fn waiting(&self) -> usize {
        let waits = |held: &&Held| matches!(held.standing, Standing::Wanted | Standing::Gone);
        self.held.values().filter(waits).count()
    }
}

/// Whether two say the same of an instance, the times of its renewals and what happened last apart.
fn is_same(one: &Value, other: &Value) -> bool {
    let (Some(one), Some(other)) = (one.as_object(), other.as_object()) else { return false };
    let counts = |(key, _): &(&String, &Value)| {
        !matches!(key.as_str(), "leaseInfo" | "lastUpdatedTimestamp" | "actionType")
    };
    one.iter().filter(counts).eq(other.iter().filter(counts))
}

/// A third of its lease, so that two may be lost.
fn renew_every(info: &Value) -> u64 {
    let duration = info.get("leaseInfo").and_then(|lease| number(lease.get("durationInSecs")));
    let lease = duration.filter(|secs| *secs > 0).map_or(DEFAULT_LEASE_MS, |secs| secs * 1000);
    (lease / 3).clamp(500, RENEW_AT_MOST_MS)
}

#[cfg(test)]
mod tests;
