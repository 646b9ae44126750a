//! The decision: from a question to its answer, as a value. The same for every transport.
//!
//! The registry is asked first, by one look into a map; the zone file after a miss, by the algorithm of RFC
//! 1034, section 4.3.2, and RFC 4592. A name exists if either has it.

use super::ahead::{Ahead, Listed};
use super::edns::ExtendedError;
use super::parse::{CLASS_IN, Problem, Question};
use super::registered::Own;
use crate::registry::RESERVED;
use crate::view::wire::Name;
use crate::view::zones::reverse::{self, Reverse};
use crate::view::zones::{FileNode, FileRRset, Kind, Zone, types};
use crate::view::{A, Aaaa, Labelled, Node, Pointers, RRset, Reader, Sought, Srv, Zones};

/// CNAME records that are followed at most; who leads further leads in circles, or should not.
pub const MAX_LINKS: usize = 8;

/// What a decision is made from.
#[derive(Clone, Copy)]
pub struct Sources<'a> {
    /// The registry.
    pub reader: &'a Reader<'a>,
    /// The zones.
    pub zones: &'a Zones,
    /// Whether the registry was loaded whole before it is asked.
    pub loaded: bool,
}

/// The answer to a question.
#[derive(Debug)]
pub struct Answer<'a> {
    /// The CNAME records that lead from the question's name to the name that `end` is about.
    pub links: Links<'a>,
    /// What there is in the end.
    pub end: End<'a>,
}

