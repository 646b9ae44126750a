//! The keys of the datagram door: secrets that a server and its registering hosts share.
//!
//! A key is a file of 64 hexadecimal digits (256 random bits) that only its owner may read; the key's id, which
//! is no secret, is the file's name up to the first dot. Several keys are live at once, so a new one is handed
//! out before the old one is taken away, and files can be read again while the door is open.

use std::fmt;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::RwLock;
use ring::hmac;

/// Keys that may be live at once: every datagram's key id is compared with each of them.
pub const MAX_KEYS: usize = 16;
/// Octets that a key's id may have at most: every signed datagram carries it.
pub const MAX_KEY_ID_OCTETS: usize = 32;
/// Octets of a secret: as many as HMAC-SHA-256 gives strength to.
const SECRET_OCTETS: usize = 32;
/// Octets of a key file at most: the digits and a line's end.
const MAX_FILE_OCTETS: u64 = 2 * SECRET_OCTETS as u64 + 2;

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

/// A key file that cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub struct KeyError {
    /// The file.
    pub file: PathBuf,
    /// What is wrong with it, and what would be right.
    pub reason: String,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "key file {}: {}", self.file.display(), self.reason)
    }
}

impl std::error::Error for KeyError {}

/// The keys that are live.
#[derive(Debug, Default)]
pub struct Keys(RwLock<Box<[Arc<Key>]>>);

impl Keys {
    /// Reads the keys; one file that cannot be used refuses them all.
    pub fn load(files: &[PathBuf]) -> Result<Self, KeyError> {
        Ok(Self(RwLock::new(read_all(files)?)))
    }

    /// Reads the keys again and replaces those that are live. On an error these stay as they are.
    pub fn reload(&self, files: &[PathBuf]) -> Result<(), KeyError> {
        let keys = read_all(files)?;
        *self.0.write() = keys;
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

impl FromIterator<Key> for Keys {
    fn from_iter<I: IntoIterator<Item = Key>>(keys: I) -> Self {
        Self(RwLock::new(keys.into_iter().map(Arc::new).collect()))
    }
}

fn read_all(files: &[PathBuf]) -> Result<Box<[Arc<Key>]>, KeyError> {
    let mut keys: Vec<Arc<Key>> = Vec::with_capacity(files.len().min(MAX_KEYS));
    for file in files {
        let error = |reason| KeyError { file: file.clone(), reason };
        if keys.len() >= MAX_KEYS {
            return Err(error(format!("is one too many: {MAX_KEYS} keys may be live at once")));
        }
        let key = read(file).map_err(error)?;
        if keys.iter().any(|other| other.id == key.id) {
            let id = &key.id;
            return Err(error(format!("another file gives a key `{id}`: rename one of them")));
        }
        keys.push(Arc::new(key));
    }
    Ok(keys.into())
}

fn read(path: &Path) -> Result<Key, String> {
    let id = id_of(path)?;
    // Looked at before it is opened: opening a FIFO would wait for its other end.
    if !fs::metadata(path).map_err(|error| error.to_string())?.is_file() {
        return Err("is not a regular file".into());
    }
    let file = File::open(path).map_err(|error| error.to_string())?;
    let mode = file.metadata().map_err(|error| error.to_string())?.mode() & 0o777;
    if mode & 0o077 != 0 {
        let path = path.display();
        return Err(format!("its mode {mode:04o} lets others in: chmod 600 {path}"));
    }
    let mut text = Vec::new();
    file.take(MAX_FILE_OCTETS + 1).read_to_end(&mut text).map_err(|error| error.to_string())?;
    let secret = secret(&text).ok_or(
        "must hold 64 hexadecimal digits and nothing else, as `openssl rand -hex 32` writes",
    )?;
    Ok(Key::new(id, &secret))
}

/// `/etc/rollcall/k1.key` has the key `k1`.
fn id_of(path: &Path) -> Result<&str, String> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let id = name.split('.').next().unwrap_or_default();
    let ldh = id.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-');
    if id.is_empty() || id.len() > MAX_KEY_ID_OCTETS || !ldh {
        return Err(format!(
            "its name up to the first dot is the key's id, and must be 1 to {MAX_KEY_ID_OCTETS} letters, digits \
             and hyphens"
        ));
    }
    Ok(id)
}

fn secret(text: &[u8]) -> Option<[u8; SECRET_OCTETS]> {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    unhex(text.strip_suffix(b"\r").unwrap_or(text))
}

/// The octets that hexadecimal digits stand for, if there are exactly as many.
pub fn unhex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let mut octets = [0; N];
    let (pairs, rest) = digits.as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    for (octet, &[high, low]) in octets.iter_mut().zip(pairs) {
        *octet = digit(high)? << 4 | digit(low)?;
    }
    Some(octets)
}

