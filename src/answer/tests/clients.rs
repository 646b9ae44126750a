//! Cookies, the server's name, and the limit on replies over UDP: what goes in and what comes out.

use proptest::prelude::*;

use super::super::clients::{Clients, Settings};
use super::super::cookie::Secrets;
use super::super::rate::Limit;
use super::*;
use crate::access::{Prefix, Prefixes};
use crate::view::testing::{Answers, cell};

const QUESTION: &str = "web.svc.internal. A";
/// The moment of appendix A.1 of RFC 9018, and its client and cookie.
const UNIX_SECS: u32 = 1_559_731_985;
const PEER: &str = "198.51.100.100:40000";
const CLIENT_COOKIE: &[u8] = b"\0\x0a\0\x08\x24\x64\xc4\xab\xcf\x10\xc9\x57";
const GOOD_COOKIE: &[u8] = b"\0\x0a\0\x18\x24\x64\xc4\xab\xcf\x10\xc9\x57\
    \x01\0\0\0\x5c\xf7\x9f\x11\x1f\x81\x30\xc3\xee\xe2\x94\x80";
const WRONG_COOKIE: &[u8] = b"\0\x0a\0\x18\x24\x64\xc4\xab\xcf\x10\xc9\x57\
    \x01\0\0\0\x5c\xf7\x9f\x11\x1f\x81\x30\xc3\xee\xe2\x94\x81";
const FOREIGN_COOKIE: &[u8] = b"\0\x0a\0\x10\x24\x64\xc4\xab\xcf\x10\xc9\x57abcdefgh";
const ASKS_NSID: &[u8] = b"\0\x03\0\0";

fn settings() -> Settings {
    let secret = Secrets::parse("e5e973e5a6b2a43f48e7dc849e37bfcf").unwrap();
    Settings {
        nsid: b"rack 7"[..].into(),
        secrets: Some(Secrets::new(secret)),
        limit: None,
        exempt: Prefixes::default(),
    }
}

fn limited(exempt: &[&str]) -> Settings {
    Settings {
        limit: Limit::per_second(10),
        exempt: Prefixes::new(exempt.iter().map(|text| Prefix::parse(text).unwrap())),
        ..settings()
    }
}

fn server(settings: Settings) -> (Server, Arc<Clients>) {
    let mut server = Server::new(&[]);
    let web = cell("web", "web-1", &["10.0.0.1"], None, |_| {});
    server.view.put_service("web", &[web], Answers::default());
    let clients = Arc::new(Clients::new(settings, [0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835, 3]));
    clients.set_unix_secs(UNIX_SECS);
    server.responder = Responder::new(server.view.clone(), &crate::shared::Shared::default())
        .with_clients(clients.clone());
    (server, clients)
}

/// A query with options.
fn query(options: &[u8]) -> Vec<u8> {
    let mut query = Ask::of(QUESTION).edns(1232).bytes();
    query.truncate(query.len() - 2);
    query.extend(u16::try_from(options.len()).unwrap().to_be_bytes());
    query.extend(options);
    query
}

/// A query without a question.
fn no_question(options: &[u8]) -> Vec<u8> {
    let mut query = vec![0xab, 0xcd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 41, 4, 208, 0, 0, 0, 0];
    query.extend(u16::try_from(options.len()).unwrap().to_be_bytes());
    query.extend(options);
    query
}

/// The code of a reply and its options as they stand, which are its end.
fn outcome(server: &mut Server, query: &[u8], peer: &str, how: Transport) -> (String, Vec<u8>) {
    let reply = server.send_from(query, peer, how).expect("a reply");
    let message = Message::from_bytes(&reply).expect("a reply that hickory-proto reads");
    let mut code = u16::from(message.metadata.response_code).to_string();
    code.push_str(if message.metadata.truncation { " tc" } else { "" });
    code.push_str(if message.answers.is_empty() { "" } else { " answer" });
    let opt = [0, 0, 41, 4, 208];
    let at = reply.windows(opt.len()).rposition(|octets| octets == opt);
    (code, at.map(|at| reply[at + 11..].to_vec()).unwrap_or_default())
}

