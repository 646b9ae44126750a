//! Zone files that are wrong, with file and line; forms that are right; directories; conflicts.

use std::fs;

use proptest::prelude::*;

use super::*;
use crate::view::zones::{Conflict, MAX_RRSET, ZoneSettings, Zones};

const SOA: &str = "$TTL 60\n@ SOA ns me 1 1h 1h 1h 10\n";

fn zone(text: &str) -> Result<FileZone, ZoneFileError> {
    load(Path::new("zones/p.example.zone"), "p.example.", text)
}

/// The data of the one record at `relative` of a type.
fn data(text: &str, relative: &[u8], rtype: u16) -> Vec<u8> {
    let zone = zone(text).unwrap();
    let rrset = zone.node(relative).unwrap().rrset(rtype).unwrap();
    assert_eq!(rrset.records.len(), 1);
    rrset.records[0].rdata.to_vec()
}

#[test]
fn errors_name_the_line() {
    let long = format!("a TXT \"{}\"", "x".repeat(256));
    let table = [
        ("a A 192.0.2.1\n", 3, ""),
        ("\n; comment\n\na A 192.0.2\n", 6, "`192.0.2` is not an IPv4 address"),
        ("a AAAA 192.0.2.1", 3, "`192.0.2.1` is not an IPv6 address"),
        ("a (\n A\n 192.0.2.1\n)\nb A x", 7, "`x` is not an IPv4 address"),
        ("a MX mail", 3, "the preference `mail` is no number, or is too great"),
        ("a MX 10", 3, "a name is missing"),
        ("a MX 10 b c", 3, "`c` is one word too many"),
        ("a SRV 0 0 65536 b", 3, "the port `65536` is no number, or is too great"),
        ("a SOA ns me 1 1h 1h 1h 1h", 3, "an SOA record belongs to the zone's own name"),
        ("@ SOA ns me 2 1h 1h 1h 1h", 3, "the zone has two SOA records"),
        ("a.p.example.org. A 192.0.2.1", 3, "`a.p.example.org.` is not in the zone `p.example.`"),
        ("$ORIGIN org.\na A 192.0.2.1", 4, "`a.org.` is not in the zone `p.example.`"),
        (
            "a A 192.0.2.1\na CNAME b",
            4,
            "a CNAME record stands alone, and the name has other records",
        ),
        ("a CNAME b\nA TXT x", 4, "the name has a CNAME record, which stands alone"),
        ("a CNAME b\na CNAME c", 4, "the name has two CNAME records"),
        ("@ CNAME b", 3, "the zone's own name cannot be an alias"),
        ("a DNAME b", 3, "DNAME records are not supported"),
        ("*.a NS ns", 3, "a wildcard cannot be delegated (RFC 4592, section 4.2)"),
        (&long, 3, "a text of 256 octets; split it into strings of at most 255"),
        ("a TXT \"x\ny\"", 3, "a `\"` without the one that ends its text"),
        ("a TXT ( x\n\n", 3, "a `(` without its `)`"),
        ("a TXT x )", 3, "a `)` without its `(`"),
        ("a TXT ( ( x ) )", 3, "a `(` within parentheses"),
        ("a TXT \\300", 3, "`\\300` has the escape `\\300`; the last one is `\\255`"),
        ("a.. A 192.0.2.1", 3, "`a..` has an empty label"),
        ("a CH TXT x", 3, "class CH: only IN is served"),
        ("a NIX x", 3, "`NIX` is not a type that a zone can have"),
        ("a ANY x", 3, "class ANY: only IN is served"),
        ("a TYPE41 \\# 0", 3, "`TYPE41` is not a type that a zone can have"),
        ("a IN", 3, "the record has no type"),
        ("a 4294967295 A 192.0.2.1", 3, "the TTL 4294967295 is greater than 2147483647"),
        ("a 1x A 192.0.2.1", 3, "`1X` is no time such as 3600 or 1h"),
        ("a TYPE65280 \\# 2 00", 3, "the length is given as 2, and there are 1 octets"),
        ("a A \\# 3 0a0000", 3, "the data does not fit the type"),
        ("a MX \\# 3 000a03", 3, "the data does not fit the type"),
        (
            "$GENERATE 1-9 a$ A 192.0.2.$",
            3,
            "`$GENERATE` is not supported; $ORIGIN, $TTL and $INCLUDE are",
        ),
        ("$INCLUDE nix", 3, "zones/nix cannot be opened: No such file or directory (os error 2)"),
    ];
    for (text, line, reason) in table {
        let found = zone(&format!("{SOA}{text}")).err();
        let file = "zones/p.example.zone".to_owned();
        let expected =
            (!reason.is_empty()).then(|| ZoneFileError { file, line, reason: reason.into() });
        assert_eq!(found, expected, "{text}");
    }
    assert_eq!(zone(" A 192.0.2.1").unwrap_err().reason, "the first record has no owner");
    assert!(zone("@ A 192.0.2.1").unwrap_err().reason.starts_with("the record has no TTL"));
    assert_eq!(
        zone(&format!("{SOA}a CAA x y z")).unwrap_err().to_string(),
        "zones/p.example.zone, line 3: CAA: error parsing number: invalid digit found in \
         string; `\\#` takes the data of any type"
    );
}

