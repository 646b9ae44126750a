//! The UDP door over loopback sockets, with an echo in the place of the answers.
// Helpers outside the test functions unwrap as well.
#![allow(clippy::unwrap_used)]

mod net_common;

use std::collections::HashSet;
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use net_common::Held;
use rollcall::answer::{BATCH_QUERIES, Reply, Transport};
use rollcall::net::batch::{self, DATAGRAMS, Datagram, Datagrams, Sent};
use rollcall::net::defer::Defer;
use rollcall::net::udp::{self, Worker};
use rollcall::net::{Answer, Respond, Stop};
use rollcall::view::LeaseTime;

/// Far longer than anything takes here: only a failing test waits for it.
const PATIENCE: Duration = Duration::from_secs(20);

/// Replies with the query and the time of the batch, and notes who asked; drops `drop`, panics at `panic`.
struct Echo {
    seen: Arc<Mutex<HashSet<SocketAddr>>>,
}

struct EchoBatch<'a> {
    echo: &'a Echo,
    now: LeaseTime,
    shown: Vec<Vec<u8>>,
}

impl Answer for Echo {
    type Batch<'a> = EchoBatch<'a>;

    fn batch<T>(&mut self, now: LeaseTime, work: impl FnOnce(&mut EchoBatch<'_>) -> T) -> T {
        work(&mut EchoBatch { echo: self, now, shown: Vec::new() })
    }
}

impl Respond for EchoBatch<'_> {
    fn look_ahead<'q>(&mut self, queries: impl Iterator<Item = &'q [u8]>) {
        self.shown = queries.map(<[u8]>::to_vec).collect();
        assert!(self.shown.len() <= BATCH_QUERIES);
    }

    fn respond(
        &mut self,
        nth: usize,
        query: &[u8],
        peer: SocketAddr,
        transport: Transport,
        out: &mut [u8],
    ) -> Reply {
        assert_eq!((transport, out.len()), (Transport::Udp, 1232));
        assert_eq!(self.shown[nth], query, "it was shown before");
        assert_ne!(query, b"panic", "as the test wants it");
        self.echo.seen.lock().unwrap().insert(peer);
        if query == b"drop" {
            return Reply::Drop;
        }
        if query == b"later" {
            return Reply::Defer;
        }
        out[..query.len()].copy_from_slice(query);
        out[query.len()] = u8::try_from(self.now.millis()).unwrap();
        Reply::Len(query.len() + 1)
    }
}

/// Which peers each worker has seen.
type Seen = Vec<Arc<Mutex<HashSet<SocketAddr>>>>;

struct Running {
    addr: SocketAddr,
    stop: Stop,
    workers: Vec<Worker>,
    seen: Seen,
    held: Arc<Held>,
}

impl Running {
    fn start(sockets: Vec<UdpSocket>, stop: &Stop) -> Self {
        Self::spinning(sockets, Duration::ZERO, stop)
    }

    fn spinning(sockets: Vec<UdpSocket>, spin: Duration, stop: &Stop) -> Self {
        let addr = sockets[0].local_addr().unwrap();
        let mut seen = Seen::new();
        let echo = |_| {
            seen.push(Arc::default());
            Echo { seen: seen.last().unwrap().clone() }
        };
        let clock = Arc::new(|| LeaseTime::from_millis(42));
        let held = Arc::new(Held::default());
        let defer: Arc<dyn Defer> = held.clone();
        let workers = udp::serve(sockets, spin, echo, &defer, &clock, stop).unwrap();
        Self { addr, stop: stop.clone(), workers, seen, held }
    }

    fn at(addr: &str, workers: usize) -> Self {
        Self::start(udp::bind(addr.parse().unwrap(), workers).unwrap(), &Stop::default())
    }

    fn sum(&self, counter: impl Fn(&udp::Counters) -> &AtomicU64) -> u64 {
        self.workers.iter().map(|w| counter(&w.counters).load(Ordering::Relaxed)).sum()
    }

