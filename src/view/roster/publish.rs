//! Publishing: from who is listed to what the names answer.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::Arc;

use super::super::cell::Cell;
use super::super::node::{Node, Pointers};
use super::super::rrset::{Address, RRset, Record, Srv};
use super::super::{Maps, wire};
use super::{AnswerSettings, Member, Members, Place, Roster, Standing};
use crate::registry::{Instance, Protocol, ServiceName, Tag};

/// Instances that PTR names for one address at most: a reply over UDP has room for no more.
const MAX_POINTERS: usize = 32;

/// What a name is to answer: its members with the port that SRV gives, and whether it has addresses.
#[derive(Default)]
struct Draft<'a> {
    addresses: bool,
    members: Vec<(&'a Arc<Cell>, u16)>,
    held: bool,
}

impl Roster {
    /// Publishes all that has changed since the last time; false if nothing has.
    pub(in crate::view) fn publish(&mut self, maps: &Maps) -> bool {
        let services = std::mem::take(&mut self.dirty);
        let addresses = std::mem::take(&mut self.dirty_addresses);
        // Who has an address is there before the service names it as a target, and goes after.
        let (kept, gone): (Vec<&IpAddr>, Vec<_>) =
            addresses.iter().partition(|address| self.by_address.contains_key(*address));
        for address in kept {
            self.publish_address(maps, *address);
        }
        for service in &services {
            self.publish_service(maps, service);
        }
        for address in gone {
            self.publish_address(maps, *address);
        }
        !services.is_empty() || !addresses.is_empty()
    }

    /// The instance's own name, in every state while it is listed. It is there before the service's RRsets
    /// name it as a target.
    pub(super) fn publish_label(&self, maps: &Maps, cell: &Arc<Cell>, held: bool) {
        let settings = self.settings.of(&cell.instance.service);
        let mut draft = Draft { addresses: true, held, ..Draft::default() };
        draft.members.push((cell, cell.instance.body.port));
        put(maps, cell.host.clone(), draft, settings);
    }

    pub(super) fn enter_addresses(&mut self, cell: &Arc<Cell>) {
        if self.settings.reverse {
            for address in &cell.instance.body.addresses {
                let cells = self.by_address.entry(*address).or_default();
                cells.insert(place_of(cell), cell.clone());
                self.dirty_addresses.insert(*address);
            }
        }
    }

    pub(super) fn leave_addresses(&mut self, cell: &Arc<Cell>) {
        let place = place_of(cell);
        for address in &cell.instance.body.addresses {
            let Some(cells) = self.by_address.get_mut(address) else { continue };
            // The instance may be there with a new cell.
            if cells.get(&place).is_some_and(|there| Arc::ptr_eq(there, cell)) {
                cells.remove(&place);
                if cells.is_empty() {
                    self.by_address.remove(address);
                }
                self.dirty_addresses.insert(*address);
            }
        }
    }

    fn publish_service(&mut self, maps: &Maps, service: &ServiceName) {
        let Some(members) = self.services.get_mut(service) else { return };
        let settings = self.settings.of(service);
        let drafts = drafts(service, members);
        let names: BTreeSet<_> = drafts.keys().cloned().collect();
        for (name, draft) in drafts {
            put(maps, name, draft, settings);
        }
        let before = std::mem::replace(&mut members.published, names);
        let gone: Vec<_> = before.difference(&members.published).cloned().collect();
        let come: Vec<_> = members.published.difference(&before).cloned().collect();
        if members.by_id.is_empty() && members.lingering.is_empty() {
            self.services.remove(service);
        }
        for name in &come {
            self.need_parent(maps, name);
        }
        if !gone.is_empty() {
            self.withdraw(maps, service, &gone);
        }
    }

    /// Takes names away that the service no longer has. One that was a tag's may be an instance's label by now,
    /// or may have been the label of one that still lingers: then it is that again.
    fn withdraw(&mut self, maps: &Maps, service: &ServiceName, gone: &[Box<[u8]>]) {
        let cells = self.services.get(service).map(Members::named_cells).unwrap_or_default();
        let labels: HashMap<&[u8], &Arc<Cell>> =
            cells.iter().map(|cell| (&*cell.host, cell)).collect();
        for name in gone {
            match labels.get(&**name) {
                Some(cell) => self.publish_label(maps, cell, self.is_held(cell)),
                None => drop(maps.names.pin().remove(name)),
            }
            self.release_parent(maps, name);
        }
    }

