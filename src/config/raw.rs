//! The file as it is written: which keys there are and of which type, with where each stands. Nothing is
//! checked here but that; see `check.rs`.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{MAX_PROBLEMS, Place, Problem};
use crate::nearest;

/// A setting with its place; `None`: it is not in the file.
pub(super) type Given<T> = Option<Spanned<T>>;
/// A list with its place and the place of every member.
pub(super) type List = Given<Vec<Spanned<String>>>;

/// Lists by zone, each with its place.
pub(super) type Rules = BTreeMap<Spanned<String>, Spanned<Vec<Spanned<String>>>>;

macro_rules! raw {
    ($($name:ident { $($field:ident: $type:ty),+ $(,)? })+) => {
        $(
            #[derive(Debug, Default, Deserialize)]
            #[cfg_attr(test, derive(serde::Serialize))]
            #[serde(deny_unknown_fields, default, expecting = "a table")]
            pub(super) struct $name {
                $(pub(super) $field: $type,)+
            }
        )+
    };
}

raw! {
    RawConfig {
        dns: RawDns,
        http: RawHttp,
        udp: RawUdp,
        access: RawAccess,
        audit: RawAudit,
        eureka: RawEureka,
        lease: RawLease,
        answers: RawAnswers,
        rate_limit: RawRateLimit,
        services: BTreeMap<Spanned<String>, RawService>,
        forward: RawForward,
        history: RawHistory,
        query_log: RawQueryLog,
        dnstap: RawDnstap,
        metrics: RawMetrics,
        store: RawStore,
        log: RawLog,
    }
    RawDns {
        listen: List,
        workers: Given<i64>,
        spin_micros: Given<i64>,
        zones: List,
        zone_dir: Given<String>,
        reverse_zones: List,
        ns_addresses: List,
        tcp_max_connections: Given<i64>,
        tcp_max_per_client: Given<i64>,
        tcp_idle_secs: Given<i64>,
        nsid: Given<String>,
        cookie_secret_file: Given<String>,
        tls_listen: List,
        https_listen: List,
        quic_listen: List,
        tls_cert_file: Given<String>,
        tls_key_file: Given<String>,
    }
    RawHttp {
        listen: List,
        token_file: Given<String>,
        tls_listen: List,
        tls_cert_file: Given<String>,
        tls_key_file: Given<String>,
        tls_client_ca_file: Given<String>,
        unix_socket: Given<String>,
        host_names: List,
        insecure_no_token: Given<bool>,
        insecure_no_tls: Given<bool>,
    }
    RawUdp {
        listen: List,
        key_files: List,
        insecure_unsigned: Given<bool>,
    }
    RawAccess {
        reserved_secs: Given<i64>,
        principals: BTreeMap<Spanned<String>, RawPrincipal>,
    }
    RawPrincipal {
        verbs: List,
        services: List,
        networks: List,
        max_instances: Given<i64>,
        max_lease_secs: Given<i64>,
        certificates: List,
        users: Given<Vec<Spanned<i64>>>,
    }
    RawAudit {
        file: Given<String>,
    }
    RawQueryLog {
        file: Given<String>,
        one_in: Given<i64>,
        networks_only: Given<bool>,
    }
    RawDnstap {
        socket: Given<String>,
        one_in: Given<i64>,
        identity: Given<String>,
    }
    RawMetrics {
        coredns_names: Given<bool>,
    }
    RawHistory {
        events: Given<i64>,
        events_a_service: Given<i64>,
    }
    RawEureka {
        on_http: Given<bool>,
        listen: List,
        regions: BTreeMap<Spanned<String>, BTreeMap<Spanned<String>, List>>,
    }
    RawLease {
        default_secs: Given<i64>,
        min_secs: Given<i64>,
        max_secs: Given<i64>,
    }
    RawAnswers {
        ttl_secs: Given<i64>,
        max_answers: Given<i64>,
        negative_ttl_secs: Given<i64>,
    }
    RawRateLimit {
        responses_per_second: Given<i64>,
        exempt: List,
    }
    RawService {
        ttl_secs: Given<i64>,
        max_answers: Given<i64>,
    }
    RawForward {
        upstreams: List,
        resolv_conf: Given<String>,
        rules: Rules,
        ca_file: Given<String>,
        allow: List,
        cache_mib: Given<i64>,
        stale_secs: Given<i64>,
        private_addresses: Given<String>,
        private_zones: List,
    }
    RawStore {
        data_dir: Given<String>,
    }
    RawLog {
        level: Given<String>,
        json: Given<bool>,
    }
}

