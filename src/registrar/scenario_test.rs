//! Scenarios on a made-up clock: from a command to the answers, with the real store, view and encoder.
//!
//! A scenario is text. Each line begins with a time in milliseconds; what happens there is done after the judge
//! has ticked every 20 ms up to then. `ask NAME` compares the first labels of the SRV targets, or the rcode.

use std::net::SocketAddr;
use std::sync::Arc;

use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};

use super::Settings;
use super::core::{Core, Job, Now};
use super::gauges::Gauges;
use crate::access::Authorised;
use crate::answer::{Reply, Responder, Transport};
use crate::history::{History, Sought};
use crate::registry::{
    Body, Command, Declared, InstanceId, LeaseTerm, Override, Refusal, ServiceName, State, Texts,
};
use crate::shared::Shared;
use crate::store::Store;
use crate::view::{LeaseTime, Renewed, View, Zones, zones::ZoneSettings};

mod states;
mod told;

/// As the registrar's thread has it.
const RETRY_MS: u64 = 1_000;

struct World {
    view: Arc<View>,
    history: History,
    /// Events that were looked at.
    told: u64,
    core: Core,
    now: u64,
    dir: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self::open(dir, 0)
    }

    fn open(dir: tempfile::TempDir, now: u64) -> Self {
        let view = Arc::new(View::default());
        let zones = ["svc.internal.".to_owned()];
        let settings = ZoneSettings {
            zones: &zones,
            reverse_zones: &[],
            negative_ttl_secs: 2,
            ns_addresses: &[],
            texts: &[],
        };
        view.set_zones(Zones::build(&settings, Vec::new()).unwrap());
        let store = Store::open(dir.path()).unwrap();
        let store_serial = store.serial().unwrap();
        let settings = Settings::default();
        let history = settings.history.clone();
        let mut core = Core::new(store, view.clone(), Arc::new(Gauges::default()), settings);
        view.set_serial(store_serial);
        core.load(|| LeaseTime::from_millis(now), 1_700_000_000_000 + now, || false).unwrap();
        Self { view, history, told: 0, core, now, dir }
    }

    /// The server ends and begins again.
    fn restart(mut self) -> Self {
        self.core.close();
        self.crash()
    }

    /// The server is killed and begins again.
    fn crash(self) -> Self {
        drop((self.core, self.view));
        Self::open(self.dir, self.now)
    }

    fn times(&self) -> Now {
        Now { lease: LeaseTime::from_millis(self.now), unix_ms: 1_700_000_000_000 + self.now }
    }

    /// The judge ticks every 20 ms up to `to`.
    fn pass(&mut self, to: u64) {
        while self.now < to {
            self.now = to.min(self.now + 20);
            let expired = self.view.tick(LeaseTime::from_millis(self.now));
            let now = self.times();
            let override_ends = self.core.next_override_end(now.unix_ms, RETRY_MS) == Some(0);
            if !expired.is_empty() || override_ends || self.view.has_stood() {
                self.core.step(Vec::new(), &expired, || now);
            }
        }
    }

    fn change(&mut self, command: Command) -> Result<super::Committed, Refusal> {
        let (sender, receiver) = std::sync::mpsc::channel();
        let ack: super::Ack = Box::new(move |result| sender.send(result).unwrap());
        let now = self.times();
        self.core.step(vec![Job { command, by: Authorised::server(), ack }], &[], || now);
        receiver.recv().unwrap()
    }

    fn ask(&self, name: &str, rtype: RecordType) -> Message {
        let mut query = Message::new(7, MessageType::Query, OpCode::Query);
        let name = Name::from_ascii(format!("{name}.svc.internal.")).unwrap();
        query.add_query(Query::query(name, rtype));
        let mut responder = Responder::new(self.view.clone(), &Shared::default());
        let mut out = vec![0; 65_535];
        let peer: SocketAddr = "127.0.0.1:4000".parse().unwrap();
        let query = query.to_vec().unwrap();
        let reply = responder.batch(LeaseTime::from_millis(self.now), |batch| {
            batch.look_ahead(std::iter::once(&*query));
            batch.respond(0, &query, peer, Transport::Tcp, &mut out)
        });
        match reply {
            Reply::Len(length) => Message::from_vec(&out[..length]).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    /// `w1 w2 ttl=5`, or the rcode without records.
    fn targets(&self, name: &str) -> String {
        let reply = self.ask(name, RecordType::SRV);
        if reply.answers.is_empty() {
            return match reply.metadata.response_code {
                ResponseCode::NoError => "NODATA".to_owned(),
                ResponseCode::NXDomain => "NXDOMAIN".to_owned(),
                rcode => panic!("{rcode}"),
            };
        }
        let mut labels: Vec<_> = reply
            .answers
            .iter()
            .filter_map(|record| match &record.data {
                RData::SRV(srv) => {
                    Some(String::from_utf8_lossy(srv.target.iter().next()?).into_owned())
                }
                _ => None,
            })
            .collect();
        labels.sort();
        format!("{} ttl={}", labels.join(" "), reply.answers[0].ttl)
    }

    fn run(mut self, scenario: &str) -> Self {
        for line in scenario.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (time, line) = line.split_once(' ').unwrap();
            self.pass(time.parse().unwrap());
            let (what, expected) = line.split_once("->").unwrap_or((line, "ok"));
            let found = self.act(&what.split_whitespace().collect::<Vec<_>>());
            assert_eq!(found, expected.trim(), "at {time}: {what}");
        }
        self
    }

    fn act(&mut self, words: &[&str]) -> String {
        match words {
            ["register", service, id, fields @ ..] => {
                said(self.change(register(service, id, fields)))
            }
            ["renew", service, id] => match self.view.renew(service, id, self.times().lease) {
                Renewed::Renewed(_) => "ok".to_owned(),
                Renewed::Unknown => "unknown".to_owned(),
                Renewed::NotYours => "not yours".to_owned(),
                Renewed::Loading => "loading".to_owned(),
            },
            ["deregister", service, id] => {
                said(self.change(Command::Deregister { service: name(service), id: instance(id) }))
            }
            ["declare", service, id, state] => {
                let declared = Declared::parse(State::parse(state).unwrap(), "").unwrap();
                said(self.change(Command::Declare {
                    service: name(service),
                    id: instance(id),
                    declared,
                }))
            }
            ["override", service, id, state, secs @ ..] => {
                let end = |secs: &&str| self.times().unix_ms + secs.parse::<u64>().unwrap() * 1000;
                let until_unix_ms = secs.first().map(end);
                let override_ = State::parse(state)
                    .ok()
                    .map(|state| Override { declared: state.into(), until_unix_ms });
                said(self.change(Command::Override {
                    service: name(service),
                    id: instance(id),
                    override_,
                }))
            }
            ["ask", name] => self.targets(name),
            ["told", service] => self.told(service),
            ["standing", service, id] => {
                let listed = self.view.instance(service, id, self.times().lease);
                listed.map_or("not listed", |listed| listed.standing.as_str()).to_owned()
            }
            _ => panic!("unknown line: {words:?}"),
        }
    }
}