    fn end(self) {
        self.stop.stop();
        for worker in self.workers {
            worker.thread.join().unwrap();
        }
    }
}

/// A client's socket, which hears only `server`.
fn client(server: SocketAddr) -> UdpSocket {
    let any = if server.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
    let socket = UdpSocket::bind(any).unwrap();
    socket.connect(server).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn ask(client: &UdpSocket, query: &[u8]) -> Vec<u8> {
    client.send(query).unwrap();
    hear(client)
}

fn hear(client: &UdpSocket) -> Vec<u8> {
    let mut room = [0; 2048];
    let octets = client.recv(&mut room).expect("a reply");
    room[..octets].to_vec()
}

fn until(what: &str, condition: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < end, "waited in vain: {what}");
        thread::yield_now();
    }
}

#[test]
fn replies_leave_from_the_address_that_was_asked() {
    let v4 = Running::at("0.0.0.0:0", 2);
    let v6 = Running::at("[::]:0", 2);
    let specific = Running::at("127.0.0.77:0", 2);
    for (ip, server) in [
        ("127.0.0.1", &v4),
        ("127.0.0.2", &v4),
        ("127.0.0.3", &v4),
        ("127.99.1.2", &v4),
        ("127.0.0.77", &specific),
        ("::1", &v6),
    ] {
        // The client is connected: a reply from another address would not be heard.
        let client = client(SocketAddr::new(ip.parse().unwrap(), server.addr.port()));
        for _ in 0..3 {
            assert_eq!(ask(&client, b"who?"), b"who?*", "{ip}");
        }
    }
    for server in [v4, v6, specific] {
        server.end();
    }
}

#[test]
fn clients_are_spread_over_all_workers_and_each_reply_goes_to_its_own() {
    let server = Running::at("127.0.0.1:0", 4);
    // 200 clients leave one of four workers out with a chance of 4 * 0.75^200.
    let clients: Vec<_> = (0..200).map(|_| client(server.addr)).collect();
    for (n, client) in clients.iter().enumerate() {
        client.send(format!("query {n}").as_bytes()).unwrap();
    }
    for (n, client) in clients.iter().enumerate() {
        assert_eq!(hear(client), format!("query {n}*").as_bytes());
    }
    let seen: Vec<_> = server.seen.iter().map(|seen| seen.lock().unwrap().clone()).collect();
    assert_eq!(seen.iter().map(HashSet::len).sum::<usize>(), 200);
    assert!(seen.iter().all(|seen| !seen.is_empty()), "{seen:?}");
    server.end();
}

#[test]
fn a_second_server_on_the_port_is_refused() {
    for (first, second) in [
        ("127.0.0.1", "127.0.0.1"),
        ("0.0.0.0", "127.0.0.1"),
        ("127.0.0.1", "0.0.0.0"),
        ("[::1]", "[::1]"),
        ("[::]", "[::1]"),
    ] {
        for workers in [1, 2] {
            let held = udp::bind(format!("{first}:0").parse().unwrap(), workers).unwrap();
            let port = held[0].local_addr().unwrap().port();
            let second = format!("{second}:{port}").parse().unwrap();
            let error = udp::bind(second, workers).expect_err(first);
            assert_eq!(error.kind(), ErrorKind::AddrInUse, "{first} {second} {workers}");
        }
    }
    // IPv4 and IPv6 are apart: one server listens on both wildcards.
    let v6 = udp::bind("[::]:0".parse().unwrap(), 2).unwrap();
    let port = v6[0].local_addr().unwrap().port();
    assert_eq!(udp::bind(SocketAddr::from(([0, 0, 0, 0], port)), 2).unwrap().len(), 2);
}

