//! Leases that have come to stand elsewhere, for the registrar, who tells of it.
//!
//! What is kept is where each stood before, not every step: what went and came back between two looks is not told. So it
//! is bounded by what is listed, and a registration, which makes a lease live, or the end of one has nothing to undo.

use std::sync::Arc;

use super::{HELD_BY_ALL, Roster, Standing};
use crate::registry::Instance;

/// A lease that stands elsewhere than it did.
#[derive(Debug, Clone)]
pub struct Stood {
    /// The instance.
    pub instance: Arc<Instance>,
    /// Where its lease stands now.
    pub standing: Standing,
    /// Whether it is held by the brake over all services.
    pub by_all: bool,
}

impl Roster {
    /// Whether any lease stands elsewhere than was told.
    pub(in crate::view) fn has_stood(&self) -> bool {
        !self.stood.is_empty()
    }

    /// Takes those that do, in the order of services and ids.
    pub(in crate::view) fn take_stood(&mut self) -> Vec<Stood> {
        let mut stood: Vec<_> = std::mem::take(&mut self.stood).into_iter().collect();
        stood.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        let now = stood.into_iter().filter_map(|((service, id), before)| {
            let member = self.member(&service, &id)?;
            let by_all = member.lapse().is_some_and(|lapsed| lapsed.until == HELD_BY_ALL);
            let standing = member.standing();
            let instance = member.instance().clone();
            (standing != before).then_some(Stood { instance, standing, by_all })
        });
        now.collect()
    }

    /// What is told of the instance otherwise says where its lease stands.
    pub(super) fn forget_stood(&mut self, instance: &Instance) {
        if !self.stood.is_empty() {
            self.stood.remove(&(instance.service.clone(), instance.id.clone()));
        }
    }
}
