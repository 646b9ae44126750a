//! What happened is stored with what has changed, and read back as it was; what is forgotten goes.

#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod store_common;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rollcall::access::{Asker, Door};
use rollcall::history::{After, By, Event, Fields, Kind};
use rollcall::registry::{Instance, State};
use rollcall::store::{Batch, FILE_NAME, Store};
use rollcall::view::Standing;
use rusqlite::Connection;
use store_common::{change, plain, rich};

/// Events with something of everything.
fn events() -> Vec<Arc<Event>> {
    let by = Asker::server(Door::Lease);
    let before = plain("web", "w 1", 1);
    let after = Instance { override_: None, ..rich("web", "w 1", 2) };
    let registered = change(None, Some(&before));
    let changed = change(Some(&before), Some(&after));
    let gone = change(Some(&plain("web", "w 1", 4)), None);
    let mut told = vec![
        Event::of_change(&registered, 1_700_000_000_001, &by, Standing::Live, false),
        Event::of_change(&changed, 1_700_000_000_002, &by, Standing::Held, false),
        Event::of_standing(&after, Standing::Suspect, "", (3, 1_700_000_000_003)),
        Event::of_change(&gone, 1_700_000_000_004, &by, Standing::Live, true),
    ];
    told[1].by =
        By { principal: Some("team-a".into()), door: Door::Http, source: "[::1]:7".into() };
    told.into_iter().map(Arc::new).collect()
}

fn commit(store: &mut Store, events: &[Arc<Event>], forgotten: &[u64], gaps: u64) {
    let batch = Batch {
        events,
        forgotten,
        history_gaps: gaps,
        revision: 4,
        reserved_revision: 70_000,
        serial: 7,
        ..Batch::default()
    };
    store.commit(&batch).unwrap();
}

fn stored(dir: &Path) -> (Vec<Event>, u64, u64, usize) {
    let history = Store::open(dir).unwrap().history().unwrap();
    (history.events, history.gaps, history.reserved_revision, history.skipped)
}

#[test]
fn events_are_read_back_as_they_were_told() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    let told = events();
    assert_eq!(told[1].changed.names().count(), 12, "all but the owner");
    assert_eq!((told[3].kind, told[3].after), (Kind::Expired, None));
    assert_eq!(told[2].after, Some(After { state: State::Draining, standing: Standing::Suspect }));
    commit(&mut store, &told, &[], 0);
    drop(store);
    let expected: Vec<_> = told.iter().map(|event| Event::clone(event)).collect();
    assert_eq!(stored(dir.path()), (expected.clone(), 0, 70_000, 0));

    let mut store = Store::open(dir.path()).unwrap();
    commit(&mut store, &[], &[1, 2, 9], 2);
    drop(store);
    assert_eq!(stored(dir.path()), (expected[2..].to_vec(), 2, 70_000, 0));
}

#[test]
fn an_event_that_cannot_be_read_leaves_a_gap_and_nothing_else() {
    for damage in [
        "event = 'renewed'",
        "changed = 'colour'",
        "state = 'gone'",
        "standing = ''",
        "addresses = 'nowhere'",
        "addresses = ''",
        "port = 65536",
        "door = 'window'",
        "service = 'WEB'",
        "id = ''",
    ] {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path()).unwrap();
        commit(&mut store, &events(), &[], 0);
        drop(store);
        let conn = Connection::open(dir.path().join(FILE_NAME)).unwrap();
        let update = format!("UPDATE history SET {damage} WHERE revision = 2");
        assert_eq!(conn.execute(&update, []).unwrap(), 1);
        drop(conn);
        let (events, gaps, _, skipped) = stored(dir.path());
        let revisions: Vec<_> = events.iter().map(|event| event.revision).collect();
        assert_eq!((revisions, gaps, skipped), (vec![1, 3, 4], 2, 1), "{damage}");
    }
}

#[test]
fn what_was_stored_before_there_were_events_has_a_gap_up_to_then() {
    let dir = tempfile::tempdir().unwrap();
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/store/v3.db");
    fs::copy(fixture, dir.path().join(FILE_NAME)).unwrap();
    assert_eq!(stored(dir.path()), (Vec::new(), 3, 3, 0));
}

#[test]
fn names_of_fields_are_read_as_they_are_written() {
    let all = "addresses port protocol ports lease_secs tags version weight priority meta origin state owner";
    assert_eq!(Fields::parse(all).unwrap().names().collect::<Vec<_>>().join(" "), all);
    assert_eq!(Fields::parse(""), Some(Fields::default()));
    assert_eq!(Fields::parse("port colour"), None);
}