#[test]
fn cookies_and_the_name_come_back() {
    let (mut server, _) = server(settings());
    let name = b"\0\x03\0\x06rack 7";
    let both = [ASKS_NSID, CLIENT_COOKIE].concat();
    let two = [CLIENT_COOKIE, b"\0\x0a\0\x01x"].concat();
    let table: [(Vec<u8>, &str, Vec<u8>); 12] = [
        (query(b""), "0 answer", vec![]),
        (query(b"\0\x63\0\x02hi"), "0 answer", vec![]),
        (query(ASKS_NSID), "0 answer", name.to_vec()),
        (query(CLIENT_COOKIE), "0 answer", GOOD_COOKIE.to_vec()),
        (query(GOOD_COOKIE), "0 answer", GOOD_COOKIE.to_vec()),
        (query(WRONG_COOKIE), "0 answer", GOOD_COOKIE.to_vec()),
        (query(FOREIGN_COOKIE), "0 answer", GOOD_COOKIE.to_vec()),
        (query(&both), "0 answer", [&name[..], GOOD_COOKIE].concat()),
        // The first of several counts.
        (query(&two), "0 answer", GOOD_COOKIE.to_vec()),
        (no_question(CLIENT_COOKIE), "0", GOOD_COOKIE.to_vec()),
        (no_question(GOOD_COOKIE), "0", GOOD_COOKIE.to_vec()),
        (no_question(WRONG_COOKIE), "23", GOOD_COOKIE.to_vec()),
    ];
    for (query, code, options) in table {
        for transport in [Transport::Udp, Transport::Tcp] {
            let found = outcome(&mut server, &query, PEER, transport);
            assert_eq!(found, (code.to_owned(), options.clone()), "{query:?}");
        }
    }
}

#[test]
fn what_is_no_cookie_is_a_format_error() {
    let (mut server, clients) = server(settings());
    let mut ask = |query: &[u8]| outcome(&mut server, query, PEER, Transport::Udp);
    for length in [0_u8, 1, 7, 9, 15, 41, 60] {
        let options = [&[0, 10, 0, length][..], &vec![7; length.into()]].concat();
        assert_eq!(ask(&query(&options)), ("1".to_owned(), vec![]), "{length} octets");
    }
    assert_eq!(ask(&no_question(ASKS_NSID)).0, "1");
    // Without secrets cookies are ignored, as an option that is not known.
    clients.set_settings(Settings::default());
    assert_eq!(ask(&query(CLIENT_COOKIE)), ("0 answer".to_owned(), vec![]));
    assert_eq!(ask(&no_question(CLIENT_COOKIE)).0, "1");
}

#[test]
fn a_network_over_its_limit_is_sent_to_tcp_or_given_a_cookie() {
    let (mut server, _) = server(limited(&["203.0.113.0/28"]));
    let mut from = |peer: &str, query: &[u8]| outcome(&mut server, query, peer, Transport::Udp);
    for _ in 0..11 {
        assert_eq!(from("198.51.100.7:1024", &query(b"")).0, "0 answer");
    }
    for query in [query(b""), query(ASKS_NSID), Ask::of(QUESTION).bytes()] {
        assert_eq!(from("198.51.100.8:1024", &query), ("0 tc".into(), vec![]));
    }
    let both = [ASKS_NSID, CLIENT_COOKIE].concat();
    assert_eq!(from(PEER, &query(&both)), ("23".into(), GOOD_COOKIE.into()));
    assert_eq!(from(PEER, &query(WRONG_COOKIE)), ("23".into(), GOOD_COOKIE.into()));
    assert_eq!(from(PEER, &query(GOOD_COOKIE)), ("0 answer".into(), GOOD_COOKIE.into()));
    let wrong = [&query(b"")[..], b"x"].concat();
    assert_eq!(from(PEER, &wrong).0, "1", "what is wrong with a query is said");
    // Others, this machine, and who is exempt.
    for (peer, queries) in [
        ("198.51.101.1:1024", 11),
        ("127.0.0.1:1024", 50),
        ("[::1]:1024", 50),
        ("[::ffff:127.0.0.1]:1024", 50),
        ("203.0.113.9:1024", 50),
    ] {
        for _ in 0..queries {
            assert_eq!(from(peer, &query(b"")).0, "0 answer", "{peer}");
        }
    }
    assert_eq!(from("203.0.113.16:1024", &query(b"")).0, "0 tc", "that network's, not exempt");
    let over_tcp = outcome(&mut server, &query(b""), "198.51.100.7:1024", Transport::Tcp);
    assert_eq!(over_tcp.0, "0 answer");
}

