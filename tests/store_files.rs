//! The store's file and directory: made, refused, upgraded, locked.

#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod store_common;

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rollcall::access::{Asker, Door, Edit, Grants, Kept, Kind, Prefix, Scope, Verb};
use rollcall::history::Event;
use rollcall::registry::{Change, Claim, ClaimChange, Origin, Owner};
use rollcall::store::{Batch, DataDir, FILE_NAME, Store, Stored, grants_of};
use rollcall::view::Standing;
use rusqlite::Connection;
use store_common::{change, commit, load, plain, rich};

/// Every file of a directory with its content.
fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    entries
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
        .collect()
}

/// A store of this version with one instance, closed.
fn write_store(dir: &Path) {
    let mut store = Store::open(dir).unwrap();
    commit(&mut store, &[change(None, Some(&plain("web", "a", 1)))], 1).unwrap();
}

/// Runs SQL on a store; whatever that leaves beside it, a log for instance, is left as after a crash.
fn run_sql(dir: &Path, sql: &str) {
    let conn = Connection::open(dir.join(FILE_NAME)).unwrap();
    conn.execute_batch(sql).unwrap();
    let crashed = files(dir);
    drop(conn);
    for (name, content) in crashed {
        fs::write(dir.join(name), content).unwrap();
    }
}

#[test]
fn a_file_that_is_not_ours_is_refused_and_untouched() {
    type Make = fn(&Path);
    let cases: [(Make, &str); 8] = [
        (
            |dir| {
                write_store(dir);
                Connection::open(dir.join(FILE_NAME))
                    .unwrap()
                    .execute_batch("PRAGMA user_version = 1000")
                    .unwrap();
            },
            "was written by a newer Rollcall (schema version 1000, this one knows up to 4) and was left as it is",
        ),
        (
            // In use, or after a crash: with a log and what belongs to it.
            |dir| {
                write_store(dir);
                run_sql(
                    dir,
                    "PRAGMA journal_mode = DELETE; PRAGMA user_version = 1000;
                    PRAGMA journal_mode = WAL; UPDATE registry SET serial = 5",
                );
                assert_eq!(files(dir).len(), 3);
            },
            "was written by a newer Rollcall (schema version 1000",
        ),
        (
            |dir| run_sql(dir, "CREATE TABLE cookies (x); PRAGMA user_version = 1"),
            "(it is an SQLite database of another program)",
        ),
        (
            |dir| run_sql(dir, "PRAGMA journal_mode = WAL; CREATE TABLE cookies (x)"),
            "(it is an SQLite database of another program)",
        ),
        (
            |dir| fs::write(dir.join(FILE_NAME), "x".repeat(5000)).unwrap(),
            "(it is no SQLite database)",
        ),
        (
            |dir| fs::write(dir.join(FILE_NAME), "SQLite format 3\0").unwrap(),
            "(it is no SQLite database)",
        ),
        (|dir| fs::write(dir.join(FILE_NAME), "").unwrap(), "(it is empty)"),
        (
            |dir| fs::write(dir.join("rollcall.db-wal"), "x").unwrap(),
            "rollcall.db-wal is there, but",
        ),
    ];
    for (make, words) in cases {
        let dir = tempfile::tempdir().unwrap();
        make(dir.path());
        let before = files(dir.path());
        let error = Store::open(dir.path()).unwrap_err();
        assert!(error.to_string().contains(words), "{words}: {error}");
        assert!(error.to_string().contains(&dir.path().display().to_string()), "{error}");
        assert!(!error.may_pass());
        assert!(files(dir.path()) == before, "{words}: the directory was changed");
    }
}

#[test]
fn a_damaged_file_is_told_and_final() {
    let dir = tempfile::tempdir().unwrap();
    write_store(dir.path());
    let path = dir.path().join(FILE_NAME);
    let mut bytes = fs::read(&path).unwrap();
    bytes[4096..].fill(0xff);
    fs::write(&path, bytes).unwrap();
    let error = Store::open(dir.path())
        .and_then(|mut store| store.load(|_| ControlFlow::Continue(())))
        .unwrap_err();
    assert!(error.to_string().contains("is damaged"), "{error}");
    assert!(!error.may_pass());
}

#[test]
fn an_interrupted_creation_is_begun_again() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("rollcall.db.new"), "half").unwrap();
    fs::write(dir.path().join("rollcall.db.new-journal"), "half").unwrap();
    drop(Store::open(dir.path()).unwrap());
    assert_eq!(files(dir.path()).keys().collect::<Vec<_>>(), [FILE_NAME]);
    let mode = fs::metadata(dir.path().join(FILE_NAME)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/store")
}

