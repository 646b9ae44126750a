//! The zones that are served, with what their zone files say: one immutable snapshot.
//!
//! A zone either has the registry beside its file, or answers addresses with PTR from the registry, or is the
//! file alone. Zones with the registry share its names, which are relative to the zone; what a zone file must
//! say and does not (SOA, NS and the addresses of `ns`) is made up. Nothing here changes after it is built.

mod file;
mod made_up;
pub mod reverse;
pub mod types;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

pub use file::{
    FileNode, FileRRset, FileRecord, FileZone, MAX_RDATA, MAX_RECORDS, MAX_RRSET, MAX_TTL, Place,
    ZoneFileError,
};

use super::Hashing;
use super::wire::{self, MAX_NAME, Name};

/// Zones at most: each is looked at when a service registers.
pub const MAX_ZONES: usize = 10_000;
/// Octets of a zone with services at most, so that the longest name of the registry fits in front of it.
pub const MAX_ZONE_NAME: usize = MAX_NAME - MAX_RELATIVE;
/// The longest names of the registry are `L.S` and `_P._tcp.S`: labels of 63, 4 and 62 octets and their lengths.
const MAX_RELATIVE: usize = 64 + 5 + 63;
/// The domain of multicast DNS, in wire form (RFC 6762, section 3).
const LOCAL: &[u8] = b"\x05local\0";
/// What errors about zone names name as their file.
const IN_CONFIG: &str = "the configuration";

/// What the zones are made from, zone files apart.
#[derive(Debug, Clone, Copy)]
pub struct ZoneSettings<'a> {
    /// Zones in which services are found; PTR names the first.
    pub zones: &'a [String],
    /// Reverse zones that are answered from the registry.
    pub reverse_zones: &'a [String],
    /// Seconds that clients may keep "there is no such name or record" in these zones.
    pub negative_ttl_secs: u32,
    /// Addresses of `ns` where it is made up; unspecified ones are left out.
    pub ns_addresses: &'a [IpAddr],
    /// Texts that the configuration has at names in the zones with services.
    pub texts: &'a [Text],
}

/// A TXT record of the configuration, in all zones with services.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// Its name relative to the zone, such as `txt.us-east-1`.
    pub name: String,
    /// Its character-strings.
    pub values: Vec<TextValue>,
    /// The line of the configuration, from 1.
    pub line: usize,
}

/// A character-string of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TextValue {
    /// A name relative to the zone, which is written whole, without the final dot.
    NameInZone(String),
    /// As it is.
    Plain(String),
}

/// All zones.
#[derive(Debug, Default)]
pub struct Zones {
    zones: Vec<Zone>,
    /// Places in `zones`, by name in lower-case wire form with the root.
    by_name: HashMap<Box<[u8]>, usize, Hashing>,
    /// Labels of the longest zone name.
    most_labels: usize,
    /// Whether a file, or another zone, may have a name that the registry would have.
    may_conflict: bool,
}

/// Where a zone's answers come from, besides its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// From the registry's names.
    Registry,
    /// From the registry's addresses.
    Reverse,
    /// Nowhere else.
    File,
}

/// One zone.
#[derive(Debug)]
pub struct Zone {
    kind: Kind,
    labels: usize,
    negative_ttl: u32,
    soa_ttl: u32,
    soa: Box<[u8]>,
    data: FileZone,
}

/// A name that the registry cannot have, because a zone says what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The name relative to the zone, as it was asked for.
    pub relative: Box<[u8]>,
    /// The name, whole, as people write it.
    pub name: String,
    /// The file.
    pub file: String,
    /// The line, from 1; 0 if it is about the file as a whole.
    pub line: usize,
    /// The file of the zone, which may have included the other.
    pub zone_file: Arc<str>,
}

