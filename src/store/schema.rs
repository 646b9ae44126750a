//! The database file: whether it is ours, how it is made, and how an older one is brought up to date.
//!
//! A new file is made under another name and renamed when it is whole. An upgrade runs in one transaction with
//! a rollback journal instead of the write-ahead log. So the first page of the file itself, which can be read
//! without touching anything, always tells its owner, and never an older schema version than the file has.
//!
//! It can tell a newer one: a commit writes the page before it deletes the journal, and after a crash in between
//! SQLite takes the upgrade back when it opens the file. So the bare page is only a reason to refuse a file; from
//! which version to upgrade is what SQLite says once the file is open.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::BUSY_WAIT;
use super::error::StoreError;

/// `Roll`: says in the file's header whose it is (<https://sqlite.org/fileformat2.html>, section 1.3.17).
pub(super) const APPLICATION_ID: u32 = 0x526f_6c6c;

/// What leads from each schema version to the next: the first makes version 1 out of an empty file. A released
/// one is never changed; `tests/fixtures/store` holds a file of every version.
pub(super) const MIGRATIONS: [&str; 4] = [VERSION_1, VERSION_2, VERSION_3, VERSION_4];

const VERSION_1: &str = "
    PRAGMA application_id = 0x526f6c6c;
    CREATE TABLE registry (
        one INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
        revision INTEGER NOT NULL,
        serial INTEGER NOT NULL
    ) STRICT;
    INSERT INTO registry (one, revision, serial) VALUES (1, 0, 1);
    CREATE TABLE instances (
        service TEXT NOT NULL,
        id TEXT NOT NULL,
        label TEXT NOT NULL,
        addresses TEXT NOT NULL,   -- with a space between two
        port INTEGER NOT NULL,
        protocol TEXT NOT NULL,
        ports TEXT NOT NULL,       -- lines of name=port
        lease_secs INTEGER,        -- NULL: without end
        remaining_ms INTEGER,      -- of the lease, when last flushed; NULL: all of it
        tags TEXT NOT NULL,        -- lines
        version TEXT,
        weight INTEGER NOT NULL,
        priority INTEGER NOT NULL,
        meta TEXT NOT NULL,        -- lines, a key and its value in turn
        state TEXT NOT NULL,
        state_reason TEXT NOT NULL,
        override_state TEXT,
        override_reason TEXT,
        registered_unix_ms INTEGER NOT NULL,
        changed_unix_ms INTEGER NOT NULL,
        revision INTEGER NOT NULL,
        PRIMARY KEY (service, id)
    ) STRICT, WITHOUT ROWID;
";

