//! What the tests of the store share: instances, a made-up history, and a process that commits it.
//!
//! The process is the test binary itself, started again to run one ignored test, the *helper*.

#![allow(dead_code, reason = "not every test uses all of it")]

use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use rollcall::registry::{
    Body, Change, Declared, Instance, InstanceId, Label, LeaseTerm, Origin, Override, PortName,
    Protocol, ServiceName, State, Texts,
};
use rollcall::store::{Batch, Loaded, Store, StoreError, Stored};

/// Where a helper finds its data directory, and up to which revision it commits.
pub const HELPER_DIR: &str = "ROLLCALL_TEST_DIR";
pub const HELPER_LAST: &str = "ROLLCALL_TEST_LAST";

/// Refused commits after which a helper gives up.
const MAX_REFUSALS: usize = 1000;

/// An instance with nothing but what it needs.
pub fn plain(service: &str, id: &str, revision: u64) -> Instance {
    let id = InstanceId::parse(id).unwrap();
    let label = Label::candidates(&id).next().unwrap();
    Instance {
        service: ServiceName::parse(service).unwrap(),
        label,
        id,
        body: Body::new([10, 0, 0, 5].into(), 8080, LeaseTerm::Secs(30)),
        declared: Declared { state: State::Up, reason: "".into() },
        override_: None,
        owner: rollcall::registry::Owner::NOBODY,
        registered_unix_ms: 1_700_000_000_000,
        changed_unix_ms: 1_700_000_000_001,
        revision,
    }
}

/// An instance with something in every column.
pub fn rich(service: &str, id: &str, revision: u64) -> Instance {
    let port = |name: &str, port| (PortName::parse("ports", name).unwrap(), port);
    let body = Body {
        addresses: ["10.0.0.5", "fd00::5"].iter().map(|text| text.parse().unwrap()).collect(),
        port: 65535,
        protocol: Protocol::Udp,
        ports: Box::new([port("admin", 1), port("metrics", 9090)]),
        lease: LeaseTerm::Endless,
        texts: Texts::stored(
            Some("2.1.0"),
            "blue\ngroßer Käse = 1\u{2028}",
            "empty\n\nk=v\na b\nz\n",
        )
        .unwrap(),
        weight: 0,
        priority: 65535,
        origin: Origin::new("eureka", r#"{"hostName":"ä"}"#).unwrap(),
    };
    Instance {
        body: body.checked().unwrap(),
        declared: Declared::parse(State::Draining, "deploy 42").unwrap(),
        override_: Some(Box::new(Override {
            declared: Declared::parse(State::Down, "").unwrap(),
            until_unix_ms: Some(1_700_000_600_000),
        })),
        ..plain(service, id, revision)
    }
}

pub fn change(before: Option<&Instance>, after: Option<&Instance>) -> Change {
    let shared = |instance: Option<&Instance>| instance.cloned().map(Arc::new);
    let revision = after.or(before).unwrap().revision;
    Change { before: shared(before), after: shared(after), revision, claim: None }
}

pub fn commit(store: &mut Store, changes: &[Change], revision: u64) -> Result<(), StoreError> {
    store.commit(&Batch { changes, revision, serial: 7, ..Batch::default() })
}

pub fn load(store: &mut Store) -> (Loaded, Vec<Stored>) {
    let mut all = Vec::new();
    let each = |stored| {
        all.push(stored);
        ControlFlow::Continue(())
    };
    let loaded = store.load(each).unwrap();
    assert_eq!(loaded.instances, all.len());
    (loaded, all)
}

/// The history that helpers commit: each revision registers an instance with two pages of metadata, and each
/// third deregisters an earlier one in the same batch.
pub fn commit_revision(store: &mut Store, revision: u64) -> Result<(), StoreError> {
    let mut changes = vec![change(None, Some(&member(revision)))];
    if revision.is_multiple_of(3) {
        changes.push(change(Some(&member(revision - 2)), None));
    }
    commit(store, &changes, revision)
}

/// The history up to a revision in one commit, as a big store to begin with.
pub fn commit_history_at_once(dir: &Path, last: u64) {
    let changes: Vec<_> =
        listed(last).map(|revision| change(None, Some(&member(revision)))).collect();
    commit(&mut Store::open(dir).unwrap(), &changes, last).unwrap();
}

/// Who is listed at a revision, by the revision of their registration.
fn listed(last: u64) -> impl Iterator<Item = u64> {
    (1..=last).filter(move |revision| revision % 3 != 1 || revision + 2 > last)
}

fn member(revision: u64) -> Instance {
    let text = format!("{revision} ").repeat(2000).chars().take(4000).collect::<String>();
    let instance = plain("web", &format!("i-{revision:06}"), revision);
    let body = Body {
        texts: Texts::stored(None, "", &format!("text\n{text}")).unwrap(),
        ..instance.body.clone()
    };
    Instance { body, ..instance }
}

/// Loads a store, and makes sure that it is exactly what the history has at the revision that it names.
pub fn check_history(dir: &Path) -> u64 {
    let (loaded, all) = load(&mut Store::open(dir).unwrap());
    assert_eq!(loaded.skipped, Vec::<String>::new());
    let last = loaded.revision;
    let expected: Vec<_> = listed(last).map(member).collect();
    let found: Vec<_> = all.into_iter().map(|stored| stored.instance).collect();
    assert!(found == expected, "revision {last}: {} instances", found.len());
    last
}

/// A process that runs the ignored test `name` of this test binary over `dir`, up to revision `last`.
pub fn helper(name: &str, dir: &Path, last: u64) -> Vec<String> {
    let exe = std::env::current_exe().unwrap();
    let mut line = vec!["env".to_owned()];
    line.push(format!("{HELPER_DIR}={}", dir.display()));
    line.push(format!("{HELPER_LAST}={last}"));
    line.push(exe.display().to_string());
    line.extend(
        [name, "--exact", "--ignored", "--nocapture", "--test-threads=1"].map(String::from),
    );
    line
}

/// Runs a program to its end and returns what it printed; fails with that if it failed.
pub fn run(line: &[String]) -> String {
    let done = Command::new(&line[0]).args(&line[1..]).output();
    let done =
        done.unwrap_or_else(|error| panic!("{}: {error}: install it (tests/run does)", line[0]));
    let printed = String::from_utf8_lossy(&done.stdout).into_owned();
    let errors = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{line:?}: {}\n{printed}\n{errors}", done.status);
    printed
}

/// What the helper does: goes on with the history from where the store is, tries a refused revision again, and
/// tells of each try in one line.
pub fn commit_history() {
    let Ok(dir) = std::env::var(HELPER_DIR) else { return };
    let last: u64 = std::env::var(HELPER_LAST).unwrap().parse().unwrap();
    let mut store = Store::open(Path::new(&dir)).unwrap();
    let mut revision = load(&mut store).0.revision + 1;
    let mut refusals = 0;
    say("opened");
    while revision <= last && refusals < MAX_REFUSALS {
        match commit_revision(&mut store, revision) {
            Ok(()) => {
                say(&format!("acknowledged {revision}"));
                revision += 1;
            }
            Err(error) => {
                say(&format!("refused {} {error}", error.may_pass()));
                refusals += 1;
            }
        }
    }
}

/// One line, in one write, at once.
fn say(line: &str) {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(format!("{line}\n").as_bytes()).unwrap();
    stdout.flush().unwrap();
}
