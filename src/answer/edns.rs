//! EDNS: the OPT record of a query, and that of its reply (RFC 6891).

use super::Transport;
use crate::view::zones::types;

/// Octets that we take and send over UDP at most, and that our OPT records name: what an IPv6 datagram of the least
/// MTU has room for, which passes everywhere unfragmented (RFC 9715, section 3).
pub const UDP_MOST: u16 = 1232;
/// Octets that every client takes over UDP (RFC 1035, section 2.3.4).
const UDP_LEAST: u16 = 512;
/// Octets that a reply may have over a stream.
const TCP_MOST: usize = 65_535;

/// Octets of an OPT record without options: root, type, class, TTL, length.
const OPT_OCTETS: usize = 11;
/// Octets of an extended error without text: code, length, INFO-CODE.
const ERROR_OCTETS: usize = 6;
/// The option of extended errors (RFC 8914, section 2).
const ERROR_OPTION: u16 = 15;
const DNSSEC_OK: u16 = 0x8000;

/// What a query's OPT record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edns {
    /// Octets that the client takes over UDP.
    pub udp_size: u16,
    /// The version that it speaks; we speak 0.
    pub version: u8,
    /// Whether it wants signatures: copied, for there are none.
    pub dnssec_ok: bool,
}

/// Why an answer is not all that it could be (RFC 8914, section 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExtendedError {
    /// Instances are in it whose lease has lapsed and whom the brake holds; or upstream failed, and this is what it
    /// said before.
    Stale,
    /// The registry is still being loaded.
    NotReady,
    /// The client is none of those for whom names of others are looked up.
    Prohibited,
    /// Upstream failed; before, it said that the name does not exist.
    StaleNoName,
    /// The name is in none of our zones.
    NotAuthoritative,
    /// What is wrong upstream.
    Upstream(u16),
}

impl ExtendedError {
    /// The INFO-CODE.
    fn code(self) -> u16 {
        match self {
            Self::Stale => 3,
            Self::NotReady => 14,
            Self::Prohibited => 18,
            Self::StaleNoName => 19,
            Self::NotAuthoritative => 20,
            Self::Upstream(code) => code,
        }
    }
}

impl Edns {
    /// Reads an OPT record's class, TTL and options; `None` if the options do not add up. Those of a later version
    /// may look otherwise: all that counts is that we do not speak it (RFC 6891, section 6.1.3).
    pub fn read(class: u16, ttl: u32, options: &[u8]) -> Option<Self> {
        let [_, version, flags @ ..] = ttl.to_be_bytes();
        let mut rest = if version == 0 { options } else { &[] };
        while !rest.is_empty() {
            let length = rest.get(2..4)?.first_chunk().map(|octets| u16::from_be_bytes(*octets))?;
            rest = rest.get(4 + usize::from(length)..)?;
        }
        let dnssec_ok = u16::from_be_bytes(flags) & DNSSEC_OK != 0;
        Some(Self { udp_size: class, version, dnssec_ok })
    }

    /// Octets that a reply to the client may have over UDP.
    fn udp_limit(self) -> usize {
        usize::from(self.udp_size.clamp(UDP_LEAST, UDP_MOST))
    }
}

/// Octets that a reply may have.
pub fn limit(transport: Transport, edns: Option<Edns>) -> usize {
    match (transport, edns) {
        (Transport::Udp, None) => usize::from(UDP_LEAST),
        (Transport::Udp, Some(edns)) => edns.udp_limit(),
        _ => TCP_MOST,
    }
}

/// Octets of an OPT record that we write, at most.
pub const OPT_MOST: usize = OPT_OCTETS + ERROR_OCTETS;

/// The OPT record of a reply, and its length.
pub fn opt_record(edns: Edns, rcode: u16, error: Option<ExtendedError>) -> ([u8; OPT_MOST], usize) {
    let mut record = [0; OPT_MOST];
    let [_, high_rcode] = (rcode >> 4).to_be_bytes();
    let [flags, _] = if edns.dnssec_ok { DNSSEC_OK } else { 0 }.to_be_bytes();
    let [_, kind] = types::OPT.to_be_bytes();
    let [size_high, size_low] = UDP_MOST.to_be_bytes();
    let fixed = [0, 0, kind, size_high, size_low, high_rcode, 0, flags, 0, 0, 0];
    let Some(error) = error else {
        record[..OPT_OCTETS].copy_from_slice(&fixed);
        return (record, OPT_OCTETS);
    };
    let [_, length] = 6_u16.to_be_bytes();
    let [_, option] = ERROR_OPTION.to_be_bytes();
    record[..OPT_OCTETS].copy_from_slice(&fixed);
    record[OPT_OCTETS - 1] = length;
    let [high, low] = error.code().to_be_bytes();
    record[OPT_OCTETS..].copy_from_slice(&[0, option, 0, 2, high, low]);
    (record, OPT_OCTETS + ERROR_OCTETS)
}
