//! Wiring: build, start, drain, stop.
//!
//! [`run`] reads top down as a server's life: configuration, sockets, store, threads, signals, stop.

mod access;
mod clients;
mod doors;
mod doors_figures;
mod encrypted;
mod explaining;
mod forward;
mod granting;
mod https_quic;
mod notify;
mod passed;
mod reload;
mod self_query;
mod signals;
mod sockets;
mod supervision;
mod taps;
mod zones;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant, SystemTime};

use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use crate::api::{http, secrets};
use crate::audit::Writing;
use crate::config::{self, Config, Listening, Overrides, Probes};
use crate::dns::forward::exchange::udp::SOCKETS_MOST;
use crate::history::{History, Limits};
use crate::net;
use crate::net::holder::{self, bind_error};
use crate::net::passed::Passed;
use crate::net::tls::Dates;
use crate::registrar::{Registrar, Running, Settings};
use crate::registry::Protocol;
use crate::store::{DataDir, Loaded, Store, StoreError};
use crate::view::{LeaseTime, View};
use crate::{store, telemetry};
use doors::{Doors, Parts};
use notify::Notify;
use passed::PassedSockets;
use reload::Reloader;
use signals::{Herald, Signals};
use sockets::Sockets;
use supervision::{Supervision, Watched};

/// How long a stop may take: then the process ends with what is not finished.
const STOP_WITHIN: Duration = Duration::from_millis(4_500);
/// Open files besides connections and sockets of questions: sockets of the doors, the store, zone files.
const FURTHER_FILES: u64 = 1_024;

/// What the command line says above the configuration file.
#[derive(Debug, Clone, Default)]
pub struct Given {
    /// The configuration file; none: the defaults.
    pub config: Option<PathBuf>,
    /// Instead of `dns.listen`, if any.
    pub dns: Vec<SocketAddr>,
    /// Instead of `http.listen`, if any.
    pub http: Vec<SocketAddr>,
    /// Instead of `udp.listen`, if any.
    pub udp: Vec<SocketAddr>,
    /// Instead of `store.data_dir`.
    pub data_dir: Option<PathBuf>,
    /// Where the sockets are that were passed, which go before all of these; the server finds them itself.
    pub passed: Listening,
}

impl Given {
    fn overrides(&self) -> Overrides {
        Overrides {
            dns: self.dns.clone(),
            http: self.http.clone(),
            udp: self.udp.clone(),
            data_dir: self.data_dir.clone(),
            passed: self.passed.clone(),
        }
    }

    /// Reads and checks the configuration; the error has a line a problem.
    pub fn load(&self) -> Result<Config, String> {
        Config::load(self.config.as_deref(), &self.overrides()).map_err(|error| error.to_string())
    }
}

/// Serves until a signal says to stop; the error says what to do.
pub fn run(given: &Given) -> Result<(), String> {
    // Before there are threads.
    let passed = net::passed::take()?;
    let notify = Notify::of_process()?;
    let served = serve(given.clone(), passed, &notify);
    if let Err(reason) = &served {
        notify.status(reason);
    }
    served
}

fn serve(mut given: Given, passed: Vec<Passed>, notify: &Notify) -> Result<(), String> {
    let configured = given.load()?;
    let watchdog = notify::watchdog()?;
    let passed = PassedSockets::sort(passed, &configured)?;
    given.passed = passed.addresses.clone();
    let config = given.load()?;
    telemetry::init_logs(&config.log)?;
    for difference in passed.differences(&configured) {
        tracing::warn!("{difference}");
    }
    raise_open_files(&config);
    let runtime = Runtime::new().map_err(|error| format!("no threads can be started: {error}"))?;
    let _in_runtime = runtime.enter();
    let signals =
        Signals::listen().map_err(|error| format!("signals cannot be caught: {error}"))?;
    let (server, loaded) = Server::start(given, config, passed, &runtime, notify, watchdog)?;
    let served = runtime.block_on(signals.serve(&server, loaded));
    tracing::info!("stopping");
    notify.stopping();
    server.stop(runtime).and(served)
}

