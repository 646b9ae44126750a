//! The configuration: a file, read and checked once.
//!
//! `raw.rs` has the file as it is written, `check.rs`, `sections.rs`, `doors.rs`, `encrypted.rs`, `forward.rs` and `upstream.rs` make a
//! [`Config`] of it, `report.rs` is what `check-config` says, `reload.rs` what SIGHUP changes. `config.toml` at the top lists every
//! setting with its default, and a test holds it to that.

mod check;
mod doors;
mod encrypted;
mod error;
mod eureka;
mod forward;
mod upstream;
mod names;
mod observed;
mod raw;
mod reload;
pub mod resolv_conf;
mod report;
mod sections;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Read;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::RwLock;

use crate::access::{ConfiguredPrincipal, Door, Prefixes};
use check::Checker;
pub use error::{ConfigError, Place, Problem};
pub use eureka::{Eureka, Region};
pub use observed::{Dnstap, History, Metrics, QueryLog};
pub use report::{Finding, Probes, Report, check_config, writable};
pub use upstream::{CaFile, Transport, Upstream};

/// Octets that the file may have: settings for every service it may name fit many times.
const MAX_FILE_OCTETS: u64 = 4 << 20;

/// Everything that can be configured, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// `[dns]`
    pub dns: Dns,
    /// `[http]`
    pub http: Http,
    /// `[udp]`
    pub udp: Udp,
    /// `[access]`
    pub access: Access,
    /// `[audit]`
    pub audit: Audit,
    /// `[eureka]`
    pub eureka: Eureka,
    /// Doors that open only if the store knows somebody.
    pub unguarded: Vec<Unguarded>,
    /// `[lease]`
    pub lease: Lease,
    /// `[answers]`
    pub answers: Answers,
    /// `[rate_limit]`
    pub rate_limit: RateLimit,
    /// `[services.NAME]`: what one service has differently.
    pub services: BTreeMap<String, ServiceAnswers>,
    /// `[forward]`
    pub forward: Forward,
    /// `[history]`
    pub history: History,
    /// `[query_log]`
    pub query_log: QueryLog,
    /// `[dnstap]`
    pub dnstap: Dnstap,
    /// `[metrics]`
    pub metrics: Metrics,
    /// `[store]`
    pub store: Store,
    /// `[log]`
    pub log: Log,
}

/// The configuration as it is now: a reload replaces it.
#[derive(Debug)]
pub struct Live(RwLock<Arc<Config>>);

impl Live {
    /// Begins with `config`.
    pub fn new(config: Config) -> Self {
        Self(RwLock::new(Arc::new(config)))
    }

    /// The configuration now.
    pub fn get(&self) -> Arc<Config> {
        self.0.read().clone()
    }

    /// Replaces it.
    pub fn set(&self, config: Config) {
        *self.0.write() = Arc::new(config);
    }
}

/// The DNS doors and zones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dns {
    /// Addresses to listen on, UDP and TCP.
    pub listen: Vec<SocketAddr>,
    /// UDP worker threads; 0: one a core.
    pub workers: usize,
    /// Microseconds for which a UDP worker looks for queries before it sleeps.
    pub spin_micros: u64,
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
    /// What the server calls itself to who asks, as NSID; empty: nothing.
    pub nsid: String,
    /// A file with the secret that cookies are made with; `None`: a random one.
    pub cookie_secret_file: Option<PathBuf>,
    /// Addresses to listen on for DNS over TLS; none: there is no such door.
    pub tls_listen: Vec<SocketAddr>,
    /// Addresses to listen on for DNS over HTTPS; none: there is no such door.
    pub https_listen: Vec<SocketAddr>,
    /// Addresses to listen on for DNS over QUIC; none: there is no such door.
    pub quic_listen: Vec<SocketAddr>,
    /// A file with our certificate and those between it and its root; there is one if any of the three doors is.
    pub tls_cert_file: Option<PathBuf>,
    /// A file with the certificate's private key; there is one if any of the three doors is.
    pub tls_key_file: Option<PathBuf>,
}

impl Dns {
    /// The files with the certificate and its key, if any door needs them.
    pub fn certificate_files(&self) -> Option<(&Path, &Path)> {
        if self.tls_listen.is_empty() && self.https_listen.is_empty() && self.quic_listen.is_empty()
        {
            return None;
        }
        self.tls_cert_file.as_deref().zip(self.tls_key_file.as_deref())
    }
}

/// The HTTP door.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Http {
    /// Addresses to listen on.
    pub listen: Vec<SocketAddr>,
    /// A file with the bearer token that may everything.
    pub token_file: Option<PathBuf>,
    /// Addresses to listen on with TLS; none: there is no such door.
    pub tls_listen: Vec<SocketAddr>,
    /// A file with the certificate of the door with TLS, and those between it and its root.
    pub tls_cert_file: Option<PathBuf>,
    /// A file with the certificate's private key.
    pub tls_key_file: Option<PathBuf>,
    /// A file with the CAs that clients' certificates come from; `None`: clients are not asked for any.
    pub tls_client_ca_file: Option<PathBuf>,
    /// A unix socket to listen on as well.
    pub unix_socket: Option<PathBuf>,
    /// Further host names under which it may be called.
    pub host_names: Vec<String>,
    /// Listens outside loopback while nobody is known.
    pub insecure_no_token: bool,
    /// Listens outside loopback without TLS.
    pub insecure_no_tls: bool,
}

