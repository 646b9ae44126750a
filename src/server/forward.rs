//! Forwarding: from the configuration to the forwarder's plan, and a resolv.conf file that is watched.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use tokio::time::{MissedTickBehavior, interval};

use crate::answer::{Recursion, Responder};
use crate::cache::Cache;
use crate::config::resolv_conf::{self, reaches};
use crate::config::{Config, Forward, Live, PrivateAddresses};
use crate::dns::forward::exchange::Means;
use crate::dns::forward::exchange::tls::{Tls, system_cas};
use crate::dns::forward::forwarder::{Forwarder, Parts};
use crate::dns::forward::judge::Private;
use crate::dns::forward::plan::Plan;
use crate::dns::forward::upstream::{Address, Transport};
use crate::shared::Shared;
use crate::view::wire::{self, Name};

/// How often the resolv.conf file is looked at: a look is one system call.
const WATCH_EVERY: Duration = Duration::from_secs(1);
/// How often it is found out whether upstreams lead back to us: they may be configured anew without our knowing,
/// and each time costs a question.
const PROBE_EVERY: Duration = Duration::from_secs(300);
/// The same while they do.
const PROBE_LOOPING_EVERY: Duration = Duration::from_secs(10);

/// Forwarding as it is configured.
pub(super) struct Forwarding {
    forwarder: Forwarder,
    recursion: Arc<Shared<Recursion>>,
    /// What is in force.
    current: Mutex<Current>,
}

#[derive(Default)]
struct Current {
    forward: Option<Forward>,
    listen: Vec<SocketAddr>,
    /// The resolv.conf file as it was when it was read, and what it named.
    file: Option<Stamp>,
    from_file: Vec<Address>,
}

/// What changes when a file does: who replaces it, who writes into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    octets: u64,
    inode: u64,
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        use std::os::unix::fs::MetadataExt;
        let metadata = fs::metadata(path).ok()?;
        let (octets, inode) = (metadata.len(), metadata.ino());
        Some(Self { modified: metadata.modified().ok(), octets, inode })
    }
}

impl Forwarding {
    /// Forwarding that is off until it is [`configure`](Self::configure)d.
    pub(super) fn new(
        parts: Parts,
        desks: usize,
        responder: impl FnMut(usize) -> Responder,
    ) -> Arc<Self> {
        let recursion = parts.recursion.clone();
        let forwarder = Forwarder::new(parts, desks, responder);
        Arc::new(Self { forwarder, recursion, current: Mutex::default() })
    }

    pub(super) fn forwarder(&self) -> Forwarder {
        self.forwarder.clone()
    }

    /// Forwards by a configuration from now on. What is cached stays, unless what may be in it has changed.
    pub(super) fn configure(&self, config: &Config) {
        let mut current = self.current.lock();
        if current.forward.as_ref() == Some(&config.forward) {
            return;
        }
        let before = current.forward.replace(config.forward.clone());
        current.listen = config.dns.all_listen();
        current.read_file(true);
        self.put_in_force(&current);
        self.set_recursion(&config.forward, before.as_ref());
    }

    fn set_recursion(&self, forward: &Forward, before: Option<&Forward>) {
        let same_answers = |before: &Forward| {
            let of = |forward: &Forward| {
                let Forward { upstreams, resolv_conf, rules, ca_file, .. } = forward.clone();
                let rest = (
                    ca_file,
                    forward.cache_mib,
                    forward.stale_secs,
                    forward.private_addresses.clone(),
                );
                (upstreams, resolv_conf, rules, rest)
            };
            of(before) == of(forward)
        };
        let kept = self.forwarder.cache().filter(|_| before.is_some_and(same_answers));
        let new = || {
            let octets = usize::try_from(forward.cache_mib).unwrap_or(usize::MAX);
            let octets = octets.saturating_mul(1 << 20);
            Arc::new(Cache::with_stale(octets, forward.stale_secs.into()))
        };
        let cache = forward.is_on().then(|| kept.unwrap_or_else(new));
        self.recursion.set(Recursion { allow: forward.allow.clone(), cache }, || {});
    }

    fn put_in_force(&self, current: &Current) {
        let Some(forward) = &current.forward else { return };
        let tls = match tls(forward) {
            Ok(tls) => tls,
            Err(error) => {
                tracing::error!("there is no TLS to be had: {error}; upstreams stay as they were");
                return;
            }
        };
        let means = Means { sockets: self.forwarder.sockets().clone(), tls };
        let mut all: Vec<_> = forward.upstreams.iter().map(Address::from).collect();
        all.extend(current.from_file.iter().cloned());
        let default = [(".", all)].into_iter().filter(|(_, all)| !all.is_empty());
        let rules = forward.rules.iter().map(|(zone, upstreams)| {
            (zone.as_str(), upstreams.iter().map(Address::from).collect())
        });
        let rules = default.chain(rules).map(|(zone, addresses)| (zone, current.others(addresses)));
        let private = private(&forward.private_addresses);
        self.forwarder.set_plan(Plan::new(rules, private, &means));
    }

