//! What upstreams, and who speaks in their place, have tried: a test a row of the research.

use super::*;

use ResponseCode::{NXDomain, NoError};

#[test]
fn an_answer_is_its_chain_and_rrset() {
    let records = "
        web.example. 60 A 192.0.2.1
        www.example. 300 CNAME web.example.
        web.example. 50 A 192.0.2.2
        web.example. 60 A 192.0.2.1";
    let expected = "
        NoError type for 50
        www.example. 300 5 web.example.
        web.example. 50 1 192.0.2.1
        web.example. 50 1 192.0.2.2";
    check("www.example. A", NoError, false, records, expected);
}

/// Kaminsky, MaginotDNS, CVE-2025-40778: records of siblings, delegations and addresses injected.
#[test]
fn nothing_but_the_chain_is_kept() {
    let records = "
        www.example. 60 A 192.0.2.1
        bank.example. 60 A 203.0.113.1
        www.example. 60 TXT injected
        example. 60 NS ns.evil.
        authority example. 60 NS ns.evil.
        authority com. 60 NS ns.evil.
        authority example. 60 SOA 60
        additional ns.evil. 60 A 203.0.113.1
        additional www.example. 60 A 203.0.113.2";
    let expected = "
        NoError type for 60
        www.example. 60 1 192.0.2.1";
    check("www.example. A", NoError, false, records, expected);
    let records = "
        www.example. 60 CNAME web.example.
        other.example. 60 CNAME bank.example.
        bank.example. 60 A 203.0.113.1
        authority example. 30 SOA 20";
    let expected = "
        NoError type for 20
        www.example. 60 5 web.example.
        authority example. 20 6 ns.example. me.example. 1 2 3 4 20";
    check("www.example. A", NoError, false, records, expected);
}

#[test]
fn what_is_accepted_is_found_by_its_question_alone() {
    let cache = Cache::new(1 << 20);
    let (www, web) = (own_name("www.example."), own_name("web.example."));
    let ask = |name, dnssec_ok| Question { name, rtype: 1, dnssec_ok, checking_disabled: false };
    let records = "
        www.example. 60 CNAME web.example.
        web.example. 60 A 192.0.2.1";
    let message = reply("www.example. A", NoError, records);
    let entry = accept(&message.to_vec().unwrap(), ask(&www, false), &Open, NOW).unwrap();
    cache.answered(ask(&www, false), entry, NOW);
    let reader = cache.read();
    assert!(matches!(reader.look_up(ask(&www, false), NOW), Lookup::Fresh(_)));
    assert!(matches!(reader.look_up(ask(&www, true), NOW), Lookup::Nothing));
    assert!(matches!(reader.look_up(ask(&web, false), NOW), Lookup::Nothing));
}

/// Shadowing, CVE-2026-44687: the absence of a parent covers no name below it.
#[test]
fn the_absence_of_a_parent_covers_no_child() {
    let cache = Cache::new(1 << 20);
    let (parent, child) = (own_name("internal."), own_name("web.svc.internal."));
    let ask = |name| Question { name, rtype: 1, dnssec_ok: false, checking_disabled: false };
    let message = reply("internal. A", NXDomain, "authority . 86400 SOA 86400");
    let entry = accept(&message.to_vec().unwrap(), ask(&parent), &Open, NOW).unwrap();
    cache.answered(ask(&parent), entry, NOW);
    let reader = cache.read();
    let aaaa = Question { rtype: 28, ..ask(&parent) };
    assert!(matches!(reader.look_up(aaaa, NOW), Lookup::Fresh(_)));
    assert!(matches!(reader.look_up(ask(&child), NOW), Lookup::Nothing));
}

/// TuDoor: a bad reply does not end the wait.
#[test]
fn what_anybody_could_send_is_ignored() {
    let good = reply("www.example. A", NoError, "www.example. 60 A 192.0.2.1").to_vec().unwrap();
    let asked = |octets: &[u8]| accepted(octets, "www.example. A", false).map(|_| ());
    assert_eq!(asked(&good), Ok(()));
    let changed = |at: usize, octet: u8| {
        let mut octets = good.clone();
        octets[at] = octet;
        octets
    };
    let malformed = Err(Refusal::Ignore(Ignored::Malformed));
    let not_a_reply = Err(Refusal::Ignore(Ignored::NotAReply));
    let other = Err(Refusal::Ignore(Ignored::OtherQuestion));
    assert_eq!(asked(&changed(2, 0x01)), not_a_reply, "QR=0");
    assert_eq!(asked(&changed(2, 0xa8)), not_a_reply, "an UPDATE's reply");
    assert_eq!(asked(&changed(5, 0)), other, "no question");
    assert_eq!(asked(&changed(5, 2)), other, "two questions");
    assert_eq!(asked(&changed(13, b'x')), other, "another name");
    assert_eq!(asked(&changed(26, 28)), other, "another type");
    assert_eq!(asked(&changed(28, 3)), other, "another class");
    assert_eq!(asked(&changed(7, 2)), malformed, "fewer records than it says");
    assert_eq!(asked(&changed(7, 0)), malformed, "more records than it says");
    for end in 0..good.len() {
        assert!(matches!(asked(&good[..end]), Err(Refusal::Ignore(_))), "{end}");
    }
    assert_eq!(asked(&[&good[..], b"x"].concat()), malformed, "more than there should be");
    // An address of three octets.
    let mut short = good.clone();
    let length = short.len() - 5;
    short[length] = 3;
    short.pop();
    assert_eq!(asked(&short), malformed);
}

