//! A name as the key of a map: short ones, which most are, lie in the map's own entry.
//!
//! Whoever looks a name up hashes it first and asks the maps with a [`Sought`] afterwards: between the two lies the
//! time in which the memory for other names is fetched.

use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::LazyLock;

use papaya::Equivalent;

use super::wire;

/// Seeded at random: who registers cannot choose names that meet in one place.
static SEED: LazyLock<foldhash::quality::RandomState> = LazyLock::new(Default::default);

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

/// A name relative to its zone, in lower-case wire form without the root, that is looked for.
#[derive(Debug, Clone, Copy)]
pub struct Sought<'n> {
    hash: u64,
    octets: &'n [u8],
}

impl<'n> Sought<'n> {
    /// Hashes a name.
    #[inline]
    pub fn new(octets: &'n [u8]) -> Self {
        Self { hash: SEED.hash_one(octets), octets }
    }

    /// What it hashes to: differently in each process.
    pub fn hashed(&self) -> u64 {
        self.hash
    }

    /// The octets that were hashed.
    #[inline]
    pub fn octets(&self) -> &'n [u8] {
        self.octets
    }
}

impl Hash for Sought<'_> {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl Equivalent<Key> for Sought<'_> {
    #[inline]
    fn equivalent(&self, key: &Key) -> bool {
        self.octets == key.octets()
    }
}

/// For maps whose keys have hashed themselves.
#[derive(Debug, Clone, Copy, Default)]
pub struct Hashed(u64);

impl BuildHasher for Hashed {
    type Hasher = Self;

    #[inline]
    fn build_hasher(&self) -> Self {
        *self
    }
}

impl Hasher for Hashed {
    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }

    #[inline]
    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn write(&mut self, octets: &[u8]) {
        self.0 = SEED.hash_one((self.0, octets)); // no key of ours comes here
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
    fn hash<H: Hasher>(&self, state: &mut H) {
        Sought::new(self.octets()).hash(state);
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&wire::text(self.octets()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_what_their_octets_are() {
        for length in [0, 1, SHORT - 1, SHORT, SHORT + 1, 200] {
            let octets = vec![b'x'; length];
            let key = Key::new(&octets);
            assert_eq!(key.octets(), octets);
            let sought = Sought::new(&octets);
            assert!(sought.equivalent(&key));
            assert_eq!(Hashed::default().hash_one(&key), Hashed::default().hash_one(sought));
        }
        assert_eq!(Key::of(&["web-1", "web"]).octets(), b"\x05web-1\x03web");
        assert_eq!(size_of::<Key>(), 32);
    }
}
