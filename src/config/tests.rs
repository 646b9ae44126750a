//! The file and its checks, as tables: a file's text and every line that is said about it.

mod doors;
mod top_file;

use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::*;
use crate::access::{Pattern, Prefix, Scope, Verb, Verbs};

fn at_home() -> Environment {
    Environment { home: Some("/home/ann".into()), ..Environment::default() }
}

fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn prefixes(texts: &[&str]) -> Prefixes {
    Prefixes::new(texts.iter().map(|text| Prefix::parse(text).unwrap()))
}

fn upstreams(texts: &[&str]) -> Vec<Upstream> {
    let plain = |address| Upstream { address, transport: Transport::Plain };
    addresses(texts).into_iter().map(plain).collect()
}

/// Loads `text` from a file `config.toml` in a directory of its own.
pub(super) fn load(text: &str) -> Result<Config, String> {
    load_with(text, &Overrides::default())
}

fn load_with(text: &str, overrides: &Overrides) -> Result<Config, String> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.toml");
    fs::write(&path, text).unwrap();
    Config::load_in(Some(&path), overrides, &at_home()).map_err(|error| {
        error.to_string().replace(&directory.path().join("").display().to_string(), "")
    })
}

pub(super) fn defaults() -> Config {
    Config {
        dns: Dns {
            listen: addresses(&["127.0.0.1:5300"]),
            workers: 0,
            spin_micros: 0,
            zones: vec!["svc.internal.".into()],
            zone_dir: None,
            reverse_zones: vec![],
            ns_addresses: vec![],
            tcp_max_connections: 1000,
            tcp_max_per_client: 100,
            tcp_idle_secs: 10,
            nsid: String::new(),
            cookie_secret_file: None,
            tls_listen: vec![],
            https_listen: vec![],
            quic_listen: vec![],
            tls_cert_file: None,
            tls_key_file: None,
        },
        http: Http { listen: addresses(&["127.0.0.1:8053"]), ..Http::default() },
        udp: Udp {
            listen: addresses(&["127.0.0.1:8053"]),
            key_files: vec![],
            insecure_unsigned: false,
        },
        access: Access { reserved_secs: 600, principals: vec![] },
        audit: Audit::default(),
        eureka: Eureka { on_http: true, ..Eureka::default() },
        unguarded: vec![],
        lease: Lease { default_secs: 30, min_secs: 2, max_secs: 86_400 },
        answers: Answers { ttl_secs: 5, max_answers: 0, negative_ttl_secs: 2 },
        rate_limit: RateLimit { responses_per_second: 20_000, exempt: Prefixes::default() },
        services: BTreeMap::new(),
        forward: Forward {
            upstreams: vec![],
            resolv_conf: None,
            rules: BTreeMap::new(),
            ca_file: None,
            allow: prefixes(&["127.0.0.0/8", "::1"]),
            cache_mib: 64,
            stale_secs: 86_400,
            private_addresses: PrivateAddresses::Keep,
        },
        history: History { events: 65_536, events_a_service: 1_024 },
        query_log: QueryLog { file: None, one_in: 100, networks_only: false },
        dnstap: Dnstap { socket: None, one_in: 1, identity: String::new() },
        metrics: Metrics { coredns_names: false },
        store: Store { data_dir: "/home/ann/.local/state/rollcall".into() },
        log: Log { level: "info".into(), json: false },
    }
}

