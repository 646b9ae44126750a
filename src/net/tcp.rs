//! The TCP door for DNS (RFC 7766): accepts connections, within caps, and ends them on a stop.
//!
//! A connection is a task of its own, in `connection.rs`. One [`Door`] is shared by the listeners of all
//! addresses, so that the caps hold for all of them together.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::defer::Defer;
use super::pool::Pool;
use super::seats::{Full, Seat, Seats};
use super::{Answer, Stop, connection};
use crate::view::LeaseTime;

/// Connections that the kernel keeps until they are accepted.
pub const BACKLOG: i32 = 1024;

/// What the kernel may hold for a connection in each direction (it doubles the number): a client that does not
/// read, or sends more than it lets us answer, takes no more than that.
const KERNEL_BUFFER_OCTETS: usize = 64 << 10;

/// After an accept that failed for want of descriptors or memory: they do not come back at once.
const ACCEPT_BACK_OFF: Duration = Duration::from_millis(50);

/// How long connections have, after the stop, to take the replies to what was received. The server has to
/// be gone within 5 s.
const STOP_WAIT: Duration = Duration::from_secs(2);

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
}

impl<A: Answer, C: Fn() -> LeaseTime + Send + Sync + 'static> Door<A, C> {
    /// A door with `answerers` answerers (at least one; best as many as the runtime has threads). What cannot be
    /// answered at once goes to `defer`.
    pub fn new(
        limits: Limits,
        answerers: usize,
        answerer: impl FnMut(usize) -> A,
        defer: Arc<dyn Defer>,
        clock: Arc<C>,
        stop: Stop,
    ) -> Arc<Self> {
        Arc::new(Self {
            limits,
            answerers: Pool::new(answerers, answerer),
            defer,
            clock,
            stop,
            counters: Arc::default(),
            seats: Seats::new(limits.connections),
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

    /// Accepts connections until the stop; then answers what had been received, and returns when all
    /// connections are closed.
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
                Some(ended) = connections.join_next() => self.ended(ended),
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => self.seat(&mut connections, stream, peer),
                    Err(error) => self.accept_failed(&error).await,
                },
            }
        }
        self.seat_the_waiting(listener, &mut connections);
        let all_ended = async {
            while let Some(ended) = connections.join_next().await {
                self.ended(ended);
            }
        };
        if timeout(STOP_WAIT, all_ended).await.is_err() {
            connections.shutdown().await;
        }
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

    /// Takes the connections that the kernel has accepted and we have not: they may have sent queries. Their
    /// number is bounded by the backlog.
    fn seat_the_waiting(self: &Arc<Self>, listener: TcpListener, connections: &mut JoinSet<()>) {
        // Not through the runtime, which may not have heard of them yet.
        let Ok(listener) = listener.into_std() else { return };
        for _ in 0..BACKLOG {
            let Ok((stream, peer)) = listener.accept() else { break };
            if stream.set_nonblocking(true).is_ok()
                && let Ok(stream) = TcpStream::from_std(stream)
            {
                self.seat(connections, stream, peer);
            }
        }
    }

    /// No error ends the loop. One of the connection (it is gone, a firewall refused it) concerns only that.
    async fn accept_failed(&self, error: &io::Error) {
        count(&self.counters.accept_errors);
        let of_connection = matches!(
            error.raw_os_error(),
            Some(libc::ECONNABORTED | libc::ECONNRESET | libc::EINTR | libc::EPERM | libc::EPROTO)
        );
        if !of_connection {
            // The stop is heard after it: it is short.
            sleep(ACCEPT_BACK_OFF).await;
        }
    }

    fn ended(&self, ended: Result<(), tokio::task::JoinError>) {
        if ended.is_err_and(|error| error.is_panic()) {
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
    // Connections inherit them. With other sizes it works as well.
    let _ = socket.set_recv_buffer_size(KERNEL_BUFFER_OCTETS);
    let _ = socket.set_send_buffer_size(KERNEL_BUFFER_OCTETS);
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
