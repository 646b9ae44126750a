//! The records of the registry's RRsets: what they stand for, and their octets.

use std::cmp::Ordering;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use super::cell::Cell;
use super::lease::LeaseTime;
use super::wire;
use super::zones::types;

/// The owner as it stands in every record: a pointer to the question's name, right after the header (RFC 1035, section
/// 4.1.4).
pub const OWNER: u16 = 0xc00c;
/// Octets of a record before its data: the owner as a pointer, type, class, TTL, length.
pub const FIXED: usize = 12;
/// Where in a record the TTL stands.
pub const TTL_AT: usize = 6;
/// Where in a record the length of its data stands.
pub const LENGTH_AT: usize = 10;
/// Octets of an A record with a pointer as its owner.
pub const A_OCTETS: usize = FIXED + 4;
/// Octets of an AAAA record with a pointer as its owner.
pub const AAAA_OCTETS: usize = FIXED + 16;
/// Where in an SRV record's data its target begins (RFC 2782).
pub const SRV_TARGET: usize = 6;
/// Who shares an address is told apart up to so many: the record is good as long as one of them is, so that a few are
/// enough, and a host with thousands of instances costs no more than one with four.
pub const SHARERS_TOLD: usize = 4;
const CLASS_IN: u16 = 1;

/// A record of an RRset.
pub trait Record: Clone {
    /// Octets of every record; 0: each has its own number.
    const OCTETS: usize;
    /// Whether answers hold every priority, or the best one only.
    const EVERY_PRIORITY: bool;

    /// Lower goes first.
    fn priority(&self) -> u16;
    /// The share of turns to be first.
    fn weight(&self) -> u32;
    /// Until when the record is good at least; `None`: without end.
    fn deadline(&self) -> Option<LeaseTime>;
    /// The order of records in an RRset, in which no two are equal.
    fn order(&self, other: &Self) -> Ordering;
    /// Whether the other is the very same record, of the same instances.
    fn is(&self, other: &Self) -> bool;
    /// An instance that it stands for.
    fn cell(&self) -> Option<&Arc<Cell>>;
    /// Appends its octets, as they stand in a reply whose question it answers.
    fn encode(&self, ttl: u32, octets: &mut Vec<u8>);
}

/// An address that instances may share.
#[derive(Debug, Clone)]
pub struct Address<A> {
    /// The address.
    pub address: A,
    /// The weights of all who share it, added up.
    pub weight: u32,
    /// Some of those who share it, at most [`SHARERS_TOLD`]; never empty.
    pub sharers: Sharers,
}

/// An A record.
pub type A = Address<Ipv4Addr>;
/// An AAAA record.
pub type Aaaa = Address<Ipv6Addr>;

/// Instances that share an address: mostly one.
#[derive(Debug, Clone)]
pub enum Sharers {
    /// Nobody else has the address.
    One(Arc<Cell>),
    /// Several have it.
    Several(Box<[Arc<Cell>]>),
}

impl Sharers {
    /// The instances.
    pub fn cells(&self) -> &[Arc<Cell>] {
        match self {
            Sharers::One(cell) => std::slice::from_ref(cell),
            Sharers::Several(cells) => cells,
        }
    }

    /// These instances, of which there is one at least.
    pub fn of(mut cells: Vec<Arc<Cell>>) -> Option<Self> {
        match cells.len() {
            0 => None,
            1 => cells.pop().map(Sharers::One),
            _ => Some(Sharers::Several(cells.into())),
        }
    }
}

/// An SRV record: an instance and one of its ports.
#[derive(Debug, Clone)]
pub struct Srv {
    /// The port.
    pub port: u16,
    /// The instance's, here too: who goes through many records need not read their cells.
    weight: u16,
    priority: u16,
    /// The instance.
    pub cell: Arc<Cell>,
}

impl Srv {
    /// The record of an instance and one of its ports.
    pub fn new(cell: Arc<Cell>, port: u16) -> Self {
        let body = &cell.instance.body;
        Self { port, weight: body.weight, priority: body.priority, cell }
    }
}

