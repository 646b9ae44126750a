//! Names and data of records out of a message that a stranger wrote.
//!
//! Not with hickory-proto: it reads the data of types that it knows into its own form, refuses what it finds odd there,
//! and of types that it does not know it keeps compression pointers into a message that is gone. Here data passes as
//! octets, and only names that may have been compressed are written out (RFC 3597, section 4).

use crate::cache::layout::{self, Field};
use crate::view::wire::{MAX_LABELS, MAX_NAME};

/// Octets of a header: no name begins before its end.
const HEADER: usize = 12;
const POINTER: u16 = 0xc000;
/// Pointers in one name, at most: each leads to a label. It bounds the work, for pointers that lead to pointers
/// could otherwise be followed through the whole message, once a record.
const MOST_POINTERS: usize = MAX_LABELS;

/// A message, and where its question's name stands.
#[derive(Debug, Clone, Copy)]
pub struct Message<'m> {
    /// The octets.
    pub octets: &'m [u8],
    /// Where the question's name ends, which has been sent by us, in letters of a random case; 0: it is not read yet.
    pub name_end: usize,
}

impl Message<'_> {
    /// The name at `at`, uncompressed, its case as it stands, and where what follows it begins. Pointers lead
    /// strictly backward (RFC 1035, section 4.1.4: to a prior occurrence). Labels that it ends with as the question's
    /// name does are put in lower case: their case is the one that we have sent. They need not stand in the question
    /// for it, since an upstream that has asked on keeps what it got in its place.
    pub fn name(&self, at: usize) -> Option<(Vec<u8>, usize)> {
        let (mut name, after) = self.name_as_it_stands(at)?;
        let asked = self.octets.get(HEADER..self.name_end).unwrap_or_default();
        let pairs = labels(&name).into_iter().rev().zip(labels(asked).into_iter().rev());
        let alike = pairs.take_while(|(label, asked)| label.eq_ignore_ascii_case(asked));
        let end: usize = alike.map(|(label, _)| label.len()).sum();
        let start = name.len().saturating_sub(end);
        name.get_mut(start..)?.make_ascii_lowercase();
        Some((name, after))
    }

    fn name_as_it_stands(&self, at: usize) -> Option<(Vec<u8>, usize)> {
        let mut name = Vec::new();
        let (mut at, mut after, mut pointers) = (at, None, 0);
        loop {
            match *self.octets.get(at)? {
                0 => {
                    name.push(0);
                    let fits = name.len() <= MAX_NAME;
                    return fits.then(|| (name, after.unwrap_or(at + 1)));
                }
                length @ 1..=63 => {
                    let end = at + 1 + usize::from(length);
                    name.extend_from_slice(self.octets.get(at..end)?);
                    at = end;
                }
                0xc0.. if pointers < MOST_POINTERS => {
                    let pointer = u16::from_be_bytes(*self.octets.get(at..at + 2)?.first_chunk()?);
                    let target = usize::from(pointer & !POINTER);
                    after = after.or(Some(at + 2));
                    if !(HEADER..at).contains(&target) {
                        return None;
                    }
                    (at, pointers) = (target, pointers + 1);
                }
                _ => return None,
            }
            if name.len() >= MAX_NAME {
                return None;
            }
        }
    }

    /// The data of a record of a type, which stands from `start` to `end`, without compressed names.
    pub fn data(&self, rtype: u16, start: usize, end: usize) -> Option<Vec<u8>> {
        let mut data = Vec::with_capacity(end.checked_sub(start)?);
        let mut at = start;
        for field in layout::fields(rtype) {
            let after = match field {
                Field::Octets(octets) => at + octets,
                Field::Text => at + 1 + usize::from(*self.octets.get(at)?),
                Field::Name => {
                    let (name, after) = self.name(at)?;
                    data.extend(name);
                    at = after;
                    after
                }
            };
            if after > end {
                return None;
            }
            data.extend_from_slice(self.octets.get(at..after)?);
            at = after;
        }
        data.extend_from_slice(self.octets.get(at..end)?);
        Some(data)
    }
}

/// The labels of an uncompressed name, each with its length octet, the root last.
fn labels(name: &[u8]) -> Vec<&[u8]> {
    let mut rest = name;
    let next = || {
        let length = usize::from(*rest.first()?);
        let (label, after) = rest.split_at_checked(1 + length)?;
        rest = after;
        Some(label)
    };
    std::iter::from_fn(next).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message with the question's name `Www.Example`.
    fn read(after: &[u8]) -> Option<(Vec<u8>, usize)> {
        let mut octets = vec![0; HEADER];
        octets.extend(b"\x03Www\x07Example\0");
        let name_end = octets.len();
        octets.extend(after);
        Message { octets: &octets, name_end }.name(name_end)
    }

    #[test]
    fn names_are_uncompressed_and_the_questions_case_is_undone() {
        assert_eq!(read(b"\x03FTP\xc0\x10"), Some((b"\x03FTP\x07example\0".to_vec(), 31)));
        assert_eq!(read(b"\xc0\x0c"), Some((b"\x03www\x07example\0".to_vec(), 27)));
        assert_eq!(read(b"\0"), Some((b"\0".to_vec(), 26)));
        // An upstream that has asked on in our letters has them in names that stand elsewhere.
        assert_eq!(read(b"\x02Ns\x07eXAMPle\0").unwrap().0, b"\x02Ns\x07example\0");
        assert_eq!(read(b"\x07eXAMPle\x03Org\0").unwrap().0, b"\x07eXAMPle\x03Org\0");
        assert_eq!(read(b"\x04wWww\x07eXAMPle\0").unwrap().0, b"\x04wWww\x07example\0");
    }

    #[test]
    fn every_pointer_at_every_offset_is_followed_backward_or_refused() {
        for pointer in 0xc000..=0xffff_u16 {
            for before in 0..4_u8 {
                let mut name = [1, b'a'].repeat(before.into());
                name.extend(pointer.to_be_bytes());
                let target = usize::from(pointer & 0x3fff);
                let at = HEADER + 13 + usize::from(before) * 2;
                if read(&name).is_some() {
                    assert!((HEADER..at).contains(&target), "{pointer:x}");
                }
            }
        }
        // A loop that goes forward through a label, then back.
        assert_eq!(read(b"\x01a\xc0\x19"), None);
        assert_eq!(read(b"\xc0\x19"), None);
    }

    #[test]
    fn names_that_are_too_long_are_none() {
        let long = |labels| [b"\x01x".repeat(labels), vec![0]].concat();
        assert!(read(&long(127)).is_some());
        assert!(read(&long(128)).is_none());
    }
}
