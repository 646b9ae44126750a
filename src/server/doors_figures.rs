//! The doors' counters, gathered for metrics.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::answer::{self, counters};
use crate::api::{datagram, http};
use crate::audit::Audit;
use crate::config::Live;
use crate::dns::forward::forwarder::Forwarder;
use crate::net::{https, quic, tcp, udp};
use crate::registrar::Registrar;
use crate::telemetry::{DnsFigures, Durations, Sources, tapping};

/// Families of addresses, as CoreDNS counts them: IPv4, IPv6.
const FAMILIES: [&str; 2] = ["1", "2"];

/// A figure that is asked for.
pub(super) type Gauge = Box<dyn Fn() -> usize + Send>;

/// What a door counts, and how many of its connections are open.
pub(super) struct OpenDoor<C> {
    pub(super) counters: Arc<C>,
    pub(super) open: Gauge,
}

/// Where the figures are.
pub(super) struct Figures {
    live: Arc<Live>,
    registrar: Registrar,
    pub(super) answers: Vec<Arc<answer::Counters>>,
    pub(super) udp: Vec<Arc<udp::Counters>>,
    pub(super) tcp: Option<Arc<tcp::Counters>>,
    pub(super) tcp_open: Option<Gauge>,
    pub(super) https: Option<OpenDoor<https::Counters>>,
    pub(super) quic: Option<OpenDoor<quic::Counters>>,
    pub(super) http: Option<http::Connections>,
    pub(super) datagram: Option<datagram::Door>,
    pub(super) forwarder: Option<Forwarder>,
    pub(super) tap: tapping::Handle,
    audit: Audit,
}

impl Figures {
    pub(super) fn new(live: Arc<Live>, registrar: Registrar, audit: Audit) -> Self {
        let (answers, udp) = (Vec::new(), Vec::new());
        Self {
            live,
            registrar,
            answers,
            udp,
            tcp: None,
            tcp_open: None,
            https: None,
            quic: None,
            http: None,
            datagram: None,
            forwarder: None,
            tap: tapping::Handle::default(),
            audit,
        }
    }

    /// The figures as they are now.
    pub(super) fn sources(&self) -> Sources {
        let dns_tcp = self.tcp_open.as_ref().map(|open| ("dns", open()));
        let dns_https = self.https.as_ref().map(|door| ("dns_https", (door.open)()));
        let dns_quic = self.quic.as_ref().map(|door| ("dns_quic", (door.open)()));
        let http = self.http.as_ref().map(|connections| ("http", connections.open()));
        let mut further = self.udp_counters();
        further.extend(self.tcp_counters());
        further.extend(self.https.iter().flat_map(|door| https_counters(&door.counters)));
        further.extend(self.quic.iter().flat_map(|door| quic_counters(&door.counters)));
        further.extend(self.forwarder_counters());
        further.extend(self.http.iter().flat_map(http::Connections::counters));
        further.extend(self.audit.figures());
        further.extend(self.tap.figures());
        further.extend(self.datagram.iter().flat_map(datagram::Door::figures));
        Sources {
            registrar: self.registrar.figures(),
            dns: self.dns(),
            tcp_connections: [dns_tcp, dns_https, dns_quic, http].into_iter().flatten().collect(),
            counters: further,
            gauges: self.gauges(),
            events: self.registrar.history().told(),
            coredns_names: self.live.get().metrics.coredns_names,
        }
    }

    fn dns(&self) -> DnsFigures {
        let totals = counters::sum(&self.answers);
        let mut figures = DnsFigures {
            truncated: totals.truncated.iter().sum(),
            dropped: totals.dropped.iter().sum(),
            limited: totals.limited,
            dnssec_ok: totals.dnssec_ok.iter().sum(),
            durations: self.durations(),
            panics: self.udp.iter().map(|worker| worker.panics.load(Ordering::Relaxed)).sum(),
            ..DnsFigures::default()
        };
        for (place, transport) in counters::TRANSPORT_NAMES.into_iter().enumerate() {
            for (family, counts) in FAMILIES.into_iter().zip(totals.queries[place]) {
                let queries = counters::TYPE_NAMES.into_iter().zip(counts);
                figures
                    .queries
                    .extend(queries.map(|(name, count)| (transport, family, name, count)));
            }
            figures.query_sizes.push((transport, totals.query_sizes[place]));
            figures.reply_sizes.push((transport, totals.reply_sizes[place]));
            let replies = counters::RCODE_NAMES.into_iter().zip(totals.replies[place]);
            figures.replies.extend(replies.map(|(name, count)| (transport, name, count)));
        }
        figures
    }

