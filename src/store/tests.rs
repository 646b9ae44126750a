//! Tests that need the store's inside: its connection and its migrations.

use std::fs;
use std::ops::ControlFlow;
use std::sync::Arc;

use rusqlite::Connection;

use super::row::SELECT;
use super::{Batch, FILE_NAME, Store, Stored, backup, schema};
use crate::registry::{
    Body, Change, Declared, Instance, InstanceId, Label, LeaseTerm, ServiceName, Texts,
};

/// One registration, whose metadata fills a page.
fn registration(number: u64) -> Change {
    let id = InstanceId::parse(&format!("web-{number}")).unwrap();
    let label = Label::candidates(&id).next().unwrap();
    let instance = Instance {
        service: ServiceName::parse("web").unwrap(),
        label,
        id,
        body: Body {
            texts: Texts::stored(None, "", &format!("text\n{}", "x".repeat(4000))).unwrap(),
            ..Body::new([10, 0, 0, 1].into(), 8080, LeaseTerm::Secs(30))
        },
        declared: Declared { state: Default::default(), reason: "".into() },
        override_: None,
        owner: crate::registry::Owner::NOBODY,
        registered_unix_ms: 1,
        changed_unix_ms: 1,
        revision: number,
    };
    Change { before: None, after: Some(Arc::new(instance)), revision: number, claim: None }
}

fn commit(store: &mut Store, change: &Change) -> Result<(), super::StoreError> {
    store.commit(&Batch {
        changes: std::slice::from_ref(change),
        revision: change.revision,
        serial: 7,
        ..Batch::default()
    })
}

fn ids(store: &mut Store) -> (u64, Vec<String>) {
    let mut ids = Vec::new();
    let each = |stored: Stored| {
        ids.push(stored.instance.id.to_string());
        ControlFlow::Continue(())
    };
    let loaded = store.load(each).unwrap();
    assert_eq!(loaded.skipped, Vec::<String>::new());
    (loaded.revision, ids)
}

#[test]
fn a_full_database_refuses_a_batch_whole_and_takes_the_next_when_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    commit(&mut store, &registration(1)).unwrap();
    let pages: u32 = store.conn.pragma_query_one(None, "page_count").unwrap();
    let limit = |store: &Store, pages: u32| {
        let most: u32 = store
            .conn
            .pragma_update_and_check(None, "max_page_count", pages, |row| row.get(0))
            .unwrap();
        assert_eq!(most, pages);
    };

    limit(&store, pages);
    let batch = [registration(2), registration(3), registration(4)];
    let refused = store
        .commit(&Batch { changes: &batch, revision: 4, serial: 8, ..Batch::default() })
        .unwrap_err();
    let db = dir.path().join(FILE_NAME);
    let words = format!("the disk that holds {} is full: free some space on it", db.display());
    assert_eq!((refused.to_string(), refused.may_pass()), (words, true));
    assert_eq!(ids(&mut store), (1, vec!["web-1".into()]));

    limit(&store, pages + 100);
    commit(&mut store, &registration(5)).unwrap();
    assert_eq!(ids(&mut store), (5, vec!["web-1".into(), "web-5".into()]));
    drop(store);
    assert_eq!(
        ids(&mut Store::open(dir.path()).unwrap()),
        (5, vec!["web-1".into(), "web-5".into()])
    );
}

#[test]
fn a_transaction_that_an_error_left_open_is_ended_by_the_next_commit() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    store.conn.execute_batch("BEGIN; UPDATE registry SET revision = 99").unwrap();
    commit(&mut store, &registration(1)).unwrap();
    assert_eq!(ids(&mut store), (1, vec!["web-1".into()]));
}

#[test]
fn the_log_is_synced_at_each_commit_and_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let text = |name: &str| store.conn.pragma_query_one::<String>(None, name).unwrap();
    let number = |name: &str| store.conn.pragma_query_one::<i64>(None, name).unwrap();
    assert_eq!(text("journal_mode"), "wal");
    assert_eq!(number("synchronous"), 2, "2 is FULL");
    assert_eq!(number("wal_autocheckpoint"), 1000);
    assert_eq!(number("journal_size_limit"), 16 << 20);
}

#[test]
fn loading_follows_the_primary_key_without_sorting() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let plan: String = store
        .conn
        .query_row(&format!("EXPLAIN QUERY PLAN {SELECT}"), [], |row| row.get(3))
        .unwrap();
    assert_eq!(plan, "SCAN instances");
}

