//! The door from datagram to reply, with a made-up registrar: what each datagram came to, and what it was told.

use std::net::Ipv4Addr;

use super::line::IdBuffer;
use super::*;
use crate::access::key::{Key, KeyFile};
use crate::access::{Configured, Grants, Kept, Kind, Open, Principal, Scope, Verb};
use crate::registrar::Committed;
use crate::registry::{
    Body, Instance, InstanceId, Label, LeaseTerm, Outcome, Refusal, ServiceName,
};

mod properties;

const NOW: u64 = 1_700_000_000_000;
const START: u64 = NOW - 86_400_000;
const LOOPBACK: SocketAddr = at([127, 0, 0, 1]);
const AFAR: SocketAddr = at([192, 0, 2, 7]);
const BOUNDS: Lease = Lease { default_secs: 30, min_secs: 2, max_secs: 86_400 };
/// What is said to whom nothing is said.
const SILENCE: &str = "";

const fn at([a, b, c, d]: [u8; 4]) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(a, b, c, d)), 4000)
}

/// `000102…1e1f` in hexadecimal digits, and another one.
fn secret(id: &str) -> [u8; 32] {
    let first = if id == "k1" { 0 } else { 100 };
    std::array::from_fn(|at| first + u8::try_from(at).unwrap())
}

fn key(id: &str) -> Key {
    Key::new(id, &secret(id), Principal::anonymous(), None)
}

/// The key `k1` of the configuration, and others from the store that are for `shop` alone.
fn access(ids: &[&str], open: Open) -> Arc<Access> {
    let access = Access::new(open);
    let (files, kept): (Vec<&str>, Vec<&str>) = ids.iter().partition(|id| **id == "k1");
    let digits = |id: &str| crate::access::hex(&secret(id));
    let keys = files.iter().map(|id| KeyFile::parse(id, &digits(id)).unwrap()).collect();
    access.configure(Configured { keys, ..Configured::default() });
    let mut grants = Grants::default();
    for id in kept {
        let services = [crate::access::Pattern::parse("shop").unwrap()].into();
        let scope =
            Scope { services, max_lease_secs: Some(60), ..Scope::all_services(&[Verb::Register]) };
        grants.principals.insert("shopkeeper".into(), scope);
        let key = Kept {
            id: id.into(),
            kind: Kind::Key,
            principal: "shopkeeper".into(),
            secret: secret(id),
            created_unix_ms: START,
            expires_unix_ms: None,
        };
        grants.kept.insert(id.into(), key);
    }
    access.take_grants(grants);
    Arc::new(access)
}

fn settings(ids: &[&str], open: Open) -> Settings {
    Settings {
        access: access(ids, open),
        audit: Audit::default(),
        lease: Arc::new(RwLock::new(BOUNDS)),
        start_unix_ms: START,
    }
}

fn signed(id: &str, line: &str) -> String {
    format!("{line} mac={}", hex(&key(id).sign(&[line.as_bytes()])))
}

fn hex(tag: &ring::hmac::Tag) -> String {
    tag.as_ref().iter().map(|octet| format!("{octet:02x}")).collect()
}

fn renew(seq: u64) -> String {
    signed("k1", &format!("RC1 RENEW web web-1 key=k1 time={NOW} boot=a1 seq={seq}"))
}

/// A door whose registrar does everything: renews for 30 s, lists with the lease that is asked for.
struct Fixture {
    admission: Admission,
    peer: SocketAddr,
    now: u64,
    /// What reached the registrar.
    done: Vec<String>,
    /// Whether the registrar cannot make changes at the moment.
    stuck: bool,
}

impl Fixture {
    fn with_keys(ids: &[&str]) -> Self {
        let admission = Admission::new(settings(ids, Open::default()));
        Self { admission, peer: LOOPBACK, now: NOW, done: Vec::new(), stuck: false }
    }

