//! The data directory, and the lock that keeps a second server out of it.
//!
//! The lock belongs to the open file and goes with the process, however that ends; what `rollcall.lock` says is
//! only there to tell a second server who holds it.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::schema::sync_directory_of;

/// The lock's name in the data directory.
const LOCK_NAME: &str = "rollcall.lock";
/// Octets that are read of who holds the lock.
const MAX_HOLDER_OCTETS: u64 = 1024;

/// A data directory that is ours as long as this value lives.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    /// Closing it lets go of the lock.
    _lock: File,
}

/// Why a data directory cannot be used.
#[derive(Debug)]
pub enum DataDirError {
    /// Another server has it.
    InUse {
        /// The directory.
        path: PathBuf,
        /// Who that is, as it said itself: its pid and addresses.
        holder: String,
    },
    /// There is something else in its place.
    NotADirectory {
        /// The path.
        path: PathBuf,
    },
    /// The operating system refuses it.
    System {
        /// The file or directory.
        path: PathBuf,
        /// What it says.
        error: io::Error,
    },
}

impl DataDir {
    /// Locks the directory `path`, making it if it is missing, for its owner alone. `who` (the addresses that
    /// the server listens on) is what a second server will say of us.
    pub fn lock(path: &Path, who: &str) -> Result<Self, DataDirError> {
        make_directory(path)?;
        let name = path.join(LOCK_NAME);
        let system = |error| DataDirError::System { path: name.clone(), error };
        // Not truncated: it may be somebody else's.
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&name)
            .map_err(system)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(DataDirError::InUse { path: path.into(), holder: holder(&lock) });
            }
            Err(TryLockError::Error(error)) => return Err(system(error)),
        }
        let pid = std::process::id();
        // A courtesy to a second server; what counts is the lock, which a full disk does not prevent.
        let _ =
            lock.set_len(0).and_then(|()| lock.write_all(format!("pid {pid}, {who}\n").as_bytes()));
        Ok(Self { path: path.into(), _lock: lock })
    }

    /// Who has the directory `path`, which is there, without taking it or writing anything; `None`: nobody.
    pub fn holder(path: &Path) -> Result<Option<String>, DataDirError> {
        let name = path.join(LOCK_NAME);
        let system = |error| DataDirError::System { path: name.clone(), error };
        let lock = match File::open(&name) {
            Ok(lock) => lock,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(system(error)),
        };
        match lock.try_lock() {
            Ok(()) => Ok(None),
            Err(TryLockError::WouldBlock) => Ok(Some(holder(&lock))),
            Err(TryLockError::Error(error)) => Err(system(error)),
        }
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn make_directory(path: &Path) -> Result<(), DataDirError> {
    let system = |error| DataDirError::System { path: path.into(), error };
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => return Ok(()),
        Ok(_) => return Err(DataDirError::NotADirectory { path: path.into() }),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(system(error)),
    }
    let missing = path.ancestors().take_while(|ancestor| !ancestor.exists());
    let missing: Vec<_> = missing.filter(|ancestor| !ancestor.as_os_str().is_empty()).collect();
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(system)?;
    // Else what is durable in the directory could be gone with the directory.
    missing.into_iter().try_for_each(sync_directory_of).map_err(system)
}

fn holder(lock: &File) -> String {
    let mut said = Vec::new();
    let read = lock.take(MAX_HOLDER_OCTETS).read_to_end(&mut said);
    let said = String::from_utf8_lossy(&said).trim().escape_debug().to_string();
    match read {
        Ok(_) if !said.is_empty() => said,
        _ => "another server, which has not said yet who it is".into(),
    }
}

impl fmt::Display for DataDirError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse { path, holder } => write!(
                f,
                "the data directory {} is in use by {holder}: stop that server, or choose another directory with \
                 --data-dir",
                path.display()
            ),
            Self::NotADirectory { path } => write!(
                f,
                "{} is not a directory: choose another one with --data-dir",
                path.display()
            ),
            Self::System { path, error } => {
                let way_out = match error.kind() {
                    ErrorKind::PermissionDenied => {
                        "run rollcall as the user who owns it, or choose another directory with --data-dir"
                    }
                    ErrorKind::ReadOnlyFilesystem => {
                        "mount its disk writable, or choose another directory with --data-dir"
                    }
                    ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "free some space",
                    _ => "choose a usable directory with --data-dir",
                };
                write!(f, "cannot use {}: {error}: {way_out}", path.display())
            }
        }
    }
}

impl std::error::Error for DataDirError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::System { error, .. } => Some(error),
            _ => None,
        }
    }
}