impl Http {
    /// The files with the certificate and its key, if the door with TLS is there.
    pub fn certificate_files(&self) -> Option<(&Path, &Path)> {
        if self.tls_listen.is_empty() {
            return None;
        }
        self.tls_cert_file.as_deref().zip(self.tls_key_file.as_deref())
    }
}

/// Who may do what.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Access {
    /// Seconds for which the name of a service that is gone is kept for its owner.
    pub reserved_secs: u32,
    /// Who is known by a certificate or as a user of this machine.
    pub principals: Vec<ConfiguredPrincipal>,
}

/// Who is told of changes and denials.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Audit {
    /// The file that lines are added to.
    pub file: Option<PathBuf>,
}

/// A writing door beyond loopback for which the configuration names nobody who may: it opens only if the store does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unguarded {
    /// Which door.
    pub door: Door,
    /// What to tell if nobody is known.
    pub problem: Problem,
}

impl Dns {
    /// Where whoever asks for names asks this server, however it is asked.
    pub fn all_listen(&self) -> Vec<SocketAddr> {
        [&self.listen, &self.tls_listen, &self.https_listen]
            .into_iter()
            .flatten()
            .copied()
            .collect()
    }
}

/// The datagram door.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Udp {
    /// Addresses to listen on; none: no datagram door.
    pub listen: Vec<SocketAddr>,
    /// Files with keys; a key's id is its file's name up to the first dot.
    pub key_files: Vec<PathBuf>,
    /// Takes unsigned lines from anywhere.
    pub insecure_unsigned: bool,
}

/// Bounds of leases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// The term of a registration that names none, in seconds.
    pub default_secs: u32,
    /// The shortest term, in seconds.
    pub min_secs: u32,
    /// The longest term, in seconds.
    pub max_secs: u32,
}

impl Lease {
    /// The bounds of somebody whose leases last so many seconds at most.
    pub fn within(&self, max_lease_secs: Option<u32>) -> Self {
        let most = max_lease_secs.map_or(self.max_secs, |most| most.min(self.max_secs));
        let within = |secs: u32| secs.min(most);
        Self {
            default_secs: within(self.default_secs),
            min_secs: within(self.min_secs),
            max_secs: most,
        }
    }
}

/// How answers are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answers {
    /// The longest TTL of a record, in seconds.
    pub ttl_secs: u32,
    /// The most records of an answer; 0: all.
    pub max_answers: u32,
    /// The TTL of "there is no such name or record", in seconds.
    pub negative_ttl_secs: u32,
}

/// How much is answered over UDP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateLimit {
    /// Answers a second that a client's network gets; 0: as many as it asks for.
    pub responses_per_second: u32,
    /// Networks without a limit.
    pub exempt: Prefixes,
}

/// How one service's answers are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ServiceAnswers {
    /// Instead of `answers.ttl_secs`.
    pub ttl_secs: Option<u32>,
    /// Instead of `answers.max_answers`.
    pub max_answers: Option<u32>,
}

/// Whom names are asked that are not ours, for whom, and what is made of the answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forward {
    /// Whom every name is asked that no rule is about; none: those of `resolv_conf`, or nobody.
    pub upstreams: Vec<Upstream>,
    /// A resolv.conf file that names them instead; see [`resolv_conf::read`].
    pub resolv_conf: Option<PathBuf>,
    /// Whom the names of a zone (lower case, with a final dot) are asked instead, the longest zone first to count;
    /// nobody: they are not forwarded.
    pub rules: BTreeMap<String, Vec<Upstream>>,
    /// The CAs that encrypted upstreams' certificates come from; none: those that the system trusts.
    pub ca_file: Option<CaFile>,
    /// Clients whose names are forwarded.
    pub allow: Prefixes,
    /// Memory for answers of upstreams, in MiB.
    pub cache_mib: u32,
    /// Seconds for which an answer that is over is still given when no upstream answers; 0: not at all.
    pub stale_secs: u32,
    /// What becomes of private addresses in answers of upstreams.
    pub private_addresses: PrivateAddresses,
}

/// What becomes of private addresses in answers of upstreams, with which a stranger's name could lead a browser into
/// one's own network (rebinding).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PrivateAddresses {
    /// They are passed on.
    Keep,
    /// They are left out, but for names in these zones (lower case, with a final dot).
    Drop {
        /// Zones that may have such addresses.
        except: Vec<String>,
    },
}

/// The embedded store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    /// The data directory.
    pub data_dir: PathBuf,
}

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// `error`, `warn`, `info`, `debug`, `trace`, or a tracing filter.
    pub level: String,
    /// One JSON object a line instead of text.
    pub json: bool,
}