fn said(result: Result<super::Committed, Refusal>) -> String {
    match result {
        Ok(_) => "ok".to_owned(),
        Err(Refusal::NotListed) => "not listed".to_owned(),
        Err(refusal) => refusal.to_string(),
    }
}

fn name(service: &str) -> ServiceName {
    ServiceName::parse(service).unwrap()
}

fn instance(id: &str) -> InstanceId {
    InstanceId::parse(id).unwrap()
}

fn register(service: &str, id: &str, fields: &[&str]) -> Command {
    let mut body = Body::new([10, 0, 0, 1].into(), 80, LeaseTerm::Secs(30));
    for field in fields {
        match field.split_once('=').unwrap() {
            ("lease", "none") => body.lease = LeaseTerm::Endless,
            ("lease", secs) => body.lease = LeaseTerm::Secs(secs.parse().unwrap()),
            ("port", port) => body.port = port.parse().unwrap(),
            ("tag", tag) => body.texts = Texts::stored(None, tag, "").unwrap(),
            _ => panic!("unknown field {field}"),
        }
    }
    Command::register(name(service), instance(id), body.checked().unwrap(), None)
}

#[test]
fn a_service_registers_renews_and_lapses() {
    World::new().run(
        "0      ask web                          -> NXDOMAIN
         0      register web w1 lease=10
         0      ask web                          -> w1 ttl=5
         0      ask _web._tcp                    -> w1 ttl=5
         0      ask _tcp                         -> NODATA
         9000   ask web                          -> w1 ttl=1
         9000   renew web w1
         9000   ask web                          -> w1 ttl=5
         18990  ask web                          -> w1 ttl=1
         19040  ask web                          -> NODATA
         19040  standing web w1                  -> suspect
         19040  ask w1.web                       -> w1 ttl=1
         23000  standing web w1                  -> not listed
         23000  renew web w1                     -> unknown
         23000  ask w1.web                       -> w1 ttl=1
         23000  ask web                          -> NODATA
         28500  ask w1.web                       -> NXDOMAIN
         28500  ask web                          -> NXDOMAIN
         28500  ask _tcp                         -> NXDOMAIN",
    );
}

#[test]
fn a_renewal_revives_a_suspect() {
    World::new().run(
        "0      register web w1 lease=9
         9040   standing web w1                  -> suspect
         9040   renew web w1
         9040   ask web                          -> w1 ttl=5
         18000  ask web                          -> w1 ttl=1
         18100  standing web w1                  -> suspect
         18100  register web w1 lease=9
         18100  ask web                          -> w1 ttl=5",
    );
}

#[test]
fn one_of_two_is_dropped_on_time_and_an_endless_lease_never() {
    World::new().run(
        "0      register web w1 lease=2
         0      register web w2 lease=20
         0      register web w3 lease=none
         1990   ask web                          -> w1 w2 w3 ttl=1
         2040   ask web                          -> w2 w3 ttl=5
         90000  ask web                          -> w3 ttl=5
         90000  renew web w3",
    );
}