#[test]
fn an_upgrade_goes_on_where_the_file_is_and_is_whole_or_nothing() {
    let mut conn = Connection::open_in_memory().unwrap();
    let state = |conn: &Connection| {
        let version: u32 = conn.pragma_query_one(None, "user_version").unwrap();
        let tables = "SELECT coalesce(group_concat(name), '') FROM sqlite_schema";
        (version, conn.query_row(tables, [], |row| row.get::<_, String>(0)).unwrap())
    };
    let steps =
        ["CREATE TABLE a (x)", "CREATE TABLE b (x)", "CREATE TABLE c (x); CREATE TABLE a (x)"];
    schema::upgrade(&mut conn, 0, &steps[..1]).unwrap();
    assert_eq!(state(&conn), (1, "a".into()));
    schema::upgrade(&mut conn, 1, &steps).unwrap_err();
    assert_eq!(state(&conn), (1, "a".into()));
    schema::upgrade(&mut conn, 1, &steps[..2]).unwrap();
    assert_eq!(state(&conn), (2, "a,b".into()));
}

/// With a journal beside it that is still to be rolled back, a file's first page can tell a version that the file
/// will not have.
#[test]
fn an_upgrade_that_a_crash_took_back_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE_NAME);
    let journal = schema::with_suffix(&path, "-journal");
    commit(&mut Store::open(dir.path()).unwrap(), &registration(1)).unwrap();
    let old = schema::newest(&schema::MIGRATIONS);
    let step = "CREATE TABLE extra (x); ALTER TABLE registry ADD COLUMN y TEXT";
    let steps: Vec<_> = schema::MIGRATIONS.into_iter().chain([step]).collect();

    // The state just before the commit deletes its journal. Without syncs the journal is complete, with its
    // header, as soon as the page has been changed.
    let conn = Connection::open(&path).unwrap();
    conn.execute_batch("PRAGMA journal_mode = DELETE; PRAGMA synchronous = OFF").unwrap();
    let begin = format!("BEGIN EXCLUSIVE; {step}; PRAGMA user_version = {}", old + 1);
    conn.execute_batch(&begin).unwrap();
    let taken_back = fs::read(&journal).unwrap();
    conn.execute_batch("COMMIT").unwrap();
    drop(conn);
    assert!(!journal.exists());
    let upgraded = fs::read(&path).unwrap();
    assert_eq!(upgraded[60..64], (old + 1).to_be_bytes());
    let crash = || {
        fs::write(&path, &upgraded).unwrap();
        fs::write(&journal, &taken_back).unwrap();
    };

    let state = |conn: &Connection| -> (u32, u32, u32) {
        let number = |sql| conn.query_row(sql, [], |row| row.get(0)).unwrap();
        (
            conn.pragma_query_one(None, "user_version").unwrap(),
            number("SELECT count(*) FROM sqlite_schema WHERE name = 'extra'"),
            number("SELECT count(*) FROM instances"),
        )
    };
    crash();
    assert_eq!(state(&Connection::open(&path).unwrap()), (old, 0, 1), "the journal is hot");
    crash();
    assert_eq!(state(&schema::open(&path, &steps).unwrap()), (old + 1, 1, 1));
    assert!(!journal.exists());

    // The older Rollcall leaves to the newer one what that has begun.
    crash();
    let error = Store::open(dir.path()).unwrap_err().to_string();
    assert!(error.contains("was written by a newer Rollcall"), "{error}");
    assert!(fs::read(&path).unwrap() == upgraded && fs::read(&journal).unwrap() == taken_back);
}

#[test]
fn a_file_made_while_the_copy_was_is_not_replaced_unasked() {
    let dir = tempfile::tempdir().unwrap();
    let (partial, to) = (dir.path().join("b.db.partial"), dir.path().join("b.db"));
    fs::write(&partial, "copy").unwrap();
    fs::write(&to, "precious").unwrap();
    let error = backup::name(&partial, &to, false).unwrap_err().to_string();
    assert_eq!(
        error,
        format!(
            "{} is there already: choose another name, or say that it is to be replaced",
            to.display()
        )
    );
    assert_eq!(
        (fs::read(&partial).unwrap(), fs::read(&to).unwrap()),
        ("copy".into(), "precious".into())
    );
    backup::name(&partial, &to, true).unwrap();
    assert_eq!((partial.exists(), fs::read(&to).unwrap()), (false, "copy".into()));
    fs::rename(&to, &partial).unwrap();
    backup::name(&partial, &to, false).unwrap();
    assert_eq!((partial.exists(), fs::read(&to).unwrap()), (false, "copy".into()));
}

#[test]
fn the_store_can_move_to_the_registrars_thread() {
    fn check<T: Send + 'static>() {}
    check::<Store>();
}
