//! Upstreams, rules and what is said about them, as tables.

use super::super::tests::load;
use super::*;

#[test]
fn a_server_knows_itself() {
    let listen = |text: &str| [text.parse().unwrap()];
    for (own, address, is) in [
        ("127.0.0.1:53", "127.0.0.1:53", true),
        ("127.0.0.1:53", "127.0.0.1:5353", false),
        ("127.0.0.1:53", "127.0.0.2:53", false),
        ("0.0.0.0:53", "127.0.0.53:53", true),
        ("[::]:53", "[::1]:53", true),
        ("0.0.0.0:53", "192.0.2.53:53", false),
        ("[::ffff:10.0.0.1]:53", "10.0.0.1:53", true),
    ] {
        assert_eq!(reaches(&listen(own), address.parse().unwrap()), is, "{own} {address}");
    }
}

#[test]
fn what_is_wrong_with_forwarding_is_told_with_its_line() {
    let table: &[(&str, &[&str])] = &[
        (
            "upstream = []",
            &["line 2: unknown key `upstream` in [forward]; did you mean `upstreams`?"],
        ),
        (
            "upstreams = ['192.0.2.53', '192.0.2.53:53']",
            &["line 2: forward.upstreams: `192.0.2.53:53` is there twice"],
        ),
        (
            "\nupstreams = [\n'tls://192.0.2.53']",
            &[
                "line 4: forward.upstreams: `tls://192.0.2.53` does not say for whom its certificate must be: put \
               that name behind its address, such as `tls://192.0.2.53#dns.example`",
            ],
        ),
        (
            "rules = { a = ['tls://127.0.0.1:5300#a.example'] }",
            &[
                "line 2: forward.rules: `a`: this server itself listens on 127.0.0.1:5300, and would \
               ask itself without end: name the server that is to be asked, or leave it out",
            ],
        ),
        (
            "upstreams = ['tls://192.0.2.53#a.example']\nca_file = 'none.pem'",
            &[
                "line 3: forward.ca_file: none.pem cannot be read: No such file or directory (os error 2)",
            ],
        ),
        (
            "upstreams = ['192.0.2.53']\nca_file = 'config.toml'",
            &[
                "line 3: forward.ca_file: config.toml has no certificate in it (`-----BEGIN CERTIFICATE-----`)",
            ],
        ),
        (
            "upstreams = ['127.0.0.1:5300']",
            &[
                "line 2: forward.upstreams: this server itself listens on 127.0.0.1:5300, and would \
               ask itself without end: name the server that is to be asked, or leave it out",
            ],
        ),
        (
            "upstreams = ['192.0.2.53']\nresolv_conf = 'config.toml'",
            &[
                "line 3: forward.upstreams and forward.resolv_conf both say whom to ask: leave one of them out",
            ],
        ),
        (
            "resolv_conf = ''",
            &["line 2: forward.resolv_conf is empty: name a path, or leave it out"],
        ),
        (
            "[forward.rules]\n'a' = ['x']\n'svc.internal.' = []",
            &[
                "line 3: forward.rules: `a`: `x` is no address with or without a port, such as `192.0.2.53`, \
               `192.0.2.53:5353` or `[fd00::53]:53`",
                "line 4: forward.rules: `svc.internal.` is one of dns.zones: its names are answered here",
            ],
        ),
        ("[forward.rules]\n'a.' = []\n'A' = []", &["line 4: forward.rules: `A` is there twice"]),
        (
            "rules = { a = ['127.0.0.1:5300'] }",
            &[
                "line 2: forward.rules: `a`: this server itself listens on 127.0.0.1:5300, and would \
               ask itself without end: name the server that is to be asked, or leave it out",
            ],
        ),
        (
            "rules = { a = '10.0.0.1' }",
            &["line 2: forward.rules.a must be a list, not string \"10.0.0.1\""],
        ),
        (
            "rules = { '.' = [] }",
            &["line 2: forward.rules: `.` is the root: for all names there is forward.upstreams"],
        ),
        (
            "allow = ['10.0.0.1/8', 'all']",
            &[
                "line 2: forward.allow: `10.0.0.1/8` has bits behind its length: the network is `10.0.0.0/8`, the \
               one address `10.0.0.1`",
                "line 2: forward.allow: `all` is no network, such as `10.0.0.0/8` or `fd00::/8`",
            ],
        ),
        (
            "private_addresses = 'none'",
            &["line 2: forward.private_addresses: `none` must be \"keep\" or \"drop\""],
        ),
        (
            "private_zones = ['a.']",
            &["line 2: forward.private_zones names exceptions, and nothing is dropped: set \
               forward.private_addresses = \"drop\", or leave the key out"],
        ),
        (
            "private_addresses = 'drop'\nprivate_zones = ['.']",
            &["line 3: forward.private_zones: `.` is the root: name the zones"],
        ),
    ];
    for (text, expected) in table {
        let told = load(&format!("[forward]\n{text}")).expect_err(text);
        let told: Vec<&str> =
            told.lines().map(|l| l.strip_prefix("config.toml ").unwrap()).collect();
        assert_eq!(&told, expected, "{text}");
    }
    let many: String = (0..1001).map(|n| format!("'z{n}' = []\n")).collect();
    let told = load(&format!("[forward.rules]\n{many}")).unwrap_err();
    assert_eq!(told, "config.toml: forward.rules has 1001 zones, and may have 1000");
}

#[test]
fn forwarding_is_on_when_somebody_can_be_asked() {
    for (text, on) in [
        ("", false),
        ("upstreams = []\nrules = { a = [] }", false),
        ("upstreams = ['192.0.2.53']", true),
        ("resolv_conf = 'config.toml'", true),
        ("rules = { a = ['192.0.2.53'] }", true),
    ] {
        assert_eq!(load(&format!("[forward]\n{text}")).unwrap().forward.is_on(), on, "{text}");
    }
}
