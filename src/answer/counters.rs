//! What a worker counts: queries by type, replies by code. One writer each, summed up by who reads.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Transport;
use super::parse::Query;
use crate::view::zones::types;

/// The names of the types that are counted apart, then all others, then queries without a readable question.
pub const TYPE_NAMES: [&str; 17] = [
    "A", "AAAA", "SRV", "PTR", "SOA", "NS", "TXT", "CNAME", "MX", "ANY", "HTTPS", "SVCB", "DS",
    "CAA", "NAPTR", "other", "none",
];
/// The numbers of the types that are counted apart.
const TYPES: [u16; 15] = [
    types::A,
    types::AAAA,
    types::SRV,
    types::PTR,
    types::SOA,
    types::NS,
    types::TXT,
    types::CNAME,
    types::MX,
    types::ANY,
    types::HTTPS,
    types::SVCB,
    types::DS,
    types::CAA,
    types::NAPTR,
];
/// The name of a type that is counted apart.
pub fn type_name(rtype: u16) -> Option<&'static str> {
    let place = TYPES.iter().position(|known| *known == rtype)?;
    TYPE_NAMES.get(place).copied()
}

const OTHER: usize = TYPES.len();
const NONE: usize = TYPES.len() + 1;

/// The names of the response codes that we give.
pub const RCODE_NAMES: [&str; 8] =
    ["NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "BADVERS", "BADCOOKIE"];
const BADVERS: usize = RCODE_NAMES.len() - 2;
const BADCOOKIE: usize = RCODE_NAMES.len() - 1;
/// The number of the code that says BADCOOKIE (RFC 7873, section 8).
const BADCOOKIE_CODE: u16 = 23;

/// The names of the transports, in the order in which they are counted.
pub const TRANSPORT_NAMES: [&str; TRANSPORTS] = ["udp", "tcp", "tls", "https", "quic"];
const TRANSPORTS: usize = 5;

/// One worker's counters.
///
/// Aligned to two cache lines, so that workers do not slow each other.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Counters {
    /// By transport, and whether the client has an IPv6 address.
    queries: [[[AtomicU64; TYPE_NAMES.len()]; 2]; TRANSPORTS],
    dnssec_ok: [AtomicU64; TRANSPORTS],
    query_sizes: [Sizes; TRANSPORTS],
    reply_sizes: [Sizes; TRANSPORTS],
    replies: [[AtomicU64; RCODE_NAMES.len()]; TRANSPORTS],
    truncated: [AtomicU64; TRANSPORTS],
    dropped: [AtomicU64; TRANSPORTS],
    limited: AtomicU64,
}

/// Upper bounds of the sizes of messages by which they are counted, in octets; larger ones have a count of their own.
pub const SIZE_BOUNDS: [usize; 8] = [64, 128, 256, 512, 1_232, 4_096, 16_384, 65_535];

/// Messages by size.
#[derive(Debug, Default)]
struct Sizes {
    counts: [AtomicU64; SIZE_BOUNDS.len()],
    octets: AtomicU64,
}

impl Sizes {
    fn add(&self, octets: usize) {
        let place = SIZE_BOUNDS.iter().position(|bound| octets <= *bound);
        add(self.counts.get(place.unwrap_or(SIZE_BOUNDS.len() - 1)));
        let sum = self.octets.load(Ordering::Relaxed).wrapping_add(octets as u64);
        self.octets.store(sum, Ordering::Relaxed);
    }
}

/// Messages by size, summed up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SizeTotals {
    /// By [`SIZE_BOUNDS`].
    pub counts: [u64; SIZE_BOUNDS.len()],
    /// Of all of them.
    pub octets: u64,
}

impl SizeTotals {
    fn add(&mut self, sizes: &Sizes) {
        sum_up(&mut self.counts, &sizes.counts);
        self.octets += sizes.octets.load(Ordering::Relaxed);
    }
}

