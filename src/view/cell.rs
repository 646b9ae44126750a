//! A cell: what a query needs of one instance, ready to be copied into a reply.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use super::lease::{Lease, LeaseTime};
use super::wire;
use crate::registry::Instance;

/// One listed instance as readers see it. Everything but the lease is fixed: a change makes a new cell.
///
/// Aligned to two cache lines, so that a renewal of one instance never slows the answers about another.
#[derive(Debug)]
#[repr(align(128))]
pub struct Cell {
    /// Until when it is listed; what a renewal moves.
    pub lease: Lease,
    /// Its IPv4 addresses.
    pub v4: Box<[Ipv4Addr]>,
    /// Its IPv6 addresses.
    pub v6: Box<[Ipv6Addr]>,
    /// Its name `L.S` relative to the zone in wire form, without the root: an SRV target is this and the zone.
    pub host: Box<[u8]>,
    /// What it was made from.
    pub instance: Arc<Instance>,
}

impl Cell {
    /// A cell whose lease ends at `deadline` (`None`: never).
    pub fn new(instance: Arc<Instance>, deadline: Option<LeaseTime>) -> Self {
        Self::with_lease(instance, Lease::new(deadline))
    }

    /// A cell in the place of one whose lease has lapsed and was not renewed.
    pub(super) fn lapsed(instance: Arc<Instance>, deadline: Option<LeaseTime>) -> Self {
        Self::with_lease(instance, Lease::lapsed(deadline))
    }

    fn with_lease(instance: Arc<Instance>, lease: Lease) -> Self {
        let addresses = &instance.body.addresses;
        Self {
            lease,
            v4: addresses
                .iter()
                .filter_map(|a| if let IpAddr::V4(v4) = a { Some(*v4) } else { None })
                .collect(),
            v6: addresses
                .iter()
                .filter_map(|a| if let IpAddr::V6(v6) = a { Some(*v6) } else { None })
                .collect(),
            host: wire::relative(&[instance.label.as_str(), instance.service.as_str()]),
            instance,
        }
    }
}
