//! Queries that are not as they should be, EDNS, and replies that do not fit.

use super::*;
use crate::view::testing::{Answers, cell};

fn server() -> Server {
    let server = Server::new(&[]);
    let web = cell("web", "web-1", &["10.0.0.1"], None, |_| {});
    server.view.put_service("web", &[web], Answers::default());
    server
}

const QUESTION: &str = "web.svc.internal. A";
const ANSWER: &str = "? web.svc.internal. A\nweb.svc.internal. 5 A 10.0.0.1";

#[test]
fn what_is_no_query_is_dropped() {
    let mut server = server();
    let query = Ask::of(QUESTION).bytes();
    let response = Ask { flags: [0x80, 0], ..Ask::of(QUESTION) }.bytes();
    for dropped in [&b""[..], &query[..11], &response] {
        assert_eq!(server.send(dropped, Transport::Udp), None);
        assert_eq!(server.send(dropped, Transport::Tcp), None);
    }
    for peer in ["192.0.2.1:0", "192.0.2.1:7", "192.0.2.1:19", "0.0.0.0:5353", "224.0.0.1:5353"] {
        assert_eq!(server.send_from(&query, peer, Transport::Udp), None, "{peer}");
    }
    assert!(server.send_from(&query, "192.0.2.1:53", Transport::Udp).is_some());
}

#[test]
fn questions_that_are_refused_or_wrong() {
    let mut server = server();
    let class = |class| Ask { class, ..Ask::of(QUESTION) };
    let opcode = |opcode: u8| Ask { flags: [opcode << 3, 0], ..Ask::of(QUESTION) };
    let question = "? web.svc.internal. A";
    let table = [
        (Ask::of("example.org. A"), "REFUSED", "? example.org. A"),
        (Ask::of(". NS"), "REFUSED", "? . NS"),
        (class(3), "REFUSED", question),
        (class(255), "REFUSED", question),
        (Ask::of("svc.internal. AXFR"), "REFUSED", "? svc.internal. AXFR"),
        (Ask::of("svc.internal. IXFR"), "REFUSED", "? svc.internal. IXFR"),
        (Ask::of("svc.internal. TSIG"), "FORMERR", "? svc.internal. TSIG"),
        (Ask::of("svc.internal. TYPE41"), "FORMERR", "? svc.internal. OPT"),
        (Ask::of("svc.internal. TYPE249"), "FORMERR", "? svc.internal. TYPE249"),
        (opcode(1), "NOTIMP", question),
        (opcode(4), "NOTIMP", question),
        (opcode(5), "NOTIMP", question),
        (opcode(15), "NOTIMP", question),
    ];
    for (ask, code, rest) in table {
        let reply = server.send(&ask.bytes(), Transport::Udp).unwrap();
        assert_eq!(reply[2] & 0x78, ask.flags[0] & 0x78, "the opcode is copied");
        let (code, rest) = (code.to_owned(), rest.to_owned());
        assert_eq!(print_any(&reply), format!("{code}\n{rest}\n"), "{} {}", ask.name, ask.rtype);
    }
}

/// Prints a reply whose opcode hickory-proto may give another meaning to.
fn print_any(reply: &[u8]) -> String {
    let mut reply = reply.to_vec();
    reply[2] &= !0x78;
    print(&reply)
}

