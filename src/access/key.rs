//! The keys of the datagram door: secrets that a server and its registering hosts share.
//!
//! A key is 256 random bits, written as 64 hexadecimal digits. Its id, which is no secret, is drawn with it, or is the name
//! of its file up to the first dot. Several keys are live at once, so a new one is handed out before the old one is taken
//! away.

use std::fmt;

use ring::hmac;

use super::principal::Principal;
use super::token::SECRET_OCTETS;

/// Keys that the configuration may name at most: more belong into the store (`rollcall key create`).
pub const MAX_KEY_FILES: usize = 16;
/// Octets that a key's id may have at most: every signed datagram carries it.
pub const MAX_KEY_ID_OCTETS: usize = 32;
/// A key as a file has it: its id and its secret.
pub struct KeyFile {
    pub(super) id: Box<str>,
    pub(super) secret: [u8; SECRET_OCTETS],
}

impl KeyFile {
    /// A key from the name of its file and what is in it, without the white space around that.
    pub fn parse(file_name: &str, text: &str) -> Result<Self, String> {
        let secret = unhex(text.as_bytes()).ok_or(
            "must hold 64 hexadecimal digits and nothing else, as `openssl rand -hex 32` writes",
        )?;
        Ok(Self { id: id_of(file_name)?.into(), secret })
    }

    /// What datagrams call the key.
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl fmt::Debug for KeyFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyFile({})", self.id)
    }
}

/// Whether keys have different ids, and are not too many; the error is a sentence.
pub fn check_key_files(keys: &[KeyFile]) -> Result<(), String> {
    if keys.len() > MAX_KEY_FILES {
        let count = keys.len();
        return Err(format!(
            "there are {count} keys, and files may give {MAX_KEY_FILES}: `rollcall key create` keeps more"
        ));
    }
    for (at, key) in keys.iter().enumerate() {
        if keys.iter().skip(at + 1).any(|other| other.id == key.id) {
            return Err(format!("two files give a key `{}`: rename one of them", key.id));
        }
    }
    Ok(())
}

/// A live key, and who signs with it.
pub struct Key {
    id: Box<str>,
    hmac: hmac::Key,
    principal: Principal,
    /// When it ends: milliseconds since 1970 UTC.
    expires_unix_ms: Option<u64>,
}

impl Key {
    /// A key from its id and secret.
    pub fn new(
        id: &str,
        secret: &[u8; SECRET_OCTETS],
        principal: Principal,
        expires_unix_ms: Option<u64>,
    ) -> Self {
        let hmac = hmac::Key::new(hmac::HMAC_SHA256, secret);
        Self { id: id.into(), hmac, principal, expires_unix_ms }
    }

    /// What datagrams call the key.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Who signs with it.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// Whether it has ended.
    pub fn is_over(&self, now_unix_ms: u64) -> bool {
        self.expires_unix_ms.is_some_and(|end| end <= now_unix_ms)
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

    fn keys(names: &[&str]) -> Vec<KeyFile> {
        names.iter().map(|name| KeyFile::parse(name, ONE).unwrap()).collect()
    }

    #[test]
    fn a_key_is_called_after_its_file() {
        let keys = keys(&["k1.2026.key", "host-7"]);
        assert_eq!(keys.iter().map(KeyFile::id).collect::<Vec<_>>(), ["k1", "host-7"]);
        let secret: [u8; 32] = std::array::from_fn(|at| u8::try_from(at).unwrap());
        assert_eq!(keys[0].secret, secret);
        let key = Key::new("k1", &secret, Principal::anonymous(), Some(1_000));
        let mac = key.sign(&[b"a", b"b"]);
        assert!(key.verify(b"ab", mac.as_ref()) && !key.verify(b"ac", mac.as_ref()));
        assert!(!key.is_over(999) && key.is_over(1_000));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for text in
            [&ONE[1..], &format!("{ONE}0"), &format!("{ONE} {ONE}"), &ONE.replace('1', "g"), ""]
        {
            assert!(KeyFile::parse("k1", text).unwrap_err().starts_with("must hold 64"), "{text}");
        }
        for name in ["a_b.key", ".key", "", &"x".repeat(33)] {
            let error = KeyFile::parse(name, ONE).unwrap_err();
            assert!(error.starts_with("its name up to the first dot"), "{name}");
        }
    }

    #[test]
    fn ids_are_distinct_and_few() {
        let told = check_key_files(&keys(&["k1.old", "k1.new"])).unwrap_err();
        assert!(told.contains("`k1`: rename"), "{told}");
        let many: Vec<_> = (0..=MAX_KEY_FILES).map(|n| format!("n{n}")).collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        assert!(check_key_files(&keys(&many)).unwrap_err().contains("17 keys"));
        assert_eq!(check_key_files(&keys(&many[1..])), Ok(()));
    }
}
