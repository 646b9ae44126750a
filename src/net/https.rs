//! The HTTPS door for DNS (RFC 8484): accepts connections within caps, and ends them on a stop.
//!
//! A connection is a task of its own, in `https/connection.rs`; what a request asks for and gets is in
//! `https/request.rs`. One [`Door`] is shared by the listeners of all addresses, so that the caps hold for
//! all of them together.

mod connection;
mod request;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinError, JoinSet};

use super::http2::{HTTP_1, HTTP_2};
use super::replier::Replier;
use super::seats::{Full, Seat, Seats};
use super::tcp::count;
use super::{Answer, Stop, accept};
use crate::view::LeaseTime;

/// What the door speaks, best first (RFC 8484, section 5.2: HTTP/2 is the least that is recommended).
pub const ALPN: [&[u8]; 2] = [HTTP_2, HTTP_1];

/// Bounds on connections.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at most.
    pub connections: usize,
    /// Connections at most from one client address.
    pub per_client: usize,
    /// For the handshake of TLS.
    pub handshake: Duration,
    /// From the last reply to the end of the next request's head. Connections are looked at now and then, so that
    /// it may become twice as long.
    pub idle: Duration,
    /// For the body of a request.
    pub body: Duration,
    /// From a request's head until its reply is taken, over HTTP/2: beside it, others go on.
    pub request: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1000,
            per_client: 100,
            handshake: Duration::from_secs(5),
            idle: Duration::from_secs(10),
            body: Duration::from_secs(5),
            // The body, what others are asked for, and 5 s to take the reply.
            request: Duration::from_secs(30),
        }
    }
}

/// What the door counts.
#[derive(Debug, Default)]
pub struct Counters {
    /// Connections accepted, refused ones not included.
    pub accepted: AtomicU64,
    /// Connections closed at once because there were as many as there may be.
    pub refused_total: AtomicU64,
    /// Connections closed at once because their client had as many as one may have.
    pub refused_client: AtomicU64,
    /// Connections whose handshake failed or took too long.
    pub handshakes_failed: AtomicU64,
    /// Connections closed because no request came.
    pub timed_out_idle: AtomicU64,
    /// Requests cut off because they, or their replies, took too long.
    pub timed_out_request: AtomicU64,
    /// Requests that asked for nothing that there is.
    pub bad_requests: AtomicU64,
    /// Accept calls that failed.
    pub accept_errors: AtomicU64,
    /// Connections, or requests of HTTP/2, lost to a defect of ours.
    pub panics: AtomicU64,
}

/// What all connections share.
pub struct Door<A, C> {
    limits: Limits,
    tls: Arc<ServerConfig>,
    replier: Arc<Replier<A, C>>,
    stop: Stop,
    counters: Arc<Counters>,
    seats: Arc<Seats>,
}

impl<A: Answer, C: Fn() -> LeaseTime + Send + Sync + 'static> Door<A, C> {
    /// A door that speaks TLS as `tls` says, which has to offer [`ALPN`].
    pub fn new(
        limits: Limits,
        tls: Arc<ServerConfig>,
        replier: Arc<Replier<A, C>>,
        stop: Stop,
    ) -> Arc<Self> {
        let seats = Seats::new(limits.connections);
        Arc::new(Self { limits, tls, replier, stop, counters: Arc::default(), seats })
    }

    /// What the door counts.
    pub fn counters(&self) -> Arc<Counters> {
        self.counters.clone()
    }

    /// Connections that are open.
    pub fn open(&self) -> usize {
        self.seats.taken()
    }

    /// Accepts connections until the stop; then answers what had been received, and returns when all
    /// connections are closed. A connection that is not accepted by then has asked nothing: TLS comes first.
    ///
    /// # Errors
    /// If the runtime cannot take the listener.
    pub async fn serve(self: Arc<Self>, listener: std::net::TcpListener) -> io::Result<()> {
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                () = self.stop.wait() => break,
                Some(ended) = connections.join_next() => self.ended(&ended),
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => self.seat(&mut connections, stream, peer),
                    Err(error) => self.accept_failed(&error).await,
                },
            }
        }
        drop(listener);
        accept::let_end(connections, |one| self.ended(&one), async {}).await;
        Ok(())
    }

    fn seat(self: &Arc<Self>, connections: &mut JoinSet<()>, stream: TcpStream, peer: SocketAddr) {
        match self.seats.take(peer.ip(), self.limits.per_client) {
            Ok(seat) => {
                count(&self.counters.accepted);
                connections.spawn(self.clone().connection(stream, peer, seat));
            }
            Err(Full::Total) => count(&self.counters.refused_total),
            Err(Full::Client) => count(&self.counters.refused_client),
        }
    }

    async fn connection(self: Arc<Self>, stream: TcpStream, peer: SocketAddr, seat: Seat) {
        connection::serve(&self, stream, peer).await;
        drop(seat);
    }

    async fn accept_failed(&self, error: &io::Error) {
        count(&self.counters.accept_errors);
        accept::back_off(error).await;
    }

    fn ended(&self, ended: &Result<(), JoinError>) {
        if ended.as_ref().is_err_and(JoinError::is_panic) {
            count(&self.counters.panics);
            tracing::error!("a connection of DNS over HTTPS was lost to a panic");
        }
    }
}
