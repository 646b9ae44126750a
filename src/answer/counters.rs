//! What a worker counts: queries by type, replies by code. One writer each, summed up by who reads.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Transport;
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
pub const TRANSPORT_NAMES: [&str; 2] = ["udp", "tcp"];

/// One worker's counters.
///
/// Aligned to two cache lines, so that workers do not slow each other.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Counters {
    queries: [[AtomicU64; TYPE_NAMES.len()]; 2],
    replies: [[AtomicU64; RCODE_NAMES.len()]; 2],
    truncated: [AtomicU64; 2],
    dropped: [AtomicU64; 2],
    limited: AtomicU64,
}

/// Counters of all workers, summed up. The first index is the transport, see [`TRANSPORT_NAMES`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    /// Queries by type, see [`TYPE_NAMES`].
    pub queries: [[u64; TYPE_NAMES.len()]; 2],
    /// Replies by response code, see [`RCODE_NAMES`].
    pub replies: [[u64; RCODE_NAMES.len()]; 2],
    /// Replies in which something did not fit that belongs into them.
    pub truncated: [u64; 2],
    /// Messages that got no reply: they were no queries, came from an address or port that nobody asks from, the client's
    /// network was over its limit, or the buffer had no room for a reply's header and question.
    pub dropped: [u64; 2],
    /// Queries over UDP that were not answered in full because their client's network was over its limit.
    pub limited: u64,
}

impl Counters {
    /// Counts a query; `None`: its question could not be read.
    pub(super) fn query(&self, transport: Transport, rtype: Option<u16>) {
        let bucket = match rtype {
            Some(rtype) => TYPES.iter().position(|known| *known == rtype).unwrap_or(OTHER),
            None => NONE,
        };
        add(self.queries[transport as usize].get(bucket));
    }

    /// Counts a reply.
    pub(super) fn reply(&self, transport: Transport, rcode: u16, truncated: bool) {
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
            sum_up(&mut totals.queries[transport], &counters.queries[transport]);
            sum_up(&mut totals.replies[transport], &counters.replies[transport]);
        }
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