    /// The whole reply to a datagram.
    fn told(&mut self, datagram: impl AsRef<[u8]>) -> String {
        let mut buffer: IdBuffer = [0; 255];
        let mut out = [0; MAX_LINE_OCTETS];
        let admitted = self.admission.admit(datagram.as_ref(), self.peer, self.now, &mut buffer);
        let length = match admitted {
            Admitted::Silent => 0,
            Admitted::Told(seal, reply) => seal.write(&reply, &mut out),
            Admitted::Renewal { ticket, service, id, .. } => {
                let loading = if self.stuck { Some(Renewed::Loading) } else { None };
                if !self.stuck {
                    self.done.push(format!("renew {service} {id}"));
                }
                let renewed = loading.unwrap_or(Renewed::Renewed(LeaseTerm::Secs(30)));
                self.admission.settle(&ticket, Reply::of_renewal(renewed), &mut out)
            }
            Admitted::Change { ticket, command, by: _ } => {
                let result = if self.stuck {
                    Err(Refusal::Unavailable("the disk is full".into()))
                } else {
                    self.done.push(format!("{:?}", ticket.verb).to_lowercase());
                    Ok(committed(command))
                };
                self.admission.settle(&ticket, Reply::of_change(ticket.verb, result), &mut out)
            }
        };
        String::from_utf8(out[..length].to_vec()).unwrap()
    }

    /// The reply without its mac, which is checked.
    fn line(&mut self, datagram: &str) -> String {
        let told = self.told(datagram);
        let Some((line, mac)) = told.split_once(" mac=") else { return told };
        let (signed, request_mac) = datagram.trim_end().rsplit_once(" mac=").unwrap();
        let id = signed.split(" key=").nth(1).unwrap().split(' ').next().unwrap();
        assert_eq!(hex(&key(id).sign(&[request_mac.as_bytes(), line.as_bytes()])), mac);
        line.into()
    }

    fn figure(&self, name: &str) -> u64 {
        let figures = self.admission.counters.figures();
        figures.iter().find(|(key, _, _)| *key == name).unwrap().2
    }
}

fn committed(command: Command) -> Committed {
    let listed = |service: ServiceName, id: InstanceId, body: Body| Instance {
        label: Label::stored(&id, "web-1").unwrap(),
        declared: crate::registry::Declared::parse(Default::default(), "").unwrap(),
        override_: None,
        registered_unix_ms: NOW,
        changed_unix_ms: NOW,
        revision: 1,
        owner: crate::registry::Owner::NOBODY,
        service,
        id,
        body,
    };
    let body = Body::new([10, 0, 0, 5].into(), 8080, LeaseTerm::Secs(30));
    let instance = match command {
        Command::Register { service, id, body, .. } => Some(listed(service, id, *body)),
        Command::Declare { service, id, .. } => Some(listed(service, id, body)),
        _ => None,
    };
    let outcome = Outcome { instance: instance.map(Arc::new), created: false, changes: Vec::new() };
    Committed { outcome, expires_in_ms: Some(12_345), revision: 1 }
}

/// The macs here were computed by `openssl dgst -sha256 -mac HMAC -macopt hexkey:000102…1f`.
#[test]
fn the_macs_are_those_that_openssl_computes() {
    let register = "RC1 REGISTER web web-1 10.0.0.5:8080 lease=30 tag=blue version=2 weight=2 \
                    port.metrics=9090 state=up key=k1 time=1700000000000 boot=a1b2 seq=1 \
                    mac=085347ffb943c3c3aa17df35dd82b2e1e4153f5af43b04d500ea5f5061ea903c";
    let renew = "RC1 RENEW web web-1 key=k1 time=1700000000000 boot=a1b2 seq=2 \
                 mac=b67c9260bf3501013c0fc6717b85703d1a4db6427489200a33f4c4f963bd20a0";
    let mut door = Fixture::with_keys(&["k1"]);
    assert_eq!(
        door.told(register),
        "RC1 OK expires_ms=30000 \
         mac=59634d70ad1d36004f2b96b0ebb64ca793e5845d004a519264695a34041e255a"
    );
    assert_eq!(
        door.told(renew),
        "RC1 OK expires_ms=30000 \
         mac=ceb9bb1bca61a86c31b39552be809f910da5e69231c8905aea94cbb0acce1af4"
    );
    assert_eq!(door.done, ["register", "renew web web-1"]);
}

