//! What the registry answers.

use super::*;
use crate::view::testing::{Answers, cell};

/// `web` with two instances, the second of priority 1 and with a metrics port.
fn server() -> Server {
    let server = Server::new(&[]);
    let web_1 = cell("web", "web-1", &["10.0.0.1", "fd00::1"], Some(130_000), |_| {});
    let web_2 = cell("web", "web-2", &["10.0.0.2"], Some(103_999), |body| {
        body.priority = 1;
        body.port = 8081;
        body.ports = [(crate::registry::PortName::parse("", "metrics").unwrap(), 9090)].into();
    });
    server.view.put_service("web", &[web_1, web_2], Answers::default());
    server.view.put_service("idle", &[], Answers::default());
    server
}

#[test]
fn names_of_a_service() {
    let mut server = server();
    let table = [
        (
            "web.svc.internal. A",
            "NOERROR aa
             ? web.svc.internal. A
             web.svc.internal. 5 A 10.0.0.1",
        ),
        (
            "wEb.SVC.internal. AAAA",
            "NOERROR aa
             ? wEb.SVC.internal. AAAA
             wEb.SVC.internal. 5 AAAA fd00::1",
        ),
        (
            "_web._tcp.svc.internal. SRV",
            "NOERROR aa
             ? _web._tcp.svc.internal. SRV
             _web._tcp.svc.internal. 3 SRV 0 1 8080 web-1.web.svc.internal.
             _web._tcp.svc.internal. 3 SRV 1 1 8081 web-2.web.svc.internal.
             additional web-1.web.svc.internal. 5 A 10.0.0.1
             additional web-1.web.svc.internal. 5 AAAA fd00::1
             additional web-2.web.svc.internal. 3 A 10.0.0.2",
        ),
        (
            "web.svc.internal. SRV",
            "NOERROR aa
             ? web.svc.internal. SRV
             web.svc.internal. 3 SRV 0 1 8080 web-1.web.svc.internal.
             web.svc.internal. 3 SRV 1 1 8081 web-2.web.svc.internal.
             additional web-1.web.svc.internal. 5 A 10.0.0.1
             additional web-1.web.svc.internal. 5 AAAA fd00::1
             additional web-2.web.svc.internal. 3 A 10.0.0.2",
        ),
        (
            "_metrics._tcp.web.lab.example. SRV",
            "NOERROR aa
             ? _metrics._tcp.web.lab.example. SRV
             _metrics._tcp.web.lab.example. 3 SRV 1 1 9090 web-2.web.lab.example.
             additional web-2.web.lab.example. 3 A 10.0.0.2",
        ),
        (
            "web-1.web.svc.internal. A",
            "NOERROR aa
             ? web-1.web.svc.internal. A
             web-1.web.svc.internal. 5 A 10.0.0.1",
        ),
        (
            "web.svc.internal. ANY",
            "NOERROR aa
             ? web.svc.internal. ANY
             web.svc.internal. 2 HINFO RFC8482",
        ),
    ];
    for (question, expected) in table {
        server.check(&Ask::of(question), expected);
    }
}

#[test]
fn what_is_not_there() {
    let mut server = server();
    let soa = "authority svc.internal. 2 SOA ns.svc.internal. hostmaster.svc.internal. 7 3600 600 86400 2";
    let table = [
        ("web.svc.internal. TXT", "NOERROR"),
        ("web.svc.internal. HTTPS", "NOERROR"),
        ("web.svc.internal. DS", "NOERROR"),
        ("web.svc.internal. TYPE65280", "NOERROR"),
        ("web-2.web.svc.internal. AAAA", "NOERROR"),
        ("_web._tcp.svc.internal. A", "NOERROR"),
        ("idle.svc.internal. A", "NOERROR"),
        ("idle.svc.internal. ANY", "NOERROR"),
        ("_tcp.svc.internal. SRV", "NOERROR"),
        ("_tcp.web.svc.internal. A", "NOERROR"),
        ("svc.internal. A", "NOERROR"),
        ("nix.svc.internal. A", "NXDOMAIN"),
        ("nix.svc.internal. ANY", "NXDOMAIN"),
        ("web-3.web.svc.internal. A", "NXDOMAIN"),
        ("a.web-1.web.svc.internal. A", "NXDOMAIN"),
        ("_tcp.nix.svc.internal. A", "NXDOMAIN"),
    ];
    for (question, code) in table {
        server.check(&Ask::of(question), &format!("{code} aa\n? {question}\n{soa}"));
    }
}

#[test]
fn the_zone_itself() {
    let mut server = server();
    let table = [
        (
            "lab.example. SOA",
            "NOERROR aa
             ? lab.example. SOA
             lab.example. 2 SOA ns.lab.example. hostmaster.lab.example. 7 3600 600 86400 2",
        ),
        (
            "svc.internal. NS",
            "NOERROR aa
             ? svc.internal. NS
             svc.internal. 300 NS ns.svc.internal.
             additional ns.svc.internal. 300 A 192.0.2.53
             additional ns.svc.internal. 300 AAAA 2001:db8::53",
        ),
        (
            "ns.svc.internal. A",
            "NOERROR aa
             ? ns.svc.internal. A
             ns.svc.internal. 300 A 192.0.2.53",
        ),
        (
            "10.in-addr.arpa. NS",
            "NOERROR aa
             ? 10.in-addr.arpa. NS
             10.in-addr.arpa. 300 NS ns.svc.internal.
             additional ns.svc.internal. 300 A 192.0.2.53
             additional ns.svc.internal. 300 AAAA 2001:db8::53",
        ),
    ];
    for (question, expected) in table {
        server.check(&Ask::of(question), expected);
    }
}