#[test]
fn everything_can_be_set() {
    let directory = tempfile::tempdir().unwrap();
    let here = |name: &str| directory.path().join(name);
    fs::create_dir(here("z")).unwrap();
    let text = r#"
        [dns]
        listen = ["0.0.0.0:53", "[::]:53"]
        workers = 3
        spin_micros = 50
        zones = ["Svc.Example", "internal."]
        zone_dir = "z"
        reverse_zones = ["10.in-addr.arpa"]
        ns_addresses = ["10.0.0.53", "fd00::53"]
        tcp_max_connections = 10
        tcp_max_per_client = 2
        tcp_idle_secs = 3
        nsid = "rack 7"
        cookie_secret_file = "cookie.secret"
        tls_listen = ["0.0.0.0:853"]
        https_listen = ["0.0.0.0:443"]
        quic_listen = ["0.0.0.0:853"]
        tls_cert_file = "cert.pem"
        tls_key_file = "/etc/key.pem"
        [http]
        listen = ["0.0.0.0:80"]
        token_file = "token"
        tls_listen = ["0.0.0.0:8443"]
        tls_cert_file = "http.pem"
        tls_key_file = "http.key"
        tls_client_ca_file = "clients.pem"
        unix_socket = "http.sock"
        host_names = ["Rollcall.Example."]
        insecure_no_token = true
        insecure_no_tls = true
        [udp]
        listen = []
        key_files = ["keys/k1.key", "/etc/k2.key"]
        insecure_unsigned = true
        [access]
        reserved_secs = 7
        [access.principals.web-hosts]
        verbs = ["read", "register"]
        services = ["web", "web-*"]
        networks = ["10.2.0.0/16"]
        max_instances = 100
        max_lease_secs = 60
        certificates = ["dns:web-1.example"]
        users = [1000]
        [audit]
        file = "audit.jsonl"
        [history]
        events = 0
        events_a_service = 9
        [query_log]
        file = "queries.jsonl"
        one_in = 7
        networks_only = true
        [dnstap]
        socket = "/run/dnstap.sock"
        one_in = 8
        identity = "dns-1"
        [metrics]
        coredns_names = true
        [eureka]
        on_http = false
        listen = ["0.0.0.0:8761"]
        [eureka.regions.us-east-1]
        us-east-1c = ["eureka-1.example", "http://10.0.0.5:8761/eureka"]
        [lease]
        default_secs = 20
        min_secs = 10
        max_secs = 30
        [answers]
        ttl_secs = 1
        max_answers = 8
        negative_ttl_secs = 0
        [rate_limit]
        responses_per_second = 5
        exempt = ["10.0.0.53", "fd00::/64"]
        [services.web]
        ttl_secs = 9
        [services.db]
        max_answers = 1
        [forward]
        upstreams = ["192.0.2.53", "192.0.2.53:5353", "[fd00::53]:53"]
        rules = { "Corp.Example" = ["10.1.1.1"], "home.arpa." = [] }
        allow = ["10.0.0.0/8", "127.0.0.1", "::ffff:192.0.2.0/120"]
        cache_mib = 1
        stale_secs = 0
        private_addresses = "drop"
        private_zones = ["Plex.direct."]
        [store]
        data_dir = "../data"
        [log]
        level = "warn,rollcall::net=debug"
        json = true
    "#;
    fs::write(here("some.toml"), text).unwrap();
    let config =
        Config::load_in(Some(&here("some.toml")), &Overrides::default(), &Environment::default());
    let service = |ttl_secs, max_answers| ServiceAnswers { ttl_secs, max_answers };
    let expected = Config {
        dns: Dns {
            listen: addresses(&["0.0.0.0:53", "[::]:53"]),
            workers: 3,
            spin_micros: 50,
            zones: vec!["svc.example.".into(), "internal.".into()],
            zone_dir: Some(here("z")),
            reverse_zones: vec!["10.in-addr.arpa.".into()],
            ns_addresses: vec!["10.0.0.53".parse().unwrap(), "fd00::53".parse().unwrap()],
            tcp_max_connections: 10,
            tcp_max_per_client: 2,
            tcp_idle_secs: 3,
            nsid: "rack 7".into(),
            cookie_secret_file: Some(here("cookie.secret")),
            tls_listen: addresses(&["0.0.0.0:853"]),
            https_listen: addresses(&["0.0.0.0:443"]),
            quic_listen: addresses(&["0.0.0.0:853"]),
            tls_cert_file: Some(here("cert.pem")),
            tls_key_file: Some("/etc/key.pem".into()),
        },
        http: Http {
            listen: addresses(&["0.0.0.0:80"]),
            token_file: Some(here("token")),
            tls_listen: addresses(&["0.0.0.0:8443"]),
            tls_cert_file: Some(here("http.pem")),
            tls_key_file: Some(here("http.key")),
            tls_client_ca_file: Some(here("clients.pem")),
            unix_socket: Some(here("http.sock")),
            host_names: vec!["rollcall.example".into()],
            insecure_no_token: true,
            insecure_no_tls: true,
        },
        udp: Udp {
            listen: vec![],
            key_files: vec![here("keys/k1.key"), "/etc/k2.key".into()],
            insecure_unsigned: true,
        },
        access: Access {
            reserved_secs: 7,
            principals: vec![ConfiguredPrincipal {
                name: "web-hosts".into(),
                scope: Scope {
                    verbs: Verbs::of(&[Verb::Read, Verb::Register]),
                    services: ["web", "web-*"].map(|text| Pattern::parse(text).unwrap()).into(),
                    networks: [Prefix::parse("10.2.0.0/16").unwrap()].into(),
                    max_instances: Some(100),
                    max_lease_secs: Some(60),
                },
                certificates: vec!["dns:web-1.example".into()],
                users: vec![1000],
            }],
        },
        audit: Audit { file: Some(here("audit.jsonl")) },
        eureka: Eureka {
            on_http: false,
            listen: addresses(&["0.0.0.0:8761"]),
            regions: vec![Region {
                name: "us-east-1".into(),
                line: text.lines().position(|line| line.contains("regions.us")).unwrap() + 1,
                zones: vec![(
                    "us-east-1c".into(),
                    vec!["eureka-1.example".into(), "http://10.0.0.5:8761/eureka".into()],
                )],
            }],
        },
        unguarded: vec![],
        lease: Lease { default_secs: 20, min_secs: 10, max_secs: 30 },
        answers: Answers { ttl_secs: 1, max_answers: 8, negative_ttl_secs: 0 },
        rate_limit: RateLimit {
            responses_per_second: 5,
            exempt: prefixes(&["10.0.0.53", "fd00::/64"]),
        },
        services: [("db".into(), service(None, Some(1))), ("web".into(), service(Some(9), None))]
            .into(),
        forward: Forward {
            upstreams: upstreams(&["192.0.2.53:53", "192.0.2.53:5353", "[fd00::53]:53"]),
            resolv_conf: None,
            rules: [
                ("corp.example.".into(), upstreams(&["10.1.1.1:53"])),
                ("home.arpa.".into(), vec![]),
            ]
            .into(),
            ca_file: None,
            allow: prefixes(&["10.0.0.0/8", "127.0.0.1", "192.0.2.0/24"]),
            cache_mib: 1,
            stale_secs: 0,
            private_addresses: PrivateAddresses::Drop { except: vec!["plex.direct.".into()] },
        },
        history: History { events: 0, events_a_service: 9 },
        query_log: QueryLog { file: Some(here("queries.jsonl")), one_in: 7, networks_only: true },
        dnstap: Dnstap {
            socket: Some("/run/dnstap.sock".into()),
            one_in: 8,
            identity: "dns-1".into(),
        },
        metrics: Metrics { coredns_names: true },
        store: Store { data_dir: here("../data") },
        log: Log { level: "warn,rollcall::net=debug".into(), json: true },
    };
    assert_eq!(config, Ok(expected));
}

