//! No watcher misses an event without being told; nobody waits for anybody.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::registry::{Addresses, InstanceId, Reason};

fn event(revision: u64, service: &str) -> Arc<Event> {
    Arc::new(Event {
        revision,
        unix_ms: revision,
        service: ServiceName::parse(service).unwrap(),
        id: InstanceId::parse(&format!("i-{}", revision % 3)).unwrap(),
        kind: Kind::Registered,
        reason: Reason::default(),
        changed: Fields::default(),
        after: None,
        addresses: Addresses::from(vec![[10, 0, 0, 1].into()]),
        port: 1,
        by: By::leases(),
    })
}

fn history(events: usize, events_a_service: usize) -> History {
    History::new(Limits { events, events_a_service })
}

fn service(name: &str) -> ServiceName {
    ServiceName::parse(name).unwrap()
}

fn revisions(events: &[Arc<Event>]) -> Vec<u64> {
    events.iter().map(|event| event.revision).collect()
}

fn all(name: Option<&str>) -> Sought<'_> {
    Sought { service: name, ..Sought::default() }
}

#[test]
fn the_last_events_of_each_service_are_kept_and_no_more() {
    let history = history(6, 3);
    let forgotten: Vec<_> = (1..=5).flat_map(|at| history.tell(&[event(at, "busy")])).collect();
    assert_eq!(forgotten, [1, 2]);
    assert_eq!(history.tell(&[event(6, "quiet"), event(7, "other")]), [0_u64; 0]);
    let back = |sought| revisions(&history.look_back(sought, 10, |_| true));
    assert_eq!(back(all(Some("busy"))), [5, 4, 3]);
    assert_eq!(back(all(None)), [7, 6, 5, 4, 3]);
    assert_eq!((history.complete_since(Some("busy")), history.complete_since(None)), (2, 2));
    assert_eq!(history.complete_since(Some("quiet")), 0);
    // The oldest of all goes when there are too many in all.
    assert_eq!(history.tell(&[event(8, "quiet"), event(9, "other")]), [3]);
    assert_eq!(history.complete_since(Some("busy")), 3);
    assert_eq!(history.complete_since(Some("unheard-of")), 3);
    assert_eq!(history.figures(), (0, 6));
    // By instance, before a revision, as many as are asked for, of whom one may read.
    assert_eq!(back(Sought { id: Some("i-2"), ..all(None) }), [8, 5]);
    assert_eq!(back(Sought { before: Some(7), ..all(None) }), [6, 5, 4]);
    assert_eq!(revisions(&history.look_back(all(None), 2, |name| name != "quiet")), [9, 7]);
}

#[test]
fn a_burst_leaves_its_watchers_time() {
    let history = history(100, 2);
    let mut watcher = history.watch(Some(&service("web")), None).unwrap();
    let burst: Vec<_> = (1..=1_000).map(|at| event(at, "web")).collect();
    history.tell(&burst);
    let mut seen = Vec::new();
    while watcher.revision() < 1_000 {
        let some = watcher.take().unwrap();
        assert!(some.len() <= EVENTS_AT_ONCE);
        seen.extend(revisions(&some));
    }
    assert_eq!(seen, (1..=1_000).collect::<Vec<_>>());
}

#[test]
fn who_is_too_far_behind_is_told_from_where_all_is_there() {
    let history = history(4, 2);
    let mut watcher = history.watch(Some(&service("web")), None).unwrap();
    for at in 1..=40_000 {
        history.tell(&[event(at, if at % 2 == 0 { "web" } else { "db" })]);
    }
    let too_old = watcher.take().unwrap_err();
    assert_eq!(too_old, TooOld { complete_since: 40_000 - 32_768 });
    assert!(history.watch(None, Some(too_old.complete_since)).is_ok());
    let too_early = history.watch(None, Some(too_old.complete_since - 1)).unwrap_err();
    assert_eq!(too_early, NoWatch::TooOld(too_old));
    // A revision that was not reached is of another life.
    let ahead = history.watch(None, Some(40_001)).unwrap_err();
    assert_eq!(ahead, NoWatch::TooOld(TooOld { complete_since: 40_000 }));
}

