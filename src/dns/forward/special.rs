//! Names that no upstream is asked for, unless a rule says so: each answers the same everywhere, or nowhere.
//!
//! A question for `localhost` that leaves this machine is at best useless. The reverse zones of private networks (RFC
//! 6303) are not among these: an upstream is mostly the network's own, and knows its hosts.

use crate::cache::{Draft, Entry, Question, RRset, Scope, Section};
use crate::view::LeaseTime;
use crate::view::wire;
use crate::view::zones::types;

/// How long such an answer is kept, in seconds: it never changes.
const TTL: u32 = 10_800;
/// The other numbers of the SOA: serial, refresh, retry, expire, and how long there is nothing.
const SOA_NUMBERS: [u32; 5] = [1, 3600, 1200, 604_800, TTL];
const LOCALHOST: &[u8] = b"\x09localhost\0";
/// `nobody.invalid.`, as RFC 6303, section 3, has it.
const NOBODY: &[u8] = b"\x06nobody\x07invalid\0";

const NOERROR: u8 = 0;
const NXDOMAIN: u8 = 3;

/// The kinds of such zones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Each name is this machine (RFC 6761, section 6.3).
    Loopback,
    /// The name of a loopback address (RFC 6303, section 4.2).
    Reverse,
    /// There are no such names.
    Nothing,
}

use Kind::{Loopback, Nothing, Reverse};

/// A zone whose names nobody is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Special {
    /// Its name.
    pub zone: &'static str,
    /// What its names are.
    pub kind: Kind,
}

/// All of them.
pub const ALL: [Special; 12] = [
    Special { zone: "localhost.", kind: Loopback },
    // RFC 6761, sections 6.2 and 6.4
    Special { zone: "test.", kind: Nothing },
    Special { zone: "invalid.", kind: Nothing },
    // Multicast DNS has them (RFC 6762, section 22.1); Tor has these (RFC 7686, section 2); no DNS these (RFC 9476).
    Special { zone: "local.", kind: Nothing },
    Special { zone: "onion.", kind: Nothing },
    Special { zone: "alt.", kind: Nothing },
    // What a resolver says of itself is not for others to pass on (RFC 9462, section 6.4).
    Special { zone: "resolver.arpa.", kind: Nothing },
    // RFC 6303, sections 4.2 and 4.3
    Special { zone: "127.in-addr.arpa.", kind: Reverse },
    Special { zone: "0.in-addr.arpa.", kind: Nothing },
    Special { zone: "255.255.255.255.in-addr.arpa.", kind: Nothing },
    Special {
        zone: "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa.",
        kind: Reverse,
    },
    Special {
        zone: "0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa.",
        kind: Nothing,
    },
];

/// Names of 127.0.0.1 and ::1: they have a PTR record; others of their zones do not exist.
const REVERSE: [&str; 2] = [
    "1.0.0.127.in-addr.arpa.",
    "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa.",
];

impl Special {
    /// The answer to a question for a name in it.
    pub fn entry(&self, question: Question<'_>, now: LeaseTime) -> Entry {
        let name = wire::text(question.name.wire());
        let is_zone = name == self.zone;
        let (exists, data) = match self.kind {
            Loopback => (true, loopback(question.rtype)),
            Reverse if REVERSE.contains(&name.as_str()) => {
                (true, (question.rtype == types::PTR).then(|| LOCALHOST.to_vec()))
            }
            // Above them there are names.
            Reverse => {
                (is_zone || REVERSE.iter().any(|host| host.ends_with(&format!(".{name}"))), None)
            }
            Nothing => (is_zone, None),
        };
        let data = data.or_else(|| (is_zone && question.rtype == types::SOA).then(soa));
        let mut draft = Draft::new(question);
        let zone = wire::parse(self.zone, b"\0").unwrap_or_default();
        let (section, owner, rtype, rdata) = match data {
            Some(data) => (Section::Answer, question.name.wire(), question.rtype, data),
            None => (Section::Authority, &*zone, types::SOA, soa()),
        };
        let set = RRset { section, owner, rtype, ttl: TTL, rdata: &[rdata] };
        // One short record fits.
        let _ = draft.add(&set);
        let (rcode, scope) = if exists { (NOERROR, Scope::Type) } else { (NXDOMAIN, Scope::Name) };
        draft.finish(rcode, false, scope, now, TTL)
    }
}

fn loopback(rtype: u16) -> Option<Vec<u8>> {
    match rtype {
        types::A => Some(std::net::Ipv4Addr::LOCALHOST.octets().to_vec()),
        types::AAAA => Some(std::net::Ipv6Addr::LOCALHOST.octets().to_vec()),
        _ => None,
    }
}

fn soa() -> Vec<u8> {
    [LOCALHOST, NOBODY, &SOA_NUMBERS.map(u32::to_be_bytes).concat()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::wire::Name;

    fn answer(zone: usize, name: &str, rtype: u16) -> (u8, Vec<(Section, u16, Vec<u8>)>) {
        let name = Name::read(&wire::parse(name, b"\0").unwrap()).unwrap();
        let question = Question { name: &name, rtype, dnssec_ok: false, checking_disabled: false };
        let entry = ALL[zone].entry(question, LeaseTime::default());
        let records = entry.each().map(|r| (r.section, r.rtype, r.data().concat())).collect();
        (entry.head().rcode, records)
    }

    #[test]
    fn localhost_is_this_machine() {
        for name in ["localhost.", "a.b.localhost."] {
            let v4 = (Section::Answer, types::A, vec![127, 0, 0, 1]);
            assert_eq!(answer(0, name, types::A), (NOERROR, vec![v4]));
            let (rcode, records) = answer(0, name, types::MX);
            assert_eq!((rcode, records[0].0, records[0].1), (0, Section::Authority, types::SOA));
        }
        let ptr = (Section::Answer, types::PTR, LOCALHOST.to_vec());
        assert_eq!(answer(7, "1.0.0.127.in-addr.arpa.", types::PTR), (NOERROR, vec![ptr]));
        assert_eq!(answer(7, "2.0.0.127.in-addr.arpa.", types::PTR).0, NXDOMAIN);
    }

    #[test]
    fn the_others_do_not_exist() {
        for (n, special) in ALL.iter().enumerate().filter(|(_, special)| special.kind == Nothing) {
            assert_eq!(answer(n, &format!("x.{}", special.zone), types::A).0, NXDOMAIN);
            assert_eq!(answer(n, special.zone, types::A).0, NOERROR);
            assert_eq!(answer(n, special.zone, types::SOA).1[0].0, Section::Answer);
        }
    }
}
