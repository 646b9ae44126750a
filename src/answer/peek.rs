//! What a door looks at in a whole message: how long a reply is fresh, what a query's options are.
//!
//! Queries are network input, replies may carry what upstream said: nothing here may panic, and every loop is bounded
//! by the message's length.

use super::parse::{HEADER, OtherRecord, Rest};
use crate::view::zones::types;

/// The response code in a header's fourth octet, and those that are answers (RFC 1035, section 4.1.1).
const RCODE: u8 = 0x0f;
const NOERROR: u8 = 0;
const NXDOMAIN: u8 = 3;
/// Octets of an SOA record's last number, MINIMUM (RFC 1035, section 3.3.13).
const MINIMUM_OCTETS: usize = 4;
/// The option with which a client asks how long its connection may be idle (RFC 7828, section 3.1).
const TCP_KEEPALIVE: u16 = 11;

/// For how many seconds a reply may be kept by who knows nothing of DNS (RFC 8484, section 5.1): until the first
/// record of the answer ends; without one, as long as the SOA record lets it be known that there is none. Else,
/// as with an error: 0.
pub fn fresh_secs(reply: &[u8]) -> u32 {
    fresh(reply).unwrap_or(0)
}

fn fresh(reply: &[u8]) -> Option<u32> {
    let message = Message::read(reply)?;
    if !matches!(reply.get(3)? & RCODE, NOERROR | NXDOMAIN) {
        return None;
    }
    let mut rest = message.records;
    let mut least = None;
    for _ in 0..message.answers {
        let ttl = rest.record()?.ttl;
        least = Some(least.map_or(ttl, |least: u32| least.min(ttl)));
    }
    if least.is_some() {
        return least;
    }
    for _ in 0..message.authorities {
        let record = rest.record()?;
        if record.rtype == types::SOA {
            let start = record.rdata.len().checked_sub(MINIMUM_OCTETS)?;
            let minimum = record.rdata.get(start..)?.first_chunk()?;
            return Some(record.ttl.min(u32::from_be_bytes(*minimum)));
        }
    }
    None
}

/// Whether a query has the option edns-tcp-keepalive, which has no place but in TCP (RFC 9250, section 5.5.2).
pub fn has_tcp_keepalive(query: &[u8]) -> bool {
    let Some(message) = Message::read(query) else { return false };
    let mut rest = message.records;
    // However many the header claims: the first that is not there ends the loop.
    let records = std::iter::from_fn(|| rest.record());
    records.filter(|record| record.rtype == types::OPT).any(|opt| has_option(&opt, TCP_KEEPALIVE))
}

fn has_option(opt: &OtherRecord<'_>, wanted: u16) -> bool {
    let mut rest = Rest(opt.rdata);
    let options = std::iter::from_fn(|| {
        let (code, length) = (rest.u16()?, rest.u16()?);
        rest.take(length.into()).map(|_| code)
    });
    options.into_iter().any(|code| code == wanted)
}

/// A message, read as far as its records.
struct Message<'m> {
    answers: u16,
    authorities: u16,
    records: Rest<'m>,
}

impl<'m> Message<'m> {
    fn read(message: &'m [u8]) -> Option<Self> {
        let (header, body) = message.split_at_checked(HEADER)?;
        let mut counts = Rest(header.get(4..)?);
        let (questions, answers, authorities) = (counts.u16()?, counts.u16()?, counts.u16()?);
        let mut records = Rest(body);
        for _ in 0..questions {
            records.skip_name()?;
            records.take(4)?;
        }
        Some(Self { answers, authorities, records })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `x.` A, with records of `sections` (type, TTL, data), each owned by the question's name.
    fn message(sections: [&[(u16, u32, &[u8])]; 3]) -> Vec<u8> {
        let mut message = vec![0, 7, 0x81, 0x80, 0, 1];
        for section in sections {
            message.extend(u16::try_from(section.len()).unwrap().to_be_bytes());
        }
        message.extend(b"\x01x\0\0\x01\0\x01");
        for (rtype, ttl, rdata) in sections.iter().copied().flatten() {
            message.extend(if *rtype == types::OPT { &[0][..] } else { &[0xc0, 12] });
            message.extend(rtype.to_be_bytes());
            message.extend([0, 1]);
            message.extend(ttl.to_be_bytes());
            message.extend(u16::try_from(rdata.len()).unwrap().to_be_bytes());
            message.extend(*rdata);
        }
        message
    }

    const A: (u16, u32, &[u8]) = (1, 300, &[192, 0, 2, 1]);
    const SHORT: (u16, u32, &[u8]) = (1, 30, &[192, 0, 2, 2]);
    /// MINIMUM is 60.
    const SOA: (u16, u32, &[u8]) =
        (6, 90, &[0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 60]);
    const OPT: (u16, u32, &[u8]) = (41, 0, &[0, 10, 0, 1, 7, 0, 11, 0, 0]);

    #[test]
    fn a_reply_is_fresh_until_its_first_answer_ends_or_as_the_soa_says() {
        for (expected, sections) in [
            (30, [&[A, SHORT][..], &[], &[]]),
            (300, [&[A][..], &[SHORT], &[SHORT]]),
            (60, [&[][..], &[A, SOA], &[]]),
            (20, [&[][..], &[(6, 20, SOA.2)], &[]]),
            (0, [&[][..], &[], &[OPT]]),
            (0, [&[][..], &[A], &[]]),
            (0, [&[][..], &[(6, 90, &[0, 0])], &[]]),
        ] {
            assert_eq!(fresh_secs(&message(sections)), expected, "{sections:?}");
        }
        // An alias of ours may lead to upstream's failure.
        for (code, expected) in [(2, 0), (3, 300), (5, 0)] {
            let mut reply = message([&[A], &[], &[]]);
            reply[3] |= code;
            assert_eq!(fresh_secs(&reply), expected, "code {code}");
        }
    }

    #[test]
    fn what_is_cut_off_anywhere_is_not_fresh_and_has_no_option() {
        let whole = message([&[A, SHORT], &[], &[]]);
        for end in 0..whole.len() {
            assert_eq!(fresh_secs(&whole[..end]), 0, "{end} octets");
        }
        let whole = message([&[], &[], &[OPT]]);
        for end in 0..whole.len() {
            assert!(!has_tcp_keepalive(&whole[..end]), "{end} octets");
        }
        assert!(has_tcp_keepalive(&whole));
        assert!(!has_tcp_keepalive(&message([&[], &[], &[(41, 0, &[0, 10, 0, 1, 11])]])));
    }
}
