//! The doors: their threads and tasks, and how they close.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::{Arc, Weak};
use std::thread::{JoinHandle, available_parallelism};
use std::time::{Duration, SystemTime};

use parking_lot::{Mutex, RwLock};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinHandle as Task;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::clients;
use super::doors_figures::Figures;
use super::encrypted::{self, Encrypted};
use super::explaining;
use super::forward::{self, Forwarding};
use super::https_quic;
use super::sockets::Sockets;
use super::taps;
use crate::access::Access;
use crate::answer::clients::Clients;
use crate::answer::tap::Taps;
use crate::answer::{Recursion, Responder};
use crate::api::guard::Guarded;
use crate::api::{self, Api, datagram, http};
use crate::audit::Audit;
use crate::config::{Config, Lease, Live};
use crate::dns::forward::forwarder;
use crate::history::History;
use crate::net::defer::Defer;
use crate::net::replier::Replier;
use crate::net::tls::{Certificates, DoorTls, server_config};
use crate::net::{Stop, tcp, udp};
use crate::registrar::Registrar;
use crate::shared::Shared;
use crate::telemetry::tapping::{self, Tapping};
use crate::view::{LeaseTime, View};

/// How long a stop waits for the answers that queries over UDP wait for: what no longer holds is given after 1.8 s.
const WAITING_WAIT: Duration = Duration::from_secs(2);
/// How often it looks whether they are there.
const WAITING_LOOK: Duration = Duration::from_millis(5);

/// The open doors.
pub(super) struct Doors {
    addresses: String,
    /// The addresses of the DNS doors, and how many UDP sockets each has.
    dns: Vec<(SocketAddr, usize)>,
    stop: Stop,
    close_http: watch::Sender<bool>,
    threads: Vec<JoinHandle<()>>,
    /// Queries over UDP that wait for others' answers, by worker.
    waiting: Vec<Weak<UdpSocket>>,
    tasks: Vec<Task<()>>,
    access: Arc<Access>,
    audit: Audit,
    bounds: Arc<RwLock<Lease>>,
    history: History,
    tap: tapping::Handle,
    tapping: Option<Tapping>,
    forwarding: Arc<Forwarding>,
    clients: Arc<Clients>,
    /// That of the doors with TLS, if there are any.
    certificates: Option<Certificates>,
    /// That of HTTP, if it has any.
    http_tls: Option<DoorTls>,
}

/// What doors are made of.
pub(super) struct Parts<'a> {
    pub(super) live: &'a Arc<Live>,
    pub(super) view: &'a Arc<View>,
    pub(super) registrar: &'a Registrar,
    pub(super) access: Arc<Access>,
    pub(super) audit: Audit,
    pub(super) runtime: &'a Runtime,
}

