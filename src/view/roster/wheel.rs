//! A timing wheel: when to look at which lease.
//!
//! A renewal does not touch the wheel. A cell is looked at when its deadline as it was known has passed; if it
//! was renewed since, it is put in again at its new one. So a lease costs one look a term, whatever it is
//! renewed. A deadline beyond the horizon is looked at there first.

use std::sync::{Arc, Weak};

use super::super::cell::Cell;
use super::super::lease::{Judgement, LeaseTime};

/// How far apart looks are: with the tick it bounds how late a lapse is noticed.
const SLOT_MS: u64 = 10;
/// Slots in the wheel: a horizon of 164 seconds, beyond the usual lease.
const SLOTS: u64 = 16_384;

/// Cells by when to look at them.
#[derive(Debug)]
pub(super) struct Wheel {
    /// Not held: of a cell that was replaced, and of its instance, nothing is kept until then.
    slots: Box<[Vec<Weak<Cell>>]>,
    /// The number of the first slot that has not been looked at.
    next: u64,
}

impl Default for Wheel {
    fn default() -> Self {
        Self { slots: (0..SLOTS).map(|_| Vec::new()).collect(), next: 0 }
    }
}

impl Wheel {
    /// Puts a cell in to be looked at just after its deadline; one without end is not put in.
    pub(super) fn insert(&mut self, cell: &Arc<Cell>) {
        if let Some(deadline) = cell.lease.deadline() {
            self.insert_at(Arc::downgrade(cell), deadline);
        }
    }

    fn insert_at(&mut self, cell: Weak<Cell>, deadline: LeaseTime) {
        let slot = (deadline.millis() / SLOT_MS).clamp(self.next, self.next + SLOTS - 1);
        if let Some(cells) = self.slots.get_mut(index(slot)) {
            cells.push(cell);
        }
    }

    /// Judges every cell that is due at `now`; gives those that lapsed.
    pub(super) fn advance(&mut self, now: LeaseTime) -> Vec<Arc<Cell>> {
        let mut lapsed = Vec::new();
        let end = now.millis() / SLOT_MS; // the slot that has not passed yet
        while self.next < end {
            let slot = self.next;
            self.next += 1;
            let due = self.slots.get_mut(index(slot)).map(std::mem::take).unwrap_or_default();
            for weak in due {
                let Some(cell) = weak.upgrade() else { continue };
                match cell.lease.lapse(now) {
                    Judgement::Lapsed => lapsed.push(cell),
                    Judgement::LiveUntil(deadline) => self.insert_at(weak, deadline),
                    Judgement::NotLive => {}
                }
            }
        }
        lapsed
    }
}

#[allow(clippy::cast_possible_truncation)] // smaller than SLOTS
fn index(slot: u64) -> usize {
    (slot % SLOTS) as usize
}
