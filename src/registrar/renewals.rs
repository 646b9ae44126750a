//! Renewals as doors make them: a batch at one moment, counted when it is done.

use std::cell::Cell;
use std::sync::Arc;

use super::Renewed;
use super::gauges::Gauges;
use crate::registry::{Actor, Instance};
use crate::view;

/// A batch of renewals.
pub struct Renewals<'a> {
    leases: view::Renewals<'a>,
    renewed: Cell<u64>,
    unknown: Cell<u64>,
    gauges: &'a Gauges,
}

impl<'a> Renewals<'a> {
    pub(super) fn new(leases: view::Renewals<'a>, gauges: &'a Gauges) -> Self {
        Self { leases, renewed: Cell::new(0), unknown: Cell::new(0), gauges }
    }

    /// The instance as it is listed. Waits for nobody.
    pub fn instance(&self, service: &str, id: &str) -> Option<&Arc<Instance>> {
        self.leases.instance(service, id)
    }

    /// Renews a lease for its term, if it is the actor's to renew.
    pub fn renew(&self, service: &str, id: &str, actor: &Actor) -> Renewed {
        let renewed = self.leases.renew(service, id, actor);
        self.count(renewed);
        renewed
    }

    /// Renews many leases that are the actor's to renew, and hands over with each name what became of it.
    pub fn renew_all<'n, N: AsRef<str>>(
        &self,
        names: &'n [(N, N)],
        actor: &Actor,
        mut each: impl FnMut(&'n (N, N), Renewed),
    ) {
        self.leases.renew_all(names, actor, |name, renewed| {
            self.count(renewed);
            each(name, renewed);
        });
    }

    fn count(&self, renewed: Renewed) {
        match renewed {
            Renewed::Renewed(_) => self.renewed.set(self.renewed.get() + 1),
            Renewed::Unknown => self.unknown.set(self.unknown.get() + 1),
            Renewed::Loading | Renewed::NotYours => {}
        }
    }
}

impl Drop for Renewals<'_> {
    fn drop(&mut self) {
        self.gauges.renewals.add(self.renewed.get());
        self.gauges.unknown_renewals.add(self.unknown.get());
    }
}
