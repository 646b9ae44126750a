//! What upstream said, as clients get it: whole replies, and every size at which they may be cut.

use super::*;
use crate::answer::cached::{self, Age};
use crate::answer::recursion::Found;
use crate::answer::rule::Rule;
use crate::answer::{Encoded, Full, parse};
use crate::cache::{Draft, Entry, Question, RRset, Scope, Section};
use crate::view::wire::Name;

const STORED: LeaseTime = LeaseTime::from_millis(50_000);

fn wire_name(text: &str) -> Vec<u8> {
    wire::parse(text, b"\0").unwrap().to_vec()
}

/// An RRset of an entry: section, owner, type, TTL, data.
type Set<'s> = (Section, &'s str, u16, u32, Vec<Vec<u8>>);

fn entry(name: &str, rtype: u16, (rcode, scope): (u8, Scope), sets: &[Set<'_>]) -> Entry {
    let name = Name::read(&wire_name(name)).unwrap();
    let question = Question { name: &name, rtype, dnssec_ok: false, checking_disabled: false };
    let mut draft = Draft::new(question);
    for (section, owner, rtype, ttl, rdata) in sets {
        let (section, owner, rtype, ttl) = (*section, &*wire_name(owner), *rtype, *ttl);
        draft.add(&RRset { section, owner, rtype, ttl, rdata }).unwrap();
    }
    let life = draft.least_ttl();
    draft.finish(rcode, true, scope, STORED, life)
}

/// `www.example.`, an alias of `web.example.`, with addresses.
fn alias() -> Entry {
    let addresses = (1..=3).map(|n| vec![192, 0, 2, n]).collect();
    entry(
        "www.example.",
        1,
        (0, Scope::Type),
        &[
            (Section::Answer, "www.example.", 5, 300, vec![wire_name("web.example.")]),
            (Section::Answer, "web.example.", 1, 60, addresses),
        ],
    )
}

fn absent() -> Entry {
    let numbers = [7_u32, 1, 1, 1, 60].map(u32::to_be_bytes).concat();
    let soa = [wire_name("ns.example."), wire_name("me.example."), numbers].concat();
    entry(
        "nix.example.",
        1,
        (3, Scope::Name),
        &[(Section::Authority, "example.", 6, 60, vec![soa])],
    )
}

fn found(entry: &Entry, age: Age) -> Found<'_> {
    Found { entry, age, rule: Rule::Cache, is_due: false }
}

fn send(entry: &Entry, age: Age, ask: &Ask, secs: u64, room: usize) -> Result<Vec<u8>, Full> {
    let query = ask.bytes();
    let name = Name::read(&query[12..]).unwrap();
    let peer = CLIENT.parse().unwrap();
    let query = parse::parse(&query, peer, ask.transport, Some(&name)).unwrap();
    let mut out = vec![0xee; room];
    let now = STORED.plus(secs * 1000);
    let Encoded { len, truncated } =
        cached::encode(&found(entry, age), &query, now, ask.transport, &mut out)?;
    assert_eq!(truncated, out[2] & 2 != 0);
    out.truncate(len);
    Ok(out)
}

#[track_caller]
fn check(entry: &Entry, age: Age, ask: &Ask, secs: u64, expected: &str) {
    let reply = print(&send(entry, age, ask, secs, 1232).unwrap());
    let expected: Vec<_> = expected.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    assert_eq!(reply, expected.join("\n") + "\n");
}

#[test]
fn the_question_keeps_its_case_and_ttls_are_counted_down() {
    let ask = Ask { flags: [1, 0x30], ..Ask::of("wWw.eXample. A") };
    check(
        &alias(),
        Age::Fresh,
        &ask,
        59,
        "
        NOERROR rd ra ad cd
        ? wWw.eXample. A
        wWw.eXample. 241 CNAME web.eXample.
        web.eXample. 1 A 192.0.2.2
        web.eXample. 1 A 192.0.2.3
        web.eXample. 1 A 192.0.2.1",
    );
}

#[test]
fn who_does_not_ask_what_is_validated_is_not_told() {
    let ask = Ask { flags: [0, 0], ..Ask::of("nix.example. A") }.edns(1232);
    check(
        &absent(),
        Age::Fresh,
        &ask,
        0,
        "
        NXDOMAIN ra
        EDNS 0 1232
        ? nix.example. A
        authority example. 60 SOA ns.example. me.example. 7 1 1 1 60",
    );
    check(
        &absent(),
        Age::Fresh,
        &ask.edns_ttl(0x8000),
        10,
        "
        NXDOMAIN ra ad
        EDNS 0 1232 do
        ? nix.example. A
        authority example. 50 SOA ns.example. me.example. 7 1 1 1 60",
    );
}

