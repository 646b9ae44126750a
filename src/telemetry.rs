//! Logs and metrics.
//!
//! Metrics are made when they are asked for: whoever counts something hands it over in [`Sources`], and
//! [`exposition`] writes it down. Labels are words of ours (`&'static str`), never what a client chose.

use std::fmt;
use std::io::IsTerminal;
use std::sync::OnceLock;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, reload};

use crate::config;
use crate::registrar::{COMMIT_BUCKETS, Figures};

/// The content type of [`exposition`] (OpenMetrics 1.0, section "Protocol Negotiation").
pub const EXPOSITION_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The states and standings that [`Figures::instances`] counts by, in its order.
const STATES: [&str; 3] = ["up", "draining", "down"];
const STANDINGS: [&str; 3] = ["live", "suspect", "held"];

/// Replaces the log's filter; set when logging starts.
static SET_FILTER: OnceLock<SetFilter> = OnceLock::new();

type SetFilter = Box<dyn Fn(EnvFilter) -> Result<(), String> + Send + Sync>;

/// Starts logging to stderr. The error says what is wrong with `log.level`, or that logging was started before.
pub fn init_logs(log: &config::Log) -> Result<(), String> {
    let (filter, handle) = reload::Layer::new(filter(&log.level)?);
    let logs = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let logs = if log.json {
        logs.json().flatten_event(true).with_current_span(false).boxed()
    } else {
        logs.with_ansi(std::io::stderr().is_terminal()).boxed()
    };
    let started = tracing_subscriber::registry().with(filter).with(logs).try_init();
    started.map_err(|error| format!("logging cannot start: {error}"))?;
    let set = move |filter| handle.reload(filter).map_err(|error| error.to_string());
    let _ = SET_FILTER.set(Box::new(set)); // logging starts once
    Ok(())
}

/// Changes what is logged, at a reload.
pub fn set_level(level: &str) -> Result<(), String> {
    let filter = filter(level)?;
    SET_FILTER.get().map_or(Ok(()), |set| set(filter))
}

/// What libraries warn of is what peers do, as often as these like: a line each would be theirs to write. Who wants to
/// see them names them in `log.level`.
const LIBRARIES: &str =
    "h2=error,hyper=error,hyper_util=error,quinn=error,quinn_proto=error,rustls=error";

fn filter(level: &str) -> Result<EnvFilter, String> {
    let directives = match level {
        "off" => level.to_owned(),
        _ => format!("{LIBRARIES},{level}"),
    };
    EnvFilter::try_new(directives).map_err(|error| {
        format!(
            "log.level: `{}` is no filter ({error}): use error, warn, info, debug, trace, or such \
             as info,rollcall::store=debug",
            level.escape_debug()
        )
    })
}

/// Everything that `/metrics` shows, as it is now.
#[derive(Debug, Default)]
pub struct Sources {
    /// What the registrar counts.
    pub registrar: Figures,
    /// What the DNS doors count.
    pub dns: DnsFigures,
    /// Open connections by door, such as `dns` and `http`.
    pub tcp_connections: Vec<(&'static str, usize)>,
    /// Further counters: name (without `rollcall_` and `_total`), help, value. The datagram door's are here.
    pub counters: Vec<(&'static str, &'static str, u64)>,
    /// Further gauges: name (without `rollcall_`), help, value.
    pub gauges: Vec<(&'static str, &'static str, usize)>,
}

/// What the DNS doors count.
#[derive(Debug, Default)]
pub struct DnsFigures {
    /// Queries: transport, type, how many.
    pub queries: Vec<(&'static str, &'static str, u64)>,
    /// Replies: transport, rcode, how many.
    pub replies: Vec<(&'static str, &'static str, u64)>,
    /// Replies that were truncated.
    pub truncated: u64,
    /// Messages that got no reply.
    pub dropped: u64,
    /// Queries over UDP that were beyond their network's limit.
    pub limited: u64,
}

/// Writes the figures in the OpenMetrics text format.
pub fn exposition(sources: Sources) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("rollcall");
    registry.register_collector(Box::new(sources));
    let mut written = String::new();
    text::encode(&mut written, &registry)?;
    Ok(written)
}

impl Collector for Sources {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut families = Families(encoder);
        families.dns(&self.dns)?;
        families.registrar(&self.registrar)?;
        families.instances(&self.registrar)?;
        families.commits(&self.registrar)?;
        let connections: Vec<_> =
            self.tcp_connections.iter().map(|(door, n)| ([("door", *door)], count(*n))).collect();
        families.gauges("tcp_connections", "Open TCP connections by door.", &connections)?;
        for (name, help, value) in &self.counters {
            families.counter(name, help, *value)?;
        }
        for (name, help, value) in &self.gauges {
            families.gauge(name, help, count(*value))?;
        }
        families.build()
    }
}

/// Writes metric families one after the other.
struct Families<'a>(DescriptorEncoder<'a>);

