//! Metrics, made when they are asked for: whoever counts something hands it over in [`Sources`], and [`exposition`] writes it
//! down. Labels are words of ours (`&'static str`), never what a client chose.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

use super::coredns::CoreDns;
use crate::answer::counters::{SIZE_BOUNDS, SizeTotals};
use crate::registrar::{COMMIT_BUCKETS, Figures};

/// The content type of [`exposition`] (OpenMetrics 1.0, section "Protocol Negotiation").
pub const EXPOSITION_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The states and standings that [`Figures::instances`] counts by, in its order.
const STATES: [&str; 3] = ["up", "draining", "down"];
const STANDINGS: [&str; 3] = ["live", "suspect", "held"];

/// Upper bounds of the times that replies take, in seconds; the last bucket has none.
pub const DURATION_BOUNDS: [f64; 10] =
    [0.000_01, 0.000_02, 0.000_05, 0.000_1, 0.000_2, 0.000_5, 0.001, 0.005, 0.02, 0.1];

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
    /// Events by what happened.
    pub events: Vec<(&'static str, u64)>,
    /// Whether figures are wanted by the names of CoreDNS too.
    pub coredns_names: bool,
}

/// What the DNS doors count.
#[derive(Debug, Clone, Default)]
pub struct DnsFigures {
    /// Queries: transport, family of the client's address (1: IPv4, 2: IPv6), type, how many.
    pub queries: Vec<(&'static str, &'static str, &'static str, u64)>,
    /// Replies: transport, rcode, how many.
    pub replies: Vec<(&'static str, &'static str, u64)>,
    /// Queries by transport and size.
    pub query_sizes: Vec<(&'static str, SizeTotals)>,
    /// Replies by transport and size.
    pub reply_sizes: Vec<(&'static str, SizeTotals)>,
    /// How long replies over UDP took, of some.
    pub durations: Durations,
    /// Queries with DO.
    pub dnssec_ok: u64,
    /// Replies that were truncated.
    pub truncated: u64,
    /// Messages that got no reply.
    pub dropped: u64,
    /// Queries over UDP that were beyond their network's limit.
    pub limited: u64,
    /// Batches of queries that were lost to a defect.
    pub panics: u64,
}

/// How long something took: by [`DURATION_BOUNDS`], the last one without bound.
#[derive(Debug, Clone, Copy, Default)]
pub struct Durations {
    /// How many took so long.
    pub counts: [u64; DURATION_BOUNDS.len() + 1],
    /// Seconds of all of them.
    pub seconds: f64,
}

impl Durations {
    /// Buckets with their bounds.
    pub(super) fn buckets(&self) -> Vec<(f64, u64)> {
        DURATION_BOUNDS.into_iter().chain([f64::INFINITY]).zip(self.counts).collect()
    }
}

/// Buckets of sizes with their bounds.
pub(super) fn size_buckets(sizes: &SizeTotals) -> Vec<(f64, u64)> {
    let bounds = SIZE_BOUNDS.map(|bound| u32::try_from(bound).map_or(f64::INFINITY, f64::from));
    bounds.into_iter().zip(sizes.counts).chain([(f64::INFINITY, 0)]).collect()
}

/// Writes the figures in the OpenMetrics text format.
pub fn exposition(sources: Sources) -> Result<String, fmt::Error> {
    let mut written = String::new();
    if sources.coredns_names {
        let mut aliases = Registry::default();
        aliases.register_collector(Box::new(CoreDns::of(&sources)));
        text::encode_registry(&mut written, &aliases)?;
    }
    let mut registry = Registry::with_prefix("rollcall");
    registry.register_collector(Box::new(sources));
    text::encode_registry(&mut written, &registry)?;
    text::encode_eof(&mut written)?;
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
        let events: Vec<_> =
            self.events.iter().map(|(event, n)| ([("event", *event)], *n)).collect();
        families.counters("events", "What happened to instances.", &events)?;
        families.build()
    }
}

/// Writes metric families one after the other.
struct Families<'a>(DescriptorEncoder<'a>);

impl Families<'_> {
    fn dns(&mut self, dns: &DnsFigures) -> fmt::Result {
        // Both families together: they stand side by side.
        let of = |one: &(&'static str, &'static str, &'static str, u64)| (one.0, one.2);
        let mut sums: Vec<((&'static str, &'static str), u64)> = Vec::new();
        for one in &dns.queries {
            match sums.iter_mut().find(|(labels, _)| *labels == of(one)) {
                Some((_, sum)) => *sum += one.3,
                None => sums.push((of(one), one.3)),
            }
        }
        let queries: Vec<_> =
            sums.into_iter().map(|((t, q), n)| ([("transport", t), ("type", q)], n)).collect();
        self.counters("dns_queries", "Queries by transport and type.", &queries)?;
        let replies: Vec<_> =
            dns.replies.iter().map(|(t, r, n)| ([("transport", *t), ("rcode", *r)], *n)).collect();
        self.counters("dns_replies", "Replies by transport and response code.", &replies)?;
        self.counter("dns_truncated", "Replies sent with TC=1.", dns.truncated)?;
        self.counter("dns_dropped", "Messages that got no reply.", dns.dropped)?;
        let help = "Queries over UDP not answered in full: their network was over rate_limit.";
        self.counter("dns_limited", help, dns.limited)?;
        self.counter("dns_dnssec_ok", "Queries with DO.", dns.dnssec_ok)?;
        self.sizes("dns_query_size", "Octets of queries.", &dns.query_sizes)?;
        self.sizes("dns_reply_size", "Octets of replies.", &dns.reply_sizes)?;
        let help =
            "From taking a batch of queries over UDP to sending its replies; of one batch in 16.";
        let Durations { counts, seconds } = &dns.durations;
        self.0
            .encode_descriptor(
                "dns_udp_duration",
                help,
                Some(&Unit::Seconds),
                MetricType::Histogram,
            )?
            .encode_histogram::<NoLabelSet>(
                *seconds,
                counts.iter().sum(),
                &dns.durations.buckets(),
                None,
            )
    }

    fn sizes(
        &mut self,
        name: &str,
        help: &str,
        sizes: &[(&'static str, SizeTotals)],
    ) -> fmt::Result {
        let unit = Some(&Unit::Bytes);
        let mut family = self.0.encode_descriptor(name, help, unit, MetricType::Histogram)?;
        sizes.iter().try_for_each(|(transport, sizes)| {
            // Exact up to 2^53 octets.
            family.encode_family(&[("transport", *transport)])?.encode_histogram::<NoLabelSet>(
                sizes.octets as f64,
                sizes.counts.iter().sum(),
                &size_buckets(sizes),
                None,
            )
        })
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
                queries: vec![("udp", "1", "A", 30), ("udp", "2", "A", 1), ("tcp", "1", "SRV", 32)],
                replies: vec![("udp", "NOERROR", 33)],
                truncated: 34,
                dropped: 35,
                limited: 39,
                dnssec_ok: 41,
                query_sizes: vec![(
                    "udp",
                    SizeTotals { counts: [1, 2, 0, 0, 0, 0, 0, 0], octets: 300 },
                )],
                durations: Durations { counts: [1, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0], seconds: 0.5 },
                ..DnsFigures::default()
            },
            tcp_connections: vec![("dns", 36), ("http", 37)],
            counters: vec![("datagrams_forged", "Datagrams without a valid mac.", 38)],
            gauges: vec![("cache_entries", "Entries in the cache.", 39)],
            events: vec![("registered", 40)],
            coredns_names: false,
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
rollcall_dns_dnssec_ok_total 41
rollcall_dns_query_size_bytes_sum{{transport="udp"}} 300.0
rollcall_dns_query_size_bytes_count{{transport="udp"}} 3
rollcall_dns_query_size_bytes_bucket{{le="64.0",transport="udp"}} 1
rollcall_dns_query_size_bytes_bucket{{le="128.0",transport="udp"}} 3
rollcall_dns_query_size_bytes_bucket{{le="256.0",transport="udp"}} 3
rollcall_dns_query_size_bytes_bucket{{le="512.0",transport="udp"}} 3
rollcall_dns_query_size_bytes_bucket{{le="1232.0",transport="udp"}} 3
rollcall_dns_query_size_bytes_bucket{{le="4096.0",transport="udp"}} 3
rollcall_dns_query_size_bytes_bucket{{le="16384.0",transport="udp"}} 3
rollcall_dns_query_size_bytes_bucket{{le="65535.0",transport="udp"}} 3
rollcall_dns_query_size_bytes_bucket{{le="+Inf",transport="udp"}} 3
rollcall_dns_udp_duration_seconds_sum 0.5
rollcall_dns_udp_duration_seconds_count 4
rollcall_dns_udp_duration_seconds_bucket{{le="0.00001"}} 1
rollcall_dns_udp_duration_seconds_bucket{{le="0.00002"}} 1
rollcall_dns_udp_duration_seconds_bucket{{le="0.00005"}} 4
rollcall_dns_udp_duration_seconds_bucket{{le="0.0001"}} 4
rollcall_dns_udp_duration_seconds_bucket{{le="0.0002"}} 4
rollcall_dns_udp_duration_seconds_bucket{{le="0.0005"}} 4
rollcall_dns_udp_duration_seconds_bucket{{le="0.001"}} 4
rollcall_dns_udp_duration_seconds_bucket{{le="0.005"}} 4
rollcall_dns_udp_duration_seconds_bucket{{le="0.02"}} 4
rollcall_dns_udp_duration_seconds_bucket{{le="0.1"}} 4
rollcall_dns_udp_duration_seconds_bucket{{le="+Inf"}} 4
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
rollcall_events_total{{event="registered"}} 40
rollcall_build_info{{version="{}"}} 1"#,
            env!("CARGO_PKG_VERSION")
        );
        assert_eq!(values, expected.lines().collect::<Vec<_>>());
        assert!(text.contains("# HELP rollcall_paused_seconds Pauses"), "{text}");
        assert!(text.contains("# HELP rollcall_commits Commits that succeeded."), "{text}");
        assert!(text.contains("# UNIT rollcall_commit_duration_seconds seconds\n"), "{text}");
        assert!(text.ends_with("# EOF\n"), "{text}");
    }
}
