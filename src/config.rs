//! The configuration: a file, read and checked once.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// Everything that can be configured, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// `[dns]`
    pub dns: Dns,
    /// `[http]`
    pub http: Http,
    /// `[udp]`
    pub udp: Udp,
    /// `[lease]`
    pub lease: Lease,
    /// `[answers]`
    pub answers: Answers,
    /// `[services.NAME]`: what one service has differently.
    pub services: BTreeMap<String, ServiceAnswers>,
    /// `[store]`
    pub store: Store,
    /// `[log]`
    pub log: Log,
}

/// The DNS doors and zones.
#[derive(Debug, Clone)]
pub struct Dns {
    /// Addresses to listen on, UDP and TCP.
    pub listen: Vec<SocketAddr>,
    /// UDP worker threads; 0: one a core.
    pub workers: usize,
    /// Zones in which services are found, lower case with a final dot, the first one named in PTR.
    pub zones: Vec<String>,
    /// Where `*.zone` files are; `None` if the default directory is not there.
    pub zone_dir: Option<PathBuf>,
    /// Reverse zones that are answered from the registry, lower case with a final dot.
    pub reverse_zones: Vec<String>,
    /// Addresses of the made-up `ns` names; empty: those of `listen`.
    pub ns_addresses: Vec<IpAddr>,
    /// TCP connections at most.
    pub tcp_max_connections: usize,
    /// TCP connections at most from one client address.
    pub tcp_max_per_client: usize,
    /// Seconds after which a TCP connection without a query is closed.
    pub tcp_idle_secs: u64,
}

/// The HTTP door.
#[derive(Debug, Clone)]
pub struct Http {
    /// Addresses to listen on.
    pub listen: Vec<SocketAddr>,
    /// A file with the bearer token that every call needs.
    pub token_file: Option<PathBuf>,
    /// Further host names under which it may be called.
    pub host_names: Vec<String>,
    /// Listens outside loopback without a token.
    pub insecure_no_token: bool,
}

/// The datagram door.
#[derive(Debug, Clone)]
pub struct Udp {
    /// Addresses to listen on; none: no datagram door.
    pub listen: Vec<SocketAddr>,
    /// Files with keys; a key's id is its file's name up to the first dot.
    pub key_files: Vec<PathBuf>,
    /// Takes unsigned lines from anywhere.
    pub insecure_unsigned: bool,
}

/// Bounds of leases.
#[derive(Debug, Clone, Copy)]
pub struct Lease {
    /// The term of a registration that names none, in seconds.
    pub default_secs: u32,
    /// The shortest term, in seconds.
    pub min_secs: u32,
    /// The longest term, in seconds.
    pub max_secs: u32,
}

/// How answers are made.
#[derive(Debug, Clone, Copy)]
pub struct Answers {
    /// The longest TTL of a record, in seconds.
    pub ttl_secs: u32,
    /// The most records of an answer; 0: all.
    pub max_answers: usize,
    /// The TTL of "there is no such name or record", in seconds.
    pub negative_ttl_secs: u32,
}

/// How one service's answers are made.
#[derive(Debug, Clone, Copy, Default)]
pub struct ServiceAnswers {
    /// Instead of `answers.ttl_secs`.
    pub ttl_secs: Option<u32>,
    /// Instead of `answers.max_answers`.
    pub max_answers: Option<usize>,
}

/// The embedded store.
#[derive(Debug, Clone)]
pub struct Store {
    /// The data directory.
    pub data_dir: PathBuf,
}

/// What is logged, and how.
#[derive(Debug, Clone)]
pub struct Log {
    /// `error`, `warn`, `info`, `debug`, `trace`, or a tracing filter.
    pub level: String,
    /// One JSON object a line instead of text.
    pub json: bool,
}
