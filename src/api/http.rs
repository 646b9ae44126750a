//! The serving loop of the HTTP door: HTTP/1.1 connections, with a bound on everything that a client decides.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tower::ServiceExt;

use super::guard::Peer;
use super::problem::Problem;
use super::timed::{Handling, Patience, Timed};

/// Connections at most: each may hold a file descriptor and some 20 KiB. Further ones wait to be accepted.
pub const MAX_CONNECTIONS: usize = 4096;
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

/// The door's connections: all listeners share the bound. Clones are the same one.
#[derive(Debug, Clone)]
pub struct Connections(Arc<Semaphore>);

impl Default for Connections {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MAX_CONNECTIONS)))
    }
}

impl Connections {
    /// How many are open.
    pub fn open(&self) -> usize {
        MAX_CONNECTIONS.saturating_sub(self.0.available_permits())
    }

    fn are_scarce(&self) -> bool {
        self.0.available_permits() < FEW_FREE
    }
}

/// Serves `app` on all listeners until `shutdown` turns true (or its sender is gone); then what is being
/// handled is finished, for at most 3 s. Each request carries its [`Peer`].
///
/// Fails only at the start, when a listener cannot be used.
pub async fn serve(
    listeners: Vec<std::net::TcpListener>,
    app: Router,
    connections: Connections,
    shutdown: watch::Receiver<bool>,
) -> io::Result<()> {
    serve_within(LIMITS, listeners, app, connections, shutdown).await
}

async fn serve_within(
    limits: Limits,
    listeners: Vec<std::net::TcpListener>,
    app: Router,
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
    app: Router,
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
            if let Some((stream, peer, permit)) = accepted {
                let door = self.clone();
                let shutdown = shutdown.clone();
                running.spawn(async move {
                    door.connection(stream, peer, shutdown).await;
                    drop(permit);
                });
            }
        }
        drop(listener);
        let drained = async {
            while let Some(ended) = running.join_next().await {
                report(ended);
            }
        };
        if timeout(self.limits.drain, drained).await.is_err() {
            tracing::warn!("{} HTTP connections were cut off at the end", running.len());
        }
    }

    /// The next connection, once there is room for it; `None` if accepting failed, after a while.
    async fn next(
        &self,
        listener: &TcpListener,
    ) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
        let permit = self.connections.0.clone().acquire_owned().await.ok()?;
        match listener.accept().await {
            Ok((stream, peer)) => Some((stream, peer, permit)),
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
        let handling = Handling::default();
        let io = TokioIo::new(Timed::new(stream, self.limits.patience, handling.clone()));
        let service = service_fn(|request| async {
            let _handling = handling.begin();
            Ok::<_, Infallible>(self.respond(request, peer).await)
        });
        let mut http = http1::Builder::new();
        http.max_headers(MAX_HEADERS).max_buf_size(MAX_HEAD_OCTETS);
        http.timer(TokioTimer::new()).header_read_timeout(HYPER_HEAD_LIMIT);
        let mut connection = std::pin::pin!(http.serve_connection(io, service));
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = stopped(&mut shutdown) => {
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
        request.extensions_mut().insert(Peer(peer));
        let handled = timeout(self.limits.request, self.app.clone().oneshot(request)).await;
        let mut response = match handled {
            Ok(Ok(response)) => response,
            Err(_) => too_slow().into_response(),
        };
        if self.connections.are_scarce() {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
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

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!("an HTTP connection ended: {error}");
    }
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