impl Doors {
    /// Opens all doors: DNS answers from now on, also while the registry is being loaded.
    pub(super) fn open(
        sockets: Sockets,
        parts: Parts<'_>,
        is_restart: bool,
    ) -> Result<Self, String> {
        let Parts { live, view, registrar, access, audit, runtime } = parts;
        let config = live.get();
        let (close_http, http_closing) = watch::channel(false);
        let figures =
            Arc::new(Mutex::new(Figures::new(live.clone(), registrar.clone(), audit.clone())));
        let recursion = Arc::new(Shared::new(Recursion::default()));
        let treated = clients::new(&config)?;
        let taps = Arc::<Taps>::default();
        let mut responder = |_| {
            let responder = Responder::new(view.clone(), &recursion).with_clients(treated.clone());
            let responder = responder.with_tap(&taps);
            figures.lock().answers.push(responder.counters());
            responder
        };
        let forwarding = open_forwarding(&recursion, view, registrar, runtime, &mut responder);
        let (tap, tapping) = taps::start(&config, &taps, registrar.clock())?;
        figures.lock().tap = tap.clone();
        figures.lock().forwarder = Some(forwarding.forwarder());
        let mut doors = Self {
            addresses: sockets.addresses,
            dns: sockets.dns,
            stop: Stop::default(),
            close_http,
            threads: Vec::new(),
            waiting: Vec::new(),
            tasks: Vec::new(),
            access,
            audit,
            bounds: Arc::new(RwLock::new(config.lease)),
            history: registrar.history().clone(),
            tap,
            tapping,
            forwarding,
            clients: treated.clone(),
            certificates: encrypted::load_certificates(&config.dns)?,
            http_tls: encrypted::load_http_tls(&config.http)?,
        };
        runtime.spawn(forward::watch(&doors.forwarding, live));
        let keeping_time =
            clients::keep_time(doors.clients.clone(), live.clone(), doors.stop.clone());
        doors.tasks.push(runtime.spawn(keeping_time));
        let start = |what: &str, error: &io::Error| format!("the {what} door cannot open: {error}");
        let mut encrypted = sockets.encrypted;
        let mut listeners: Vec<_> = sockets.dns_tcp.into_iter().map(|it| (it, None)).collect();
        if let Some(certificates) = &doors.certificates {
            let tls = TlsAcceptor::from(server_config(certificates, &[tcp::ALPN])?);
            let tls_listeners = std::mem::take(&mut encrypted.tls);
            listeners.extend(tls_listeners.into_iter().map(|it| (it, Some(tls.clone()))));
        }
        doors
            .open_dns(
                sockets.dns_udp,
                listeners,
                &config,
                registrar,
                runtime,
                &figures,
                &mut responder,
            )
            .map_err(|error| start("DNS", &error))?;
        doors
            .open_https_and_quic(encrypted, &config, registrar, runtime, &figures, responder)
            .map_err(|error| start("HTTPS or QUIC", &error))?;
        let door = datagram::Door::new(doors.datagram_settings(is_restart), registrar.clone());
        figures.lock().datagram = Some(door.clone());
        let threads = datagram::serve::serve(sockets.datagram, &door, &doors.stop);
        doors.threads.extend(threads.map_err(|error| start("datagram", &error))?);
        let connections = http::Connections::default();
        figures.lock().http = Some(connections.clone());
        let explain = explaining::explain(
            Responder::new(view.clone(), &recursion),
            registrar.clock(),
            doors.forwarding(),
        );
        let scrape = Arc::new(move || figures.lock().sources());
        let api = Api::new(
            registrar.clone(),
            doors.access.clone(),
            doors.audit.clone(),
            live.clone(),
            recursion,
            scrape,
            explain,
        );
        let listeners = encrypted::http_listeners(
            sockets.http,
            sockets.http_tls,
            sockets.http_unix,
            doors.http_tls.as_ref(),
        );
        let api = Arc::new(api);
        doors.serve_http(runtime, listeners, api::router(api.clone()), &connections, &http_closing);
        let eureka = sockets.eureka.into_iter().map(http::Listener::Plain).collect();
        doors.serve_http(runtime, eureka, api::eureka_router(api), &connections, &http_closing);
        Ok(doors)
    }

    fn serve_http(
        &mut self,
        runtime: &Runtime,
        listeners: Vec<http::Listener>,
        routes: Guarded,
        connections: &http::Connections,
        closing: &watch::Receiver<bool>,
    ) {
        let serving = http::serve(listeners, routes, connections.clone(), closing.clone());
        self.tasks.push(runtime.spawn(async move {
            if let Err(error) = serving.await {
                tracing::error!(%error, "the HTTP door is closed");
            }
        }));
    }