    fn durations(&self) -> Durations {
        let mut all = Durations::default();
        for worker in &self.udp {
            for (sum, count) in all.counts.iter_mut().zip(&worker.durations) {
                *sum += count.load(Ordering::Relaxed);
            }
            // Exact up to 2^53 ns, which is 104 days of answering alone.
            all.seconds += worker.duration_nanos.load(Ordering::Relaxed) as f64 / 1e9;
        }
        all
    }

    fn udp_counters(&self) -> Vec<(&'static str, &'static str, u64)> {
        let sum = |pick: fn(&udp::Counters) -> &AtomicU64| -> u64 {
            self.udp.iter().map(|worker| pick(worker).load(Ordering::Relaxed)).sum()
        };
        vec![
            ("dns_udp_received", "Datagrams that the UDP workers received.", sum(|c| &c.received)),
            ("dns_udp_sent", "Replies that the UDP workers sent.", sum(|c| &c.sent)),
            ("dns_udp_unsent", "Replies that the kernel did not take.", sum(|c| &c.unsent)),
            ("dns_udp_ignored", "Datagrams that could not be queries.", sum(|c| &c.ignored)),
            ("dns_udp_receive_errors", "Receive calls that failed.", sum(|c| &c.receive_errors)),
            ("dns_udp_panics", "Batches lost to a defect.", sum(|c| &c.panics)),
            ("dns_udp_lost", "Datagrams in batches lost to a defect.", sum(|c| &c.lost)),
        ]
    }

    fn forwarder_counters(&self) -> Vec<(&'static str, &'static str, u64)> {
        let Some(forwarder) = &self.forwarder else { return Vec::new() };
        let figures = forwarder.figures();
        let cache = figures.cache;
        vec![
            ("forward_asked", "Questions that upstreams were asked.", figures.asked),
            ("forward_failed", "Questions that no upstream answered.", figures.failed),
            ("forward_given_up", "Questions given up for newer ones.", figures.given_up),
            ("cache_hits", "Look-ups in the cache that found what holds.", cache.hits),
            ("cache_misses", "Look-ups in the cache that found nothing.", cache.misses),
            ("cache_stale", "Look-ups in the cache that found what no longer holds.", cache.stale),
            ("cache_evictions", "Entries that left the cache to make room.", cache.evictions),
        ]
    }

    fn gauges(&self) -> Vec<(&'static str, &'static str, usize)> {
        let (watchers, events) = self.registrar.history().figures();
        let mut gauges = vec![
            ("watchers", "Who watches what happens.", watchers),
            ("history_events", "Events that are kept for those who look back.", events),
        ];
        gauges.extend(self.forwarder_gauges());
        gauges
    }

    fn forwarder_gauges(&self) -> Vec<(&'static str, &'static str, usize)> {
        let Some(forwarder) = &self.forwarder else { return Vec::new() };
        let figures = forwarder.figures();
        vec![
            ("forward_outstanding", "Questions to upstreams under way.", figures.outstanding),
            ("forward_looping", "Groups of upstreams that lead back here.", figures.looping),
            ("cache_entries", "Entries in the cache.", figures.cache.entries),
            ("cache_octets", "Octets that the cache takes.", figures.cache.octets),
        ]
    }

