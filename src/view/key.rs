//! A name as the key of a map: short ones, which most are, lie in the map's own entry.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};

use super::wire;

/// What fits into an entry beside the length and the mark of which kind it is.
const SHORT: usize = 30;

/// A name relative to its zone, in lower-case wire form without the root.
#[derive(Clone)]
pub struct Key(Form);

#[derive(Clone)]
enum Form {
    Short(u8, [u8; SHORT]),
    Long(Box<[u8]>),
}

impl Key {
    /// The key of a name in lower-case wire form.
    pub fn new(name: &[u8]) -> Self {
        let mut octets = [0; SHORT];
        match (octets.get_mut(..name.len()), u8::try_from(name.len())) {
            (Some(place), Ok(length)) => {
                place.copy_from_slice(name);
                Self(Form::Short(length, octets))
            }
            _ => Self(Form::Long(name.into())),
        }
    }

    /// The key of the name that these labels make, given in lower case.
    pub fn of(labels: &[&str]) -> Self {
        let mut room = [0; wire::MAX_NAME];
        Self::new(wire::write_relative(labels, &mut room))
    }

    /// The name.
    #[inline]
    pub fn octets(&self) -> &[u8] {
        match &self.0 {
            Form::Short(length, octets) => octets.get(..usize::from(*length)).unwrap_or_default(),
            Form::Long(octets) => octets,
        }
    }
}

impl Borrow<[u8]> for Key {
    #[inline]
    fn borrow(&self) -> &[u8] {
        self.octets()
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.octets() == other.octets()
    }
}

impl Eq for Key {}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.octets().cmp(other.octets())
    }
}

impl Hash for Key {
    /// As the octets themselves: a map is asked with a slice.
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.octets().hash(state);
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&wire::text(self.octets()))
    }
}

#[cfg(test)]
mod tests {
    use std::hash::BuildHasher;

    use super::*;

    #[test]
    fn keys_are_what_their_octets_are() {
        let hasher = foldhash::quality::RandomState::default();
        for length in [0, 1, SHORT - 1, SHORT, SHORT + 1, 200] {
            let octets = vec![b'x'; length];
            let key = Key::new(&octets);
            assert_eq!(key.octets(), octets);
            assert_eq!(hasher.hash_one(&key), hasher.hash_one(&*octets));
        }
        assert_eq!(Key::of(&["web-1", "web"]).octets(), b"\x05web-1\x03web");
        assert_eq!(size_of::<Key>(), 32);
    }
}
