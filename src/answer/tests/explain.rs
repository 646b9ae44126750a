//! What is explained is what is answered: the ground, the records, and who is in.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use hickory_proto::rr::RData;
use proptest::prelude::*;

use super::*;
use crate::answer::explain::{Explained, membership};
use crate::registry::{
    Body, Declared, Instance, InstanceId, Label, LeaseTerm, Origin, Owner, PortName, Protocol,
    ServiceName, State, Texts,
};
use crate::view::{LeaseStart, Standing};

impl Server {
    fn explain(&mut self, ask: &Ask) -> (Explained, Vec<u8>) {
        let mut out = vec![0; 65_535];
        let peer: SocketAddr = CLIENT.parse().unwrap();
        let bytes = ask.bytes();
        let explained = self.responder.batch(NOW, |batch| {
            batch.explain(&bytes, peer, Transport::Tcp, &mut out).expect("a query")
        });
        out.truncate(explained.reply.as_ref().map_or(0, |reply| reply.len));
        (explained, out)
    }

    fn rule(&mut self, question: &'static str) -> String {
        let (explained, _) = self.explain(&Ask::of(question));
        let ground = explained.ground;
        let place = ground.place.map(|place| format!(" {}:{}", place.file, place.line));
        format!("{}{}", ground.rule, place.unwrap_or_default())
    }
}

#[derive(Debug, Clone)]
struct Made {
    v4: Option<u8>,
    v6: Option<u8>,
    protocol: Protocol,
    has_port: bool,
    is_blue: bool,
    priority: u16,
    state: State,
    weight: u16,
}

fn made() -> impl Strategy<Value = Made> {
    let states = prop::sample::select(vec![State::Up, State::Up, State::Draining, State::Down]);
    let protocols = prop::sample::select(vec![Protocol::Tcp, Protocol::Udp]);
    let few = || prop::option::weighted(0.8, 1_u8..5);
    let rest = (any::<bool>(), any::<bool>(), 0_u16..3, states, 0_u16..3);
    (few(), few(), protocols, rest).prop_map(|(v4, v6, protocol, rest)| {
        let (has_port, is_blue, priority, state, weight) = rest;
        Made {
            v4: v4.or(if v6.is_none() { Some(9) } else { None }),
            v6,
            protocol,
            has_port,
            is_blue,
            priority,
            state,
            weight,
        }
    })
}

fn instance(at: usize, made: &Made) -> Instance {
    let id = InstanceId::parse(&format!("w{at}")).unwrap();
    let label = Label::candidates(&id).next().unwrap();
    let v4 = made.v4.map(|octet| IpAddr::from([10, 0, 0, octet]));
    let v6 = made.v6.map(|octet| IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, u16::from(octet)]));
    let port = PortName::parse("ports", "metrics").unwrap();
    let body = Body {
        addresses: v4.into_iter().chain(v6).collect(),
        protocol: made.protocol,
        ports: made.has_port.then_some((port, 9090)).into_iter().collect(),
        texts: Texts::stored(Some("2.1"), if made.is_blue { "blue" } else { "green" }, "").unwrap(),
        weight: made.weight,
        priority: made.priority,
        origin: Origin::default(),
        ..Body::new([10, 0, 0, 1].into(), 80, LeaseTerm::Secs(30))
    };
    Instance {
        service: ServiceName::parse("web").unwrap(),
        label,
        id,
        body: body.checked().unwrap(),
        declared: Declared::from(made.state),
        override_: None,
        owner: Owner::NOBODY,
        registered_unix_ms: 1,
        changed_unix_ms: 1,
        revision: 1,
    }
}

/// What the records say: addresses, and the first labels of SRV targets.
fn said(reply: &[u8]) -> BTreeSet<String> {
    let message = Message::from_bytes(reply).unwrap();
    let said = message.answers.iter().filter_map(|record| match &record.data {
        RData::A(a) => Some(a.to_string()),
        RData::AAAA(aaaa) => Some(aaaa.to_string()),
        RData::SRV(srv) => Some(String::from_utf8_lossy(srv.target.iter().next()?).into_owned()),
        _ => None,
    });
    said.collect()
}

