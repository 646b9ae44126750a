//! Figures by the names that CoreDNS gives them, for boards and alerts that were made for it.
//!
//! What CoreDNS has a label for and we have no word for has the value that a server with one block for all names has: zone
//! `.`, no view. So there are no more series than there are transports, families and types.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

use super::metrics::{DnsFigures, Sources, size_buckets};
use crate::answer::counters::SizeTotals;

/// Where CoreDNS would say that it listens.
const SERVER: (&str, &str) = ("server", "dns://:53");
const ZONE: (&str, &str) = ("zone", ".");
const VIEW: (&str, &str) = ("view", "");

/// What is told by such names.
#[derive(Debug)]
pub(super) struct CoreDns {
    dns: DnsFigures,
    cache_hits: u64,
    cache_misses: u64,
    cache_entries: u64,
}

impl CoreDns {
    pub(super) fn of(sources: &Sources) -> Self {
        let counter = |name: &str| {
            let found = sources.counters.iter().find(|(known, ..)| *known == name);
            found.map_or(0, |(.., value)| *value)
        };
        let entries = sources.gauges.iter().find(|(name, ..)| *name == "cache_entries");
        Self {
            dns: sources.dns.clone(),
            cache_hits: counter("cache_hits"),
            cache_misses: counter("cache_misses"),
            cache_entries: entries.map_or(0, |(.., value)| *value as u64),
        }
    }
}

impl Collector for CoreDns {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let dns = &self.dns;
        let queries = dns.queries.iter().map(|(transport, family, rtype, count)| {
            (
                [
                    SERVER,
                    ZONE,
                    VIEW,
                    ("proto", proto(transport)),
                    ("family", *family),
                    ("type", *rtype),
                ],
                *count,
            )
        });
        counters(&mut encoder, "coredns_dns_requests", "Queries.", queries)?;
        let mut rcodes: Vec<(&str, u64)> = Vec::new();
        for (_, rcode, count) in &dns.replies {
            match rcodes.iter_mut().find(|(known, _)| known == rcode) {
                Some((_, sum)) => *sum += count,
                None => rcodes.push((rcode, *count)),
            }
        }
        let replies = rcodes.into_iter().map(|(rcode, count)| {
            ([SERVER, ZONE, VIEW, ("rcode", rcode), ("plugin", "rollcall")], count)
        });
        counters(&mut encoder, "coredns_dns_responses", "Replies.", replies)?;
        let dnssec_ok = [([SERVER, ZONE, VIEW], dns.dnssec_ok)].into_iter();
        counters(&mut encoder, "coredns_dns_do_requests", "Queries with DO.", dnssec_ok)?;
        sizes(&mut encoder, "coredns_dns_request_size", "Octets of queries.", &dns.query_sizes)?;
        sizes(&mut encoder, "coredns_dns_response_size", "Octets of replies.", &dns.reply_sizes)?;
        let help = "How long replies over UDP took, of one batch in 16.";
        let unit = Some(&Unit::Seconds);
        encoder
            .encode_descriptor("coredns_dns_request_duration", help, unit, MetricType::Histogram)?
            .encode_family(&[SERVER, ZONE, VIEW])?
            .encode_histogram::<NoLabelSet>(
                dns.durations.seconds,
                dns.durations.counts.iter().sum(),
                &dns.durations.buckets(),
                None,
            )?;
        let hits =
            [([SERVER, ("type", "success"), ("zones", "."), VIEW], self.cache_hits)].into_iter();
        counters(&mut encoder, "coredns_cache_hits", "Look-ups that found what holds.", hits)?;
        let misses = [([SERVER, ("zones", "."), VIEW], self.cache_misses)].into_iter();
        counters(&mut encoder, "coredns_cache_misses", "Look-ups that found nothing.", misses)?;
        let help = "Entries in the cache.";
        let mut entries =
            encoder.encode_descriptor("coredns_cache_entries", help, None, MetricType::Gauge)?;
        let labels = [SERVER, ("type", "success"), ("zones", "."), VIEW];
        ConstGauge::new(self.cache_entries).encode(entries.encode_family(&labels)?)?;
        let panics = [([("what", "batches")], dns.panics)].into_iter();
        counters(&mut encoder, "coredns_panics", "Batches lost to a defect.", panics)?;
        let help = "What runs here.";
        let mut build =
            encoder.encode_descriptor("coredns_build_info", help, None, MetricType::Gauge)?;
        let labels = [
            ("version", env!("CARGO_PKG_VERSION")),
            ("revision", "rollcall"),
            ("goversion", "none"),
        ];
        ConstGauge::new(1_u64).encode(build.encode_family(&labels)?)
    }
}

