//! What caches of HTTP have taken off a reply's time: its TTLs are less by so much (RFC 8484, section 5.1).

use crate::dns::forward::message::{HEADER, RECORD_FIXED, TYPE_AND_CLASS, skip_name};
use crate::view::zones::types;

/// The greatest TTL; what is above it counts as 0 (RFC 2181, section 8).
const TTL_MOST: u32 = i32::MAX as u32;

/// Takes so many seconds off the TTL of every record of a message with one question.
pub(super) fn age(message: &mut [u8], seconds: u32) {
    let places = if seconds == 0 { Vec::new() } else { ttls(message) };
    for at in places {
        if let Some(ttl) = message.get_mut(at..).and_then(|rest| rest.first_chunk_mut()) {
            let was = Some(u32::from_be_bytes(*ttl)).filter(|ttl| *ttl <= TTL_MOST).unwrap_or(0);
            *ttl = was.saturating_sub(seconds).to_be_bytes();
        }
    }
}

/// Where the TTLs are, each in a record of eleven octets or more. What OPT has in their place is none.
fn ttls(message: &[u8]) -> Vec<usize> {
    let mut found = Vec::new();
    let question = message.get(HEADER..).and_then(skip_name);
    let mut rest = question.and_then(|rest| rest.get(TYPE_AND_CLASS..)).unwrap_or_default();
    while let Some((rtype, fixed, after)) = record(rest) {
        if rtype != types::OPT {
            found.push(message.len() - fixed.len() + TYPE_AND_CLASS);
        }
        rest = after;
    }
    found
}

/// The first record's type, what follows its name, and what follows it.
fn record(rest: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let fixed = skip_name(rest)?;
    let rtype = u16::from_be_bytes(*fixed.first_chunk()?);
    let &length = fixed.get(RECORD_FIXED - size_of::<u16>()..)?.first_chunk()?;
    let after = fixed.get(RECORD_FIXED + usize::from(u16::from_be_bytes(length))..)?;
    Some((rtype, fixed, after))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::forward::message::{Letters, Query};
    use crate::dns::forward::testing::{question, reply};

    #[test]
    fn every_ttl_is_less_and_none_below_zero() {
        let query = Query::new(&question("web.example."), Letters::Lower).unwrap();
        let mut message = reply(query.octets(), 0, &[[10, 0, 0, 1], [10, 0, 0, 2]]);
        message.extend_from_slice(b"\0\x00\x29\x04\xd0\0\0\x80\0\0\0");
        let ttls_of = |message: &[u8]| -> Vec<u32> {
            let ttl = |at: usize| u32::from_be_bytes(message[at..at + 4].try_into().unwrap());
            ttls(message).into_iter().map(ttl).collect()
        };
        let whole = message.clone();
        assert_eq!(ttls_of(&message), [60, 60]);
        age(&mut message, 0);
        assert_eq!(message, whole);
        age(&mut message, 13);
        assert_eq!(ttls_of(&message), [47, 47]);
        let at = ttls(&message)[0];
        message[at] = 0x80;
        age(&mut message, 40);
        assert_eq!(ttls_of(&message), [0, 7]);
        assert!(message.ends_with(b"\0\x00\x29\x04\xd0\0\0\x80\0\0\0"));
        // Cut anywhere, it is aged as far as it goes.
        for len in 0..whole.len() {
            age(&mut whole[..len].to_vec(), 1);
        }
    }
}