#[test]
fn what_is_wrong_is_told_with_its_line() {
    let table: &[(&str, &[&str])] = &[
        // Keys.
        ("[dns]\n\nzone = []", &["line 3: unknown key `zone` in [dns]; did you mean `zones`?"]),
        (
            "[udp]\nfoo = 1",
            &["line 2: unknown key `foo` in [udp]; \
               expected one of `listen`, `key_files`, `insecure_unsigned`"],
        ),
        (
            "[prometheus]\nlisten = []",
            &[
                "line 1: unknown section or key `prometheus`; expected one of `dns`, `http`, `udp`, `access`, `audit`, `eureka`, \
               `lease`, `answers`, `rate_limit`, `services`, `forward`, `history`, `query_log`, `dnstap`, `metrics`, `store`, `log`",
            ],
        ),
        (
            "dns.nsid = \"a\\u0007\"\nrate_limit.exempt = ['10.0.0.1/8']\ndns.cookie_secret_file = ''",
            &[
                "line 1: dns.nsid has control characters, which would end up on terminals",
                "line 2: rate_limit.exempt: `10.0.0.1/8` has bits behind its length: the network is \
                 `10.0.0.0/8`, the one address `10.0.0.1`",
                "line 3: dns.cookie_secret_file is empty: name a path, or leave it out",
            ],
        ),
        ("[anwsers]", &["line 1: unknown section or key `anwsers`; did you mean `answers`?"]),
        (
            "[services.web]\nttl = 1",
            &["line 2: unknown key `ttl` in [services.web]; did you mean `ttl_secs`?"],
        ),
        ("[services.Web]", &["line 1: [services.Web] service: `Web` must be lower case: `web`"]),
        ("lease.min = 1", &["line 1: unknown key `min` in [lease]; did you mean `min_secs`?"]),
        // Types.
        (
            "[dns]\nworkers = \"4\"",
            &["line 2: dns.workers must be a whole number, not string \"4\""],
        ),
        (
            "dns.listen = \"[::]:53\"",
            &["line 1: dns.listen must be a list, not string \"[::]:53\""],
        ),
        ("[dns]\nzones = [\n\"a\",\n1]", &["line 4: dns.zones must be a string, not integer `1`"]),
        ("log.json = 1", &["line 1: log.json must be true or false, not integer `1`"]),
        ("dns = 5", &["line 1: dns must be a table, not integer `5`"]),
        ("[dns.listen]", &["line 1: dns.listen must be a list, not map"]),
        // Values.
        (
            "dns.listen = []",
            &["line 1: dns.listen is empty: name an address, or leave the key out"],
        ),
        (
            "[http]\nlisten = ['localhost:80']",
            &["line 2: http.listen: `localhost:80` is no address with a port, \
               such as `127.0.0.1:5300` or `[::1]:5300`"],
        ),
        ("dns.zones = ['a.', 'A', 'b']", &["line 1: dns.zones: `A` is there twice"]),
        (
            "dns.zones = []",
            &[
                "line 1: dns.zones is empty: services need a zone to be found in, or leave the key out",
            ],
        ),
        (
            "dns.ns_addresses = ['0.0.0.0']",
            &[
                "line 1: dns.ns_addresses: `0.0.0.0` cannot be asked: name an address of this machine",
            ],
        ),
        (
            "[dns]\ntcp_max_connections = 50",
            &["line 2: dns.tcp_max_per_client (100) must be at most dns.tcp_max_connections (50)"],
        ),
        (
            "dns.zone_dir = 'none'",
            &["line 1: dns.zone_dir: none is no directory: make it, or leave the key out"],
        ),
        (
            "[lease]\nmin_secs = 60",
            &["line 2: lease.min_secs (60), lease.default_secs (30) and lease.max_secs (86400) \
               must be in this order"],
        ),
        ("store.data_dir = ''", &["line 1: store.data_dir is empty: name a path, or leave it out"]),
        (
            "udp.key_files = ['a/k1.key', 'b/k1.old']",
            &["line 1: udp.key_files: b/k1.old has the key id `k1` of another file"],
        ),
        (
            "udp.key_files = ['.key']",
            &[
                "line 1: udp.key_files: `.key` has no name before its first dot, and that is the key's id",
            ],
        ),
        (
            "log.level = 'inf'",
            &["line 1: log.level: `inf` is no level: there are off, error, warn, info, debug, \
               trace; did you mean `info`?"],
        ),
        (
            "dns.listen = ['127.0.0.1:8053']",
            &[
                "line 1: 127.0.0.1:8053 is in dns.listen and in http.listen (TCP): they cannot share it",
                "line 1: 127.0.0.1:8053 is in dns.listen and in udp.listen (UDP): they cannot share it",
            ],
        ),
        // Doors.
        (
            "[http]\nlisten = ['127.0.0.1:80', '10.0.0.1:80', '[::ffff:127.0.0.1]:80']",
            &[
                "line 2: http.listen: 10.0.0.1:80 is not on loopback, and tokens would cross the network in \
               the clear: name it in http.tls_listen, with http.tls_cert_file and http.tls_key_file, or, behind a \
               proxy with TLS or where nobody listens, set http.insecure_no_tls = true; who may call is known by \
               http.token_file or `rollcall token create`, or everybody may with http.insecure_no_token = true",
            ],
        ),
        // TOML itself, and several at once, in the order of the lines.
        ("[dns]\n[dns]", &["line 2: duplicate key"]),
        (
            "[log]\nlevl = 'info'\njson = 0\n[dns]\nworkers = -1\nzonedir = 'x'\n[x]",
            &[
                "line 2: unknown key `levl` in [log]; did you mean `level`?",
                "line 3: log.json must be true or false, not integer `0`",
                "line 5: dns.workers must be 0 to 256, not -1",
                "line 6: unknown key `zonedir` in [dns]; did you mean `zone_dir`?",
                "line 7: unknown section or key `x`; expected one of `dns`, `http`, `udp`, `access`, `audit`, `eureka`, \
                 `lease`, `answers`, `rate_limit`, `services`, `forward`, `history`, `query_log`, `dnstap`, `metrics`, `store`, `log`",
            ],
        ),
    ];
    for (text, expected) in table {
        let told = load(text).expect_err(text);
        let told: Vec<&str> =
            told.lines().map(|l| l.strip_prefix("config.toml").unwrap()).collect();
        let told: Vec<&str> =
            told.into_iter().map(|l| l.strip_prefix(": ").unwrap_or(l.trim_start())).collect();
        assert_eq!(&told, expected, "{text}");
    }
}

