//! What the store keeps of an instance, and what it makes of rows that it cannot read.

#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod store_common;

use rollcall::registry::{Body, Declared, Instance, LeaseTerm, State};
use rollcall::store::{Batch, FILE_NAME, Store, Stored};
use rusqlite::Connection;
use store_common::{change, commit, load, plain, rich};

#[test]
fn what_is_committed_is_loaded_in_the_order_of_service_and_id() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    let (loaded, all) = load(&mut store);
    assert_eq!((loaded.revision, loaded.serial, all), (0, 1, Vec::new()));

    let opaque = rich("web", "Web Server #1 'x' \"y\" ü%_", 1);
    let all = [plain("db", "a", 2), rich("db", "b", 3), opaque, rich("web", "a", 4)];
    let [first, second, third, fourth] = &all;
    let changes = [third, fourth, second, first].map(|instance| change(None, Some(instance)));
    store
        .commit(&Batch {
            changes: &changes,
            revision: 1 << 60,
            serial: u32::MAX,
            ..Batch::default()
        })
        .unwrap();
    drop(store);
    let (loaded, found) = load(&mut Store::open(dir.path()).unwrap());
    assert_eq!((loaded.revision, loaded.serial), (1 << 60, u32::MAX));
    let expected: Vec<_> =
        all.into_iter().map(|instance| Stored { instance, remaining_ms: None }).collect();
    assert_eq!(found, expected);
}

#[test]
fn a_batch_is_applied_oldest_first() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    let (a, b) = (plain("web", "a", 1), plain("web", "b", 2));
    let again = rich("web", "a", 4);
    let changes = [
        change(None, Some(&a)),
        change(None, Some(&b)),
        change(Some(&a), None),
        change(None, Some(&again)),
        change(Some(&b), None),
    ];
    commit(&mut store, &changes, 5).unwrap();
    assert_eq!(load(&mut store).1, [Stored { instance: again, remaining_ms: None }]);
}

#[test]
fn a_flushed_remaining_time_holds_until_the_next_registration() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    let first = plain("web", "a", 1);
    commit(&mut store, &[change(None, Some(&first))], 1).unwrap();
    let remaining = |store: &mut Store| load(store).1[0].remaining_ms;
    assert_eq!(remaining(&mut store), None);

    let flush = [
        (first.service.clone(), first.id.clone(), 12_345),
        (first.service.clone(), plain("web", "gone", 0).id, 1),
    ];
    store.commit(&Batch { remaining: &flush, revision: 1, serial: 7, ..Batch::default() }).unwrap();
    assert_eq!(remaining(&mut store), Some(12_345));

    let declared = Declared::parse(State::Draining, "deploy").unwrap();
    let drained = Instance { declared, revision: 2, ..first.clone() };
    commit(&mut store, &[change(Some(&first), Some(&drained))], 2).unwrap();
    assert_eq!(remaining(&mut store), Some(12_345), "draining renews nothing");

    let body = Body { lease: LeaseTerm::Secs(60), ..drained.body.clone() };
    let registered = Instance { body, revision: 3, ..drained.clone() };
    commit(&mut store, &[change(Some(&drained), Some(&registered))], 3).unwrap();
    assert_eq!(remaining(&mut store), None);
}

#[test]
fn a_row_that_cannot_be_read_is_skipped_told_of_and_left() {
    // What is done to the row of `web`, `b`, and what is said of it.
    let cases = [
        (
            "service = 'WEB'",
            "service `WEB`, id `b`, column service: `WEB` must be lower case: `web`",
        ),
        (
            "id = 'b' || char(10)",
            "service `web`, id `b\\n`, column id: must not hold control characters",
        ),
        ("label = '-'", "column label: `-` is not a label"),
        ("addresses = '10.0.0.5 nowhere'", "column addresses: `nowhere` is not an IP address"),
        ("addresses = ''", "column addresses: must not be empty"),
        ("port = 65536", "column port: 65536 is out of range"),
        ("port = 0", "column port: must be 1 to 65535"),
        ("protocol = 'sctp'", "column protocol: `sctp` must be one of `tcp`, `udp`"),
        ("ports = 'metrics'", "column ports: `metrics` is not name=port"),
        ("ports = 'metrics=x'", "column ports: `metrics=x` is not name=port"),
        ("lease_secs = 0", "column lease_secs: must be at least 1"),
        ("remaining_ms = -1", "column remaining_ms: -1 is out of range"),
        ("tags = 'blue' || char(10)", "column tags: has 0 octets, must have 1 to 255"),
        ("version = ''", "column version: has 0 octets, must have 1 to 255"),
        ("weight = -1", "column weight: -1 is out of range"),
        ("meta = 'k'", "column meta: `k` is not followed by a value"),
        ("meta = CAST(x'ff' AS TEXT)", "column meta: is no text in UTF-8"),
        ("state = 'UP'", "column state: `UP` must be one of `up`, `draining`, `down`"),
        ("state_reason = char(7)", "column state_reason: must have at most 255 octets"),
        ("override_state = NULL", "column override_state: needs a reason"),
        ("override_state = 'off'", "column override_state: `off` must be one of"),
        ("revision = -5", "column revision: -5 is out of range"),
    ];
    for (damage, words) in cases {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path()).unwrap();
        let all = ["a", "b", "c"].map(|id| rich("web", id, 1));
        let changes = all.each_ref().map(|instance| change(None, Some(instance)));
        commit(&mut store, &changes, 3).unwrap();
        let conn = Connection::open(dir.path().join(FILE_NAME)).unwrap();
        assert_eq!(
            conn.execute(&format!("UPDATE instances SET {damage} WHERE id = 'b'"), []),
            Ok(1)
        );

        for _ in 0..2 {
            let (loaded, found) = load(&mut store);
            let ids: Vec<_> = found.iter().map(|stored| stored.instance.id.as_str()).collect();
            assert_eq!(ids, ["a", "c"], "{damage}");
            assert_eq!(loaded.skipped.len(), 1, "{damage}");
            let told = &loaded.skipped[0];
            assert!(told.starts_with("table instances, service `"), "{told}");
            assert!(told.contains(words), "{damage}: {told}");
        }
        let left: i64 =
            conn.query_row("SELECT count(*) FROM instances", [], |row| row.get(0)).unwrap();
        assert_eq!(left, 3);
        commit(&mut store, &[change(Some(&all[1]), None)], 4).unwrap();
    }
}

#[test]
fn many_rows_that_cannot_be_read_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    let all: Vec<_> = (0..150).map(|at| plain("web", &format!("i-{at:03}"), 1)).collect();
    let changes: Vec<_> = all.iter().map(|instance| change(None, Some(instance))).collect();
    commit(&mut store, &changes, 1).unwrap();
    let conn = Connection::open(dir.path().join(FILE_NAME)).unwrap();
    conn.execute("UPDATE instances SET port = 0 WHERE id < 'i-120'", []).unwrap();
    let (loaded, found) = load(&mut store);
    assert_eq!((found.len(), loaded.skipped.len()), (30, 101));
    assert_eq!(loaded.skipped[100], "and 20 more rows of table instances");
}