/// Whose things are, and who may what.
const VERSION_2: &str = "
    ALTER TABLE instances ADD COLUMN owner TEXT NOT NULL DEFAULT '';   -- empty: nobody's
    CREATE TABLE claims (
        service TEXT NOT NULL PRIMARY KEY,
        owner TEXT NOT NULL,
        released_unix_ms INTEGER   -- NULL: the service has instances
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX claims_released ON claims (released_unix_ms) WHERE released_unix_ms IS NOT NULL;
    CREATE TABLE principals (
        name TEXT NOT NULL PRIMARY KEY,
        verbs TEXT NOT NULL,       -- with a space between two
        services TEXT NOT NULL,    -- patterns, with a space between two
        networks TEXT NOT NULL,    -- with a space between two; empty: any
        max_instances INTEGER,
        max_lease_secs INTEGER
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE credentials (
        id TEXT NOT NULL PRIMARY KEY,
        kind TEXT NOT NULL,        -- token or key
        principal TEXT NOT NULL,
        secret BLOB NOT NULL,      -- of a token its SHA-256
        created_unix_ms INTEGER NOT NULL,
        expires_unix_ms INTEGER
    ) STRICT, WITHOUT ROWID;
";

/// By which door an instance came, and overrides that end by themselves.
const VERSION_3: &str = "
    ALTER TABLE instances ADD COLUMN origin TEXT NOT NULL DEFAULT '';   -- a door and what it keeps; empty: native
    ALTER TABLE instances ADD COLUMN override_until_unix_ms INTEGER;    -- NULL: until somebody ends it
";

/// What happened. A revision is told before it is durable where it is no change of the registry, so some are reserved.
const VERSION_4: &str = "
    ALTER TABLE registry ADD COLUMN reserved_revision INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE registry ADD COLUMN history_gaps INTEGER NOT NULL DEFAULT 0;    -- none is missing after that revision
    UPDATE registry SET reserved_revision = revision, history_gaps = revision;
    CREATE TABLE history (
        revision INTEGER NOT NULL PRIMARY KEY,
        unix_ms INTEGER NOT NULL,
        service TEXT NOT NULL,
        id TEXT NOT NULL,
        event TEXT NOT NULL,
        reason TEXT NOT NULL,
        changed TEXT NOT NULL,     -- fields, with a space between two
        state TEXT,                -- as it was then; NULL: off the list
        standing TEXT,             -- likewise
        addresses TEXT NOT NULL,   -- with a space between two
        port INTEGER NOT NULL,
        principal TEXT,            -- NULL: the server
        door TEXT NOT NULL,
        source TEXT NOT NULL
    ) STRICT;
";

/// The header's length, and where its fields are (<https://sqlite.org/fileformat2.html>, section 1.3).
pub(super) const HEADER_OCTETS: usize = 100;
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
const USER_VERSION_AT: usize = 60;
const APPLICATION_ID_AT: usize = 68;

/// Opens the database at `path`, made if there is none, in the newest schema version: where `migrations` lead.
pub(super) fn open(path: &Path, migrations: &[&str]) -> Result<Connection, StoreError> {
    match read_header(path)? {
        None => create(path, migrations)?,
        Some(header) => check(path, &header, newest(migrations))?,
    }
    let sqlite = |error| StoreError::sqlite(path, &error);
    let mut conn = Connection::open_with_flags(path, writable()).map_err(sqlite)?;
    conn.busy_timeout(BUSY_WAIT).map_err(sqlite)?;
    // The first read takes back what a crash has left half done.
    let (application, version) = ids(&conn).map_err(sqlite)?;
    check_ids(path, application, version, newest(migrations))?;
    if version < newest(migrations) {
        // Fails while somebody else, a backup for instance, has the file open.
        set_journal_mode(&conn, path, "delete")?;
        upgrade(&mut conn, version, migrations).map_err(sqlite)?;
    }
    Ok(conn)
}

/// Whether [`open`] would take the file, by its header alone.
pub(super) fn check_file(path: &Path) -> Result<(), StoreError> {
    match read_header(path)? {
        None => Ok(()),
        Some(header) => check(path, &header, newest(&MIGRATIONS)),
    }
}

/// The schema version that migrations lead to.
#[allow(clippy::cast_possible_truncation, reason = "there will not be four billion versions")]
pub(super) fn newest(migrations: &[&str]) -> u32 {
    migrations.len() as u32
}

/// The application id and the schema version of an open database.
pub(super) fn ids(conn: &Connection) -> rusqlite::Result<(u32, u32)> {
    let number = |name| conn.pragma_query_one::<i32>(None, name).map(i32::cast_unsigned);
    Ok((number("application_id")?, number("user_version")?))
}

/// Without an error SQLite may stay with the mode that it had.
pub(super) fn set_journal_mode(
    conn: &Connection,
    path: &Path,
    mode: &str,
) -> Result<(), StoreError> {
    let now: String = conn
        .pragma_update_and_check(None, "journal_mode", mode, |row| row.get(0))
        .map_err(|error| StoreError::sqlite(path, &error))?;
    if now == mode {
        return Ok(());
    }
    let shown = path.display();
    Err(StoreError::lasting(format!(
        "{shown} cannot have the journal that the store needs ({mode}, it has {now}): put the data directory on a \
         local disk"
    )))
}

/// How a database that exists is opened to be written.
pub(super) fn writable() -> OpenFlags {
    OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX
}

/// Says what is wrong with a database of this application id and schema version, or nothing.
pub(super) fn check_ids(
    path: &Path,
    application: u32,
    version: u32,
    known: u32,
) -> Result<(), StoreError> {
    let shown = path.display();
    if application != APPLICATION_ID || version == 0 {
        return Err(not_ours(path, "it is an SQLite database of another program"));
    }
    if version > known {
        return Err(StoreError::lasting(format!(
            "{shown} was written by a newer Rollcall (schema version {version}, this one knows up to {known}) and \
             was left as it is: start the newer Rollcall, or put a backup from this one in its place"
        )));
    }
    Ok(())
}

/// The bytes are read as they are: opened with SQLite, even a file that is then refused could be changed. Nothing
/// else in this process has the file open yet, so closing it here takes nobody's POSIX locks away.
fn read_header(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return check_alone(path).map(|()| None);
        }
        Err(error) => return Err(StoreError::system(path, &error)),
    };
    let mut header = Vec::with_capacity(HEADER_OCTETS);
    file.take(HEADER_OCTETS as u64)
        .read_to_end(&mut header)
        .map_err(|error| StoreError::system(path, &error))?;
    Ok(Some(header))
}