/// What an answer comes to.
#[derive(Debug)]
pub enum End<'a> {
    /// An RRset of the registry, asked for in this zone.
    Registry(&'a Node, RegistryRRset<'a>, &'a Zone),
    /// An instance asked for by its own name in this zone.
    Instance(&'a Labelled, Own, &'a Zone),
    /// The instances at an address; the zone is where they are named.
    Pointers(&'a Pointers, &'a Zone),
    /// An RRset of a zone file.
    File(&'a FileRRset),
    /// The zone's SOA.
    Soa(&'a Zone),
    /// What there is to say about any type (RFC 8482, section 4.2).
    Any(&'a Zone),
    /// A CNAME that leads out of our zones: the client goes on from there, unless we do.
    Alias,
    /// CNAMEs that lead in circles, or on and on.
    Circle,
    /// The name exists, and has no records of the type.
    NoData(&'a Zone),
    /// There is no such name.
    NoName(&'a Zone),
    /// Others answer for the name.
    Referral {
        /// The zone that delegates.
        zone: &'a Zone,
        /// The NS records of the delegated name.
        ns: &'a FileRRset,
        /// Octets of the delegated name, which is the name's end, with the root.
        octets: usize,
    },
    /// Nobody knows yet whether the name exists: the registry is still being loaded.
    NotReady,
    /// The name is in none of our zones.
    NotOurs,
    /// What there is to say about any type of a name that is not ours (RFC 8482, section 4.2).
    AnyOfOthers,
    /// The name is in none of our zones, and the client is none of those for whom such names are looked up.
    Prohibited,
    /// We do not answer such questions.
    Refused,
    /// There is no question: the client asks for a cookie.
    NoQuestion,
    /// The client's network is over its limit: whoever is there asks again over TCP.
    Limited,
    /// The client is to ask again with the cookie that it gets.
    BadCookie,
    /// The query was not as it should be.
    Problem(Problem),
}

/// An RRset of the registry.
#[derive(Debug, Clone, Copy)]
pub enum RegistryRRset<'a> {
    /// A
    A(&'a RRset<A>),
    /// AAAA
    Aaaa(&'a RRset<Aaaa>),
    /// SRV
    Srv(&'a RRset<Srv>),
}

impl<'a> RegistryRRset<'a> {
    /// The RRset of a type at a node.
    #[inline]
    pub fn of(node: &'a Node, rtype: u16) -> Option<Self> {
        match rtype {
            types::A => node.a.as_ref().map(Self::A),
            types::AAAA => node.aaaa.as_ref().map(Self::Aaaa),
            types::SRV => node.srv.as_ref().map(Self::Srv),
            _ => None,
        }
    }
}

/// CNAME records, in the order in which they were followed.
#[derive(Debug, Default)]
pub struct Links<'a> {
    list: [Option<&'a FileRRset>; MAX_LINKS],
    count: usize,
}

impl<'a> Links<'a> {
    /// The records, first to last.
    pub fn iter(&self) -> impl Iterator<Item = &'a FileRRset> + '_ {
        self.list.iter().flatten().copied()
    }

    /// The name that the last one leads to.
    pub fn target(&self) -> Option<Name> {
        let last = self.count.checked_sub(1).and_then(|last| self.list.get(last).copied())??;
        Name::read(&last.records.first()?.rdata)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Adds one; false if there is no room, or it is there already.
    fn add(&mut self, link: &'a FileRRset) -> bool {
        if self.iter().any(|other| std::ptr::eq(other, link)) {
            return false;
        }
        let Some(place) = self.list.get_mut(self.count) else { return false };
        *place = Some(link);
        self.count += 1;
        true
    }
}

impl<'a> From<End<'a>> for Answer<'a> {
    fn from(end: End<'a>) -> Self {
        Self { links: Links::default(), end }
    }
}

impl Answer<'_> {
    /// The response code (RFC 1035, section 4.1.1; RFC 6891, section 9; RFC 7873,
    /// section 8).
    pub fn rcode(&self) -> u16 {
        match self.end {
            End::Problem(Problem::FormErr) => 1,
            End::NotReady => 2,
            End::NoName(_) => 3,
            End::Problem(Problem::NotImp) => 4,
            End::NotOurs | End::Prohibited | End::Refused => 5,
            End::Problem(Problem::BadVers) => 16,
            End::BadCookie => 23,
            _ => 0,
        }
    }

    /// Whether we have authority over the question's name.
    pub fn is_authoritative(&self) -> bool {
        match self.end {
            End::NotReady | End::NotOurs | End::AnyOfOthers | End::Prohibited => false,
            End::Refused | End::NoQuestion | End::Limited | End::BadCookie => false,
            End::Problem(_) => false,
            End::Referral { .. } => !self.links.is_empty(),
            _ => true,
        }
    }

    /// Why it is not all that it could be.
    pub fn extended_error(&self) -> Option<ExtendedError> {
        match &self.end {
            End::Registry(node, ..) if node.held > 0 => Some(ExtendedError::Stale),
            End::Instance(labelled, ..) if labelled.held => Some(ExtendedError::Stale),
            End::NotReady => Some(ExtendedError::NotReady),
            End::NotOurs => Some(ExtendedError::NotAuthoritative),
            End::Prohibited => Some(ExtendedError::Prohibited),
            _ => None,
        }
    }
}

/// Answers a question, for which the registry was looked into already.
pub fn decide<'a>(sources: Sources<'a>, question: &Question<'_>, ahead: &Ahead<'a>) -> Answer<'a> {
    let rtype = question.rtype;
    if question.class != CLASS_IN || matches!(rtype, types::AXFR | types::IXFR) {
        return End::Refused.into();
    }
    let zone = ahead.zone.filter(|_| rtype != types::DS);
    let Some(zone) = zone.or_else(|| zone_for(sources.zones, question.name, rtype)) else {
        return End::NotOurs.into();
    };
    let mut links = Links::default();
    let mut found = look_up(sources, zone, question.name, rtype, ahead.listed);
    loop {
        let link = match found {
            Found::End(end) => return Answer { links, end },
            Found::Alias(link) => link,
        };
        if !links.add(link) {
            return Answer { links, end: End::Circle };
        }
        // Step 3a of RFC 1034, section 4.3.2 goes back to the choice of the zone, which may be another of ours.
        let target = link.records.first().and_then(|link| Name::read(&link.rdata));
        let next = target.and_then(|target| {
            let zone = zone_for(sources.zones, &target, rtype)?;
            Some((zone, target))
        });
        match next {
            Some((zone, target)) => {
                found = look_up(sources, zone, &target, rtype, Listed::Unknown);
            }
            None => return Answer { links, end: End::Alias },
        }
    }
}

/// The longest zone that a name is in. A DS record is the parent's (RFC 4035, section 3.1.4.1), if it has
/// anything to say about the name.
fn zone_for<'a>(zones: &'a Zones, name: &Name, rtype: u16) -> Option<&'a Zone> {
    let zone = zones.find(name)?;
    if rtype == types::DS
        && zone.labels() == name.labels()
        && let Some(parent) = zones.find_above(name)
        && parent.data().node(name.relative(name.labels(), parent.name().len())).is_some()
    {
        return Some(parent);
    }
    Some(zone)
}

/// What a look at one name gave.
enum Found<'a> {
    End(End<'a>),
    Alias(&'a FileRRset),
}

fn look_up<'a>(
    sources: Sources<'a>,
    zone: &'a Zone,
    name: &Name,
    rtype: u16,
    listed: Listed<'a>,
) -> Found<'a> {
    let end = match zone.kind() {
        Kind::Registry => in_registry(sources, zone, name, rtype, listed),
        Kind::Reverse => in_addresses(sources, zone, name, rtype),
        Kind::File => None,
    };
    end.map_or_else(|| in_file(sources, zone, name, rtype, listed), Found::End)
}

fn in_registry<'a>(
    sources: Sources<'a>,
    zone: &'a Zone,
    name: &Name,
    rtype: u16,
    listed: Listed<'a>,
) -> Option<End<'a>> {
    let relative = name.relative(name.labels(), zone.name().len());
    let listed = match listed {
        Listed::Unknown => Listed::look_up(sources.reader, Sought::new(relative)),
        known => known,
    };
    let node = match listed {
        Listed::Name(node) => node,
        Listed::Label(labelled) => return Some(at_label(zone, labelled, rtype)),
        Listed::Nothing | Listed::Unknown => return None,
    };
    if let Some(rrset) = RegistryRRset::of(node, rtype) {
        return Some(End::Registry(node, rrset, zone));
    }
    let is_bare = node.is_bare();
    if is_bare && zone.data().node(relative).is_some() {
        return None; // such as `_tcp`, at which the zone file may have records
    }
    Some(if rtype == types::ANY && !is_bare { End::Any(zone) } else { End::NoData(zone) })
}

