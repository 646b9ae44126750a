//! The keys of the datagram door: secrets that a server and its registering hosts share.
//!
//! A key is a file of 64 hexadecimal digits (256 random bits) that only its owner may read; the key's id, which
//! is no secret, is the file's name up to the first dot. Several keys are live at once, so a new one is handed
//! out before the old one is taken away, and files can be read again while the door is open.

use std::fmt;
use std::sync::Arc;

use parking_lot::RwLock;
use ring::hmac;

/// Keys that may be live at once: every datagram's key id is compared with each of them.
pub const MAX_KEYS: usize = 16;
/// Octets that a key's id may have at most: every signed datagram carries it.
pub const MAX_KEY_ID_OCTETS: usize = 32;
/// Octets of a secret: as many as HMAC-SHA-256 gives strength to.
const SECRET_OCTETS: usize = 32;

/// One shared secret with its id.
pub struct Key {
    id: Box<str>,
    hmac: hmac::Key,
}

impl Key {
    /// A key from its id and secret.
    pub fn new(id: &str, secret: &[u8; SECRET_OCTETS]) -> Self {
        Self { id: id.into(), hmac: hmac::Key::new(hmac::HMAC_SHA256, secret) }
    }

    /// A key from the name of its file and what is in it, without the white space around that.
    pub fn parse(file_name: &str, text: &str) -> Result<Self, String> {
        let secret = unhex(text.as_bytes()).ok_or(
            "must hold 64 hexadecimal digits and nothing else, as `openssl rand -hex 32` writes",
        )?;
        Ok(Self::new(id_of(file_name)?, &secret))
    }

    /// What datagrams call the key.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether `mac` is the HMAC-SHA-256 of `message`; takes as long for every wrong one.
    pub fn verify(&self, message: &[u8], mac: &[u8]) -> bool {
        hmac::verify(&self.hmac, message, mac).is_ok()
    }

    /// The HMAC-SHA-256 of `parts`, one after the other.
    pub fn sign(&self, parts: &[&[u8]]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.hmac);
        for part in parts {
            context.update(part);
        }
        context.sign()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.id)
    }
}

/// The keys that are live.
#[derive(Debug, Default)]
pub struct Keys(RwLock<Box<[Arc<Key>]>>);

impl Keys {
    /// Replaces the keys that are live. On an error they stay as they are.
    pub fn replace(&self, keys: Vec<Key>) -> Result<(), String> {
        if keys.len() > MAX_KEYS {
            let count = keys.len();
            return Err(format!("there are {count} keys: {MAX_KEYS} may be live at once"));
        }
        for (at, key) in keys.iter().enumerate() {
            if keys.iter().skip(at + 1).any(|other| other.id == key.id) {
                return Err(format!("two files give a key `{}`: rename one of them", key.id));
            }
        }
        *self.0.write() = keys.into_iter().map(Arc::new).collect();
        Ok(())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.read().is_empty()
    }

    /// The key called `id`.
    pub fn find(&self, id: &str) -> Option<Arc<Key>> {
        self.0.read().iter().find(|key| *key.id == *id).cloned()
    }

    /// The ids of the keys, for the log.
    pub fn ids(&self) -> Vec<Box<str>> {
        self.0.read().iter().map(|key| key.id.clone()).collect()
    }
}

/// `k1.key` has the key `k1`.
fn id_of(file_name: &str) -> Result<&str, String> {
    let id = file_name.split('.').next().unwrap_or_default();
    let ldh = id.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-');
    if id.is_empty() || id.len() > MAX_KEY_ID_OCTETS || !ldh {
        return Err(format!(
            "its name up to the first dot is the key's id, and must be 1 to {MAX_KEY_ID_OCTETS} letters, digits \
             and hyphens"
        ));
    }
    Ok(id)
}

/// The octets that hexadecimal digits stand for, if there are exactly as many.
pub fn unhex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let mut octets = [0; N];
    let (pairs, rest) = digits.as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    let mut wrong = 0;
    for (octet, &[high, low]) in octets.iter_mut().zip(pairs) {
        let (high, low) = (DIGITS[usize::from(high)], DIGITS[usize::from(low)]);
        wrong |= high | low;
        *octet = high << 4 | low & 15;
    }
    (wrong & NO_DIGIT == 0).then_some(octets)
}

/// The value of one hexadecimal digit.
pub fn digit(c: u8) -> Option<u8> {
    Some(DIGITS[usize::from(c)]).filter(|value| *value != NO_DIGIT)
}

/// Stands for what is no digit.
const NO_DIGIT: u8 = 0x80;
/// The value of each octet as a hexadecimal digit. A table, as branches on the digits of a mac cannot be foreseen.
const DIGITS: [u8; 256] = {
    let mut digits = [NO_DIGIT; 256];
    let mut value = 0;
    while value < 16 {
        digits[b"0123456789abcdef"[value as usize] as usize] = value;
        digits[b"0123456789ABCDEF"[value as usize] as usize] = value;
        value += 1;
    }
    digits
};

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F";

    fn keys(names: &[&str]) -> Vec<Key> {
        names.iter().map(|name| Key::parse(name, ONE).unwrap()).collect()
    }

    #[test]
    fn a_key_is_called_after_its_file() {
        let keys = Keys::default();
        keys.replace(self::keys(&["k1.2026.key", "host-7"])).unwrap();
        assert_eq!(keys.ids(), ["k1".into(), "host-7".into()]);
        let secret = std::array::from_fn(|at| u8::try_from(at).unwrap());
        let mac = Key::new("x", &secret).sign(&[b"a", b"b"]);
        assert!(keys.find("k1").unwrap().verify(b"ab", mac.as_ref()));
        assert!(!keys.find("k1").unwrap().verify(b"ac", mac.as_ref()));
        assert!(keys.find("K1").is_none() && !keys.is_empty());
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for text in
            [&ONE[1..], &format!("{ONE}0"), &format!("{ONE} {ONE}"), &ONE.replace('1', "g"), ""]
        {
            assert!(Key::parse("k1", text).unwrap_err().starts_with("must hold 64"), "{text}");
        }
        for name in ["a_b.key", ".key", "", &"x".repeat(33)] {
            let error = Key::parse(name, ONE).unwrap_err();
            assert!(error.starts_with("its name up to the first dot"), "{name}");
        }
    }

    #[test]
    fn ids_are_distinct_and_few_or_the_keys_stay_as_they_are() {
        let live = Keys::default();
        live.replace(keys(&["old"])).unwrap();
        assert!(live.replace(keys(&["k1.old", "k1.new"])).unwrap_err().contains("`k1`: rename"));
        let many: Vec<_> = (0..=MAX_KEYS).map(|n| format!("n{n}")).collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        assert!(live.replace(keys(&many)).unwrap_err().contains("17 keys"));
        assert_eq!(live.ids(), ["old".into()]);
        live.replace(keys(&many[1..])).unwrap();
        assert!(live.find("old").is_none() && live.find("n16").is_some());
    }
}
