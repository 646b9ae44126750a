//! Names as they stand in messages: a length octet and a label, again and again (RFC 1035, section 3.1).

use std::fmt::Write;

/// Octets of a name in wire form at most, the root's included (RFC 1035, section 2.3.4).
pub const MAX_NAME: usize = 255;
/// Octets of a label at most (RFC 1035, section 2.3.4).
pub const MAX_LABEL: usize = 63;
/// Labels of a name at most, the root's not counted: each takes two octets at least.
pub const MAX_LABELS: usize = 127;

/// Writes labels in wire form, without the root: a name relative to its zone.
///
/// Labels are given in lower case, each of 1 to 63 octets: the types of the registry see to it, and that all fit.
pub fn write_relative<'b, L: AsRef<[u8]>>(labels: &[L], room: &'b mut [u8; MAX_NAME]) -> &'b [u8] {
    let mut len = 0;
    for label in labels {
        let label = label.as_ref();
        debug_assert!((1..=MAX_LABEL).contains(&label.len()));
        let end = len + 1 + label.len();
        let Some((length, place)) = room.get_mut(len..end).and_then(<[u8]>::split_first_mut) else {
            debug_assert!(false, "a name of the registry has room");
            break;
        };
        *length = u8::try_from(label.len()).unwrap_or(63);
        place.copy_from_slice(label);
        len = end;
    }
    room.get(..len).unwrap_or_default()
}

/// Writes a text that may be a label, and a label, in wire form without the root; `None` if the text is none.
pub fn write_under<'b>(text: &str, label: &str, room: &'b mut [u8; MAX_NAME]) -> Option<&'b [u8]> {
    let fits = |label: &str| (1..=MAX_LABEL).contains(&label.len());
    (fits(text) && fits(label)).then(|| write_relative(&[text, label], room))
}

/// A whole name in lower case, on the stack: what a query asks for, or a CNAME leads to.
#[derive(Clone)]
pub struct Name {
    wire: [u8; MAX_NAME],
    /// Where each label begins, the root's last.
    starts: [u8; MAX_LABELS + 1],
    len: usize,
    labels: usize,
}

impl Name {
    /// The root: what a name to be [`set`](Self::set) begins as.
    pub const ROOT: Self =
        Self { wire: [0; MAX_NAME], starts: [0; MAX_LABELS + 1], len: 1, labels: 0 };

    /// Reads the name at the beginning of `bytes`. `None` if it is cut off, longer than 255 octets, or holds a
    /// compression pointer: no query needs one.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let mut name = Self::ROOT;
        name.set(bytes).then_some(name)
    }

    /// Makes this the name at the beginning of `bytes`, as [`read`](Self::read) does; false if that is none, and then
    /// it is no name. Only as many octets are touched as the name has.
    #[inline]
    pub fn set(&mut self, bytes: &[u8]) -> bool {
        self.find_labels(bytes).is_some()
    }

    #[inline]
    fn find_labels(&mut self, bytes: &[u8]) -> Option<()> {
        let (mut len, mut labels) = (0, 0);
        loop {
            let length = *bytes.get(len)?;
            *self.starts.get_mut(labels)? = u8::try_from(len).ok()?;
            len += 1 + usize::from(length);
            match length {
                0 => break,
                1..=63 => labels += 1,
                _ => return None,
            }
        }
        (self.len, self.labels) = (len, labels);
        let wire = self.wire.get_mut(..len)?;
        wire.copy_from_slice(bytes.get(..len)?);
        // A length octet is at most 63 and so never a letter.
        wire.make_ascii_lowercase();
        Some(())
    }

    /// The name in lower-case wire form, with the root.
    pub fn wire(&self) -> &[u8] {
        self.wire.get(..self.len).unwrap_or_default()
    }

    /// How many labels it has, the root's not counted.
    pub fn labels(&self) -> usize {
        self.labels
    }

    /// Its last `labels` labels and the root; all of it if it has no more.
    pub fn suffix(&self, labels: usize) -> &[u8] {
        let first = self.labels.saturating_sub(labels);
        let start = self.starts.get(first).map_or(self.len, |start| usize::from(*start));
        self.wire.get(start..self.len).unwrap_or_default()
    }

    /// Its last `labels` labels without the last `octets` octets: a name relative to a zone of that length.
    pub fn relative(&self, labels: usize, octets: usize) -> &[u8] {
        let suffix = self.suffix(labels);
        suffix.get(..suffix.len().saturating_sub(octets)).unwrap_or_default()
    }

    /// Whether the name is `zone` (wire form with the root) or lies below it.
    pub fn is_in(&self, zone: &[u8]) -> bool {
        labels_of(zone).count() <= self.labels && self.suffix(labels_of(zone).count()) == zone
    }

    /// Its labels, first to last, the root's left out.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        labels_of(self.wire())
    }
}

impl std::fmt::Debug for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&text(self.wire()))
    }
}

/// The labels of a name in wire form, with or without the root, which is left out.
pub fn labels_of(wire: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = wire;
    std::iter::from_fn(move || {
        let (length, after) = rest.split_first()?;
        let label = after.get(..usize::from(*length))?;
        rest = after.get(label.len()..).unwrap_or_default();
        (!label.is_empty()).then_some(label)
    })
}

/// A name in wire form, with or without the root, as people write it: with a final dot and `\DDD` for octets
/// that are not text (RFC 1035, section 5.1).
pub fn text(wire: &[u8]) -> String {
    let mut text = String::new();
    for label in labels_of(wire) {
        for octet in label {
            match octet {
                b'.' | b'\\' | b'"' | b';' | b'(' | b')' | b'@' | b'$' => {
                    text.push('\\');
                    text.push(char::from(*octet));
                }
                0x21..=0x7e => text.push(char::from(*octet)),
                _ => {
                    let _ = write!(text, "\\{octet:03}");
                }
            }
        }
        text.push('.');
    }
    if text.is_empty() { ".".into() } else { text }
}

