//! The UDP door for DNS: one thread and one socket a worker, all on the same address.
//!
//! The kernel spreads clients over the sockets by the hash of both ends. A worker takes what is there, reads
//! the clock once, answers all of it, sends all of it; it shares nothing with the others that it writes to.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};

use super::batch::{self, DATAGRAMS, Datagram, Datagrams};
use super::defer::{Defer, Deferred, Way};
use super::{Answer, Respond, Stop};
use crate::answer::{BATCH_QUERIES, Reply, Transport, UDP_MOST};
use crate::view::LeaseTime;

/// The longest query: a question takes 300 octets, UPDATE messages and cookies and padding the rest.
pub const QUERY_OCTETS_MOST: usize = 4096;

const _: () = assert!(DATAGRAMS <= BATCH_QUERIES, "a batch can be looked ahead at whole");

/// How long a worker sleeps at most: it looks at the stop flag that often.
const RECEIVE_WAIT: Duration = Duration::from_millis(100);

/// How long a worker waits for room to send. Then the replies are lost like any datagram, and the queries
/// behind them are not.
const SEND_WAIT: Duration = Duration::from_millis(100);

/// The receive buffer that is asked for: some 5,000 queries, 50 ms of them at 100,000 a second. The kernel
/// gives less where `net.core.rmem_max` is less.
pub const RECEIVE_BUFFER_OCTETS: usize = 4 << 20;

/// Batches that are still handled after the stop: more than the receive buffer holds, so that what comes
/// later cannot keep the thread.
const BATCHES_AFTER_STOP_MOST: usize = 512;

/// After a failed receive: an error that stays must not take a whole core.
const RECEIVE_BACK_OFF: Duration = Duration::from_millis(10);

/// Binds `workers` sockets (at least one) to `addr`, between which the kernel spreads the clients. Port 0
/// is a port of the kernel's choice, the same for all.
///
/// # Errors
/// Those of the system calls; `AddrInUse` if anybody has the address, a second server of this kind included:
/// the first socket is bound without SO_REUSEPORT, so that it does not join another's group.
pub fn bind(addr: SocketAddr, workers: usize) -> io::Result<Vec<UdpSocket>> {
    let first = bind_one(addr)?;
    if workers <= 1 {
        return Ok(vec![first]);
    }
    // Set after the bind, it opens the group to the sockets below.
    socket2::SockRef::from(&first).set_reuse_port(true)?;
    let addr = first.local_addr()?;
    let mut sockets = vec![first];
    for _ in 1..workers {
        let next = socket(addr)?;
        next.set_reuse_port(true)?;
        next.bind(&addr.into())?;
        sockets.push(next.into());
    }
    Ok(sockets)
}

/// Binds one socket to `addr`.
///
/// # Errors
/// As [`bind`].
pub fn bind_one(addr: SocketAddr) -> io::Result<UdpSocket> {
    let socket = socket(addr)?;
    socket.bind(&addr.into())?;
    Ok(socket.into())
}

fn socket(addr: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    if addr.is_ipv6() {
        // IPv4 clients have sockets of their own, with addresses of their own kind.
        socket.set_only_v6(true)?;
    }
    set_up(&socket, addr)?;
    Ok(socket)
}

/// Gives a socket that is, or is to be, bound to `addr` the options that [`serve`] relies on.
///
/// # Errors
/// Those of the system calls.
pub fn set_up(socket: &Socket, addr: SocketAddr) -> io::Result<()> {
    batch::set_up(socket, addr)?;
    socket.set_read_timeout(Some(RECEIVE_WAIT))?;
    socket.set_write_timeout(Some(SEND_WAIT))?;
    // Whoever opened it may have been allowed more than we are.
    if socket.recv_buffer_size()? < RECEIVE_BUFFER_OCTETS {
        // With less room it works as well until the load is high.
        let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER_OCTETS);
    }
    Ok(())
}

/// One batch in so many is timed: the clock costs as much as a hundredth of a query.
const TIMED_ONE_IN: u32 = 16;
/// Upper bounds of the times that queries take, in nanoseconds.
pub const DURATION_BOUNDS_NANOS: [u64; 10] = [
    10_000,
    20_000,
    50_000,
    100_000,
    200_000,
    500_000,
    1_000_000,
    5_000_000,
    20_000_000,
    100_000_000,
];

