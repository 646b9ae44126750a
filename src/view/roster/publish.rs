//! Publishing: from who is listed to what the names answer.
//!
//! A change opens the names that it touches as drafts; publishing closes them. An instance's own name is published at
//! once: it is there before the service's RRsets name it as a target.

use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::super::Maps;
use super::super::cell::Cell;
use super::super::draft::{Draft, Move, Part};
use super::super::key::Key;
use super::super::made::Made;
use super::super::node::{Labelled, Node, Pointers};
use super::super::renewals::cell_key;
use super::names::{Named, answered, protocol_parent, service_key};
use super::{Member, Place, Roster};
use crate::registry::ServiceName;

/// Instances that PTR names for one address at most: a reply over UDP has room for no more.
const MAX_POINTERS: usize = 32;

/// Who has an address.
#[derive(Debug, Default)]
pub(super) struct AtAddress {
    listed: BTreeMap<Place, Arc<Cell>>,
    /// Those whose label still answers.
    lingering: BTreeMap<Place, Arc<Cell>>,
}

impl Roster {
    /// Publishes all that has changed since the last time; false if nothing has.
    pub(in crate::view) fn publish(&mut self, maps: &Maps) -> bool {
        let drafts = std::mem::take(&mut self.drafts);
        let addresses = std::mem::take(&mut self.dirty_addresses);
        let changed = !drafts.is_empty() || !addresses.is_empty();
        // Who has an address is there before the service names it as a target, and goes after.
        let (kept, gone): (Vec<&IpAddr>, Vec<_>) =
            addresses.iter().partition(|address| self.by_address.contains_key(*address));
        for address in kept {
            self.publish_address(maps, *address);
        }
        let mut made = Made::default();
        for (key, (service, draft)) in drafts {
            self.close(maps, key, &service, draft, &mut made);
        }
        for address in gone {
            self.publish_address(maps, *address);
        }
        changed
    }

    /// What renewals find: the instance's own name, or its id where that is another.
    pub(super) fn publish_cell(&self, maps: &Maps, cell: &Arc<Cell>, held: bool) {
        self.publish_label(maps, cell, held);
        let instance = &cell.instance;
        if !instance.has_id_as_label() {
            let key = cell_key(instance.service.as_str(), instance.id.as_str());
            maps.cells.pin().insert(key, cell.clone());
        }
    }

    /// The instance's own name, in every state while it is listed.
    pub(super) fn publish_label(&self, maps: &Maps, cell: &Arc<Cell>, held: bool) {
        let settings = self.settings.of(&cell.instance.service);
        let has_id = cell.instance.has_id_as_label();
        let labelled = Labelled { cell: cell.clone(), settings, held, has_id };
        maps.labels.pin().insert(label_key(cell), labelled);
    }

    /// Takes away the name of an instance that lingered, unless another has it by now.
    pub(super) fn withdraw_label(&self, maps: &Maps, cell: &Arc<Cell>) {
        let (key, labels) = (label_key(cell), maps.labels.pin());
        if labels.get(&key).is_some_and(|there| Arc::ptr_eq(&there.cell, cell)) {
            labels.remove(&key);
        }
    }

    /// The service's own name is wanted once more, or once less, for the sake of a label that lingers.
    pub(super) fn want_service(&mut self, maps: &Maps, service: &ServiceName, way: Move) {
        self.open(maps, service_key(service), service).want(way);
    }

    /// Puts a member into the names at which it is found, or takes it out.
    pub(super) fn answer(&mut self, maps: &Maps, member: &Member, way: Move) {
        let answering = member.answering();
        for named in answered(member.instance()) {
            let draft = self.open(maps, named.key.clone(), &member.instance().service);
            draft.want(way);
            move_in(draft, &named, member, answering, way);
        }
    }

    /// Moves a member whose standing has changed into the answers, or out of them.
    pub(super) fn change_standing(&mut self, maps: &Maps, before: &Member, after: &Member) {
        if (before.answering(), before.is_held()) == (after.answering(), after.is_held()) {
            return;
        }
        for named in answered(after.instance()) {
            let draft = self.open(maps, named.key.clone(), &after.instance().service);
            // Also where it answers before and after: its deadline counts, which a hold does not move and a
            // renewal does.
            move_in(draft, &named, before, before.answering(), Move::Out);
            move_in(draft, &named, after, after.answering(), Move::In);
        }
    }

    /// Makes all names of a service anew, with other settings.
    pub(super) fn publish_service_anew(&mut self, maps: &Maps, service: &ServiceName) {
        let Some(members) = self.services.get(service) else { return };
        let mut keys = HashSet::from([service_key(service)]);
        for member in &members.by_id {
            keys.extend(answered(member.instance()).into_iter().map(|named| named.key));
        }
        for cell in members.named_cells() {
            self.publish_label(maps, &cell, self.is_held(&cell));
            self.enter_addresses(&cell);
        }
        for key in keys {
            self.open(maps, key, service).open_all();
        }
    }

