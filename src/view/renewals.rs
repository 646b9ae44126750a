//! Renewals: the commonest write. Each finds a cell and moves its deadline; nothing is published.

use std::sync::Arc;

use super::cell::Cell;
use super::key::{Hashed, Key, Sought};
use super::lease::{self, LeaseTime, Renewal};
use super::node::Labelled;
use super::{MapRef, View, wire};
use crate::registry::{Actor, Instance, LeaseTerm, MAX_ID_OCTETS, MAX_SERVICE_OCTETS};

/// Cells that are looked up before the first of them is renewed.
const AHEAD: usize = 16;

/// What became of a renewal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewed {
    /// The lease runs its term again.
    Renewed(LeaseTerm),
    /// Not listed: register again.
    Unknown,
    /// Another principal's.
    NotYours,
    /// The registry is still being loaded, and it is not known yet: ask again soon.
    Loading,
}

/// The cells, pinned for a batch of renewals that are all made at one moment.
pub struct Renewals<'a> {
    view: &'a View,
    labels: MapRef<'a, Key, Labelled, Hashed>,
    cells: MapRef<'a, Key, Arc<Cell>, Hashed>,
    now: LeaseTime,
    /// Asked before anything is looked up: what is loaded meanwhile may be what is looked for.
    loaded: bool,
}

impl View {
    /// Pins the cells for renewals at `now`.
    pub fn renewals(&self, now: LeaseTime) -> Renewals<'_> {
        let loaded = self.loaded();
        let (labels, cells) = (self.maps.labels.pin(), self.maps.cells.pin());
        Renewals { view: self, labels, cells, now, loaded }
    }

    /// Renews a lease for its term from `now`: a compare-and-swap, unless the lease has lapsed just before.
    pub fn renew(&self, service: &str, id: &str, now: LeaseTime) -> Renewed {
        self.renewals(now).renew(service, id, &Actor::ANYBODY)
    }
}

impl Renewals<'_> {
    /// The instance as it is listed; it may be off the list by now.
    pub fn instance(&self, service: &str, id: &str) -> Option<&Arc<Instance>> {
        if service.len() > MAX_SERVICE_OCTETS || id.len() > MAX_ID_OCTETS {
            return None;
        }
        self.find(service, id).filter(|cell| !cell.lease.is_dead()).map(|cell| &cell.instance)
    }

    /// Renews a lease for its term, if it is the actor's to renew.
    pub fn renew(&self, service: &str, id: &str, actor: &Actor) -> Renewed {
        if service.len() > MAX_SERVICE_OCTETS || id.len() > MAX_ID_OCTETS {
            return Renewed::Unknown; // nothing can be listed under such names
        }
        let is_others = std::cell::Cell::new(false);
        // Looked at each time: what is listed under a name may have become somebody else's.
        let find = || {
            let found = self.find(service, id)?;
            is_others.set(!may_renew(actor, found));
            (!is_others.get()).then_some(found)
        };
        let renewed = lease::renew_listed(
            find,
            |cell| &cell.lease,
            |one, other| Arc::ptr_eq(one, other),
            |cell| self.end_of(cell),
            |cell| self.view.revive(cell, self.now),
        );
        match renewed {
            Some(cell) => Renewed::Renewed(cell.term()),
            None if is_others.get() => Renewed::NotYours,
            None if self.loaded => Renewed::Unknown,
            None => Renewed::Loading,
        }
    }

    /// Renews many leases, and hands over with each name what became of it.
    ///
    /// Some are looked up first, then all their cells are read, and then they are renewed: so cells come out of memory
    /// side by side, which they do neither across a compare-and-swap nor between two look-ups.
    pub fn renew_all<'n, N: AsRef<str>>(
        &self,
        names: &'n [(N, N)],
        actor: &Actor,
        mut each: impl FnMut(&'n (N, N), Renewed),
    ) {
        for names in names.chunks(AHEAD) {
            let mut cells = [None; AHEAD];
            for ((service, id), cell) in names.iter().zip(&mut cells) {
                *cell = self.find(service.as_ref(), id.as_ref());
            }
            let ends = cells.map(|cell| cell.map(|cell| (cell, self.end_of(cell))));
            for (name, end) in names.iter().zip(ends) {
                let end = end.filter(|(cell, _)| may_renew(actor, cell));
                let renewed = match end.map(|(cell, end)| (cell.lease.renew(end), cell.term())) {
                    Some((Renewal::Renewed(_), term)) => Renewed::Renewed(term),
                    _ => self.renew(name.0.as_ref(), name.1.as_ref(), actor),
                };
                each(name, renewed);
            }
        }
    }

    /// The cell of an instance: at the label that is its id, or else by its id.
    fn find(&self, service: &str, id: &str) -> Option<&Arc<Cell>> {
        let mut room = [0; wire::MAX_NAME];
        if let Some(name) = wire::write_under(id, service, &mut room)
            && let Some(labelled) = self.labels.get(&Sought::new(name))
            && labelled.has_id
        {
            return Some(&labelled.cell);
        }
        let mut buffer = [0; KEY_OCTETS];
        self.cells.get(&Sought::new(write_key(&mut buffer, service, id)?))
    }

    fn end_of(&self, cell: &Cell) -> LeaseTime {
        self.now.plus(cell.term().millis().unwrap_or(0))
    }
}