#[test]
fn a_stop_answers_what_was_received_and_frees_the_port() {
    let sockets = udp::bind("127.0.0.1:0".parse().unwrap(), 2).unwrap();
    let addr = sockets[0].local_addr().unwrap();
    // More than a batch for each worker lies in the kernel, and the stop comes before anybody has looked.
    let clients: Vec<_> = (0..8 * DATAGRAMS).map(|_| client(addr)).collect();
    for client in &clients {
        client.send(b"early").unwrap();
    }
    let stop = Stop::default();
    stop.stop();
    let server = Running::start(sockets, &stop);
    for client in &clients {
        assert_eq!(hear(client), b"early*");
    }
    server.end();
    udp::bind(addr, 2).expect("the port is free");
}

#[test]
fn what_is_no_query_costs_nobody_else_the_reply() {
    let server = Running::at("127.0.0.1:0", 1);
    let client = client(server.addr);
    client.send(b"drop").unwrap();
    client.send(&[1; udp::QUERY_OCTETS_MOST + 1]).unwrap();
    client.send(b"").unwrap();
    assert_eq!(hear(&client), b"*");
    client.send(b"panic").unwrap();
    until("the panic", || server.sum(|c| &c.panics) == 1);
    assert_eq!(ask(&client, b"still there?"), b"still there?*");
    until("the last reply is counted", || server.sum(|c| &c.sent) == 2);
    let figures = [&server.workers[0].counters].map(|c| {
        [&c.received, &c.sent, &c.unsent, &c.ignored, &c.lost].map(|n| n.load(Ordering::Relaxed))
    });
    // The fifth was dropped.
    assert_eq!(figures, [[5, 2, 0, 1, 1]]);
    server.end();
}

/// A socket with small buffers, and a client of it.
fn pair(addr: &str, receive: usize, send: usize) -> (Datagrams, UdpSocket) {
    let socket = udp::bind(addr.parse().unwrap(), 1).unwrap().remove(0);
    let at = socket.local_addr().unwrap();
    let ip = if !at.ip().is_unspecified() {
        at.ip()
    } else if at.is_ipv4() {
        [127, 0, 0, 5].into()
    } else {
        std::net::Ipv6Addr::LOCALHOST.into()
    };
    (Datagrams::new(socket, receive, send).unwrap(), client(SocketAddr::new(ip, at.port())))
}

#[test]
fn a_batch_says_who_sent_what_where_and_whether_it_was_cut() {
    for (addr, destination) in [
        ("127.0.0.1:0", None),
        ("0.0.0.0:0", Some("127.0.0.5")),
        ("[::1]:0", None),
        ("[::]:0", Some("::1")),
    ] {
        let (mut datagrams, client) = pair(addr, 8, 8);
        let peer = client.local_addr().unwrap();
        let destination = destination.map(|ip| ip.parse().unwrap());
        // Twice: the second batch goes through headers that the kernel has written to.
        for _ in 0..2 {
            client.send(b"12345678").unwrap();
            client.send(b"123456789").unwrap();
            assert_eq!(datagrams.receive().unwrap(), 2);
            let mut overlong = vec![];
            datagrams.each(|datagram, room| {
                let Datagram { octets, peer: from, .. } = datagram;
                assert_eq!(
                    (octets, from, datagram.destination()),
                    (b"12345678".as_slice(), peer, destination)
                );
                overlong.push(datagram.overlong);
                assert_eq!(room.len(), 8);
                None
            });
            assert_eq!(overlong, [false, true]);
            assert_eq!(datagrams.send(), Sent::default());
        }
    }
}

#[test]
fn a_late_reply_leaves_from_the_address_that_was_asked() {
    for addr in ["127.0.0.1:0", "0.0.0.0:0", "[::1]:0", "[::]:0"] {
        let (mut datagrams, client) = pair(addr, 8, 8);
        let later = datagrams.socket().try_clone().unwrap();
        client.send(b"?").unwrap();
        assert_eq!(datagrams.receive().unwrap(), 1);
        let mut way_back = None;
        datagrams.each(|datagram, _| {
            way_back = Some((datagram.peer, datagram.return_path()));
            None
        });
        let (peer, path) = way_back.unwrap();
        // The client is connected, and hears nobody else.
        batch::send_one(&later, b"late", peer, &path).unwrap();
        assert_eq!(hear(&client), b"late", "{addr}");
    }
}

