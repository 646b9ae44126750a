//! The serving loop of the HTTP door: HTTP/1.1 connections, with a bound on everything that a client decides.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::guard::{Guarded, Peer};
use super::problem::Problem;
use super::timed::{Handling, Patience, Timed};
use crate::net::seats::{Full, Seat, Seats};
use crate::net::tcp::BACKLOG;

/// Connections at most: each may hold a file descriptor and some 20 KiB. Further ones are closed at once.
pub const MAX_CONNECTIONS: usize = 4096;
/// Connections at most from one address: as many as a machine full of instances needs, each renewing its own
/// lease, and so few that one machine does not keep all others from renewing theirs. Loopback addresses may
/// have all: who runs here has better ways to do harm, and a proxy here has everybody's connections.
pub const MAX_CONNECTIONS_OF_CLIENT: usize = 512;
/// Once fewer are free, a connection is closed after its reply: nobody keeps one that another waits for.
const FEW_FREE: usize = MAX_CONNECTIONS / 4;
/// Headers of a request at most; browsers and clients send about 20.
const MAX_HEADERS: usize = 64;
/// Octets of a request's head at most: the longest path with an id of 255 octets has 900, a token 1,024.
const MAX_HEAD_OCTETS: usize = 16 * 1024;
/// Never reached, because [`Patience`] ends first: but without a limit of its own hyper would not read again
/// once a reply is sent, and the idle connection's clock would not be started.
const HYPER_HEAD_LIMIT: Duration = Duration::from_secs(24 * 3600);

/// How long things may take.
#[derive(Debug, Clone, Copy)]
struct Limits {
    patience: Patience,
    /// A request, from its head to the beginning of its reply: more than a slow disk takes for a commit.
    request: Duration,
    /// What is being handled when the server stops; it must have stopped within 5 s.
    drain: Duration,
    /// Until connections are accepted again after that failed, for want of descriptors mostly.
    accept_again: Duration,
}

const LIMITS: Limits = Limits {
    patience: Patience {
        head: Duration::from_secs(5),
        idle: Duration::from_secs(60),
        write: Duration::from_secs(10),
    },
    request: Duration::from_secs(20),
    drain: Duration::from_secs(3),
    accept_again: Duration::from_millis(100),
};

/// The door's connections: all listeners share the bounds. Clones are the same ones.
#[derive(Debug, Clone)]
pub struct Connections(Arc<Counted>);

#[derive(Debug)]
struct Counted {
    seats: Arc<Seats>,
    refused_full: AtomicU64,
    refused_client: AtomicU64,
}

impl Default for Connections {
    fn default() -> Self {
        let seats = Seats::new(MAX_CONNECTIONS);
        Self(Arc::new(Counted {
            seats,
            refused_full: AtomicU64::new(0),
            refused_client: AtomicU64::new(0),
        }))
    }
}

impl Connections {
    /// How many are open.
    pub fn open(&self) -> usize {
        self.0.seats.taken()
    }

    /// What is counted of them: name, help, value.
    pub fn counters(&self) -> [(&'static str, &'static str, u64); 2] {
        let full = self.0.refused_full.load(Ordering::Relaxed);
        let client = self.0.refused_client.load(Ordering::Relaxed);
        [
            ("http_refused_full", "HTTP connections refused: too many in all.", full),
            ("http_refused_client", "HTTP connections refused: too many of a client.", client),
        ]
    }

    /// A seat for a connection; `None`, counted, if there is none for this client.
    fn take(&self, client: IpAddr) -> Option<Seat> {
        let is_here = client.to_canonical().is_loopback();
        let most = if is_here { MAX_CONNECTIONS } else { MAX_CONNECTIONS_OF_CLIENT };
        let refused = match self.0.seats.take(client, most) {
            Ok(seat) => return Some(seat),
            Err(Full::Total) => &self.0.refused_full,
            Err(Full::Client) => &self.0.refused_client,
        };
        refused.fetch_add(1, Ordering::Relaxed);
        None
    }

    fn are_scarce(&self) -> bool {
        MAX_CONNECTIONS.saturating_sub(self.open()) < FEW_FREE
    }
}

/// Serves `app` on all listeners until `shutdown` turns true (or its sender is gone); then what is being
/// handled, or was sent already, is finished, for at most 3 s. Each request carries its [`Peer`].
///
/// Fails only at the start, when a listener cannot be used.
pub async fn serve(
    listeners: Vec<std::net::TcpListener>,
    app: Guarded,
    connections: Connections,
    shutdown: watch::Receiver<bool>,
) -> io::Result<()> {
    serve_within(LIMITS, listeners, app, connections, shutdown).await
}

async fn serve_within(
    limits: Limits,
    listeners: Vec<std::net::TcpListener>,
    app: Guarded,
    connections: Connections,
    shutdown: watch::Receiver<bool>,
) -> io::Result<()> {
    let door = Arc::new(Door { limits, app, connections });
    let mut loops = JoinSet::new();
    for listener in listeners {
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        loops.spawn(door.clone().accept(listener, shutdown.clone()));
    }
    while let Some(ended) = loops.join_next().await {
        if let Err(error) = ended {
            tracing::error!("an HTTP listener ended: {error}");
        }
    }
    Ok(())
}

