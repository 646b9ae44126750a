//! A copy on a made-up clock, with a source and a server that are tables.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};

use super::super::entry::{Action, Answer};
use super::super::instance::List;
use super::super::summary::Summary;
use super::{Copied, Wanted};

mod property;

const BELIEVE_AFTER: Duration = Duration::from_secs(180);

/// What the source has of an instance: its status, and its client's stamp.
type Has = (&'static str, u64);

fn info(id: &str, (status, dirty): Has, action: &str) -> Value {
    json!({"app": "SHOP", "instanceId": id, "status": status, "lastDirtyTimestamp": dirty, "actionType": action,
        "leaseInfo": {"durationInSecs": 30}})
}

fn list(infos: &[Value], hash: Option<&str>) -> List {
    let applications =
        json!({"apps__hashcode": hash, "application": [{"name": "SHOP", "instance": infos}]});
    List::parse(json!({ "applications": applications }).to_string().as_bytes()).unwrap()
}

fn hash<'a>(statuses: impl Iterator<Item = &'a str>) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for status in statuses {
        *counts.entry(status).or_default() += 1;
    }
    counts.iter().map(|(status, count)| format!("{status}_{count}_")).collect()
}

/// Our server, as far as a copy has to do with it.
#[derive(Default)]
struct Server {
    copies: BTreeMap<String, (String, Duration)>,
    themselves: BTreeSet<String>,
    refuses: BTreeSet<String>,
    fails: bool,
}

impl Server {
    fn answer(&mut self, now: Duration, action: Action, id: &str, text: &str) -> u16 {
        let until = now + Duration::from_secs(30);
        match action {
            _ if self.fails => 503,
            _ if self.themselves.contains(id) => 409,
            Action::Register if self.refuses.contains(id) => 400,
            Action::Register => {
                let info: Value = serde_json::from_str(text).unwrap();
                self.copies.insert(id.into(), (info["status"].as_str().unwrap().into(), until));
                200
            }
            Action::Renew => match self.copies.get_mut(id) {
                Some(copy) => {
                    copy.1 = until;
                    200
                }
                None => 404,
            },
            Action::Cancel => {
                if self.copies.remove(id).is_some() {
                    200
                } else {
                    404
                }
            }
        }
    }

    /// An instance registers itself.
    fn come_over(&mut self, id: &str) {
        self.copies.remove(id);
        self.themselves.insert(id.into());
    }

    fn lapse(&mut self, now: Duration) {
        self.copies.retain(|_, (_, until)| *until > now);
    }

    fn has(&self) -> Vec<(&str, &str)> {
        self.copies.iter().map(|(id, (status, _))| (&**id, &**status)).collect()
    }
}

struct World {
    copied: Copied,
    server: Server,
    now: Duration,
    /// Registrations, renewals and cancellations that were sent.
    sent: Vec<(Action, String)>,
}

impl World {
    fn new() -> Self {
        let copied = Copied::new(BELIEVE_AFTER);
        Self { copied, server: Server::default(), now: Duration::from_secs(1), sent: Vec::new() }
    }

    fn copying(ids: &[&str]) -> Self {
        let mut world = Self::new();
        world.full(ids, "UP");
        world.settle();
        world.copied.summary();
        world.sent.clear();
        world
    }

    fn full(&mut self, ids: &[&str], status: &'static str) {
        let infos: Vec<_> = ids.iter().map(|id| info(id, (status, 1), "ADDED")).collect();
        self.copied.full(self.now, list(&infos, None));
    }