    /// `_tcp` and `_udp` exist for the sake of the names below.
    fn need_parent(&mut self, maps: &Maps, name: &[u8]) {
        if let Some(parent) = protocol_parent(name) {
            let needed = self.protocols.entry(parent.into()).or_default();
            *needed += 1;
            if *needed == 1 {
                maps.names.pin().insert(parent.into(), Node::default());
            }
        }
    }

    fn release_parent(&mut self, maps: &Maps, name: &[u8]) {
        if let Some(parent) = protocol_parent(name)
            && let Some(needed) = self.protocols.get_mut(parent)
        {
            *needed -= 1;
            if *needed == 0 {
                self.protocols.remove(parent);
                maps.names.pin().remove(parent);
            }
        }
    }

    fn publish_address(&self, maps: &Maps, address: IpAddr) {
        let Some(cells) = self.by_address.get(&address) else {
            maps.addresses.pin().remove(&address);
            return;
        };
        let (lingering, listed): (Vec<_>, Vec<_>) =
            cells.values().partition(|cell| cell.lease.is_dead());
        let cells: Box<[_]> =
            listed.into_iter().chain(lingering).take(MAX_POINTERS).cloned().collect();
        let ttls = cells.iter().map(|cell| self.settings.of(&cell.instance.service).ttl_secs);
        let ttl_secs = ttls.min().unwrap_or(1);
        let addresses = maps.addresses.pin();
        let turns = addresses.get(&address).map_or(0, Pointers::turns);
        addresses.insert(address, Pointers::new(ttl_secs, cells, turns));
    }
}

fn place_of(cell: &Cell) -> Place {
    (cell.instance.service.clone(), cell.instance.id.clone())
}

/// The names that a registration makes exist, relative to the zone: what a zone file must not have.
pub fn names_of(instance: &Instance) -> Vec<Box<[u8]>> {
    let service = instance.service.as_str();
    let mut names = vec![
        wire::relative(&[service]),
        wire::relative(&[
            main_port_label(service).as_str(),
            protocol_label(instance.body.protocol),
        ]),
        wire::relative(&[instance.label.as_str(), service]),
    ];
    names.extend(instance.body.tag_labels().iter().map(|tag| wire::relative(&[tag, service])));
    names.extend(instance.body.ports.iter().map(|(port, _)| port_name(port.as_str(), service)));
    names
}

/// What of a registration makes one of [`names_of`] its names.
pub fn field_of(instance: &Instance, name: &[u8]) -> &'static str {
    let service = instance.service.as_str();
    let is = |label: &str| *wire::relative(&[label, service]) == *name;
    let version = instance.body.version.as_ref().and_then(Tag::label);
    if is(instance.label.as_str()) {
        "id"
    } else if version.is_some_and(|version| is(&version)) {
        "version"
    } else if instance.body.tags.iter().filter_map(Tag::label).any(|tag| is(&tag)) {
        "tags"
    } else if instance
        .body
        .ports
        .iter()
        .any(|(port, _)| *port_name(port.as_str(), service) == *name)
    {
        "ports"
    } else {
        "service"
    }
}

fn main_port_label(service: &str) -> String {
    format!("_{service}")
}

fn port_name(port: &str, service: &str) -> Box<[u8]> {
    wire::relative(&[format!("_{port}").as_str(), "_tcp", service])
}

fn protocol_label(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "_tcp",
        Protocol::Udp => "_udp",
    }
}

/// `_tcp` of `_web._tcp`: the parent that several services share.
fn protocol_parent(name: &[u8]) -> Option<&[u8]> {
    let first = usize::from(*name.first()?);
    let parent = name.get(first + 1..)?;
    matches!(parent, b"\x04_tcp" | b"\x04_udp").then_some(parent)
}

