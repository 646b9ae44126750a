//! What is told: each thing that happens, once, in its order, with its reason and who did it.

use super::*;
use crate::history::{Event, TooOld};
use crate::view::Standing;

impl World {
    /// What was told of a service since the last look: `KIND ID` each, with `=STANDING` where that is not live.
    pub(super) fn told(&mut self, service: &str) -> String {
        let sought = Sought { service: Some(service), ..Sought::default() };
        let mut events = self.history.look_back(sought, usize::MAX, |_| true);
        events.retain(|event| event.revision > self.told);
        events.reverse();
        self.told = self.history.revision();
        let told: Vec<_> = events.iter().map(|event| shown(event)).collect();
        if told.is_empty() { "nothing".to_owned() } else { told.join(", ") }
    }

    fn last(&self) -> Event {
        let events = self.history.look_back(Sought::default(), 1, |_| true);
        Event::clone(&events[0])
    }
}

fn shown(event: &Event) -> String {
    let Event { kind, id, after, .. } = event;
    match after.filter(|after| after.standing != Standing::Live) {
        Some(after) => format!("{kind} {id} ({})", after.standing.as_str()),
        None => format!("{kind} {id}"),
    }
}

#[test]
fn a_life_is_told_from_beginning_to_end() {
    let world = World::new().run(
        "0 register web w1 lease=9
         0 register web w1 lease=9
         0 told web -> registered w1
         1000 register web w1 lease=9 port=81
         1000 told web -> changed w1
         2000 declare web w1 draining
         2000 declare web w1 draining
         2000 declare web w1 up
         2000 told web -> state_changed w1, state_changed w1
         3000 override web w1 down 2
         3000 told web -> overridden w1
         5100 told web -> override_ended w1
         9900 told web -> nothing
         10060 told web -> lapsed w1 (suspect)
         10100 declare web w1 down
         10100 told web -> state_changed w1 (suspect)
         10200 renew web w1
         10240 told web -> revived w1
         19260 told web -> lapsed w1 (suspect)
         22400 told web -> expired w1
         30000 register web w1 lease=9
         30000 deregister web w1
         30000 told web -> registered w1, deregistered w1
         90000 told web -> nothing",
    );
    let sought = Sought { service: Some("web"), ..Sought::default() };
    let events = world.history.look_back(sought, usize::MAX, |_| true);
    assert!(events.is_sorted_by(|one, next| one.revision > next.revision));
    assert_eq!(world.history.complete_since(Some("web")), 0);
}

#[test]
fn who_did_it_and_why_is_told() {
    let mut world =
        World::new().run("0 register web w1 lease=9 port=82\n0 register web w1 lease=9 port=81");
    let changed = world.last();
    assert_eq!(changed.changed.names().collect::<Vec<_>>(), ["port"]);
    assert_eq!(changed.by.principal, None, "the server's own in these scenarios");
    world = world.run("0 override web w1 down 2\n2100 ask web -> w1 ttl=5");
    let ended = world.last();
    assert_eq!((&*ended.reason, ended.by.door.as_str()), ("its time was up", "override"));
    world = world.run("9100 ask web -> NODATA");
    let lapsed = world.last();
    assert_eq!(
        (&*lapsed.reason, lapsed.by.door.as_str()),
        ("its lease of 9 s was not renewed", "lease")
    );
    assert!(!lapsed.after.unwrap().answering());
}

#[test]
fn the_brake_is_told_of_each_that_it_holds() {
    World::new().run(
        "0 register web w1 lease=9
         0 register web w2 lease=9
         0 register web w3 lease=9
         0 told web -> registered w1, registered w2, registered w3
         9100 told web -> held w1 (held), held w2 (held), held w3 (held)
         9200 renew web w2
         9240 told web -> revived w2
         9300 declare web w1 draining
         9300 told web -> state_changed w1 (held)
         18260 told web -> expired w1, expired w3, lapsed w2 (suspect)",
    );
}

#[test]
fn a_registration_outdoes_a_lapse_that_was_not_told() {
    let mut world = World::new().run("0 register web w1 lease=9\n0 told web -> registered w1");
    // It lapses, and is registered again before the registrar looks.
    world.now = 9_100;
    world.view.tick(LeaseTime::from_millis(world.now));
    assert!(world.view.has_stood());
    let stood = world.view.clone();
    let mut edit = stood.edit(LeaseTime::from_millis(world.now));
    let instance = edit.instance("web", "w1").unwrap().instance;
    edit.list(&instance, crate::view::LeaseStart::Term);
    drop(edit);
    world.run("9200 told web -> nothing\n9200 standing web w1 -> live");
}

#[test]
fn who_watched_goes_on_after_a_restart_and_is_told_after_a_crash() {
    let world = World::new().run(
        "0 register web w1 lease=9
         0 register web w2 lease=90
         9100 standing web w1 -> suspect",
    );
    let revision = world.history.revision();
    let mut world = world.restart();
    assert_eq!(
        world.act(&["told", "web"]),
        "registered w1, registered w2, lapsed w1 (suspect), revived w1"
    );
    let web = name("web");
    let mut watcher = world.history.watch(Some(&web), Some(revision)).unwrap();
    let since: Vec<_> = watcher.take().unwrap().iter().map(|event| shown(event)).collect();
    assert_eq!(since, ["revived w1"]);
    assert_eq!(world.last().reason.to_string(), "the server began anew");
    // After a restart nothing is skipped; after a crash the revisions that may have been told are.
    let before = world.history.revision();
    assert_eq!(before, revision + 1);
    let world = world.crash();
    let too_old = world.history.watch(Some(&web), Some(before)).unwrap_err();
    let after = world.history.revision();
    assert!(after > before + 60_000);
    assert_eq!(too_old, crate::history::NoWatch::TooOld(TooOld { complete_since: after }));
    assert!(world.history.watch(Some(&web), Some(after)).is_ok());
    assert_eq!(world.history.look_back(Sought::default(), 9, |_| true).len(), 4);
    world.run("9100 register web w3\n9100 told web -> registered w1, registered w2, lapsed w1 (suspect), revived w1, registered w3");
}
