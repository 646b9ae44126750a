//! The store: makes a change durable before it is acknowledged.
//!
//! One SQLite file, `rollcall.db`, in the data directory, with one connection and one owner: the registrar.
//! [`Store::commit`] returns when the write-ahead log has been synced to the disk (`synchronous = FULL`), so
//! neither a killed process nor a lost power supply takes an acknowledged change back. The log is copied into the
//! database from time to time after such a commit; if that fails, the commit stands and the next one tries again.
//!
//! `row.rs` has an instance as a row, `history.rs` what happened to them, `claims.rs` whose the names of services are, `grants.rs` principals with their
//! tokens and keys, `schema.rs` the file and its versions, `error.rs` what people are told, `data_dir.rs` the lock that
//! keeps a second server out, `backup.rs` the copy that is made while serving.

mod backup;
mod claims;
mod data_dir;
mod error;
mod grants;
mod history;
mod row;
mod schema;
#[cfg(test)]
mod tests;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, FileControl, MAIN_DB, params};

use crate::history::Event;
use crate::registry::{Change, Instance, InstanceId, ServiceName};

pub use backup::backup;
pub use claims::StoredClaim;
pub use data_dir::{DataDir, DataDirError};
pub use error::StoreError;
pub use grants::grants_of;
pub use history::StoredHistory;

/// The database's name in the data directory; SQLite keeps `-wal` and `-shm` beside it while it is open.
pub const FILE_NAME: &str = "rollcall.db";

/// Pages (of 4 KiB) in the log after which a commit copies it into the database: some ten milliseconds of work.
const CHECKPOINT_PAGES: u32 = 1000;
/// Octets that the log's file keeps once it has been copied: what one busy second writes, and no more after a
/// backup has kept it from being copied for long.
const LOG_OCTETS: u32 = 16 * 1024 * 1024;
/// Memory for pages, in KiB: the inner pages of a million instances and what a batch changes.
const CACHE_KIB: i32 = 16 * 1024;
/// Memory for pages while everything is read once, in KiB: what is cached then is memory that is not given back.
const LOADING_CACHE_KIB: i32 = 1024;
/// How long another program's lock is waited for: the registrar, and with it every change, waits.
const BUSY_WAIT: Duration = Duration::from_secs(2);
/// Rows that could not be read and are told one by one; the rest are counted.
const MAX_SKIPPED_TOLD: usize = 100;

/// What one commit makes durable.
#[derive(Debug, Default)]
pub struct Batch<'a> {
    /// Changes, oldest first.
    pub changes: &'a [Change],
    /// Remaining time of long leases: service, id, milliseconds. A change of an instance's body is a registration,
    /// which lets its lease run from the beginning, so it forgets what was flushed; other changes leave that be.
    pub remaining: &'a [(ServiceName, InstanceId, u64)],
    /// Names that were released then or before, in milliseconds since 1970 UTC, are nobody's any more.
    pub free_since_unix_ms: u64,
    /// What happened, in the order of the revisions.
    pub events: &'a [Arc<Event>],
    /// Revisions of events that are kept no longer.
    pub forgotten: &'a [u64],
    /// No event after this revision is missing.
    pub history_gaps: u64,
    /// The registry's revision after them.
    pub revision: u64,
    /// A revision that no event has yet reached: where the registry goes on counting if the server ends before its next
    /// commit.
    pub reserved_revision: u64,
    /// A serial that no answer has yet shown: where the zones' serial goes on after a restart.
    pub serial: u32,
}

/// What a store held when it was opened.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The registry's revision.
    pub revision: u64,
    /// Where the zones' serial goes on.
    pub serial: u32,
    /// Instances.
    pub instances: usize,
    /// What could not be read and was left where it is: table, key, column and reason, one row each; at most a
    /// hundred, and then how many more there are.
    pub skipped: Vec<String>,
}

/// A stored instance.
#[derive(Debug, PartialEq, Eq)]
pub struct Stored {
    /// The instance.
    pub instance: Instance,
    /// What was left of its lease when that was last flushed, in milliseconds; `None`: all of it.
    pub remaining_ms: Option<u64>,
}

/// The embedded store: one SQLite file in the data directory, one connection, one owner.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    conn: Connection,
}

/// Whether the store of a data directory is one that this version can open, without touching it.
pub fn check(data_dir: &Path) -> Result<(), StoreError> {
    schema::check_file(&data_dir.join(FILE_NAME))
}

impl Store {
    /// Opens or creates the store in a data directory that the caller holds the lock of (see [`DataDir`]). A file
    /// that is not ours, or was written by a newer version, is refused and not touched.
    pub fn open(data_dir: &Path) -> Result<Self, StoreError> {
        let path = data_dir.join(FILE_NAME);
        let conn = schema::open(&path, &schema::MIGRATIONS)?;
        schema::set_journal_mode(&conn, &path, "wal")?;
        set_up(&conn).map_err(|error| StoreError::sqlite(&path, &error))?;
        Ok(Self { path, conn })
    }

    /// Hands over every instance, service by service, in the order of service and id, until `each` has had enough.
    ///
    /// A row that cannot be read is skipped and told of in [`Loaded::skipped`]: one bad row must not keep the
    /// others from being served.
    pub fn load(
        &mut self,
        each: impl FnMut(Stored) -> ControlFlow<()>,
    ) -> Result<Loaded, StoreError> {
        self.read(each).map_err(|error| match error {
            // The one row that every store has.
            rusqlite::Error::QueryReturnedNoRows => StoreError::lasting(format!(
                "{} is damaged (table registry has no row): put a backup in its place",
                self.path.display()
            )),
            error => StoreError::sqlite(&self.path, &error),
        })
    }