    /// A list of changes; whether a whole one is wanted.
    fn delta(&mut self, changes: &[(&str, &'static str, &str)], hash: &str) -> bool {
        let infos = changes.iter().map(|(id, status, act)| info(id, (*status, 1), act));
        let infos: Vec<_> = infos.collect();
        self.copied.delta(self.now, list(&infos, Some(hash)))
    }

    /// Tells the server all that is due now; whether it has answered.
    fn settle(&mut self) {
        loop {
            let items = self.copied.batch(self.now);
            if items.is_empty() {
                return;
            }
            assert!(items.len() <= 250);
            let mut answers = Vec::new();
            for item in &items {
                let name = &item.instance.name;
                self.sent.push((item.action, name.id.clone()));
                let code = self.server.answer(self.now, item.action, &name.id, &item.instance.text);
                answers.push(Answer { code, detail: "why".into() });
            }
            self.copied.answered(self.now, &items, &answers);
        }
    }

    /// Lets time pass, a second at a time.
    fn pass(&mut self, secs: u64) {
        for _ in 0..secs {
            self.now += Duration::from_secs(1);
            self.server.lapse(self.now);
            self.settle();
        }
    }

    fn sent(&mut self, action: Action) -> Vec<String> {
        let sent = std::mem::take(&mut self.sent);
        let mut ids: Vec<_> = sent.into_iter().filter(|it| it.0 == action).map(|it| it.1).collect();
        ids.sort();
        ids
    }
}

#[test]
fn what_is_listed_is_copied_with_its_status_and_kept_alive() {
    let mut world = World::new();
    assert_eq!(world.copied.wanted(world.now), Wanted::Full);
    let infos = vec![info("a", ("UP", 1), "ADDED"), info("b", ("OUT_OF_SERVICE", 1), "ADDED")];
    world.copied.full(world.now, list(&infos, None));
    assert!(!world.copied.is_settled());
    world.settle();
    assert!(world.copied.is_settled());
    assert_eq!(world.server.has(), [("a", "UP"), ("b", "OUT_OF_SERVICE")]);
    let summary = world.copied.summary();
    assert_eq!((summary.instances, summary.apps, summary.new), (2, 1, 2));
    world.sent.clear();
    world.pass(120);
    assert_eq!(world.server.has().len(), 2);
    let renewals = world.sent(Action::Renew).len();
    assert!((20..=28).contains(&renewals), "{renewals}: every 10 s each");
    assert!(!world.copied.has_changed());
}

#[test]
fn changes_are_merged_as_the_source_does() {
    let mut world = World::copying(&["a", "b", "c"]);
    assert_eq!(world.copied.wanted(world.now), Wanted::Delta);
    let changes = [("a", "DOWN", "MODIFIED"), ("b", "UP", "DELETED"), ("d", "UP", "ADDED")];
    assert!(!world.delta(&changes, "DOWN_1_UP_2_"));
    world.settle();
    assert_eq!(world.server.has(), [("a", "DOWN"), ("c", "UP"), ("d", "UP")]);
    let summary = world.copied.summary();
    assert_eq!((summary.new, summary.changed, summary.gone), (1, 1, 1));
    assert_eq!(world.sent(Action::Cancel), ["b"]);
    // It is told again for three minutes, and is the same.
    assert!(!world.delta(&changes, "DOWN_1_UP_2_"));
    world.settle();
    assert!(world.sent.is_empty() && !world.copied.has_changed());
}

#[test]
fn what_was_gone_and_is_back_stays() {
    let mut world = World::copying(&["a"]);
    assert!(!world.delta(&[("a", "UP", "DELETED"), ("a", "UP", "ADDED")], "UP_1_"));
    world.settle();
    assert_eq!(world.sent, []);
    // And what came and went is not sent.
    assert!(!world.delta(&[("x", "UP", "ADDED"), ("x", "UP", "DELETED")], "UP_1_"));
    world.settle();
    assert_eq!(world.sent, []);
}

#[test]
fn a_whole_list_is_wanted_where_changes_do_not_do() {
    let mut world = World::copying(&["a", "b"]);
    assert!(world.delta(&[], "UP_3_"), "the source has one that we have not");
    assert_eq!(world.copied.wanted(world.now), Wanted::Full);
    world.full(&["a", "b", "c"], "UP");
    assert_eq!(world.copied.wanted(world.now), Wanted::Delta);
    world.now += Duration::from_secs(119);
    assert_eq!(world.copied.wanted(world.now), Wanted::Delta);
    world.now += Duration::from_secs(1);
    assert_eq!(world.copied.wanted(world.now), Wanted::Full, "the list of changes is too short");
    world.full(&["a", "b", "c"], "UP");
    world.copied.no_delta();
    assert_eq!(world.copied.wanted(world.now), Wanted::Full);
}

#[test]
fn half_may_go_at_once_and_more_is_doubted() {
    for (before, after, doubted) in [
        (&["a", "b", "c", "d"][..], &["a", "b"][..], 0),
        (&["a", "b", "c", "d"], &["a"], 3),
        (&["a", "b", "c"], &["a"], 2),
        (&["a", "b", "c"], &[], 3),
        (&["a", "b"], &[], 0),
        (&["a", "b", "c"], &["x", "y", "z"], 3),
    ] {
        let mut world = World::copying(before);
        world.full(after, "UP");
        assert_eq!(world.copied.doubted(), doubted, "{before:?} {after:?}");
        world.settle();
        let cancelled = if doubted == 0 { before.len() - after.len() } else { 0 };
        assert_eq!(world.sent(Action::Cancel).len(), cancelled, "{before:?} {after:?}");
    }
}

#[test]
fn what_is_doubted_is_kept_alive_until_it_is_back_or_believed() {
    let mut world = World::copying(&["a", "b", "c", "d"]);
    world.full(&[], "UP");
    for _ in 0..5 {
        world.pass(10);
        assert_eq!(world.copied.wanted(world.now), Wanted::Full);
        world.full(&["a", "b"], "UP");
        assert_eq!(world.copied.doubted(), 2, "fewer than half are missing, and yet");
    }
    // A server that loses them gets them again.
    world.server.copies.clear();
    world.pass(11);
    assert_eq!(world.server.has().len(), 4);
    assert_eq!(world.copied.summary().again, 4);
    world.full(&["a", "b", "c"], "UP");
    assert_eq!(world.copied.doubted(), 1);
    world.pass(118);
    world.full(&["a", "b", "c"], "UP");
    assert_eq!(world.server.has().len(), 4, "179 s");
    world.pass(1);
    world.full(&["a", "b", "c"], "UP");
    world.settle();
    assert_eq!(world.server.has(), [("a", "UP"), ("b", "UP"), ("c", "UP")]);
    assert_eq!((world.copied.doubted(), world.copied.summary().gone), (0, 1));
    assert_eq!(world.copied.wanted(world.now), Wanted::Delta);
}

#[test]
fn a_source_that_is_away_changes_nothing() {
    let mut world = World::copying(&["a", "b", "c"]);
    world.pass(3600);
    assert_eq!(world.server.has().len(), 3);
    assert_eq!(world.copied.wanted(world.now), Wanted::Full);
}

#[test]
fn an_empty_list_at_the_start_is_what_it_is() {
    let mut world = World::new();
    world.full(&[], "UP");
    assert!(world.copied.is_settled());
    assert_eq!((world.copied.wanted(world.now), world.copied.doubted()), (Wanted::Delta, 0));
    assert_eq!(world.copied.summary(), Summary::default());
}

#[test]
fn what_comes_over_is_let_go_of() {
    let mut world = World::copying(&["a", "b", "c", "d"]);
    world.server.come_over("a");
    world.pass(30);
    let summary = world.copied.summary();
    assert_eq!((summary.instances, &*summary.came_over.examples), (3, &["SHOP/a".to_owned()][..]));
    world.sent.clear();
    world.pass(60);
    world.full(&["a", "b", "c", "d"], "UP");
    world.settle();
    assert!(!world.sent(Action::Register).contains(&"a".into()));
    // Its client may go back: then the source has something new of it, and it is asked about once, and not told again.
    assert!(!world.delta(&[("a", "DOWN", "MODIFIED")], "DOWN_1_UP_3_"));
    world.settle();
    assert_eq!(world.sent(Action::Register), ["a"]);
    assert!(!world.copied.has_changed());
    // As those that have come over leave the source, nobody doubts it.
    world.server.come_over("b");
    world.server.come_over("c");
    world.pass(11);
    world.full(&["d"], "UP");
    world.settle();
    assert_eq!((world.copied.doubted(), world.sent(Action::Cancel).len()), (0, 0));
    // And back.
    world.server.themselves.clear();
    world.full(&["a", "d"], "UP");
    world.settle();
    assert_eq!(world.server.copies.keys().collect::<Vec<_>>(), ["a", "d"]);
}

#[test]
fn who_goes_back_to_the_source_is_copied_again() {
    let mut world = World::copying(&["a", "b"]);
    world.server.come_over("a");
    world.pass(11);
    // It leaves, and the source still lists it as it was before: nobody is there.
    world.server.themselves.clear();
    world.full(&["a", "b"], "UP");
    world.pass(60);
    assert_eq!(world.server.has(), [("b", "UP")]);
    // It comes over again, and goes back without a word: its lease at our server has to run out.
    world.server.come_over("a");
    assert!(!world.delta(&[("a", "STARTING", "MODIFIED")], "STARTING_1_UP_1_"));
    world.pass(60);
    assert_eq!(world.server.has(), [("b", "UP")]);
    world.server.themselves.clear();
    world.pass(10);
    assert_eq!(world.server.has(), [("a", "STARTING"), ("b", "UP")]);
}

#[test]
fn what_is_refused_is_told_once_and_tried_again() {
    let mut world = World::new();
    world.server.refuses.insert("a".into());
    world.full(&["a", "b"], "UP");
    world.settle();
    assert!(world.copied.is_settled());
    let summary = world.copied.summary();
    assert_eq!((summary.instances, &*summary.refused.examples[0]), (1, "SHOP/a: 400 why"));
    for _ in 0..12 {
        world.pass(5);
        world.full(&["a", "b"], "UP");
    }
    world.settle();
    assert_eq!(world.sent(Action::Register), ["a", "a", "b"]);
    assert!(!world.copied.has_changed());
    world.server.refuses.clear();
    world.full(&["a", "b"], "DOWN");
    world.settle();
    assert_eq!(world.server.has(), [("a", "DOWN"), ("b", "DOWN")]);
}

#[test]
fn a_server_in_trouble_gets_all_of_it_later() {
    let mut world = World::copying(&["a", "b"]);
    world.server.fails = true;
    assert!(!world.delta(&[("b", "UP", "DELETED"), ("c", "UP", "ADDED")], "UP_2_"));
    world.pass(40);
    assert!(world.server.has().is_empty() && !world.copied.is_settled());
    world.server.fails = false;
    world.pass(11);
    assert_eq!(world.server.has(), [("a", "UP"), ("c", "UP")]);
    assert!(world.copied.is_settled());
}

#[test]
fn a_call_without_an_answer_is_made_again() {
    let mut world = World::copying(&["a"]);
    world.full(&["b"], "UP");
    let items = world.copied.batch(world.now);
    assert_eq!(items.len(), 2);
    assert!(!world.copied.is_settled());
    // Meanwhile the source takes both back.
    world.full(&["a"], "UP");
    world.copied.answered(world.now, &items, &[]);
    world.settle();
    // Whether the server has heard of either is not known: so the one is cancelled, and the other renewed.
    assert_eq!(world.sent(Action::Cancel), ["b"]);
    world.pass(11);
    assert_eq!(world.server.has(), [("a", "UP")]);
}

#[test]
fn in_the_end_all_copies_are_taken_off() {
    let mut world = World::copying(&["a", "b", "c"]);
    world.server.come_over("c");
    world.pass(11);
    world.copied.leave(world.now);
    world.settle();
    assert!(world.server.has().is_empty() && world.copied.is_settled());
    assert_eq!(world.sent(Action::Cancel), ["a", "b"]);
    assert_eq!(world.copied.due(), None);
}

#[test]
fn many_go_in_lists_and_renewals_do_not_wait_for_them() {
    let mut world = World::new();
    let ids: Vec<String> = (0..1000).map(|n| format!("i{n}")).collect();
    let ids: Vec<&str> = ids.iter().map(|id| &**id).collect();
    world.full(&ids[..300], "UP");
    world.settle();
    world.now += Duration::from_secs(15);
    world.full(&ids, "UP");
    let items = world.copied.batch(world.now);
    let renewals = items.iter().filter(|item| item.action == Action::Renew).count();
    assert_eq!((items.len(), renewals), (250, 125));
    world.copied.answered(world.now, &items, &[]);
    world.settle();
    assert_eq!(world.server.copies.len(), 1000);
    world.sent.clear();
    let mut most = 0;
    for _ in 0..20 {
        world.pass(1);
        most = most.max(world.sent(Action::Renew).len());
    }
    assert!(most < 300, "{most} in one second of ten");
}
