//! Replies built with hickory-proto or by hand, and what is read of them.

use std::net::Ipv4Addr;

use hickory_proto::op::{Edns, Message, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, CNAME, MX, NULL, SOA, SRV, TXT};
use hickory_proto::rr::{Name, RData, Record as HickoryRecord, RecordType};

use super::*;

const WISHES: Wishes = Wishes { recursion: true, dnssec: false };

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

fn query(text: &str, rtype: &str) -> Query {
    Query::new(7, text, rtype, WISHES).unwrap()
}

/// A reply to `a.example. A`, with what `change` does to it.
fn reply_with(change: impl FnOnce(&mut Message)) -> Vec<u8> {
    let mut message = Message::response(7, OpCode::Query);
    message.add_query(hickory_proto::op::Query::query(name("A.Example."), RecordType::A));
    change(&mut message);
    message.to_vec().unwrap()
}

#[test]
fn a_query_is_what_hickory_reads() {
    for (recursion, dnssec) in [(true, false), (false, true)] {
        let wishes = Wishes { recursion, dnssec };
        let query = Query::new(0x1234, "Www.a\\.b", "srv", wishes).unwrap();
        let message = Message::from_vec(query.bytes()).unwrap();
        assert_eq!((message.metadata.id, message.metadata.recursion_desired), (0x1234, recursion));
        let edns = message.edns.unwrap();
        assert_eq!((edns.flags().dnssec_ok, edns.max_payload()), (dnssec, 1232));
        let asked = &message.queries[0];
        assert_eq!(asked.query_type(), RecordType::SRV);
        assert_eq!(asked.name().iter().collect::<Vec<_>>(), [&b"Www"[..], b"a.b"]);
        assert_eq!(query.question(), "Www.a\\.b. SRV");
    }
    assert_eq!(query(".", "TYPE65280").question(), ". TYPE65280");
}

#[test]
fn what_cannot_be_asked_is_refused() {
    for (name, rtype, reason) in [
        ("a", "AA", "`AA` is no type, such as A, SRV or TYPE65280"),
        ("a", "axfr", "axfr asks for a transfer, not a question"),
        ("a", "TYPE251", "TYPE251 asks for a transfer, not a question"),
        ("a", "OPT", "`OPT` is no type, such as A, SRV or TYPE65280"),
        ("a", "TYPE41", "`TYPE41` is no type that can be asked for"),
        ("a..b", "A", "`a..b` has an empty label"),
        ("", "A", "an empty name"),
    ] {
        assert_eq!(Query::new(1, name, rtype, WISHES).unwrap_err(), reason);
    }
}

#[test]
fn records_are_lines_of_a_zone_file() {
    let generic = |code, octets: &[u8]| RData::Unknown {
        code: RecordType::from(code),
        rdata: NULL::with(octets.to_vec()),
    };
    let soa = SOA::new(name("ns.example."), name("host.example."), 5, 1, 2, 3, 4);
    let text = RData::TXT(TXT::from_bytes(vec![b"a \"b\"", b"\xff\\", b""]));
    let table = [
        (RData::A(A(Ipv4Addr::LOCALHOST)), "A\t127.0.0.1"),
        (RData::CNAME(CNAME(name("b.example."))), "CNAME\tb.example."),
        (RData::MX(MX::new(10, name("."))), "MX\t10 ."),
        (RData::SRV(SRV::new(1, 2, 3, name("t.example."))), "SRV\t1 2 3 t.example."),
        (RData::SOA(soa), "SOA\tns.example. host.example. 5 1 2 3 4"),
        (text, "TXT\t\"a \\\"b\\\"\" \"\\255\\\\\" \"\""),
        (generic(65280, &[1, 0xab]), "TYPE65280\t\\# 2 01ab"),
        (generic(43, &[0x12, 0x34, 13, 2, 0xab]), "DS\t4660 13 2 ab"),
        (generic(43, &[1]), "DS\t\\# 1 01"),
    ];
    for (data, line) in table {
        let bytes = reply_with(|message| {
            let record = HickoryRecord::from_rdata(name("a.example."), 30, data);
            message.add_answer(record);
        });
        let reply = query("a.example", "A").read_reply(&bytes).unwrap();
        assert_eq!(reply.answer[0].to_string(), format!("a.example.\t30\tIN\t{line}"));
    }
}

#[test]
fn a_reply_tells_its_code_flags_and_errors() {
    let bytes = reply_with(|message| {
        message.metadata.authoritative = true;
        message.metadata.truncation = true;
        message.metadata.response_code = ResponseCode::BADVERS;
        let mut edns = Edns::new();
        for data in [b"\x00\x03held\0".to_vec(), b"\x01\x00".to_vec(), b"\x01".to_vec()] {
            edns.options_mut().options.push((EdnsCode::from(15), EdnsOption::Unknown(15, data)));
        }
        edns.options_mut().options.push((EdnsCode::from(100), EdnsOption::Unknown(100, vec![1])));
        message.set_edns(edns);
    });
    let reply = query("a.example", "A").read_reply(&bytes).unwrap();
    assert_eq!((&*reply.rcode, reply.is_cut), ("BADVERS", true));
    assert_eq!(reply.flags, ["qr", "aa", "tc"]);
    assert_eq!(reply.question, "A.Example. A");
    let errors: Vec<_> = reply.errors.iter().map(ToString::to_string).collect();
    assert_eq!(errors, ["3 (stale answer): held", "256"]);
}

#[test]
fn only_the_reply_is_read() {
    let ours = query("a.example", "A");
    let good = reply_with(|_| {});
    assert!(ours.read_reply(&good).is_ok());
    let foreign = [
        reply_with(|message| message.metadata.id = 8),
        reply_with(|message| message.metadata.message_type = MessageType::Query),
        reply_with(|message| message.queries.clear()),
        reply_with(|message| message.queries[0].query_type = RecordType::AAAA),
        reply_with(|message| message.queries[0].name = name("b.example.")),
        reply_with(|message| message.queries.push(message.queries[0].clone())),
        vec![],
        vec![0, 7],
    ];
    for bytes in foreign {
        assert_eq!(ours.read_reply(&bytes), Err(NotTheReply::Foreign), "{bytes:?}");
    }
    let error = reply_with(|message| {
        message.queries.clear();
        message.metadata.response_code = ResponseCode::FormErr;
    });
    let reply = ours.read_reply(&error).unwrap();
    assert_eq!((&*reply.rcode, &*reply.question), ("FORMERR", ""));
    for length in 3..good.len() {
        assert!(ours.read_reply(&good[..length]).is_err(), "{length}");
    }
}

#[test]
fn addresses_have_names() {
    for (ip, name) in [
        ("10.0.0.5", "5.0.0.10.in-addr.arpa."),
        ("fd00::5", "5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa."),
    ] {
        assert_eq!(reverse_name(ip.parse().unwrap()), name);
    }
}
