//! Reverse names: the address that a name under `in-addr.arpa` or `ip6.arpa` stands for.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::super::wire::Name;

/// What a name says about addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reverse {
    /// It stands for one address.
    Address(IpAddr),
    /// Names of addresses may lie below it.
    Above,
    /// Neither.
    Neither,
}

/// Reads a name (RFC 1035, section 3.5; RFC 3596, section 2.5).
pub fn read(name: &Name) -> Reverse {
    let mut labels = [&b""[..]; 34];
    let count = name.labels();
    let Some(labels) = labels.get_mut(..count) else { return Reverse::Neither };
    for (place, label) in labels.iter_mut().zip(name.iter()) {
        *place = label;
    }
    match labels {
        [octets @ .., b"in-addr", b"arpa"] => v4(octets),
        [nibbles @ .., b"ip6", b"arpa"] => v6(nibbles),
        _ => Reverse::Neither,
    }
}

/// Whether a zone of this name (lower-case wire form with the root) can hold reverse names.
pub(super) fn is_reverse_zone(name: &Name) -> bool {
    read(name) == Reverse::Above
}

fn v4(octets: &[&[u8]]) -> Reverse {
    let mut address = [0; 4];
    if octets.len() > address.len() {
        return Reverse::Neither;
    }
    for (place, label) in address.iter_mut().zip(octets.iter().rev()) {
        let Some(octet) = decimal(label) else { return Reverse::Neither };
        *place = octet;
    }
    match octets.len() {
        4 => Reverse::Address(Ipv4Addr::from(address).into()),
        _ => Reverse::Above,
    }
}

fn v6(nibbles: &[&[u8]]) -> Reverse {
    let mut address = 0_u128;
    for label in nibbles.iter().rev() {
        let [digit] = label else { return Reverse::Neither };
        let Some(nibble) = char::from(*digit).to_digit(16) else { return Reverse::Neither };
        address = address << 4 | u128::from(nibble);
    }
    match nibbles.len() {
        32 => Reverse::Address(Ipv6Addr::from(address).into()),
        _ => Reverse::Above,
    }
}

/// 0 to 255 without leading zeros: there is one name for an address.
fn decimal(label: &[u8]) -> Option<u8> {
    if label.len() > 3 || (label.len() > 1 && label.first() == Some(&b'0')) {
        return None;
    }
    let digit =
        |sum: u16, octet: &u8| octet.is_ascii_digit().then(|| sum * 10 + u16::from(octet - b'0'));
    let value = label.iter().try_fold(0, digit)?;
    u8::try_from(value).ok().filter(|_| !label.is_empty())
}

#[cfg(test)]
mod tests {
    use super::super::super::wire;
    use super::*;

    #[test]
    fn reverse_names_stand_for_addresses() {
        let six = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.D.f.ip6.arpa.";
        let table = [
            ("5.0.0.10.in-addr.arpa.", Reverse::Address("10.0.0.5".parse().unwrap())),
            (six, Reverse::Address("fd00::1".parse().unwrap())),
            ("0.0.10.in-addr.arpa.", Reverse::Above),
            ("in-addr.arpa.", Reverse::Above),
            ("d.f.ip6.arpa.", Reverse::Above),
            ("5.5.0.0.10.in-addr.arpa.", Reverse::Neither),
            ("05.0.0.10.in-addr.arpa.", Reverse::Neither),
            ("256.0.0.10.in-addr.arpa.", Reverse::Neither),
            ("x.10.in-addr.arpa.", Reverse::Neither),
            ("10.d.f.ip6.arpa.", Reverse::Neither),
            ("g.f.ip6.arpa.", Reverse::Neither),
            ("0.1.", Reverse::Neither),
            (".", Reverse::Neither),
        ];
        for (name, expected) in table {
            let name = wire::parse(name, b"\0").unwrap();
            assert_eq!(read(&Name::read(&name).unwrap()), expected, "{}", wire::text(&name));
        }
        let deeper = wire::parse(&format!("0.{six}"), b"\0").unwrap();
        assert_eq!(read(&Name::read(&deeper).unwrap()), Reverse::Neither);
    }
}