/// What would keep the server from starting, or be wrong when it has; nothing: all is well.
pub fn check(given: &Given) -> Vec<String> {
    let config = given.load();
    let zone_files = |dir: &Path| match &config {
        Ok(config) => zones::load_from(config, Some(dir)).err().unwrap_or_default(),
        Err(_) => Vec::new(), // reported as the configuration's errors
    };
    let mut probes = Probes {
        bind_error: &mut |protocol, address, error| {
            let protocol = match protocol {
                Protocol::Tcp => holder::Protocol::Tcp,
                Protocol::Udp => holder::Protocol::Udp,
            };
            bind_error(protocol, address, "another address", error)
        },
        zone_files: &mut { zone_files },
    };
    let report = config::check_config(given.config.as_deref(), &given.overrides(), &mut probes);
    let wrong = report.findings.into_iter().filter(|finding| !finding.well);
    let mut problems: Vec<_> = wrong.map(|finding| finding.text).collect();
    if let Ok(config) = &config
        && problems.is_empty()
    {
        let cookies = config.dns.cookie_secret_file.as_deref();
        problems.extend(secrets::load_cookie_secret(cookies).err());
        problems.extend(encrypted::read_certificates(&config.dns).err());
        problems.extend(encrypted::read_http_tls(&config.http).err());
        match store::grants_of(&config.store.data_dir) {
            Ok(grants) => problems.extend(access::problem(config, given.config.as_deref(), grants)),
            Err(error) => problems.push(error.to_string()),
        }
        problems.extend(store_problem(&config.store.data_dir));
    }
    problems
}

/// What the dates of the configured certificates say now, with what each is for.
///
/// # Errors
/// Why one cannot be used.
pub fn certificate_dates(config: &Config) -> Result<Vec<(&'static str, Dates)>, String> {
    let now = SystemTime::now();
    let dns = encrypted::read_certificates(&config.dns)?.map(|dns| ("dns", dns.dates(now)));
    let http = encrypted::read_http_tls(&config.http)?.map(|http| ("http", http.dates(now)));
    Ok(dns.into_iter().chain(http).collect())
}

/// What keeps a server off a data directory that is there.
fn store_problem(data_dir: &Path) -> Option<String> {
    if !data_dir.is_dir() {
        return None; // it is made when a server starts
    }
    match DataDir::lock(data_dir, "check-config") {
        Ok(_held) => store::check(data_dir).err().map(|error| error.to_string()),
        Err(error) => Some(error.to_string()),
    }
}

/// How a data directory stands, if a server can use it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DataDirectory {
    /// It is not there, and can be made.
    Missing,
    /// It is there, and no server runs on it.
    Free,
    /// A server runs on it, which says this of itself.
    Held(String),
}

/// Looks at a data directory, also while a server runs on it. The error is what keeps any server off it.
pub fn data_directory(path: &Path) -> Result<DataDirectory, String> {
    let writable = config::writable(path);
    writable.map_err(|reason| format!("{} cannot be used: {reason}", path.display()))?;
    if !path.is_dir() {
        return Ok(DataDirectory::Missing);
    }
    let holder = DataDir::holder(path).map_err(|error| error.to_string())?;
    store::check(path).map_err(|error| error.to_string())?;
    Ok(holder.map_or(DataDirectory::Free, DataDirectory::Held))
}

/// Copies the store of the data directory into `file`, also while a server runs on it.
pub fn backup(given: &Given, file: &Path, overwrite: bool) -> Result<usize, String> {
    let config = given.load()?;
    store::backup(&config.store.data_dir, file, overwrite).map_err(|error| error.to_string())
}

pub use granting::{grant, grants, revoke};

/// What comes of loading the registry.
type Loading = oneshot::Receiver<Result<Option<Loaded>, StoreError>>;

/// A server that runs.
struct Server {
    doors: Doors,
    registrar: Running,
    reloader: Arc<Reloader>,
    herald: Herald,
    supervision: Supervision,
    audit: Option<Writing>,
    // Held until the end: a second server must not come onto the directory.
    _data_dir: DataDir,
}

