//! What is told, line by line, and what happens when it cannot be.

use std::fs;

use serde_json::Value;

use super::*;
use crate::access::{Principal, Scope, Verb};
use crate::registry::{
    Actor, Body, Command, Declared, InstanceId, LeaseTerm, Override, Registry, ServiceName, State,
    Texts,
};

const AT: u64 = 1_800_000_000_123;

fn asker() -> Asker {
    let scope = Scope::all_services(&[Verb::Register]);
    Asker {
        principal: Principal::new("team-a", scope, Credential::Token("0123456789ab".into())),
        door: Door::Http,
        source: Source::Address("10.0.0.9:4000".parse().unwrap()),
    }
}

fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn registered(meta: &str) -> Change {
    let mut body = Body::new([10, 0, 0, 1].into(), 80, LeaseTerm::Secs(30));
    body.texts = Texts::stored(Some("2"), "blue", meta).unwrap();
    let (service, id) = (ServiceName::parse("web"), InstanceId::parse("web 1"));
    let command = Command::register(service.unwrap(), id.unwrap(), body, None);
    let actor = Actor { owner: crate::registry::Owner::named("team-a"), ..Actor::ANYBODY };
    Registry::default().apply(command, &actor, AT).unwrap().changes.remove(0)
}

#[test]
fn a_change_is_a_line_with_what_was_and_what_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit.jsonl");
    let (audit, writing) = Audit::open(&path).unwrap();
    let mut change = registered("password\nhunter2");
    audit.changed(AT, &asker(), "register", &change);
    let mut after = crate::registry::Instance::clone(change.instance());
    after.override_ =
        Some(Override::endless(Declared::parse(State::Down, "drill").unwrap()).into());
    change = Change { before: change.after, after: Some(after.into()), revision: 2, claim: None };
    audit.changed(AT, &asker(), "override", &change);
    audit.administered(&asker(), "token-create", "token 0123 of team-b".into());
    writing.end();
    let lines = lines(&path);
    let instance = serde_json::json!({
        "addresses": ["10.0.0.1"], "port": 80, "lease_secs": 30, "version": "2", "tags": ["blue"],
        "weight": 1, "priority": 0, "meta_keys": ["password"], "state": "up", "owner": "team-a"
    });
    let expected = serde_json::json!({
        "time": "2027-01-15T08:00:00.123Z", "outcome": "done", "door": "http", "source": "10.0.0.9:4000",
        "principal": "team-a", "credential": "token 0123456789ab", "verb": "register", "service": "web",
        "id": "web 1", "revision": 1, "after": instance
    });
    assert_eq!(lines[0], expected);
    assert_eq!(lines[1]["before"], instance);
    assert_eq!(
        lines[1]["after"]["override"],
        serde_json::json!({"state": "down", "reason": "drill"})
    );
    assert_eq!(lines[2]["what"], "token 0123 of team-b");
    assert_eq!(lines.len(), 3);
    assert_eq!(audit.figures()[0].2, 3);
    assert!(!fs::read_to_string(&path).unwrap().contains("hunter2"));
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn denials_are_bounded_and_those_left_out_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit.jsonl");
    let (audit, writing) = Audit::open(&path).unwrap();
    let esc = "\u{1b}[31mred\nnext";
    for _ in 0..3 * DENIALS_A_SECOND {
        audit.denied(&asker(), "register", Some("pay"), Some(esc), "the scope is not for it");
        audit.turned_away(Door::Udp, Source::Address("192.0.2.1:9".parse().unwrap()), esc);
    }
    writing.end();
    let lines = lines(&path);
    let (told, missing): (Vec<_>, Vec<_>) =
        lines.iter().partition(|line| line["outcome"] == "denied");
    // A slow machine may see a second pass meanwhile.
    assert!(told.len() as u64 >= DENIALS_A_SECOND);
    let untold: u64 = missing.iter().map(|line| line["denials_untold"].as_u64().unwrap()).sum();
    assert_eq!(told.len() as u64 + untold, 6 * DENIALS_A_SECOND);
    assert_eq!((&told[0]["id"], &told[0]["principal"]), (&esc.into(), &"team-a".into()));
    assert_eq!((&told[1]["reason"], &told[1]["principal"]), (&esc.into(), &Value::Null));
}

#[test]
fn a_file_that_is_moved_away_is_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    let (path, moved) = (dir.path().join("audit.jsonl"), dir.path().join("audit.1"));
    let (audit, writing) = Audit::open(&path).unwrap();
    audit.administered(&asker(), "cache-flush", "one".into());
    while !fs::read_to_string(&path).unwrap().ends_with('\n') {
        std::thread::yield_now();
    }
    fs::rename(&path, &moved).unwrap();
    audit.reopen();
    audit.administered(&asker(), "cache-flush", "two".into());
    writing.end();
    assert_eq!(
        (lines(&moved)[0]["what"].clone(), lines(&path)[0]["what"].clone()),
        ("one".into(), "two".into())
    );
}

#[test]
fn a_full_disk_loses_lines_and_nothing_else() {
    let (audit, writing) = Audit::open(Path::new("/dev/full")).unwrap();
    audit.administered(&asker(), "cache-flush", "one".into());
    writing.end();
    audit.administered(&asker(), "cache-flush", "two".into());
    let figures = audit.figures();
    assert_eq!((figures[0].2, figures[1].2 >= 2, figures[3].2 >= 1), (0, true, true));
    assert!(Audit::open(Path::new("/nonexistent/audit")).unwrap_err().contains("audit.file"));
    assert!(Audit::default().figures().is_empty());
}
