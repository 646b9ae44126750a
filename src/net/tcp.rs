//! The door for DNS over TCP (RFC 7766) and over TLS (RFC 7858): accepts connections, within caps, and ends them on a stop.
//!
//! A connection is a task of its own, in `connection.rs`. One [`Door`] is shared by the listeners of all
//! addresses, with and without TLS, so that the caps hold for all of them together.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::defer::Defer;
use super::pool::Pool;
use super::seats::{Full, Seat, Seats};
use super::{Answer, Stop, accept, connection};
use crate::answer::clients::Idle;
use crate::view::LeaseTime;

/// Connections that the kernel keeps until they are accepted.
pub const BACKLOG: i32 = 1024;

/// What the kernel may hold for a connection in each direction (it doubles the number): a client that does not
/// read, or sends more than it lets us answer, takes no more than that.
const KERNEL_BUFFER_OCTETS: usize = 64 << 10;

/// How long a handshake of TLS has after the stop: with its last message the client may have sent a query.
const HANDSHAKE_AFTER_STOP: Duration = Duration::from_millis(250);

/// When more than so many quarters of the seats are taken, clients that ask are told to leave when they have nothing more to
/// ask (RFC 7828, section 3.3.2 lets a server say so that runs out of connections).
const QUARTERS_FULL: usize = 3;

/// The protocol that DNS over TLS has in a handshake (RFC 7858, section 11.1; "dot" in IANA's list).
pub const ALPN: &[u8] = b"dot";

/// Bounds on connections.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at most.
    pub connections: usize,
    /// Connections at most from one client address.
    pub per_client: usize,
    /// From the last whole query to the beginning of the next.
    pub idle: Duration,
    /// From the beginning of a query to its end.
    pub query: Duration,
    /// From a connection to the end of its handshake, if it has TLS.
    pub handshake: Duration,
    /// For the client to take a run of replies, at most 128 KiB.
    pub write: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1000,
            per_client: 100,
            idle: Duration::from_secs(10),
            query: Duration::from_secs(5),
            handshake: Duration::from_secs(5),
            write: Duration::from_secs(10),
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
    /// Connections closed because no query came.
    pub timed_out_idle: AtomicU64,
    /// Connections closed because a query had begun and did not end.
    pub timed_out_query: AtomicU64,
    /// Connections closed because the client did not take its replies.
    pub timed_out_write: AtomicU64,
    /// Connections closed because of a message too short to be one.
    pub malformed: AtomicU64,
    /// Connections closed because their handshake did not end in time.
    pub timed_out_handshake: AtomicU64,
    /// Connections closed because their handshake failed: no TLS, none that we speak, or the client took us for another.
    pub failed_handshake: AtomicU64,
    /// Accept calls that failed.
    pub accept_errors: AtomicU64,
    /// Connections lost to a defect of ours.
    pub panics: AtomicU64,
}

/// What all connections share.
pub struct Door<A, C> {
    pub(super) limits: Limits,
    pub(super) answerers: Pool<A>,
    pub(super) defer: Arc<dyn Defer>,
    pub(super) clock: Arc<C>,
    pub(super) stop: Stop,
    pub(super) counters: Arc<Counters>,
    seats: Arc<Seats>,
    idle: Arc<Idle>,
}