impl Server {
    /// A server whose doors are open and whose registry is being loaded.
    fn start(
        given: Given,
        config: Config,
        passed: PassedSockets,
        runtime: &Runtime,
        notify: &Notify,
        watchdog: Option<Duration>,
    ) -> Result<(Self, Loading), String> {
        let view = Arc::new(View::default());
        view.set_zones(zones::load(&config).map_err(|errors| errors.join("\n"))?);
        let data_dir = DataDir::lock(&config.store.data_dir, &who(&config));
        let data_dir = data_dir.map_err(|error| error.to_string())?;
        let sockets = Sockets::bind(&config, passed)?;
        let is_restart = data_dir.path().join(store::FILE_NAME).exists();
        let store = Store::open(data_dir.path()).map_err(|error| error.to_string())?;
        view.set_serial(store.serial().map_err(|error| error.to_string())?);
        let (sender, loaded) = oneshot::channel();
        let tell = move |result| {
            let _ = sender.send(result); // nobody waits any more: the server is stopping
        };
        let live = Arc::new(config::Live::new(config));
        view.set_settings(zones::settings(&live.get()), LeaseTime::default());
        let no_threads = |error| format!("no threads can be started: {error}");
        let config = live.get();
        let access = access::build(&config, given.config.as_deref(), &store)?;
        let (audit, writing) = access::open_audit(&config)?;
        let settings = Settings {
            reserved_ms: u64::from(config.access.reserved_secs) * 1000,
            audit: audit.clone(),
            history: History::new(Limits {
                events: config.history.events,
                events_a_service: config.history.events_a_service,
            }),
        };
        let (registrar, running) =
            Registrar::start(store, view.clone(), settings, tell).map_err(no_threads)?;
        let parts =
            Parts { live: &live, view: &view, registrar: &registrar, access, audit, runtime };
        let doors = Doors::open(sockets, parts, is_restart)?;
        let watched = Watched {
            live: live.clone(),
            registrar: registrar.clone(),
            runtime: runtime.handle().clone(),
            dns: doors.dns().to_owned(),
            addresses: doors.addresses().to_owned(),
        };
        let supervision = Supervision::start(notify.clone(), watchdog, watched);
        let supervision = supervision.map_err(no_threads)?;
        let herald = Herald {
            notify: notify.clone(),
            registrar: registrar.clone(),
            addresses: doors.addresses().to_owned(),
        };
        let reloader = Arc::new(Reloader::new(given, live, view, registrar, &doors));
        let registrar = running;
        let audit = writing;
        let server =
            Self { doors, registrar, reloader, herald, supervision, audit, _data_dir: data_dir };
        Ok((server, loaded))
    }

    /// Answers what has been received, commits what is queued, and ends.
    fn stop(self, runtime: Runtime) -> Result<(), String> {
        let end = Instant::now() + STOP_WITHIN;
        let (sender, finished) = sync_channel(1);
        let stopping = std::thread::spawn(move || {
            drop(self.supervision);
            self.doors.close(&runtime);
            self.registrar.stop();
            if let Some(audit) = self.audit {
                audit.end();
            }
            runtime.shutdown_background();
            let _ = sender.send(());
        });
        let left = end.saturating_duration_since(Instant::now());
        if finished.recv_timeout(left).is_err() {
            return Err(
                "not everything could be finished in time; what was acknowledged is safe".into()
            );
        }
        let _ = stopping.join();
        // The process ends: a million instances need not be freed one by one.
        Box::leak(Box::new(self.reloader));
        tracing::info!("stopped");
        Ok(())
    }
}

fn who(config: &Config) -> String {
    let list = |addresses: &[SocketAddr]| {
        addresses.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(" ")
    };
    format!("dns {}, http {}", list(&config.dns.listen), list(&config.http.listen))
}

/// All connections of all doors, and some for files.
fn raise_open_files(config: &Config) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let over_https =
        if config.dns.https_listen.is_empty() { 0 } else { config.dns.tcp_max_connections };
    let connections = config.dns.tcp_max_connections + over_https + http::MAX_CONNECTIONS;
    let questions = if config.forward.is_on() { SOCKETS_MOST } else { 0 };
    let wanted = FURTHER_FILES + (connections + questions) as u64;
    let wanted = maximum.map_or(wanted, |maximum| maximum.min(wanted));
    if current.is_some_and(|current| current < wanted) {
        let limit = Rlimit { current: Some(wanted), maximum };
        if let Err(error) = setrlimit(Resource::Nofile, limit) {
            tracing::warn!(%error, "the limit of open files stays as it is");
        }
    }
}