const NAMES: [&str; 24] = [
    "web.svc.internal. A",
    "web.svc.internal. AAAA",
    "web.svc.internal. SRV",
    "web.svc.internal. TXT",
    "_web._tcp.svc.internal. A",
    "_web._tcp.svc.internal. SRV",
    "_web._udp.svc.internal. SRV",
    "_metrics._tcp.web.svc.internal. SRV",
    "_metrics._tcp.web.svc.internal. AAAA",
    "_other._tcp.web.svc.internal. SRV",
    "blue.web.svc.internal. A",
    "blue.web.svc.internal. AAAA",
    "blue.web.svc.internal. SRV",
    "2-1.web.svc.internal. A",
    "2-1.web.svc.internal. SRV",
    "red.web.svc.internal. A",
    "w0.web.svc.internal. A",
    "w0.web.svc.internal. AAAA",
    "w0.web.svc.internal. SRV",
    "w1.web.lab.example. A",
    "W1.Web.Svc.Internal. A",
    "w9.web.svc.internal. A",
    "_tcp.web.svc.internal. A",
    "web.lab.example. A",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    /// Whoever is said to be in has a record in the answer, and nobody else has.
    #[test]
    fn who_is_in_is_who_is_answered(all in prop::collection::vec(made(), 1..7), lapsed in 0_usize..7) {
        let mut server = Server::new(&[]);
        let mut edit = server.view.edit(NOW);
        for (at, made) in all.iter().enumerate() {
            let start = if at == lapsed { LeaseStart::Remaining(1) } else { LeaseStart::Term };
            edit.list(&Arc::new(instance(at, made)), start);
        }
        drop(edit);
        let later = NOW.plus(1_000);
        server.view.tick(later);
        let listed = server.view.instances("web", None, 100, later).unwrap();
        let suspects = listed.iter().filter(|one| one.standing == Standing::Suspect).count();
        prop_assert_eq!(suspects, usize::from(lapsed < all.len() && suspects > 0));
        for question in NAMES {
            let ask = Ask::of(question);
            let (explained, reply) = server.explain(&ask);
            let Some(meaning) = explained.ground.meaning else { panic!("{question}") };
            let judged = if meaning.service().is_some() { membership(&meaning, ask.rtype, &listed) } else { Vec::new() };
            let expected: BTreeSet<String> = listed.iter().zip(&judged).filter(|(_, (is_in, _))| *is_in).flat_map(|(one, _)| {
                let body = &one.instance.body;
                let addresses = body.addresses.iter().filter(|ip| ip.is_ipv4() == (ask.rtype == 1));
                match ask.rtype {
                    33 => vec![one.instance.label.to_string()],
                    _ => addresses.map(ToString::to_string).collect(),
                }
            }).collect();
            prop_assert_eq!(said(&reply), expected, "{}: {:?}", question, judged);
            prop_assert!(judged.iter().all(|(_, why)| !why.is_empty()));
            // It is the very answer that is given next, and no turn was taken.
            let answered = server.send(&ask.tcp().bytes(), Transport::Tcp).unwrap();
            prop_assert_eq!(print(&reply), print(&answered), "{}", question);
        }
    }
}

const FILE: &str = "$TTL 60\n@ SOA ns.x. a.x. 1 2 3 4 5\n@ NS ns.x.\nprinter A 192.0.2.7\n*.wild A 192.0.2.8\n\
    alias CNAME printer\nout CNAME example.com.\na CNAME b\nb CNAME a\nsub NS ns.y.\ndeep.er TXT x\n";

#[test]
fn every_rule_has_a_word_and_a_place() {
    let mut server = Server::new(&[("svc.internal.", FILE)]);
    let made = Made {
        v4: Some(1),
        v6: None,
        protocol: Protocol::Tcp,
        has_port: true,
        is_blue: true,
        priority: 0,
        state: State::Up,
        weight: 1,
    };
    server.view.edit(NOW).list(&Arc::new(instance(0, &made)), LeaseStart::Term);
    for (question, rule) in [
        ("web.svc.internal. A", "service"),
        ("_web._tcp.svc.internal. SRV", "main_port"),
        ("_metrics._tcp.web.svc.internal. SRV", "named_port"),
        ("w0.web.svc.internal. A", "instance"),
        ("blue.web.svc.internal. A", "tag"),
        ("1.0.0.10.in-addr.arpa. PTR", "reverse"),
        ("printer.svc.internal. A", "zone_file svc.internal.zone:4"),
        ("x.wild.svc.internal. A", "wildcard"),
        ("alias.svc.internal. A", "zone_file svc.internal.zone:4"),
        ("out.svc.internal. A", "alias"),
        ("a.svc.internal. A", "alias_loop"),
        ("x.sub.svc.internal. A", "delegation svc.internal.zone:10"),
        ("svc.internal. SOA", "apex svc.internal.zone:2"),
        ("web.svc.internal. ANY", "any"),
        ("web.svc.internal. TXT", "no_data"),
        ("er.svc.internal. A", "no_data"),
        ("wpad.svc.internal. A", "reserved"),
        ("nope.svc.internal. A", "no_name"),
        ("red.web.svc.internal. A", "no_name"),
        ("example.com. A", "not_ours"),
        ("web.svc.internal. AXFR", "refused"),
    ] {
        assert_eq!(server.rule(question), rule, "{question}");
    }
    server.view.put_state(7, false);
    assert_eq!(server.rule("nope.svc.internal. A"), "loading");
}

#[test]
fn a_name_that_lingers_is_said_to() {
    let mut server = Server::new(&[]);
    let made = Made {
        v4: Some(1),
        v6: None,
        protocol: Protocol::Tcp,
        has_port: false,
        is_blue: true,
        priority: 0,
        state: State::Up,
        weight: 1,
    };
    let listed = instance(0, &made);
    server.view.edit(NOW).list(&Arc::new(listed.clone()), LeaseStart::Term);
    server.view.edit(NOW).unlist(&listed.service, &listed.id);
    let (explained, reply) = server.explain(&Ask::of("w0.web.svc.internal. A"));
    assert!(explained.ground.lingers && said(&reply).contains("10.0.0.1"));
}