fn at_label<'a>(zone: &'a Zone, labelled: &'a Labelled, rtype: u16) -> End<'a> {
    let own = match rtype {
        types::A => Own::V4,
        types::AAAA => Own::V6,
        types::SRV => Own::Srv,
        types::ANY => return End::Any(zone),
        _ => return End::NoData(zone),
    };
    let cell = &labelled.cell;
    let none = (own == Own::V4 && cell.v4().next().is_none())
        || (own == Own::V6 && cell.v6().next().is_none());
    if none { End::NoData(zone) } else { End::Instance(labelled, own, zone) }
}

fn in_addresses<'a>(
    sources: Sources<'a>,
    zone: &'a Zone,
    name: &Name,
    rtype: u16,
) -> Option<End<'a>> {
    let Reverse::Address(address) = reverse::read(name) else { return None };
    let pointers = sources.reader.pointers(address)?;
    let named_in = sources.zones.first_registry()?;
    Some(match rtype {
        types::PTR => End::Pointers(pointers, named_in),
        types::ANY => End::Any(zone),
        _ => End::NoData(zone),
    })
}

/// Walks from the zone's own name down to `name`, as far as names exist.
fn in_file<'a>(
    sources: Sources<'a>,
    zone: &'a Zone,
    name: &Name,
    rtype: u16,
    listed: Listed<'a>,
) -> Found<'a> {
    let octets = zone.name().len();
    // Until the registry is loaded it may yet have any name that the file does not have as an owner.
    let or_not_ready = |end| {
        let known = sources.loaded || zone.kind() == Kind::File;
        Found::End(if known { end } else { End::NotReady })
    };
    for labels in zone.labels() + 1..=name.labels() {
        let relative = name.relative(labels, octets);
        let node = zone.data().node(relative);
        let is_whole = labels == name.labels();
        if let Some(ns) = node.and_then(|node| node.rrset(types::NS))
            && !(is_whole && rtype == types::DS)
        {
            let octets = name.suffix(labels).len();
            return Found::End(End::Referral { zone, ns, octets });
        }
        let is_listed = || match (zone.kind(), listed) {
            (Kind::Registry, Listed::Nothing) if is_whole => false,
            (Kind::Registry, _) => sources.reader.has(Sought::new(relative)),
            _ => false,
        };
        let exists = node.is_some() || is_listed();
        if !exists {
            let encloser = name.relative(labels - 1, octets);
            return match wildcard(zone, encloser, name, labels) {
                Some(node) if sources.loaded || zone.kind() == Kind::File => {
                    at_node(zone, node, rtype)
                }
                _ if may_hold_addresses(zone, name) => or_not_ready(End::NoData(zone)),
                _ => or_not_ready(End::NoName(zone)),
            };
        }
    }
    match zone.data().node(name.relative(name.labels(), octets)) {
        Some(node) if !node.is_empty() => at_node(zone, node, rtype),
        _ => or_not_ready(End::NoData(zone)),
    }
}

/// The wildcard at the closest encloser (RFC 4592, section 3.3.1). It does not match names that are reserved,
/// which clients look up on their own account.
fn wildcard<'a>(
    zone: &'a Zone,
    encloser: &[u8],
    name: &Name,
    labels: usize,
) -> Option<&'a FileNode> {
    let label = name.suffix(labels).get(1..).unwrap_or_default();
    let is_reserved = || {
        encloser.is_empty()
            && zone.kind() == Kind::Registry
            && RESERVED.iter().any(|reserved| {
                name.suffix(labels).first().is_some_and(|n| usize::from(*n) == reserved.len())
                    && label.starts_with(reserved.as_bytes())
            })
    };
    zone.data().wildcard(encloser).filter(|_| !is_reserved())
}

/// Whether names of addresses may lie below a name of a reverse zone: nobody counts whether any does.
fn may_hold_addresses(zone: &Zone, name: &Name) -> bool {
    zone.kind() == Kind::Reverse && reverse::read(name) == Reverse::Above
}

fn at_node<'a>(zone: &'a Zone, node: &'a FileNode, rtype: u16) -> Found<'a> {
    Found::End(match (rtype, node.rrset(rtype), node.rrset(types::CNAME)) {
        (types::SOA, Some(_), _) => End::Soa(zone),
        (_, Some(rrset), _) => End::File(rrset),
        (types::ANY, None, _) if !node.is_empty() => End::Any(zone),
        (_, None, Some(alias)) => return Found::Alias(alias),
        (_, None, None) => End::NoData(zone),
    })
}
