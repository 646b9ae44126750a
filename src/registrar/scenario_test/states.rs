//! States and overrides, durability, and what a restart gives back.

use super::*;

#[test]
fn a_lease_begins_when_its_registration_is_durable() {
    let mut world = World::new();
    let (sender, receiver) = std::sync::mpsc::channel();
    let ack: crate::registrar::Ack = Box::new(move |result| sender.send(result).unwrap());
    let command = register("web", "w1", &["lease=2"]);
    let job = Job { command, by: Authorised::server(), ack };
    let (before, calls) = (world.times(), std::cell::Cell::new(0));
    // The clock stands at 0 when the batch is decided and at 1,900 when it is durable.
    let now = || {
        calls.set(calls.get() + 1);
        let ms = if calls.get() == 1 { 0 } else { 1_900 };
        Now { lease: LeaseTime::from_millis(ms), ..before }
    };
    world.core.step(vec![job], &[], now);
    assert_eq!(receiver.recv().unwrap().unwrap().expires_in_ms, Some(2_000));
    world.run("3800 ask web -> w1 ttl=1");
}

#[test]
fn states_and_overrides_decide_who_answers() {
    World::new().run(
        "0      register web w1 lease=60
         0      register web w2 lease=60 tag=blue
         0      declare web w1 draining
         0      ask web                          -> w2 ttl=5
         0      ask w1.web                       -> w1 ttl=5
         0      override web w2 down
         0      ask web                          -> NODATA
         0      ask blue.web                     -> NODATA
         0      register web w2 lease=60 tag=blue port=81
         0      ask web                          -> NODATA
         0      override web w2 none
         0      ask blue.web                     -> w2 ttl=5
         0      register web w2 lease=60
         0      ask blue.web                     -> NXDOMAIN
         1000   deregister web w2
         1000   ask web                          -> NODATA
         1000   ask w2.web                       -> w2 ttl=1
         1000   deregister web w2                -> not listed
         6100   ask w2.web                       -> NXDOMAIN",
    );
}

#[test]
fn a_change_of_state_leaves_the_lease_as_it_is() {
    World::new().run(
        "0      register web w1 lease=10
         5000   declare web w1 draining
         5000   declare web w1 up
         9990   ask web                          -> w1 ttl=1
         10050  ask web                          -> NODATA
         10050  declare web w1 draining
         10050  standing web w1                  -> suspect
         14000  standing web w1                  -> not listed",
    );
}

#[test]
fn a_restart_gives_leases_their_term_again() {
    let world = World::new().run(
        "0      register web w1 lease=10
         0      register web w2 lease=10
         0      deregister web w2
         9000   ask web                          -> w1 ttl=1",
    );
    let revision = world.core.revision();
    let world = world.restart();
    assert_eq!(world.core.revision(), revision);
    let left =
        world.view.instance("web", "w1", world.times().lease).unwrap().expires_in_ms.unwrap();
    assert!((10_000..=11_000).contains(&left), "a term, and up to a tenth more: {left}");
    world
        .run(
            "9000   standing web w2                  -> not listed
         20200  ask web                          -> NODATA
         24000  standing web w1                  -> not listed",
        )
        .restart()
        .run("24000 standing web w1 -> not listed");
}

#[test]
fn a_long_lease_goes_on_from_what_was_flushed_of_it() {
    let mut world = World::new().run(
        "0      register web long lease=3600
         0      register web short lease=60
         0      register web endless lease=none",
    );
    world.now = 50_000;
    let remaining = world.view.remaining(None, 300_000, 100, world.times().lease);
    let flushed: Vec<_> =
        remaining.leases.iter().map(|(_, id, left)| (id.as_str(), *left)).collect();
    assert_eq!(flushed, [("long", 3_550_000)], "short and endless leases are not flushed");
    world.core.flush(&remaining.leases);
    let world = world.restart();
    let listed = |id: &str| world.view.instance("web", id, world.times().lease).unwrap();
    let left = |id: &str| listed(id).expires_in_ms.unwrap();
    assert!((3_550_000..=3_905_000).contains(&left("long")), "{}", left("long"));
    assert!((60_000..=66_000).contains(&left("short")), "{}", left("short"));
    assert_eq!(listed("endless").expires_in_ms, None);
}

#[test]
fn the_serial_moves_with_the_content_alone_and_never_back() {
    let world = World::new().run("0 register web w1 lease=10");
    let serial = world.view.serial();
    let world = world.run("5000 renew web w1\n5000 register web w1 lease=10");
    assert_eq!(world.view.serial(), serial, "renewals");
    let world = world.run("5000 register web w1 lease=10 port=81");
    assert_eq!(world.view.serial(), serial + 1);
    let shown = world.run("30000 ask web -> NXDOMAIN").restart().view.serial();
    assert!(shown > serial + 1, "{shown} after the restart");
}

#[test]
fn an_override_ends_by_itself() {
    World::new().run(
        "
        0     register web w1 lease=none
        0     register web w2 lease=none
        0     override web w1 down 10
        1000  ask web        -> w2 ttl=5
        9990  ask web        -> w2 ttl=5
        10000 ask web        -> w1 w2 ttl=5
        11000 override web w1 down 10
        12000 override web w1 draining 30
        40000 ask web        -> w2 ttl=5
        42000 ask web        -> w1 w2 ttl=5
        43000 override web w1 down 5
        44000 override web w1 down
        60000 ask web        -> w2 ttl=5
        61000 override web w1 up 5
        61000 declare web w1 down
        62000 ask web        -> w1 w2 ttl=5
        66000 ask web        -> w2 ttl=5
        67000 override web w2 down 5
        68000 deregister web w2
        69000 register web w2 lease=none
        80000 ask web        -> w2 ttl=5
        ",
    );
}

#[test]
fn an_override_ends_that_was_to_end_while_the_server_was_down() {
    let mut world = World::new().run(
        "
        0    register web w1 lease=none
        0    override web w1 down 10
        1000 ask web -> NODATA
        ",
    );
    world.now = 60_000;
    world.restart().run("60020 ask web -> w1 ttl=5");
}

#[test]
fn an_override_whose_time_is_up_waits_for_the_disk() {
    let mut world = World::new().run(
        "
        0 register web w1 lease=none
        0 override web w1 down 10
        ",
    );
    // Somebody else has the file: no commit can be made.
    let other = rusqlite::Connection::open(world.dir.path().join(crate::store::FILE_NAME)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    world.pass(10_020);
    let left = |world: &World| world.core.next_override_end(world.times().unix_ms, RETRY_MS);
    assert_eq!(left(&world), Some(RETRY_MS), "it is not tried at once again and again");
    assert_eq!(world.targets("web"), "NODATA", "what is not durable is not answered");
    other.execute_batch("ROLLBACK").unwrap();
    let now = world.times();
    world.core.step(Vec::new(), &[], || now);
    assert_eq!((left(&world), &*world.targets("web")), (None, "w1 ttl=5"));
}