#[test]
fn most_of_a_service_silent_at_once_is_held_for_one_lease() {
    let lines = |count: usize, line: &str| {
        (1..=count).map(|n| line.replace('N', &n.to_string())).collect::<String>()
    };
    let all = lines(8, "0 register web iN lease=3\n");
    let world = World::new().run(&format!(
        "{all}
         0      register web x1 lease=60
         0      register web x2 lease=60
         2990   ask web                          -> i1 i2 i3 i4 i5 i6 i7 i8 x1 x2 ttl=1
         3040   ask web                          -> i1 i2 i3 i4 i5 i6 i7 i8 x1 x2 ttl=1
         3040   standing web i1                  -> held
         4000   renew web i8
         4000   standing web i8                  -> live
         5900   ask web                          -> i1 i2 i3 i4 i5 i6 i7 i8 x1 x2 ttl=1
         6100   ask web                          -> i8 x1 x2 ttl=1
         6100   standing web i1                  -> not listed
         6900   ask web                          -> i8 x1 x2 ttl=1
         7100   ask web                          -> x1 x2 ttl=5"
    ));
    assert!(!world.view.tally().1, "too few leases for the global brake");
}

#[test]
fn a_deregistration_works_while_the_brake_holds() {
    World::new().run(
        "0      register web a lease=3
         0      register web b lease=3
         0      register web c lease=3
         3040   ask web                          -> a b c ttl=1
         3100   deregister web b
         3100   ask web                          -> a c ttl=1
         3200   declare web a draining
         3200   ask web                          -> c ttl=1
         3200   declare web a up
         3200   ask web                          -> a c ttl=1
         6100   ask web                          -> NODATA",
    );
}

#[test]
fn the_global_brake_holds_all_and_ends_when_renewals_return() {
    let each = |line: &str| {
        (0..24).map(|n| line.replace('N', &n.to_string())).collect::<Vec<_>>().join("\n")
    };
    let registered = each("0 register sN w lease=6");
    let revived = each("30000 renew sN w");
    let world = World::new().run(&registered).run("5990 ask s0 -> w ttl=1\n6100 ask s0 -> w ttl=1");
    assert!(world.view.tally().1, "single instances of 24 services: no service's brake");
    let world = world.run(&format!("29000 ask s23 -> w ttl=1\n{revived}\n30100 ask s7 -> w ttl=5"));
    assert!(!world.view.tally().1);
}

#[test]
fn the_global_brake_lets_go_after_ten_minutes() {
    let registered: String = (0..20).map(|n| format!("0 register s{n} w lease=6\n")).collect();
    let mut world = World::new().run(&registered);
    world.pass(6_000 + 600_000);
    assert_eq!(world.view.tally().0.answering, 20);
    world.pass(6_000 + 600_000 + 61_000);
    assert_eq!(world.view.tally().0.answering, 17);
    world.pass(6_000 + 600_000 + 430_000);
    assert_eq!(world.view.tally().0.answering, 0);
    assert!(!world.view.tally().1);
}

#[test]
fn what_the_global_brake_lets_go_is_no_recovery() {
    let dead: String = (0..60).map(|n| format!("0 register d{n} w lease=6\n")).collect();
    let live: String = (0..40).map(|n| format!("0 register l{n} w lease=3600\n")).collect();
    let mut world = World::new().run(&dead).run(&live);
    let mut left = Vec::new();
    for minute in [10, 11, 12, 14, 16] {
        world.pass(7_000 + minute * 60_000);
        left.push(world.view.tally().0.answering - 40);
    }
    assert_eq!(left, [60, 51, 42, 24, 6], "fifteen percent a minute");
}

#[test]
fn a_lease_that_flaps_does_not_hold_others_for_ever() {
    let dead: String = (0..10).map(|n| format!("0 register d{n} w lease=60\n")).collect();
    let live: String = (0..10).map(|n| format!("0 register l{n} w lease=3600\n")).collect();
    let mut world = World::new().run(&dead).run(&live).run("0 register flapper w lease=5");
    for round in 1..100 {
        world.pass(round * 15_000);
        world.act(&["register", "flapper", "w", "lease=5"]);
    }
    for n in 0..10 {
        assert_eq!(world.act(&["standing", &format!("d{n}"), "w"]), "not listed", "d{n}");
    }
}

#[test]
fn a_label_that_lingers_is_not_taken_by_a_tag_for_good() {
    World::new().run(
        "0      register web x lease=60 port=81
         0      register web y lease=60
         100    deregister web x
         100    register web y lease=60 tag=x
         100    ask x.web                        -> y ttl=5
         200    deregister web y
         200    ask x.web                        -> x ttl=1
         6000   ask x.web                        -> NXDOMAIN
         6000   ask web                          -> NXDOMAIN",
    );
}

#[test]
fn toggling_a_suspect_adds_nothing_that_stays() {
    let mut world =
        World::new().run("0 register web w1 lease=60\n60100 standing web w1 -> suspect");
    for _ in 0..50 {
        world.act(&["declare", "web", "w1", "draining"]);
        world.act(&["declare", "web", "w1", "up"]);
    }
    world.run(
        "60200  standing web w1                  -> suspect
         80200  standing web w1                  -> not listed",
    );
}
