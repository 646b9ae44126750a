//! Networks: a list of address prefixes, and whether an address is in one of them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Octets before the IPv4 address in an IPv4-mapped one, in bits (RFC 4291, section 2.5.5.2).
const MAPPED_BITS: u8 = 96;

/// One prefix: an address whose first bits count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prefix {
    address: IpAddr,
    length: u8,
}

/// Addresses by prefixes: sorted ranges that neither overlap nor touch, so that a look-up is a binary search.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prefixes {
    v4: Box<[(u32, u32)]>,
    v6: Box<[(u128, u128)]>,
}

impl Prefix {
    /// Reads `10.0.0.0/8`, `fd00::/8`, or an address alone, which is all bits of it. An IPv4-mapped prefix is that of
    /// the IPv4 addresses. The error is the end of a sentence that begins with the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || "is no network, such as `10.0.0.0/8` or `fd00::/8`".to_owned();
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let length = match length {
            None => bits,
            Some(text) if text.is_empty() || text.len() > 3 => return Err(wrong()),
            Some(text) if !text.bytes().all(|octet| octet.is_ascii_digit()) => return Err(wrong()),
            Some(text) => text.parse::<u8>().map_err(|_| wrong())?,
        };
        if length > bits {
            return Err(format!("has a length of {length}, and its address has {bits} bits"));
        }
        let given = Self { address, length }.canonical();
        let whole = given.first();
        if whole == given.address {
            return Ok(given);
        }
        let meant = Self { address: whole, ..given };
        Err(format!(
            "has bits behind its length: the network is `{meant}`, the one address `{address}`"
        ))
    }

    fn canonical(self) -> Self {
        match (self.address.to_canonical(), self.length.checked_sub(MAPPED_BITS)) {
            (address @ IpAddr::V4(_), Some(length)) if self.address.is_ipv6() => {
                Self { address, length }
            }
            _ => self,
        }
    }

    /// The address with the bits behind the length at zero.
    fn first(self) -> IpAddr {
        match self.address {
            IpAddr::V4(ip) => Ipv4Addr::from_bits(ip.to_bits() & !host_v4(self.length)).into(),
            IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & !host_v6(self.length)).into(),
        }
    }
}

/// The bits behind a length.
fn host_v4(length: u8) -> u32 {
    u32::MAX.checked_shr(length.into()).unwrap_or(0)
}

/// The bits behind a length.
fn host_v6(length: u8) -> u128 {
    u128::MAX.checked_shr(length.into()).unwrap_or(0)
}

impl Prefixes {
    /// The addresses of all these prefixes together.
    pub fn new(prefixes: impl IntoIterator<Item = Prefix>) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for Prefix { address, length } in prefixes {
            match address {
                IpAddr::V4(ip) => v4.push((ip.to_bits(), ip.to_bits() | host_v4(length))),
                IpAddr::V6(ip) => v6.push((ip.to_bits(), ip.to_bits() | host_v6(length))),
            }
        }
        Self {
            v4: joined(v4, |end| end.checked_add(1)).into(),
            v6: joined(v6, |end| end.checked_add(1)).into(),
        }
    }

    /// Whether an address is in one of them; an IPv4-mapped one is the IPv4 address.
    pub fn contains(&self, ip: IpAddr) -> bool {
        match ip.to_canonical() {
            IpAddr::V4(ip) => within(&self.v4, ip.to_bits()),
            IpAddr::V6(ip) => within(&self.v6, ip.to_bits()),
        }
    }

    /// Whether no address is.
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }
}

fn within<N: PartialOrd + Copy>(ranges: &[(N, N)], address: N) -> bool {
    let after = ranges.partition_point(|(start, _)| *start <= address);
    after.checked_sub(1).and_then(|at| ranges.get(at)).is_some_and(|(_, end)| address <= *end)
}

