//! Any datagram: no panic, a reply that hickory-proto reads and that is never too long, and the same decision
//! over UDP and TCP.

use std::cell::RefCell;

use hickory_proto::op::ResponseCode;
use proptest::prelude::*;

use super::*;
use crate::view::testing::{Answers, cell};

const ZONE: &str = r#"
$TTL 60
@ SOA ns me 1 1h 1h 1h 1h
@ NS ns
@ MX 10 web
ns A 192.0.2.1
a CNAME b
b CNAME c
c CNAME web
out CNAME a.example.org.
loop CNAME loop
big TXT "0123456789012345678901234567890123456789012345678901234567890123456789"
big TXT "1123456789012345678901234567890123456789012345678901234567890123456789"
big TXT "2123456789012345678901234567890123456789012345678901234567890123456789"
big TXT "3123456789012345678901234567890123456789012345678901234567890123456789"
big TXT "4123456789012345678901234567890123456789012345678901234567890123456789"
big TXT "5123456789012345678901234567890123456789012345678901234567890123456789"
big TXT "6123456789012345678901234567890123456789012345678901234567890123456789"
*.wild AAAA 2001:db8::1
sub NS ns.sub
sub NS ns.example.org.
ns.sub A 192.0.2.2
"#;

/// Names that lead everywhere.
const NAMES: [&str; 22] = [
    ".",
    "svc.internal.",
    "web.svc.internal.",
    "WEB.svc.internal.",
    "_web._tcp.svc.internal.",
    "web-7.web.svc.internal.",
    "_tcp.svc.internal.",
    "nix.svc.internal.",
    "a.svc.internal.",
    "out.svc.internal.",
    "loop.svc.internal.",
    "big.svc.internal.",
    "x.wild.svc.internal.",
    "wild.svc.internal.",
    "sub.svc.internal.",
    "www.sub.svc.internal.",
    "web.lab.example.",
    "7.0.0.10.in-addr.arpa.",
    "0.10.in-addr.arpa.",
    "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa.",
    "example.org.",
    r"\000\255\..svc.internal.",
];
const TYPES: [u16; 16] = [1, 28, 33, 12, 6, 2, 16, 5, 15, 43, 255, 252, 251, 41, 65, 65280];

fn server() -> Server {
    let server = Server::new(&[("svc.internal.", ZONE)]);
    let cells: Vec<_> = (0..50)
        .map(|n| {
            let held = (n == 3).then_some(1);
            let addresses = [&*format!("10.0.0.{n}"), &*format!("fd00::{n}")];
            cell("web", &format!("web-{n}"), &addresses, held, |body| body.weight = n % 3)
        })
        .collect();
    server.view.put_service("web", &cells, Answers::default());
    server
}

fn query() -> impl Strategy<Value = Vec<u8>> {
    let version = prop_oneof![9 => Just(0_u32), 1 => Just(1_u32)];
    let edns = (any::<u16>(), version, any::<u16>());
    let edns = proptest::option::of(
        edns.prop_map(|(size, version, flags)| (size, version << 16 | u32::from(flags))),
    );
    let opcode = prop_oneof![20 => Just(0_u8), 1 => any::<u8>()];
    let class = prop_oneof![20 => Just(1_u16), 1 => any::<u16>()];
    let name = proptest::sample::select(&NAMES[..]);
    let rtype = proptest::sample::select(&TYPES[..]);
    (name, rtype, class, opcode, any::<u8>(), edns).prop_map(
        |(name, rtype, class, opcode, low, edns)| {
            Ask { rtype, class, flags: [opcode & 0x7f, low], edns, name, ..Ask::of(". A") }.bytes()
        },
    )
}