#[test]
fn a_batch_has_a_bound_and_the_rest_is_the_next_one() {
    let (mut datagrams, odd) = pair("127.0.0.1:0", 8, 8);
    let even = client(odd.peer_addr().unwrap());
    for n in 0..DATAGRAMS + 3 {
        let client = if n % 2 == 1 { &odd } else { &even };
        client.send(&[u8::try_from(n).unwrap()]).unwrap();
    }
    let mut heard = vec![];
    for expected in [DATAGRAMS, 3, 0] {
        assert_eq!(datagrams.receive_waiting().unwrap(), expected);
        // Every other one is replied to, so that replies and datagrams have different places.
        datagrams.each(|datagram, room| {
            room[0] = datagram.octets[0];
            (room[0] % 2 == 1).then_some(1)
        });
        heard.push(datagrams.send());
    }
    let sent = |sent| Sent { sent, failed: 0 };
    assert_eq!(heard, [sent(16), sent(1), sent(0)]);
    for n in (1..DATAGRAMS + 3).step_by(2) {
        assert_eq!(hear(&odd), [u8::try_from(n).unwrap()]);
    }
}

#[test]
fn a_reply_that_cannot_be_sent_is_left_out_and_the_others_are_sent() {
    // A datagram is at most 65,507 octets over IPv4: the kernel refuses a longer one.
    let (mut datagrams, client) = pair("127.0.0.1:0", 8, 66_000);
    for n in 0..5 {
        client.send(&[n]).unwrap();
    }
    assert_eq!(datagrams.receive().unwrap(), 5);
    datagrams.each(|datagram, room| {
        room[0] = datagram.octets[0];
        Some(if [0, 2, 4].contains(&room[0]) { 66_000 } else { 1 })
    });
    assert_eq!(datagrams.send(), Sent { sent: 2, failed: 3 });
    assert_eq!([hear(&client), hear(&client)], [[1], [3]]);
}

#[test]
fn nothing_received_is_no_error() {
    let (mut datagrams, _client) = pair("127.0.0.1:0", 8, 8);
    assert_eq!(datagrams.receive_waiting().unwrap(), 0);
    assert_eq!(datagrams.receive().unwrap(), 0);
}

#[test]
fn a_worker_that_spins_answers_at_once_and_after_it_slept_and_ends() {
    let sockets = udp::bind("127.0.0.1:0".parse().unwrap(), 1).unwrap();
    let server = Running::spinning(sockets, Duration::from_millis(1), &Stop::default());
    let client = client(server.addr);
    for pause in [Duration::ZERO, Duration::from_millis(20)] {
        thread::sleep(pause);
        client.send(b"spin").unwrap();
        assert_eq!(hear(&client), b"spin\x2a");
    }
    server.end();
}

#[test]
fn what_is_deferred_is_answered_later_from_the_address_that_was_asked() {
    let running = Running::at("0.0.0.0:0", 1);
    let asked = SocketAddr::from(([127, 0, 0, 2], running.addr.port()));
    let client = client(asked);
    client.send(b"later").unwrap();
    assert_eq!(ask(&client, b"now")[..3], *b"now", "others do not wait");
    until("the deferred query", || running.held.count() == 1);
    let deferred = running.held.take();
    assert_eq!((&*deferred.query, deferred.transport), (&b"later"[..], Transport::Udp));
    assert_eq!(deferred.peer, client.local_addr().unwrap());
    deferred.reply(b"at last");
    assert_eq!(hear(&client), b"at last");
    running.end();
}
