//! What went wrong in the store, in words for people: the thing, the place and the way out.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::Path;

use rusqlite::{ErrorCode, ffi};

/// Octets that are written to find out what is wrong with a disk: more than SQLite ever adds to a file at once.
const PROBE_OCTETS: usize = 64 * 1024;
/// The file that they are written to, beside the one that could not be written.
const PROBE_NAME: &str = "rollcall.probe";

/// Why the store does not work, in words for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreError {
    words: String,
    may_pass: bool,
}

impl StoreError {
    /// Whether trying again later may work without a restart: a full disk may get room, a damaged file will not heal.
    pub fn may_pass(&self) -> bool {
        self.may_pass
    }

    pub(super) fn passing(words: impl Into<String>) -> Self {
        Self { words: words.into(), may_pass: true }
    }

    pub(super) fn lasting(words: impl Into<String>) -> Self {
        Self { words: words.into(), may_pass: false }
    }

    /// What the operating system says of `path`.
    pub(super) fn system(path: &Path, error: &io::Error) -> Self {
        let shown = path.display();
        Self::passing(match error.kind() {
            ErrorKind::StorageFull => full(path),
            ErrorKind::QuotaExceeded => {
                format!("the disk quota for {shown} is used up: raise it, or free some space")
            }
            ErrorKind::ReadOnlyFilesystem => read_only(path),
            ErrorKind::PermissionDenied => {
                format!("no permission for {shown}: its owner must be the user that runs rollcall")
            }
            ErrorKind::NotFound => {
                format!("{shown}: {error}: make its directory, or choose another one")
            }
            _ => failed(path, error),
        })
    }

    /// What SQLite says of the database at `path`.
    pub(super) fn sqlite(path: &Path, error: &rusqlite::Error) -> Self {
        let shown = path.display();
        let Some(code) = error.sqlite_error() else {
            return Self::lasting(format!("{shown}: {error}"));
        };
        match code.code {
            ErrorCode::DiskFull => Self::passing(full(path)),
            ErrorCode::ReadOnly => Self::passing(read_only(path)),
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => damaged(path, error),
            ErrorCode::SystemIoFailure if code.extended_code == ffi::SQLITE_IOERR_CORRUPTFS => {
                damaged(path, error)
            }
            ErrorCode::SystemIoFailure | ErrorCode::CannotOpen => match probe(path) {
                Err(cause) => Self::system(path, &cause),
                Ok(()) => Self::passing(failed(path, error)),
            },
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Self::passing(format!(
                "another program has locked {shown}: end it (`fuser -v {shown}` names it)"
            )),
            ErrorCode::OutOfMemory => {
                Self::passing(format!("no memory left to work on {shown}: give the server more"))
            }
            _ => Self::lasting(format!(
                "{shown} is not as this version of Rollcall made it: {error}"
            )),
        }
    }
}

fn full(path: &Path) -> String {
    format!("the disk that holds {} is full: free some space on it", path.display())
}

fn read_only(path: &Path) -> String {
    let shown = path.display();
    format!(
        "the disk that holds {shown} is read-only: mount it writable, or see the system's log (dmesg)"
    )
}

fn failed(path: &Path, error: &dyn std::error::Error) -> String {
    let shown = path.display();
    format!("the disk that holds {shown} failed ({error}): see the system's log (dmesg)")
}

fn damaged(path: &Path, error: &rusqlite::Error) -> StoreError {
    let shown = path.display();
    StoreError::lasting(format!(
        "{shown} is damaged ({error}): stop the server, keep a copy of the directory, and put a backup in its \
         place; without a backup move it away, and instances will register again"
    ))
}

/// SQLite keeps the system's reason to itself; writing beside the file brings it out.
fn probe(path: &Path) -> io::Result<()> {
    let probe = path.with_file_name(PROBE_NAME);
    let written = write_probe(&probe);
    let _ = fs::remove_file(&probe);
    written
}

fn write_probe(probe: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(probe)?;
    file.write_all(&[0; PROBE_OCTETS])?;
    file.sync_data()
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}

impl std::error::Error for StoreError {}