impl Zones {
    /// The zones of `settings`, and of `files`. The errors are all that there are.
    pub fn build(
        settings: &ZoneSettings<'_>,
        files: Vec<FileZone>,
    ) -> Result<Self, Vec<ZoneFileError>> {
        let mut errors = Vec::new();
        let mut by_origin: HashMap<Box<[u8]>, FileZone> = HashMap::new();
        for file in files {
            if let Some(other) = by_origin.get(file.origin()) {
                let zone = wire::text(file.origin());
                let reason = format!("the zone `{zone}` is already in {}", other.file());
                errors.push(about(file.file(), reason));
            } else {
                by_origin.insert(file.origin().into(), file);
            }
        }
        let mut zones = Self::default();
        let named = settings.zones.iter().map(|zone| (zone, Kind::Registry));
        let named = named.chain(settings.reverse_zones.iter().map(|zone| (zone, Kind::Reverse)));
        for (text, kind) in named {
            match zone_name(text, kind) {
                Ok(name) => {
                    let file = by_origin.remove(name.wire());
                    zones.may_conflict |= kind == Kind::Registry && file.is_some();
                    let data = file.unwrap_or_else(|| FileZone::new(name.wire().into(), IN_CONFIG));
                    zones.push(kind, data, settings, &mut errors);
                }
                Err(reason) => errors.push(about(IN_CONFIG, reason)),
            }
        }
        let mut rest: Vec<_> = by_origin.into_values().collect();
        rest.sort_by(|one, other| one.origin().cmp(other.origin()));
        for data in rest {
            zones.push(Kind::File, data, settings, &mut errors);
        }
        zones.lead_to_nested();
        if errors.is_empty() { Ok(zones) } else { Err(errors) }
    }

    fn push(
        &mut self,
        kind: Kind,
        mut data: FileZone,
        settings: &ZoneSettings<'_>,
        errors: &mut Vec<ZoneFileError>,
    ) {
        if kind == Kind::File && (data.origin() == LOCAL || data.origin().ends_with(LOCAL)) {
            let reason = "`.local` belongs to multicast DNS (RFC 6762): clients would not ask here";
            errors.push(about(data.file(), reason.to_owned()));
            return;
        }
        if kind != Kind::File {
            let host = self.first_registry().map_or(data.origin(), Zone::name).into();
            made_up::complete(&mut data, kind, host, settings);
            if kind == Kind::Registry && made_up::add_texts(&mut data, settings.texts, errors) {
                self.may_conflict = true;
            }
        }
        if self.zones.len() == MAX_ZONES {
            errors.push(about(data.file(), format!("there are more than {MAX_ZONES} zones")));
            return;
        }
        match Zone::new(kind, data, settings.negative_ttl_secs) {
            Ok(zone) => {
                if self.by_name.insert(zone.name().into(), self.zones.len()).is_some() {
                    let reason = format!("the zone `{}` is given twice", wire::text(zone.name()));
                    errors.push(about(IN_CONFIG, reason));
                }
                self.most_labels = self.most_labels.max(zone.labels);
                self.zones.push(zone);
            }
            Err(error) => errors.push(error),
        }
    }

    /// The names between a zone and one nested in it exist in the outer one (RFC 4592, section 2.2.2), although
    /// what makes them exist is not in its file.
    fn lead_to_nested(&mut self) {
        for place in 0..self.zones.len() {
            let Some(name) = self.zones.get(place).and_then(|zone| Name::read(zone.name())) else {
                continue;
            };
            let above = name.labels().checked_sub(1).and_then(|most| self.place_of(&name, most));
            if let Some(outer) = above.and_then(|above| self.zones.get_mut(above)) {
                outer.data.add_parents(&name);
                self.may_conflict |= outer.kind == Kind::Registry;
            }
        }
    }

    /// The zones' names in wire form, in the order of their octets.
    pub fn names(&self) -> Vec<&[u8]> {
        let mut names: Vec<_> = self.zones.iter().map(Zone::name).collect();
        names.sort_unstable();
        names
    }

    /// The zone that PTR names, if there is one.
    pub fn first_registry(&self) -> Option<&Zone> {
        self.zones.first().filter(|zone| zone.kind == Kind::Registry)
    }

    /// The longest zone that a name is in.
    pub fn find(&self, name: &Name) -> Option<&Zone> {
        self.find_up_to(name, name.labels())
    }

    /// The longest zone that a name is in, but not the zone of that name itself.
    pub fn find_above(&self, name: &Name) -> Option<&Zone> {
        self.find_up_to(name, name.labels().checked_sub(1)?)
    }

    fn find_up_to(&self, name: &Name, labels: usize) -> Option<&Zone> {
        self.zones.get(self.place_of(name, labels)?)
    }

    /// The place of the longest zone that a name is in, of those with at most so many labels.
    fn place_of(&self, name: &Name, labels: usize) -> Option<usize> {
        (0..=labels.min(self.most_labels))
            .rev()
            .find_map(|labels| self.by_name.get(name.suffix(labels)))
            .copied()
    }

