//! What single steps cost, without sockets, threads or disks: `cargo bench --bench micro`.
//!
//! Times are those of a warm cache and say which step a change made dearer; what a server costs is for
//! `benches/run` to say.
#![allow(clippy::unwrap_used, reason = "nothing here is a server")]
#![allow(missing_docs, reason = "the macro that makes `main` writes none")]

use std::net::SocketAddr;
use std::sync::Arc;

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use rollcall::answer::ahead::{Ahead, look_ahead};
use rollcall::answer::clients::{Clients, Settings};
use rollcall::answer::cookie::{Secrets, Shown};
use rollcall::answer::decide::{Sources, decide};
use rollcall::answer::encode::{Context, encode};
use rollcall::answer::parse::parse;
use rollcall::answer::rate::Limit;
use rollcall::answer::{BATCH_QUERIES, Responder, Transport};
use rollcall::registry::{
    Actor, Body, Command, Instance, InstanceId, LeaseTerm, PortName, Registry, ServiceName,
};
use rollcall::shared::Shared;
use rollcall::view::wire::Name;
use rollcall::view::zones::{ZoneSettings, Zones};
use rollcall::view::{LeaseStart, LeaseTime, Taking, View};

/// Services of 5 instances.
const SERVICES: usize = 1_000;
const NOW: LeaseTime = LeaseTime::from_millis(1_000);

fn main() {
    divan::main();
}

/// What is asked.
const KINDS: [&str; 3] = ["A", "SRV", "NXDOMAIN"];

#[divan::bench(args = KINDS)]
fn respond(bencher: Bencher, kind: &str) {
    let mut responder = Responder::new(view(SERVICES, 5), &Shared::default());
    let batches = batches(kind);
    let peer: SocketAddr = "192.0.2.1:40000".parse().unwrap();
    let mut out = [0; 1_232];
    let mut turn = 0;
    bencher.counter(ItemsCount::new(BATCH_QUERIES)).bench_local(|| {
        let batch = &batches[turn % batches.len()];
        turn += 1;
        responder.batch(NOW, |answers| {
            answers.look_ahead(batch.iter().map(|query| &**query));
            for (nth, query) in batch.iter().enumerate() {
                black_box(answers.respond(nth, query, peer, Transport::Udp, &mut out));
            }
        });
    });
}

/// Queries without an OPT record, with one, and with a client cookie in it, at a server with cookies and a limit that nobody
/// reaches.
#[divan::bench(args = ["A", "A OPT", "A cookie"])]
fn respond_to_clients(bencher: Bencher, kind: &str) {
    let settings = Settings {
        secrets: Some(Secrets::new([7; 16])),
        limit: Limit::per_second(1_000_000_000),
        ..Settings::default()
    };
    let clients = Arc::new(Clients::new(settings, [u128::MAX / 3, 5]));
    let mut responder = Responder::new(view(SERVICES, 5), &Shared::default()).with_clients(clients);
    let options: &[u8] = match kind {
        "A OPT" => b"\0\0\x29\x04\xd0\0\0\0\0\0\0",
        "A cookie" => b"\0\0\x29\x04\xd0\0\0\0\0\0\x0c\0\x0a\0\x08abcdefgh",
        _ => b"",
    };
    let mut batches = batches("A");
    for query in batches.iter_mut().flatten().filter(|_| !options.is_empty()) {
        query[11] = 1;
        query.extend(options);
    }
    let mut out = [0; 1_232];
    let mut turn = 0;
    bencher.counter(ItemsCount::new(BATCH_QUERIES)).bench_local(|| {
        let batch = &batches[turn % batches.len()];
        turn += 1;
        responder.batch(NOW, |answers| {
            answers.look_ahead(batch.iter().map(|query| &**query));
            for (nth, query) in batch.iter().enumerate() {
                black_box(answers.respond(nth, query, peer(), Transport::Udp, &mut out));
            }
        });
    });
}

/// A server cookie for a client without one: a SipHash-2-4 of 20 octets, and what is around it.
#[divan::bench]
fn judge_cookie(bencher: Bencher) {
    let secrets = Secrets::new([7; 16]);
    let shown = Shown::read(b"abcdefgh").unwrap();
    bencher.counter(ItemsCount::new(BATCH_QUERIES)).bench_local(|| {
        for now in 0..32 {
            black_box(secrets.judge(black_box(&shown), peer().ip(), now));
        }
    });
}

/// Parses, looks ahead at, and decides.
#[divan::bench(name = "decide", args = KINDS)]
fn decide_batch(bencher: Bencher, kind: &str) {
    each_batch(bencher, kind, |sources, batch, names, _| {
        let mut ahead = [Ahead::default(); BATCH_QUERIES];
        look_ahead(sources, batch.iter().map(|query| &**query), names, &mut ahead);
        for ((query, name), ahead) in batch.iter().zip(&*names).zip(&ahead) {
            let query = parse(query, peer(), Transport::Udp, Some(name)).unwrap();
            black_box(decide(sources, query.question.as_ref().unwrap(), ahead));
        }
    });
}