/// Whether it is over UDP or TCP, or how CoreDNS calls what is encrypted.
fn proto(transport: &str) -> &str {
    match transport {
        "tls" => "tcp",
        "https" | "quic" => "udp",
        plain => plain,
    }
}

fn counters<'a, const N: usize>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    values: impl Iterator<Item = ([(&'a str, &'a str); N], u64)>,
) -> fmt::Result {
    // Several transports may have one name here.
    let mut sums: Vec<([(&str, &str); N], u64)> = Vec::new();
    for (labels, value) in values {
        match sums.iter_mut().find(|(known, _)| *known == labels) {
            Some((_, sum)) => *sum += value,
            None => sums.push((labels, value)),
        }
    }
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    sums.into_iter().try_for_each(|(labels, value)| {
        ConstCounter::new(value).encode(family.encode_family(&labels)?)
    })
}

fn sizes(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    sizes: &[(&'static str, SizeTotals)],
) -> fmt::Result {
    let mut family =
        encoder.encode_descriptor(name, help, Some(&Unit::Bytes), MetricType::Histogram)?;
    for known in ["udp", "tcp"] {
        let mut all = SizeTotals::default();
        for (_, one) in sizes.iter().filter(|(transport, _)| proto(transport) == known) {
            all.octets += one.octets;
            all.counts.iter_mut().zip(one.counts).for_each(|(sum, count)| *sum += count);
        }
        family
            .encode_family(&[SERVER, ZONE, VIEW, ("proto", known)])?
            .encode_histogram::<NoLabelSet>(
                all.octets as f64,
                all.counts.iter().sum(),
                &size_buckets(&all),
                None,
            )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::metrics::exposition;
    use super::*;

    #[test]
    fn figures_have_the_names_of_coredns_when_they_are_wanted() {
        let sources = |coredns_names| Sources {
            dns: DnsFigures {
                queries: vec![("udp", "1", "A", 3), ("quic", "1", "A", 4), ("tls", "2", "SRV", 5)],
                replies: vec![("udp", "NOERROR", 1), ("tcp", "NOERROR", 2), ("udp", "NXDOMAIN", 3)],
                query_sizes: vec![(
                    "udp",
                    SizeTotals { counts: [1, 2, 0, 0, 0, 0, 0, 0], octets: 150 },
                )],
                ..DnsFigures::default()
            },
            counters: vec![("cache_hits", "", 8)],
            coredns_names,
            ..Sources::default()
        };
        let text = exposition(sources(true)).unwrap();
        for line in [
            r#"coredns_dns_requests_total{server="dns://:53",zone=".",view="",proto="udp",family="1",type="A"} 7"#,
            r#"coredns_dns_requests_total{server="dns://:53",zone=".",view="",proto="tcp",family="2",type="SRV"} 5"#,
            r#"coredns_dns_responses_total{server="dns://:53",zone=".",view="",rcode="NOERROR",plugin="rollcall"} 3"#,
            r#"coredns_dns_request_size_bytes_bucket{le="128.0",server="dns://:53",zone=".",view="",proto="udp"} 3"#,
            r#"coredns_dns_request_size_bytes_sum{server="dns://:53",zone=".",view="",proto="udp"} 150.0"#,
            r#"coredns_cache_hits_total{server="dns://:53",type="success",zones=".",view=""} 8"#,
        ] {
            assert!(text.lines().any(|one| one == line), "{line}\n{text}");
        }
        assert_eq!(text.matches("# EOF").count(), 1);
        assert!(!exposition(sources(false)).unwrap().contains("coredns"));
    }
}