impl Families<'_> {
    fn dns(&mut self, dns: &DnsFigures) -> fmt::Result {
        let queries: Vec<_> =
            dns.queries.iter().map(|(t, q, n)| ([("transport", *t), ("type", *q)], *n)).collect();
        self.counters("dns_queries", "Queries by transport and type.", &queries)?;
        let replies: Vec<_> =
            dns.replies.iter().map(|(t, r, n)| ([("transport", *t), ("rcode", *r)], *n)).collect();
        self.counters("dns_replies", "Replies by transport and response code.", &replies)?;
        self.counter("dns_truncated", "Replies sent with TC=1.", dns.truncated)?;
        self.counter("dns_dropped", "Messages that got no reply.", dns.dropped)?;
        let help = "Queries over UDP not answered in full: their network was over rate_limit.";
        self.counter("dns_limited", help, dns.limited)
    }

    fn registrar(&mut self, figures: &Figures) -> fmt::Result {
        let Figures { changes, renewals, unknown_renewals, expiries, revivals, .. } = *figures;
        self.counter("changes", "Changes that became durable.", changes)?;
        let help = "Renewals of listed instances, endless leases included, registrations not.";
        self.counter("renewals", help, renewals)?;
        self.counter("unknown_renewals", "Renewals of what was not listed.", unknown_renewals)?;
        self.counter("expiries", "Instances whose lease ended for good.", expiries)?;
        self.counter("revivals", "Lapsed leases renewed before they ended.", revivals)?;
        self.counter_of_seconds(
            "paused",
            "Pauses of the process, added to every deadline.",
            figures.paused_ms,
        )?;
        self.gauge("revision", "The registry's revision.", figures.revision)?;
        self.gauge("loaded", "1 once the registry is loaded whole.", figures.loaded.into())?;
        let refused = figures.unavailable.is_some();
        self.gauge("changes_refused", "1 while no changes can be made.", refused.into())?;
        self.gauge("queue_commands", "Commands that wait for the registrar.", count(figures.queue))
    }

    fn instances(&mut self, figures: &Figures) -> fmt::Result {
        let mut listed = Vec::new();
        for (state, by_standing) in STATES.into_iter().zip(figures.instances) {
            for (standing, n) in STANDINGS.into_iter().zip(by_standing) {
                listed.push(([("state", state), ("standing", standing)], count(n)));
            }
        }
        self.gauges(
            "instances",
            "Listed instances by state and standing of their lease.",
            &listed,
        )?;
        let endless = count(figures.endless);
        self.gauge("endless_instances", "Listed instances whose lease has no end.", endless)?;
        let answering = count(figures.answering);
        self.gauge("answering_instances", "Instances in the answers.", answering)?;
        self.gauge("services", "Listed services.", count(figures.services))?;
        let braked = count(figures.services_braked);
        self.gauge("brake_services", "Services with instances that the brake holds.", braked)?;
        let global = figures.global_brake.into();
        self.gauge("brake_global", "1 while the brake holds over all services.", global)
    }

    fn commits(&mut self, figures: &Figures) -> fmt::Result {
        self.counter("commits", "Commits that succeeded.", figures.commits)?;
        self.counter("failed_commits", "Commits that failed.", figures.failed_commits)?;
        let bounds = COMMIT_BUCKETS.into_iter().chain([f64::INFINITY]);
        let buckets: Vec<_> = bounds.zip(figures.commit_durations).collect();
        self.0
            .encode_descriptor(
                "commit_duration",
                "How long commits that succeeded took.",
                Some(&Unit::Seconds),
                MetricType::Histogram,
            )?
            .encode_histogram::<NoLabelSet>(
                figures.commit_seconds,
                figures.commit_durations.iter().sum(),
                &buckets,
                None,
            )
    }

    fn build(&mut self) -> fmt::Result {
        let help = "What runs here.";
        let mut family = self.0.encode_descriptor("build", help, None, MetricType::Info)?;
        family.encode_info(&[("version", env!("CARGO_PKG_VERSION"))])
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let family = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        ConstCounter::new(value).encode(family)
    }

    fn counter_of_seconds(&mut self, name: &str, help: &str, ms: u64) -> fmt::Result {
        let unit = Some(&Unit::Seconds);
        let family = self.0.encode_descriptor(name, help, unit, MetricType::Counter)?;
        // Exact up to 2^53 ms, which is 285,000 years.
        ConstCounter::new(ms as f64 / 1000.0).encode(family)
    }

    fn counters<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        values: &[([(&'static str, &'static str); N], u64)],
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        values.iter().try_for_each(|(labels, value)| {
            ConstCounter::new(*value).encode(family.encode_family(labels)?)
        })
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let family = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        ConstGauge::new(value).encode(family)
    }

    fn gauges<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        values: &[([(&'static str, &'static str); N], u64)],
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        values.iter().try_for_each(|(labels, value)| {
            ConstGauge::new(*value).encode(family.encode_family(labels)?)
        })
    }
}