/// What the command line says; it goes before the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `--dns`, instead of `dns.listen`; empty: not given.
    pub dns: Vec<SocketAddr>,
    /// `--http`, instead of `http.listen`; empty: not given.
    pub http: Vec<SocketAddr>,
    /// `--udp`, instead of `udp.listen`; empty: not given.
    pub udp: Vec<SocketAddr>,
    /// `--data-dir`, instead of `store.data_dir`; relative to where the command was given.
    pub data_dir: Option<PathBuf>,
    /// Where the sockets are that somebody else has opened for us. They go before flags too.
    pub passed: Listening,
}

/// Addresses by door.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listening {
    /// DNS, over UDP and TCP.
    pub dns: Vec<SocketAddr>,
    /// HTTP.
    pub http: Vec<SocketAddr>,
    /// Registration datagrams.
    pub udp: Vec<SocketAddr>,
    /// DNS over TLS.
    pub tls: Vec<SocketAddr>,
    /// DNS over HTTPS.
    pub https: Vec<SocketAddr>,
    /// DNS over QUIC.
    pub quic: Vec<SocketAddr>,
    /// HTTP with TLS.
    pub http_tls: Vec<SocketAddr>,
}

/// What of the environment matters: where data goes if neither flag nor file says so, and where secrets are.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// `STATE_DIRECTORY`: set by systemd; several directories are separated by colons.
    pub state_directory: Option<OsString>,
    /// `XDG_STATE_HOME`
    pub xdg_state_home: Option<OsString>,
    /// `HOME`
    pub home: Option<OsString>,
    /// `CREDENTIALS_DIRECTORY`: set by systemd where a unit has credentials.
    pub credentials: Option<OsString>,
}

impl Environment {
    /// The environment of this process.
    pub fn of_process() -> Self {
        Self {
            state_directory: std::env::var_os("STATE_DIRECTORY"),
            xdg_state_home: std::env::var_os("XDG_STATE_HOME"),
            home: std::env::var_os("HOME"),
            credentials: std::env::var_os("CREDENTIALS_DIRECTORY"),
        }
    }

    /// The first directory that is named absolutely: the XDG specification has relative ones ignored, and they
    /// would move with whoever starts the server.
    fn data_dir(&self) -> Option<PathBuf> {
        let state = self.state_directory.iter().flat_map(std::env::split_paths).next();
        let xdg = self.xdg_state_home.as_ref().map(|home| Path::new(home).join("rollcall"));
        let home = self.home.as_ref().map(|home| Path::new(home).join(".local/state/rollcall"));
        [state, xdg, home].into_iter().flatten().find(|path| path.is_absolute())
    }
}

impl Config {
    /// What is wrong if `is_guarded` does not know anybody at a door that the configuration leaves to the store.
    pub fn check_guarded(
        &self,
        file: Option<&Path>,
        is_guarded: impl Fn(Door) -> bool,
    ) -> Result<(), ConfigError> {
        let open = self.unguarded.iter().filter(|unguarded| !is_guarded(unguarded.door));
        match open.map(|unguarded| unguarded.problem.clone()).collect::<Vec<_>>() {
            problems if problems.is_empty() => Ok(()),
            problems => Err(ConfigError::new(file, problems)),
        }
    }

    /// Reads and checks the file at `path`, or takes the defaults without one; `overrides` go before both.
    /// Relative paths in the file are relative to its directory, without a file to the current one; one to a secret
    /// is that of a credential if there is one of the file's name.
    pub fn load(path: Option<&Path>, overrides: &Overrides) -> Result<Self, ConfigError> {
        Self::load_in(path, overrides, &Environment::of_process())
    }

    /// The same in another environment.
    pub fn load_in(
        path: Option<&Path>,
        overrides: &Overrides,
        environment: &Environment,
    ) -> Result<Self, ConfigError> {
        let text = match path {
            None => String::new(),
            Some(path) => read_file(path).map_err(|reason| {
                let problem = Problem { place: Place::Whole, text: reason };
                ConfigError::new(Some(path), vec![problem])
            })?,
        };
        let directory = path.and_then(Path::parent).unwrap_or(Path::new(""));
        let mut problems = Vec::new();
        let raw = raw::read(&text, &mut problems);
        let credentials = environment.credentials.as_deref().map(Path::new);
        let mut checker =
            Checker { text: &text, directory, credentials, problems, unguarded: Vec::new() };
        let config = checker.config(raw, overrides, environment);
        match checker.problems {
            problems if problems.is_empty() => Ok(config),
            problems => Err(ConfigError::new(path, problems)),
        }
    }
}

/// The id of the key in a file: the file's name up to the first dot.
pub fn key_id(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.split('.').next().unwrap_or_default().to_owned()
}

fn read_file(path: &Path) -> Result<String, String> {
    let mut text = String::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(MAX_FILE_OCTETS + 1).read_to_string(&mut text))
        .map_err(|error| format!("cannot be read: {error}"))?;
    if text.len() as u64 > MAX_FILE_OCTETS {
        return Err(format!("is longer than {MAX_FILE_OCTETS} octets"));
    }
    Ok(text)
}
