//! What zone files answer, alone and beside the registry.

use super::*;
use crate::view::testing::{Answers, cell};

const CORP: &str = r#"
$TTL 1h
@       SOA     ns1 admin 2024 1h 10m 1d 30
        NS      ns1
        NS      ns.elsewhere.example.
        MX      10 mail
        MX      20 mail.elsewhere.example.
        TXT     "v=spf1 -all" ( "in parentheses" ; and a comment
                                "\065\"\255" )
        CAA     0 issue "ca.example"
ns1     A       192.0.2.1
        AAAA    2001:db8::1
mail    300 A   192.0.2.2
www     CNAME   web
web     CNAME   host.corp.example.
host    A       192.0.2.3
out     CNAME   www.example.net.
dead    CNAME   nix
loop    CNAME   loop2
loop2   CNAME   loop
c0 CNAME c1
c1 CNAME c2
c2 CNAME c3
c3 CNAME c4
c4 CNAME c5
c5 CNAME c6
c6 CNAME c7
c7 CNAME c8
c8 CNAME c9
c9 A 192.0.2.9
a.b.ent TXT     deep
*.wild  TXT     any
        MX      10 @
x.wild  A       192.0.2.4
a.*.hole A      192.0.2.9
*.alias CNAME   host
sub     NS      ns.sub
        NS      ns2.sub2
        DS      60485 5 1 2BB183AF5F22588179A53B0A 98631FAD1A292118
ns.sub  A       192.0.2.5
sub2    NS      ns2.sub2
ns2.sub2 AAAA   2001:db8::2
tosub   CNAME   www.sub
odd     TYPE65280 \# 3 0a0b0c
svc     HTTPS   1 . port=8443 alpn="h2,h3"
sip     SRV     0 0 5060 host
        SRV     0 0 5061 host
dot\.ted A      192.0.2.6
"#;

#[test]
fn a_zone_of_its_own() {
    let mut server = Server::new(&[("corp.example.", CORP)]);
    let soa = "authority corp.example. 30 SOA ns1.corp.example. admin.corp.example. 2024 3600 600 86400 30";
    let table = [
        (
            "corp.example. SOA",
            "aa",
            "corp.example. 3600 SOA ns1.corp.example. admin.corp.example. 2024 3600 600 86400 30",
        ),
        (
            "corp.example. NS",
            "aa",
            "corp.example. 3600 NS ns1.corp.example.
             corp.example. 3600 NS ns.elsewhere.example.
             additional ns1.corp.example. 3600 A 192.0.2.1
             additional ns1.corp.example. 3600 AAAA 2001:db8::1",
        ),
        (
            "corp.example. MX",
            "aa",
            "corp.example. 3600 MX 10 mail.corp.example.
             corp.example. 3600 MX 20 mail.elsewhere.example.
             additional mail.corp.example. 300 A 192.0.2.2",
        ),
        ("corp.example. TXT", "aa", "corp.example. 3600 TXT v=spf1 -allin parenthesesA\"\u{fffd}"),
        ("corp.example. CAA", "aa", "corp.example. 3600 CAA 0 issue \"ca.example\""),
        ("corp.example. ANY", "aa", "corp.example. 30 HINFO RFC8482"),
        ("odd.corp.example. TYPE65280", "aa", "odd.corp.example. 3600 TYPE65280 CgsM"),
        ("svc.corp.example. HTTPS", "aa", "svc.corp.example. 3600 HTTPS 1 . alpn=h2,h3, port=8443"),
        (
            "sip.corp.example. SRV",
            "aa",
            "sip.corp.example. 3600 SRV 0 0 5060 host.corp.example.
             sip.corp.example. 3600 SRV 0 0 5061 host.corp.example.
             additional host.corp.example. 3600 A 192.0.2.3",
        ),
        (r"dot\.ted.corp.example. A", "aa", r"dot\.ted.corp.example. 3600 A 192.0.2.6"),
        ("corp.example. A", "aa", soa),
        ("ent.corp.example. A", "aa", soa),
        ("b.ent.corp.example. ANY", "aa", soa),
        ("host.corp.example. AAAA", "aa", soa),
    ];
    for (question, flags, records) in table {
        server.check(&Ask::of(question), &format!("NOERROR {flags}\n? {question}\n{records}"));
    }
    for question in ["nix.corp.example. A", "x.a.b.ent.corp.example. A", "ted.corp.example. A"] {
        server.check(&Ask::of(question), &format!("NXDOMAIN aa\n? {question}\n{soa}"));
    }
}

