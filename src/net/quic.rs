//! The QUIC door for DNS (RFC 9250): accepts connections within caps, and ends them on a stop.
//!
//! A connection is a task of its own, in `quic/connection.rs`, and so is each of its queries. One [`Door`] is shared
//! by the sockets of all addresses, so that the caps hold for all of them together.

mod connection;

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use quinn::crypto::rustls::QuicServerConfig;
use quinn::{
    Endpoint, EndpointConfig, IdleTimeout, Incoming, TokioRuntime, TransportConfig, VarInt,
};
use rustls::ServerConfig;
use tokio::task::{JoinError, JoinSet};

use super::replier::Replier;
use super::seats::{Full, Seat, Seats};
use super::tcp::count;
use super::{Answer, Stop, accept};
use crate::view::LeaseTime;

/// What the door speaks (RFC 9250, section 4.1.1).
pub const ALPN: [&[u8]; 1] = [b"doq"];

/// Queries of a connection at a time. Each may hold a query and a reply of 64 KiB, mostly some 100 octets.
const MAX_STREAMS: u32 = 100;
/// What a client may send on a stream before it is read: a query of the longest, with its length.
const STREAM_WINDOW: u32 = 2 + u16::MAX as u32;
/// What it may send on all of them.
const CONNECTION_WINDOW: u32 = 256 << 10;
/// What is kept of a connection's replies until it has taken them.
const SEND_WINDOW: u64 = 256 << 10;
/// Handshakes that have begun and that the loop has not seen yet: it does nothing but take them.
const MAX_INCOMING: usize = 256;
/// What is kept of each of those, and of all: the first flight of a client is 1 to 3 datagrams.
const INCOMING_OCTETS: u64 = 8 << 10;
/// Once one part in so many of the seats is taken, only those get one who have shown that they are where they say:
/// who makes addresses up cannot take everybody's seats, and others pay a round trip only then.
const PROVEN_FROM: usize = 4;

/// Bounds on connections.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at most.
    pub connections: usize,
    /// Connections at most from one client address.
    pub per_client: usize,
    /// For the handshake.
    pub handshake: Duration,
    /// Until a connection on which no query is under way is closed; clients may ask for less.
    pub idle: Duration,
    /// From the beginning of a query's stream to its end.
    pub query: Duration,
    /// For the client to take a reply.
    pub write: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1000,
            per_client: 100,
            handshake: Duration::from_secs(5),
            idle: Duration::from_secs(10),
            query: Duration::from_secs(5),
            write: Duration::from_secs(10),
        }
    }
}

/// What the door counts.
#[derive(Debug, Default)]
pub struct Counters {
    /// Connections accepted, refused ones not included.
    pub accepted: AtomicU64,
    /// Connections refused because there were as many as there may be.
    pub refused_total: AtomicU64,
    /// Connections refused because their client had as many as one may have.
    pub refused_client: AtomicU64,
    /// Clients who were asked to show that they are where they say.
    pub retries: AtomicU64,
    /// Connections whose handshake failed or took too long.
    pub handshakes_failed: AtomicU64,
    /// Connections closed because no query came.
    pub timed_out_idle: AtomicU64,
    /// Queries cut off because they had begun and did not end.
    pub timed_out_query: AtomicU64,
    /// Replies cut off because the client did not take them.
    pub timed_out_write: AtomicU64,
    /// Connections closed because the client broke the protocol's rules.
    pub malformed: AtomicU64,
    /// Connections or queries lost to a defect of ours.
    pub panics: AtomicU64,
}

/// What all connections share.
pub struct Door<A, C> {
    limits: Limits,
    config: quinn::ServerConfig,
    replier: Arc<Replier<A, C>>,
    stop: Stop,
    counters: Arc<Counters>,
    seats: Arc<Seats>,
}