#[test]
fn a_secret_is_a_credential_if_there_is_one_of_its_name() {
    let directory = tempfile::tempdir().unwrap();
    let here = |name: &str| directory.path().join(name);
    let path = here("config.toml");
    let text = "http.token_file = 'token'\nudp.key_files = ['keys/k1.key', 'keys/k2.key', '/abs/k3']\n\
                dns.cookie_secret_file = 'cookie'\nstore.data_dir = 'k2.key'";
    fs::write(&path, text).unwrap();
    fs::create_dir(here("credentials")).unwrap();
    for name in ["token", "k2.key", "k3"] {
        fs::write(here("credentials").join(name), "").unwrap();
    }
    let credentials = Some(here("credentials").into());
    let environment = Environment { credentials, ..Environment::default() };
    let config = Config::load_in(Some(&path), &Overrides::default(), &environment).unwrap();
    assert_eq!(config.http.token_file, Some(here("credentials/token")));
    let keys = [here("keys/k1.key"), here("credentials/k2.key"), "/abs/k3".into()];
    assert_eq!(config.udp.key_files, keys);
    assert_eq!(config.dns.cookie_secret_file, Some(here("cookie")));
    assert_eq!(config.store.data_dir, here("k2.key"), "it is no secret");
}

#[test]
fn data_goes_where_the_environment_says() {
    let dir = |state: &str, xdg: &str, home: &str| {
        let variable = |text: &str| (text != "-").then(|| OsString::from(text));
        let environment = Environment {
            state_directory: variable(state),
            xdg_state_home: variable(xdg),
            home: variable(home),
            credentials: None,
        };
        Config::load_in(None, &Overrides::default(), &environment)
            .map(|config| config.store.data_dir.display().to_string())
            .map_err(|error| error.to_string())
    };
    assert_eq!(dir("/var/lib/rollcall", "/x", "/h"), Ok("/var/lib/rollcall".into()));
    assert_eq!(dir("/a:/b", "-", "-"), Ok("/a".into()));
    assert_eq!(dir("", "/x", "/h"), Ok("/x/rollcall".into()));
    assert_eq!(dir("-", "relative", "/h"), Ok("/h/.local/state/rollcall".into()));
    assert_eq!(dir("-", "", ""), dir("-", "-", "-"));
    let told = dir("-", "-", "-").unwrap_err();
    assert!(told.starts_with("there is no place for data: give --data-dir"), "{told}");
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let told = |path: &Path| {
        Config::load_in(Some(path), &Overrides::default(), &at_home()).unwrap_err().to_string()
    };
    let missing = directory.path().join("no.toml");
    assert!(told(&missing).starts_with(&format!("{}: cannot be read: ", missing.display())));
    let long = directory.path().join("long.toml");
    fs::write(&long, "#".repeat(usize::try_from(MAX_FILE_OCTETS).unwrap() + 1)).unwrap();
    assert!(told(&long).ends_with("is longer than 4194304 octets"), "{}", told(&long));
}