    #[allow(clippy::too_many_arguments)]
    fn open_dns(
        &mut self,
        udp_sockets: Vec<UdpSocket>,
        listeners: Vec<(TcpListener, Option<TlsAcceptor>)>,
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
            self.waiting.push(worker.waiting);
        }
        let limits = tcp::Limits {
            connections: config.dns.tcp_max_connections,
            per_client: config.dns.tcp_max_per_client,
            idle: Duration::from_secs(config.dns.tcp_idle_secs),
            ..tcp::Limits::default()
        };
        let answerers = available_parallelism().map_or(1, usize::from);
        let (stop, idle) = (self.stop.clone(), self.clients.idle());
        let door = tcp::Door::new(limits, answerers, responder, defer, clock, stop, idle);
        let open = door.clone();
        figures.lock().tcp = Some(door.counters());
        figures.lock().tcp_open = Some(Box::new(move || open.open()));
        for (listener, tls) in listeners {
            listener.set_nonblocking(true)?;
            let door = door.clone();
            self.tasks.push(runtime.spawn(async move {
                if let Err(error) = door.serve(listener, tls).await {
                    tracing::error!(%error, "a TCP listener for DNS is closed");
                }
            }));
        }
        Ok(())
    }

    fn open_https_and_quic(
        &mut self,
        Encrypted { https, quic, .. }: Encrypted,
        config: &Config,
        registrar: &Registrar,
        runtime: &Runtime,
        figures: &Mutex<Figures>,
        responder: impl FnMut(usize) -> Responder,
    ) -> io::Result<()> {
        let Some(certificates) = &self.certificates else { return Ok(()) };
        let clock = registrar.clock();
        let clock = Arc::new(move || -> LeaseTime { clock.now() });
        let answerers = available_parallelism().map_or(1, usize::from);
        let defer = Arc::new(self.forwarding.forwarder());
        let tasks = https_quic::open(https_quic::Parts {
            https,
            quic,
            certificates,
            config: &config.dns,
            replier: Replier::new(answerers, responder, defer, clock),
            stop: &self.stop,
            runtime,
            figures,
        });
        self.tasks.extend(tasks?);
        Ok(())
    }

    fn datagram_settings(&self, is_restart: bool) -> datagram::Settings {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        // What an earlier run took is not remembered, so nothing from before the start is taken. A first run
        // has nothing to fear, and takes the whole window.
        let start = if is_restart { now } else { Duration::ZERO };
        datagram::Settings {
            access: self.access.clone(),
            audit: self.audit.clone(),
            lease: self.bounds.clone(),
            start_unix_ms: u64::try_from(start.as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// Where the doors are, for the log.
    pub(super) fn addresses(&self) -> &str {
        &self.addresses
    }

    /// The addresses of the DNS doors, and how many UDP sockets each has.
    pub(super) fn dns(&self) -> &[(SocketAddr, usize)] {
        &self.dns
    }

    pub(super) fn access(&self) -> Arc<Access> {
        self.access.clone()
    }

    pub(super) fn audit(&self) -> Audit {
        self.audit.clone()
    }

    pub(super) fn forwarding(&self) -> Arc<Forwarding> {
        self.forwarding.clone()
    }

    pub(super) fn clients(&self) -> Arc<Clients> {
        self.clients.clone()
    }

    pub(super) fn certificates(&self) -> Option<Certificates> {
        self.certificates.clone()
    }

    pub(super) fn http_tls(&self) -> Option<DoorTls> {
        self.http_tls.clone()
    }

    pub(super) fn tap(&self) -> tapping::Handle {
        self.tap.clone()
    }

    pub(super) fn bounds(&self) -> Arc<RwLock<Lease>> {
        self.bounds.clone()
    }

    /// Takes nothing new, answers what has been received, and waits for it.
    pub(super) fn close(self, runtime: &Runtime) {
        self.stop.stop();
        let _ = self.close_http.send(true);
        // Their replies would not end by themselves.
        self.history.end();
        for thread in self.threads {
            let _ = thread.join();
        }
        let waiting = self.waiting;
        runtime.block_on(async {
            let tasks = async {
                for task in self.tasks {
                    let _ = task.await;
                }
            };
            let _ = tokio::join!(tasks, timeout(WAITING_WAIT, none_wait(&waiting)));
        });
        if let Some(tapping) = self.tapping {
            tapping.end();
        }
    }
}

/// Returns when no query over UDP waits for others' answers any more: each holds its worker's socket.
async fn none_wait(waiting: &[Weak<UdpSocket>]) {
    while waiting.iter().any(|worker| worker.strong_count() > 0) {
        sleep(WAITING_LOOK).await;
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
    let parts = forwarder::Parts {
        runtime: runtime.handle().clone(),
        view: view.clone(),
        recursion: recursion.clone(),
        clock: Arc::new(move || clock.now()),
    };
    let desks = available_parallelism().map_or(1, usize::from);
    Forwarding::new(parts, desks, responder)
}
