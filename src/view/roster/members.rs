//! Who is listed of one service, and the counts that follow.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::super::cell::Cell;
use super::super::lease::LeaseTime;
use super::Tally;
use crate::registry::brake::Lapses;
use crate::registry::{Instance, InstanceId, Label, LeaseTerm, State};

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

/// A listed instance.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) cell: Arc<Cell>,
    pub(super) standing: Standing,
    /// When a suspect or held instance's time is up.
    pub(super) until: LeaseTime,
    /// Since when it is held, while it is: no brake holds longer than the global one may.
    pub(super) held_since: LeaseTime,
}

impl Member {
    pub(super) fn live(cell: Arc<Cell>) -> Self {
        let never = LeaseTime::default();
        Self { cell, standing: Standing::Live, until: never, held_since: never }
    }

    pub(super) fn snapshot(&self) -> Member {
        let Self { standing, until, held_since, .. } = *self;
        Member { cell: self.cell.clone(), standing, until, held_since }
    }

    pub(super) fn instance(&self) -> &Arc<Instance> {
        &self.cell.instance
    }

    /// Whether it belongs into the answers.
    pub(super) fn answering(&self) -> bool {
        self.standing != Standing::Suspect && self.instance().state() == State::Up
    }

    pub(super) fn has_end(&self) -> bool {
        self.instance().body.lease != LeaseTerm::Endless
    }
}

/// One service's instances.
#[derive(Debug, Default)]
pub(super) struct Members {
    pub(super) by_id: BTreeMap<InstanceId, Member>,
    /// Labels that answer a while longer than their instance was listed.
    pub(super) lingering: HashMap<Label, Arc<Cell>>,
    pub(super) lapses: Lapses,
    pub(super) answering: usize,
    pub(super) held: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Count {
    In,
    Out,
}

impl Members {
    /// Counts a member in or out, for the service and for all.
    pub(super) fn count(&mut self, member: &Member, tally: &mut Tally, count: Count) {
        let state = member.instance().state() as usize;
        let live = member.standing == Standing::Live;
        for (figure, counts) in [
            (&mut tally.instances[state][member.standing as usize], true),
            (&mut tally.answering, member.answering()),
            (&mut self.answering, member.answering()),
            (&mut tally.endless, !member.has_end()),
            (&mut tally.lapses.live, member.has_end() && live),
            (&mut self.lapses.live, member.has_end() && live),
            (&mut tally.lapses.lapsed, !live),
            (&mut self.lapses.lapsed, !live),
        ] {
            match count {
                Count::In => *figure += usize::from(counts),
                Count::Out => *figure -= usize::from(counts),
            }
        }
        let held_before = self.held;
        if member.standing == Standing::Held {
            match count {
                Count::In => self.held += 1,
                Count::Out => self.held -= 1,
            }
        }
        match (held_before, self.held) {
            (0, 1) => tally.services_braked += 1,
            (1, 0) => tally.services_braked -= 1,
            _ => {}
        }
    }

    /// The cells whose labels have addresses: the listed and the lingering ones.
    pub(super) fn named_cells(&self) -> Vec<Arc<Cell>> {
        let listed = self.by_id.values().map(|member| &member.cell);
        listed.chain(self.lingering.values()).cloned().collect()
    }
}