/// A query with some octets changed, cut off, or more behind it.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let changes = proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..4);
    let cut = proptest::option::weighted(0.2, any::<proptest::sample::Index>());
    let tail = proptest::collection::vec(any::<u8>(), 0..40);
    let tail = proptest::option::weighted(0.1, tail);
    (query(), changes, cut, tail).prop_map(|(mut query, changes, cut, tail)| {
        for (place, octet) in changes {
            let place = place.index(query.len());
            query[place] = octet;
        }
        if let Some(cut) = cut {
            query.truncate(cut.index(query.len()));
        }
        query.extend(tail.unwrap_or_default());
        query
    })
}

fn check(server: &mut Server, query: &[u8]) {
    let udp = server.send(query, Transport::Udp);
    let tcp = server.send(query, Transport::Tcp);
    let (udp, tcp) = match (udp, tcp) {
        (Some(udp), Some(tcp)) => (udp, tcp),
        (None, None) => {
            assert!(query.len() < 12 || query[2] & 0x80 != 0, "dropped without a reason");
            return;
        }
        _ => panic!("answered over one transport only: {query:?}"),
    };
    let (udp_length, first_octets) = (udp.len(), [udp[0], udp[1]]);
    assert_eq!(first_octets, query[..2]);
    let udp = Message::from_bytes(&udp).expect("a reply over UDP that can be read");
    let tcp = Message::from_bytes(&tcp).expect("a reply over TCP that can be read");
    assert!(udp_length <= if udp.edns.is_some() { 1232 } else { 512 });
    assert_eq!(udp.metadata.response_code, tcp.metadata.response_code);
    assert_eq!(udp.metadata.authoritative, tcp.metadata.authoritative);
    assert_eq!(udp.edns.is_some(), tcp.edns.is_some());
    assert!(!tcp.metadata.truncation);
    let sorted = |records: &[Record]| {
        let mut lines: Vec<_> = records.iter().map(print_record).collect();
        lines.sort();
        lines
    };
    let (udp_answers, tcp_answers) = (sorted(&udp.answers), sorted(&tcp.answers));
    if udp.metadata.truncation {
        // Fewer records may have a longer TTL.
        let tcp_data: Vec<_> = tcp.answers.iter().map(|record| &record.data).collect();
        assert!(udp.answers.iter().all(|record| tcp_data.contains(&&record.data)));
    } else {
        assert_eq!(udp_answers, tcp_answers);
        assert_eq!(sorted(&udp.authorities), sorted(&tcp.authorities));
    }
    if udp.metadata.response_code != ResponseCode::NoError {
        assert!(udp.answers.is_empty() || udp.metadata.response_code == ResponseCode::NXDomain);
    }
    // A well-formed query's question comes back as it was, its letters' case included.
    if let Ok(asked) = Message::from_bytes(query)
        && let ([asked], [echoed]) = (&asked.queries[..], &udp.queries[..])
    {
        assert_eq!(asked.name().to_string(), echoed.name().to_string());
        assert_eq!(asked.query_type(), echoed.query_type());
    }
}

/// The size that a whole query's OPT record names is kept, whatever it is.
fn check_limit(server: &mut Server, query: &[u8]) {
    let asked = Message::from_bytes(query).ok().and_then(|query| query.edns);
    let limit = asked.map_or(512, |edns| usize::from(edns.max_payload()).clamp(512, 1232));
    if let Some(reply) = server.send(query, Transport::Udp) {
        assert!(reply.len() <= limit, "{} octets of at most {limit}", reply.len());
    }
}

#[test]
fn any_octets() {
    run(4000, &proptest::collection::vec(any::<u8>(), 0..4096), check);
}

#[test]
fn any_query_with_changes() {
    run(20_000, &mutated(), check);
}

#[test]
fn any_query_that_is_well_formed() {
    run(6000, &query(), |server, query| {
        check(server, query);
        check_limit(server, query);
    });
}

fn run(cases: u32, queries: &impl Strategy<Value = Vec<u8>>, check: impl Fn(&mut Server, &[u8])) {
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let server = RefCell::new(server());
    let result = proptest::test_runner::TestRunner::new(config).run(queries, |query| {
        check(&mut server.borrow_mut(), &query);
        Ok(())
    });
    result.unwrap();
}