/// What [`decide_batch`] does, and the encoder.
#[divan::bench(name = "encode", args = KINDS)]
fn encode_batch(bencher: Bencher, kind: &str) {
    each_batch(bencher, kind, |sources, batch, names, out| {
        let mut ahead = [Ahead::default(); BATCH_QUERIES];
        look_ahead(sources, batch.iter().map(|query| &**query), names, &mut ahead);
        for ((query, name), ahead) in batch.iter().zip(&*names).zip(&ahead) {
            let query = parse(query, peer(), Transport::Udp, Some(name)).unwrap();
            let answer = decide(sources, query.question.as_ref().unwrap(), ahead);
            let context = Context {
                sources,
                serial: 1,
                now: NOW,
                transport: Transport::Udp,
                recursion_available: false,
                taking: Taking::Turn,
            };
            black_box(encode(context, &query, &answer, out).unwrap());
        }
    });
}

fn each_batch(
    bencher: Bencher,
    kind: &str,
    work: impl Fn(Sources<'_>, &[Vec<u8>], &mut [Name; BATCH_QUERIES], &mut [u8]),
) {
    let view = view(SERVICES, 5);
    let (reader, zones) = (view.read(), view.zones());
    let sources = Sources { reader: &reader, zones: &zones, loaded: true };
    let batches = batches(kind);
    let mut names = Box::new([const { Name::ROOT }; BATCH_QUERIES]);
    let mut out = [0; 1_232];
    let mut turn = 0;
    bencher.counter(ItemsCount::new(BATCH_QUERIES)).bench_local(|| {
        work(sources, &batches[turn % batches.len()], &mut names, &mut out);
        turn += 1;
    });
}

/// A change of an instance's weight, decided and applied, in a service of so many.
#[divan::bench(args = [5, 10_000])]
fn apply(bencher: Bencher, instances: usize) {
    let mut registry = Registry::default();
    let mut weight = 0;
    for number in 0..instances {
        registry.apply(register(0, number, 1), &Actor::ANYBODY, 0).unwrap();
    }
    bencher.bench_local(|| {
        weight = (weight + 1) % 1_000;
        black_box(
            registry.apply(register(0, instances / 2, weight + 2), &Actor::ANYBODY, 0).unwrap(),
        );
    });
}

/// The same change, published: what the registrar does after a commit.
#[divan::bench(args = [5, 10_000])]
fn publish(bencher: Bencher, instances: usize) {
    let view = view(1, instances);
    let mut registry = Registry::default();
    let mut weight = 0;
    bencher.bench_local(|| {
        weight = (weight + 1) % 1_000;
        let changed = instance(&mut registry, 0, instances / 2, weight + 2);
        view.edit(NOW).list(&changed, LeaseStart::Term);
    });
}

/// A renewal of one of 100,000 instances.
#[divan::bench]
fn renew(bencher: Bencher) {
    let view = view(20_000, 5);
    let mut turn = 0_usize;
    bencher.bench_local(|| {
        turn = turn.wrapping_mul(25).wrapping_add(7) % 100_000;
        let (service, id) = (service_name(turn / 5), instance_id(turn / 5, turn % 5));
        black_box(view.renew(&service, &id, NOW))
    });
}

fn service_name(service: usize) -> String {
    format!("web-{service:04}")
}

fn instance_id(service: usize, number: usize) -> String {
    format!("i-{service:05}-{number:04}")
}

fn register(service: usize, number: usize, weight: u16) -> Command {
    let octets = u32::try_from(service * 16_384 + number).unwrap().to_be_bytes();
    let address = [10, octets[1], octets[2], octets[3]];
    let mut body = Body::new(address.into(), 8080, LeaseTerm::Secs(30));
    body.ports = [(PortName::parse("ports", "http").unwrap(), 8080)].into();
    body.weight = weight;
    let name = ServiceName::parse(&service_name(service)).unwrap();
    Command::register(name, InstanceId::parse(&instance_id(service, number)).unwrap(), body, None)
}

fn instance(registry: &mut Registry, service: usize, number: usize, weight: u16) -> Arc<Instance> {
    registry.apply(register(service, number, weight), &Actor::ANYBODY, 0).unwrap().instance.unwrap()
}

fn view(services: usize, instances: usize) -> Arc<View> {
    let settings = ZoneSettings {
        zones: &["svc.test.".into()],
        reverse_zones: &[],
        negative_ttl_secs: 2,
        ns_addresses: &[],
        texts: &[],
    };
    let view = Arc::new(View::default());
    view.set_zones(Zones::build(&settings, Vec::new()).unwrap());
    let mut registry = Registry::default();
    for service in 0..services {
        let mut edit = view.edit(NOW);
        for number in 0..instances {
            edit.list(&instance(&mut registry, service, number, 1), LeaseStart::Term);
        }
    }
    view.set_loaded();
    view
}

/// Batches of queries of one kind, for names all over the registry.
fn batches(kind: &str) -> Vec<Vec<Vec<u8>>> {
    let query = |turn: usize| {
        let service = turn * 379 % SERVICES;
        match kind {
            "A" => query(&format!("web-{service:04}.svc.test"), 1),
            "SRV" => query(&format!("_http._tcp.web-{service:04}.svc.test"), 33),
            _ => query(&format!("no-{service:04}.svc.test"), 1),
        }
    };
    let batch =
        |first: usize| (0..BATCH_QUERIES).map(|n| query(first * BATCH_QUERIES + n)).collect();
    (0..SERVICES).map(batch).collect()
}

fn query(name: &str, rtype: u8) -> Vec<u8> {
    let mut query = vec![1, 2, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        query.push(u8::try_from(label.len()).unwrap());
        query.extend(label.as_bytes());
    }
    query.extend([0, 0, rtype, 0, 1]);
    query
}

fn peer() -> SocketAddr {
    ([192, 0, 2, 1], 40_000).into()
}