impl<A> Address<A> {
    /// The record is right as long as one of those who share the address is there.
    fn longest(&self) -> Option<LeaseTime> {
        let mut longest = LeaseTime::default();
        for cell in self.sharers.cells() {
            longest = longest.max(cell.lease.deadline()?);
        }
        Some(longest)
    }
}

macro_rules! address_record {
    ($address:ty, $octets:ident, $rtype:expr) => {
        impl Record for Address<$address> {
            const OCTETS: usize = $octets;
            const EVERY_PRIORITY: bool = false;

            fn priority(&self) -> u16 {
                self.cell().map_or(0, |cell| cell.instance.body.priority)
            }

            fn weight(&self) -> u32 {
                self.weight
            }

            fn deadline(&self) -> Option<LeaseTime> {
                self.longest()
            }

            fn order(&self, other: &Self) -> Ordering {
                self.address.cmp(&other.address)
            }

            fn is(&self, other: &Self) -> bool {
                let (cells, others) = (self.sharers.cells(), other.sharers.cells());
                (self.address, self.weight) == (other.address, other.weight)
                    && cells.len() == others.len()
                    && cells.iter().zip(others).all(|(cell, other)| Arc::ptr_eq(cell, other))
            }

            fn cell(&self) -> Option<&Arc<Cell>> {
                self.sharers.cells().first()
            }

            fn encode(&self, ttl: u32, octets: &mut Vec<u8>) {
                encode(octets, $rtype, ttl, &[&self.address.octets()]);
            }
        }
    };
}

address_record!(Ipv4Addr, A_OCTETS, types::A);
address_record!(Ipv6Addr, AAAA_OCTETS, types::AAAA);

impl Record for Srv {
    const OCTETS: usize = 0;
    const EVERY_PRIORITY: bool = true;

    fn priority(&self) -> u16 {
        self.priority
    }

    fn weight(&self) -> u32 {
        self.weight.into()
    }

    fn deadline(&self) -> Option<LeaseTime> {
        self.cell.lease.deadline()
    }

    fn order(&self, other: &Self) -> Ordering {
        self.cell.instance.id.cmp(&other.cell.instance.id)
    }

    fn is(&self, other: &Self) -> bool {
        self.port == other.port && Arc::ptr_eq(&self.cell, &other.cell)
    }

    fn cell(&self) -> Option<&Arc<Cell>> {
        Some(&self.cell)
    }

    /// The SRV record as far as its target goes without the zone's name, which is the reply's, then the addresses of
    /// the target: IPv4 before IPv6.
    fn encode(&self, ttl: u32, octets: &mut Vec<u8>) {
        let (priority, weight) = (self.priority.to_be_bytes(), self.weight.to_be_bytes());
        let mut room = [0; wire::MAX_NAME];
        let host = self.cell.host(&mut room);
        encode(octets, types::SRV, ttl, &[&priority, &weight, &self.port.to_be_bytes(), host]);
        for v4 in self.cell.v4() {
            encode(octets, types::A, ttl, &[&v4.octets()]);
        }
        for v6 in self.cell.v6() {
            encode(octets, types::AAAA, ttl, &[&v6.octets()]);
        }
    }
}

fn encode(octets: &mut Vec<u8>, rtype: u16, ttl: u32, rdata: &[&[u8]]) {
    let length: usize = rdata.iter().map(|part| part.len()).sum();
    let length = u16::try_from(length).unwrap_or(u16::MAX); // a host has 255 octets at most
    octets.extend_from_slice(&OWNER.to_be_bytes());
    octets.extend_from_slice(&rtype.to_be_bytes());
    octets.extend_from_slice(&CLASS_IN.to_be_bytes());
    octets.extend_from_slice(&ttl.to_be_bytes());
    octets.extend_from_slice(&length.to_be_bytes());
    for part in rdata {
        octets.extend_from_slice(part);
    }
}
