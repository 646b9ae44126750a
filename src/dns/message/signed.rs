//! The data of DNSSEC's records as text (RFC 4034, sections 2.2 to 5.3; RFC 5155, sections 3.3 and 4.3), which
//! hickory-proto leaves as octets unless it is built to validate.

use std::fmt::Write;

use data_encoding::{BASE32HEX_NOPAD, BASE64, HEXLOWER};

use super::text::rtype;
use crate::view::wire;
use crate::view::zones::types;

const RRSIG: u16 = 46;
const NSEC: u16 = 47;
const DNSKEY: u16 = 48;
const NSEC3: u16 = 50;
const NSEC3PARAM: u16 = 51;
const CDS: u16 = 59;
const CDNSKEY: u16 = 60;
const DAY_SECS: i64 = 86_400;

/// The text of a record's data; `None`: it is of another type, or broken.
pub(super) fn text(number: u16, data: &[u8]) -> Option<String> {
    let mut rest = Octets(data);
    match number {
        types::DS | CDS => {
            let (tag, algorithm, digest) = (rest.u16()?, rest.u8()?, rest.u8()?);
            Some(format!("{tag} {algorithm} {digest} {}", hex(rest.0)))
        }
        DNSKEY | CDNSKEY => {
            let (flags, protocol, algorithm) = (rest.u16()?, rest.u8()?, rest.u8()?);
            Some(format!("{flags} {protocol} {algorithm} {}", BASE64.encode(rest.0)))
        }
        RRSIG => {
            let (covered, algorithm, labels, ttl) =
                (rest.u16()?, rest.u8()?, rest.u8()?, rest.u32()?);
            let (expiration, inception, tag) = (rest.u32()?, rest.u32()?, rest.u16()?);
            let (signer, covered) = (rest.name()?, rtype(covered));
            let (expiration, inception) = (time(expiration), time(inception));
            let signature = BASE64.encode(rest.0);
            Some(format!(
                "{covered} {algorithm} {labels} {ttl} {expiration} {inception} {tag} {signer} {signature}"
            ))
        }
        NSEC => {
            let next = rest.name()?;
            Some(next + &covered_types(rest)?)
        }
        NSEC3 => {
            let hashed = nsec3(&mut rest)?;
            let length = rest.u8()?.into();
            let next = base32_hex(rest.take(length)?);
            Some(format!("{hashed} {next}{}", covered_types(rest)?))
        }
        NSEC3PARAM => nsec3(&mut rest).filter(|_| rest.0.is_empty()),
        _ => None,
    }
}

/// Octets that are read from the front.
struct Octets<'d>(&'d [u8]);

impl<'d> Octets<'d> {
    fn take(&mut self, length: usize) -> Option<&'d [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn u16(&mut self) -> Option<u16> {
        self.take(2)?.first_chunk().copied().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take(4)?.first_chunk().copied().map(u32::from_be_bytes)
    }

    /// A name, which is never compressed in these types.
    fn name(&mut self) -> Option<String> {
        let mut length = 0;
        loop {
            let label = usize::from(*self.0.get(length)?);
            length += 1 + label;
            match label {
                0 => return Some(wire::text(self.take(length)?)),
                _ if label > wire::MAX_LABEL || length > wire::MAX_NAME => return None,
                _ => {}
            }
        }
    }
}

/// Algorithm, flags, iterations and salt.
fn nsec3(rest: &mut Octets) -> Option<String> {
    let (algorithm, flags, iterations) = (rest.u8()?, rest.u8()?, rest.u16()?);
    let length = rest.u8()?.into();
    let salt = match rest.take(length)? {
        [] => "-".to_owned(),
        salt => hex(salt),
    };
    Some(format!("{algorithm} {flags} {iterations} {salt}"))
}

/// The types of a bitmap, each behind a space: windows of 256 types, of which those octets are there that have a bit
/// set (RFC 4034, section 4.1.2).
fn covered_types(mut rest: Octets) -> Option<String> {
    let mut text = String::new();
    while !rest.0.is_empty() {
        let (window, length) = (rest.u8()?, rest.u8()?);
        for (octet, bits) in (0_u16..).zip(rest.take(length.into())?) {
            let set = (0..8).filter(|bit| bits & (0x80 >> bit) != 0);
            for bit in set {
                let number = u16::from(window) << 8 | (octet * 8 + bit);
                let _ = write!(text, " {}", rtype(number));
            }
        }
    }
    Some(text)
}

/// `YYYYMMDDHHMMSS` of seconds since 1970 (RFC 4034, section 3.2), by the Gregorian calendar: days are counted from
/// the first of March of the year 0, so that a leap day comes last.
fn time(secs: u32) -> String {
    let secs = i64::from(secs);
    let (days, of_day) = (secs.div_euclid(DAY_SECS) + 719_468, secs.rem_euclid(DAY_SECS));
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}")
}

fn hex(octets: &[u8]) -> String {
    HEXLOWER.encode(octets)
}

/// Base 32 that keeps the order of what it encodes (RFC 4648, section 7), in lower case.
fn base32_hex(octets: &[u8]) -> String {
    BASE32HEX_NOPAD.encode(octets).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_written() {
        let rrsig = [
            &[0, 1, 13, 2, 0, 0, 0, 60][..],
            &1_893_456_000_u32.to_be_bytes(),
            &1_709_164_799_u32.to_be_bytes(),
            &[1, 0, 1, b'a', 0, 0xff, 0xfe],
        ]
        .concat();
        for (number, data, expected) in [
            (types::DS, &[0x12, 0x34, 13, 2, 0xab, 0x01][..], "4660 13 2 ab01"),
            (DNSKEY, &[1, 1, 3, 13, b'f', b'o', b'o', b'b'], "257 3 13 Zm9vYg=="),
            (RRSIG, &rrsig, "A 13 2 60 20300101000000 20240228235959 256 a. //4="),
            (NSEC, &[1, b'b', 0, 0, 6, 0x40, 1, 0, 0, 0, 3, 1, 1, 0x40], "b. A MX RRSIG NSEC CAA"),
            (NSEC3, &[1, 0, 0, 10, 1, 0xaa, 2, 0xff, 0x00, 0, 1, 0x40], "1 0 10 aa vs00 A"),
            (NSEC3PARAM, &[1, 0, 0, 0, 0], "1 0 0 -"),
        ] {
            assert_eq!(text(number, data).as_deref(), Some(expected), "{number}");
            let least = if number == NSEC { 3 } else { data.len() };
            for length in (0..data.len()).filter(|length| *length < least.min(4)) {
                assert_eq!(text(number, &data[..length]), None, "{number} {length}");
            }
        }
        assert_eq!(text(types::A, &[1, 2, 3, 4]), None);
        assert_eq!(text(NSEC, &[0, 0, 9, 1]), None);
        assert_eq!(text(RRSIG, &rrsig[..20]), None);
    }

    #[test]
    fn times_are_dates() {
        for (secs, date) in [
            (0, "19700101000000"),
            (951_782_400, "20000229000000"),
            (951_868_800, "20000301000000"),
            (1_735_689_599, "20241231235959"),
            (u32::MAX, "21060207062815"),
        ] {
            assert_eq!(time(secs), date);
        }
    }

    #[test]
    fn hashes_are_in_the_base_that_keeps_their_order() {
        for (octets, text) in
            [("", ""), ("f", "co"), ("fooba", "cpnmuoj1"), ("foobar", "cpnmuoj1e8")]
        {
            assert_eq!(base32_hex(octets.as_bytes()), text); // RFC 4648, section 10
        }
    }
}