    /// The name as it is changed.
    fn open(&mut self, maps: &Maps, key: Key, service: &ServiceName) -> &mut Draft {
        let crowds = &mut self.crowds;
        let mut open = |key: &Key| {
            let names = maps.names.pin();
            Draft::of(names.get(key), crowds.remove(key).unwrap_or_default())
        };
        let draft = self.drafts.entry(key);
        &mut draft.or_insert_with_key(|key| (service.clone(), open(key))).1
    }

    fn close(
        &mut self,
        maps: &Maps,
        key: Key,
        service: &ServiceName,
        draft: Draft,
        made: &mut Made,
    ) {
        let names = maps.names.pin();
        let before = names.get(&key);
        let (node, crowds) = draft.close(self.settings.of(service), before, made);
        if !crowds.is_empty() {
            self.crowds.insert(key.clone(), crowds);
        }
        match (node, before) {
            (Some(node), before) => {
                if before.is_none() {
                    self.need_parent(maps, key.octets());
                }
                names.insert(key, node);
            }
            (None, Some(_)) => {
                self.release_parent(maps, key.octets());
                names.remove(&key);
            }
            (None, None) => {}
        }
    }

    /// `_tcp` and `_udp` exist for the sake of the names below.
    fn need_parent(&mut self, maps: &Maps, name: &[u8]) {
        if let Some(parent) = protocol_parent(name) {
            let key = Key::new(parent);
            let needed = self.protocols.entry(key.clone()).or_default();
            *needed += 1;
            if *needed == 1 {
                maps.names.pin().insert(key, Node::default());
            }
        }
    }

    fn release_parent(&mut self, maps: &Maps, name: &[u8]) {
        if let Some(parent) = protocol_parent(name).map(Key::new)
            && let Some(needed) = self.protocols.get_mut(&parent)
        {
            *needed -= 1;
            if *needed == 0 {
                self.protocols.remove(&parent);
                maps.names.pin().remove(&parent);
            }
        }
    }

    pub(super) fn enter_addresses(&mut self, cell: &Arc<Cell>) {
        if self.settings.reverse {
            for address in cell.instance.body.addresses.iter() {
                let at = self.by_address.entry(*address).or_default();
                let lingers = cell.lease.is_dead();
                let cells = if lingers { &mut at.lingering } else { &mut at.listed };
                cells.insert(place_of(cell), cell.clone());
                self.dirty_addresses.insert(*address);
            }
        }
    }

    /// The instance is no longer listed, and its label still answers.
    pub(super) fn linger_address(&mut self, cell: &Arc<Cell>) {
        let place = place_of(cell);
        for address in cell.instance.body.addresses.iter() {
            let Some(at) = self.by_address.get_mut(address) else { continue };
            if at.listed.get(&place).is_some_and(|there| Arc::ptr_eq(there, cell)) {
                at.listed.remove(&place);
                at.lingering.insert(place.clone(), cell.clone());
                self.dirty_addresses.insert(*address);
            }
        }
    }

    pub(super) fn leave_addresses(&mut self, cell: &Arc<Cell>) {
        let place = place_of(cell);
        for address in cell.instance.body.addresses.iter() {
            let Some(at) = self.by_address.get_mut(address) else { continue };
            for cells in [&mut at.listed, &mut at.lingering] {
                // The instance may be there with a new cell.
                if cells.get(&place).is_some_and(|there| Arc::ptr_eq(there, cell)) {
                    cells.remove(&place);
                    self.dirty_addresses.insert(*address);
                }
            }
            if at.listed.is_empty() && at.lingering.is_empty() {
                self.by_address.remove(address);
            }
        }
    }

    fn publish_address(&self, maps: &Maps, address: IpAddr) {
        let Some(at) = self.by_address.get(&address) else {
            maps.addresses.pin().remove(&address);
            return;
        };
        let cells = at.listed.values().chain(at.lingering.values());
        let cells: Box<[_]> = cells.take(MAX_POINTERS).cloned().collect();
        let ttls = cells.iter().map(|cell| self.settings.of(&cell.instance.service).ttl_secs);
        let ttl_secs = ttls.min().unwrap_or(1);
        let addresses = maps.addresses.pin();
        let turns = addresses.get(&address).map_or(0, Pointers::turns);
        addresses.insert(address, Pointers::new(ttl_secs, cells, turns));
    }
}

fn move_in(draft: &mut Draft, named: &Named, member: &Member, answering: bool, way: Move) {
    if let (true, Some(port)) = (answering, named.port) {
        draft.answer(Part { cell: &member.cell, port, addresses: named.addresses }, way);
        if member.is_held() {
            draft.hold(way);
        }
    }
}

fn label_key(cell: &Cell) -> Key {
    Key::of(&[cell.instance.label.as_str(), cell.instance.service.as_str()])
}

fn place_of(cell: &Cell) -> Place {
    (cell.instance.service.clone(), cell.instance.id.clone())
}