#[test]
fn messages_that_are_not_well_formed() {
    let mut server = server();
    let header = |flags: u8, counts: [u8; 4]| {
        let [qd, an, ns, ar] = counts;
        vec![0xab, 0xcd, flags, 0, 0, qd, 0, an, 0, ns, 0, ar]
    };
    let question = Ask::of(QUESTION).question();
    let opt = Ask::of(QUESTION).edns(1232).opt();
    let soa = b"\0\0\x06\0\x01\0\0\0\0\0\0".to_vec();
    let long_name = [&[1, b'x'].repeat(128)[..], &[0, 0, 1, 0, 1]].concat();
    let ixfr = Ask::of("svc.internal. IXFR").question();
    let lone_opt = |owner: &[u8], options: &[u8]| {
        let length = u8::try_from(options.len()).unwrap();
        [owner, &[0, 41, 4, 208, 0, 0, 0, 0, 0, length], options].concat()
    };
    let echo = "? web.svc.internal. A\n";
    let edns = "EDNS 0 1232\n";
    type Row<'r> = (&'r str, [u8; 4], Vec<&'r [u8]>, String);
    let table: Vec<Row> = vec![
        ("no question", [0, 0, 0, 0], vec![], "FORMERR\n".into()),
        ("two questions", [2, 0, 0, 0], vec![&question, &question], "FORMERR\n".into()),
        ("a question that is not there", [1, 0, 0, 0], vec![], "FORMERR\n".into()),
        ("a cut question", [1, 0, 0, 0], vec![&question[..9]], "FORMERR\n".into()),
        ("a pointer", [1, 0, 0, 0], vec![b"\xc0\x0c\0\x01\0\x01"], "FORMERR\n".into()),
        ("an odd label", [1, 0, 0, 0], vec![b"\x41x\0\0\x01\0\x01"], "FORMERR\n".into()),
        ("a long name", [1, 0, 0, 0], vec![&long_name], "FORMERR\n".into()),
        ("garbage after it", [1, 0, 0, 0], vec![&question, b"x"], format!("FORMERR\n{echo}")),
        ("an answer", [1, 1, 0, 0], vec![&question, &soa], format!("FORMERR\n{echo}")),
        ("an authority", [1, 0, 1, 0], vec![&question, &soa], format!("FORMERR\n{echo}")),
        (
            "an authority for IXFR",
            [1, 0, 1, 0],
            vec![&ixfr, &soa],
            "REFUSED\n? svc.internal. IXFR\n".into(),
        ),
        ("no OPT where one should be", [1, 0, 0, 1], vec![&question], format!("FORMERR\n{echo}")),
        ("two OPT", [1, 0, 0, 2], vec![&question, &opt, &opt], format!("FORMERR\n{edns}{echo}")),
        ("too many", [1, 0, 0, 17], vec![&question], format!("FORMERR\n{echo}")),
    ];
    for (what, counts, parts, expected) in table {
        let query = [header(0, counts), parts.concat()].concat();
        for transport in [Transport::Udp, Transport::Tcp] {
            let reply = server.send(&query, transport).unwrap();
            assert_eq!(print(&reply), expected, "{what}");
        }
    }
    for (what, opt) in [
        ("an owner", lone_opt(b"\x01x\0", b"")),
        ("a cut option", lone_opt(b"\0", b"\0\x0a\0\x08abc")),
        ("half an option", lone_opt(b"\0", b"\0\x0a")),
    ] {
        let query = [header(0, [1, 0, 0, 1]), question.clone(), opt].concat();
        assert_eq!(
            print(&server.send(&query, Transport::Udp).unwrap()),
            format!("FORMERR\n{echo}"),
            "OPT with {what}"
        );
    }
    // A header alone is enough to say that an opcode is not known (RFC 8906, section 3.1.4).
    let reply = server.send(&header(15 << 3, [0; 4]), Transport::Udp).unwrap();
    assert_eq!(reply, [0xab, 0xcd, 0x80 | 15 << 3, 4, 0, 0, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn flags_are_copied_or_cleared() {
    let mut server = server();
    let table = [
        ([0x01, 0x00], "aa rd"),
        ([0x00, 0x10], "aa cd"),
        ([0x01, 0x10], "aa rd cd"),
        ([0x00, 0x20], "aa"), // AD
        ([0x00, 0x40], "aa"), // Z
        ([0x00, 0x80], "aa"), // RA
        ([0x06, 0x0f], "aa"), // AA, TC and a code
    ];
    for (flags, expected) in table {
        let ask = Ask { flags, ..Ask::of(QUESTION) };
        server.check(&ask, &format!("NOERROR {expected}\n{ANSWER}"));
        assert_eq!(server.send(&ask.bytes(), Transport::Udp).unwrap()[3] & 0x60, 0);
    }
}

#[test]
fn edns() {
    let mut server = server();
    let ask = || Ask::of(QUESTION);
    let cookie = b"\0\x0a\0\x08abcdefgh\0\x64\0\0";
    let table = [
        (ask().edns(4096), format!("NOERROR aa\nEDNS 0 1232\n{ANSWER}")),
        (ask().edns(0), format!("NOERROR aa\nEDNS 0 1232\n{ANSWER}")),
        (ask().edns_ttl(0x8000), format!("NOERROR aa\nEDNS 0 1232 do\n{ANSWER}")),
        (ask().edns_ttl(0x7fff), format!("NOERROR aa\nEDNS 0 1232\n{ANSWER}")),
        (Ask { options: cookie, ..ask().edns(1232) }, format!("NOERROR aa\nEDNS 0 1232\n{ANSWER}")),
        (ask().edns_ttl(0x0001_0000), format!("BADVERS\nEDNS 0 1232\n? {QUESTION}")),
        (ask().edns_ttl(0x00ff_8000), format!("BADVERS\nEDNS 0 1232 do\n? {QUESTION}")),
        // Options of a later version may look otherwise.
        (
            Ask { options: b"\0\x0a\0\x08abc", ..ask().edns_ttl(0x0001_0000) },
            format!("BADVERS\nEDNS 0 1232\n? {QUESTION}"),
        ),
        (ask().edns(1232).tcp(), format!("NOERROR aa\nEDNS 0 1232\n{ANSWER}")),
        (
            Ask::of("example.org. A").edns(1232),
            "REFUSED\nEDNS 0 1232 Unknown(15, [0, 20])\n? example.org. A".into(),
        ),
        (Ask { class: 3, ..ask().edns(1232) }, format!("REFUSED\nEDNS 0 1232\n? {QUESTION}")),
    ];
    for (ask, expected) in table {
        server.check(&ask, &expected);
    }
}

/// A service of so many instances, each with an IPv4 address.
fn crowd(count: u8, answers: Answers) -> Server {
    let server = Server::new(&[]);
    let cells: Vec<_> = (0..count)
        .map(|n| cell("web", &format!("web-{n:02}"), &[&format!("10.0.0.{n}")], None, |_| {}))
        .collect();
    server.view.put_service("web", &cells, answers);
    server
}

/// Octets, TC, and how many records each section has.
fn shape(server: &mut Server, ask: &Ask) -> (usize, bool, usize, usize) {
    let reply = server.send(&ask.bytes(), ask.transport).unwrap();
    let message = Message::from_bytes(&reply).unwrap();
    assert_eq!(message.edns.is_some(), ask.edns.is_some(), "OPT always has room");
    let additionals = message.additionals.len();
    (reply.len(), message.metadata.truncation, message.answers.len(), additionals)
}

#[test]
fn additional_records_go_first_and_then_the_rest_of_the_rrset() {
    let srv = || Ask::of("_web._tcp.svc.internal. SRV");
    // 40 octets of header and question; 43 octets for each record; 16 for an address; 11 for OPT.
    let table = [
        (srv(), (470, true, 10, 0)),
        (srv().edns(512), (481, true, 10, 0)),
        (srv().edns(910), (868, true, 19, 0)),
        (srv().edns(911), (911, false, 20, 0)),
        (srv().edns(1000), (991, false, 20, 5)),
        (srv().edns(4096), (1231, false, 20, 20)),
        (srv().tcp(), (1220, false, 20, 20)),
        (srv().edns(512).tcp(), (1231, false, 20, 20)),
    ];
    for (ask, expected) in table {
        let mut server = crowd(20, Answers::default());
        assert_eq!(shape(&mut server, &ask), expected, "{:?} {:?}", ask.transport, ask.edns);
    }
}

#[test]
fn a_cut_rrset_begins_with_the_one_whose_turn_it_is() {
    let mut server = crowd(60, Answers::default());
    for turn in 0..60 {
        let reply = server.ask(&Ask::of("web.svc.internal. A"));
        let records: Vec<_> = reply.lines().skip(2).collect();
        assert!(reply.starts_with("NOERROR aa tc\n"), "{reply}");
        assert_eq!(records.len(), 29);
        for (place, record) in records.iter().enumerate() {
            let expected = format!("web.svc.internal. 5 A 10.0.0.{}", (turn + place) % 60);
            assert_eq!(*record, expected);
        }
    }
}

#[test]
fn a_window_is_the_whole_answer() {
    let mut server = crowd(5, Answers { max_answers: 2, ..Answers::default() });
    for (first, second) in [(0, 1), (1, 2), (2, 3), (3, 4), (4, 0)] {
        server.check(
            &Ask::of("web.svc.internal. A"),
            &format!(
                "NOERROR aa
                 ? web.svc.internal. A
                 web.svc.internal. 5 A 10.0.0.{first}
                 web.svc.internal. 5 A 10.0.0.{second}"
            ),
        );
    }
    server.check(
        &Ask::of("web.svc.internal. SRV"),
        "NOERROR aa
         ? web.svc.internal. SRV
         web.svc.internal. 5 SRV 0 1 8080 web-00.web.svc.internal.
         web.svc.internal. 5 SRV 0 1 8080 web-01.web.svc.internal.
         additional web-00.web.svc.internal. 5 A 10.0.0.0
         additional web-01.web.svc.internal. 5 A 10.0.0.1",
    );
}

#[test]
fn thousands_of_instances_fit_over_tcp() {
    let server = Server::new(&[]);
    let cells: Vec<_> = (0..1000)
        .map(|n| {
            let address = format!("10.0.{}.{}", n / 250, n % 250);
            cell("web", &format!("web-{n}"), &[&address, &format!("fd00::{n}")], None, |_| {})
        })
        .collect();
    server.view.put_service("web", &cells, Answers::default());
    let mut server = server;
    let srv = Ask::of("_web._tcp.svc.internal. SRV").tcp();
    // Beyond 16,383 octets no pointer reaches: the addresses' owners are written out there.
    let reply = server.send(&srv.bytes(), Transport::Tcp).unwrap();
    let message = Message::from_bytes(&reply).unwrap();
    assert_eq!(message.answers.len(), 1000);
    assert!(!message.metadata.truncation && message.additionals.len() > 300);
    for pair in message.additionals.chunks_exact(2) {
        let [four, six] = pair else { unreachable!() };
        assert_eq!(four.name, six.name);
        let number: u16 = four.name.to_string()[4..].split('.').next().unwrap().parse().unwrap();
        assert_eq!(four.data.to_string(), format!("10.0.{}.{}", number / 250, number % 250));
        let expected: std::net::Ipv6Addr = format!("fd00::{number}").parse().unwrap();
        assert_eq!(six.data.to_string(), expected.to_string());
    }
}

#[test]
fn a_referral_whose_glue_does_not_fit_says_so() {
    let glue: String = (0..20).map(|n| format!("ns.sub AAAA 2001:db8::{n:x}\n")).collect();
    let soa = "$TTL 60\n@ SOA ns me 1 1h 1h 1h 10\n";
    let needed = format!("{soa}sub NS ns.sub\n{glue}");
    let helpful = format!("{soa}sub NS ns.sib\n{}sib NS ns.sib\n", glue.replace(".sub", ".sib"));
    for (zone, truncated) in [(needed, true), (helpful, false)] {
        let mut server = Server::new(&[("p.example.", &zone)]);
        let ask = Ask::of("www.sub.p.example. A");
        let reply = server.send(&ask.bytes(), Transport::Udp).unwrap();
        let message = Message::from_bytes(&reply).unwrap();
        assert_eq!(message.metadata.truncation, truncated);
        assert_eq!((message.authorities.len(), message.additionals.len()), (1, 0));
        let reply = server.send(&ask.bytes(), Transport::Tcp).unwrap();
        assert_eq!(Message::from_bytes(&reply).unwrap().additionals.len(), 20);
    }
}

#[test]
fn counters_count() {
    use super::super::counters::{RCODE_NAMES, TYPE_NAMES, sum};
    let mut server = crowd(60, Answers::default());
    let counters = [server.responder.counters(), Arc::default()];
    let asks = [
        Ask::of("web.svc.internal. A"),
        Ask::of("web.svc.internal. A").tcp(),
        Ask::of("nix.svc.internal. SRV"),
        Ask::of("example.org. TYPE65280"),
        Ask::of("web.svc.internal. A").edns_ttl(0x0001_0000),
    ];
    for ask in &asks {
        server.ask(ask);
    }
    server.send(b"too short", Transport::Udp);
    server.send(&[0; 12], Transport::Tcp);
    let totals = sum(&counters);
    let seen = |counts: &[u64], names: &[&str]| -> Vec<String> {
        let some = names.iter().zip(counts).filter(|(_, count)| **count > 0);
        some.map(|(name, count)| format!("{name} {count}")).collect()
    };
    assert_eq!(seen(&totals.queries[0][0], &TYPE_NAMES), ["A 2", "SRV 1", "other 1"]);
    assert_eq!(seen(&totals.queries[1][0], &TYPE_NAMES), ["A 1", "none 1"]);
    let codes = ["NOERROR 1", "NXDOMAIN 1", "REFUSED 1", "BADVERS 1"];
    assert_eq!(seen(&totals.replies[0], &RCODE_NAMES), codes);
    assert_eq!(seen(&totals.replies[1], &RCODE_NAMES), ["NOERROR 1", "FORMERR 1"]);
    assert_eq!((totals.truncated, totals.dropped), ([1, 0, 0, 0, 0], [1, 0, 0, 0, 0]));
}
