//! Names as they stand in messages: a length octet and a label, again and again (RFC 1035, section 3.1).

/// Octets of a name in wire form at most, the root's included (RFC 1035, section 2.3.4).
pub const MAX_NAME: usize = 255;

/// The labels in wire form, without the root: the key of a name relative to its zone.
///
/// Labels are given in lower case, each of 1 to 63 octets: the types of the registry see to it.
pub fn relative<L: AsRef<[u8]>>(labels: &[L]) -> Box<[u8]> {
    let mut wire = Vec::with_capacity(labels.iter().map(|label| label.as_ref().len() + 1).sum());
    for label in labels {
        let label = label.as_ref();
        debug_assert!((1..=63).contains(&label.len()));
        wire.push(u8::try_from(label.len()).unwrap_or(63));
        wire.extend_from_slice(label);
    }
    wire.into()
}