/// What the fixture of a schema version holds, as far as it had columns for it.
fn fixture_content(version: u32) -> [Stored; 3] {
    let mut full = rich("web", "Web Server #1", 3);
    if version < 3 {
        full.body.origin = Origin::default();
        full.override_.as_mut().unwrap().until_unix_ms = None;
    }
    [
        Stored { instance: plain("db", "primary", 1), remaining_ms: Some(250_000) },
        Stored { instance: full, remaining_ms: None },
        Stored { instance: plain("web", "web-1", 2), remaining_ms: None },
    ]
}

/// The schema version of the store that this Rollcall makes.
fn newest() -> u32 {
    let dir = tempfile::tempdir().unwrap();
    write_store(dir.path());
    let conn = Connection::open(dir.path().join(FILE_NAME)).unwrap();
    conn.query_row("SELECT user_version FROM pragma_user_version", [], |row| row.get(0)).unwrap()
}

/// What fixtures from version 2 on hold beside it: a claim, a principal, its token and its key.
fn fixture_edits() -> [Edit; 2] {
    let scope = Scope {
        networks: [Prefix::parse("10.0.0.0/8").unwrap()].into(),
        max_instances: Some(7),
        ..Scope::all_services(&[Verb::Read, Verb::Register])
    };
    let kept = |id: &str, kind, expires_unix_ms| Kept {
        id: id.into(),
        kind,
        principal: "team-a".into(),
        secret: [7; 32],
        created_unix_ms: 1,
        expires_unix_ms,
    };
    let edit = |principal, put| Edit {
        principal,
        put: Some(put),
        remove: Vec::new(),
        remove_principal: None,
    };
    [
        edit(Some(("team-a".into(), scope)), kept("0123456789ab", Kind::Token, Some(5))),
        edit(None, kept("k0123456789", Kind::Key, None)),
    ]
}

#[test]
fn grants_and_claims_are_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    fs::copy(fixtures().join("v2.db"), dir.path().join(FILE_NAME)).unwrap();
    let before = grants_of(dir.path()).unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    let (grants, skipped) = store.grants().unwrap();
    assert_eq!(skipped, [""; 0]);
    let mut expected = Grants::default();
    for edit in fixture_edits() {
        expected.apply(edit);
    }
    assert_eq!(format!("{grants:?}"), format!("{expected:?}"));
    assert_eq!(format!("{before:?}"), format!("{expected:?}"), "also without opening it to write");
    assert_eq!(grants.kept, expected.kept);
    let (claims, skipped) = store.claims().unwrap();
    assert_eq!(skipped, [""; 0]);
    let claim = Claim { owner: Owner::named("team-a"), released_unix_ms: Some(3) };
    assert_eq!(claims, [(fixture_content(2)[0].instance.service.clone(), claim)]);

    let edit = grants.revoke(Kind::Token, "0123456789ab").unwrap();
    store.edit_grants(&edit).unwrap();
    let mut after = store.grants().unwrap().0;
    assert!(!after.kept.contains_key("0123456789ab") && after.principals.contains_key("team-a"));
    let edit = after.revoke(Kind::Key, "k0123456789").unwrap();
    store.edit_grants(&edit).unwrap();
    after = store.grants().unwrap().0;
    assert!(after.kept.is_empty() && after.principals.is_empty());
}

#[test]
fn what_grants_nothing_because_it_cannot_be_read_is_told_and_closes_doors() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE_NAME);
    fs::copy(fixtures().join("v2.db"), &path).unwrap();
    drop(Store::open(dir.path()).unwrap());
    let conn = Connection::open(&path).unwrap();
    conn.execute("UPDATE credentials SET secret = x'00' WHERE kind = 'key'", []).unwrap();
    conn.execute("UPDATE principals SET services = 'web*'", []).unwrap();
    drop(conn);
    let (grants, skipped) = Store::open(dir.path()).unwrap().grants().unwrap();
    assert!(grants.is_damaged && grants.kept.len() == 1 && grants.principals.is_empty());
    assert_eq!(
        skipped,
        [
            "table principals, name `team-a`: column services: `web*` is no pattern: there are `*`, a name, and the \
             first parts of names with a hyphen and a star, such as `pay-*`",
            "table credentials, id `k0123456789`: column secret: does not have 32 octets"
        ]
    );
}