/// What a worker counts: what it received is what it sent, failed to send, ignored, lost, or dropped by decision.
#[derive(Debug, Default)]
pub struct Counters {
    /// Datagrams received.
    pub received: AtomicU64,
    /// Replies sent.
    pub sent: AtomicU64,
    /// Replies that the kernel refused or had no room for.
    pub unsent: AtomicU64,
    /// Datagrams not looked into: longer than a query may be, or from port 0.
    pub ignored: AtomicU64,
    /// Receive calls that failed.
    pub receive_errors: AtomicU64,
    /// Batches lost to a defect of ours.
    pub panics: AtomicU64,
    /// Datagrams received that were in those batches.
    pub lost: AtomicU64,
    /// How many of the queries of timed batches took so long, see [`DURATION_BOUNDS_NANOS`].
    pub durations: [AtomicU64; DURATION_BOUNDS_NANOS.len() + 1],
    /// How long all of them took, in nanoseconds.
    pub duration_nanos: AtomicU64,
}

/// A running worker.
#[derive(Debug)]
pub struct Worker {
    /// Ends after the stop flag is set.
    pub thread: JoinHandle<()>,
    /// What it counts.
    pub counters: Arc<Counters>,
    /// Its queries that wait for others' answers: each holds the socket, for its reply, and so does the thread.
    pub waiting: Weak<UdpSocket>,
}

/// Starts a thread for each socket of [`bind`], of all addresses together, with an answerer of its own. What cannot be
/// answered at once goes to `defer`.
///
/// With nothing to answer, each looks for more for as long as `spin` before it sleeps: that saves the time of waking up
/// and takes the whole core. When `stop` is set, each answers what the kernel had received, closes its socket and ends.
///
/// # Errors
/// If a thread cannot be started; those started before go on until `stop` is set.
pub fn serve<A: Answer, C: Fn() -> LeaseTime + Send + Sync + 'static>(
    sockets: Vec<UdpSocket>,
    spin: Duration,
    mut answerer: impl FnMut(usize) -> A,
    defer: &Arc<dyn Defer>,
    clock: &Arc<C>,
    stop: &Stop,
) -> io::Result<Vec<Worker>> {
    let start = |(n, socket): (usize, UdpSocket)| {
        let counters = Arc::new(Counters::default());
        let desk = Desk {
            answer: answerer(n),
            defer: defer.clone(),
            replies: Arc::new(socket.try_clone()?),
            clock: clock.clone(),
            stop: stop.clone(),
            counters: counters.clone(),
            spin,
        };
        let waiting = Arc::downgrade(&desk.replies);
        let thread = thread::Builder::new().name(format!("dns-udp-{n}"));
        Ok(Worker { thread: thread.spawn(move || desk.work(socket))?, counters, waiting })
    };
    sockets.into_iter().enumerate().map(start).collect()
}

/// What a worker works with, besides its socket.
struct Desk<A, C> {
    answer: A,
    defer: Arc<dyn Defer>,
    /// The socket, for replies that do not go out with their batch.
    replies: Arc<UdpSocket>,
    clock: Arc<C>,
    stop: Stop,
    counters: Arc<Counters>,
    spin: Duration,
}

impl<A: Answer, C: Fn() -> LeaseTime> Desk<A, C> {
    fn work(mut self, socket: UdpSocket) {
        let (stop, counters, spin) = (self.stop.clone(), self.counters.clone(), self.spin);
        // The address of a bound socket can always be read.
        match Datagrams::new(socket, QUERY_OCTETS_MOST, usize::from(UDP_MOST)) {
            Ok(datagrams) => {
                run(datagrams, spin, &stop, &counters, |datagrams| self.answer_each(datagrams));
            }
            Err(error) => tracing::error!(%error, "a UDP worker cannot start"),
        }
    }