impl<A: Answer, C: Fn() -> LeaseTime + Send + Sync + 'static> Door<A, C> {
    /// A door that speaks TLS as `tls` says, which has to offer [`ALPN`].
    ///
    /// # Errors
    /// If QUIC cannot be spoken with `tls`: it has no TLS 1.3.
    pub fn new(
        limits: Limits,
        tls: Arc<ServerConfig>,
        replier: Arc<Replier<A, C>>,
        stop: Stop,
    ) -> io::Result<Arc<Self>> {
        let config = quic_config(limits, tls)?;
        let seats = Seats::new(limits.connections);
        Ok(Arc::new(Self { limits, config, replier, stop, counters: Arc::default(), seats }))
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
    /// connections are closed.
    ///
    /// # Errors
    /// If the runtime cannot take the socket.
    pub async fn serve(self: Arc<Self>, socket: UdpSocket) -> io::Result<()> {
        let config = Some(self.config.clone());
        let runtime = Arc::new(TokioRuntime);
        let endpoint = Endpoint::new(EndpointConfig::default(), config, socket, runtime)?;
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                () = self.stop.wait() => break,
                Some(ended) = connections.join_next() => self.ended(&ended),
                Some(incoming) = endpoint.accept() => self.seat(&mut connections, incoming),
            }
        }
        // Who comes now is told so.
        endpoint.set_server_config(None);
        // Clients hear that their connections are closed.
        accept::let_end(connections, |one| self.ended(&one), endpoint.wait_idle()).await;
        endpoint.close(connection::NO_ERROR, b"");
        Ok(())
    }

    fn seat(self: &Arc<Self>, connections: &mut JoinSet<()>, incoming: Incoming) {
        let must_prove = self.seats.taken() >= self.limits.connections / PROVEN_FROM;
        if must_prove && !incoming.remote_address_validated() && incoming.may_retry() {
            count(&self.counters.retries);
            // It fails only for those whom the line above leaves out.
            let _ = incoming.retry();
            return;
        }
        let peer = incoming.remote_address();
        match self.seats.take(peer.ip(), self.limits.per_client) {
            Ok(seat) => {
                count(&self.counters.accepted);
                connections.spawn(self.clone().connection(incoming, peer, seat));
            }
            Err(full) => {
                count(match full {
                    Full::Total => &self.counters.refused_total,
                    Full::Client => &self.counters.refused_client,
                });
                incoming.refuse();
            }
        }
    }

    async fn connection(self: Arc<Self>, incoming: Incoming, peer: SocketAddr, seat: Seat) {
        connection::serve(&self, incoming, peer).await;
        drop(seat);
    }

    fn ended(&self, ended: &Result<(), JoinError>) {
        if ended.as_ref().is_err_and(JoinError::is_panic) {
            count(&self.counters.panics);
            tracing::error!("a connection of DNS over QUIC was lost to a panic");
        }
    }
}

/// How QUIC is spoken. There is no 0-RTT: `tls` does not allow any, so that no query can be sent twice by
/// somebody else (RFC 9250, section 4.5).
fn quic_config(limits: Limits, tls: Arc<ServerConfig>) -> io::Result<quinn::ServerConfig> {
    let mut transport = TransportConfig::default();
    // An idle time of more milliseconds than there are is none.
    let idle = IdleTimeout::try_from(limits.idle.max(limits.handshake)).ok();
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(MAX_STREAMS))
        // Queries have streams in both directions (RFC 9250, section 4.2).
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW))
        .send_window(SEND_WINDOW)
        .datagram_receive_buffer_size(None)
        .max_idle_timeout(idle);
    let crypto = QuicServerConfig::try_from(tls).map_err(io::Error::other)?;
    let mut config = quinn::ServerConfig::with_crypto(Arc::new(crypto));
    config
        .transport_config(Arc::new(transport))
        // A seat, and what may be looked up, belong to the address that connected.
        .migration(false)
        .max_incoming(MAX_INCOMING)
        .incoming_buffer_size(INCOMING_OCTETS)
        .incoming_buffer_size_total(MAX_INCOMING as u64 * INCOMING_OCTETS);
    Ok(config)
}
