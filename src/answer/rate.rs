//! How much a client's network is answered over UDP, where anybody can ask in anybody's name.
//!
//! Each network (an IPv4 /24, an IPv6 /56) has a bucket that is one number: the moment at which all that it was answered
//! is paid for, at so many answers a second. A network is over its limit when that moment lies more than a second ahead.
//! A bucket whose moment has passed is as good as none, so a table of fixed size is enough: whoever is seldom asked for
//! needs a place for microseconds, and who is flooded is the last to lose its own.
//!
//! The workers share the table and take no lock: two that answer one network at the same instant may lose an answer or two
//! from the account. A network over its limit costs a look and no write.

use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bits of an IPv6 address behind the network's: a /56 is the least that a site has (RFC 6177, section 2).
const HOST_BITS_V6: u32 = 128 - 56;
/// The same of IPv4: a /24 is the least that is routed.
const HOST_BITS_V4: u32 = 32 - 24;
/// What tells the two apart, and both from an empty place.
const MARK_V4: u64 = 1 << 63;
const MARK_V6: u64 = 1 << 62;

/// Networks that are counted at a time: 256 KiB. One that is not over its limit needs its place for as long as its last
/// answers are not paid for, at most a second.
pub const NETWORKS: usize = SETS * WAYS;
const SET_BITS: u32 = 12;
const SETS: usize = 1 << SET_BITS;
/// Places of a set: a cache line.
const WAYS: usize = 4;

const NANOS_PER_SEC: u64 = 1_000_000_000;
const NANOS_PER_MS: u64 = 1_000_000;
/// How far ahead a bucket may be: a network may have a second's answers at once.
const BURST_NANOS: u64 = NANOS_PER_SEC;

/// How many answers a network gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    nanos_per_answer: u64,
}

impl Limit {
    /// So many a second; 0: as many as it asks for, which is no limit.
    pub fn per_second(answers: u32) -> Option<Self> {
        NANOS_PER_SEC
            .checked_div(answers.into())
            .map(|nanos| Self { nanos_per_answer: nanos.max(1) })
    }
}

/// The buckets of all networks.
pub struct Buckets {
    sets: Box<[Set]>,
    /// The hash is multiply-shift with these, drawn at the start: any two networks share a set with a probability of one
    /// in as many as there are sets, whoever chose them, for nobody sees in which they are.
    key: [u128; 2],
}

#[derive(Default)]
#[repr(align(64))]
struct Set([Bucket; WAYS]);

#[derive(Default)]
struct Bucket {
    /// Which network's it is; 0: nobody's.
    network: AtomicU64,
    /// When all is paid for, in nanoseconds of the lease clock.
    paid: AtomicU64,
}

impl Buckets {
    /// Empty ones, under a key that nobody knows.
    pub fn new(key: [u128; 2]) -> Self {
        Self { sets: (0..SETS).map(|_| Set::default()).collect(), key }
    }

    /// Charges an answer at `now_ms` to the network of `ip`, unless that is over its limit already: then true.
    #[inline]
    pub fn is_over(&self, ip: IpAddr, now_ms: u64, limit: Limit) -> bool {
        let network = network(ip);
        let Some(Set(set)) = self.sets.get(self.place(network)) else { return false };
        let now = now_ms.saturating_mul(NANOS_PER_MS);
        let bucket =
            match set.iter().find(|bucket| bucket.network.load(Ordering::Relaxed) == network) {
                Some(bucket) => bucket,
                None => match take_place(set, network) {
                    Some(bucket) => bucket,
                    None => return false,
                },
            };
        let paid = bucket.paid.load(Ordering::Relaxed);
        if paid.saturating_sub(now) > BURST_NANOS {
            return true;
        }
        if paid < now {
            bucket.paid.store(now.saturating_add(limit.nanos_per_answer), Ordering::Relaxed);
        } else {
            bucket.paid.fetch_add(limit.nanos_per_answer, Ordering::Relaxed);
        }
        false
    }

    #[inline]
    fn place(&self, network: u64) -> usize {
        let [factor, summand] = self.key;
        let hash = factor.wrapping_mul(network.into()).wrapping_add(summand);
        usize::try_from(hash >> (u128::BITS - SET_BITS)).unwrap_or(0)
    }
}