#[test]
fn an_rrset_is_no_longer_than_a_reply() {
    let line = |n: usize| format!("a A 10.0.{}.{}\n", n / 256, n % 256);
    let full: String = std::iter::once(SOA.into()).chain((0..MAX_RRSET).map(line)).collect();
    // One that is there already is no more, and another type or name has room of its own.
    let more = format!("{full}{}a AAAA ::1\nb A 192.0.2.1\n", line(7));
    assert_eq!(
        zone(&more).unwrap().node(b"\x01a").unwrap().rrset(types::A).unwrap().records.len(),
        MAX_RRSET
    );
    let error = zone(&format!("{full}{}", line(MAX_RRSET))).unwrap_err();
    let reason = "the name has more than 4096 records of this type, more than a reply has room for";
    assert_eq!(
        error.to_string(),
        format!("zones/p.example.zone, line {}: {reason}", 3 + MAX_RRSET)
    );
}

#[test]
fn the_forms_of_rfc_1035() {
    let cases: [(&str, &[u8], u16, &[u8]); 19] = [
        ("a 1h IN A 192.0.2.1", b"\x01a", 1, &[192, 0, 2, 1]),
        ("a IN 1h A 192.0.2.1", b"\x01a", 1, &[192, 0, 2, 1]),
        ("A in a 192.0.2.1\r", b"\x01a", 1, &[192, 0, 2, 1]),
        ("a.p.example. A 192.0.2.1", b"\x01a", 1, &[192, 0, 2, 1]),
        ("$ORIGIN b\na A 192.0.2.1", b"\x01a\x01b", 1, &[192, 0, 2, 1]),
        ("\\a\\.b A 192.0.2.1", b"\x03a.b", 1, &[192, 0, 2, 1]),
        ("\\065 A 192.0.2.1", b"\x01a", 1, &[192, 0, 2, 1]),
        ("a CNAME @", b"\x01a", 5, b"\x01p\x07example\0"),
        ("a CNAME Mixed.Case.", b"\x01a", 5, b"\x05Mixed\x04Case\0"),
        ("a TXT \"b c\" d\\;e \\\"f ; g", b"\x01a", 16, b"\x03b c\x03d;e\x02\"f"),
        ("a TXT ( \"b c\" ; d\n  \"\" )", b"\x01a", 16, b"\x03b c\0"),
        ("a TXT \\000\\255", b"\x01a", 16, b"\x02\0\xff"),
        ("a TXT \"$x\" @ $y", b"\x01a", 16, b"\x02$x\x01@\x02$y"),
        ("a TYPE1 192.0.2.1", b"\x01a", 1, &[192, 0, 2, 1]),
        ("a TYPE65280 \\# 4 0A0b 0C0d", b"\x01a", 65280, &[10, 11, 12, 13]),
        (
            "a NAPTR 1 2 \"u\" \"E2U+sip\" \"!^.*$!\\\\1!\" .",
            b"\x01a",
            35,
            b"\0\x01\0\x02\x01u\x07E2U+sip\x09!^.*$!\\1!\0",
        ),
        ("a SSHFP 1 1 ABCD", b"\x01a", 44, &[1, 1, 0xab, 0xcd]),
        ("a CAA 0 issue \"x\"", b"\x01a", 257, b"\0\x05issuex"),
        (
            "a SVCB 1 b port=\"53\" alpn=dot",
            b"\x01a",
            64,
            b"\0\x01\x01b\x01p\x07example\0\0\x01\0\x04\x03dot\0\x03\0\x02\0\x35",
        ),
    ];
    for (text, name, rtype, expected) in cases {
        assert_eq!(data(&format!("{SOA}{text}"), name, rtype), expected, "{text}");
    }
    // The owner before, twins, and the least TTL of an RRset.
    let zone =
        zone(&format!("{SOA}a 50 A 192.0.2.1\n\t40 A 192.0.2.2 ; twin\n A 192.0.2.2")).unwrap();
    let rrset = zone.node(b"\x01a").unwrap().rrset(1).unwrap();
    assert_eq!((rrset.records.len(), rrset.ttl), (2, 40));
}

