//! The doors: their sockets, their threads and tasks, and how they close.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::thread::{JoinHandle, available_parallelism};
use std::time::{Duration, SystemTime};

use parking_lot::{Mutex, RwLock};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinHandle as Task;

use super::clients;
use super::doors_figures::Figures;
use super::forward::{self, Forwarding};
use crate::access::key::Keys;
use crate::access::{Access, Action, Principal};
use crate::answer::clients::Clients;
use crate::answer::{Recursion, Responder};
use crate::api::datagram::{self, Asked, Verb};
use crate::api::{self, Api, http, secrets};
use crate::config::{Config, Lease, Live};
use crate::dns::forward::forwarder::Parts;
use crate::net::defer::Defer;
use crate::net::holder::{Protocol, bind_error};
use crate::net::{Stop, tcp, udp};
use crate::registrar::Registrar;
use crate::shared::Shared;
use crate::view::{LeaseTime, View};

/// All sockets of all doors, bound before anything is started.
pub(super) struct Sockets {
    dns_udp: Vec<UdpSocket>,
    dns_tcp: Vec<TcpListener>,
    http: Vec<TcpListener>,
    datagram: Vec<UdpSocket>,
    addresses: String,
}

impl Sockets {
    /// Binds them all; the error says who is there, or what else is wrong.
    pub(super) fn bind(config: &Config) -> Result<Self, String> {
        let workers = match config.dns.workers {
            0 => available_parallelism().map_or(1, usize::from),
            workers => workers,
        };
        let mut dns_udp = Vec::new();
        let mut dns_tcp = Vec::new();
        let mut dns = Vec::new();
        for address in &config.dns.listen {
            let sockets = udp::bind(*address, workers)
                .map_err(|error| bind_error(Protocol::Udp, *address, "dns.listen", &error))?;
            // Port 0: TCP is on the port that UDP got.
            let address = sockets.first().map_or(Ok(*address), UdpSocket::local_addr);
            let address = address.map_err(|error| format!("a socket has no address: {error}"))?;
            let listener = tcp::bind(address)
                .map_err(|error| bind_error(Protocol::Tcp, address, "dns.listen", &error))?;
            dns.push(address);
            dns_udp.extend(sockets);
            dns_tcp.push(listener);
        }
        let http = bind_each(&config.http.listen, Protocol::Tcp, "http.listen", tcp::bind)?;
        let one = |address| udp::bind(address, 1);
        let datagram = bind_each(&config.udp.listen, Protocol::Udp, "udp.listen", one)?;
        let datagram: Vec<_> = datagram.into_iter().flatten().collect();
        let http_addresses = http.iter().filter_map(|listener| listener.local_addr().ok());
        let udp_addresses = datagram.iter().filter_map(|socket| socket.local_addr().ok());
        let addresses = format!(
            "dns={} http={} udp={}",
            list(dns.into_iter()),
            list(http_addresses),
            list(udp_addresses)
        );
        Ok(Self { dns_udp, dns_tcp, http, datagram, addresses })
    }
}

fn bind_each<S>(
    addresses: &[SocketAddr],
    protocol: Protocol,
    option: &str,
    bind: impl Fn(SocketAddr) -> io::Result<S>,
) -> Result<Vec<S>, String> {
    let bind = |address: &SocketAddr| {
        bind(*address).map_err(|error| bind_error(protocol, *address, option, &error))
    };
    addresses.iter().map(bind).collect()
}

fn list(addresses: impl Iterator<Item = SocketAddr>) -> String {
    let addresses: Vec<_> = addresses.map(|address| address.to_string()).collect();
    if addresses.is_empty() { "none".to_owned() } else { addresses.join(",") }
}

/// The open doors.
pub(super) struct Doors {
    addresses: String,
    stop: Stop,
    close_http: watch::Sender<bool>,
    threads: Vec<JoinHandle<()>>,
    tasks: Vec<Task<()>>,
    access: Arc<Access>,
    keys: Arc<Keys>,
    bounds: Arc<RwLock<Lease>>,
    forwarding: Arc<Forwarding>,
    clients: Arc<Clients>,
}

impl Doors {
    /// Opens all doors: DNS answers from now on, also while the registry is being loaded.
    pub(super) fn open(
        sockets: Sockets,
        live: &Arc<Live>,
        view: &Arc<View>,
        registrar: &Registrar,
        runtime: &Runtime,
        is_restart: bool,
    ) -> Result<Self, String> {
        let config = live.get();
        let token = secrets::load_token(&config.http)?;
        let access = Arc::new(Access::new(token, config.http.insecure_no_token));
        let keys = Keys::default();
        keys.replace(secrets::load_keys(&config.udp.key_files)?)?;
        let (close_http, http_closing) = watch::channel(false);
        let figures = Arc::new(Mutex::new(Figures::new(registrar.clone())));
        let recursion = Arc::new(Shared::new(Recursion::default()));
        let treated = clients::new(&config)?;
        let responder = |_| {
            let responder = Responder::new(view.clone(), &recursion).with_clients(treated.clone());
            figures.lock().answers.push(responder.counters());
            responder
        };
        let forwarding = open_forwarding(&recursion, view, registrar, runtime, responder);
        figures.lock().forwarder = Some(forwarding.forwarder());
        let mut doors = Self {
            addresses: sockets.addresses,
            stop: Stop::default(),
            close_http,
            threads: Vec::new(),
            tasks: Vec::new(),
            access,
            keys: Arc::new(keys),
            bounds: Arc::new(RwLock::new(config.lease)),
            forwarding,
            clients: treated.clone(),
        };
        runtime.spawn(forward::watch(&doors.forwarding, live));
        let keeping_time =
            clients::keep_time(doors.clients.clone(), live.clone(), doors.stop.clone());
        doors.tasks.push(runtime.spawn(keeping_time));
        let start = |what: &str, error: &io::Error| format!("the {what} door cannot open: {error}");
        doors
            .open_dns(
                sockets.dns_udp,
                sockets.dns_tcp,
                &config,
                registrar,
                runtime,
                &figures,
                responder,
            )
            .map_err(|error| start("DNS", &error))?;
        let door =
            datagram::Door::new(doors.datagram_settings(&config, is_restart), registrar.clone());
        figures.lock().datagram = Some(door.clone());
        let threads = datagram::serve::serve(sockets.datagram, &door, &doors.stop);
        doors.threads.extend(threads.map_err(|error| start("datagram", &error))?);
        let connections = http::Connections::default();
        figures.lock().http = Some(connections.clone());
        let scrape = Arc::new(move || figures.lock().sources());
        let api =
            Api::new(registrar.clone(), doors.access.clone(), live.clone(), recursion, scrape);
        let serving =
            http::serve(sockets.http, api::router(Arc::new(api)), connections, http_closing);
        doors.tasks.push(runtime.spawn(async move {
            if let Err(error) = serving.await {
                tracing::error!(%error, "the HTTP door is closed");
            }
        }));
        Ok(doors)
    }

