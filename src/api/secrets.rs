//! The doors' secrets, and that of cookies, read from their files at the start and at a reload.

use std::path::{Path, PathBuf};

use crate::access::key::{KeyFile, check_key_files};
use crate::access::{Configured, TokenHash};
use crate::answer::cookie::{SECRET_OCTETS, Secrets};
use crate::config::{Config, Http};
use crate::secret;

/// Reads all that the configuration grants.
pub fn load_configured(config: &Config) -> Result<Configured, String> {
    Ok(Configured {
        token: load_token(&config.http)?,
        keys: load_keys(&config.udp.key_files)?,
        principals: config.access.principals.clone(),
    })
}

/// Reads the token that the HTTP door is configured with, if any.
pub fn load_token(http: &Http) -> Result<Option<TokenHash>, String> {
    let Some(path) = &http.token_file else { return Ok(None) };
    let read = |path: &Path| TokenHash::parse(&secret::read(path)?);
    read(path).map(Some).map_err(|reason| said("http.token_file", path, &reason))
}

/// Reads the keys of the datagram door; one file that cannot be used refuses them all.
pub fn load_keys(files: &[PathBuf]) -> Result<Vec<KeyFile>, String> {
    let read = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let key = secret::read(path).and_then(|text| KeyFile::parse(name, &text));
        key.map_err(|reason| said("udp.key_files", path, &reason))
    };
    let keys: Vec<_> = files.iter().map(read).collect::<Result<_, _>>()?;
    check_key_files(&keys)?;
    Ok(keys)
}

/// Reads the secret that DNS cookies are made with, if the configuration names one.
pub fn load_cookie_secret(file: Option<&Path>) -> Result<Option<[u8; SECRET_OCTETS]>, String> {
    let Some(path) = file else { return Ok(None) };
    let secret = secret::read(path).and_then(|text| Secrets::parse(&text));
    secret.map(Some).map_err(|reason| said("dns.cookie_secret_file", path, &reason))
}

/// The reasons of `secret` name the file already.
fn said(option: &str, path: &Path, reason: &str) -> String {
    let shown = path.display().to_string();
    if reason.contains(&shown) {
        format!("{option}: {reason}")
    } else {
        format!("{option} {shown}: {reason}")
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn file(dir: &tempfile::TempDir, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    #[test]
    fn keys_come_from_files_that_only_their_owner_reads() {
        let dir = tempfile::tempdir().unwrap();
        let digits = "ff".repeat(32);
        let good = file(&dir, "k1.key", &format!("{digits}\r\n"), 0o600);
        let also = file(&dir, "k2.key", &digits, 0o400);
        let keys = load_keys(&[good.clone(), also]).unwrap();
        assert_eq!(keys.iter().map(KeyFile::id).collect::<Vec<_>>(), ["k1", "k2"]);
        for (path, reason) in [
            (file(&dir, "open.key", &digits, 0o640), "chmod 600"),
            (file(&dir, "half.key", "ff", 0o600), "must hold 64 hexadecimal digits"),
            (dir.path().join("none.key"), "No such file"),
            (dir.path().to_path_buf(), "is not a file"),
        ] {
            let error = load_keys(&[good.clone(), path.clone()]).unwrap_err();
            assert!(error.starts_with("udp.key_files"), "{error}");
            assert!(
                error.contains(reason) && error.contains(&path.display().to_string()),
                "{error}"
            );
        }
    }

    #[test]
    fn the_secret_of_cookies_is_one_too() {
        let dir = tempfile::tempdir().unwrap();
        let digits = "0f".repeat(16);
        let load = |path: Option<PathBuf>| load_cookie_secret(path.as_deref());
        assert_eq!(load(None), Ok(None));
        let good = file(&dir, "good", &format!("{digits}\n"), 0o600);
        assert_eq!(load(Some(good)), Ok(Some([15; SECRET_OCTETS])));
        for (path, reason) in [
            (file(&dir, "open", &digits, 0o604), "chmod 600"),
            (file(&dir, "half", "0f", 0o600), "32 hexadecimal digits"),
            (dir.path().join("none"), "No such file"),
        ] {
            let error = load(Some(path)).unwrap_err();
            assert!(error.starts_with("dns.cookie_secret_file"), "{error}");
            assert!(error.contains(reason), "{error}");
        }
    }
}
