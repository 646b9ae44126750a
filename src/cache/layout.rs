//! Where names stand in the data of records: who copies a record from one message into another must know, for a
//! name may be compressed (RFC 3597, section 4).

/// A part of a record's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// So many octets.
    Octets(usize),
    /// A length octet, and as many octets.
    Text,
    /// A name.
    Name,
}

use Field::{Name, Octets, Text};

/// The parts of a type's data up to its last name that a sender may have compressed; after them come octets. The
/// types are those of RFC 1035, section 3.3, and those that RFC 3597, section 4, names besides. All others pass as
/// octets, and so do names in them.
pub fn fields(rtype: u16) -> &'static [Field] {
    match rtype {
        // NS, MD, MF, CNAME, MB, MG, MR, PTR; NXT, DNAME
        2..=5 | 7..=9 | 12 | 30 | 39 => &[Name],
        // SOA, MINFO, RP
        6 | 14 | 17 => &[Name, Name],
        // MX; AFSDB, RT, KX
        15 | 18 | 21 | 36 => &[Octets(2), Name],
        // SIG
        24 => &[Octets(18), Name],
        // PX
        26 => &[Octets(2), Name, Name],
        // SRV
        33 => &[Octets(6), Name],
        // NAPTR
        35 => &[Octets(4), Text, Text, Text, Name],
        _ => &[],
    }
}

/// Whether names in the type's data may be compressed when it is sent: every reader knows the types of RFC 1035
/// (RFC 3597, section 4).
pub fn may_be_compressed(rtype: u16) -> bool {
    matches!(rtype, 2..=9 | 12 | 14 | 15)
}

/// The octets of the uncompressed name at the beginning of `octets`, the root's included; `None` if it is none.
pub fn name_len(octets: &[u8]) -> Option<usize> {
    let mut len = 0;
    loop {
        let length = *octets.get(len)?;
        len += 1 + usize::from(length);
        match length {
            0 => return (len <= octets.len()).then_some(len),
            1..=63 => {}
            _ => return None,
        }
    }
}

/// Whether a name is `zone` or lies below it, both uncompressed, in whatever case.
pub fn is_in(name: &[u8], zone: &[u8]) -> bool {
    let mut rest = name;
    while rest.len() > zone.len() {
        let label = 1 + usize::from(rest.first().copied().unwrap_or_default());
        rest = rest.get(label..).unwrap_or_default();
    }
    rest.eq_ignore_ascii_case(zone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_compressed_has_names() {
        for rtype in 0..=u16::MAX {
            assert!(!may_be_compressed(rtype) || fields(rtype).contains(&Name), "{rtype}");
        }
    }

    #[test]
    fn names_have_an_end() {
        assert_eq!(name_len(b"\0rest"), Some(1));
        assert_eq!(name_len(b"\x01a\x02bc\0rest"), Some(6));
        for cut in [&b""[..], b"\x01a", b"\x05a", b"\x01a\xc0\x0c", b"\x40"] {
            assert_eq!(name_len(cut), None);
        }
    }

    #[test]
    fn a_name_lies_in_a_zone_by_whole_labels() {
        assert!(is_in(b"\x01a\x03Pay\0", b"\x03pay\0"));
        assert!(is_in(b"\x03pay\0", b"\0"));
        assert!(!is_in(b"\x07evilpay\0", b"\x03pay\0"));
        assert!(!is_in(b"\x03pay\0", b"\x01a\x03pay\0"));
    }
}