/// The value of one hexadecimal digit.
pub fn digit(c: u8) -> Option<u8> {
    match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        b'A'..=b'F' => Some(c - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const ONE: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F";
    const TWO: &str = "ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

    fn file(dir: &tempfile::TempDir, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    #[test]
    fn a_key_is_called_after_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let files = [
            file(&dir, "k1.2026.key", ONE, 0o600),
            file(&dir, "host-7", &format!("{TWO}\n"), 0o400),
            file(&dir, "k3.key", &format!("{TWO}\r\n"), 0o600),
        ];
        let keys = Keys::load(&files).unwrap();
        assert_eq!(keys.ids(), ["k1".into(), "host-7".into(), "k3".into()]);
        let secret = std::array::from_fn(|at| u8::try_from(at).unwrap());
        let mac = Key::new("x", &secret).sign(&[b"a", b"b"]);
        assert!(keys.find("k1").unwrap().verify(b"ab", mac.as_ref()));
        assert!(!keys.find("host-7").unwrap().verify(b"ab", mac.as_ref()));
        assert!(keys.find("K1").is_none() && !keys.is_empty());
        assert!(Keys::load(&[]).unwrap().is_empty());
    }

    #[test]
    fn files_that_cannot_be_used_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let bad = [
            (file(&dir, "open.key", ONE, 0o640), "its mode 0640 lets others in: chmod 600 "),
            (file(&dir, "world.key", ONE, 0o604), "its mode 0604 lets others in: chmod 600 "),
            (file(&dir, "short.key", &ONE[1..], 0o600), "must hold 64 hexadecimal digits"),
            (file(&dir, "long.key", &format!("{ONE}0"), 0o600), "must hold 64 hexadecimal"),
            (file(&dir, "two.key", &format!("{ONE}\n\n"), 0o600), "must hold 64 hexadecimal"),
            (file(&dir, "text.key", &ONE.replace('f', "g"), 0o600), "must hold 64 hexadecimal"),
            (file(&dir, "a_b.key", ONE, 0o600), "its name up to the first dot"),
            (file(&dir, ".key", ONE, 0o600), "its name up to the first dot"),
            (file(&dir, &"x".repeat(33), ONE, 0o600), "its name up to the first dot"),
            (dir.path().join("none.key"), "No such file"),
            (dir.path().to_path_buf().join(".."), "its name up to the first dot"),
        ];
        for (path, reason) in bad {
            let error = Keys::load(std::slice::from_ref(&path)).unwrap_err();
            assert_eq!(error.file, path);
            assert!(error.reason.starts_with(reason), "{error}");
        }
        fs::create_dir(dir.path().join("dir")).unwrap();
        let error = Keys::load(&[dir.path().join("dir")]).unwrap_err();
        assert_eq!(error.reason, "is not a regular file");
    }

    #[test]
    fn ids_are_distinct_and_few() {
        let dir = tempfile::tempdir().unwrap();
        let twice = [file(&dir, "k1.old", ONE, 0o600), file(&dir, "k1.new", TWO, 0o600)];
        let error = Keys::load(&twice).unwrap_err();
        assert!(error.reason.contains("`k1`: rename"), "{error}");
        let many: Vec<_> =
            (0..=MAX_KEYS).map(|n| file(&dir, &format!("n{n}"), ONE, 0o600)).collect();
        assert!(Keys::load(&many[1..]).is_ok());
        assert!(Keys::load(&many).unwrap_err().reason.contains("one too many"));
    }

    #[test]
    fn a_broken_file_leaves_the_keys_as_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let old = file(&dir, "old", ONE, 0o600);
        let new = file(&dir, "new", "half a key", 0o600);
        let keys = Keys::load(std::slice::from_ref(&old)).unwrap();
        assert!(keys.reload(&[old.clone(), new.clone()]).is_err());
        assert_eq!(keys.ids(), ["old".into()]);
        fs::write(&new, TWO).unwrap();
        keys.reload(&[old, new.clone()]).unwrap();
        assert!(keys.find("old").is_some() && keys.find("new").is_some());
        keys.reload(&[new]).unwrap();
        assert!(keys.find("old").is_none() && keys.find("new").is_some());
    }
}
