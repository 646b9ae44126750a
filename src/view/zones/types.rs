//! Record types by number, and what their data must look like for us to use it.

use super::super::wire::Name;

/// RFC 1035
pub const A: u16 = 1;
/// RFC 1035
pub const NS: u16 = 2;
/// RFC 1035
pub const CNAME: u16 = 5;
/// RFC 1035
pub const SOA: u16 = 6;
/// RFC 1035
pub const PTR: u16 = 12;
/// RFC 1035
pub const HINFO: u16 = 13;
/// RFC 1035
pub const MX: u16 = 15;
/// RFC 1035
pub const TXT: u16 = 16;
/// RFC 3596
pub const AAAA: u16 = 28;
/// RFC 2782
pub const SRV: u16 = 33;
/// RFC 3403
pub const NAPTR: u16 = 35;
/// RFC 6672
pub const DNAME: u16 = 39;
/// RFC 6891: belongs to messages, not to zones.
pub const OPT: u16 = 41;
/// RFC 4034
pub const DS: u16 = 43;
/// RFC 9460
pub const SVCB: u16 = 64;
/// RFC 9460
pub const HTTPS: u16 = 65;
/// RFC 7208: TXT by another number.
pub const SPF: u16 = 99;
/// RFC 2930: belongs to messages, not to zones.
pub const TKEY: u16 = 249;
/// RFC 8945: belongs to messages, not to zones.
pub const TSIG: u16 = 250;
/// RFC 1995: a question only.
pub const IXFR: u16 = 251;
/// RFC 5936: a question only.
pub const AXFR: u16 = 252;
/// RFC 8482: a question only.
pub const ANY: u16 = 255;
/// RFC 8659
pub const CAA: u16 = 257;

/// Octets of an SOA's data after its two names (RFC 1035, section 3.3.13).
const SOA_NUMBERS: usize = 20;

/// Where in the data stands the name of a host whose addresses help the client.
pub fn target(rtype: u16) -> Option<usize> {
    match rtype {
        NS => Some(0),
        // Of SVCB and HTTPS after the priority (RFC 9460, section 4.1).
        MX | SVCB | HTTPS => Some(2),
        SRV => Some(6),
        _ => None,
    }
}

/// Whether a type cannot be in a zone: it belongs to questions or messages (RFC 6895, section 3.1).
pub fn is_meta(rtype: u16) -> bool {
    matches!(rtype, 0 | OPT | 128..=255)
}

/// Checks the data of types whose data we look into, however it was written.
pub fn check(rtype: u16, rdata: &[u8]) -> Result<(), String> {
    let names_from = |start: usize, count: usize, after: usize| {
        let mut at = start;
        for _ in 0..count {
            at += Name::read(rdata.get(at..)?)?.wire().len();
        }
        (at + after == rdata.len()).then_some(())
    };
    let fits = match rtype {
        A => rdata.len() == 4,
        AAAA => rdata.len() == 16,
        NS | CNAME | PTR => names_from(0, 1, 0).is_some(),
        MX => names_from(2, 1, 0).is_some(),
        SRV => names_from(6, 1, 0).is_some(),
        SOA => names_from(0, 2, SOA_NUMBERS).is_some(),
        _ => true,
    };
    if fits { Ok(()) } else { Err("the data does not fit the type".into()) }
}
