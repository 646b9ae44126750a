//! What the store is owed: what has happened already and does not wait for the disk. It goes with the next commit.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::history::Event;
use crate::registry::Change;

/// Changes, and events, that one commit takes at most, so that commands do not wait for all that a mass expiry owes.
const OWED_A_COMMIT: usize = 4_096;
/// Events that wait for a disk that does not work at most: as many as are mostly kept.
const MAX_EVENTS: usize = 65_536;

/// What is to be made durable.
#[derive(Debug, Default)]
pub(super) struct Owed {
    /// Removals of expired instances.
    pub(super) changes: Vec<Change>,
    /// What was told of leases, and of these removals.
    pub(super) events: VecDeque<Arc<Event>>,
    /// Revisions of events that are kept no longer.
    pub(super) forgotten: VecDeque<u64>,
    /// The last event that waited too long; 0: none did.
    lost: u64,
}

impl Owed {
    /// Whether there is something that is not to wait for the next change; what is forgotten may.
    pub(super) fn presses(&self) -> bool {
        !self.changes.is_empty() || !self.events.is_empty()
    }

    /// Adds events that were told, and what was forgotten for them.
    pub(super) fn tell(
        &mut self,
        events: impl IntoIterator<Item = Arc<Event>>,
        forgotten: Vec<u64>,
    ) {
        self.events.extend(events);
        self.forgotten.extend(forgotten);
        while self.events.len() > MAX_EVENTS {
            self.lost = self.events.pop_front().map_or(self.lost, |event| event.revision);
        }
        // Those beyond are forgotten when the server starts again.
        let too_many = self.forgotten.len().saturating_sub(MAX_EVENTS);
        self.forgotten.drain(..too_many);
    }

    /// No event that was not lost on the way is missing after this revision.
    pub(super) fn lost(&self) -> u64 {
        self.lost
    }

    /// Whether it is more than one commit takes.
    pub(super) fn exceeds_a_commit(&self) -> bool {
        let Self { changes, events, forgotten, lost: _ } = self;
        [changes.len(), events.len(), forgotten.len()].into_iter().max() > Some(OWED_A_COMMIT)
    }

    /// Takes as much of it as one commit does.
    pub(super) fn take_some(&mut self) -> Self {
        let some = |len: usize| len.min(OWED_A_COMMIT);
        Self {
            changes: self.changes.drain(..some(self.changes.len())).collect(),
            events: self.events.drain(..some(self.events.len())).collect(),
            forgotten: self.forgotten.drain(..some(self.forgotten.len())).collect(),
            lost: self.lost,
        }
    }

    /// Puts back, before what came since, what could not be written.
    pub(super) fn put_back(&mut self, mut some: Self) {
        some.changes.append(&mut self.changes);
        some.events.append(&mut self.events);
        some.forgotten.append(&mut self.forgotten);
        *self = some;
    }

    /// Adds what a batch did; gives how much there was before.
    pub(super) fn add(&mut self, changes: &[Change], events: &[Arc<Event>]) -> (usize, usize) {
        let before = (self.changes.len(), self.events.len());
        self.changes.extend_from_slice(changes);
        self.events.extend(events.iter().cloned());
        before
    }

    /// Takes what a batch did out again.
    pub(super) fn cut(&mut self, (changes, events): (usize, usize)) {
        self.changes.truncate(changes);
        self.events.truncate(events);
    }
}