fn count(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_warn_of_peers_only_if_they_are_asked_to() {
        let directives = |level: &str| filter(level).unwrap().to_string();
        assert!(directives("info").contains("h2=error") && directives("info").contains("info"));
        assert!(directives("debug,h2=trace").contains("h2=trace"));
        assert!(!directives("debug,h2=trace").contains("h2=error"));
        assert_eq!(directives("off"), "off");
        assert!(filter("info,rollcall=loud").is_err());
    }

    #[test]
    fn every_figure_is_written() {
        let mut registrar = Figures {
            loaded: true,
            endless: 1,
            services: 2,
            answering: 3,
            services_braked: 4,
            global_brake: true,
            queue: 5,
            revision: 6,
            changes: 7,
            renewals: 8,
            unknown_renewals: 9,
            expiries: 10,
            revivals: 11,
            commits: 12,
            failed_commits: 13,
            commit_seconds: 0.25,
            unavailable: Some("the disk is full".into()),
            paused_ms: 1500,
            ..Figures::default()
        };
        registrar.instances = [[20, 21, 22], [23, 24, 25], [26, 27, 28]];
        registrar.commit_durations = [1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 4];
        let sources = Sources {
            registrar,
            dns: DnsFigures {
                queries: vec![("udp", "A", 31), ("tcp", "SRV", 32)],
                replies: vec![("udp", "NOERROR", 33)],
                truncated: 34,
                dropped: 35,
                limited: 39,
            },
            tcp_connections: vec![("dns", 36), ("http", 37)],
            counters: vec![("datagrams_forged", "Datagrams without a valid mac.", 38)],
            gauges: vec![("cache_entries", "Entries in the cache.", 39)],
        };
        let text = exposition(sources).unwrap();
        let values: Vec<_> = text.lines().filter(|line| !line.starts_with("# ")).collect();
        let expected = format!(
            r#"rollcall_dns_queries_total{{transport="udp",type="A"}} 31
rollcall_dns_queries_total{{transport="tcp",type="SRV"}} 32
rollcall_dns_replies_total{{transport="udp",rcode="NOERROR"}} 33
rollcall_dns_truncated_total 34
rollcall_dns_dropped_total 35
rollcall_dns_limited_total 39
rollcall_changes_total 7
rollcall_renewals_total 8
rollcall_unknown_renewals_total 9
rollcall_expiries_total 10
rollcall_revivals_total 11
rollcall_paused_seconds_total 1.5
rollcall_revision 6
rollcall_loaded 1
rollcall_changes_refused 1
rollcall_queue_commands 5
rollcall_instances{{state="up",standing="live"}} 20
rollcall_instances{{state="up",standing="suspect"}} 21
rollcall_instances{{state="up",standing="held"}} 22
rollcall_instances{{state="draining",standing="live"}} 23
rollcall_instances{{state="draining",standing="suspect"}} 24
rollcall_instances{{state="draining",standing="held"}} 25
rollcall_instances{{state="down",standing="live"}} 26
rollcall_instances{{state="down",standing="suspect"}} 27
rollcall_instances{{state="down",standing="held"}} 28
rollcall_endless_instances 1
rollcall_answering_instances 3
rollcall_services 2
rollcall_brake_services 4
rollcall_brake_global 1
rollcall_commits_total 12
rollcall_failed_commits_total 13
rollcall_commit_duration_seconds_sum 0.25
rollcall_commit_duration_seconds_count 7
rollcall_commit_duration_seconds_bucket{{le="0.0005"}} 1
rollcall_commit_duration_seconds_bucket{{le="0.001"}} 1
rollcall_commit_duration_seconds_bucket{{le="0.0025"}} 3
rollcall_commit_duration_seconds_bucket{{le="0.005"}} 3
rollcall_commit_duration_seconds_bucket{{le="0.01"}} 3
rollcall_commit_duration_seconds_bucket{{le="0.025"}} 3
rollcall_commit_duration_seconds_bucket{{le="0.05"}} 3
rollcall_commit_duration_seconds_bucket{{le="0.1"}} 3
rollcall_commit_duration_seconds_bucket{{le="0.5"}} 3
rollcall_commit_duration_seconds_bucket{{le="2.5"}} 3
rollcall_commit_duration_seconds_bucket{{le="+Inf"}} 7
rollcall_tcp_connections{{door="dns"}} 36
rollcall_tcp_connections{{door="http"}} 37
rollcall_datagrams_forged_total 38
rollcall_cache_entries 39
rollcall_build_info{{version="{}"}} 1"#,
            env!("CARGO_PKG_VERSION")
        );
        assert_eq!(values, expected.lines().collect::<Vec<_>>());
        assert!(text.contains("# HELP rollcall_paused_seconds Pauses"), "{text}");
        assert!(text.contains("# HELP rollcall_commits Commits that succeeded."), "{text}");
        assert!(text.contains("# UNIT rollcall_commit_duration_seconds seconds\n"), "{text}");
        assert!(text.ends_with("# EOF\n"), "{text}");
    }

    #[test]
    fn a_wrong_log_level_is_named() {
        let log = config::Log { level: "info,rollcall=loud".into(), json: false };
        let error = init_logs(&log).unwrap_err();
        assert!(error.starts_with("log.level: `info,rollcall=loud` is no filter"), "{error}");
    }
}