impl<A: Answer, C: Fn() -> LeaseTime + Send + Sync + 'static> Door<A, C> {
    /// A door with `answerers` answerers (at least one; best as many as the runtime has threads). What cannot be
    /// answered at once goes to `defer`; what clients are told about idle connections, to `idle`.
    pub fn new(
        limits: Limits,
        answerers: usize,
        answerer: impl FnMut(usize) -> A,
        defer: Arc<dyn Defer>,
        clock: Arc<C>,
        stop: Stop,
        idle: Arc<Idle>,
    ) -> Arc<Self> {
        idle.set(limits.idle);
        Arc::new(Self {
            limits,
            answerers: Pool::new(answerers, answerer),
            defer,
            clock,
            stop,
            counters: Arc::default(),
            seats: Seats::new(limits.connections),
            idle,
        })
    }

    /// What the door counts.
    pub fn counters(&self) -> Arc<Counters> {
        self.counters.clone()
    }

    /// Connections that are open.
    pub fn open(&self) -> usize {
        self.seats.taken()
    }

    /// Accepts connections, with TLS if there is an acceptor for it, until the stop; then answers what had been received,
    /// and returns when all connections are closed.
    ///
    /// # Errors
    /// If the runtime cannot take the listener.
    pub async fn serve(
        self: Arc<Self>,
        listener: std::net::TcpListener,
        tls: Option<TlsAcceptor>,
    ) -> io::Result<()> {
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                () = self.stop.wait() => break,
                Some(ended) = connections.join_next() => self.ended(&ended),
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => self.seat(&mut connections, stream, peer, tls.as_ref()),
                    Err(error) => self.accept_failed(&error).await,
                },
            }
        }
        self.seat_the_waiting(listener, &mut connections, tls.as_ref());
        accept::let_end(connections, |one| self.ended(&one), async {}).await;
        Ok(())
    }

    fn seat(
        self: &Arc<Self>,
        connections: &mut JoinSet<()>,
        stream: TcpStream,
        peer: SocketAddr,
        tls: Option<&TlsAcceptor>,
    ) {
        match self.seats.take(peer.ip(), self.limits.per_client) {
            Ok(seat) => {
                count(&self.counters.accepted);
                self.tell_idle();
                connections.spawn(self.clone().connection(stream, peer, tls.cloned(), seat));
            }
            Err(Full::Total) => count(&self.counters.refused_total),
            Err(Full::Client) => count(&self.counters.refused_client),
        }
    }

    async fn connection(
        self: Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        tls: Option<TlsAcceptor>,
        seat: Seat,
    ) {
        // Replies leave when they are written; without it, later and no worse.
        let _ = stream.set_nodelay(true);
        match tls {
            None => connection::serve(&self, stream, peer).await,
            Some(tls) => {
                if let Some(stream) = self.shake_hands(&tls, stream).await {
                    connection::serve(&self, stream, peer).await;
                }
            }
        }
        drop(seat);
        self.tell_idle();
    }

    fn tell_idle(&self) {
        let is_nearly_full = 4 * self.seats.taken() > QUARTERS_FULL * self.limits.connections;
        self.idle.set(if is_nearly_full { Duration::ZERO } else { self.limits.idle });
    }

    /// A handshake within its time. What a client says before its end is never taken for a query.
    async fn shake_hands(
        &self,
        tls: &TlsAcceptor,
        stream: TcpStream,
    ) -> Option<Box<TlsStream<TcpStream>>> {
        let stopped = async {
            self.stop.wait().await;
            sleep(HANDSHAKE_AFTER_STOP).await;
        };
        let handshake = timeout(self.limits.handshake, tls.accept(stream));
        let done = tokio::select! {
            done = handshake => done,
            () = stopped => return None,
        };
        match done {
            Ok(Ok(stream)) => return Some(Box::new(stream)),
            Ok(Err(_)) => count(&self.counters.failed_handshake),
            Err(_) => count(&self.counters.timed_out_handshake),
        }
        None
    }

    /// Takes the connections that the kernel has accepted and we have not: they may have sent queries. Their
    /// number is bounded by the backlog.
    fn seat_the_waiting(
        self: &Arc<Self>,
        listener: TcpListener,
        connections: &mut JoinSet<()>,
        tls: Option<&TlsAcceptor>,
    ) {
        // Not through the runtime, which may not have heard of them yet.
        let Ok(listener) = listener.into_std() else { return };
        for _ in 0..BACKLOG {
            let Ok((stream, peer)) = listener.accept() else { break };
            if stream.set_nonblocking(true).is_ok()
                && let Ok(stream) = TcpStream::from_std(stream)
            {
                self.seat(connections, stream, peer, tls);
            }
        }
    }

    async fn accept_failed(&self, error: &io::Error) {
        count(&self.counters.accept_errors);
        accept::back_off(error).await;
    }

    fn ended(&self, ended: &Result<(), JoinError>) {
        if ended.as_ref().is_err_and(JoinError::is_panic) {
            count(&self.counters.panics);
            tracing::error!("a TCP connection was lost to a panic");
        }
    }
}

/// A listener on `addr`. Port 0 is a port of the kernel's choice.
///
/// # Errors
/// Those of the system calls; `AddrInUse` if anybody listens there: SO_REUSEADDR only takes the port
/// over from connections that have ended.
pub fn bind(addr: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    if addr.is_ipv6() {
        // IPv4 clients have a listener of their own, with addresses of their own kind.
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    set_up(&socket);
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Gives a listener the options that a [`Door`] relies on; its connections inherit them.
pub(super) fn set_up(listener: &Socket) {
    // With other sizes it works as well.
    let _ = listener.set_recv_buffer_size(KERNEL_BUFFER_OCTETS);
    let _ = listener.set_send_buffer_size(KERNEL_BUFFER_OCTETS);
}

pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