#[test]
fn every_flipped_bit_is_met_with_silence() {
    let mut door = Fixture::with_keys(&["k1", "k2"]);
    let line =
        format!("RC1 REGISTER web web-1 10.0.0.5:8080 lease=30 key=k1 time={NOW} boot=a1 seq=1");
    let datagram = format!("{}\n", signed("k1", &line)).into_bytes();
    for bit in 0..datagram.len() * 8 {
        let mut flipped = datagram.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(door.told(&flipped), SILENCE, "bit {bit}");
    }
    assert_eq!(door.done, [""; 0]);
    assert_eq!(door.line(std::str::from_utf8(&datagram).unwrap()), "RC1 OK expires_ms=30000");
}

#[test]
fn each_outcome_has_its_reply() {
    let mut door = Fixture::with_keys(&["k1", "k2"]);
    let (time, mut seq) = (format!("time={NOW}"), 0);
    for (line, reply) in [
        ("REGISTER web web-1 10.0.0.5:8080", "RC1 OK expires_ms=30000"),
        ("REGISTER web web-1 10.0.0.5:8080 lease=1", "RC1 OK expires_ms=2000"),
        ("REGISTER web web-1 10.0.0.5:8080 lease=99999999", "RC1 OK expires_ms=86400000"),
        ("REGISTER web web-1 10.0.0.5:8080 lease=none", "RC1 OK expires_ms=none"),
        ("REGISTER web web-1 10.0.0.5:8080 colour=blue", "RC1 INVALID field=colour"),
        ("REGISTER web web-1 lease=30", "RC1 INVALID field=address"),
        ("RENEW web web-1", "RC1 OK expires_ms=30000"),
        ("RENEW web web-1 lease=30", "RC1 INVALID field=lease"),
        ("DRAIN web web-1 reason=deploy%2042", "RC1 OK expires_ms=12345"),
        ("DEREGISTER web web-1", "RC1 OK expires_ms=0"),
        ("DEREGISTER Web web-1", "RC1 INVALID field=service"),
        ("FORGET web web-1", "RC1 INVALID field=command"),
        ("OK expires_ms=30000 x", "RC1 INVALID field=command"),
    ] {
        seq += 1;
        let line = format!("RC1 {line} boot=a1 seq={seq} {time} key=k1");
        assert_eq!(door.line(&signed("k1", &line)), reply, "{line}");
    }
    for (stamp, field) in [
        ("boot=a1 seq=99", "time"),
        ("time=1700000000000 seq=99", "boot"),
        ("time=1700000000000 boot=a1", "seq"),
        ("time=x boot=a1 seq=99", "time"),
        ("time=1700000000000 boot=a1 seq=99 key=k1", "key"),
    ] {
        let line = format!("RC1 DRAIN web web-1 key=k1 {stamp}");
        assert_eq!(door.line(&signed("k1", &line)), format!("RC1 INVALID field={field}"));
    }
}

#[test]
fn a_repeat_is_told_the_same_and_does_nothing() {
    let mut door = Fixture::with_keys(&["k1"]);
    let line =
        |rest: &str, seq| signed("k1", &format!("RC1 {rest} key=k1 time={NOW} boot=a1 seq={seq}"));
    let lines = [
        line("REGISTER web web-1 10.0.0.5:8080", 1),
        line("RENEW web web-1", 2),
        line("DRAIN web web-1", 3),
        line("DEREGISTER web web-1", 4),
        line("DEREGISTER web web-1 x=1", 5),
    ];
    let first: Vec<_> = lines.iter().map(|line| door.told(line)).collect();
    door.now += 29_000;
    for _ in 0..2 {
        for at in [4, 0, 3, 1, 2] {
            assert_eq!(door.told(&lines[at]), first[at]);
            assert_eq!(door.told(format!("{}\r\n", lines[at])), first[at]);
        }
    }
    assert_eq!(door.done, ["register", "renew web web-1", "drain", "deregister"]);
    assert_eq!(door.told(line("REGISTER web web-1 10.0.0.6:8080", 1)), SILENCE);
    assert_eq!(door.figure("datagrams_repeated"), 20);
    assert_eq!(door.figure("datagrams_out_of_sequence"), 1);
}