impl fmt::Debug for Buckets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Buckets")
    }
}

/// The place of the bucket that is paid for first: most likely it is paid for, and as good as empty. Who had it, if not,
/// begins anew.
fn take_place(set: &[Bucket; WAYS], network: u64) -> Option<&Bucket> {
    let bucket = set.iter().min_by_key(|bucket| bucket.paid.load(Ordering::Relaxed))?;
    bucket.paid.store(0, Ordering::Relaxed);
    bucket.network.store(network, Ordering::Relaxed);
    Some(bucket)
}

#[inline]
fn network(ip: IpAddr) -> u64 {
    match ip.to_canonical() {
        IpAddr::V4(ip) => MARK_V4 | u64::from(ip.to_bits() >> HOST_BITS_V4),
        IpAddr::V6(ip) => MARK_V6 | u64::try_from(ip.to_bits() >> HOST_BITS_V6).unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn buckets() -> Buckets {
        Buckets::new([0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835, 77])
    }

    /// How many of `asked` answers a network gets at one moment.
    fn answers(buckets: &Buckets, ip: &str, now_ms: u64, per_second: u32, asked: u32) -> u32 {
        let (ip, limit) = (ip.parse().unwrap(), Limit::per_second(per_second).unwrap());
        (0..asked).map(|_| u32::from(!buckets.is_over(ip, now_ms, limit))).sum()
    }

    #[test]
    fn a_network_has_a_second_at_once_and_then_its_rate() {
        let buckets = buckets();
        // One more than a second's: the last that is answered is the one that goes over.
        assert_eq!(answers(&buckets, "192.0.2.1", 5_000, 100, 1_000), 101);
        assert_eq!(answers(&buckets, "192.0.2.255", 5_000, 100, 1_000), 0);
        assert_eq!(answers(&buckets, "192.0.3.1", 5_000, 100, 50), 50);
        assert_eq!(answers(&buckets, "192.0.2.1", 5_100, 100, 1_000), 10);
        // What was refused is not owed.
        assert_eq!(answers(&buckets, "192.0.2.1", 60_000, 100, 1_000), 101);
        assert_eq!(
            answers(&buckets, "192.0.2.1", 0, 100, 1),
            0,
            "a clock that goes back gives nothing away"
        );
        assert_eq!(Limit::per_second(0), None);
    }

    #[test]
    fn networks_are_told_apart_by_their_first_bits() {
        for (one, other, is_same) in [
            ("10.0.0.1", "10.0.0.200", true),
            ("10.0.0.1", "::ffff:10.0.0.9", true),
            ("10.0.0.1", "10.0.1.1", false),
            ("2001:db8::1", "2001:db8:0:ff:ffff::", true),
            ("2001:db8::1", "2001:db8:0:100::1", false),
            ("::", "0.0.0.0", false),
        ] {
            let [one, other] = [one, other].map(|ip| network(ip.parse().unwrap()));
            assert_eq!(one == other, is_same);
            assert!(one != 0 && other != 0);
        }
    }

    /// Any number of strangers, asked for once each at the same instant, do not let a flooded network off.
    #[test]
    fn strangers_do_not_push_out_who_is_flooded() {
        let buckets = buckets();
        assert_eq!(answers(&buckets, "192.0.2.1", 5_000, 1_000, 2_000), 1_001);
        let limit = Limit::per_second(1_000).unwrap();
        for number in 0..200_000_u32 {
            let ip = Ipv4Addr::from_bits(0x0a00_0000 + (number << 8)).into();
            assert!(!buckets.is_over(ip, 5_000, limit), "a stranger is answered");
        }
        assert_eq!(answers(&buckets, "192.0.2.1", 5_000, 1_000, 1_000), 0);
    }

    /// Networks in order, as an attacker would count, fill the sets evenly.
    #[test]
    fn the_hash_spreads_networks() {
        let buckets = buckets();
        let mut counts = vec![0_u32; SETS];
        for number in 0..NETWORKS {
            let ip = Ipv4Addr::from_bits(u32::try_from(number << 8).unwrap());
            counts[buckets.place(network(ip.into()))] += 1;
        }
        assert!(counts.iter().max().is_some_and(|most| *most <= 8 * u32::try_from(WAYS).unwrap()));
    }
}
