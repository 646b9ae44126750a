//! Whose things are: who may change what, name by name, and what a commit that fails leaves of it.

use super::*;

const MINUTE: u64 = 60_000;
const AT: u64 = 1_000 * MINUTE;

fn name(text: &str) -> ServiceName {
    ServiceName::parse(text).unwrap()
}

fn id(text: &str) -> InstanceId {
    InstanceId::parse(text).unwrap()
}

fn actor(owner: &str) -> Actor {
    Actor { owner: Owner::named(owner), names_service: false, is_admin: false, max_instances: None }
}

fn register(service: &str, instance: &str, port: u16) -> Command {
    let body = Body::new([10, 0, 0, 1].into(), port, LeaseTerm::Secs(30));
    Command::register(name(service), id(instance), body, None)
}

fn declare(service: &str, instance: &str) -> Command {
    let declared = Declared::parse(State::Draining, "").unwrap();
    Command::Declare { service: name(service), id: id(instance), declared }
}

fn deregister(service: &str, instance: &str) -> Command {
    Command::Deregister { service: name(service), id: id(instance) }
}

/// A registry that keeps names for ten minutes.
fn registry() -> Registry {
    let mut registry = Registry::default();
    registry.reserve_names_for(10 * MINUTE);
    registry
}

fn claimed(secs: Option<u64>) -> Refusal {
    Refusal::Claimed { service: name("pay"), reserved_secs: secs }
}

#[test]
fn who_names_a_service_has_its_name_from_then_on() {
    let (squatter, meant) = (actor("owners-squatter"), actor("owners-meant"));
    let meant = Actor { names_service: true, ..meant };
    let mut registry = registry();
    registry.apply(register("pay", "1", 80), &squatter, AT).unwrap();
    let came = registry.apply(register("pay", "2", 80), &meant, AT).unwrap();
    registry.undo(&came.changes);
    registry.apply(register("pay", "3", 80), &squatter, AT).unwrap();
    registry.apply(register("pay", "2", 80), &meant, AT).unwrap();
    assert_eq!(registry.apply(register("pay", "4", 80), &squatter, AT).unwrap_err(), claimed(None));
    // What it has it may change and take away.
    registry.apply(register("pay", "3", 81), &squatter, AT).unwrap();
    registry.apply(declare("pay", "3"), &squatter, AT).unwrap();
    registry.apply(deregister("pay", "1"), &squatter, AT).unwrap();
    let unnamed = Actor { names_service: false, ..meant };
    registry.apply(register("pay", "5", 80), &unnamed, AT).unwrap();
}

#[test]
fn the_first_to_register_a_service_has_its_name() {
    let (a, b) = (actor("owners-a"), actor("owners-b"));
    let mut registry = registry();
    registry.apply(register("pay", "1", 80), &a, AT).unwrap();
    assert_eq!(registry.apply(register("pay", "2", 80), &b, AT).unwrap_err(), claimed(None));
    registry.apply(register("pay", "2", 80), &a, AT).unwrap();
    let named = Actor { names_service: true, ..b };
    registry.apply(register("pay", "3", 80), &named, AT).unwrap();
    registry.apply(register("web", "1", 80), &b, AT).unwrap();
    let owners: Vec<_> = registry.instances(&name("pay")).map(|i| i.owner.name()).collect();
    assert_eq!(owners, ["owners-a", "owners-a", "owners-b"]);
    let claim = registry.claim(&name("pay"), AT).unwrap();
    assert_eq!(claim, Claim { owner: b.owner, released_unix_ms: None }, "who names it has it");
}

#[test]
fn an_instance_is_its_owners_and_administrators() {
    let a = actor("owners-a");
    // Its scope names the service, so it has instances there, and none of a's.
    let b = Actor { names_service: true, ..actor("owners-b") };
    let admin = Actor { is_admin: true, ..actor("owners-admin") };
    let mut registry = registry();
    registry.apply(register("pay", "1", 80), &a, AT).unwrap();
    let whole = || Command::DeregisterService { service: name("pay") };
    for command in [register("pay", "1", 81), declare("pay", "1"), deregister("pay", "1"), whole()]
    {
        let refused = registry.apply(command.clone(), &b, AT).unwrap_err();
        assert_eq!(refused, Refusal::NotYours { id: id("1") }, "{command:?}");
    }
    registry.apply(register("pay", "2", 80), &b, AT).unwrap();
    assert!(registry.apply(whole(), &a, AT).is_err(), "one of them is b's");
    let mended = registry.apply(register("pay", "1", 81), &admin, AT).unwrap().instance.unwrap();
    assert_eq!((mended.body.port, mended.owner), (81, a.owner), "it stays its owner's");
    registry.apply(declare("pay", "1"), &admin, AT).unwrap();
    registry.apply(whole(), &admin, AT).unwrap();
    assert!(registry.is_empty());
}

