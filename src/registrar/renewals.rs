//! Renewals as doors make them: a batch at one moment, counted when it is done.

use std::cell::Cell;

use super::Renewed;
use super::gauges::Gauges;
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

    /// Renews a lease for its term.
    pub fn renew(&self, service: &str, id: &str) -> Renewed {
        let renewed = self.leases.renew(service, id);
        self.count(renewed);
        renewed
    }

    /// Renews many leases, and hands over with each name what became of it.
    pub fn renew_all<'n, N: AsRef<str>>(
        &self,
        names: &'n [(N, N)],
        mut each: impl FnMut(&'n (N, N), Renewed),
    ) {
        self.leases.renew_all(names, |name, renewed| {
            self.count(renewed);
            each(name, renewed);
        });
    }

    fn count(&self, renewed: Renewed) {
        match renewed {
            Renewed::Renewed(_) => self.renewed.set(self.renewed.get() + 1),
            Renewed::Unknown => self.unknown.set(self.unknown.get() + 1),
            Renewed::Loading => {}
        }
    }
}

impl Drop for Renewals<'_> {
    fn drop(&mut self) {
        self.gauges.renewals.add(self.renewed.get());
        self.gauges.unknown_renewals.add(self.unknown.get());
    }
}