    fn tcp_counters(&self) -> Vec<(&'static str, &'static str, u64)> {
        let Some(counters) = &self.tcp else { return Vec::new() };
        let tcp::Counters { accepted, refused_total, refused_client, .. } = &**counters;
        let tcp::Counters { timed_out_idle, timed_out_query, timed_out_write, .. } = &**counters;
        let tcp::Counters { malformed, accept_errors, panics, .. } = &**counters;
        let tcp::Counters { timed_out_handshake, failed_handshake, .. } = &**counters;
        [
            ("dns_tcp_accepted", "DNS connections accepted.", accepted),
            ("dns_tcp_refused_full", "DNS connections refused: too many in all.", refused_total),
            (
                "dns_tcp_refused_client",
                "DNS connections refused: too many of a client.",
                refused_client,
            ),
            ("dns_tcp_idle", "DNS connections closed without a query.", timed_out_idle),
            ("dns_tcp_slow_queries", "DNS connections closed within a query.", timed_out_query),
            ("dns_tcp_slow_readers", "DNS connections closed: replies not taken.", timed_out_write),
            ("dns_tcp_malformed", "DNS connections closed: no message.", malformed),
            (
                "dns_tcp_slow_handshakes",
                "DNS connections closed within a handshake of TLS.",
                timed_out_handshake,
            ),
            ("dns_tcp_failed_handshakes", "Handshakes of TLS that failed.", failed_handshake),
            ("dns_tcp_accept_errors", "Accept calls that failed.", accept_errors),
            ("dns_tcp_panics", "DNS connections lost to a defect.", panics),
        ]
        .map(|(name, help, count)| (name, help, count.load(Ordering::Relaxed)))
        .into()
    }
}

fn https_counters(counters: &https::Counters) -> Vec<(&'static str, &'static str, u64)> {
    let https::Counters { accepted, refused_total, refused_client, .. } = counters;
    let https::Counters { handshakes_failed, timed_out_idle, timed_out_request, .. } = counters;
    let https::Counters { bad_requests, accept_errors, panics, .. } = counters;
    [
        ("dns_https_accepted", "DNS connections over HTTPS accepted.", accepted),
        (
            "dns_https_refused_full",
            "DNS connections over HTTPS refused: too many in all.",
            refused_total,
        ),
        (
            "dns_https_refused_client",
            "DNS connections over HTTPS refused: too many of a client.",
            refused_client,
        ),
        ("dns_https_handshakes_failed", "Handshakes over HTTPS that failed.", handshakes_failed),
        ("dns_https_idle", "DNS connections over HTTPS closed without a query.", timed_out_idle),
        ("dns_https_slow", "Requests over HTTPS cut off: too slow.", timed_out_request),
        ("dns_https_bad_requests", "Requests over HTTPS that asked for nothing.", bad_requests),
        ("dns_https_accept_errors", "Accept calls for HTTPS that failed.", accept_errors),
        ("dns_https_panics", "Connections over HTTPS lost to a defect.", panics),
    ]
    .map(|(name, help, count)| (name, help, count.load(Ordering::Relaxed)))
    .into()
}

fn quic_counters(counters: &quic::Counters) -> Vec<(&'static str, &'static str, u64)> {
    let quic::Counters { accepted, refused_total, refused_client, retries, .. } = counters;
    let quic::Counters { handshakes_failed, timed_out_idle, timed_out_query, .. } = counters;
    let quic::Counters { timed_out_write, malformed, panics, .. } = counters;
    [
        ("dns_quic_accepted", "DNS connections over QUIC accepted.", accepted),
        (
            "dns_quic_refused_full",
            "DNS connections over QUIC refused: too many in all.",
            refused_total,
        ),
        (
            "dns_quic_refused_client",
            "DNS connections over QUIC refused: too many of a client.",
            refused_client,
        ),
        ("dns_quic_retries", "Clients over QUIC asked to show where they are.", retries),
        ("dns_quic_handshakes_failed", "Handshakes over QUIC that failed.", handshakes_failed),
        ("dns_quic_idle", "DNS connections over QUIC closed without a query.", timed_out_idle),
        ("dns_quic_slow_queries", "Queries over QUIC cut off: too slow.", timed_out_query),
        ("dns_quic_slow_readers", "Replies over QUIC cut off: not taken.", timed_out_write),
        ("dns_quic_malformed", "DNS connections over QUIC closed: rules broken.", malformed),
        ("dns_quic_panics", "Connections over QUIC lost to a defect.", panics),
    ]
    .map(|(name, help, count)| (name, help, count.load(Ordering::Relaxed)))
    .into()
}
