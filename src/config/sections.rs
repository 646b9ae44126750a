//! The sections of the file, setting by setting: bounds, defaults, and the rules between settings.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use toml::Spanned;

use super::check::{Checker, Number, Placed, values};
use super::encrypted::Encrypted;
use super::error::Place;
use super::forward::Own;
use super::raw::{Given, RawConfig, RawDns, RawLease, RawLog, RawRateLimit, RawService};
use super::{
    Answers, Audit, Config, Dns, Dnstap, History, Lease, Log, Metrics, QueryLog, RateLimit,
    ServiceAnswers, Store,
};
use super::{Environment, Overrides, names};
use crate::access::{Prefix, Prefixes};
use crate::nearest;
use crate::registry::ServiceName;

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Port 5300: 53 needs a privilege, 5353 is multicast DNS.
const DNS_LISTEN: SocketAddr = SocketAddr::new(LOOPBACK, 5300);
/// Port 8053, over TCP and UDP.
const DOOR_LISTEN: SocketAddr = SocketAddr::new(LOOPBACK, 8053);
/// `.internal` is reserved for private use, so it will never be anybody's.
const ZONE: &str = "svc.internal.";
const ZONE_DIR: &str = "zones";
/// What is said before a problem with an address that nobody configured: the socket is there, and not by us.
pub(super) const PASSED: &str = "a socket that was passed";
const LEVEL: &str = "info";
/// What `log.level` may be, each with all before it.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
/// Octets of `dns.nsid`: it goes into replies that may have 512.
const MAX_NSID: usize = 128;
/// Services that may have settings of their own.
const MAX_SERVICES: usize = 10_000;

macro_rules! numbers {
    ($($name:ident: $type:ty = $key:literal, $least:literal to $most:literal, $default:literal;)+) => {
        $(
            pub(super) const $name: Number<$type> =
                Number { key: $key, least: $least, most: $most, default: $default };
        )+
        /// Every number: its key, bounds and default.
        #[cfg(test)]
        pub(super) const NUMBERS: &[(&str, i64, i64, i64)] =
            &[$(($key, $least, $most, $default)),+];
    };
}

numbers! {
    WORKERS: usize = "dns.workers", 0 to 256, 0;
    SPIN_MICROS: u64 = "dns.spin_micros", 0 to 1000, 0;
    TCP_MAX_CONNECTIONS: usize = "dns.tcp_max_connections", 1 to 65536, 1000;
    TCP_MAX_PER_CLIENT: usize = "dns.tcp_max_per_client", 1 to 65536, 100;
    TCP_IDLE_SECS: u64 = "dns.tcp_idle_secs", 1 to 3600, 10;
    // 30 days: whoever wants a longer lease wants one without end.
    DEFAULT_SECS: u32 = "lease.default_secs", 1 to 2592000, 30;
    RESERVED_SECS: u32 = "access.reserved_secs", 0 to 2592000, 600;
    MIN_SECS: u32 = "lease.min_secs", 1 to 2592000, 2;
    MAX_SECS: u32 = "lease.max_secs", 1 to 2592000, 86400;
    TTL_SECS: u32 = "answers.ttl_secs", 1 to 86400, 5;
    MAX_ANSWERS: u32 = "answers.max_answers", 0 to 1000, 0;
    NEGATIVE_TTL_SECS: u32 = "answers.negative_ttl_secs", 0 to 3600, 2;
    // 200 machines in one network with 100 queries a second each.
    RESPONSES_PER_SECOND: u32 = "rate_limit.responses_per_second", 0 to 10000000, 20000;
    QUERY_LOG_ONE_IN: u32 = "query_log.one_in", 1 to 1000000000, 100;
    DNSTAP_ONE_IN: u32 = "dnstap.one_in", 1 to 1000000000, 1;
    // Some 250 octets each: a gigabyte or so at most, and 16 MiB by default.
    EVENTS: usize = "history.events", 0 to 4000000, 65536;
    EVENTS_A_SERVICE: usize = "history.events_a_service", 0 to 4000000, 1024;
    CACHE_MIB: u32 = "forward.cache_mib", 1 to 65536, 64;
    // A week (RFC 8767 suggests one to three days, and lets operators choose).
    STALE_SECS: u32 = "forward.stale_secs", 0 to 604800, 86400;
}

