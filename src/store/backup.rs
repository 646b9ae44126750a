//! A backup, made while a server serves.
//!
//! The copy is of one moment: a read transaction holds the source as it was at the first page, so that commits
//! in between neither show nor make the copy begin anew. It is one file without a log, checked, synced and only then
//! named. To restore it, put it in the place of `rollcall.db` while no server runs, without `-wal` and `-shm`.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::thread;
use std::time::Duration;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use super::error::StoreError;
use super::{BUSY_WAIT, FILE_NAME, schema};

/// Pages that are copied at once: 4 MiB.
const STEP_PAGES: i32 = 1024;
/// How the names of the server's own files in its data directory begin.
const OURS: &str = "rollcall.";
/// How often a locked source is tried again before it is given up, and how long to wait in between.
const LOCKED_TRIES: u32 = 100;
const LOCKED_WAIT: Duration = Duration::from_millis(100);

/// Copies the store in `data_dir` to the file `to`, also while another process serves it, and returns how many
/// instances the copy holds. A file that is there already is replaced only if `replace` says so.
pub fn backup(data_dir: &Path, to: &Path, replace: bool) -> Result<usize, StoreError> {
    let from = data_dir.join(FILE_NAME);
    let source = open_source(&from)?;
    check_target(data_dir, to, replace)?;
    let partial = schema::with_suffix(to, ".partial");
    let lock = lock_partial(&partial)?;
    let copied = copy(&source, &from, &partial).and_then(|instances| {
        lock.sync_all().map_err(|error| StoreError::system(&partial, &error))?;
        check_target(data_dir, to, replace)?;
        fs::rename(&partial, to).map_err(|error| StoreError::system(to, &error))?;
        schema::sync_directory_of(to).map_err(|error| StoreError::system(to, &error))?;
        Ok(instances)
    });
    if copied.is_err() {
        let _ = fs::remove_file(&partial);
    }
    copied
}

fn open_source(from: &Path) -> Result<Connection, StoreError> {
    let shown = from.display();
    if !from.exists() {
        let words = format!("there is no store at {shown}: name the server's data directory");
        return Err(StoreError::lasting(words));
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || -> rusqlite::Result<(Connection, i32, i32)> {
        let conn = Connection::open_with_flags(from, flags)?;
        conn.busy_timeout(BUSY_WAIT)?;
        // Both are read in the transaction that then holds the moment of the copy.
        conn.execute_batch("BEGIN")?;
        let application = conn.pragma_query_one(None, "application_id")?;
        let version = conn.pragma_query_one(None, "user_version")?;
        Ok((conn, application, version))
    };
    let (conn, application, version) = open().map_err(|error| StoreError::sqlite(from, &error))?;
    schema::check_ids(from, application.cast_unsigned(), version.cast_unsigned())?;
    Ok(conn)
}

fn check_target(data_dir: &Path, to: &Path, replace: bool) -> Result<(), StoreError> {
    let shown = to.display();
    let Some(name) = to.file_name() else {
        return Err(StoreError::lasting(format!("{shown} is not the name of a file")));
    };
    let parent = to.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    let real = |path: &Path| path.canonicalize().map_err(|error| StoreError::system(path, &error));
    if real(parent)? == real(data_dir)? && name.as_encoded_bytes().starts_with(OURS.as_bytes()) {
        let words = format!("{shown} is one of the server's own files: choose another name");
        return Err(StoreError::lasting(words));
    }
    match fs::symlink_metadata(to) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(StoreError::system(to, &error)),
        Ok(found) if replace && found.is_file() => Ok(()),
        Ok(found) if found.is_file() => Err(StoreError::lasting(format!(
            "{shown} is there already: choose another name, or say that it is to be replaced"
        ))),
        Ok(_) => Err(StoreError::lasting(format!("{shown} is not a file: choose another name"))),
    }
}

/// Two backups into one file would write over each other.
fn lock_partial(partial: &Path) -> Result<File, StoreError> {
    let system = |error| StoreError::system(partial, &error);
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(partial)
        .map_err(system)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let shown = partial.display();
            let words = format!("another backup is writing {shown}: wait for its end");
            return Err(StoreError::passing(words));
        }
        Err(TryLockError::Error(error)) => return Err(system(error)),
    }
    // What a backup that was killed has left.
    file.set_len(0).map_err(system)?;
    Ok(file)
}

fn copy(source: &Connection, from: &Path, partial: &Path) -> Result<usize, StoreError> {
    let sqlite = |error| StoreError::sqlite(partial, &error);
    let mut copy = Connection::open_with_flags(partial, schema::writable()).map_err(sqlite)?;
    // What has gone wrong halfway is not rolled back but removed.
    schema::set_journal_mode(&copy, partial, "memory")?;
    copy_pages(source, &mut copy).map_err(|error| match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DiskFull) => sqlite(error),
        _ => StoreError::sqlite(from, &error),
    })?;
    // One file: the copy's header asks for a log as the source's does.
    schema::set_journal_mode(&copy, partial, "delete")?;
    let verdict: String = copy.pragma_query_one(None, "quick_check").map_err(sqlite)?;
    if verdict != "ok" {
        let (shown, verdict) = (from.display(), verdict.escape_debug());
        let words = format!(
            "the copy of {shown} is damaged ({verdict}) and was not kept: check both disks"
        );
        return Err(StoreError::lasting(words));
    }
    let count = "SELECT count(*) FROM instances";
    let instances: i64 = copy.query_row(count, [], |row| row.get(0)).map_err(sqlite)?;
    copy.close().map_err(|(_, error)| sqlite(error))?;
    Ok(usize::try_from(instances).unwrap_or(0))
}

fn copy_pages(source: &Connection, copy: &mut Connection) -> rusqlite::Result<()> {
    let backup = Backup::new(source, copy)?;
    let mut locked = 0;
    loop {
        match backup.step(STEP_PAGES)? {
            StepResult::Done => return Ok(()),
            StepResult::Busy | StepResult::Locked if locked < LOCKED_TRIES => {
                locked += 1;
                thread::sleep(LOCKED_WAIT);
            }
            StepResult::Busy | StepResult::Locked => {
                let busy = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY);
                return Err(rusqlite::Error::SqliteFailure(busy, None));
            }
            _ => {}
        }
    }
}