#[test]
fn a_repeat_waits_with_the_first() {
    let door = Fixture::with_keys(&["k1"]);
    let line = format!("RC1 DEREGISTER web web-1 key=k1 time={NOW} boot=a1 seq=1");
    let datagram = signed("k1", &line);
    let (mut one, mut two, mut three): (IdBuffer, IdBuffer, IdBuffer) =
        ([0; 255], [0; 255], [0; 255]);
    let admit = |buffer| door.admission.admit(datagram.as_bytes(), AFAR, NOW, buffer);
    let Admitted::Change { ticket, .. } = admit(&mut one) else { panic!("it is new") };
    assert!(matches!(admit(&mut two), Admitted::Silent));
    let mut out = [0; MAX_LINE_OCTETS];
    assert!(door.admission.settle(&ticket, Some(Reply::Unknown), &mut out) > 0);
    assert!(matches!(admit(&mut three), Admitted::Told(_, Reply::Unknown)));
    assert_eq!(door.figure("datagrams_pending"), 1);
    assert_eq!(door.admission.senders.len(), 1);
}

#[test]
fn what_cannot_be_done_now_is_silent_and_can_be_repeated() {
    let mut door = Fixture::with_keys(&["k1"]);
    let line = format!("RC1 DRAIN web web-1 key=k1 time={NOW} boot=a1 seq=2");
    let drain = signed("k1", &line);
    door.stuck = true;
    assert_eq!(door.told(&drain), SILENCE);
    assert_eq!(door.told(renew(1)), SILENCE);
    door.stuck = false;
    assert_eq!(door.line(&drain), "RC1 OK expires_ms=12345");
    assert_eq!(door.line(&renew(1)), "RC1 OK expires_ms=30000");
    assert_eq!(door.done, ["drain", "renew web web-1"]);
    assert_eq!(door.figure("datagrams_not_now"), 2);
}

#[test]
fn the_time_may_differ_by_half_a_minute() {
    let told = |time: u64, now: u64| {
        let mut door = Fixture::with_keys(&["k1"]);
        door.now = now;
        door.line(&signed("k1", &format!("RC1 RENEW w i key=k1 time={time} boot=1 seq=1")))
    };
    let bad = |now| format!("RC1 BADTIME now={now}");
    for (time, now, reply) in [
        (NOW - 30_000, NOW, "RC1 OK expires_ms=30000".into()),
        (NOW - 30_001, NOW, bad(NOW)),
        (NOW + 30_000, NOW, "RC1 OK expires_ms=30000".into()),
        (NOW + 30_001, NOW, bad(NOW)),
        (0, NOW, bad(NOW)),
        (u64::MAX, NOW, bad(NOW)),
        // Nothing from before the start, unless the clock was wrong then.
        (START, START + 5, "RC1 OK expires_ms=30000".into()),
        (START - 1, START + 5, bad(START + 5)),
        (START - 1000, START - 1000, "RC1 OK expires_ms=30000".into()),
        (START - 1001, START - 1000, bad(START - 1000)),
    ] {
        assert_eq!(told(time, now), reply, "{time} at {now}");
    }
}

#[test]
fn two_keys_are_live_and_each_has_its_own_rights() {
    let mut door = Fixture::with_keys(&["k1", "k2"]);
    let line = |service: &str, key: &str, seq| {
        signed(key, &format!("RC1 RENEW {service} i key={key} time={NOW} boot=1 seq={seq}"))
    };
    assert_eq!(door.line(&line("shop", "k1", 1)), "RC1 OK expires_ms=30000");
    assert_eq!(door.line(&line("shop", "k2", 2)), "RC1 OK expires_ms=30000");
    let denied = "RC1 DENIED reason=`web`%20is%20not%20in%20the%20scope";
    assert_eq!(door.line(&line("web", "k2", 1)), denied);
    assert_eq!(door.line(&line("web", "k2", 1)), denied);
    assert_eq!(door.told(line("shop", "k3", 3)), SILENCE);
    assert_eq!(door.told(line("shop", "k1", 4).replace("key=k1", "key=k2")), SILENCE);
    assert_eq!(door.told(format!("RC1 RENEW shop i key=k1 time={NOW} boot=1 seq=5")), SILENCE);
    assert_eq!(door.told("RC1 RENEW shop i"), SILENCE);
    assert_eq!(door.done, ["renew shop i", "renew shop i"]);
    let figures = ["datagrams_unknown_key", "datagrams_bad_mac", "datagrams_denied"];
    assert_eq!(figures.map(|name| door.figure(name)), [2, 2, 2]);
}

