//! One zone's data as a zone file gives it, or as it is made up: names, RRsets, rdata ready to be copied.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::super::Hashing;
use super::super::rrset::Taking;
use super::super::wire::{self, MAX_NAME, Name};
use super::types;

/// Records of one zone at most, at some 200 octets each.
pub const MAX_RECORDS: usize = 1_000_000;
/// Records of one name and type at most: a reply over TCP has no room for more addresses, at 16 octets each. Each
/// is compared with all that came before it.
pub const MAX_RRSET: usize = 4_096;
/// Octets of a record's data at most: a reply over TCP must have room for it.
pub const MAX_RDATA: usize = 65_000;
/// The greatest TTL (RFC 2181, section 8).
pub const MAX_TTL: u32 = 0x7fff_ffff;

/// Why a zone file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneFileError {
    /// The file.
    pub file: String,
    /// The line, from 1; 0 if it is about the file as a whole.
    pub line: usize,
    /// What is wrong, and what would be right.
    pub reason: String,
}

impl fmt::Display for ZoneFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file, self.reason),
            line => write!(f, "{}, line {line}: {}", self.file, self.reason),
        }
    }
}

impl std::error::Error for ZoneFileError {}

/// Where a name first occurs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file: the zone file or one that it includes.
    pub file: Arc<str>,
    /// The line, from 1.
    pub line: usize,
}

/// The data of one zone.
#[derive(Debug)]
pub struct FileZone {
    origin: Box<[u8]>,
    file: Arc<str>,
    /// By name relative to the origin, in lower-case wire form without the root.
    nodes: HashMap<Box<[u8]>, FileNode, Hashing>,
    /// Whether any name is a wildcard.
    has_wildcards: bool,
    records: usize,
}

/// What the file has at one name. Without RRsets, names below make it exist (RFC 4592, section 2.2.2).
#[derive(Debug, Default)]
pub struct FileNode {
    place: Option<Place>,
    rrsets: Vec<FileRRset>,
    wildcard: bool,
}

/// All records of one name and type.
#[derive(Debug)]
pub struct FileRRset {
    /// The type.
    pub rtype: u16,
    /// Seconds that clients may keep it.
    pub ttl: u32,
    /// The records; never empty.
    pub records: Vec<FileRecord>,
    turns: AtomicUsize,
}

/// One record's data.
#[derive(Debug)]
pub struct FileRecord {
    /// As it stands in messages, names uncompressed.
    pub rdata: Box<[u8]>,
    /// Where in it stands the name of a host whose addresses help the client, if an earlier record of the RRset
    /// does not name the same.
    pub target: Option<usize>,
}

impl FileZone {
    /// An empty zone: its name in lower-case wire form with the root, and the file it comes from.
    pub fn new(origin: Box<[u8]>, file: &str) -> Self {
        let nodes = HashMap::from_iter([(Box::default(), FileNode::default())]);
        Self { origin, file: file.into(), nodes, has_wildcards: false, records: 0 }
    }

    /// The zone's name in lower-case wire form with the root.
    pub fn origin(&self) -> &[u8] {
        &self.origin
    }

    /// The file it comes from.
    pub fn file(&self) -> &Arc<str> {
        &self.file
    }

    /// What it has at a name relative to its own.
    pub fn node(&self, relative: &[u8]) -> Option<&FileNode> {
        self.nodes.get(relative)
    }

    /// What it has at `*` below a name relative to its own.
    pub fn wildcard(&self, relative: &[u8]) -> Option<&FileNode> {
        if !self.has_wildcards || !self.node(relative)?.wildcard {
            return None;
        }
        let mut key = [0; MAX_NAME + 2];
        key.get_mut(..2)?.copy_from_slice(b"\x01*");
        let end = 2 + relative.len();
        key.get_mut(2..end)?.copy_from_slice(relative);
        self.node(key.get(..end)?)
    }

    /// Adds a record; `owner` is a whole name in wire form. The error says why it cannot be in this zone.
    pub fn add(
        &mut self,
        owner: &[u8],
        rtype: u16,
        ttl: u32,
        rdata: Box<[u8]>,
        place: Option<Place>,
    ) -> Result<(), String> {
        let owner = Name::read(owner).ok_or("the owner is no name")?;
        if !owner.is_in(&self.origin) {
            let (owner, origin) = (wire::text(owner.wire()), wire::text(&self.origin));
            return Err(format!("`{owner}` is not in the zone `{origin}`"));
        }
        self.check(&owner, rtype, ttl, &rdata)?;
        self.add_parents(&owner);
        let node = self.nodes.entry(owner.relative(owner.labels(), self.origin.len()).into());
        let node = node.or_default();
        node.place = node.place.take().or(place);
        self.records += node.add(rtype, ttl, rdata);
        Ok(())
    }