/// What each name of a service is to answer, the labels of its instances apart.
fn drafts<'a>(service: &ServiceName, members: &'a Members) -> BTreeMap<Box<[u8]>, Draft<'a>> {
    let name = service.as_str();
    let mut drafts = BTreeMap::new();
    if members.by_id.is_empty() && members.lingering.is_empty() {
        return drafts;
    }
    let mut all = Draft { addresses: true, ..Draft::default() };
    let mut by_protocol = [None, None];
    for member in members.by_id.values() {
        let body = &member.instance().body;
        all.take(member, body.port);
        let [tcp, udp] = &mut by_protocol;
        let main: &mut Option<Draft<'_>> = match body.protocol {
            Protocol::Tcp => tcp,
            Protocol::Udp => udp,
        };
        main.get_or_insert_default().take(member, body.port);
        for tag in body.tag_labels() {
            let tagged: &mut Draft<'_> = drafts.entry(wire::relative(&[&*tag, name])).or_default();
            tagged.addresses = true;
            tagged.take(member, body.port);
        }
        for (port_label, port) in &body.ports {
            drafts.entry(wire::relative(&["_tcp", name])).or_default();
            drafts.entry(port_name(port_label.as_str(), name)).or_default().take(member, *port);
        }
    }
    let main_port = main_port_label(name);
    for (protocol, main) in [Protocol::Tcp, Protocol::Udp].into_iter().zip(by_protocol) {
        let label = protocol_label(protocol);
        drafts.extend(main.map(|main| (wire::relative(&[main_port.as_str(), label]), main)));
    }
    drafts.insert(wire::relative(&[name]), all);
    drafts
}

impl<'a> Draft<'a> {
    /// Makes the name exist for the sake of a member, and adds the member if it answers.
    fn take(&mut self, member: &'a Member, port: u16) {
        if member.answering() {
            self.members.push((&member.cell, port));
            self.held |= member.standing == Standing::Held;
        }
    }
}

/// Puts a name's node into the map. Turns go on where they were, so that a change does not favour the first.
fn put(maps: &Maps, name: Box<[u8]>, draft: Draft<'_>, settings: AnswerSettings) {
    let names = maps.names.pin();
    let before = names.get(&name);
    let turns = |rrset: Option<u64>| rrset.unwrap_or(0);
    let a_turns = turns(before.and_then(|node| node.a.as_ref()).map(RRset::turns));
    let aaaa_turns = turns(before.and_then(|node| node.aaaa.as_ref()).map(RRset::turns));
    let srv_turns = turns(before.and_then(|node| node.srv.as_ref()).map(RRset::turns));
    let Draft { addresses, members, held } = draft;
    let mut node =
        Node { ttl_secs: settings.ttl_secs, max_answers: settings.max_answers, ..Node::default() };
    if addresses {
        node.a = RRset::new(best_addresses(&members, |cell| &cell.v4), a_turns, held);
        node.aaaa = RRset::new(best_addresses(&members, |cell| &cell.v6), aaaa_turns, held);
    }
    let srv = members.into_iter().map(|(cell, port)| Srv { port, cell: cell.clone() });
    node.srv = RRset::new(srv.collect(), srv_turns, held);
    names.insert(name, node);
}

/// The distinct addresses of the best priority that has any, with the weights of those who share one added up.
fn best_addresses<A: Copy + Eq + Hash>(
    members: &[(&Arc<Cell>, u16)],
    addresses: impl Fn(&Cell) -> &[A],
) -> Vec<Address<A>>
where
    Address<A>: Record,
{
    let having = members.iter().filter(|(cell, _)| !addresses(cell).is_empty());
    let Some(best) = having.map(|(cell, _)| cell.instance.body.priority).min() else {
        return Vec::new();
    };
    let mut found: Vec<(A, u32, Vec<Arc<Cell>>)> = Vec::new();
    let mut places = HashMap::new();
    for (cell, _) in members.iter().filter(|(cell, _)| cell.instance.body.priority == best) {
        for address in addresses(cell) {
            let place = *places.entry(*address).or_insert_with(|| {
                found.push((*address, 0, Vec::new()));
                found.len() - 1
            });
            if let Some((_, weight, cells)) = found.get_mut(place) {
                *weight = weight.saturating_add(cell.instance.body.weight.into());
                cells.push((*cell).clone());
            }
        }
    }
    let record = |(address, weight, cells): (A, u32, Vec<_>)| Address {
        address,
        weight,
        cells: cells.into(),
    };
    found.into_iter().map(record).collect()
}
