//! Looking ahead: what the queries of a batch are about is found, and fetched from memory, for all of them together.
//!
//! An answer lies behind a chain of pointers: from the hash of a name to its node, to its chunk, to the octets. Taken
//! query by query, each step waits for memory. Here each step is taken for the whole batch, in a loop so short that a
//! processor is ahead of it by several queries, so that the waits fall into one another.

use std::hint::black_box;

use super::decide::{RegistryRRset, Sources};
use super::parse::HEADER;
use crate::view::wire::Name;
use crate::view::zones::{Kind, Zone};
use crate::view::{Chunk, Labelled, Node, RRset, Reader, Record, Sought};

/// Queries of a batch at most.
pub const BATCH_QUERIES: usize = 32;
/// Octets of a cache line.
const CACHE_LINE: usize = 64;
/// Octets of a chunk that are fetched: what most replies over UDP hold of one.
const FETCHED: usize = 512;

/// What is known of a query before it is parsed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ahead<'a> {
    /// Whether its question's name could be read.
    pub is_read: bool,
    /// The longest zone that the name is in.
    pub zone: Option<&'a Zone>,
    /// What the registry has at the name.
    pub listed: Listed<'a>,
    rtype: u16,
}

/// What the registry has at a name.
#[derive(Debug, Clone, Copy, Default)]
pub enum Listed<'a> {
    /// It was not asked.
    #[default]
    Unknown,
    /// Answers of several instances, or nothing but its existence.
    Name(&'a Node),
    /// An instance.
    Label(&'a Labelled),
    /// Nothing.
    Nothing,
}

impl<'a> Listed<'a> {
    /// Looks into the registry.
    #[inline]
    pub fn look_up(reader: &'a Reader<'_>, relative: Sought<'_>) -> Self {
        match reader.name(relative) {
            Some(node) => Self::Name(node),
            None => reader.label(relative).map_or(Self::Nothing, Self::Label),
        }
    }
}

/// Reads the names of queries and looks ahead at what they are about.
pub fn look_ahead<'a, 'q>(
    sources: Sources<'a>,
    queries: impl Iterator<Item = &'q [u8]>,
    names: &mut [Name; BATCH_QUERIES],
    ahead: &mut [Ahead<'a>; BATCH_QUERIES],
) {
    let mut count = 0;
    for ((query, name), ahead) in queries.zip(names.iter_mut()).zip(ahead.iter_mut()) {
        *ahead = read(sources, query, name);
        count += 1;
    }
    let names = names.get(..count).unwrap_or_default();
    let mut sought = [None; BATCH_QUERIES];
    for ((sought, name), ahead) in sought.iter_mut().zip(names).zip(&*ahead) {
        let zone = ahead.zone.filter(|zone| zone.kind() == Kind::Registry);
        *sought = zone.map(|zone| Sought::new(name.relative(name.labels(), zone.name().len())));
    }
    for (ahead, sought) in ahead.iter_mut().zip(sought) {
        if let Some(sought) = sought {
            ahead.listed = Listed::look_up(sources.reader, sought);
        }
    }
    let mut rrsets = [None; BATCH_QUERIES];
    for (rrset, ahead) in rrsets.iter_mut().zip(ahead.iter().take(count)) {
        if let Listed::Name(node) = ahead.listed {
            *rrset = RegistryRRset::of(node, ahead.rtype);
        }
    }
    rrsets.iter().flatten().for_each(fetch_chunk);
    rrsets.iter().flatten().for_each(fetch_octets);
}

fn read<'a>(sources: Sources<'a>, query: &[u8], name: &mut Name) -> Ahead<'a> {
    let question = query.get(HEADER..).unwrap_or_default();
    if !name.set(question) {
        return Ahead::default();
    }
    let rtype = question.get(name.wire().len()..).and_then(<[u8]>::first_chunk);
    let rtype = rtype.map_or(0, |rtype| u16::from_be_bytes(*rtype));
    Ahead { is_read: true, zone: sources.zones.find(name), listed: Listed::Unknown, rtype }
}

fn fetch_chunk(rrset: &RegistryRRset<'_>) {
    fn fetch<R: Record>(rrset: &RRset<R>) {
        black_box(rrset.head().len());
    }
    match rrset {
        RegistryRRset::A(a) => fetch(a),
        RegistryRRset::Aaaa(aaaa) => fetch(aaaa),
        RegistryRRset::Srv(srv) => fetch(srv),
    }
}

fn fetch_octets(rrset: &RegistryRRset<'_>) {
    fn fetch<R: Record>(chunk: &Chunk<R>) {
        for line in chunk.all_octets().chunks(CACHE_LINE).take(FETCHED / CACHE_LINE) {
            black_box(line.first().copied());
        }
    }
    match rrset {
        RegistryRRset::A(a) => fetch(a.head()),
        RegistryRRset::Aaaa(aaaa) => fetch(aaaa.head()),
        RegistryRRset::Srv(srv) => fetch(srv.head()),
    }
}
