//! A backup, made while a server serves.
//!
//! The copy is of one moment: a read transaction holds the source as it was at the first page, so that commits
//! in between neither show nor make the copy begin anew. It is one file without a log, checked, synced and only then
//! named; until then it is `FILE.partial`, locked, and always a file that this backup has made itself. To restore it, put it in the place of `rollcall.db` while no server runs, without `-wal` and `-shm`.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
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
/// What the name of an unfinished copy ends in.
const PARTIAL: &str = ".partial";
/// How often the unfinished copy of another backup may get out of the way while ours is made: each time, that
/// other one has just ended.
const PARTIAL_TRIES: u32 = 16;
/// How often a locked source is tried again before it is given up, and how long to wait in between.
const LOCKED_TRIES: u32 = 100;
const LOCKED_WAIT: Duration = Duration::from_millis(100);

/// Copies the store in `data_dir` to the file `to`, also while another process serves it, and returns how many
/// instances the copy holds. A file that is there already is replaced only if `replace` says so.
pub fn backup(data_dir: &Path, to: &Path, replace: bool) -> Result<usize, StoreError> {
    let from = data_dir.join(FILE_NAME);
    let source = open_source(&from)?;
    check_target(data_dir, to, replace)?;
    let partial = schema::with_suffix(to, PARTIAL);
    let lock = lock_partial(&partial)?;
    let copied = copy(&source, &from, &partial).and_then(|instances| {
        lock.sync_all().map_err(|error| StoreError::system(&partial, &error))?;
        if !is_at(&lock, &partial).map_err(|error| StoreError::system(&partial, &error))? {
            let shown = partial.display();
            let words =
                format!("{shown} was moved, removed or replaced by another program: try again");
            return Err(StoreError::passing(words));
        }
        check_target(data_dir, to, replace)?;
        name(&partial, to, replace)?;
        schema::sync_directory_of(to).map_err(|error| StoreError::system(to, &error))?;
        Ok(instances)
    });
    if copied.is_err() && is_at(&lock, &partial).unwrap_or(false) {
        let _ = fs::remove_file(&partial);
    }
    copied
}

/// Gives the finished copy its name; without `replace`, only if nobody has it, not even since the last look.
pub(super) fn name(partial: &Path, to: &Path, replace: bool) -> Result<(), StoreError> {
    if replace {
        return fs::rename(partial, to).map_err(|error| StoreError::system(to, &error));
    }
    // Unlike a rename, a second name never takes the place of a file.
    fs::hard_link(partial, to).map_err(|error| match error.raw_os_error() {
        Some(libc::EEXIST) => is_there(to),
        Some(libc::EPERM | libc::EOPNOTSUPP | libc::ENOSYS) => StoreError::lasting(format!(
            "the disk of {} cannot give a file a second name, without which a file that is made meanwhile could be \
             lost: say that it is to be replaced, or choose another disk",
            to.display()
        )),
        _ => StoreError::system(to, &error),
    })?;
    fs::remove_file(partial).map_err(|error| StoreError::system(partial, &error))
}

pub(super) fn open_source(from: &Path) -> Result<Connection, StoreError> {
    let shown = from.display();
    if !from.exists() {
        let words = format!("there is no store at {shown}: name the server's data directory");
        return Err(StoreError::lasting(words));
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || -> rusqlite::Result<(Connection, (u32, u32))> {
        let conn = Connection::open_with_flags(from, flags)?;
        conn.busy_timeout(BUSY_WAIT)?;
        // Both are read in the transaction that then holds the moment of the copy.
        conn.execute_batch("BEGIN")?;
        let ids = schema::ids(&conn)?;
        Ok((conn, ids))
    };
    let (conn, (application, version)) =
        open().map_err(|error| StoreError::sqlite(from, &error))?;
    schema::check_ids(from, application, version, schema::newest(&schema::MIGRATIONS))?;
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
    if name.as_encoded_bytes().ends_with(PARTIAL.as_bytes()) {
        let words = format!("{shown} is what an unfinished copy is called: choose another name");
        return Err(StoreError::lasting(words));
    }
    match fs::symlink_metadata(to) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(StoreError::system(to, &error)),
        Ok(found) if replace && found.is_file() => Ok(()),
        Ok(found) if found.is_file() => Err(is_there(to)),
        Ok(_) => Err(StoreError::lasting(format!("{shown} is not a file: choose another name"))),
    }
}