/// Ranges in order, those that overlap or touch made one.
fn joined<N: Ord + Copy>(mut ranges: Vec<(N, N)>, next: impl Fn(N) -> Option<N>) -> Vec<(N, N)> {
    ranges.sort();
    let mut joined: Vec<(N, N)> = Vec::with_capacity(ranges.len());
    for (start, end) in ranges {
        match joined.last_mut() {
            Some(last) if next(last.1).is_none_or(|next| start <= next) => last.1 = last.1.max(end),
            _ => joined.push((start, end)),
        }
    }
    joined
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn prefixes(texts: &[&str]) -> Prefixes {
        Prefixes::new(texts.iter().map(|text| Prefix::parse(text).unwrap()))
    }

    #[test]
    fn prefixes_are_read() {
        for (text, read) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("10.0.0.5", "10.0.0.5/32"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("fd00::/8", "fd00::/8"),
            ("::1", "::1/128"),
            ("::/0", "::/0"),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("::ffff:10.0.0.5", "10.0.0.5/32"),
            ("::ffff:0:0/96", "0.0.0.0/0"),
        ] {
            assert_eq!(Prefix::parse(text).unwrap().to_string(), read, "{text}");
        }
        for (text, reason) in [
            ("", "no network"),
            ("10.0.0.0/", "no network"),
            ("10.0.0.0/+8", "no network"),
            ("10.0.0.0/8/8", "no network"),
            ("10.0.0/8", "no network"),
            ("10.0.0.0/999", "no network"),
            ("10.0.0.0/0008", "no network"),
            ("all", "no network"),
            ("10.0.0.0/33", "a length of 33, and its address has 32 bits"),
            ("::/129", "a length of 129, and its address has 128 bits"),
            ("10.1.0.0/8", "the network is `10.0.0.0/8`, the one address `10.1.0.0`"),
            ("fd00::1/64", "the network is `fd00::/64`, the one address `fd00::1`"),
        ] {
            let told = Prefix::parse(text).unwrap_err();
            assert!(told.contains(reason), "{text}: {told}");
        }
    }

    #[test]
    fn addresses_are_in_or_not() {
        let some = prefixes(&["10.0.0.0/8", "192.0.2.4/31", "255.255.255.255", "fd00::/8", "::1"]);
        for inside in [
            "10.0.0.0",
            "10.255.255.255",
            "192.0.2.5",
            "255.255.255.255",
            "::ffff:10.1.2.3",
            "::1",
            "fdff::9",
        ] {
            assert!(some.contains(inside.parse().unwrap()), "{inside}");
        }
        for outside in [
            "9.255.255.255",
            "11.0.0.0",
            "192.0.2.3",
            "192.0.2.6",
            "0.0.0.0",
            "::",
            "::2",
            "fe00::",
            "::10.0.0.1",
        ] {
            assert!(!some.contains(outside.parse().unwrap()), "{outside}");
        }
        let (all, none) = (prefixes(&["0.0.0.0/0", "::/0"]), Prefixes::default());
        for ip in ["0.0.0.0", "255.255.255.255", "::", "ffff::ffff"] {
            let ip = ip.parse().unwrap();
            assert!(all.contains(ip) && !none.contains(ip), "{ip}");
        }
        assert!(none.is_empty() && !all.is_empty());
    }

    #[test]
    fn the_same_addresses_are_the_same_prefixes() {
        assert_eq!(
            prefixes(&["10.0.0.0/9", "10.128.0.0/9", "10.3.0.0/16"]),
            prefixes(&["10.0.0.0/8"])
        );
        assert_eq!(prefixes(&["0.0.0.0/1", "128.0.0.0/1"]), prefixes(&["0.0.0.0/0"]));
        assert_ne!(prefixes(&["10.0.0.0/9"]), prefixes(&["10.0.0.0/8"]));
    }

    proptest! {
        /// As if each prefix were looked at by itself.
        #[test]
        fn a_search_finds_what_a_walk_does(
            networks in proptest::collection::vec((0_u32..64, 26_u8..=32), 0..8),
            address in 0_u32..70,
        ) {
            let network = |(bits, length)| {
                let prefix = Prefix { address: Ipv4Addr::from_bits(bits).into(), length };
                Prefix { address: prefix.first(), length }
            };
            let networks: Vec<Prefix> = networks.into_iter().map(network).collect();
            let ip: IpAddr = Ipv4Addr::from_bits(address).into();
            let walked = networks.iter().any(|network| Prefix { address: ip, ..*network }.first() == network.address);
            prop_assert_eq!(Prefixes::new(networks).contains(ip), walked);
        }
    }
}
