//! Percent-encoding: how text of any kind stands in a field of a line of printable ASCII.
//!
//! What is not a printable ASCII character other than the space is written as `%` and two hexadecimal digits an
//! octet of its UTF-8, and so is `%` itself. Everything else may be written either way.

use crate::access::key::digit;

/// The text that a field stands for; `None` if a `%` is not followed by two digits, or the octets are no UTF-8.
pub(in crate::api) fn decode(field: &str) -> Option<String> {
    let mut octets = vec![0; field.len()];
    let length = decode_into(field, &mut octets)?.len();
    octets.truncate(length);
    String::from_utf8(octets).ok()
}

/// As [`decode`], into a buffer; `None` also if the text does not fit there.
pub(in crate::api) fn decode_into<'a>(field: &str, buffer: &'a mut [u8]) -> Option<&'a str> {
    let mut length = 0;
    let mut octets = field.bytes();
    while let Some(mut octet) = octets.next() {
        if octet == b'%' {
            octet = digit(octets.next()?)? << 4 | digit(octets.next()?)?;
        }
        *buffer.get_mut(length)? = octet;
        length += 1;
    }
    std::str::from_utf8(buffer.get(..length)?).ok()
}

/// Writes `text` as a field into `buffer`, whole characters only, as many as fit; returns the octets written.
pub(in crate::api) fn encode_into(text: &str, buffer: &mut [u8]) -> usize {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut length = 0;
    let mut utf8 = [0; 4];
    for c in text.chars() {
        let plain = c.is_ascii_graphic() && c != '%';
        let octets = c.encode_utf8(&mut utf8).as_bytes();
        let size = if plain { 1 } else { 3 * octets.len() };
        let Some(place) = buffer.get_mut(length..length + size) else { break };
        if plain {
            place.copy_from_slice(octets);
        } else {
            for (place, octet) in place.chunks_exact_mut(3).zip(octets) {
                let (high, low) = (usize::from(octet >> 4), usize::from(octet & 15));
                place.copy_from_slice(&[b'%', DIGITS[high], DIGITS[low]]);
            }
        }
        length += size;
    }
    length
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encode(text: &str, room: usize) -> String {
        let mut buffer = vec![0; room];
        let length = encode_into(text, &mut buffer);
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    #[test]
    fn decodes_what_is_well_formed() {
        for (field, text) in [
            ("web-1", Some("web-1")),
            ("a%20b", Some("a b")),
            ("100%25", Some("100%")),
            ("%c3%A9t%C3%a9", Some("été")),
            ("a+b=c", Some("a+b=c")),
            ("", Some("")),
            ("%", None),
            ("%2", None),
            ("%2g", None),
            ("%+1", None),
            ("%ff", None),
        ] {
            assert_eq!(decode(field).as_deref(), text, "{field}");
        }
        assert_eq!(decode_into("%20%20", &mut [0; 1]), None);
    }

    #[test]
    fn encodes_whole_characters() {
        assert_eq!(encode("a é%", 99), "a%20%C3%A9%25");
        assert_eq!(encode("a é%", 9), "a%20");
        assert_eq!(encode("a é%", 3), "a");
        assert_eq!(encode("a é%", 0), "");
    }

    proptest! {
        #[test]
        fn every_text_comes_back(text in any::<String>()) {
            let field = encode(&text, 12 * text.len());
            prop_assert!(field.bytes().all(|c| c.is_ascii_graphic()));
            prop_assert_eq!(decode(&field), Some(text));
        }
    }
}