    fn check(&self, owner: &Name, rtype: u16, ttl: u32, rdata: &[u8]) -> Result<(), String> {
        if self.records == MAX_RECORDS {
            return Err(format!("the zone has more than {MAX_RECORDS} records"));
        }
        if ttl > MAX_TTL {
            return Err(format!("the TTL {ttl} is greater than {MAX_TTL}"));
        }
        if rdata.len() > MAX_RDATA {
            return Err(format!("the record has more than {MAX_RDATA} octets"));
        }
        types::check(rtype, rdata)?;
        let apex = owner.wire() == &*self.origin;
        match rtype {
            types::SOA if !apex => {
                return Err("an SOA record belongs to the zone's own name".into());
            }
            types::NS if owner.iter().next() == Some(b"*") => {
                return Err("a wildcard cannot be delegated (RFC 4592, section 4.2)".into());
            }
            types::CNAME if apex => return Err("the zone's own name cannot be an alias".into()),
            types::DNAME => return Err("DNAME records are not supported".into()),
            _ => {}
        }
        let Some(node) = self.node(owner.relative(owner.labels(), self.origin.len())) else {
            return Ok(());
        };
        let same = |rrset: &FileRRset| rrset.records.iter().any(|record| *record.rdata == *rdata);
        if node.rrset(rtype).is_some_and(|rrset| rrset.records.len() == MAX_RRSET && !same(rrset)) {
            return Err(format!(
                "the name has more than {MAX_RRSET} records of this type, more than a reply has room for"
            ));
        }
        match (rtype, node.rrset(types::CNAME), node.rrset(types::SOA)) {
            (types::CNAME, Some(cname), _) if !same(cname) => {
                Err("the name has two CNAME records".into())
            }
            (types::CNAME, None, _) if !node.rrsets.is_empty() => {
                Err("a CNAME record stands alone, and the name has other records".into())
            }
            (other, Some(_), _) if other != types::CNAME => {
                Err("the name has a CNAME record, which stands alone".into())
            }
            (types::SOA, _, Some(_)) => Err("the zone has two SOA records".into()),
            _ => Ok(()),
        }
    }

    /// The names between the zone and `owner` exist with it.
    pub(super) fn add_parents(&mut self, owner: &Name) {
        let apex = wire::labels_of(&self.origin).count();
        for labels in apex..owner.labels() {
            let key = owner.relative(labels, self.origin.len());
            let parent = match self.nodes.get_mut(key) {
                Some(parent) => parent,
                None => self.nodes.entry(key.into()).or_default(),
            };
            // A wildcard covers names also where it exists only by what is below it (RFC 4592, section 4.9).
            if owner.suffix(labels + 1).starts_with(b"\x01*") {
                parent.wildcard = true;
                self.has_wildcards = true;
            }
        }
    }

    /// Adds a record that was made up, if nothing stands at its name and type.
    pub(super) fn make_up(&mut self, relative: &[u8], rtype: u16, ttl: u32, rdata: Box<[u8]>) {
        let node = match self.nodes.entry(relative.into()) {
            Entry::Occupied(node) => node.into_mut(),
            Entry::Vacant(place) => place.insert(FileNode::default()),
        };
        self.records += node.add(rtype, ttl, rdata);
    }

    /// Where a name relative to the zone, or the delegation that it is part of, stands in the file.
    pub fn place_of(&self, relative: &[u8]) -> Option<&Place> {
        let mut rest = relative;
        while let Some(length) = rest.first() {
            if let Some(node) = self.node(rest)
                && (rest.len() == relative.len() || node.rrset(types::NS).is_some())
                && let Some(place) = &node.place
            {
                return Some(place);
            }
            rest = rest.get(usize::from(*length) + 1..).unwrap_or_default();
        }
        None
    }

    /// Where the zone's own name first occurs.
    pub fn apex_place(&self) -> Option<&Place> {
        self.node(&[])?.place.as_ref()
    }
}

impl FileNode {
    /// Its records of one type.
    pub fn rrset(&self, rtype: u16) -> Option<&FileRRset> {
        self.rrsets.iter().find(|rrset| rrset.rtype == rtype)
    }

    /// Whether it has no records: it exists because names below it do.
    pub fn is_empty(&self) -> bool {
        self.rrsets.is_empty()
    }

    /// Adds a record and says how many more there are: none if it was there already.
    fn add(&mut self, rtype: u16, ttl: u32, rdata: Box<[u8]>) -> usize {
        let place = self.rrsets.iter().position(|rrset| rrset.rtype == rtype);
        let rrset = match place.and_then(|place| self.rrsets.get_mut(place)) {
            Some(rrset) => rrset,
            None => {
                let turns = AtomicUsize::new(0);
                self.rrsets.push(FileRRset { rtype, ttl, records: Vec::new(), turns });
                return self.add(rtype, ttl, rdata);
            }
        };
        // An RRset has one TTL (RFC 2181, section 5.2): the least that the file gives.
        rrset.ttl = rrset.ttl.min(ttl);
        if rrset.records.iter().any(|record| record.rdata == rdata) {
            return 0;
        }
        let target = types::target(rtype).filter(|at| {
            let named = |record: &FileRecord| record.rdata.get(*at..) == rdata.get(*at..);
            !rrset.records.iter().any(named)
        });
        rrset.records.push(FileRecord { rdata, target });
        1
    }
}

impl FileRRset {
    /// A turn: all records, beginning with the one whose turn it is.
    pub fn turn(&self, taking: Taking) -> impl Iterator<Item = &FileRecord> + Clone {
        let count = self.records.len();
        let first = match (count, taking) {
            (0 | 1, _) => 0,
            (_, Taking::Turn) => self.turns.fetch_add(1, Ordering::Relaxed) % count,
            (_, Taking::Look) => self.turns.load(Ordering::Relaxed) % count,
        };
        self.records.iter().cycle().skip(first).take(count)
    }
}
