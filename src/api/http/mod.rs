//! The serving loop of the HTTP door: connections over TCP, with TLS or without, and over a unix socket, with a bound on
//! everything that a client decides.
//!
//! What listens is in [`listener`], a connection's life in [`connection`], its clocks in [`timed`].

mod body;
mod connection;
mod listener;
mod timed;

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use self::connection::Connection;
use self::listener::{Accepted, Open};
use self::timed::Patience;
use super::guard::Guarded;
use crate::history::MAX_WATCHERS;
use crate::net::seats::{Full, Seat, Seats};
use crate::net::tcp::BACKLOG;

pub use self::listener::{ALPN, Listener, UnixSocket};

/// Connections at most, those of watchers besides: each may hold a file descriptor and some 20 KiB. Further ones are closed
/// at once.
pub const MAX_CONNECTIONS: usize = 4096 + MAX_WATCHERS;
/// Connections at most from one address: as many as a machine full of instances needs, each renewing its own
/// lease, and so few that one machine does not keep all others from renewing theirs. Loopback addresses may
/// have all: who runs here has better ways to do harm, and a proxy here has everybody's connections.
pub const MAX_CONNECTIONS_OF_CLIENT: usize = 512;
/// Once fewer are free, a connection is closed after its reply: nobody keeps one that another waits for.
const FEW_FREE: usize = 1024;
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
    handshakes_failed: AtomicU64,
}

impl Default for Connections {
    fn default() -> Self {
        let seats = Seats::new(MAX_CONNECTIONS);
        Self(Arc::new(Counted {
            seats,
            refused_full: AtomicU64::new(0),
            refused_client: AtomicU64::new(0),
            handshakes_failed: AtomicU64::new(0),
        }))
    }
}

impl Connections {
    /// How many are open.
    pub fn open(&self) -> usize {
        self.0.seats.taken()
    }

    /// What is counted of them: name, help, value.
    pub fn counters(&self) -> [(&'static str, &'static str, u64); 3] {
        let full = self.0.refused_full.load(Ordering::Relaxed);
        let client = self.0.refused_client.load(Ordering::Relaxed);
        let handshakes = self.0.handshakes_failed.load(Ordering::Relaxed);
        [
            ("http_refused_full", "HTTP connections refused: too many in all.", full),
            ("http_refused_client", "HTTP connections refused: too many of a client.", client),
            ("http_handshakes_failed", "TLS handshakes that failed or took too long.", handshakes),
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
/// handled, or was sent already, is finished, for at most 3 s. Each request carries its [`Peer`](super::guard::Peer).
///
/// Fails only at the start, when a listener cannot be used.
pub async fn serve(
    listeners: Vec<Listener>,
    app: Guarded,
    connections: Connections,
    shutdown: watch::Receiver<bool>,
) -> io::Result<()> {
    serve_within(LIMITS, listeners, app, connections, shutdown).await
}

async fn serve_within(
    limits: Limits,
    listeners: Vec<Listener>,
    app: Guarded,
    connections: Connections,
    shutdown: watch::Receiver<bool>,
) -> io::Result<()> {
    let door = Arc::new(Door { limits, app, connections });
    let mut loops = JoinSet::new();
    for listener in listeners {
        loops.spawn(door.clone().accept(listener.open()?, shutdown.clone()));
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
    async fn accept(self: Arc<Self>, open: Open, mut shutdown: watch::Receiver<bool>) {
        let mut running = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = self.next(&open) => accepted,
                Some(ended) = running.join_next() => {
                    report(ended);
                    continue;
                }
                () = stopped(&mut shutdown) => break,
            };
            if let Some(accepted) = accepted {
                self.seat(&mut running, accepted, &shutdown);
            }
        }
        // The connections that the kernel has accepted and we have not: they may have sent a request.
        for accepted in open.waiting(BACKLOG) {
            self.seat(&mut running, accepted, &shutdown);
        }
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
        accepted: Accepted,
        shutdown: &watch::Receiver<bool>,
    ) {
        let Some(seat) = self.connections.take(accepted.address()) else { return };
        let connection = Connection { door: self.clone(), shutdown: shutdown.clone() };
        running.spawn(async move {
            connection.run(accepted).await;
            drop(seat);
        });
    }

    /// The next connection; `None` if accepting failed, after a while.
    async fn next(&self, open: &Open) -> Option<Accepted> {
        match open.accept().await {
            Ok(accepted) => Some(accepted),
            Err(error) => {
                tracing::warn!("cannot accept an HTTP connection: {error}");
                tokio::time::sleep(self.limits.accept_again).await;
                None
            }
        }
    }
}

/// Waits until the server stops.
async fn stopped(shutdown: &mut watch::Receiver<bool>) {
    let _ = shutdown.wait_for(|stop| *stop).await;
}

/// Whether the server stops.
fn has_stopped(shutdown: &watch::Receiver<bool>) -> bool {
    *shutdown.borrow() || shutdown.has_changed().is_err()
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!("an HTTP connection ended: {error}");
    }
}

#[cfg(test)]
mod tests;