    #[allow(clippy::too_many_arguments)]
    fn open_dns(
        &mut self,
        udp_sockets: Vec<UdpSocket>,
        listeners: Vec<TcpListener>,
        config: &Config,
        registrar: &Registrar,
        runtime: &Runtime,
        figures: &Arc<Mutex<Figures>>,
        mut responder: impl FnMut(usize) -> Responder,
    ) -> io::Result<()> {
        let clock = registrar.clock();
        let clock = Arc::new(move || -> LeaseTime { clock.now() });
        let defer: Arc<dyn Defer> = Arc::new(self.forwarding.forwarder());
        let spin = Duration::from_micros(config.dns.spin_micros);
        let workers = udp::serve(udp_sockets, spin, &mut responder, &defer, &clock, &self.stop)?;
        for worker in workers {
            figures.lock().udp.push(worker.counters);
            self.threads.push(worker.thread);
        }
        let limits = tcp::Limits {
            connections: config.dns.tcp_max_connections,
            per_client: config.dns.tcp_max_per_client,
            idle: Duration::from_secs(config.dns.tcp_idle_secs),
            ..tcp::Limits::default()
        };
        let answerers = available_parallelism().map_or(1, usize::from);
        let door = tcp::Door::new(limits, answerers, responder, defer, clock, self.stop.clone());
        let open = door.clone();
        figures.lock().tcp = Some(door.counters());
        figures.lock().tcp_open = Some(Box::new(move || open.open()));
        for listener in listeners {
            listener.set_nonblocking(true)?;
            let door = door.clone();
            self.tasks.push(runtime.spawn(async move {
                if let Err(error) = door.serve(listener).await {
                    tracing::error!(%error, "a TCP listener for DNS is closed");
                }
            }));
        }
        Ok(())
    }

    fn datagram_settings(&self, config: &Config, is_restart: bool) -> datagram::Settings {
        let access = self.access.clone();
        let authorise = move |asked: &Asked<'_>| {
            let principal = match asked.key {
                Some(_) => Principal::Key,
                None => Principal::Anonymous,
            };
            let action = if asked.verb == Verb::Renew { Action::Renew } else { Action::Own };
            access.authorise(&principal, action).map_err(|denied| denied.to_string().into())
        };
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        // What an earlier run took is not remembered, so nothing from before the start is taken. A first run
        // has nothing to fear, and takes the whole window.
        let start = if is_restart { now } else { Duration::ZERO };
        datagram::Settings {
            keys: self.keys.clone(),
            lease: self.bounds.clone(),
            insecure_unsigned: config.udp.insecure_unsigned,
            authorise: Box::new(authorise),
            start_unix_ms: u64::try_from(start.as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// Where the doors are, for the log.
    pub(super) fn addresses(&self) -> &str {
        &self.addresses
    }

    pub(super) fn access(&self) -> Arc<Access> {
        self.access.clone()
    }

    pub(super) fn keys(&self) -> Arc<Keys> {
        self.keys.clone()
    }

    pub(super) fn forwarding(&self) -> Arc<Forwarding> {
        self.forwarding.clone()
    }

    pub(super) fn clients(&self) -> Arc<Clients> {
        self.clients.clone()
    }

    pub(super) fn bounds(&self) -> Arc<RwLock<Lease>> {
        self.bounds.clone()
    }

    /// Takes nothing new, answers what has been received, and waits for it.
    pub(super) fn close(self, runtime: &Runtime) {
        self.stop.stop();
        let _ = self.close_http.send(true);
        for thread in self.threads {
            let _ = thread.join();
        }
        runtime.block_on(async {
            for task in self.tasks {
                let _ = task.await;
            }
        });
    }
}

fn open_forwarding(
    recursion: &Arc<Shared<Recursion>>,
    view: &Arc<View>,
    registrar: &Registrar,
    runtime: &Runtime,
    responder: impl FnMut(usize) -> Responder,
) -> Arc<Forwarding> {
    let clock = registrar.clock();
    let parts = Parts {
        runtime: runtime.handle().clone(),
        view: view.clone(),
        recursion: recursion.clone(),
        clock: Arc::new(move || clock.now()),
    };
    let desks = available_parallelism().map_or(1, usize::from);
    Forwarding::new(parts, desks, responder)
}