impl Checker<'_> {
    /// Makes a configuration; it is to be used only if no problems were found.
    pub(super) fn config(
        &mut self,
        raw: RawConfig,
        flags: &Overrides,
        environment: &Environment,
    ) -> Config {
        let passed = &flags.passed;
        let above = [(PASSED, &*passed.dns), ("--dns", &*flags.dns)];
        let dns = self.listen("dns.listen", &raw.dns.listen, &above, Some(DNS_LISTEN));
        let above = [(PASSED, &*passed.http), ("--http", &*flags.http)];
        let http = self.listen("http.listen", &raw.http.listen, &above, Some(DOOR_LISTEN));
        let above = [(PASSED, &*passed.udp), ("--udp", &*flags.udp)];
        let udp = self.listen("udp.listen", &raw.udp.listen, &above, Some(DOOR_LISTEN));
        self.apart("dns.listen", &dns, "http.listen (TCP)", &http);
        self.apart("dns.listen", &dns, "udp.listen (UDP)", &udp);
        let above = [(PASSED, &*passed.http_tls)];
        let http_tls = self.listen("http.tls_listen", &raw.http.tls_listen, &above, None);
        self.apart("http.tls_listen", &http_tls, "http.listen (TCP)", &http);
        self.apart("http.tls_listen", &http_tls, "dns.listen (TCP)", &dns);
        let eureka = self.listen("eureka.listen", &raw.eureka.listen, &[], None);
        for (other, listen) in
            [("http.listen", &http), ("http.tls_listen", &http_tls), ("dns.listen (TCP)", &dns)]
        {
            self.apart("eureka.listen", &eureka, other, listen);
        }
        let encrypted = self.encrypted(&raw.dns, passed, [&dns, &http, &udp, &http_tls]);
        let dns = self.dns(&raw.dns, dns, encrypted);
        let own = Own { listen: &dns.all_listen(), zones: &dns.zones };
        let forward = self.forward(&raw.forward, &own);
        let eureka = self.eureka(raw.eureka, eureka, &raw.http);
        let http = self.http(&raw.http, http, http_tls);
        let access = self.access(raw.access);
        self.principals_can_come(&http, &access);
        Config {
            dns,
            http,
            udp: self.udp(&raw.udp, udp),
            access,
            eureka,
            audit: Audit { file: self.path("audit.file", &raw.audit.file) },
            unguarded: std::mem::take(&mut self.unguarded),
            lease: self.lease(&raw.lease),
            answers: Answers {
                ttl_secs: self.number(&TTL_SECS, &raw.answers.ttl_secs),
                max_answers: self.number(&MAX_ANSWERS, &raw.answers.max_answers),
                negative_ttl_secs: self.number(&NEGATIVE_TTL_SECS, &raw.answers.negative_ttl_secs),
            },
            rate_limit: self.rate_limit(&raw.rate_limit),
            services: self.services(raw.services),
            forward,
            history: History {
                events: self.number(&EVENTS, &raw.history.events),
                events_a_service: self.number(&EVENTS_A_SERVICE, &raw.history.events_a_service),
            },
            query_log: QueryLog {
                file: self.path("query_log.file", &raw.query_log.file),
                one_in: self.number(&QUERY_LOG_ONE_IN, &raw.query_log.one_in),
                networks_only: is_true(&raw.query_log.networks_only),
            },
            dnstap: Dnstap {
                socket: self.path("dnstap.socket", &raw.dnstap.socket),
                one_in: self.number(&DNSTAP_ONE_IN, &raw.dnstap.one_in),
                identity: raw.dnstap.identity.map(Spanned::into_inner).unwrap_or_default(),
            },
            metrics: Metrics { coredns_names: is_true(&raw.metrics.coredns_names) },
            store: Store { data_dir: self.data_dir(&raw.store.data_dir, flags, environment) },
            log: self.log(raw.log),
        }
    }

    fn dns(&mut self, raw: &RawDns, listen: Vec<Placed<SocketAddr>>, encrypted: Encrypted) -> Dns {
        let Encrypted { tls, https, quic, cert_file, key_file } = encrypted;
        self.not_empty("dns.listen", &raw.listen, &listen, "name an address");
        let zones = match &raw.zones {
            Some(given) => self.members("dns.zones", given, names::zone),
            None => vec![Placed { place: Place::Whole, value: ZONE.to_owned() }],
        };
        self.not_empty("dns.zones", &raw.zones, &zones, "services need a zone to be found in");
        let reverse_zones = match &raw.reverse_zones {
            Some(given) => self.members("dns.reverse_zones", given, names::reverse_zone),
            None => Vec::new(),
        };
        let ns_addresses = match &raw.ns_addresses {
            Some(given) => self.members("dns.ns_addresses", given, ns_address),
            None => Vec::new(),
        };
        let tcp_max_connections = self.number(&TCP_MAX_CONNECTIONS, &raw.tcp_max_connections);
        let tcp_max_per_client = self.number(&TCP_MAX_PER_CLIENT, &raw.tcp_max_per_client);
        if tcp_max_per_client > tcp_max_connections {
            let place =
                self.place(&raw.tcp_max_per_client.clone().or(raw.tcp_max_connections.clone()));
            let text = format!(
                "dns.tcp_max_per_client ({tcp_max_per_client}) must be at most \
                 dns.tcp_max_connections ({tcp_max_connections})"
            );
            self.problem(place, text);
        }
        Dns {
            listen: values(listen),
            workers: self.number(&WORKERS, &raw.workers),
            spin_micros: self.number(&SPIN_MICROS, &raw.spin_micros),
            zones: values(zones),
            zone_dir: self.zone_dir(&raw.zone_dir),
            reverse_zones: values(reverse_zones),
            ns_addresses: values(ns_addresses),
            tcp_max_connections,
            tcp_max_per_client,
            tcp_idle_secs: self.number(&TCP_IDLE_SECS, &raw.tcp_idle_secs),
            nsid: self.nsid(&raw.nsid),
            cookie_secret_file: self.secret_path("dns.cookie_secret_file", &raw.cookie_secret_file),
            tls_listen: tls,
            https_listen: https,
            quic_listen: quic,
            tls_cert_file: cert_file,
            tls_key_file: key_file,
        }
    }

    fn nsid(&mut self, given: &Given<String>) -> String {
        let Some(given) = given else { return String::new() };
        let nsid = given.get_ref();
        let wrong = if nsid.len() > MAX_NSID {
            Some(format!("has {} octets, and may have {MAX_NSID}", nsid.len()))
        } else if nsid.chars().any(char::is_control) {
            Some("has control characters, which would end up on terminals".into())
        } else {
            None
        };
        if let Some(wrong) = wrong {
            self.problem(self.place_of(given), format!("dns.nsid {wrong}"));
        }
        nsid.clone()
    }

    fn rate_limit(&mut self, raw: &RawRateLimit) -> RateLimit {
        let exempt = match &raw.exempt {
            Some(given) => {
                Prefixes::new(values(self.members("rate_limit.exempt", given, Prefix::parse)))
            }
            None => Prefixes::default(),
        };
        let responses_per_second = self.number(&RESPONSES_PER_SECOND, &raw.responses_per_second);
        RateLimit { responses_per_second, exempt }
    }

    /// The default directory need not be there; one that somebody named must be, or a typing error would take
    /// all zone files away.
    fn zone_dir(&mut self, given: &Given<String>) -> Option<PathBuf> {
        let default = self.directory.join(ZONE_DIR);
        let Some(directory) = self.path("dns.zone_dir", given).filter(|named| *named != default)
        else {
            return Some(default).filter(|directory| directory.is_dir());
        };
        if !directory.is_dir() {
            let place = self.place(given);
            let shown = directory.display();
            let text =
                format!("dns.zone_dir: {shown} is no directory: make it, or leave the key out");
            self.problem(place, text);
        }
        Some(directory)
    }

    fn lease(&mut self, raw: &RawLease) -> Lease {
        let lease = Lease {
            default_secs: self.number(&DEFAULT_SECS, &raw.default_secs),
            min_secs: self.number(&MIN_SECS, &raw.min_secs),
            max_secs: self.number(&MAX_SECS, &raw.max_secs),
        };
        let Lease { default_secs, min_secs, max_secs } = lease;
        if min_secs > default_secs || default_secs > max_secs {
            let given = [&raw.default_secs, &raw.min_secs, &raw.max_secs];
            let place =
                given.into_iter().flatten().next().map_or(Place::Whole, |g| self.place_of(g));
            let text = format!(
                "lease.min_secs ({min_secs}), lease.default_secs ({default_secs}) and \
                 lease.max_secs ({max_secs}) must be in this order"
            );
            self.problem(place, text);
        }
        lease
    }

    fn services(
        &mut self,
        raw: BTreeMap<Spanned<String>, RawService>,
    ) -> BTreeMap<String, ServiceAnswers> {
        if raw.len() > MAX_SERVICES {
            let text =
                format!("[services] has {} services, and may have {MAX_SERVICES}", raw.len());
            self.problem(Place::Whole, text);
        }
        let mut services = BTreeMap::new();
        for (name, raw) in raw {
            if let Err(invalid) = ServiceName::parse(name.get_ref()) {
                let place = self.place_of(&name);
                let shown = name.get_ref().escape_debug();
                self.problem(place, format!("[services.{shown}] {invalid}"));
                continue;
            }
            let name = name.into_inner();
            let key = |setting: &str| format!("services.{name}.{setting}");
            let answers = ServiceAnswers {
                ttl_secs: self.optional_number(&TTL_SECS, &key("ttl_secs"), &raw.ttl_secs),
                max_answers: self.optional_number(
                    &MAX_ANSWERS,
                    &key("max_answers"),
                    &raw.max_answers,
                ),
            };
            services.insert(name, answers);
        }
        services
    }

    fn data_dir(
        &mut self,
        given: &Given<String>,
        flags: &Overrides,
        environment: &Environment,
    ) -> PathBuf {
        let in_file = self.path("store.data_dir", given);
        let chosen = flags.data_dir.clone().or(in_file).or_else(|| environment.data_dir());
        if chosen.is_none() && given.is_none() {
            self.problem(
                Place::Whole,
                "there is no place for data: give --data-dir, set store.data_dir, or set \
                 STATE_DIRECTORY, XDG_STATE_HOME or HOME to an absolute path",
            );
        }
        chosen.unwrap_or_default()
    }

    fn log(&mut self, raw: RawLog) -> Log {
        let json = is_true(&raw.json);
        let Some(level) = raw.level else {
            return Log { level: LEVEL.to_owned(), json };
        };
        if let Err(reason) = filter(level.get_ref()) {
            let place = self.place_of(&level);
            let shown = level.get_ref().escape_debug();
            self.problem(place, format!("log.level: `{shown}` {reason}"));
        }
        Log { level: level.into_inner(), json }
    }
}

pub(super) fn is_true(given: &Given<bool>) -> bool {
    given.as_ref().is_some_and(|given| *given.get_ref())
}

fn ns_address(text: &str) -> Result<IpAddr, String> {
    match text.parse::<IpAddr>() {
        Err(_) => Err("is no address, such as `10.0.0.53` or `fd00::53`".into()),
        Ok(ip) if ip.is_unspecified() || ip.is_multicast() => {
            Err("cannot be asked: name an address of this machine".into())
        }
        Ok(ip) => Ok(ip),
    }
}

/// Whether `text` is a level, or a list of `target=level` and levels as tracing takes it. A single word that
/// is no level would be taken for a target, and nothing else would be logged.
fn filter(text: &str) -> Result<(), String> {
    for directive in text.split(',') {
        let level = directive.rsplit_once('=').map_or(directive, |(_, level)| level).trim();
        if !LEVELS.contains(&level) {
            let near = nearest::nearest(level, LEVELS);
            let hint = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
            return Err(format!("is no level: there are {}{hint}", LEVELS.join(", ")));
        }
    }
    text.parse::<tracing_subscriber::filter::EnvFilter>()
        .map(|_| ())
        .map_err(|error| format!("is no filter: {error}"))
}