/// Reads a file's text. What is wrong with it is added to `problems`; what is left of it is returned, so that
/// that can be checked as well.
pub(super) fn read(text: &str, problems: &mut Vec<Problem>) -> RawConfig {
    let (mut document, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        // A broken line can swallow the next ones: what follows from that would only confuse.
        problems.extend(errors.iter().map(|error| Problem {
            place: place(text, error.span()),
            text: error.message().to_owned(),
        }));
        return RawConfig::default();
    }
    // serde stops at the first error. So that is told and taken out, and the rest is read again.
    for _ in 0..MAX_PROBLEMS {
        let error = match RawConfig::deserialize(toml::Deserializer::from(document.clone())) {
            Ok(raw) => return raw,
            Err(error) => error,
        };
        let mut path = Vec::new();
        let found = error.span().is_some_and(|span| take(document.get_mut(), &span, &mut path));
        problems.push(Problem {
            place: place(text, error.span()),
            text: describe(error.message(), &path),
        });
        if !found {
            break;
        }
    }
    RawConfig::default()
}

/// The line in which a span begins.
pub(super) fn place(text: &str, span: Option<Range<usize>>) -> Place {
    let before = span.and_then(|span| text.as_bytes().get(..span.start));
    before.map_or(Place::Whole, |before| {
        Place::Line(before.iter().filter(|octet| **octet == b'\n').count() + 1)
    })
}

/// Takes the key out of `table` that an error at `span` is about, and says its path. An unknown key is meant
/// by its own span, a wrong value by the span of the value or of something in it.
fn take(table: &mut DeTable<'_>, span: &Range<usize>, path: &mut Vec<String>) -> bool {
    let mut culprit = None;
    for (key, value) in table.iter_mut() {
        path.push(key.get_ref().to_string());
        let within = value.span().contains(&span.start);
        if key.span() == *span {
            culprit = Some(key.clone());
        } else if let DeValue::Table(inner) = value.get_mut()
            && take(inner, span, path)
        {
            return true;
        } else if within {
            culprit = Some(key.clone());
        }
        if let Some(key) = culprit {
            table.remove(&key);
            return true;
        }
        path.pop();
    }
    false
}

/// A serde message in the words of whoever wrote the file.
fn describe(message: &str, path: &[String]) -> String {
    if let Some((field, near)) = nearest::unknown_field(message) {
        let way_out = match near {
            Some(near) => format!("did you mean `{near}`?"),
            None => match message.rsplit_once(", expected ") {
                Some((_, known)) => format!("expected {known}"),
                None => "there are none".to_owned(),
            },
        };
        return match path {
            [] | [_] => format!("unknown section or key `{field}`; {way_out}"),
            [sections @ .., _] => {
                format!("unknown key `{field}` in [{}]; {way_out}", sections.join("."))
            }
        };
    }
    let key = path.join(".");
    match message.strip_prefix("invalid type: ").and_then(|rest| rest.split_once(", expected ")) {
        Some((given, expected)) => format!("{key} must be {}, not {given}", in_words(expected)),
        None => format!("{key}: {message}"),
    }
}

fn in_words(expected: &str) -> &str {
    match expected {
        "i64" => "a whole number",
        "a sequence" => "a list",
        "a boolean" => "true or false",
        "a map" => "a table",
        other => other,
    }
}