#[test]
fn reverse_names() {
    let mut server = server();
    let six = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa.";
    server.check(
        &Ask::of("2.0.0.10.in-addr.arpa. PTR"),
        "NOERROR aa
         ? 2.0.0.10.in-addr.arpa. PTR
         2.0.0.10.in-addr.arpa. 3 PTR web-2.web.svc.internal.",
    );
    server.check(
        &Ask::of("1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa. PTR"),
        &format!("NOERROR aa\n? {six} PTR\n{six} 5 PTR web-1.web.svc.internal."),
    );
    let soa = "authority 10.in-addr.arpa. 2 SOA ns.svc.internal. hostmaster.svc.internal. 7 3600 600 86400 2";
    for (question, code) in [
        ("2.0.0.10.in-addr.arpa. A", "NOERROR"),
        ("0.0.10.in-addr.arpa. PTR", "NOERROR"),
        ("10.in-addr.arpa. PTR", "NOERROR"),
        ("3.0.0.10.in-addr.arpa. PTR", "NXDOMAIN"),
        ("300.0.10.in-addr.arpa. PTR", "NXDOMAIN"),
        ("1.2.0.0.10.in-addr.arpa. PTR", "NXDOMAIN"),
    ] {
        server.check(&Ask::of(question), &format!("{code} aa\n? {question}\n{soa}"));
    }
    server.check(&Ask::of("1.0.0.11.in-addr.arpa. PTR"), "REFUSED\n? 1.0.0.11.in-addr.arpa. PTR");
}

#[test]
fn nothing_is_missing_before_the_registry_is_loaded() {
    let files = [("lab.example.", "$TTL 60\nfixed A 192.0.2.1\na.ent A 192.0.2.2\n* A 192.0.2.3")];
    let mut server = Server::new(&files);
    let web = cell("web", "web-1", &["10.0.0.1"], None, |_| {});
    server.view.put_service("web", &[web], Answers::default());
    server.view.put_state(7, false);
    let not_ready = |question| format!("SERVFAIL\nEDNS 0 1232 Unknown(15, [0, 14])\n? {question}");
    for question in [
        "nix.svc.internal. A",
        "nix.web.svc.internal. A",
        "9.0.0.10.in-addr.arpa. PTR",
        "0.10.in-addr.arpa. PTR",
        "nix.lab.example. A",
        "ent.lab.example. A",
    ] {
        server.check(&Ask::of(question).edns(1232), &not_ready(question));
    }
    for (question, answer) in [
        ("web.svc.internal. A", "web.svc.internal. 5 A 10.0.0.1"),
        ("fixed.lab.example. A", "fixed.lab.example. 60 A 192.0.2.1"),
        ("1.0.0.10.in-addr.arpa. PTR", "1.0.0.10.in-addr.arpa. 5 PTR web-1.web.svc.internal."),
    ] {
        server.check(&Ask::of(question), &format!("NOERROR aa\n? {question}\n{answer}"));
    }
}

#[test]
fn ttls_end_with_the_lease() {
    let mut server = Server::new(&[]);
    // Milliseconds that are left, and the TTL, of at most 5 s.
    for (left, ttl) in [(30_000, 5), (5_000, 5), (4_999, 4), (1_000, 1), (999, 1), (0, 1)] {
        let one = cell("web", "one", &["10.0.0.1"], Some(NOW.millis() + left), |_| {});
        server.view.put_service("web", &[one], Answers::default());
        server.check(
            &Ask::of("web.svc.internal. A"),
            &format!("NOERROR aa\n? web.svc.internal. A\nweb.svc.internal. {ttl} A 10.0.0.1"),
        );
    }
    let endless = cell("web", "one", &["10.0.0.1"], None, |_| {});
    server.view.put_service("web", &[endless], Answers { ttl_secs: 86_400, ..Answers::default() });
    server.check(
        &Ask::of("web.svc.internal. A"),
        "NOERROR aa\n? web.svc.internal. A\nweb.svc.internal. 86400 A 10.0.0.1",
    );
}

#[test]
fn held_instances_are_said_to_be_stale() {
    let mut server = Server::new(&[]);
    let one = cell("web", "one", &["10.0.0.1"], Some(NOW.millis() - 1), |_| {});
    server.view.put_service("web", &[one], Answers { held: true, ..Answers::default() });
    server.check(
        &Ask::of("web.svc.internal. A").edns(1232),
        "NOERROR aa
         EDNS 0 1232 Unknown(15, [0, 3])
         ? web.svc.internal. A
         web.svc.internal. 1 A 10.0.0.1",
    );
    server.check(
        &Ask::of("web.svc.internal. A"),
        "NOERROR aa\n? web.svc.internal. A\nweb.svc.internal. 1 A 10.0.0.1",
    );
}