/// Text of somebody else's as errors show it: without control characters.
pub fn shown(text: &str) -> String {
    let show = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
    text.chars().map(show).collect()
}

/// A name as people write it, to wire form with the root, its case as given. A name without a final dot is
/// relative to `origin` (wire form with the root). The error says what is wrong with it.
pub fn parse(text: &str, origin: &[u8]) -> Result<Box<[u8]>, String> {
    let show = || shown(text);
    if text == "@" {
        return Ok(origin.into());
    }
    if text == "." {
        return Ok([0].into());
    }
    let mut wire = Vec::new();
    let mut label = Vec::new();
    let mut rest = text.as_bytes();
    while let Some(octet) = next_octet(&mut rest).map_err(|e| format!("`{}` {e}", show()))? {
        match octet {
            Octet::Plain(b'.') => {
                close_label(&mut wire, &mut label).map_err(|e| format!("`{}` has {e}", show()))?;
            }
            Octet::Plain(octet) | Octet::Escaped(octet) => label.push(octet),
        }
    }
    if !label.is_empty() {
        close_label(&mut wire, &mut label).map_err(|e| format!("`{}` has {e}", show()))?;
        wire.extend_from_slice(origin);
    } else if wire.is_empty() {
        return Err("an empty name".into());
    } else {
        wire.push(0);
    }
    if wire.len() > MAX_NAME {
        return Err(format!("`{}` is longer than {MAX_NAME} octets", show()));
    }
    Ok(wire.into())
}

fn close_label(wire: &mut Vec<u8>, label: &mut Vec<u8>) -> Result<(), String> {
    match u8::try_from(label.len()) {
        Ok(0) => Err("an empty label".into()),
        Ok(length) if label.len() <= MAX_LABEL => {
            wire.push(length);
            wire.append(label);
            Ok(())
        }
        _ => Err(format!("a label of more than {MAX_LABEL} octets")),
    }
}

/// An octet of text in a zone file.
pub enum Octet {
    /// As it stands.
    Plain(u8),
    /// Written as `\X` or `\DDD`.
    Escaped(u8),
}

/// Takes the next octet off `rest`, undoing `\X` and `\DDD`, which is decimal (RFC 1035, section 5.1).
pub fn next_octet(rest: &mut &[u8]) -> Result<Option<Octet>, String> {
    let (octet, taken) = match **rest {
        [] => return Ok(None),
        [b'\\', a @ b'0'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', ..] => {
            let value = [a, b, c].iter().fold(0, |sum, d| sum * 10 + u16::from(d - b'0'));
            let octet = u8::try_from(value)
                .map_err(|_| format!("has the escape `\\{value}`; the last one is `\\255`"))?;
            (Octet::Escaped(octet), 4)
        }
        [b'\\', b'0'..=b'9', ..] => {
            return Err("has an escape of fewer than three digits".into());
        }
        [b'\\', octet, ..] => (Octet::Escaped(octet), 2),
        [b'\\'] => return Err("ends with a `\\` that escapes nothing".into()),
        [octet, ..] => (Octet::Plain(octet), 1),
    };
    *rest = rest.get(taken..).unwrap_or_default();
    Ok(Some(octet))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(text: &str) -> Box<[u8]> {
        parse(text, b"\x03svc\x08internal\x00").unwrap()
    }

    #[test]
    fn text_and_wire_are_inverse() {
        for (given, text_again) in [
            ("web", "web.svc.internal."),
            ("@", "svc.internal."),
            (".", "."),
            ("Web.example.", "Web.example."),
            (r"a\.b.example.", r"a\.b.example."),
            (r"a\032b\000.example.", r"a\032b\000.example."),
            (r"\*.example.", "*.example."),
            ("grün.example.", r"gr\195\188n.example."),
        ] {
            assert_eq!(text(&wire(given)), text_again, "{given}");
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let long = "x".repeat(64);
        let longer = "x.".repeat(128);
        for bad in ["", "..", "a..b.", ".a", r"a\", r"a\256.", r"a\12.", &long, &longer] {
            assert!(parse(bad, b"\0").is_err(), "{bad}");
        }
    }

    #[test]
    fn a_name_knows_its_suffixes() {
        let name = Name::read(&wire("_Web._TCP")).unwrap();
        assert_eq!(name.labels(), 4);
        assert_eq!(text(name.suffix(3)), "_tcp.svc.internal.");
        assert_eq!(text(name.suffix(9)), "_web._tcp.svc.internal.");
        assert_eq!(name.suffix(0), b"\0");
        assert_eq!(name.relative(3, 14), b"\x04_tcp");
        assert!(name.is_in(&wire("@")) && name.is_in(b"\0") && name.is_in(name.wire()));
        assert!(!name.is_in(&wire("x._web._tcp")) && !name.is_in(&wire("tcp")));
    }

    #[test]
    fn names_in_queries_are_read_whole_or_not_at_all() {
        let longest: Vec<u8> = std::iter::repeat_n(*b"\x01x", 127).flatten().chain([0]).collect();
        assert_eq!(Name::read(&longest).unwrap().labels(), 127);
        let too_long: Vec<u8> = std::iter::repeat_n(*b"\x02xx", 85).flatten().chain([0]).collect();
        for bad in [&b""[..], b"\x01", b"\x03web", b"\xc0\x0c", b"\x40\x00", &too_long] {
            assert!(Name::read(bad).is_none(), "{bad:?}");
        }
    }
}