#[test]
fn aliases() {
    let mut server = Server::new(&[("corp.example.", CORP)]);
    let soa = "authority corp.example. 30 SOA ns1.corp.example. admin.corp.example. 2024 3600 600 86400 30";
    let chain: String = (0..8)
        .map(|n| format!("c{n}.corp.example. 3600 CNAME c{}.corp.example.\n", n + 1))
        .collect();
    let dead = format!("dead.corp.example. 3600 CNAME nix.corp.example.\n{soa}");
    let no_data = format!("web.corp.example. 3600 CNAME host.corp.example.\n{soa}");
    let table = [
        (
            "www.corp.example. A",
            "NOERROR",
            "www.corp.example. 3600 CNAME web.corp.example.
             web.corp.example. 3600 CNAME host.corp.example.
             host.corp.example. 3600 A 192.0.2.3",
        ),
        ("www.corp.example. CNAME", "NOERROR", "www.corp.example. 3600 CNAME web.corp.example."),
        ("web.corp.example. AAAA", "NOERROR", &*no_data),
        ("out.corp.example. A", "NOERROR", "out.corp.example. 3600 CNAME www.example.net."),
        ("dead.corp.example. A", "NXDOMAIN", &*dead),
        (
            "loop.corp.example. A",
            "NOERROR",
            "loop.corp.example. 3600 CNAME loop2.corp.example.
             loop2.corp.example. 3600 CNAME loop.corp.example.",
        ),
        ("c0.corp.example. A", "NOERROR", &*chain),
        ("www.corp.example. ANY", "NOERROR", "www.corp.example. 30 HINFO RFC8482"),
        (
            "x.alias.corp.example. A",
            "NOERROR",
            "x.alias.corp.example. 3600 CNAME host.corp.example.
             host.corp.example. 3600 A 192.0.2.3",
        ),
        (
            "tosub.corp.example. A",
            "NOERROR",
            "tosub.corp.example. 3600 CNAME www.sub.corp.example.
             authority sub.corp.example. 3600 NS ns.sub.corp.example.
             authority sub.corp.example. 3600 NS ns2.sub2.corp.example.
             additional ns.sub.corp.example. 3600 A 192.0.2.5
             additional ns2.sub2.corp.example. 3600 AAAA 2001:db8::2",
        ),
    ];
    for (question, code, records) in table {
        server.check(&Ask::of(question), &format!("{code} aa\n? {question}\n{records}"));
    }
}

#[test]
fn wildcards() {
    let mut server = Server::new(&[("corp.example.", CORP)]);
    let soa = "authority corp.example. 30 SOA ns1.corp.example. admin.corp.example. 2024 3600 600 86400 30";
    let table = [
        ("q.wild.corp.example. TXT", "NOERROR", "q.wild.corp.example. 3600 TXT any"),
        ("q.r.wild.corp.example. TXT", "NOERROR", "q.r.wild.corp.example. 3600 TXT any"),
        ("q.wild.corp.example. MX", "NOERROR", "q.wild.corp.example. 3600 MX 10 corp.example."),
        ("*.wild.corp.example. TXT", "NOERROR", "*.wild.corp.example. 3600 TXT any"),
        ("q.wild.corp.example. A", "NOERROR", soa),
        ("x.wild.corp.example. TXT", "NOERROR", soa),
        ("q.x.wild.corp.example. TXT", "NXDOMAIN", soa),
        ("wild.corp.example. TXT", "NOERROR", soa),
        // One that is an empty non-terminal covers names too (RFC 4592, section 4.9).
        ("q.hole.corp.example. A", "NOERROR", soa),
        ("q.hole.corp.example. ANY", "NOERROR", soa),
        ("*.hole.corp.example. A", "NOERROR", soa),
        ("q.*.hole.corp.example. A", "NXDOMAIN", soa),
    ];
    for (question, code, records) in table {
        server.check(&Ask::of(question), &format!("{code} aa\n? {question}\n{records}"));
    }
}