fn is_there(to: &Path) -> StoreError {
    StoreError::lasting(format!(
        "{} is there already: choose another name, or say that it is to be replaced",
        to.display()
    ))
}

/// Makes the file that is copied into, and locks it: two backups into one file would write over each other.
///
/// A file that is there already is never written, for it could have another name or other readers: what a backup
/// that was killed has left is removed and made anew, and anything else is left as it is.
fn lock_partial(partial: &Path) -> Result<File, StoreError> {
    let system = |error| StoreError::system(partial, &error);
    for _ in 0..PARTIAL_TRIES {
        let (file, is_new) = match open_partial(partial) {
            // It went away between the two ways to open it.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) if error.raw_os_error() == Some(libc::ELOOP) => {
                return Err(in_the_way(partial, "a symbolic link"));
            }
            // A FIFO that nobody reads, or a socket.
            Err(error) if error.raw_os_error() == Some(libc::ENXIO) => {
                return Err(in_the_way(partial, "not a file"));
            }
            opened => opened.map_err(system)?,
        };
        if !file.metadata().map_err(system)?.is_file() {
            return Err(in_the_way(partial, "not a file"));
        }
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(other_backup(partial)),
            Err(TryLockError::Error(error)) => return Err(system(error)),
        }
        // Else it was locked by a backup that has just ended: it is finished and has its name by now, or is gone.
        if !is_at(&file, partial).map_err(system)? {
            continue;
        }
        if is_new {
            return Ok(file);
        }
        if !is_leftover(&file).map_err(system)? {
            return Err(in_the_way(partial, "no unfinished copy of a store"));
        }
        fs::remove_file(partial).map_err(system)?;
    }
    Err(other_backup(partial))
}

/// Opens the file, and says whether that has made it. It follows no link, and waits for no other end of a FIFO.
fn open_partial(partial: &Path) -> io::Result<(File, bool)> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    match options.clone().create_new(true).open(partial) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            options.open(partial).map(|file| (file, false))
        }
        made => made.map(|file| (file, true)),
    }
}

/// Whether `path` is still the name of the open `file`.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let open = file.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(found) => Ok((found.dev(), found.ino()) == (open.dev(), open.ino())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether a backup that was killed has left this: nothing yet, or a database with our mark (see [`copy`]).
fn is_leftover(file: &File) -> io::Result<bool> {
    let mut header = Vec::with_capacity(schema::HEADER_OCTETS);
    file.take(schema::HEADER_OCTETS as u64).read_to_end(&mut header)?;
    Ok(header.is_empty() || schema::is_ours(&header))
}

fn in_the_way(partial: &Path, what: &str) -> StoreError {
    let shown = partial.display();
    StoreError::lasting(format!(
        "{shown} is in the way ({what}) and was left as it is: move it away, or choose another name"
    ))
}

fn other_backup(partial: &Path) -> StoreError {
    let shown = partial.display();
    StoreError::passing(format!("another backup is writing {shown}: wait for its end"))
}

fn copy(source: &Connection, from: &Path, partial: &Path) -> Result<usize, StoreError> {
    let sqlite = |error| StoreError::sqlite(partial, &error);
    let mut copy = Connection::open_with_flags(partial, schema::writable()).map_err(sqlite)?;
    // What has gone wrong halfway is not rolled back but removed.
    schema::set_journal_mode(&copy, partial, "memory")?;
    // SQLite writes the first page last. So that whatever a kill leaves can be told from a stranger's file, there is
    // one with our mark from the beginning.
    copy.pragma_update(None, "application_id", schema::APPLICATION_ID).map_err(sqlite)?;
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