    /// Forgets what upstreams said: it may be about names that have become ours.
    pub(super) fn forget_all(&self) {
        if let Some(cache) = self.forwarder.cache() {
            cache.flush(&Name::ROOT, true);
        }
    }

    /// Watches the resolv.conf file, and whether upstreams lead back to us, for as long as the server runs.
    pub(super) async fn watch(self: Arc<Self>) {
        let mut ticks = interval(WATCH_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut since_probe = Duration::ZERO;
        loop {
            ticks.tick().await;
            since_probe += WATCH_EVERY;
            self.look_at_file();
            let is_looping = self.forwarder.plan().upstreams().any(|group| group.is_looping());
            let every = if is_looping { PROBE_LOOPING_EVERY } else { PROBE_EVERY };
            if since_probe >= every {
                since_probe = Duration::ZERO;
                self.forwarder.probe();
            }
        }
    }

    fn look_at_file(&self) {
        let mut current = self.current.lock();
        if current.read_file(false) {
            self.put_in_force(&current);
            // What others could not say, these may.
            if let Some(cache) = self.forwarder.cache() {
                cache.forget_failures();
            }
        }
    }
}

impl Current {
    /// Reads the resolv.conf file if it has changed, or `anew`; says whether it names others than before. A file that
    /// cannot be read, or names nobody, changes nothing: whoever writes it may be in the middle of it.
    fn read_file(&mut self, anew: bool) -> bool {
        let Some(path) = self.forward.as_ref().and_then(|forward| forward.resolv_conf.as_deref())
        else {
            self.file = None;
            self.from_file.clear();
            return false;
        };
        let stamp = Stamp::of(path);
        if !anew && stamp == self.file {
            return false;
        }
        self.file = stamp;
        let shown = path.display();
        let read = match resolv_conf::read(path, &self.listen) {
            Ok(read) => read,
            Err(reason) => {
                tracing::error!("{shown} {reason}; upstreams stay as they were");
                return false;
            }
        };
        for (line, problem) in &read.problems {
            tracing::warn!("{shown}, line {line}: {problem}");
        }
        for own in &read.ours {
            tracing::warn!("{shown} names {own}, where this server listens: it is not asked");
        }
        if read.nameservers.is_empty() {
            tracing::error!("{shown} names no server but this one; upstreams stay as they were");
            return false;
        }
        let transport = if read.use_tcp { Transport::Tcp } else { Transport::Udp };
        let of = |addr| Address { addr, transport: transport.clone() };
        let from_file: Vec<_> = read.nameservers.iter().copied().map(of).collect();
        let is_new = self.from_file != from_file;
        if is_new {
            tracing::info!(upstreams = ?read.nameservers, use_tcp = read.use_tcp, "{shown} is read");
            self.from_file = from_file;
        }
        is_new
    }

    /// The addresses at which it is not us who would be asked.
    fn others(&self, mut addresses: Vec<Address>) -> Vec<Address> {
        addresses.retain(|address| {
            let is_us = reaches(&self.listen, address.addr);
            if is_us {
                tracing::error!(
                    "a loop: {address} is this server itself, and is not asked; name another in [forward]"
                );
            }
            !is_us
        });
        addresses
    }
}

/// Whom encrypted upstreams are trusted to be. Without a CA they are not asked, and it is told.
fn tls(forward: &Forward) -> Result<Tls, String> {
    let has_encrypted = forward.named().any(|(_, upstream)| upstream.is_encrypted());
    let cas = match &forward.ca_file {
        Some(file) => file.certificates.clone(),
        None if has_encrypted => system_cas().unwrap_or_else(|reason| {
            tracing::error!("{reason}");
            Vec::new()
        }),
        None => Vec::new(),
    };
    Tls::trusting(cas).map_err(|error| error.to_string())
}

fn private(addresses: &PrivateAddresses) -> Private {
    match addresses {
        PrivateAddresses::Keep => Private::default(),
        PrivateAddresses::Drop { except } => {
            let zone =
                |zone: &String| wire::parse(zone, b"\0").ok().map(|wire| wire.to_vec().into());
            Private { drop: true, except: except.iter().filter_map(zone).collect() }
        }
    }
}

/// Watches on behalf of a server.
pub(super) fn watch(forwarding: &Arc<Forwarding>, live: &Live) -> impl Future<Output = ()> + use<> {
    forwarding.configure(&live.get());
    forwarding.clone().watch()
}