#[test]
fn what_is_nobodys_is_taken_over_by_who_may_register_there() {
    let (a, b) = (actor("owners-a"), actor("owners-b"));
    let mut registry = registry();
    let first = registry.apply(register("pay", "1", 80), &Actor::ANYBODY, AT).unwrap();
    assert_eq!(first.instance.unwrap().owner, Owner::NOBODY);
    assert_eq!(registry.claim(&name("pay"), AT), None);
    // The same again, by somebody: it is a change, since it is somebody's now.
    let taken = registry.apply(register("pay", "1", 80), &a, AT).unwrap();
    assert_eq!((taken.changes.len(), taken.instance.unwrap().owner), (1, a.owner));
    assert_eq!(registry.apply(register("pay", "2", 80), &b, AT).unwrap_err(), claimed(None));
    let again = registry.apply(register("pay", "1", 80), &a, AT).unwrap();
    assert_eq!(again.changes.len(), 0, "then it is a renewal");
}

#[test]
fn a_name_is_kept_for_ten_minutes_after_the_last_instance() {
    let (a, b) = (actor("owners-a"), actor("owners-b"));
    let mut registry = registry();
    registry.apply(register("pay", "1", 80), &a, AT).unwrap();
    // As the registrar does when a lease is over.
    registry.apply(deregister("pay", "1"), &Actor::ANYBODY, AT).unwrap();
    let taken = |registry: &mut Registry, at: u64| registry.apply(register("pay", "1", 80), &b, at);
    assert_eq!(taken(&mut registry, AT).unwrap_err(), claimed(Some(600)));
    let late = AT + 10 * MINUTE - 1;
    assert_eq!(taken(&mut registry, late).unwrap_err(), claimed(Some(1)));
    // Its owner comes back, and the time begins anew when it goes.
    registry.apply(register("pay", "1", 80), &a, late).unwrap();
    registry.apply(deregister("pay", "1"), &a, late).unwrap();
    assert_eq!(taken(&mut registry, AT + 10 * MINUTE).unwrap_err(), claimed(Some(600)));
    taken(&mut registry, late + 10 * MINUTE).unwrap();
    assert_eq!(registry.claim(&name("pay"), late + 10 * MINUTE).unwrap().owner, b.owner);
}

#[test]
fn a_quota_bounds_what_is_new_and_nothing_else() {
    let a = Actor { max_instances: Some(2), ..actor("owners-quota") };
    let mut registry = registry();
    registry.apply(register("pay", "1", 80), &a, AT).unwrap();
    registry.apply(register("web", "1", 80), &a, AT).unwrap();
    let refused = registry.apply(register("web", "2", 80), &a, AT).unwrap_err();
    assert_eq!(refused, Refusal::Quota { owner: a.owner, most: 2 });
    registry.apply(register("web", "1", 81), &a, AT).expect("a change is none more");
    registry.apply(declare("web", "1"), &a, AT).unwrap();
    registry.apply(register("free", "1", 80), &Actor::ANYBODY, AT).unwrap();
    assert!(registry.apply(register("free", "1", 80), &a, AT).is_err(), "nor by taking over");
    registry.apply(deregister("pay", "1"), &a, AT).unwrap();
    registry.apply(register("web", "2", 80), &a, AT).unwrap();
    let none = Actor { max_instances: Some(0), ..actor("owners-none") };
    assert!(registry.apply(register("none", "1", 80), &none, AT).is_err());
}

#[test]
fn what_is_undone_leaves_names_and_quotas_as_they_were() {
    let a = Actor { max_instances: Some(1), ..actor("owners-undo") };
    let b = actor("owners-b");
    let mut registry = registry();
    let first = registry.apply(register("pay", "1", 80), &a, AT).unwrap().changes;
    registry.undo(&first);
    assert_eq!(registry.claim(&name("pay"), AT), None);
    registry.apply(register("pay", "1", 80), &a, AT).expect("the quota is free again");
    let last = registry.apply(deregister("pay", "1"), &a, AT).unwrap().changes;
    registry.undo(&last);
    let claim = Claim { owner: a.owner, released_unix_ms: None };
    assert_eq!(registry.claim(&name("pay"), AT), Some(claim));
    assert!(registry.apply(register("web", "1", 80), &a, AT).is_err(), "the quota is used again");
    registry.apply(deregister("pay", "1"), &a, AT).unwrap();
    let back = registry.apply(register("pay", "1", 80), &a, AT + 1).unwrap().changes;
    registry.undo(&back);
    let refused = registry.apply(register("pay", "1", 80), &b, AT + 1).unwrap_err();
    assert_eq!(refused, claimed(Some(600)));
}

#[test]
fn claims_come_back_from_the_store() {
    let (a, b) = (actor("owners-a"), actor("owners-b"));
    let mut before = registry();
    let listed = before.apply(register("web", "1", 80), &a, AT).unwrap().instance.unwrap();
    let mut registry = registry();
    registry.restore(Instance::clone(&listed));
    let claim = |released_unix_ms| Claim { owner: a.owner, released_unix_ms };
    registry.restore_claim(&name("web"), claim(None), AT);
    registry.restore_claim(&name("pay"), claim(Some(AT - MINUTE)), AT);
    // Its instances could not be read: it is kept as if they had gone now.
    registry.restore_claim(&name("lost"), claim(None), AT);
    for (service, at, may) in [
        ("web", AT + 100 * MINUTE, false),
        ("pay", AT + 9 * MINUTE - 1, false),
        ("pay", AT + 9 * MINUTE, true),
        ("lost", AT + 10 * MINUTE - 1, false),
        ("lost", AT + 10 * MINUTE, true),
    ] {
        let result = registry.apply(register(service, "2", 80), &b, at);
        assert_eq!(result.is_ok(), may, "{service} {at}");
    }
}