#[test]
fn delegations() {
    let mut server = Server::new(&[("corp.example.", CORP)]);
    let referral = "authority sub2.corp.example. 3600 NS ns2.sub2.corp.example.
         additional ns2.sub2.corp.example. 3600 AAAA 2001:db8::2";
    for question in [
        "sub2.corp.example. A",
        "sub2.corp.example. NS",
        "sub2.corp.example. ANY",
        "a.b.sub2.corp.example. A",
        "ns2.sub2.corp.example. AAAA",
        "a.sub2.corp.example. DS",
    ] {
        server.check(&Ask::of(question), &format!("NOERROR\n? {question}\n{referral}"));
    }
    let ds = Ask::of("sub.corp.example. DS");
    let reply = server.send(&ds.bytes(), Transport::Tcp).unwrap();
    assert_eq!(reply[2..8], [0x84, 0, 0, 1, 0, 1], "authoritative, one answer");
    assert!(reply.ends_with(b"\x98\x63\x1f\xad\x1a\x29\x21\x18"));
    server.check(
        &Ask::of("sub2.corp.example. DS"),
        "NOERROR aa
         ? sub2.corp.example. DS
         authority corp.example. 30 SOA ns1.corp.example. admin.corp.example. 2024 3600 600 86400 30",
    );
}

/// The registry's zone with a file beside it, and a zone within it.
fn beside() -> Server {
    let svc = "$TTL 60
        @ SOA ns1 me 99 1h 1h 1h 1h
        @ NS ns1
        @ TXT hello
        ns1 A 192.0.2.1
        short CNAME web
        short2 CNAME short
        tokid CNAME ns.kid
        tokid2 CNAME nobody.kid
        srv SRV 0 0 80 web-1.web
        * A 192.0.2.99
        *.web TXT never
        *._tcp TXT port
        _tcp TXT here
        *.fixed TXT wild
        fixed A 192.0.2.2";
    let child = "$TTL 60\n@ SOA ns me 1 1h 1h 1h 10\n@ NS ns\nns A 192.0.2.7";
    let svc = svc.replace("\n        ", "\n");
    let server = Server::new(&[("svc.internal.", &svc), ("kid.svc.internal.", child)]);
    let web = cell("web", "web-1", &["10.0.0.1"], None, |_| {});
    server.view.put_service("web", &[web], Answers::default());
    server
}

#[test]
fn a_zone_file_beside_the_registry() {
    let mut server = beside();
    let soa = "authority svc.internal. 2 SOA ns1.svc.internal. me.svc.internal. 7 3600 3600 3600 2";
    let table = [
        (
            "svc.internal. SOA",
            "NOERROR",
            "svc.internal. 60 SOA ns1.svc.internal. me.svc.internal. 7 3600 3600 3600 2",
        ),
        ("svc.internal. TXT", "NOERROR", "svc.internal. 60 TXT hello"),
        ("web.svc.internal. A", "NOERROR", "web.svc.internal. 5 A 10.0.0.1"),
        (
            "short2.svc.internal. A",
            "NOERROR",
            "short2.svc.internal. 60 CNAME short.svc.internal.
             short.svc.internal. 60 CNAME web.svc.internal.
             web.svc.internal. 5 A 10.0.0.1",
        ),
        (
            "tokid.svc.internal. A",
            "NOERROR",
            "tokid.svc.internal. 60 CNAME ns.kid.svc.internal.
             ns.kid.svc.internal. 60 A 192.0.2.7",
        ),
        (
            "tokid2.svc.internal. A",
            "NXDOMAIN",
            "tokid2.svc.internal. 60 CNAME nobody.kid.svc.internal.
             authority kid.svc.internal. 10 SOA ns.kid.svc.internal. me.kid.svc.internal. 1 3600 3600 3600 10",
        ),
        (
            "short.svc.internal. SRV",
            "NOERROR",
            "short.svc.internal. 60 CNAME web.svc.internal.
             web.svc.internal. 5 SRV 0 1 8080 web-1.web.svc.internal.
             additional web-1.web.svc.internal. 5 A 10.0.0.1",
        ),
        (
            "srv.svc.internal. SRV",
            "NOERROR",
            "srv.svc.internal. 60 SRV 0 0 80 web-1.web.svc.internal.
             additional web-1.web.svc.internal. 5 A 10.0.0.1",
        ),
        ("nix.svc.internal. A", "NOERROR", "nix.svc.internal. 60 A 192.0.2.99"),
        ("a.nix.svc.internal. A", "NOERROR", "a.nix.svc.internal. 60 A 192.0.2.99"),
        ("nix.svc.internal. TXT", "NOERROR", soa),
        ("web.svc.internal. TXT", "NOERROR", soa),
        ("web-1.web.svc.internal. TXT", "NOERROR", soa),
        // Below a listed name only a wildcard right there matches, and none of the zone's.
        ("a.web-1.web.svc.internal. A", "NXDOMAIN", soa),
        ("x.web.svc.internal. TXT", "NOERROR", "x.web.svc.internal. 60 TXT never"),
        ("_x._tcp.svc.internal. TXT", "NOERROR", "_x._tcp.svc.internal. 60 TXT port"),
        ("_tcp.svc.internal. TXT", "NOERROR", "_tcp.svc.internal. 60 TXT here"),
        ("_tcp.svc.internal. A", "NOERROR", soa),
        ("x.fixed.svc.internal. TXT", "NOERROR", "x.fixed.svc.internal. 60 TXT wild"),
        ("wpad.svc.internal. A", "NXDOMAIN", soa),
        ("a.dns-sd.svc.internal. A", "NXDOMAIN", soa),
        ("wpad2.svc.internal. A", "NOERROR", "wpad2.svc.internal. 60 A 192.0.2.99"),
        ("a.wpad2.svc.internal. A", "NOERROR", "a.wpad2.svc.internal. 60 A 192.0.2.99"),
        (
            "x.kid.svc.internal. A",
            "NXDOMAIN",
            "authority kid.svc.internal. 10 SOA ns.kid.svc.internal. me.kid.svc.internal. 1 3600 3600 3600 10",
        ),
    ];
    for (question, code, records) in table {
        server.check(&Ask::of(question), &format!("{code} aa\n? {question}\n{records}"));
    }
    // The file is that of one zone; the registry is in both.
    server.check(
        &Ask::of("short.lab.example. A"),
        "NXDOMAIN aa
         ? short.lab.example. A
         authority lab.example. 2 SOA ns.lab.example. hostmaster.lab.example. 7 3600 600 86400 2",
    );
}

