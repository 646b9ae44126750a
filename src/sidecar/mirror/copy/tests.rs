//! The copy on a made-up clock.

use serde_json::json;

use super::*;
use crate::sidecar::mirror::list::Given;

const MINUTE: u64 = 60_000;

fn given(id: &str, port: u16, fate: Fate) -> Given {
    let info = json!({"instanceId": id, "app": "A", "status": "UP", "port": {"$": port},
        "leaseInfo": {"durationInSecs": 9, "lastRenewalTimestamp": port}, "lastDirtyTimestamp": "7"});
    Given { name: ("A".into(), id.into()), info: Arc::new(info), fate }
}

fn list(ids: &[&str]) -> List {
    let given = ids.iter().map(|id| given(id, 1, Fate::Listed)).collect();
    List { hash: Some(format!("UP_{}_", ids.len())), given }
}

fn delta(given: Vec<Given>, hash: &str) -> List {
    List { hash: Some(hash.into()), given }
}

/// Does what is due, each answered so; what it was.
fn act(copy: &mut Copy, now: u64, answer: Answer) -> String {
    let due = copy.due(now, usize::MAX);
    for item in &due {
        copy.answered(item, answer, now);
    }
    let words = due.iter().map(|item| format!("{:?} {}", item.action, item.name.1));
    words.collect::<Vec<_>>().join(", ")
}

fn copied(ids: &[&str]) -> Copy {
    let mut copy = Copy::new(3 * MINUTE);
    assert_eq!(copy.take_all(list(ids), 0), Belief::Taken);
    act(&mut copy, 0, Answer::Done);
    assert_eq!(copy.counts(), [ids.len(), 0, 0]);
    copy
}

#[test]
fn what_is_listed_there_is_registered_and_renewed_here() {
    let mut copy = Copy::new(0);
    copy.take_all(list(&["a", "b"]), 0);
    assert_eq!(act(&mut copy, 0, Answer::Done), "Register a, Register b");
    assert_eq!(copy.next_due(), Some(3_000), "a third of nine seconds");
    assert_eq!(act(&mut copy, 2_999, Answer::Done), "");
    assert_eq!(act(&mut copy, 3_000, Answer::Done), "Renew a, Renew b");
    copy.take_all(list(&["a", "b"]), 4_000);
    assert_eq!(act(&mut copy, 4_000, Answer::Done), "", "nothing has changed");
}

#[test]
fn a_delta_changes_and_takes_away() {
    let mut copy = copied(&["a", "b", "c"]);
    let changed = vec![given("a", 2, Fate::Listed), given("b", 1, Fate::Gone)];
    assert!(copy.take_delta(delta(changed, "UP_2_"), 1_000));
    assert_eq!(act(&mut copy, 1_000, Answer::Done), "Register a, Cancel b");
    assert_eq!(copy.counts(), [2, 0, 0]);
    assert!(!copy.take_delta(delta(vec![], "UP_3_"), 1_100), "something was missed");
    assert!(copy.take_delta(List::default(), 1_200), "it does not say");
}

#[test]
fn what_came_back_before_it_was_taken_off_stays() {
    let mut copy = copied(&["a"]);
    copy.take_delta(delta(vec![given("a", 1, Fate::Gone)], ""), 1_000);
    copy.take_delta(delta(vec![given("a", 1, Fate::Listed)], "UP_1_"), 1_000);
    assert_eq!(act(&mut copy, 1_000, Answer::Done), "Register a");
}

#[test]
fn a_list_that_lacks_too_much_is_not_believed_at_once() {
    let mut copy = copied(&["a", "b", "c", "d"]);
    assert_eq!(copy.take_all(list(&["a"]), MINUTE), Belief::Doubted(3, 4));
    assert_eq!(act(&mut copy, MINUTE, Answer::Done), "Renew a, Renew b, Renew c, Renew d");
    assert_eq!(copy.take_all(list(&["a", "b", "c"]), 2 * MINUTE), Belief::Taken, "one went");
    assert_eq!(act(&mut copy, 2 * MINUTE, Answer::Done), "Renew a, Renew b, Renew c, Cancel d");
    for (minute, belief) in
        [(3, Belief::Doubted(3, 3)), (5, Belief::Doubted(3, 3)), (6, Belief::Taken)]
    {
        assert_eq!(copy.take_all(list(&[]), minute * MINUTE), belief, "{minute}");
    }
    assert_eq!(act(&mut copy, 6 * MINUTE, Answer::Done), "Cancel a, Cancel b, Cancel c");
    let mut few = copied(&["a", "b"]);
    assert_eq!(few.take_all(list(&[]), 1), Belief::Taken);
}

#[test]
fn an_instance_that_registers_here_by_itself_is_let_go() {
    let mut copy = copied(&["a"]);
    assert_eq!(act(&mut copy, 3_000, Answer::OfItself), "Renew a");
    assert_eq!(copy.counts(), [0, 1, 0]);
    assert_eq!(act(&mut copy, 32_999, Answer::OfItself), "");
    assert_eq!(act(&mut copy, 33_000, Answer::OfItself), "Renew a", "it may have gone back");
    assert_eq!(act(&mut copy, 63_000, Answer::NotListed), "Renew a");
    assert_eq!(act(&mut copy, 63_000, Answer::Done), "Register a");
    act(&mut copy, 66_000, Answer::OfItself);
    copy.take_all(list(&[]), 67_000);
    assert_eq!(act(&mut copy, 67_000, Answer::Done), "", "it is not ours to take off");
}

#[test]
fn trouble_here_is_tried_again_and_a_refusal_waits_for_a_change() {
    let mut copy = Copy::new(0);
    copy.take_all(list(&["a"]), 0);
    assert_eq!(act(&mut copy, 0, Answer::Failed), "Register a");
    assert_eq!(act(&mut copy, 999, Answer::Failed), "");
    assert_eq!(act(&mut copy, 1_000, Answer::Refused), "Register a");
    assert_eq!((copy.counts(), copy.waiting()), ([0, 0, 1], 0));
    copy.take_delta(delta(vec![given("a", 2, Fate::Listed)], "UP_1_"), 2_000);
    assert_eq!(act(&mut copy, 2_000, Answer::Done), "Register a");
    act(&mut copy, 5_000, Answer::NotListed);
    assert_eq!(act(&mut copy, 5_000, Answer::Done), "Register a", "our server has forgotten it");
}

#[test]
fn an_answer_about_what_has_changed_since_counts_for_nothing() {
    let mut copy = Copy::new(0);
    copy.take_all(list(&["a"]), 0);
    let [old] = &*copy.due(0, 9) else { panic!("one") };
    copy.take_delta(delta(vec![given("a", 2, Fate::Listed)], "UP_1_"), 1);
    copy.answered(old, Answer::Done, 2);
    assert_eq!(act(&mut copy, 2, Answer::Done), "Register a");
}

#[test]
fn at_the_end_copies_go_and_nothing_else() {
    let mut copy = copied(&["a", "b", "c"]);
    let items = copy.due(3_000, 9);
    copy.answered(&items[1], Answer::OfItself, 3_000);
    copy.end(4_000);
    assert_eq!(act(&mut copy, 4_000, Answer::Done), "Cancel a, Cancel c");
    assert_eq!((copy.waiting(), copy.next_due()), (0, None));
}