    /// How many instances are stored.
    pub fn count(&self) -> Result<usize, StoreError> {
        let count = self.conn.query_row("SELECT count(*) FROM instances", [], |row| row.get(0));
        let count: u32 = count.map_err(|error| StoreError::sqlite(&self.path, &error))?;
        Ok(usize::try_from(count).unwrap_or(usize::MAX))
    }

    /// Where the zones' serial goes on.
    pub fn serial(&self) -> Result<u32, StoreError> {
        let read = self.conn.query_row("SELECT serial FROM registry", [], |row| row.get(0));
        read.map_err(|error| StoreError::sqlite(&self.path, &error))
    }

    /// Makes a batch durable, whole or not at all. After an error the next batch may succeed.
    ///
    /// When the disk fails in the very act of syncing, a refused batch can be on it nevertheless, and a crash
    /// before the next commit would bring it out: like a reply that got lost, it is refused but may have happened.
    pub fn commit(&mut self, batch: &Batch<'_>) -> Result<(), StoreError> {
        self.check_in_place()?;
        // What a failed ROLLBACK may have left open.
        let written = self.roll_back().and_then(|()| self.write(batch));
        if let Err(error) = written {
            let told = StoreError::sqlite(&self.path, &error);
            let _ = self.roll_back();
            return Err(told);
        }
        Ok(())
    }

    fn read(&self, mut each: impl FnMut(Stored) -> ControlFlow<()>) -> rusqlite::Result<Loaded> {
        let (revision, serial): (i64, u32) =
            self.conn.query_row("SELECT revision, serial FROM registry", [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?;
        let mut instances = 0;
        let mut skipped = Vec::new();
        let mut untold = 0_usize;
        let mut statement = self.conn.prepare(row::SELECT)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            match row::parse(row) {
                Ok(stored) => {
                    instances += 1;
                    if each(stored).is_break() {
                        break;
                    }
                }
                Err(_) if skipped.len() >= MAX_SKIPPED_TOLD => untold += 1,
                Err(error) => skipped.push(format!(
                    "table instances, {}, column {}: {}",
                    row::shown_key(row),
                    error.field,
                    error.reason
                )),
            }
        }
        self.conn.pragma_update(None, "cache_size", -CACHE_KIB)?;
        if untold > 0 {
            skipped.push(format!("and {untold} more rows of table instances"));
        }
        Ok(Loaded { revision: revision.unsigned_abs(), serial, instances, skipped })
    }

    fn write(&self, batch: &Batch<'_>) -> rusqlite::Result<()> {
        let conn = &self.conn;
        conn.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        let mut upsert = conn.prepare_cached(row::UPSERT)?;
        let mut delete = conn.prepare_cached(row::DELETE)?;
        for change in batch.changes {
            match (&change.before, &change.after) {
                (before, Some(after)) => {
                    let same_lease =
                        before.as_ref().is_some_and(|before| before.body == after.body);
                    row::upsert(&mut upsert, after, same_lease)?;
                }
                (Some(before), None) => {
                    delete.execute(params![before.service.as_str(), before.id.as_str()])?;
                }
                (None, None) => {}
            }
        }
        claims::write(conn, batch)?;
        let mut flush = conn.prepare_cached(row::FLUSH_REMAINING)?;
        for (service, id, remaining_ms) in batch.remaining {
            flush.execute(params![service.as_str(), id.as_str(), row::integer(*remaining_ms)])?;
        }
        history::write(conn, batch)?;
        let update = "UPDATE registry SET revision = ?1, serial = ?2, reserved_revision = ?3, history_gaps = ?4";
        conn.prepare_cached(update)?.execute(params![
            row::integer(batch.revision),
            batch.serial,
            row::integer(batch.reserved_revision),
            row::integer(batch.history_gaps),
        ])?;
        conn.prepare_cached("COMMIT")?.execute([])?;
        Ok(())
    }

    /// Ends a transaction that an error has left open; some errors have ended it already.
    fn roll_back(&self) -> rusqlite::Result<()> {
        if !self.conn.is_autocommit() {
            self.conn.prepare_cached("ROLLBACK")?.execute([])?;
        }
        Ok(())
    }

    /// A file that was moved or removed can still be written, but nobody will find it after a restart.
    fn check_in_place(&self) -> Result<(), StoreError> {
        let mut moved = 0;
        self.conn
            .file_control(Some(MAIN_DB), FileControl::HasMoved(&mut moved))
            .map_err(|error| StoreError::sqlite(&self.path, &error))?;
        if moved == 0 {
            return Ok(());
        }
        let shown = self.path.display();
        Err(StoreError::lasting(format!(
            "{shown} was moved, removed or replaced while the server had it open: restart the server"
        )))
    }
}

fn set_up(conn: &Connection) -> rusqlite::Result<()> {
    conn.pragma_update(None, "synchronous", "FULL")?;
    conn.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    conn.pragma_update(None, "journal_size_limit", LOG_OCTETS)?;
    conn.pragma_update(None, "cache_size", -LOADING_CACHE_KIB)?;
    // Nothing needs a file elsewhere, where the disk may be another one and full.
    conn.pragma_update(None, "temp_store", "MEMORY")
}