    /// Whether [`conflict`](Self::conflict) may find any: a zone with the registry has a file, or another zone in it.
    pub fn may_conflict(&self) -> bool {
        self.may_conflict
    }

    /// The first of these names, relative to the zones with the registry, that one of them cannot have: its
    /// zone file has it or delegates it, or it lies in another zone. Wildcards do not count.
    pub fn conflict(&self, relative_names: &[Box<[u8]>]) -> Option<Conflict> {
        let registry = || self.zones.iter().filter(|zone| zone.kind == Kind::Registry);
        relative_names
            .iter()
            .flat_map(|relative| registry().map(move |zone| (relative, zone)))
            .find_map(|(relative, zone)| self.conflict_in(zone, relative))
    }

    fn conflict_in(&self, zone: &Zone, relative: &[u8]) -> Option<Conflict> {
        let whole = [relative, zone.name()].concat();
        let conflict = |zone: &Zone, file: &str, line| {
            let zone_file = zone.data.file().clone();
            let name = wire::text(&whole);
            Some(Conflict { relative: relative.into(), name, file: file.into(), line, zone_file })
        };
        if let Some(place) = zone.data.place_of(relative) {
            return conflict(zone, &place.file, place.line);
        }
        let other = self.find(&Name::read(&whole)?)?;
        if std::ptr::eq(other, zone) {
            return None;
        }
        match other.data.apex_place() {
            Some(place) => conflict(other, &place.file, place.line),
            None => conflict(other, other.data.file(), 0),
        }
    }
}

impl Zone {
    fn new(kind: Kind, data: FileZone, negative_ttl: u32) -> Result<Self, ZoneFileError> {
        let apex = data.node(&[]);
        let Some(soa) = apex.and_then(|apex| apex.rrset(types::SOA)) else {
            let zone = wire::text(data.origin());
            let reason = format!("the zone `{zone}` has no SOA record; begin the file with one");
            return Err(about(data.file(), reason));
        };
        let rdata: Box<[u8]> = soa.records.first().map(|soa| soa.rdata.clone()).unwrap_or_default();
        let minimum = rdata.last_chunk().map_or(0, |minimum| u32::from_be_bytes(*minimum));
        let negative_ttl = match kind {
            Kind::File => soa.ttl.min(minimum),
            Kind::Registry | Kind::Reverse => negative_ttl,
        };
        let labels = wire::labels_of(data.origin()).count();
        Ok(Self { kind, labels, negative_ttl, soa_ttl: soa.ttl, soa: rdata, data })
    }

    /// Its name in lower-case wire form with the root.
    pub fn name(&self) -> &[u8] {
        self.data.origin()
    }

    /// How many labels its name has, the root's not counted.
    pub fn labels(&self) -> usize {
        self.labels
    }

    /// Where its answers come from, besides its file.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What its file says, and what is made up.
    pub fn data(&self) -> &FileZone {
        &self.data
    }

    /// The data of its SOA record; beside the registry the serial and the minimum are still to be replaced.
    pub fn soa(&self) -> &[u8] {
        &self.soa
    }

    /// Seconds that clients may keep the SOA that they asked for.
    pub fn soa_ttl(&self) -> u32 {
        self.soa_ttl
    }

    /// Seconds that clients may keep "there is no such name or record" (RFC 2308, section 5).
    pub fn negative_ttl(&self) -> u32 {
        self.negative_ttl
    }
}

fn zone_name(text: &str, kind: Kind) -> Result<Name, String> {
    let name = wire::parse(text, &[0])?;
    let name = Name::read(&name).ok_or_else(|| format!("`{text}` is no name"))?;
    match kind {
        Kind::Reverse if !reverse::is_reverse_zone(&name) => Err(format!(
            "the reverse zone `{text}` is not a whole part of in-addr.arpa or ip6.arpa, as 10.in-addr.arpa. is"
        )),
        Kind::Registry if name.wire().len() > MAX_ZONE_NAME => Err(format!(
            "the zone `{text}` is longer than {MAX_ZONE_NAME} octets, so some services' names would not fit"
        )),
        _ => Ok(name),
    }
}

fn about(file: &str, reason: String) -> ZoneFileError {
    ZoneFileError { file: file.into(), line: 0, reason }
}
