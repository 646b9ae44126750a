//! Replies are built by hickory-proto, and what clients get of them is read by it: a second opinion on both sides.

mod attacks;
mod properties;

use hickory_proto::op::{Message, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, CNAME, MX, NS, NULL, SOA, SRV, TXT};
use hickory_proto::rr::{Name as HickoryName, RData, Record as HickoryRecord, RecordType};

use super::*;
use crate::answer::Transport;
use crate::answer::cached::{self, Age};
use crate::answer::parse;
use crate::answer::recursion::Found;
use crate::answer::rule::Rule;
use crate::cache::{Cache, Lookup};
use crate::dns::forward::testing::Open;
use crate::view::wire::{self, Name};

const NOW: LeaseTime = LeaseTime::from_millis(1_000_000);

fn hickory_name(text: &str) -> HickoryName {
    HickoryName::from_labels(wire::labels_of(&wire::parse(text, b"\0").unwrap())).unwrap()
}

fn own_name(text: &str) -> Name {
    Name::read(&wire::parse(text, b"\0").unwrap()).unwrap()
}

/// `web.example. 60 A 192.0.2.1`. Data of types that the library does not know is the text's octets, of RRSIG the type
/// covered and the signer.
fn record(text: &str) -> HickoryRecord {
    let (owner, rest) = text.split_once(' ').unwrap();
    let (ttl, rest) = rest.split_once(' ').unwrap();
    let (rtype, data) = rest.split_once(' ').unwrap();
    let unknown = |code: u16, octets: Vec<u8>| RData::Unknown {
        code: RecordType::from(code),
        rdata: NULL::with(octets),
    };
    let data = match rtype {
        "A" => RData::A(A(data.parse().unwrap())),
        "CNAME" => RData::CNAME(CNAME(hickory_name(data))),
        "NS" => RData::NS(NS(hickory_name(data))),
        "MX" => RData::MX(MX::new(10, hickory_name(data))),
        "SRV" => RData::SRV(SRV::new(1, 2, 80, hickory_name(data))),
        "TXT" => RData::TXT(TXT::new(vec![data.into()])),
        "SOA" => {
            let names = ["ns.example.", "me.example."].map(hickory_name);
            let [mname, rname] = names;
            RData::SOA(SOA::new(mname, rname, 1, 2, 3, 4, data.parse().unwrap()))
        }
        "RRSIG" => {
            let (covered, signer) = data.split_once(' ').unwrap();
            let covered: u16 = covered.parse().unwrap();
            let mut octets = covered.to_be_bytes().to_vec();
            octets.extend([0; 16]);
            octets.extend(wire::parse(signer, b"\0").unwrap().iter());
            octets.extend(b"signature");
            unknown(46, octets)
        }
        other => unknown(other.parse().unwrap(), data.as_bytes().to_vec()),
    };
    HickoryRecord::from_rdata(hickory_name(owner), ttl.parse().unwrap(), data)
}

/// A reply to `question`, such as `www.example. A`; a line a record, those of the authority section after `authority`,
/// of the additional one after `additional`.
fn reply(question: &str, rcode: ResponseCode, records: &str) -> Message {
    let (name, rtype) = split(question);
    let mut message = Message::response(0xabcd, OpCode::Query);
    message.metadata.response_code = rcode;
    message.metadata.recursion_available = true;
    message.add_query(Query::query(hickory_name(name), RecordType::from(rtype)));
    for line in records.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if let Some(line) = line.strip_prefix("authority ") {
            message.add_authority(record(line));
        } else if let Some(line) = line.strip_prefix("additional ") {
            message.add_additional(record(line));
        } else {
            message.add_answer(record(line));
        }
    }
    message
}

fn split(question: &str) -> (&str, u16) {
    let (name, rtype) = question.split_once(' ').unwrap();
    let rtype = match rtype {
        "A" => 1,
        "CNAME" => 5,
        "MX" => 15,
        "TXT" => 16,
        "SRV" => 33,
        "RRSIG" => 46,
        "ANY" => 255,
        number => number.parse().unwrap(),
    };
    (name, rtype)
}

fn accepted(octets: &[u8], question: &str, dnssec_ok: bool) -> Result<Entry, Refusal> {
    let (name, rtype) = split(question);
    let name = own_name(name);
    accept(octets, Question { name: &name, rtype, dnssec_ok, checking_disabled: false }, &Open, NOW)
}

/// A client's query: name in its case, type, OPT. Its id is 0, for addresses take turns by it.
fn query(name: &[u8], rtype: u16, edns: Option<(u16, bool)>) -> Vec<u8> {
    let mut query = vec![0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(edns.is_some())];
    query.extend(name);
    query.extend(rtype.to_be_bytes());
    query.extend([0, 1]);
    if let Some((size, dnssec_ok)) = edns {
        query.extend([0, 0, 41]);
        query.extend(size.to_be_bytes());
        query.extend([0, 0, if dnssec_ok { 0x80 } else { 0 }, 0, 0, 0]);
    }
    query
}

fn encoded(entry: &Entry, query: &[u8], transport: Transport, now: LeaseTime) -> Vec<u8> {
    let name = Name::read(&query[12..]).unwrap();
    let peer = "192.0.2.1:4000".parse().unwrap();
    let query = parse::parse(query, peer, transport, Some(&name)).unwrap();
    let mut out = vec![0; 65_535];
    let found = Found { entry, age: Age::Fresh, rule: Rule::Cache, is_due: false };
    let reply = cached::encode(&found, &query, now, transport, &mut out).unwrap();
    out.truncate(reply.len);
    out
}

/// What a client gets of a reply, a line a record, and for how long it is kept.
fn served(message: &Message, question: &str, dnssec_ok: bool) -> String {
    let entry = match accepted(&message.to_vec().unwrap(), question, dnssec_ok) {
        Ok(entry) => entry,
        Err(refusal) => return format!("{refusal:?}"),
    };
    let (name, rtype) = split(question);
    let query = query(&wire::parse(name, b"\0").unwrap(), rtype, Some((1232, dnssec_ok)));
    let reply = Message::from_vec(&encoded(&entry, &query, Transport::Tcp, NOW)).unwrap();
    let mut lines = vec![format!(
        "{:?} {} for {}",
        reply.metadata.response_code,
        match entry.head().scope {
            Scope::Name => "name",
            _ => "type",
        },
        entry.head().life_secs
    )];
    for (section, records) in
        [("", &reply.answers), ("authority ", &reply.authorities), ("more ", &reply.additionals)]
    {
        for record in records {
            let data = match &record.data {
                RData::Unknown { .. } => "...".into(),
                known => known.to_string(),
            };
            let (name, ttl, rtype) = (&record.name, record.ttl, record.record_type());
            lines.push(format!("{section}{name} {ttl} {} {data}", u16::from(rtype)));
        }
    }
    lines.join("\n")
}

#[track_caller]
fn check(question: &str, rcode: ResponseCode, dnssec_ok: bool, records: &str, expected: &str) {
    let expected: Vec<_> = expected.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    assert_eq!(served(&reply(question, rcode, records), question, dnssec_ok), expected.join("\n"));
}