#[tokio::test]
async fn only_watchers_of_the_service_are_woken() {
    use std::time::Duration;
    use tokio::time::timeout;
    let history = history(100, 100);
    let mut web = history.watch(Some(&service("web")), None).unwrap();
    let mut db = history.watch(Some(&service("db")), None).unwrap();
    let mut both = history.watch(None, None).unwrap();
    history.tell(&[event(1, "web")]);
    // What is told between a look and the wait wakes at once.
    assert!(web.wait().await && both.wait().await);
    let soon = Duration::from_millis(20);
    assert!(timeout(soon, db.wait()).await.is_err());
    assert_eq!(revisions(&web.take().unwrap()), [1]);
    assert_eq!(revisions(&both.take().unwrap()), [1]);
    assert_eq!((db.take().unwrap().len(), db.revision()), (0, 1));
    assert!(timeout(soon, web.wait()).await.is_err());
    // At the end all are woken, and who comes later need not wait.
    let ended = tokio::spawn(async move { (web.wait().await, db.wait().await) });
    tokio::task::yield_now().await;
    history.end();
    assert_eq!(ended.await.unwrap(), (false, false));
    assert!(!history.watch(Some(&service("new")), None).unwrap().wait().await);
}

#[test]
fn seats_and_bells_are_given_back() {
    let history = history(10, 10);
    let web = service("web");
    let seats: Vec<_> =
        (0..MAX_WATCHERS).map(|_| history.watch(Some(&web), None).unwrap()).collect();
    assert_eq!(history.watch(None, None).unwrap_err(), NoWatch::Full);
    assert_eq!(history.figures().0, MAX_WATCHERS);
    drop(seats);
    assert_eq!((history.figures().0, history.0.bells.lock().services.len()), (0, 0));
}

#[test]
fn an_earlier_life_is_gone_on_with() {
    let first = history(10, 3);
    let told: Vec<_> = (1..=5).map(|at| event(at, "web")).collect();
    let forgotten = first.tell(&told);
    let stored = told.iter().filter(|event| !forgotten.contains(&event.revision));
    let stored: Vec<Event> = stored.map(|event| Event::clone(event)).collect();
    let second = history(10, 2);
    assert_eq!(second.restore(stored, first.gaps(), 7), [3]);
    assert_eq!((second.revision(), second.gaps()), (7, 3));
    let mut watcher = second.watch(Some(&service("web")), Some(3)).unwrap();
    assert_eq!(revisions(&watcher.take().unwrap()), [4, 5]);
    assert!(second.watch(Some(&service("web")), Some(1)).is_err());
    second.tell(&[event(8, "web")]);
    assert_eq!(revisions(&watcher.take().unwrap()), [8]);
}

proptest! {
    /// Whoever goes on from any revision has every event since, once and in order, or is told that it cannot.
    #[test]
    fn no_gap_is_silent(
        limits in (0_usize..20, 1_usize..6),
        told in prop::collection::vec((0_usize..4, 1_u64..4), 1..120),
        restart in 0_usize..120,
        from in 0_u64..400,
        name in prop::option::of(0_usize..5),
    ) {
        const SERVICES: [&str; 5] = ["a", "b", "c", "d", "never"];
        let mut history = history(limits.0, limits.1);
        let (mut revision, mut events, mut stored) = (0, Vec::new(), Vec::new());
        for (at, (service, step)) in told.into_iter().enumerate() {
            if at == restart {
                let next = History::new(Limits { events: limits.0, events_a_service: limits.1 });
                next.restore(stored.iter().map(|event: &Arc<Event>| Event::clone(event)).collect(), history.gaps(), revision);
                history = next;
            }
            revision += step;
            let event = event(revision, SERVICES[service]);
            let forgotten = history.tell(std::slice::from_ref(&event));
            events.push(event.clone());
            stored.push(event);
            stored.retain(|event| !forgotten.contains(&event.revision));
        }
        let name = name.map(|at| service(SERVICES[at]));
        match history.watch(name.as_ref(), Some(from)) {
            Ok(mut watcher) => {
                let expected = events.iter().filter(|event| event.revision > from);
                let expected = expected.filter(|event| name.as_ref().is_none_or(|name| event.service == *name));
                prop_assert_eq!(watcher.take().unwrap(), expected.cloned().collect::<Vec<_>>());
                prop_assert_eq!(watcher.revision(), revision);
            }
            Err(NoWatch::TooOld(TooOld { complete_since })) => {
                prop_assert!(from > revision || complete_since > from);
                prop_assert!(history.watch(name.as_ref(), Some(complete_since)).is_ok());
            }
            Err(NoWatch::Full) => prop_assert!(false),
        }
        let kept = history.look_back(Sought::default(), usize::MAX, |_| true);
        let mut oldest_first = revisions(&kept);
        oldest_first.reverse();
        prop_assert_eq!(oldest_first, revisions(&stored));
    }
}