#[test]
fn what_is_cut_off_or_failed_is_told_as_such() {
    let mut message = reply("www.example. A", NoError, "");
    message.metadata.truncation = true;
    let mut octets = message.to_vec().unwrap();
    octets[7] = 9; // its records are cut off as well
    assert_eq!(accepted(&octets, "www.example. A", false).err(), Some(Refusal::Truncated));
    for (rcode, number) in [
        (ResponseCode::FormErr, 1),
        (ResponseCode::ServFail, 2),
        (ResponseCode::NotImp, 4),
        (ResponseCode::Refused, 5),
    ] {
        check("www.example. A", rcode, false, "", &format!("Failure({number})"));
    }
    // Without its question, as servers answer that know no EDNS.
    let bare = [0xab, 0xcd, 0x81, 0x81, 0, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(accepted(&bare, "www.example. A", false).err(), Some(Refusal::Failure(1)));
    check("www.example. ANY", NoError, false, "", "Failure(4)");
}

/// OPT has the rest of the code (RFC 6891, section 6.1.3), and is there once (CVE-2026-42944).
#[test]
fn opt_is_read_once() {
    let mut octets = reply("www.example. A", NoError, "").to_vec().unwrap();
    octets[11] = 1;
    octets.extend([0, 0, 41, 4, 208, 1, 0, 0, 0, 0, 0]);
    assert_eq!(accepted(&octets, "www.example. A", false).err(), Some(Refusal::Failure(16)));
    octets[11] = 2;
    octets.extend([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]);
    let malformed = Some(Refusal::Ignore(Ignored::Malformed));
    assert_eq!(accepted(&octets, "www.example. A", false).err(), malformed);
}

/// CVE-2022-48256, TsuNAME: chains that loop or have no end.
#[test]
fn a_chain_has_an_end() {
    let unhelpful = "Unhelpful";
    check("a.example. A", NoError, false, "a.example. 60 CNAME A.example.", unhelpful);
    let loop_of_two = "
        a.example. 60 CNAME b.example.
        b.example. 60 CNAME a.example.";
    check("a.example. A", NoError, false, loop_of_two, unhelpful);
    let two_ways = "
        a.example. 60 CNAME b.example.
        a.example. 60 CNAME c.example.
        b.example. 60 A 192.0.2.1";
    check("a.example. A", NoError, false, two_ways, unhelpful);
    for (links, is_accepted) in [(8, true), (9, false)] {
        let mut chain: String =
            (0..links).map(|n| format!("n{n}.example. 60 CNAME n{}.example.\n", n + 1)).collect();
        chain += &format!("n{links}.example. 60 A 192.0.2.1");
        let served = served(&reply("n0.example. A", NoError, &chain), "n0.example. A", false);
        assert_eq!(served != unhelpful, is_accepted, "{served}");
    }
    let expected = "
        NoError type for 60
        a.example. 60 5 b.example.";
    check("a.example. CNAME", NoError, false, loop_of_two, expected);
}

#[test]
fn absence_lasts_as_long_as_the_zone_says() {
    let (nix, web) = ("nix.example. A", "web.example. A");
    let soa = |ttl: u32, minimum: u32, zone: &str| {
        format!("\nauthority {zone} {ttl} 6 ns.example. me.example. 1 2 3 4 {minimum}")
    };
    let of = |first: &str, soa: String| format!("{first}{soa}");
    let expected = of("NXDomain name for 300", soa(300, 300, "example."));
    check(nix, NXDomain, false, "authority example. 900 SOA 300", &expected);
    let expected = of("NoError type for 60", soa(60, 300, "example."));
    check(web, NoError, false, "authority Example. 60 SOA 300", &expected);
    let expected = of("NXDomain name for 10800", soa(10_800, 86_400, "."));
    check(nix, NXDomain, false, "authority . 86400 SOA 86400", &expected);
    // Behind an alias, another name is absent.
    let records = "
        www.example. 60 CNAME web.example.
        authority example. 90 SOA 90";
    let first = "NXDomain type for 60\nwww.example. 60 5 web.example.";
    check("www.example. A", NXDomain, false, records, &of(first, soa(90, 90, "example.")));
    // Another zone's word does not count, nor does none.
    check(nix, NXDomain, false, "authority ample. 60 SOA 300", "NXDomain name for 0");
    check(nix, NXDomain, false, "authority a.nix.example. 60 SOA 9", "NXDomain name for 0");
    check(nix, NoError, false, "", "NoError type for 0");
    // A delegation, and a contradiction.
    check(nix, NoError, false, "authority example. 60 NS a.example.", "Unhelpful");
    check(web, NXDomain, false, "web.example. 60 A 192.0.2.1", "Unhelpful");
}

/// Ghost TTL, CVE-2026-40622.
#[test]
fn ttls_are_capped_and_one_an_rrset() {
    let capped = "NoError type for 86400\na.example. 86400 1 192.0.2.1";
    check("a.example. A", NoError, false, "a.example. 2147483647 A 192.0.2.1", capped);
    let nothing = "NoError type for 0\na.example. 0 1 192.0.2.1";
    check("a.example. A", NoError, false, "a.example. 2147483648 A 192.0.2.1", nothing);
    let records = "
        a.example. 90 A 192.0.2.1
        a.example. 30 A 192.0.2.2
        a.example. 60 A 192.0.2.1";
    let least = "
        NoError type for 30
        a.example. 30 1 192.0.2.1
        a.example. 30 1 192.0.2.2";
    check("a.example. A", NoError, false, records, least);
}

#[test]
fn signatures_are_for_who_asks_for_them() {
    let records = "
        a.example. 60 A 192.0.2.1
        a.example. 60 RRSIG 1 example.
        a.example. 60 RRSIG 28 example.
        b.example. 60 RRSIG 1 example.
        authority x.example. 60 47 proof
        authority x.example. 60 RRSIG 47 example.
        authority x.evil. 60 47 proof
        authority x.evil. 60 RRSIG 47 evil.
        authority y.evil. 60 47 proof
        authority y.evil. 60 RRSIG 47 example.
        authority z.example. 60 47 unsigned";
    let unsigned = "
        NoError type for 60
        a.example. 60 1 192.0.2.1";
    check("a.example. A", NoError, false, records, unsigned);
    let signed = "
        NoError type for 60
        a.example. 60 1 192.0.2.1
        a.example. 60 46 ...
        authority x.example. 60 47 ...
        authority x.example. 60 46 ...";
    check("a.example. A", NoError, true, records, signed);
    let signatures = "
        NoError type for 60
        a.example. 60 46 ...
        a.example. 60 46 ...
        authority x.example. 60 47 ...
        authority x.example. 60 46 ...";
    check("a.example. RRSIG", NoError, true, records, signatures);
    let records = "
        authority example. 60 SOA 30
        authority example. 60 RRSIG 6 example.
        authority n.example. 60 47 proof
        authority n.example. 60 RRSIG 47 example.";
    let absent = "
        NXDomain name for 30
        authority example. 30 6 ns.example. me.example. 1 2 3 4 30
        authority example. 30 46 ...
        authority n.example. 60 47 ...
        authority n.example. 60 46 ...";
    check("nix.example. A", NXDomain, true, records, absent);
}

/// A message whose every record is a pointer to a pointer costs no more than another (RUSTSEC-2026-0119's kin).
#[test]
fn long_messages_of_pointers_are_read_in_little_time() {
    let mut octets = reply("www.example. A", NoError, "").to_vec().unwrap();
    octets[6..8].copy_from_slice(&4000_u16.to_be_bytes());
    let mut last = 12_u16;
    for n in 0..4000_u16 {
        let here = u16::try_from(octets.len()).unwrap();
        octets.extend((0xc000 | last).to_be_bytes());
        octets.extend([0, 1, 0, 1, 0, 0, 0, 9, 0, 1, 7]);
        last = if n % 100 == 99 || here >= 0x4000 { 12 } else { here };
    }
    let start = std::time::Instant::now();
    let refusal = accepted(&octets, "www.example. A", false).err();
    assert_eq!(refusal, Some(Refusal::Ignore(Ignored::Malformed)), "addresses of one octet");
    assert!(start.elapsed().as_millis() < 1000, "an unoptimised build, on a busy machine");
}
