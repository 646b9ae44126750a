//! Replies: what became of a request, and the line that says so.
//!
//! A signed reply is never longer than its request, so nobody can have the door send more to a third party than
//! they send to it: the text of `field=` or `reason=` is cut to fit, then left out. The reply's mac is over the
//! 64 digits of the request's mac and then the reply's line before its own ` mac=`.

use std::io::Write;
use std::sync::Arc;

use super::line::{MAC, MAC_DIGITS, SIGNATURE_OCTETS, Verb};
use crate::access::key::Key;
use crate::api::percent;
use crate::registrar::{Committed, Renewed};
use crate::registry::{LeaseTerm, Refusal};

/// Octets that an unsigned reply may have at most.
const MAX_UNSIGNED_OCTETS: usize = 240;

/// What a request is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reply {
    /// It was done: `RC1 OK expires_ms=`. After a registration or a renewal this is the term that was granted,
    /// after `DRAIN` what is left of it, after `DEREGISTER` 0; [`ENDLESS`] is written as `none`.
    Ok { expires_ms: u64 },
    /// The instance is not listed: register it again.
    Unknown,
    /// It may not be, for this reason.
    Denied(Box<str>),
    /// This field is wrong or missing.
    Invalid(Box<str>),
    /// It was written too long ago, or in the future; this is the time here.
    BadTime { now: u64 },
}

/// Stands for a lease without end.
pub(super) const ENDLESS: u64 = u64::MAX;

impl Reply {
    /// What a renewal is told; `None`: nothing, ask again.
    pub(super) fn of_renewal(renewed: Renewed) -> Option<Self> {
        match renewed {
            Renewed::Renewed(term) => Some(Self::granted(term)),
            Renewed::Unknown => Some(Reply::Unknown),
            Renewed::NotYours => Some(Reply::Denied("another principal's".into())),
            Renewed::Loading => None,
        }
    }

    /// What a change is told; `None`: nothing, ask again.
    pub(super) fn of_change(verb: Verb, result: Result<Committed, Refusal>) -> Option<Self> {
        match result {
            Ok(committed) => Some(match (verb, &committed.outcome.instance) {
                (Verb::Register, Some(instance)) => Self::granted(instance.body.lease),
                (_, Some(_)) => {
                    Reply::Ok { expires_ms: committed.expires_in_ms.unwrap_or(ENDLESS) }
                }
                (_, None) => Reply::Ok { expires_ms: 0 },
            }),
            Err(Refusal::Unavailable(_)) => None,
            Err(Refusal::NotListed) => Some(Reply::Unknown),
            Err(refusal) => Some(Reply::Denied(refusal.to_string().into())),
        }
    }

    fn granted(term: LeaseTerm) -> Self {
        Reply::Ok { expires_ms: term.millis().unwrap_or(ENDLESS) }
    }

    /// Writes the line without a mac into `out`; returns its octets, 0 if not even its first words fit.
    fn write(&self, out: &mut [u8]) -> usize {
        match self {
            Reply::Ok { expires_ms: ENDLESS } => put(out, format_args!("RC1 OK expires_ms=none")),
            Reply::Ok { expires_ms } => put(out, format_args!("RC1 OK expires_ms={expires_ms}")),
            Reply::Unknown => put(out, format_args!("RC1 UNKNOWN")),
            Reply::Denied(reason) => put_text(out, "RC1 DENIED", " reason=", reason),
            Reply::Invalid(field) => put_text(out, "RC1 INVALID", " field=", field),
            Reply::BadTime { now } => put(out, format_args!("RC1 BADTIME now={now}")),
        }
    }
}

/// Writes `text` whole, or not at all.
fn put(out: &mut [u8], text: std::fmt::Arguments<'_>) -> usize {
    let room = out.len();
    let mut rest = out;
    match rest.write_fmt(text) {
        Ok(()) => room - rest.len(),
        Err(_) => 0,
    }
}

/// Writes `words`, and behind them as much of `text` as fits.
fn put_text(out: &mut [u8], words: &str, key: &str, text: &str) -> usize {
    let bare = put(out, format_args!("{words}"));
    let Some(rest) = out.get_mut(bare..).filter(|_| bare > 0) else { return bare };
    let start = put(rest, format_args!("{key}"));
    let Some(rest) = rest.get_mut(start..).filter(|_| start > 0) else { return bare };
    match percent::encode_into(text, rest) {
        0 => bare,
        length => bare + start + length,
    }
}

/// How a request's reply is to be written.
#[derive(Debug, Clone)]
pub(super) enum Seal {
    /// Without a mac.
    Unsigned,
    /// With the request's key.
    Signed {
        /// The key.
        key: Arc<Key>,
        /// The digits of the request's mac.
        mac: [u8; MAC_DIGITS],
        /// The octets of the request's line.
        room: usize,
    },
}