#[test]
fn included_files_have_lines_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    fs::create_dir(path("parts")).unwrap();
    fs::write(path("parts/good"), "$ORIGIN deep\nb A 192.0.2.2\n$INCLUDE more\n").unwrap();
    fs::write(path("parts/more"), "c A 192.0.2.3\n").unwrap();
    fs::write(path("parts/bad"), "\nb A x\n").unwrap();
    fs::write(path("loop"), "$INCLUDE loop\n").unwrap();
    let file = path("p.example.zone");
    let good = format!("{SOA}a A 192.0.2.1\n$INCLUDE parts/good in\n A 192.0.2.4\n");
    let zone = load(&file, "p.example.", &good).unwrap();
    assert!(zone.node(b"\x01b\x04deep\x02in").is_some());
    assert!(zone.node(b"\x01c\x04deep\x02in").is_some());
    assert_eq!(zone.node(b"\x01a").unwrap().rrset(1).unwrap().records.len(), 2);

    let error = load(&file, "p.example.", "$TTL 1\n$INCLUDE parts/bad").unwrap_err();
    assert_eq!((error.file, error.line), (path("parts/bad").display().to_string(), 2));
    let error = load(&file, "p.example.", "$INCLUDE loop").unwrap_err();
    assert_eq!(error.reason, "more than 8 files include each other");
}

#[test]
fn a_directory_is_loaded_whole_or_says_what_is_wrong_with_each_file() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
    write("a.example.zone", SOA);
    write("10.in-addr.arpa.zone", SOA);
    for ignored in ["a.example.zone.example", "README", ".b.example.zone", ".zone"] {
        write(ignored, "nonsense");
    }
    let zones = load_dir(dir.path()).unwrap();
    let origins: Vec<_> = zones.iter().map(|zone| wire::text(zone.origin())).collect();
    assert_eq!(origins, ["10.in-addr.arpa.", "a.example."]);

    write("b.example.zone", "\n\noops");
    write("A.example.zone", SOA);
    fs::write(dir.path().join("c.example.zone"), b"\xff").unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let found: Vec<_> = load_dir(dir.path()).unwrap_err().iter().map(|e| e.to_string()).collect();
    let expected = [
        format!("{}: the zone is already in {}", path("a.example.zone"), path("A.example.zone")),
        format!("{}, line 3: the record has no type", path("b.example.zone")),
        format!("{}: cannot be read: stream did not contain valid UTF-8", path("c.example.zone")),
    ];
    assert_eq!(found, expected);
    let nowhere = load_dir(&dir.path().join("nix")).unwrap_err();
    assert!(nowhere[0].reason.starts_with("cannot be listed: "), "{nowhere:?}");
}

fn settings<'a>(zones: &'a [String], reverse_zones: &'a [String]) -> ZoneSettings<'a> {
    ZoneSettings { zones, reverse_zones, negative_ttl_secs: 2, ns_addresses: &[], texts: &[] }
}

#[test]
fn zones_that_cannot_be_served_together() {
    let file = |origin: &str, text: &str| load(Path::new(origin), origin, text).unwrap();
    let long = format!("{0}.{0}.", "x".repeat(63));
    let reasons = |zones: &[&str], reverse: &[&str], files: Vec<FileZone>| -> Vec<String> {
        let [zones, reverse] =
            [zones, reverse].map(|list| list.iter().map(|z| (*z).to_owned()).collect::<Vec<_>>());
        match Zones::build(&settings(&zones, &reverse), files) {
            Ok(_) => Vec::new(),
            Err(errors) => errors.iter().map(ZoneFileError::to_string).collect(),
        }
    };
    // A zone beside the registry may leave SOA and NS out, another may not.
    assert!(reasons(&["p."], &[], vec![file("p.", "$TTL 1\na A 192.0.2.1")]).is_empty());
    assert_eq!(
        reasons(&["p."], &[], vec![file("q.", "$TTL 1\na A 192.0.2.1")]),
        ["q.: the zone `q.` has no SOA record; begin the file with one"]
    );
    assert_eq!(
        reasons(&["p."], &[], vec![file("q.", SOA), file("Q.", SOA)]),
        ["Q.: the zone `q.` is already in q."]
    );
    assert_eq!(
        reasons(&["p.", "P."], &["example."], vec![]),
        [
            "the configuration: the zone `p.` is given twice",
            "the configuration: the reverse zone `example.` is not a whole part of in-addr.arpa \
             or ip6.arpa, as 10.in-addr.arpa. is",
        ]
    );
    assert_eq!(reasons(&[&long], &[], vec![]).len(), 1);
    let local = || load(Path::new("lab.local.zone"), "lab.local.", SOA).unwrap();
    let local = reasons(&["p."], &[], vec![local()]);
    assert!(local.len() == 1 && local[0].contains("multicast DNS"), "{local:?}");
}