#[test]
fn what_no_longer_holds_has_thirty_seconds_and_says_so() {
    check(
        &alias(),
        Age::Stale,
        &Ask::of("www.example. A").edns(1232),
        5000,
        "
        NOERROR ra
        EDNS 0 1232 Unknown(15, [0, 3])
        ? www.example. A
        www.example. 30 CNAME web.example.
        web.example. 30 A 192.0.2.2
        web.example. 30 A 192.0.2.3
        web.example. 30 A 192.0.2.1",
    );
    check(
        &absent(),
        Age::Stale,
        &Ask::of("nix.example. A").edns(1232),
        5000,
        "
        NXDOMAIN ra
        EDNS 0 1232 Unknown(15, [0, 19])
        ? nix.example. A
        authority example. 30 SOA ns.example. me.example. 7 1 1 1 60",
    );
}

#[test]
fn a_failure_says_why() {
    let name = Name::read(&wire_name("web.example.")).unwrap();
    let question = Question { name: &name, rtype: 1, dnssec_ok: false, checking_disabled: false };
    let failure = Draft::new(question).because(22).finish(2, false, Scope::Failure, STORED, 5);
    check(
        &failure,
        Age::Fresh,
        &Ask::of("web.example. A").edns(1232),
        1,
        "
        SERVFAIL ra
        EDNS 0 1232 Unknown(15, [0, 22])
        ? web.example. A",
    );
}

#[test]
fn addresses_take_turns_by_the_id_and_nothing_else_moves() {
    let entry = alias();
    let query = Ask::of("www.example. A").bytes();
    let name = Name::read(&query[12..]).unwrap();
    let mut leaders = std::collections::BTreeMap::new();
    for id in 0..300_u16 {
        let mut query = query.clone();
        query[..2].copy_from_slice(&id.to_be_bytes());
        let peer = CLIENT.parse().unwrap();
        let query = parse::parse(&query, peer, Transport::Udp, Some(&name)).unwrap();
        let mut out = vec![0; 1232];
        let encoded =
            cached::encode(&found(&entry, Age::Fresh), &query, STORED, Transport::Udp, &mut out)
                .unwrap();
        out.truncate(encoded.len);
        let lines = print(&out);
        let records: Vec<_> = lines.lines().filter(|line| line.contains(" 60 A ")).collect();
        assert_eq!(records.len(), 3);
        assert_eq!(std::collections::BTreeSet::from_iter(&records).len(), 3);
        assert!(
            lines.contains("www.example. 300 CNAME web.example.\nweb.example. 60 A "),
            "{lines}"
        );
        *leaders.entry(records[0].to_owned()).or_insert(0) += 1;
    }
    assert_eq!(leaders.into_values().collect::<Vec<_>>(), [100, 100, 100]);
}

#[test]
fn a_ttl_of_nothing_stays_so() {
    let sets = [(Section::Answer, "a.example.", 1, 0, vec![vec![192, 0, 2, 1]])];
    let entry = entry("a.example.", 1, (0, Scope::Type), &sets);
    check(
        &entry,
        Age::Fresh,
        &Ask::of("a.example. A"),
        0,
        "
        NOERROR ra
        ? a.example. A
        a.example. 0 A 192.0.2.1",
    );
}

#[test]
fn an_entry_of_another_name_does_not_answer() {
    let ask = Ask::of("web.example. A");
    assert_eq!(send(&alias(), Age::Fresh, &ask, 0, 1232), Err(Full));
}

#[test]
fn wherever_it_is_cut_what_fits_stands_and_tc_is_said() {
    let ask = Ask::of("www.example. A").edns(1232);
    let whole = send(&alias(), Age::Fresh, &ask, 0, 1232).unwrap();
    for room in 0..=whole.len() {
        // 12 of the header, 17 of the question, 11 of OPT, 18 of the CNAME, 16 of each address.
        let answers = match room {
            0..40 => {
                assert_eq!(send(&alias(), Age::Fresh, &ask, 0, room), Err(Full), "{room}");
                continue;
            }
            40..58 => 0,
            58..74 => 1,
            74..90 => 2,
            90..106 => 3,
            _ => 4,
        };
        let reply = send(&alias(), Age::Fresh, &ask, 0, room).unwrap();
        let message = Message::from_bytes(&reply).unwrap();
        assert_eq!(message.answers.len(), answers, "{room}");
        assert_eq!(message.metadata.truncation, answers < 4);
        assert!(message.edns.is_some() && reply.len() <= room);
    }
    assert_eq!(whole.len(), 106);
}

#[test]
fn a_long_answer_is_cut_over_udp_and_whole_over_tcp() {
    let texts: Vec<_> = (0..40).map(|n| [vec![99], vec![b'a' + n; 99]].concat()).collect();
    let entry = entry(
        "a.example.",
        16,
        (0, Scope::Type),
        &[(Section::Answer, "a.example.", 16, 60, texts)],
    );
    // 12 of the header, 15 of the question, 11 of OPT, 112 of each record.
    for (ask, answers) in [
        (Ask::of("a.example. TXT"), 4),
        (Ask::of("a.example. TXT").edns(4096), 10),
        (Ask::of("a.example. TXT").tcp(), 40),
    ] {
        let reply = send(&entry, Age::Fresh, &ask, 0, 65_535).unwrap();
        let message = Message::from_bytes(&reply).unwrap();
        assert_eq!(message.answers.len(), answers);
        assert_eq!(message.metadata.truncation, answers < 40);
    }
}