/// A log without its database may hold changes; a new database beside it would swallow them and break.
fn check_alone(path: &Path) -> Result<(), StoreError> {
    for suffix in ["-wal", "-journal"] {
        let stray = with_suffix(path, suffix);
        if fs::metadata(&stray).is_ok_and(|data| data.len() > 0) {
            let (shown, stray) = (path.display(), stray.display());
            return Err(StoreError::lasting(format!(
                "{stray} is there, but {shown}, which it belongs to, is not: bring {shown} back, or move {stray} \
                 away to begin with an empty registry"
            )));
        }
    }
    Ok(())
}

fn check(path: &Path, header: &[u8], known: u32) -> Result<(), StoreError> {
    if header.is_empty() {
        return Err(not_ours(path, "it is empty"));
    }
    if header.len() < HEADER_OCTETS || !header.starts_with(MAGIC) {
        return Err(not_ours(path, "it is no SQLite database"));
    }
    let version = number_at(header, USER_VERSION_AT);
    check_ids(path, number_at(header, APPLICATION_ID_AT), version, known)
}

/// Whether a file that begins like this is an SQLite database with our application id.
pub(super) fn is_ours(header: &[u8]) -> bool {
    header.len() >= HEADER_OCTETS
        && header.starts_with(MAGIC)
        && number_at(header, APPLICATION_ID_AT) == APPLICATION_ID
}

fn number_at(header: &[u8], at: usize) -> u32 {
    header[at..at + 4].iter().fold(0, |number, octet| number << 8 | u32::from(*octet))
}

fn not_ours(path: &Path, why: &str) -> StoreError {
    let shown = path.display();
    StoreError::lasting(format!(
        "{shown} is not a Rollcall store ({why}) and was left as it is: move it away to begin with an empty \
         registry, put a backup in its place, or choose another data directory"
    ))
}

fn create(path: &Path, migrations: &[&str]) -> Result<(), StoreError> {
    let new = with_suffix(path, ".new");
    let system = |error| StoreError::system(&new, &error);
    for leftover in [new.clone(), with_suffix(&new, "-journal")] {
        match fs::remove_file(&leftover) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(system(error)),
            _ => {}
        }
    }
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new).map_err(system)?;
    let sqlite = |error| StoreError::sqlite(&new, &error);
    let mut conn = Connection::open_with_flags(&new, writable()).map_err(sqlite)?;
    upgrade(&mut conn, 0, migrations).map_err(sqlite)?;
    conn.close().map_err(|(_, error)| sqlite(error))?;
    fs::rename(&new, path).map_err(system)?;
    sync_directory_of(path).map_err(|error| StoreError::system(path, &error))
}

/// Brings a database from schema version `from` up to date, whole or not at all.
pub(super) fn upgrade(
    conn: &mut Connection,
    from: u32,
    migrations: &[&str],
) -> rusqlite::Result<()> {
    let transaction = conn.transaction_with_behavior(TransactionBehavior::Exclusive)?;
    for (version, migration) in (1..).zip(migrations).filter(|(version, _)| *version > from) {
        transaction.execute_batch(migration)?;
        transaction.pragma_update(None, "user_version", version)?;
    }
    transaction.commit()
}

/// Makes the name of `path` as durable as its content.
pub(super) fn sync_directory_of(path: &Path) -> std::io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