struct Door {
    limits: Limits,
    app: Guarded,
    connections: Connections,
}

impl Door {
    async fn accept(self: Arc<Self>, listener: TcpListener, mut shutdown: watch::Receiver<bool>) {
        let mut running = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = self.next(&listener) => accepted,
                Some(ended) = running.join_next() => {
                    report(ended);
                    continue;
                }
                () = stopped(&mut shutdown) => break,
            };
            if let Some((stream, peer)) = accepted {
                self.seat(&mut running, stream, peer, &shutdown);
            }
        }
        self.seat_the_waiting(listener, &mut running, &shutdown);
        let drained = async {
            while let Some(ended) = running.join_next().await {
                report(ended);
            }
        };
        if timeout(self.limits.drain, drained).await.is_err() {
            tracing::warn!("{} HTTP connections were cut off at the end", running.len());
        }
    }

    fn seat(
        self: &Arc<Self>,
        running: &mut JoinSet<()>,
        stream: TcpStream,
        peer: SocketAddr,
        shutdown: &watch::Receiver<bool>,
    ) {
        let Some(seat) = self.connections.take(peer.ip()) else { return };
        let (door, shutdown) = (self.clone(), shutdown.clone());
        running.spawn(async move {
            door.connection(stream, peer, shutdown).await;
            drop(seat);
        });
    }

    /// Takes the connections that the kernel has accepted and we have not: they may have sent a request. Their
    /// number is bounded by the backlog.
    fn seat_the_waiting(
        self: &Arc<Self>,
        listener: TcpListener,
        running: &mut JoinSet<()>,
        shutdown: &watch::Receiver<bool>,
    ) {
        // Not through the runtime, which may not have heard of them yet.
        let Ok(listener) = listener.into_std() else { return };
        for _ in 0..BACKLOG {
            let Ok((stream, peer)) = listener.accept() else { break };
            if stream.set_nonblocking(true).is_ok()
                && let Ok(stream) = TcpStream::from_std(stream)
            {
                self.seat(running, stream, peer, shutdown);
            }
        }
    }

    /// The next connection; `None` if accepting failed, after a while.
    async fn next(&self, listener: &TcpListener) -> Option<(TcpStream, SocketAddr)> {
        match listener.accept().await {
            Ok(accepted) => Some(accepted),
            Err(error) => {
                tracing::warn!("cannot accept an HTTP connection: {error}");
                tokio::time::sleep(self.limits.accept_again).await;
                None
            }
        }
    }

    async fn connection(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        mut shutdown: watch::Receiver<bool>,
    ) {
        // Replies are small, and a client that waits for one sends nothing to acknowledge it with.
        let _ = stream.set_nodelay(true);
        let begins_late = has_stopped(&shutdown);
        if begins_late && !has_sent(&stream) {
            return;
        }
        let handling = Handling::default();
        let io = TokioIo::new(Timed::new(stream, self.limits.patience, handling.clone()));
        let stop = shutdown.clone();
        let service = service_fn(|request| async {
            let _handling = handling.begin();
            let mut response = self.respond(request, peer).await;
            if has_stopped(&stop) || self.connections.are_scarce() {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(response)
        });
        let mut http = http1::Builder::new();
        http.max_headers(MAX_HEADERS).max_buf_size(MAX_HEAD_OCTETS);
        http.timer(TokioTimer::new()).header_read_timeout(HYPER_HEAD_LIMIT);
        let mut connection = std::pin::pin!(http.serve_connection(io, service));
        let ended = tokio::select! {
            biased;
            ended = connection.as_mut() => ended,
            // What a late one has sent is answered, once, and says that it is the last.
            () = stopped(&mut shutdown), if !begins_late => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%peer, "an HTTP connection ended: {error}");
        }
    }

    async fn respond(&self, request: Request<Incoming>, peer: SocketAddr) -> Response {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Peer::plain(peer));
        match timeout(self.limits.request, self.app.respond(request)).await {
            Ok(response) => response,
            Err(_) => too_slow().into_response(),
        }
    }
}

fn too_slow() -> Problem {
    let detail = "this took too long, and may have happened or not: send it again";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail)
}

/// Waits until the server stops.
async fn stopped(shutdown: &mut watch::Receiver<bool>) {
    let _ = shutdown.wait_for(|stop| *stop).await;
}

/// Whether the server stops.
fn has_stopped(shutdown: &watch::Receiver<bool>) -> bool {
    *shutdown.borrow() || shutdown.has_changed().is_err()
}

/// Whether something that the client sent waits. Not through the runtime, which may not have heard of it yet.
fn has_sent(stream: &TcpStream) -> bool {
    SockRef::from(stream)
        .peek(&mut [std::mem::MaybeUninit::uninit()])
        .is_ok_and(|octets| octets > 0)
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!("an HTTP connection ended: {error}");
    }
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