#[test]
fn a_window_behind_aliases_has_the_addresses_of_its_targets_only() {
    let mut server = beside();
    let web: Vec<_> = (1..=5)
        .map(|n| cell("web", &format!("web-{n}"), &[&format!("10.0.0.{n}")], None, |_| {}))
        .collect();
    let window = Answers { max_answers: 2, ..Answers::default() };
    server.view.put_service("web", &web, window);
    for (first, second) in [(1, 2), (2, 3), (3, 4), (4, 5), (5, 1)] {
        server.check(
            &Ask::of("short2.svc.internal. SRV"),
            &format!(
                "NOERROR aa
                 ? short2.svc.internal. SRV
                 short2.svc.internal. 60 CNAME short.svc.internal.
                 short.svc.internal. 60 CNAME web.svc.internal.
                 web.svc.internal. 5 SRV 0 1 8080 web-{first}.web.svc.internal.
                 web.svc.internal. 5 SRV 0 1 8080 web-{second}.web.svc.internal.
                 additional web-{first}.web.svc.internal. 5 A 10.0.0.{first}
                 additional web-{second}.web.svc.internal. 5 A 10.0.0.{second}"
            ),
        );
    }
}

#[test]
fn a_zone_file_beside_reverse_names() {
    let reverse =
        "$TTL 60\n1.0.0 PTR shadowed.example.\n9.0.0 PTR router.example.\n*.7 PTR pool.example.";
    let mut server = Server::new(&[("10.in-addr.arpa.", reverse)]);
    let web = cell("web", "web-1", &["10.0.0.1"], None, |_| {});
    server.view.put_service("web", &[web], Answers::default());
    for (question, record) in [
        ("1.0.0.10.in-addr.arpa. PTR", "1.0.0.10.in-addr.arpa. 5 PTR web-1.web.svc.internal."),
        ("9.0.0.10.in-addr.arpa. PTR", "9.0.0.10.in-addr.arpa. 60 PTR router.example."),
        ("5.0.7.10.in-addr.arpa. PTR", "5.0.7.10.in-addr.arpa. 60 PTR pool.example."),
    ] {
        server.check(&Ask::of(question), &format!("NOERROR aa\n? {question}\n{record}"));
    }
}

#[test]
fn the_ds_record_is_the_parents() {
    let parent =
        "$TTL 60\n@ SOA ns me 1 1h 1h 1h 10\n@ NS ns\nns A 192.0.2.1\nkid NS ns\nkid DS 1 8 2 ABCD";
    let kid = "$TTL 60\n@ SOA ns me 2 1h 1h 1h 10\n@ NS ns\nns A 192.0.2.1";
    let mut server = Server::new(&[("p.example.", parent), ("kid.p.example.", kid)]);
    let reply = server.send(&Ask::of("kid.p.example. DS").bytes(), Transport::Udp).unwrap();
    assert!(reply.ends_with(b"\0\x06\0\x01\x08\x02\xab\xcd"));
    server.check(
        &Ask::of("kid.p.example. A"),
        "NOERROR aa
         ? kid.p.example. A
         authority kid.p.example. 10 SOA ns.kid.p.example. me.kid.p.example. 2 3600 3600 3600 10",
    );
}