impl Seal {
    /// Writes a reply into `out`; returns its octets, 0 if there is no room for it: then it is not sent.
    ///
    /// The same reply with the same seal is the same octets.
    pub(super) fn write(&self, reply: &Reply, out: &mut [u8]) -> usize {
        match self {
            Seal::Unsigned => {
                let room = out.len().min(MAX_UNSIGNED_OCTETS);
                reply.write(out.get_mut(..room).unwrap_or_default())
            }
            Seal::Signed { key, mac, room } => {
                let room = out.len().min(*room).saturating_sub(SIGNATURE_OCTETS);
                let length = reply.write(out.get_mut(..room).unwrap_or_default());
                match out.split_at_mut_checked(length) {
                    Some((line, rest)) if length > 0 => length + sign(key, mac, line, rest),
                    _ => 0,
                }
            }
        }
    }
}

/// Writes ` mac=` and the mac of `line` as the answer to the request with `request_mac`.
fn sign(key: &Key, request_mac: &[u8], line: &[u8], out: &mut [u8]) -> usize {
    let Some((place, _)) = out.split_at_mut_checked(SIGNATURE_OCTETS) else { return 0 };
    let tag = key.sign(&[request_mac, line]);
    let (name, digits) = place.split_at_mut(MAC.len());
    name.copy_from_slice(MAC.as_bytes());
    for (digits, octet) in digits.chunks_exact_mut(2).zip(tag.as_ref()) {
        digits.copy_from_slice(&[hex(octet >> 4), hex(octet & 15)]);
    }
    SIGNATURE_OCTETS
}

fn hex(value: u8) -> u8 {
    b"0123456789abcdef"[usize::from(value & 15)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Principal;

    /// The request's room is `room` octets beyond the reply's signature.
    fn written(reply: &Reply, room: usize) -> String {
        let key = Arc::new(Key::new("k1", &[7; 32], Principal::anonymous(), None));
        let seal = Seal::Signed { key, mac: [b'0'; 64], room: room + SIGNATURE_OCTETS };
        let mut out = [0; 1200];
        let length = seal.write(reply, &mut out);
        let line = std::str::from_utf8(&out[..length]).unwrap();
        line.split(" mac=").next().unwrap().to_owned()
    }

    #[test]
    fn replies_are_as_the_contract_says() {
        let long = "no such\u{e9} ".repeat(50);
        for (reply, room, line) in [
            (Reply::Ok { expires_ms: 30_000 }, 99, "RC1 OK expires_ms=30000"),
            (Reply::Ok { expires_ms: 0 }, 99, "RC1 OK expires_ms=0"),
            (Reply::Ok { expires_ms: ENDLESS }, 99, "RC1 OK expires_ms=none"),
            (Reply::Unknown, 11, "RC1 UNKNOWN"),
            (Reply::Unknown, 10, ""),
            (Reply::Denied("full: 3 % é".into()), 99, "RC1 DENIED reason=full:%203%20%25%20%C3%A9"),
            (Reply::Denied(long.clone().into()), 22, "RC1 DENIED reason=no"),
            (Reply::Denied(long.into()), 18, "RC1 DENIED"),
            (Reply::Invalid("port.a".into()), 99, "RC1 INVALID field=port.a"),
            (Reply::Invalid("port.a".into()), 22, "RC1 INVALID field=port"),
            (Reply::Invalid("port.a".into()), 11, "RC1 INVALID"),
            (Reply::Invalid("port.a".into()), 10, ""),
            (Reply::Invalid("".into()), 99, "RC1 INVALID"),
            (Reply::BadTime { now: 1_700_000_000_123 }, 99, "RC1 BADTIME now=1700000000123"),
        ] {
            assert_eq!(written(&reply, room), line, "{reply:?} in {room}");
        }
    }

    #[test]
    fn an_unsigned_reply_is_brief() {
        let mut out = [0; 1200];
        let length = Seal::Unsigned.write(&Reply::Denied("x".repeat(900).into()), &mut out);
        assert_eq!(length, MAX_UNSIGNED_OCTETS);
        let length = Seal::Unsigned.write(&Reply::Unknown, &mut out);
        assert_eq!(&out[..length], b"RC1 UNKNOWN");
        assert_eq!(Seal::Unsigned.write(&Reply::Unknown, &mut out[..5]), 0);
    }

    #[test]
    fn what_cannot_be_done_now_gets_no_reply() {
        assert_eq!(Reply::of_renewal(Renewed::Loading), None);
        let unavailable = Err(Refusal::Unavailable("the disk is full".into()));
        assert_eq!(Reply::of_change(Verb::Register, unavailable), None);
        let term = LeaseTerm::Secs(30);
        let granted = Some(Reply::Ok { expires_ms: 30_000 });
        assert_eq!(Reply::of_renewal(Renewed::Renewed(term)), granted);
        let endless = Some(Reply::Ok { expires_ms: ENDLESS });
        assert_eq!(Reply::of_renewal(Renewed::Renewed(LeaseTerm::Endless)), endless);
        assert_eq!(Reply::of_change(Verb::Drain, Err(Refusal::NotListed)), Some(Reply::Unknown));
    }
}