    fn answer_each(&mut self, datagrams: &mut Datagrams) -> usize {
        let mut ignored = 0;
        self.answer.batch((self.clock)(), |batch| {
            batch.look_ahead(datagrams.received());
            datagrams.each(|datagram, out| {
                let Datagram { nth, octets, peer, overlong, .. } = datagram;
                let way = || Way::Datagram(self.replies.clone(), datagram.return_path());
                if overlong || peer.port() == 0 {
                    ignored += 1;
                    return None;
                }
                let transport = Transport::Udp;
                let defer = |way| {
                    self.defer.defer(Deferred { query: octets.into(), peer, transport, way });
                };
                match batch.respond(nth, octets, peer, transport, out) {
                    Reply::Len(len) => Some(len),
                    Reply::Due(len) => {
                        defer(Way::Nobody);
                        Some(len)
                    }
                    Reply::Defer => {
                        defer(way());
                        None
                    }
                    Reply::Drop => None,
                }
            });
        });
        ignored
    }
}

/// Receives batches, has `each` handle them, and sends its replies, until `stop` is set; then handles what the kernel
/// had received, and ends. `spin` is how long it looks before it sleeps; `each` says how many datagrams of its batch it ignored.
///
/// Nothing that is sent here may end the loop: if a defect of ours can be reached from outside, the batch is
/// lost, not the door.
pub fn run(
    mut datagrams: Datagrams,
    spin: Duration,
    stop: &Stop,
    counters: &Counters,
    mut each: impl FnMut(&mut Datagrams) -> usize,
) {
    let mut until_timed = 0_u32;
    while !stop.is_set() {
        match receive(&mut datagrams, spin) {
            Ok(0) => {}
            Ok(received) => {
                let began = (until_timed == 0).then(Instant::now);
                until_timed = until_timed.checked_sub(1).unwrap_or(TIMED_ONE_IN - 1);
                handle(&mut datagrams, received, counters, &mut each);
                if let Some(began) = began {
                    time(counters, received, began.elapsed());
                }
            }
            Err(_) => {
                count(&counters.receive_errors, 1);
                thread::sleep(RECEIVE_BACK_OFF);
            }
        }
    }
    for _ in 0..BATCHES_AFTER_STOP_MOST {
        match datagrams.receive_waiting() {
            Ok(received) if received > 0 => {
                handle(&mut datagrams, received, counters, &mut each);
            }
            _ => break,
        }
    }
}

/// Counts queries that were answered together, each as long as all.
fn time(counters: &Counters, queries: usize, took: Duration) {
    let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
    let place = DURATION_BOUNDS_NANOS.iter().position(|bound| nanos <= *bound);
    let place = place.unwrap_or(DURATION_BOUNDS_NANOS.len());
    if let Some(bucket) = counters.durations.get(place) {
        count(bucket, queries);
    }
    let all = nanos.saturating_mul(queries as u64);
    counters.duration_nanos.fetch_add(all, Ordering::Relaxed);
}

/// Takes what is there, or waits for it: first awake, for as long as `spin`.
fn receive(datagrams: &mut Datagrams, spin: Duration) -> io::Result<usize> {
    if !spin.is_zero() {
        let began = Instant::now();
        while began.elapsed() < spin {
            let received = datagrams.receive_waiting()?;
            if received > 0 {
                return Ok(received);
            }
        }
    }
    datagrams.receive()
}

fn handle(
    datagrams: &mut Datagrams,
    received: usize,
    counters: &Counters,
    each: &mut impl FnMut(&mut Datagrams) -> usize,
) {
    count(&counters.received, received);
    match catch_unwind(AssertUnwindSafe(|| each(datagrams))) {
        Ok(ignored) => {
            let outcome = datagrams.send();
            count(&counters.sent, outcome.sent);
            count(&counters.unsent, outcome.failed);
            count(&counters.ignored, ignored);
        }
        Err(_) => {
            count(&counters.lost, received);
            count(&counters.panics, 1);
            tracing::error!("a thread of a UDP door panicked; its batch of datagrams is lost");
        }
    }
}

/// Adds to a counter, which may have several writers.
pub(crate) fn count(counter: &AtomicU64, n: usize) {
    if n > 0 {
        counter.fetch_add(n as u64, Ordering::Relaxed);
    }
}