/// Counters of all workers, summed up. The first index is the transport, see [`TRANSPORT_NAMES`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    /// Queries by whether the client has an IPv6 address, and by type, see [`TYPE_NAMES`].
    pub queries: [[[u64; TYPE_NAMES.len()]; 2]; TRANSPORTS],
    /// Queries with DO (RFC 3225).
    pub dnssec_ok: [u64; TRANSPORTS],
    /// Queries by size.
    pub query_sizes: [SizeTotals; TRANSPORTS],
    /// Replies by size.
    pub reply_sizes: [SizeTotals; TRANSPORTS],
    /// Replies by response code, see [`RCODE_NAMES`].
    pub replies: [[u64; RCODE_NAMES.len()]; TRANSPORTS],
    /// Replies in which something did not fit that belongs into them.
    pub truncated: [u64; TRANSPORTS],
    /// Messages that got no reply: they were no queries, came from an address or port that nobody asks from, the client's
    /// network was over its limit, or the buffer had no room for a reply's header and question.
    pub dropped: [u64; TRANSPORTS],
    /// Queries over UDP that were not answered in full because their client's network was over its limit.
    pub limited: u64,
}

impl Counters {
    /// Counts a query of so many octets; no type: its question could not be read.
    pub(super) fn query(
        &self,
        transport: Transport,
        client: IpAddr,
        octets: usize,
        query: &Query<'_>,
    ) {
        let rtype = query.question.as_ref().map(|question| question.rtype);
        let bucket = match rtype {
            Some(rtype) => TYPES.iter().position(|known| *known == rtype).unwrap_or(OTHER),
            None => NONE,
        };
        let place = transport as usize;
        add(self.queries[place][usize::from(client.is_ipv6())].get(bucket));
        self.query_sizes[place].add(octets);
        if query.edns.is_some_and(|edns| edns.dnssec_ok) {
            add(self.dnssec_ok.get(place));
        }
    }

    /// Counts a reply of so many octets.
    pub(super) fn reply(&self, transport: Transport, rcode: u16, octets: usize, truncated: bool) {
        self.reply_sizes[transport as usize].add(octets);
        let place =
            if rcode == BADCOOKIE_CODE { BADCOOKIE } else { usize::from(rcode).min(BADVERS) };
        add(self.replies[transport as usize].get(place));
        if truncated {
            add(self.truncated.get(transport as usize));
        }
    }

    /// Counts a query that is over the limit.
    pub(super) fn limited(&self) {
        add(Some(&self.limited));
    }

    /// Counts a message without a reply.
    pub(super) fn dropped(&self, transport: Transport) {
        add(self.dropped.get(transport as usize));
    }
}

/// The sums of all workers' counters.
pub fn sum(all: &[Arc<Counters>]) -> Totals {
    let mut totals = Totals::default();
    for counters in all {
        for transport in 0..TRANSPORT_NAMES.len() {
            for family in 0..2 {
                sum_up(
                    &mut totals.queries[transport][family],
                    &counters.queries[transport][family],
                );
            }
            totals.query_sizes[transport].add(&counters.query_sizes[transport]);
            totals.reply_sizes[transport].add(&counters.reply_sizes[transport]);
            sum_up(&mut totals.replies[transport], &counters.replies[transport]);
        }
        sum_up(&mut totals.dnssec_ok, &counters.dnssec_ok);
        sum_up(&mut totals.truncated, &counters.truncated);
        sum_up(&mut totals.dropped, &counters.dropped);
        totals.limited += counters.limited.load(Ordering::Relaxed);
    }
    totals
}

fn sum_up(sums: &mut [u64], counters: &[AtomicU64]) {
    for (sum, counter) in sums.iter_mut().zip(counters) {
        *sum += counter.load(Ordering::Relaxed);
    }
}

/// A load and a store, not a locked addition: a worker's counters have one writer, who holds its responder.
fn add(counter: Option<&AtomicU64>) {
    if let Some(counter) = counter {
        counter.store(counter.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }
}