#[test]
fn names_that_a_zone_has_cannot_be_registered() {
    let svc =
        format!("{SOA}web A 192.0.2.1\n\nb.db A 192.0.2.2\n*.any A 192.0.2.3\nsub NS ns.sub\n");
    let load = |name: &str, origin: &str, text: &str| load(Path::new(name), origin, text).unwrap();
    let files = vec![
        load("svc.zone", "svc.internal.", &svc),
        load("kid.zone", "kid.svc.internal.", &format!("\n{SOA}")),
        load("other.zone", "other.example.", &format!("{SOA}free A 192.0.2.4")),
    ];
    let names = ["svc.internal.", "lab.example.", "two.lab.example."].map(String::from);
    let zones = Zones::build(&settings(&names, &[]), files).unwrap();
    let at = |name: &str, file: &str, line| {
        let zone_file = file.into();
        let relative = Box::default(); // compared below
        Some(Conflict { relative, name: name.into(), file: file.into(), line, zone_file })
    };
    let table = [
        ("web", at("web.svc.internal.", "svc.zone", 3)),
        ("_web._tcp", None),
        ("x.web", None),
        ("db", None),
        ("b.db", at("b.db.svc.internal.", "svc.zone", 5)),
        ("any", None),
        ("x.any", None),
        ("sub", at("sub.svc.internal.", "svc.zone", 7)),
        ("a.b.sub", at("a.b.sub.svc.internal.", "svc.zone", 7)),
        ("kid", at("kid.svc.internal.", "kid.zone", 3)),
        ("a.kid", at("a.kid.svc.internal.", "kid.zone", 3)),
        ("two", at("two.lab.example.", "the configuration", 0)),
        ("free", None),
    ];
    for (name, expected) in table {
        let labels: Vec<_> = name.split('.').collect();
        let names = [&["fine"][..], &labels]
            .map(|labels| Box::from(wire::write_relative(labels, &mut [0; wire::MAX_NAME])));
        let found = zones.conflict(&names);
        assert!(found.iter().all(|conflict| conflict.relative == names[1]), "{name}");
        let found = found.map(|conflict| Conflict { relative: Box::default(), ..conflict });
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn the_example_is_right() {
    let text = include_str!("../../../zones/svc.internal.zone.example");
    let zone = load(Path::new("svc.internal.zone"), "svc.internal.", text).unwrap();
    let names = ["svc.internal.".to_owned()];
    Zones::build(&settings(&names, &[]), vec![zone]).unwrap();
}

/// Words that zone files are made of, and some that they are not.
const WORDS: [&str; 60] = [
    "@",
    "a",
    "*",
    "a.b",
    "b.",
    "p.example.",
    "\\046",
    "\\999",
    "\\",
    "é",
    "IN",
    "CH",
    "1h",
    "60",
    "0",
    "65536",
    "4294967296",
    "A",
    "AAAA",
    "NS",
    "MX",
    "SRV",
    "SOA",
    "TXT",
    "CNAME",
    "DNAME",
    "CAA",
    "CERT",
    "CSYNC",
    "DS",
    "HINFO",
    "HTTPS",
    "NAPTR",
    "OPENPGPKEY",
    "SMIMEA",
    "SSHFP",
    "SVCB",
    "TLSA",
    "ANAME",
    "KEY",
    "NULL",
    "TYPE65280",
    "\\#",
    "192.0.2.1",
    "::1",
    "\"a b\"",
    "\"",
    "\"\\200\"",
    "(",
    ")",
    ";",
    "alpn=h2",
    "port=",
    "key65280=x",
    "ipv4hint=1",
    "mandatory=port",
    "abcd",
    "=",
    "$TTL",
    "$ORIGIN",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 5000, failure_persistence: None, ..Default::default() })]

    /// Whatever a file says, it is loaded or refused with a line that it has.
    #[test]
    fn any_words(lines in proptest::collection::vec(
        (any::<bool>(), proptest::collection::vec(proptest::sample::select(&WORDS[..]), 0..9)),
        1..4,
    )) {
        let mut text = SOA.to_owned();
        for (blank, words) in &lines {
            text.push_str(if *blank { " " } else { "" });
            text.push_str(&words.join(" "));
            text.push('\n');
        }
        if let Err(error) = zone(&text) {
            prop_assert!((1..=text.lines().count()).contains(&error.line), "{error}");
        }
    }

    #[test]
    fn any_text(text in ".{0,200}") {
        if let Err(error) = zone(&text) {
            prop_assert!((1..=text.lines().count().max(1)).contains(&error.line), "{error}");
        }
    }

    /// One record of each type that is read at all, with any words for its data.
    #[test]
    fn any_data(
        rtype in proptest::sample::select(&WORDS[17..42]),
        words in proptest::collection::vec("[0-9]{1,5}|[a-z=,.\"]{1,8}|[0-9A-F]{2,40}|\\PC{1,5}", 0..6),
    ) {
        let _ = zone(&format!("{SOA}a {rtype} {}", words.join(" ")));
    }
}
