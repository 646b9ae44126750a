//! The TCP door over loopback sockets, with an echo in the place of the answers.

// Helpers outside the test functions unwrap as well.
#![allow(clippy::unwrap_used)]

mod net_common;
#[path = "net_common/stream.rs"]
mod stream;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use net_common::Held;
use rollcall::answer::{BATCH_QUERIES, Reply, Transport};
use rollcall::net::tcp::{self, Counters, Door, Limits};
use rollcall::net::{Answer, Respond, Stop};
use rollcall::view::LeaseTime;
use socket2::{Domain, SockAddr, Socket, Type};
use stream::{LIMITS, PATIENCE, SHORT, ask, frame, hear, reached, until};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Replies with the query; at `large` with 60,000 octets, not at all to `silent`, later to `later`, panics at `panic`.
struct Echo;

/// A batch, with the queries that it was shown.
#[derive(Default)]
struct EchoBatch {
    shown: Vec<Vec<u8>>,
}

impl Answer for Echo {
    type Batch<'a> = EchoBatch;

    fn batch<T>(&mut self, now: LeaseTime, work: impl FnOnce(&mut EchoBatch) -> T) -> T {
        assert_eq!(now, LeaseTime::from_millis(42));
        work(&mut EchoBatch::default())
    }
}

impl Respond for EchoBatch {
    fn look_ahead<'q>(&mut self, queries: impl Iterator<Item = &'q [u8]>) {
        self.shown = queries.map(<[u8]>::to_vec).collect();
        assert!(self.shown.len() <= BATCH_QUERIES);
    }

    fn respond(
        &mut self,
        nth: usize,
        query: &[u8],
        _peer: SocketAddr,
        transport: Transport,
        out: &mut [u8],
    ) -> Reply {
        assert_eq!((transport, out.len()), (Transport::Tcp, 65_535));
        assert_eq!(self.shown[nth], query, "it was shown before");
        assert!(!query.ends_with(b"panic"), "as the test wants it");
        if query.ends_with(b"silent") {
            return Reply::Drop;
        }
        if query.ends_with(b"later") {
            return Reply::Defer;
        }
        out[..query.len()].copy_from_slice(query);
        Reply::Len(if query.ends_with(b"large") { 60_000 } else { query.len() })
    }
}

struct Running {
    addr: SocketAddr,
    runtime: Runtime,
    stop: Stop,
    counters: Arc<Counters>,
    open: Box<dyn Fn() -> usize>,
    held: Arc<Held>,
    served: JoinHandle<std::io::Result<()>>,
}

impl Running {
    fn start(limits: Limits) -> Self {
        Self::at("127.0.0.1:0", limits)
    }

    fn at(addr: &str, limits: Limits) -> Self {
        Self::with(tcp::bind(addr.parse().unwrap()).unwrap(), limits, Stop::default())
    }