/// A flood in somebody's name has no more octets sent to them than it has itself, headers included.
#[test]
fn a_flood_is_not_amplified() {
    const HEADERS: usize = 28;
    let all = [&b""[..], ASKS_NSID, CLIENT_COOKIE, WRONG_COOKIE, FOREIGN_COOKIE];
    let shortest = |options: &[u8]| {
        let mut query = query(options);
        query.splice(12..12 + Ask::of(QUESTION).question().len() - 4, [0]);
        query
    };
    // The shortest queries are the worst: for the root, and without a question.
    for query in all.iter().flat_map(|options| [shortest(options), no_question(options)]) {
        let (mut server, _) = server(limited(&[]));
        for _ in 0..11 {
            server.send_from(&query, PEER, Transport::Udp);
        }
        let (mut came, mut went) = (0, 0);
        for _ in 0..1000 {
            came += HEADERS + query.len();
            let reply = server.send_from(&query, PEER, Transport::Udp);
            went += reply.map_or(0, |reply| HEADERS + reply.len());
        }
        assert!(0 < went && went <= came, "{query:?}: {came} octets came, {went} went");
        let totals = super::super::counters::sum(&[server.responder.counters()]);
        assert_eq!(totals.limited, 1000);
    }
}

#[test]
fn settings_are_replaced_while_responders_live() {
    let (mut server, clients) = server(settings());
    let query = query(&[ASKS_NSID, GOOD_COOKIE].concat());
    let (_, first) = outcome(&mut server, &query, PEER, Transport::Udp);
    let before = clients.settings();
    let secrets = before.secrets.as_ref().map(|secrets| secrets.replaced([1; 16]));
    clients.set_settings(Settings { secrets, ..Settings::default() });
    let (_, second) = outcome(&mut server, &query, PEER, Transport::Udp);
    assert!(first.ends_with(GOOD_COOKIE));
    assert!(second.len() == GOOD_COOKIE.len() && second != GOOD_COOKIE, "a new cookie, no name");
}

/// Options of all kinds, sound ones more often.
fn options() -> impl Strategy<Value = Vec<u8>> {
    let one = prop_oneof![
        Just(ASKS_NSID.to_vec()),
        Just(CLIENT_COOKIE.to_vec()),
        Just(GOOD_COOKIE.to_vec()),
        Just(WRONG_COOKIE.to_vec()),
        (0..20_u16, proptest::collection::vec(any::<u8>(), 0..50)).prop_map(|(code, data)| {
            let length = u16::try_from(data.len()).unwrap();
            [&code.to_be_bytes()[..], &length.to_be_bytes(), &data].concat()
        }),
        proptest::collection::vec(any::<u8>(), 0..8),
    ];
    proptest::collection::vec(one, 0..6).prop_map(|options| options.concat())
}

/// A query with such options, with a question or without, from a client that takes so many octets.
fn asked() -> impl Strategy<Value = (Vec<u8>, u16)> {
    (options(), any::<bool>(), any::<u16>()).prop_map(|(options, alone, size)| {
        let mut query = if alone { no_question(&options) } else { query(&options) };
        let at = query.len() - options.len() - 8;
        query[at..at + 2].copy_from_slice(&size.to_be_bytes());
        (query, size)
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Nothing panics, replies can be read and keep to the client's size, and say over TCP what they do over UDP.
    #[test]
    fn any_options((query, size) in asked(), limit in 0..2_u32, nsid in 0..=128_usize) {
        let nsid = vec![b'n'; nsid].into();
        let limit = Limit::per_second(limit);
        let (mut server, _) = server(Settings { nsid, limit, ..settings() });
        for _ in 0..4 {
            let udp = server.send_from(&query, PEER, Transport::Udp).expect("a reply");
            prop_assert!(udp.len() <= usize::from(size.clamp(512, 1232)));
            let udp = Message::from_bytes(&udp).expect("a reply that can be read");
            let tcp = server.send_from(&query, PEER, Transport::Tcp).expect("a reply");
            let tcp = Message::from_bytes(&tcp).expect("a reply that can be read");
            // The option of idle connections counts over TCP alone.
            let may_differ = limit.is_some() || query.windows(2).any(|code| code == [0, 11]);
            prop_assert!(may_differ || tcp.metadata.response_code == udp.metadata.response_code);
            prop_assert_eq!(tcp.edns.is_some(), udp.edns.is_some());
        }
    }
}
