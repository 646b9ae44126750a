//! What has changed of who is seen, for one who keeps a copy of the whole list.
//!
//! It is the only reader: it takes changes away. Nothing is kept before it begins, and when more has changed than is
//! kept it is told so, and begins anew.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use super::super::lease::LeaseTime;
use super::list::Listed;
use super::members::{Member, Standing};
use super::{Roster, ServiceName};
use crate::registry::Instance;

/// Changes that wait at most, each of which may keep an instance of 1 KiB in memory: what a busy registry does in minutes. An
/// instance that is changed goes and comes, which are two.
pub const MAX_FEED: usize = 32_768;

/// A change of who is seen.
#[derive(Debug, Clone)]
pub struct Seen {
    /// When, on the lease clock.
    pub at: LeaseTime,
    /// The instance, as it is or was.
    pub instance: Arc<Instance>,
    /// Whether it is not seen any more: not listed, or its lease has lapsed and nothing holds it.
    pub gone: bool,
}

/// Some changes, in their order.
#[derive(Debug, Default)]
pub struct Taken {
    /// The changes.
    pub changes: Vec<Seen>,
    /// What is seen now of each service that they are about; nothing if the service is gone.
    pub services: Vec<(ServiceName, Vec<Listed>)>,
    /// Whether more wait.
    pub more: bool,
}

/// Changes that wait to be taken.
#[derive(Debug, Default)]
pub(super) struct Feed {
    waiting: VecDeque<Seen>,
    lost: bool,
}

impl Feed {
    fn push(&mut self, change: Seen) {
        if self.waiting.len() >= MAX_FEED {
            self.lost = true;
            self.waiting.clear();
        }
        if !self.lost {
            self.waiting.push_back(change);
        }
    }
}

impl Member {
    /// Whether those who keep a copy are to see it.
    pub(super) fn is_seen(&self) -> bool {
        self.standing() != Standing::Suspect
    }
}

impl Roster {
    /// Tells the reader, if there is one.
    pub(super) fn tell(&mut self, member: &Member, gone: bool, now: LeaseTime) {
        if let Some(feed) = &mut self.feed {
            feed.push(Seen { at: now, instance: member.instance().clone(), gone });
        }
    }

    /// Keeps changes from now on, and none from before.
    pub(in crate::view) fn begin_feed(&mut self) {
        self.feed = Some(Feed::default());
    }

    /// Takes changes, of services with `limit` instances and one service more; `None`: some were lost, or nothing is kept
    /// yet.
    pub(in crate::view) fn take_feed(&mut self, limit: usize, now: LeaseTime) -> Option<Taken> {
        let mut feed = self.feed.take().filter(|feed| !feed.lost)?;
        let mut taken = Taken::default();
        let mut services: BTreeSet<ServiceName> = BTreeSet::new();
        let mut instances = 0;
        while let Some(next) = feed.waiting.front() {
            let service = &next.instance.service;
            if !services.contains(service) {
                if instances >= limit {
                    break;
                }
                instances +=
                    1 + self.services.get(service).map_or(0, |members| members.by_id.len());
                services.insert(service.clone());
            }
            taken.changes.extend(feed.waiting.pop_front());
        }
        taken.more = !feed.waiting.is_empty();
        self.feed = Some(feed);
        let seen = |service| {
            let listed = self.seen(&service, now);
            (service, listed)
        };
        taken.services = services.into_iter().map(seen).collect();
        Some(taken)
    }

    /// The instances of a service that are seen, in the order of their ids.
    pub(in crate::view) fn seen(&self, service: &ServiceName, now: LeaseTime) -> Vec<Listed> {
        let Some(members) = self.services.get(service) else { return Vec::new() };
        let seen = members.by_id.iter().filter(|member| member.is_seen());
        seen.map(|member| Listed::of(member, now)).collect()
    }
}