    fn with(listener: std::net::TcpListener, limits: Limits, stop: Stop) -> Self {
        let addr = listener.local_addr().unwrap();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.unwrap();
        let clock = Arc::new(|| LeaseTime::from_millis(42));
        let held = Arc::new(Held::default());
        let door =
            Door::new(limits, 2, |_| Echo, held.clone(), clock, stop.clone(), Arc::default());
        let served = runtime.spawn(door.clone().serve(listener, None));
        let counters = door.counters();
        let open = Box::new(move || door.open());
        Self { addr, runtime, stop, counters, open, held, served }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.addr).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    fn connect_from(&self, client: &str) -> TcpStream {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let client: SocketAddr = format!("{client}:0").parse().unwrap();
        socket.bind(&SockAddr::from(client)).unwrap();
        socket.connect(&SockAddr::from(self.addr)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.into()
    }

    fn until_open(&self, connections: usize) {
        until("the connections", || (self.open)() == connections);
    }

    fn end(self) {
        self.stop.stop();
        let served = self.runtime.block_on(async { timeout(PATIENCE, self.served).await });
        served.expect("the door ends").unwrap().unwrap();
        assert_eq!((self.open)(), 0);
    }
}

/// What comes until the other end closes; a reset is a close.
fn hear_all(stream: &mut TcpStream) -> Vec<u8> {
    let mut heard = vec![];
    match stream.read_to_end(&mut heard) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
    heard
}

#[test]
fn queries_are_answered_in_order_however_they_are_cut() {
    for addr in ["127.0.0.1:0", "[::1]:0"] {
        let server = Running::at(addr, LIMITS);
        let mut client = server.connect();
        client.set_nodelay(true).unwrap();
        let queries: Vec<u8> = (0..100).flat_map(|n| frame(&format!("query {n}"))).collect();
        for cut in [queries.len(), 1000, 14, 1] {
            for piece in queries.chunks(cut) {
                client.write_all(piece).unwrap();
            }
            assert_eq!(hear(&mut client, queries.len()), queries, "pieces of {cut}");
        }
        server.end();
    }
}

#[test]
fn a_query_without_a_reply_leaves_no_gap() {
    let server = Running::start(LIMITS);
    let mut client = server.connect();
    client.write_all(&[frame("one"), frame("silent"), frame("two")].concat()).unwrap();
    let replies = [frame("one"), frame("two")].concat();
    assert_eq!(hear(&mut client, replies.len()), replies);
    server.end();
}

#[test]
fn long_messages_and_long_replies_pass_whole() {
    let server = Running::start(LIMITS);
    let mut client = server.connect();
    let longest = frame(&"x".repeat(65_535 - 12));
    let queries = [longest.clone(), frame("large"), frame("large"), longest.clone()].concat();
    client.write_all(&queries).unwrap();
    let heard = hear(&mut client, 2 * longest.len() + 2 * 60_002);
    let (first, rest) = heard.split_at(longest.len());
    let (large, last) = rest.split_at(2 * 60_002);
    assert!(first == longest && last == longest, "the longest query comes back");
    for large in large.chunks(60_002) {
        assert_eq!(large[..2], 60_000_u16.to_be_bytes());
        assert_eq!(large[2..19], frame("large")[2..]);
    }
    server.end();
}

#[test]
fn a_client_that_has_said_all_gets_all_replies() {
    let server = Running::start(LIMITS);
    let mut client = server.connect();
    let queries: Vec<u8> = (0..100).flat_map(|n| frame(&format!("query {n}"))).collect();
    client.write_all(&[&queries[..], b"\0\x20par"].concat()).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(hear_all(&mut client), queries);
    server.end();
}

#[test]
fn what_is_no_message_ends_the_connection_after_the_replies() {
    for malformed in [&[0, 0][..], &[0, 11, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]] {
        let server = Running::start(LIMITS);
        let mut client = server.connect();
        client.write_all(&[&frame("before"), malformed].concat()).unwrap();
        assert_eq!(hear_all(&mut client), frame("before"));
        server.until_open(0);
        until("the count", || reached(&server.counters.malformed, 1));
        server.end();
    }
}

#[test]
fn a_panic_ends_one_connection() {
    let server = Running::start(LIMITS);
    let (mut one, mut other) = (server.connect(), server.connect());
    ask(&mut other, "before");
    one.write_all(&frame("panic")).unwrap();
    assert_eq!(hear_all(&mut one), b"");
    until("the panic", || reached(&server.counters.panics, 1));
    ask(&mut other, "after");
    server.end();
}

#[test]
fn caps_hold_in_all_and_for_a_client_and_seats_are_free_again() {
    let server = Running::start(Limits { connections: 3, per_client: 2, ..LIMITS });
    let counters = server.counters.clone();
    let mut first = server.connect();
    let mut second = server.connect();
    ask(&mut first, "one");
    ask(&mut second, "two");
    assert_eq!(hear_all(&mut server.connect()), b"");
    until("the count", || reached(&counters.refused_client, 1));
    let mut third = server.connect_from("127.0.0.2");
    ask(&mut third, "three");
    assert_eq!(hear_all(&mut server.connect_from("127.0.0.3")), b"");
    until("the count", || reached(&counters.refused_total, 1));
    drop(first);
    server.until_open(2);
    ask(&mut server.connect_from("127.0.0.3"), "four");
    ask(&mut second, "still there");
    until("the count", || reached(&counters.accepted, 4));
    server.end();
}

#[test]
fn an_idle_client_is_sent_away() {
    let server = Running::start(Limits { idle: Duration::from_secs(1), ..LIMITS });
    let counters = server.counters.clone();
    assert_eq!(hear_all(&mut server.connect()), b"");
    let mut client = server.connect();
    client.write_all(&frame("one")).unwrap();
    assert_eq!(hear_all(&mut client), frame("one"));
    until("both", || reached(&counters.timed_out_idle, 2));
    until("the count", || reached(&counters.timed_out_query, 0));
    server.end();
}

#[test]
fn a_query_that_drips_is_given_up_though_it_never_pauses() {
    let server = Running::start(Limits { query: SHORT, ..LIMITS });
    let mut client = server.connect();
    client.write_all(&frame("one")).unwrap();
    assert_eq!(hear(&mut client, frame("one").len()), frame("one"));
    // One octet of a long query after the other, for a minute or until the server has had enough.
    client.set_nonblocking(true).unwrap();
    client.write_all(&[200, 0]).unwrap();
    until("the end of the connection", || {
        let mut room = [0; 1];
        let closed =
            !matches!((&client).read(&mut room), Err(e) if e.kind() == ErrorKind::WouldBlock);
        thread::sleep(Duration::from_millis(1));
        closed || (&client).write(b".").is_err()
    });
    until("the count", || reached(&server.counters.timed_out_query, 1));
    server.end();
}

#[test]
fn a_client_that_does_not_read_is_sent_away_and_others_are_not() {
    let server = Running::start(Limits { write: SHORT, ..LIMITS });
    let mut client = server.connect();
    // 60 MB of replies: far more than the buffers of both ends hold.
    client.write_all(&frame("large").repeat(1000)).unwrap();
    until("the count", || reached(&server.counters.timed_out_write, 1));
    server.until_open(0);
    ask(&mut server.connect(), "others are served");
    server.end();
    drop(client);
}

#[test]
fn a_second_server_on_the_port_is_refused_and_a_restart_is_not() {
    for addr in ["127.0.0.1:0", "[::]:0"] {
        let server = Running::at(addr, LIMITS);
        let error = tcp::bind(server.addr).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        // The server's end of this connection closes first, and lingers in TIME-WAIT.
        let ip = if server.addr.is_ipv4() { [127, 0, 0, 1].into() } else { "::1".parse().unwrap() };
        let mut client = TcpStream::connect(SocketAddr::new(ip, server.addr.port())).unwrap();
        ask(&mut client, "one");
        let addr = server.addr;
        server.end();
        tcp::bind(addr).expect("the port is free");
    }
}

#[test]
fn a_stop_answers_what_was_received_also_on_connections_not_yet_accepted() {
    let listener = tcp::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let addr = listener.local_addr().unwrap();
    let queries: Vec<u8> = (0..1000).flat_map(|n| frame(&format!("query {n}"))).collect();
    let mut early: Vec<_> = (0..10).map(|_| TcpStream::connect(addr).unwrap()).collect();
    for client in &mut early {
        client.write_all(&queries).unwrap();
    }
    let stop = Stop::default();
    stop.stop();
    let server = Running::with(listener, LIMITS, stop);
    for client in &mut early {
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        assert_eq!(hear_all(client), queries);
    }
    server.end();
}

#[test]
fn a_stop_ends_connections_that_are_idle_and_those_that_do_not_read() {
    let server = Running::start(Limits { write: 100 * PATIENCE, ..LIMITS });
    let mut idle = server.connect();
    ask(&mut idle, "one");
    let mut stuck = server.connect();
    // 60 MB of replies: far more than the buffers of both ends hold.
    stuck.write_all(&frame("large").repeat(1000)).unwrap();
    server.end();
    assert_eq!(hear_all(&mut idle), b"");
    drop(stuck);
}

/// Answers the oldest deferred query with its own octets.
fn answer_deferred(server: &Running) {
    let deferred = server.held.take();
    let reply = deferred.query.clone();
    deferred.reply(&reply);
}

#[test]
fn what_is_deferred_holds_nobody_up_and_is_answered_when_it_can_be() {
    let server = Running::start(LIMITS);
    let mut client = server.connect();
    client.write_all(&[frame("1later"), frame("2later"), frame("three")].concat()).unwrap();
    assert_eq!(hear(&mut client, frame("three").len()), frame("three"));
    until("the deferred queries", || server.held.count() == 2);
    let first = server.held.take();
    answer_deferred(&server);
    assert_eq!(hear(&mut client, frame("2later").len()), frame("2later"));
    // One that nobody answers is not waited for.
    drop(first);
    ask(&mut client, "four");
    server.end();
}

#[test]
fn a_client_that_has_said_all_still_gets_what_was_deferred() {
    let server = Running::start(LIMITS);
    let mut client = server.connect();
    client.write_all(&frame("1later")).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    until("the deferred query", || server.held.count() == 1);
    answer_deferred(&server);
    assert_eq!(hear_all(&mut client), frame("1later"));
    server.end();
}

#[test]
fn no_more_is_read_while_too_much_is_deferred() {
    let server = Running::start(LIMITS);
    let mut client = server.connect();
    // More than one read holds.
    let many = 1000;
    let queries = frame("later").repeat(many);
    client.write_all(&queries).unwrap();
    until("as many as may be", || server.held.count() >= 100);
    let mut answered = 0;
    while answered < many {
        until("a deferred query", || server.held.count() > 0);
        assert!(server.held.count() < 500, "{} are held", server.held.count());
        answer_deferred(&server);
        assert_eq!(hear(&mut client, frame("later").len()), frame("later"));
        answered += 1;
    }
    server.end();
}
