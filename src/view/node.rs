//! A node: all RRsets of one name of the registry.

use std::sync::Arc;

use super::cell::Cell;
use super::rrset::{A, Aaaa, RRset, Srv};

/// What the registry has at one name. Without RRsets it exists all the same: NODATA.
#[derive(Debug, Default)]
pub struct Node {
    /// The longest TTL of its records, in seconds; a lease with less left makes it shorter, down to 1.
    pub ttl_secs: u32,
    /// The most records that an answer holds; 0: all.
    pub max_answers: usize,
    /// Distinct IPv4 addresses of the best priority.
    pub a: Option<RRset<A>>,
    /// Distinct IPv6 addresses of the best priority.
    pub aaaa: Option<RRset<Aaaa>>,
    /// One record an instance, every priority.
    pub srv: Option<RRset<Srv>>,
}

/// What the registry has at one address: the instances that PTR names, never empty.
#[derive(Debug)]
pub struct Pointers {
    /// The longest TTL of its records, in seconds.
    pub ttl_secs: u32,
    /// Who has the address.
    pub cells: Box<[Arc<Cell>]>,
}
