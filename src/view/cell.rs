//! A cell: one listed instance as readers see it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::AtomicU16;

use super::lease::{Lease, LeaseTime};
use super::rrset::{Taking, turn_of};
use super::wire;
use crate::registry::{Instance, LeaseTerm};

/// One listed instance. Everything but the lease and the turns is fixed: a change makes a new cell.
///
/// Queries seldom read it (see [`Chunk`](super::Chunk)), so renewals do not slow them, and it need not have a cache
/// line for itself.
#[derive(Debug)]
pub struct Cell {
    /// Until when it is listed; what a renewal moves.
    pub lease: Lease,
    /// What it was made from.
    pub instance: Arc<Instance>,
    /// The instance's term in seconds, 0: endless. It lies here too, so that a renewal reads nothing but the cell.
    term_secs: u32,
    turns_v4: AtomicU16,
    turns_v6: AtomicU16,
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
        let term_secs = instance.body.lease.secs().unwrap_or(0);
        let turns = || AtomicU16::new(0);
        Self { lease, instance, term_secs, turns_v4: turns(), turns_v6: turns() }
    }

    /// The instance's term.
    #[inline]
    pub fn term(&self) -> LeaseTerm {
        match self.term_secs {
            0 => LeaseTerm::Endless,
            secs => LeaseTerm::Secs(secs),
        }
    }

    /// Its IPv4 addresses, in the order given.
    pub fn v4(&self) -> impl Iterator<Item = Ipv4Addr> + Clone + '_ {
        let v4 = |address: &IpAddr| if let IpAddr::V4(v4) = address { Some(*v4) } else { None };
        self.instance.body.addresses.iter().filter_map(v4)
    }

    /// Its IPv6 addresses, in the order given.
    pub fn v6(&self) -> impl Iterator<Item = Ipv6Addr> + Clone + '_ {
        let v6 = |address: &IpAddr| if let IpAddr::V6(v6) = address { Some(*v6) } else { None };
        self.instance.body.addresses.iter().filter_map(v6)
    }

    /// A turn of its IPv4 addresses under its own name: which one is first.
    pub fn turn_v4(&self, taking: Taking) -> usize {
        turn_of(&self.turns_v4, self.v4().count(), taking)
    }

    /// A turn of its IPv6 addresses under its own name: which one is first.
    pub fn turn_v6(&self, taking: Taking) -> usize {
        turn_of(&self.turns_v6, self.v6().count(), taking)
    }

    /// Writes its name `L.S` relative to the zone in wire form, without the root: an SRV target is this and the zone.
    pub fn host<'b>(&self, room: &'b mut [u8; wire::MAX_NAME]) -> &'b [u8] {
        wire::write_relative(&[self.instance.label.as_str(), self.instance.service.as_str()], room)
    }
}