#[test]
fn a_file_of_every_schema_version_is_upgraded_in_place() {
    for version in 1..=newest() {
        let dir = tempfile::tempdir().unwrap();
        let fixture = fixtures().join(format!("v{version}.db"));
        let path = dir.path().join(FILE_NAME);
        fs::copy(&fixture, &path).unwrap_or_else(|error| panic!("{}: {error}", fixture.display()));
        let header = fs::read(&path).unwrap();
        assert_eq!(header[60..64], version.to_be_bytes(), "{}", fixture.display());

        let mut store = Store::open(dir.path()).unwrap();
        let (loaded, found) = load(&mut store);
        assert_eq!((loaded.revision, loaded.serial, loaded.skipped), (3, 42, Vec::new()));
        assert_eq!(found, fixture_content(version), "version {version}");
        let told = fixture_event(&change(None, Some(&fixture_content(version)[0].instance)));
        let told = if version < 4 { vec![] } else { vec![told] };
        assert_eq!(store.history().unwrap().events, told, "version {version}");
        commit(&mut store, &[change(None, Some(&rich("web", "web-2", 4)))], 4).unwrap();
        drop(store);
        assert_eq!(fs::read(&path).unwrap()[60..64], newest().to_be_bytes());
    }
}

/// What fixtures from version 4 on hold of what happened.
fn fixture_event(registered: &Change) -> Event {
    let by = Asker::server(Door::Lease);
    Event::of_change(registered, 1_700_000_000_001, &by, Standing::Live, false)
}

/// Run with `WRITE_FIXTURE=1` before a version is released; never writes over one.
#[test]
#[ignore = "writes the fixture of a new schema version"]
fn write_the_fixture_of_this_version() {
    let path = fixtures().join(format!("v{}.db", newest()));
    if std::env::var_os("WRITE_FIXTURE").is_none() || path.exists() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    let content = fixture_content(newest());
    let changes = content.each_ref().map(|stored| change(None, Some(&stored.instance)));
    let (service, id) = (content[0].instance.service.clone(), content[0].instance.id.clone());
    let remaining = [(service, id, 250_000)];
    let batch = Batch {
        changes: &changes,
        remaining: &remaining,
        events: &[fixture_event(&changes[0]).into()],
        revision: 3,
        serial: 42,
        ..Batch::default()
    };
    store.commit(&batch).unwrap();
    let claim = Claim { owner: Owner::named("team-a"), released_unix_ms: Some(3) };
    let claimed = ClaimChange { before: None, after: Some(claim) };
    let claimed = Change { claim: Some(Box::new(claimed)), ..changes[0].clone() };
    commit(&mut store, &[claimed], 3).unwrap();
    store
        .commit(&Batch { remaining: &remaining, revision: 3, serial: 42, ..Batch::default() })
        .unwrap();
    for edit in fixture_edits() {
        store.edit_grants(&edit).unwrap();
    }
    drop(store);
    fs::copy(dir.path().join(FILE_NAME), path).unwrap();
}

#[test]
fn a_data_directory_has_one_server() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a/b");
    let first = DataDir::lock(&path, "DNS 127.0.0.1:5300, HTTP 127.0.0.1:8053").unwrap();
    assert_eq!(first.path(), path);
    for made in [&path, path.parent().unwrap()] {
        assert_eq!(fs::metadata(made).unwrap().permissions().mode() & 0o777, 0o700, "{made:?}");
    }
    for _ in 0..2 {
        let error = DataDir::lock(&path, "DNS 127.0.0.1:5301").unwrap_err().to_string();
        let (shown, pid) = (path.display(), std::process::id());
        assert_eq!(
            error,
            format!(
                "the data directory {shown} is in use by pid {pid}, DNS 127.0.0.1:5300, HTTP \
                 127.0.0.1:8053: stop that server, or choose another directory with --data-dir"
            )
        );
    }
    let holder = DataDir::holder(&path).unwrap().unwrap();
    assert!(holder.ends_with("DNS 127.0.0.1:5300, HTTP 127.0.0.1:8053"), "{holder}");
    drop(first);
    assert_eq!(DataDir::holder(&path).unwrap(), None);
    assert_eq!(DataDir::holder(dir.path()).unwrap(), None);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "looking leaves nothing behind");
    let _second = DataDir::lock(&path, "x").unwrap();
    let said = fs::read_to_string(path.join("rollcall.lock")).unwrap();
    assert_eq!(said, format!("pid {}, x\n", std::process::id()), "nothing of the first is left");
}

#[test]
fn a_data_directory_that_cannot_be_used_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let cases = [
        (file.clone(), "is not a directory: choose another one with --data-dir"),
        (
            file.join("below"),
            "Not a directory (os error 20): choose a usable directory with --data-dir",
        ),
    ];
    for (path, words) in cases {
        let error = DataDir::lock(&path, "x").unwrap_err().to_string();
        assert!(error.contains(words) && error.contains(&path.display().to_string()), "{error}");
    }
}