#[test]
fn a_lease_is_brought_within_what_the_key_may_ask_for() {
    let mut door = Fixture::with_keys(&["k1", "k2"]);
    for (seq, lease) in (1..).zip(["3600", "none", "60"]) {
        let line = format!(
            "RC1 REGISTER shop i 10.0.0.5:80 lease={lease} key=k2 time={NOW} boot=1 seq={seq}"
        );
        assert_eq!(door.line(&signed("k2", &line)), "RC1 OK expires_ms=60000", "{lease}");
    }
}

#[test]
fn without_keys_lines_come_unsigned_from_loopback() {
    let mut door = Fixture::with_keys(&[]);
    for (line, reply) in [
        ("RC1 REGISTER web web-1 10.0.0.5:8080\n", "RC1 OK expires_ms=30000"),
        ("RC1 RENEW web web-1", "RC1 OK expires_ms=30000"),
        ("RC1 RENEW web web-1", "RC1 OK expires_ms=30000"),
        ("RC1 RENEW web web-1 time=1 boot=a seq=1", "RC1 OK expires_ms=30000"),
        ("RC1 RENEW web a%20b", "RC1 OK expires_ms=30000"),
        ("RC1 RENEW web web-1 seq=x", "RC1 INVALID field=seq"),
        ("RC1 RENEW web", "RC1 INVALID field=id"),
        ("RC1 LIST", "RC1 INVALID field=command"),
        (&renew(1), "RC1 INVALID field=key"),
        ("RC1 RENEW web web-1 mac=00", "RC1 INVALID field=mac"),
        ("RC1 OK expires_ms=30000", SILENCE),
        ("RC1 INVALID field=command", SILENCE),
        ("hello", SILENCE),
    ] {
        assert_eq!(door.told(line), reply, "{line}");
    }
    assert_eq!(door.done.len(), 5);
    assert_eq!(door.done[4], "renew web a b");
    assert_eq!(door.admission.senders.len(), 0);
    let mapped = "[::ffff:127.0.0.1]:4000".parse().unwrap();
    for (peer, reply) in [(AFAR, SILENCE), (mapped, "RC1 OK expires_ms=30000")] {
        door.peer = peer;
        assert_eq!(door.told("RC1 RENEW web web-1"), reply);
    }
}

#[test]
fn without_keys_lines_come_from_anywhere_only_if_that_is_configured() {
    let settings = settings(&[], Open { udp: true, ..Open::default() });
    let mut door = Fixture { admission: Admission::new(settings), ..Fixture::with_keys(&[]) };
    door.peer = AFAR;
    assert_eq!(door.told("RC1 RENEW web web-1"), "RC1 OK expires_ms=30000");
}

#[test]
fn the_counters_add_up() {
    let mut door = Fixture::with_keys(&["k1", "k2"]);
    let datagrams = [
        renew(1),
        renew(1),
        renew(2),
        "x".repeat(2000),
        "RC1".into(),
        signed("k2", &format!("RC1 RENEW web web-1 key=k2 time={NOW} boot=a1 seq=3")),
        signed("k1", "RC1 RENEW web web-1 key=k1 time=1 boot=a1 seq=1"),
        signed("k1", "RC1 RENEW web web-1 key=k1"),
        renew(3).replace("seq=3", "seq=4"),
    ];
    for datagram in &datagrams {
        door.told(datagram);
    }
    let figures = door.admission.counters.figures();
    let counted: Vec<_> = figures
        .iter()
        .filter(|f| f.2 > 0)
        .map(|f| (f.0.trim_start_matches("datagrams_"), f.2))
        .collect();
    let expected = [
        ("received", 9),
        ("too_long", 1),
        ("not_a_line", 1),
        ("bad_mac", 1),
        ("bad_time", 1),
        ("repeated", 1),
        ("invalid", 1),
        ("denied", 1),
        ("renewed", 2),
    ];
    assert_eq!(counted, expected);
    assert_eq!(figures[0].2, figures[1..].iter().map(|figure| figure.2).sum::<u64>());
}