/// Whether a lease is the actor's to renew. Who administers may renew all: the instance is not read for that.
fn may_renew(actor: &Actor, cell: &Cell) -> bool {
    actor.is_admin || actor.may_touch(cell.instance.owner)
}

/// Octets of a cell's key at most.
const KEY_OCTETS: usize = MAX_SERVICE_OCTETS + 1 + MAX_ID_OCTETS;

/// A cell's key: the service, a NUL, and the id.
fn write_key<'b>(buffer: &'b mut [u8], service: &str, id: &str) -> Option<&'b [u8]> {
    let (name, end) = (service.len(), service.len() + 1 + id.len());
    buffer.get_mut(..name)?.copy_from_slice(service.as_bytes());
    *buffer.get_mut(name)? = 0;
    buffer.get_mut(name + 1..end)?.copy_from_slice(id.as_bytes());
    buffer.get(..end)
}

/// The key of what is listed under these names.
pub(super) fn cell_key(service: &str, id: &str) -> Key {
    let mut buffer = [0; KEY_OCTETS];
    Key::new(write_key(&mut buffer, service, id).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::{Instance, InstanceId, Label};
    use crate::view::LeaseStart;
    use crate::view::testing::cell;

    const NOW: LeaseTime = LeaseTime::from_millis(20_000);

    /// A view of these instances, each with the first of its labels that is free.
    fn view_of(ids: impl Iterator<Item = String>) -> View {
        let view = View::default();
        let mut edit = view.edit(LeaseTime::from_millis(0));
        let mut taken = Vec::new();
        for id in ids {
            let id = InstanceId::parse(&id).unwrap();
            let label = Label::candidates(&id).find(|label| !taken.contains(label)).unwrap();
            taken.push(label.clone());
            let made = cell("web", "any", &["10.0.0.1"], None, |_| ());
            let instance = Instance { id, label, ..Instance::clone(&made.instance) };
            edit.list(&Arc::new(instance), LeaseStart::Term);
        }
        drop(edit);
        view
    }

    fn listed(view: &View, id: &str) -> Arc<Cell> {
        view.renewals(NOW).find("web", id).unwrap().clone()
    }

    #[test]
    fn many_are_renewed_as_one_is() {
        // One too long for a label, and one whose label is the id of another.
        let odd = InstanceId::parse("Odd 1").unwrap();
        let odds = || Label::candidates(&odd).map(|label| label.to_string()).take(1);
        let odds = || ["x".repeat(64), odd.to_string()].into_iter().chain(odds());
        let ids = || (0..2 * AHEAD + 3).map(|n| format!("i-{n}")).chain(odds());
        let view = view_of(ids());
        assert_eq!(view.maps.cells.pin().len(), 3);
        // i-1 has lapsed, i-2 is over.
        for id in ["i-1", "i-2"] {
            let lapsed = listed(&view, id).lease.lapse(LeaseTime::from_millis(40_000));
            assert!(matches!(lapsed, crate::view::lease::Judgement::Lapsed));
        }
        listed(&view, "i-2").lease.kill();
        let unlisted = ["nobody".to_owned(), "y".repeat(KEY_OCTETS)];
        let names: Vec<_> =
            ids().chain(unlisted.clone()).map(|id| ("web".to_owned(), id)).collect();
        let unknown = |loaded| {
            let mut unknown = Vec::new();
            view.put_state(1, loaded);
            view.renewals(NOW).renew_all(&names, &Actor::ANYBODY, |name, renewed| match renewed {
                Renewed::Renewed(term) => assert_eq!(term, LeaseTerm::Secs(30)),
                other => unknown.push((name.1.clone(), other)),
            });
            unknown
        };
        let told = |renewed| {
            vec![
                ("i-2".to_owned(), renewed),
                (unlisted[0].clone(), renewed),
                (unlisted[1].clone(), Renewed::Unknown),
            ]
        };
        assert_eq!(unknown(false), told(Renewed::Loading));
        assert_eq!(unknown(true), told(Renewed::Unknown));
        for id in ids().filter(|id| id != "i-2") {
            let cell = listed(&view, &id);
            assert_eq!(cell.instance.id.as_str(), id);
            assert_eq!(cell.lease.deadline(), Some(NOW.plus(30_000)), "{id}");
        }
    }
}
