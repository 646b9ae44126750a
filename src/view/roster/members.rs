//! Who is listed of one service, and the counts that follow.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::super::cell::Cell;
use super::super::lease::LeaseTime;
use super::Tally;
use crate::registry::brake::Lapses;
use crate::registry::{Instance, Label, LeaseTerm, State};

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

impl Standing {
    /// The word that stands for it at every door, and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Suspect => "suspect",
            Self::Held => "held",
        }
    }

    /// The standing that a word stands for.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Live, Self::Suspect, Self::Held]
            .into_iter()
            .find(|standing| standing.as_str() == word)
    }
}

/// A listed instance.
#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) cell: Arc<Cell>,
    /// Where its lease stands if it does not run.
    lapsed: Option<Box<Lapsed>>,
}

/// A lease that has lapsed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lapsed {
    pub(super) standing: Standing,
    /// When the suspect or held instance's time is up.
    pub(super) until: LeaseTime,
    /// Since when it is held, if it is: no brake holds longer than the global one may.
    pub(super) held_since: LeaseTime,
}

impl Member {
    pub(super) fn live(cell: Arc<Cell>) -> Self {
        Self { cell, lapsed: None }
    }

    pub(super) fn lapsed(cell: Arc<Cell>, lapsed: Lapsed) -> Self {
        Self { cell, lapsed: Some(Box::new(lapsed)) }
    }

    pub(super) fn standing(&self) -> Standing {
        self.lapsed.as_ref().map_or(Standing::Live, |lapsed| lapsed.standing)
    }

    /// When it lapsed and what follows, if it did.
    pub(super) fn lapse(&self) -> Option<Lapsed> {
        self.lapsed.as_deref().copied()
    }

    /// Whether the brake keeps it in the answers.
    pub(super) fn is_held(&self) -> bool {
        self.standing() == Standing::Held
    }

    pub(super) fn instance(&self) -> &Arc<Instance> {
        &self.cell.instance
    }

    /// Whether it belongs into the answers.
    pub(super) fn answering(&self) -> bool {
        self.standing() != Standing::Suspect && self.instance().state() == State::Up
    }

    pub(super) fn has_end(&self) -> bool {
        self.instance().body.lease != LeaseTerm::Endless
    }
}

impl Borrow<str> for Member {
    fn borrow(&self) -> &str {
        self.instance().id.as_str()
    }
}

impl PartialEq for Member {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Member {}

impl PartialOrd for Member {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Member {
    fn cmp(&self, other: &Self) -> Ordering {
        self.instance().id.cmp(&other.instance().id)
    }
}

/// One service's instances.
#[derive(Debug, Default)]
pub(super) struct Members {
    /// In the order of their ids.
    pub(super) by_id: BTreeSet<Member>,
    /// Labels that answer a while longer than their instance was listed.
    pub(super) lingering: BTreeMap<Label, Arc<Cell>>,
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
        let live = member.standing() == Standing::Live;
        for (figure, counts) in [
            (&mut tally.instances[state][member.standing() as usize], true),
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
        if member.is_held() {
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
        let listed = self.by_id.iter().map(|member| &member.cell);
        listed.chain(self.lingering.values()).cloned().collect()
    }
}
