//! What of upstream's answers is kept by the configuration: nothing about our own names, and no private addresses where
//! they are not wanted.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::accept;
use crate::cache::layout::is_in;
use crate::view::Zones;
use crate::view::wire::Name;
use crate::view::zones::types;

/// SvcParamKeys of addresses (RFC 9460, section 14.3.2).
const IPV4_HINT: u16 = 4;
const IPV6_HINT: u16 = 6;
/// Octets of an address.
const IPV4_OCTETS: usize = 4;
const IPV6_OCTETS: usize = 16;

/// What becomes of private addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Private {
    /// Whether they are dropped.
    pub drop: bool,
    /// But not for names in these zones, in wire form.
    pub except: Vec<Box<[u8]>>,
}

impl Private {
    /// Whether answers to questions for a name may hold them.
    fn may_have(&self, name: &Name) -> bool {
        !self.drop || self.except.iter().any(|zone| is_in(name.wire(), zone))
    }
}

/// Judges the answers to one question.
#[derive(Debug)]
pub struct Judge<'a> {
    zones: &'a Zones,
    may_have_private: bool,
}

impl<'a> Judge<'a> {
    /// Of answers to a question for `name`, with these zones of ours.
    pub fn new(zones: &'a Zones, private: &Private, name: &Name) -> Self {
        Self { zones, may_have_private: private.may_have(name) }
    }
}

impl accept::Judge for Judge<'_> {
    fn is_ours(&self, name: &[u8]) -> bool {
        Name::read(name).is_some_and(|name| self.zones.find(&name).is_some())
    }

    /// Our instances have private addresses as a rule, and so may names of zones that are excepted.
    fn may_lead_on(&self) -> bool {
        self.may_have_private
    }

    fn drops(&self, rtype: u16, rdata: &[u8]) -> bool {
        !self.may_have_private && addresses(rtype, rdata).any(is_private)
    }
}

/// The addresses in the data of a record.
fn addresses(rtype: u16, rdata: &[u8]) -> impl Iterator<Item = IpAddr> {
    let (v4, v6) = match rtype {
        types::A => (rdata, &[][..]),
        types::AAAA => (&[][..], rdata),
        types::SVCB | types::HTTPS => (hint(rdata, IPV4_HINT), hint(rdata, IPV6_HINT)),
        _ => (&[][..], &[][..]),
    };
    let v4 = v4.chunks_exact(IPV4_OCTETS).filter_map(|octets| octets.first_chunk::<IPV4_OCTETS>());
    let v6 = v6.chunks_exact(IPV6_OCTETS).filter_map(|octets| octets.first_chunk::<IPV6_OCTETS>());
    v4.map(|octets| IpAddr::from(*octets)).chain(v6.map(|octets| IpAddr::from(*octets)))
}

/// The value of a parameter of SVCB data (RFC 9460, section 2.2): priority, target, then key, length and value again
/// and again. Nothing if it is not there, or the data ends early.
fn hint(rdata: &[u8], key: u16) -> &[u8] {
    let find = || {
        let target = rdata.get(2..)?;
        let mut rest = target.get(crate::cache::layout::name_len(target)?..)?;
        while let [k0, k1, l0, l1, after @ ..] = rest {
            let (value, next) = after.split_at_checked(u16::from_be_bytes([*l0, *l1]).into())?;
            if u16::from_be_bytes([*k0, *k1]) == key {
                return Some(value);
            }
            rest = next;
        }
        None
    };
    find().unwrap_or_default()
}

/// Whether an address is of one's own network or machine (RFC 1918, 1122, 3927, 4193, 4291).
fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => is_private_v4(v4),
        IpAddr::V6(v6) => {
            v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_unicast_link_local()
                || v6.is_unique_local()
                || embedded(v6).is_some_and(is_private_v4)
        }
    }
}

fn is_private_v4(v4: Ipv4Addr) -> bool {
    let [first, ..] = v4.octets();
    v4.is_private() || v4.is_loopback() || v4.is_link_local() || first == 0
}

/// The IPv4 address behind the well-known prefix of NAT64 (RFC 6052, section 2.1), or in a compatible address (RFC 4291,
/// section 2.5.5.1).
fn embedded(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    match v6.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0, 0, 0, 0, 0, 0, high, low] => {
            Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::wire;

    #[test]
    fn private_addresses_are_known() {
        for (text, private) in [
            ("10.0.0.1", true),
            ("172.31.255.255", true),
            ("172.32.0.0", false),
            ("192.168.1.1", true),
            ("127.0.0.2", true),
            ("169.254.169.254", true),
            ("0.0.0.0", true),
            ("192.0.2.1", false),
            ("100.64.0.1", false),
            ("::1", true),
            ("::", true),
            ("fd00::1", true),
            ("fe80::1", true),
            ("2001:db8::1", false),
            ("::ffff:10.0.0.1", true),
            ("64:ff9b::10.0.0.1", true),
            ("64:ff9b::192.0.2.1", false),
        ] {
            assert_eq!(is_private(text.parse().unwrap()), private, "{text}");
        }
    }

    #[test]
    fn hints_are_looked_into_and_data_may_end_anywhere() {
        let mut data = b"\x00\x01\x03www\x00\x00\x01\x00\x03\x02h2\x00\x04\x00\x08".to_vec();
        data.extend([192, 0, 2, 1, 10, 0, 0, 1]);
        let found: Vec<_> = addresses(types::HTTPS, &data).collect();
        assert_eq!(found, ["192.0.2.1", "10.0.0.1"].map(|text| text.parse::<IpAddr>().unwrap()));
        for end in 0..data.len() {
            assert_eq!(addresses(types::HTTPS, &data[..end]).count(), 0, "{end}");
        }
    }

    #[test]
    fn the_zones_of_exceptions_are_whole_labels() {
        let wire = |text: &str| wire::parse(text, b"\0").unwrap().to_vec();
        let private = Private { drop: true, except: vec![wire("corp.example.").into()] };
        let may = |text: &str| private.may_have(&Name::read(&wire(text)).unwrap());
        assert!(may("corp.example.") && may("a.corp.example."));
        assert!(!may("evilcorp.example.") && !may("example."));
        assert!(Private::default().may_have(&Name::ROOT));
    }
}
