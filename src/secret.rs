//! Secrets in files: read whole, and refused where others could read them too.

use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Octets that a secret's file may have at most: a token or a key is a line.
pub const MAX_SECRET_OCTETS: u64 = 4096;
/// The permission bits that let anybody but the file's owner in.
const OTHERS: u32 = 0o077;
/// What of them a credential of systemd may have. The manager owns it and lets the unit's user in by an access list,
/// whose mask is shown as the group's bits.
const READ_BY_LIST: u32 = 0o040;

/// Reads a secret, without the white space around it. The error names the file and the way out.
pub fn read(path: &Path) -> Result<String, String> {
    read_up_to(path, MAX_SECRET_OCTETS)
}

/// Reads a secret that may have so many octets.
pub fn read_up_to(path: &Path, octets_most: u64) -> Result<String, String> {
    let shown = path.display();
    let failed = |error| format!("cannot read {shown}: {error}");
    // What is checked is the file that is then read, whatever its name comes to mean; a FIFO without a writer
    // would keep us waiting to be told that it is no file.
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
    let file = options.open(path).map_err(failed)?;
    let found = file.metadata().map_err(failed)?;
    if !found.is_file() {
        return Err(format!("{shown} is not a file"));
    }
    let mode = found.permissions().mode() & 0o7777;
    let credentials = std::env::var_os("CREDENTIALS_DIRECTORY");
    if mode & forbidden(path, credentials.as_deref().map(Path::new)) != 0 {
        return Err(format!(
            "{shown} can be used by others than its owner (mode {mode:04o}): chmod 600 {shown}"
        ));
    }
    let mut text = String::new();
    file.take(octets_most + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > octets_most {
        return Err(format!("{shown} is longer than {octets_most} octets: no secret is"));
    }
    Ok(text.trim().to_owned())
}

/// The permission bits that a secret at `path` must not have.
fn forbidden(path: &Path, credentials: Option<&Path>) -> u32 {
    let is_credential = credentials.is_some() && path.parent() == credentials;
    if is_credential { OTHERS & !READ_BY_LIST } else { OTHERS }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::Command;

    use super::*;

    fn outcome(mode: u32, text: &str) -> Result<String, String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        read(&path).map_err(|error| error.replace(&*path.to_string_lossy(), "FILE"))
    }

    #[test]
    fn only_the_owner_may_hold_the_secret() {
        assert_eq!(outcome(0o600, " abc\n"), Ok("abc".into()));
        assert_eq!(outcome(0o400, "abc"), Ok("abc".into()));
        for mode in [0o640, 0o604, 0o620, 0o601] {
            let error = outcome(mode, "abc").unwrap_err();
            assert!(error.ends_with(&format!("(mode {mode:04o}): chmod 600 FILE")), "{error}");
        }
    }

    #[test]
    fn a_credential_may_have_a_list_of_readers() {
        let (credential, credentials) = (Path::new("/run/c/token"), Some(Path::new("/run/c")));
        assert_eq!(forbidden(credential, credentials), 0o037);
        assert_eq!(forbidden(Path::new("/run/c/d/token"), credentials), 0o077);
        assert_eq!(forbidden(credential, None), 0o077);
        assert_eq!(forbidden(Path::new("/"), None), 0o077);
    }

    #[test]
    fn what_is_no_secret_is_refused() {
        assert!(outcome(0o600, &"x".repeat(4097)).unwrap_err().contains("longer"));
        assert!(read(Path::new("/")).unwrap_err().contains("not a file"));
        let error = read(Path::new("/nonexistent/token")).unwrap_err();
        assert!(error.starts_with("cannot read /nonexistent/token: "), "{error}");
    }

    #[test]
    fn a_fifo_is_refused_without_waiting_and_a_link_is_followed() {
        let directory = tempfile::tempdir().unwrap();
        let (fifo, link) = (directory.path().join("fifo"), directory.path().join("link"));
        assert!(Command::new("mkfifo").args(["-m", "600"]).arg(&fifo).status().unwrap().success());
        assert!(read(&fifo).unwrap_err().contains("is not a file"));
        // As secrets are mounted into containers.
        let token = directory.path().join("token");
        fs::write(&token, "abc").unwrap();
        fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).unwrap();
        std::os::unix::fs::symlink(&token, &link).unwrap();
        assert_eq!(read(&link), Ok("abc".into()));
        fs::set_permissions(&token, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(read(&link).unwrap_err().contains("mode 0644"));
    }
}