#[test]
fn records_of_a_zone_file_rotate_and_new_zones_are_taken_up() {
    let soa = "$TTL 60\n@ SOA ns me 1 1h 1h 1h 10\n";
    let text = format!("{soa}pool A 192.0.2.1\npool A 192.0.2.2\n");
    let mut server = Server::new(&[("p.example.", &text)]);
    for order in [["1", "2"], ["2", "1"], ["1", "2"]] {
        let [first, second] = order.map(|n| format!("pool.p.example. 60 A 192.0.2.{n}"));
        server.check(
            &Ask::of("pool.p.example. A"),
            &format!("NOERROR aa\n? pool.p.example. A\n{first}\n{second}"),
        );
    }
    server.view.set_zones(zones(&[("p.example.", &format!("{soa}pool A 192.0.2.3\n"))]));
    server.check(
        &Ask::of("pool.p.example. A"),
        "NOERROR aa\n? pool.p.example. A\npool.p.example. 60 A 192.0.2.3",
    );
}

/// A zone makes the names above it exist in the zone that it is nested in (RFC 4592, section 2.2.2).
#[test]
fn names_above_a_nested_zone_exist() {
    let soa = "$TTL 60\n@ SOA ns me 1 1h 1h 1h 10\n";
    let outer = format!("{soa}* A 192.0.2.1\n");
    let beside = "dc1.svc A 192.0.2.2\n*.svc A 192.0.2.3\n";
    let inner = format!("{soa}host A 192.0.2.4\n");
    let mut server = Server::new(&[
        ("example.", &outer),
        ("svc.internal.", "*.dc2 60 A 192.0.2.3\n"),
        ("a.b.dc2.svc.internal.", &inner),
        ("c.d.corp.example.", &inner),
        ("internal.", &format!("{soa}{beside}")),
    ]);
    let soa_of = |zone: &str| format!("{zone} 10 SOA ns.{zone} me.{zone} 1 3600 3600 3600 10");
    let registry_soa =
        "svc.internal. 2 SOA ns.svc.internal. hostmaster.svc.internal. 7 3600 600 86400 2";
    for (name, rcode, records) in [
        // `lab.example.` and `c.d.corp.example.` are nested in `example.`, which has a wildcard.
        ("corp.example. A", "NOERROR", format!("authority {}", soa_of("example."))),
        ("d.corp.example. A", "NOERROR", format!("authority {}", soa_of("example."))),
        ("x.d.corp.example. A", "NXDOMAIN", format!("authority {}", soa_of("example."))),
        ("x.example. A", "NOERROR", "x.example. 60 A 192.0.2.1".into()),
        ("host.c.d.corp.example. A", "NOERROR", "host.c.d.corp.example. 60 A 192.0.2.4".into()),
        ("x.c.d.corp.example. A", "NXDOMAIN", format!("authority {}", soa_of("c.d.corp.example."))),
        // Beside the registry too.
        ("b.dc2.svc.internal. A", "NOERROR", format!("authority {registry_soa}")),
        ("x.b.dc2.svc.internal. A", "NXDOMAIN", format!("authority {registry_soa}")),
        ("x.dc2.svc.internal. A", "NOERROR", "x.dc2.svc.internal. 60 A 192.0.2.3".into()),
        // At and below a nested zone its own data counts, not what the outer one says of it.
        ("dc1.svc.internal. A", "NXDOMAIN", format!("authority {registry_soa}")),
    ] {
        server.check(&Ask::of(name), &format!("{rcode} aa\n? {name}\n{records}"));
    }
    let above: Vec<Box<[u8]>> = vec![b"\x03dc2"[..].into(), b"\x01b\x03dc2"[..].into()];
    assert_eq!(server.view.zones().conflict(&above), None, "they are free for services");
}

#[test]
fn old_zones_are_freed_by_who_replaces_them() {
    let server = Server::new(&[]);
    let idle = Responder::new(server.view.clone(), &Shared::default());
    let old = Arc::downgrade(&server.view.zones());
    server.view.set_zones(zones(&[]));
    assert!(old.upgrade().is_none(), "no idle responder keeps them");
    drop(idle);
}
