//! The serving loop's limits, over loopback connections to a router of its own.

use super::*;
use crate::api::guard::{Guard, Peer};
use crate::audit::Audit;
use crate::config::Http;
use axum::Router;
use axum::extract::Extension;
use axum::routing::get;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;

/// Long enough never to be reached, where a test is about something else.
const NEVER: Duration = Duration::from_secs(600);
const SOON: Duration = Duration::from_millis(20);

fn limits() -> Limits {
    let patience = Patience { head: NEVER, idle: NEVER, write: NEVER };
    Limits { patience, request: NEVER, drain: NEVER, accept_again: SOON }
}

struct Running {
    address: SocketAddr,
    connections: Connections,
    stop: watch::Sender<bool>,
    serving: tokio::task::JoinHandle<io::Result<()>>,
}

fn start(limits: Limits, app: Router) -> Running {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, shutdown) = watch::channel(false);
    let connections = Connections::default();
    let app = Guarded::new(guard(), app);
    let serving = tokio::spawn(serve_within(
        limits,
        vec![Listener::Plain(listener)],
        app,
        connections.clone(),
        shutdown,
    ));
    Running { address, connections, stop, serving }
}

/// Lets in who calls the server `a`.
fn guard() -> Arc<Guard> {
    let http = Http { host_names: vec!["a".into()], ..Http::default() };
    Arc::new(Guard::new(Arc::default(), Audit::default(), &http, &[]))
}

fn trivial() -> Router {
    Router::new()
        .route("/", get(|Extension(peer): Extension<Peer>| async move { peer.source.to_string() }))
        .route("/stuck", get(std::future::pending::<()>))
}

impl Running {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Waits until so many connections are open.
    async fn until_open(&self, count: usize) {
        while self.connections.open() != count {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Sends `text` and reads until the server closes.
    async fn talk(&self, text: &str) -> String {
        let mut stream = self.connect().await;
        stream.write_all(text.as_bytes()).await.unwrap();
        rest(&mut stream).await
    }
}

async fn rest(stream: &mut TcpStream) -> String {
    let mut reply = Vec::new();
    // A reset is an end too.
    let _ = stream.read_to_end(&mut reply).await;
    String::from_utf8(reply).unwrap()
}

/// Reads one reply and gives its body.
async fn one_reply(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    let (_, rest) = head.split_once("content-length: ").unwrap();
    let mut body = vec![0; rest.lines().next().unwrap().parse().unwrap()];
    stream.read_exact(&mut body).await.unwrap();
    String::from_utf8(body).unwrap()
}

#[tokio::test]
async fn requests_share_a_connection_and_know_their_peer() {
    let running = start(limits(), trivial());
    let mut stream = running.connect().await;
    let local = stream.local_addr().unwrap().to_string();
    for _ in 0..3 {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        assert_eq!(one_reply(&mut stream).await, local);
    }
    assert_eq!(running.connections.open(), 1);
}

#[tokio::test]
async fn a_slow_head_is_cut_off() {
    let patience = Patience { head: SOON, ..limits().patience };
    let running = start(Limits { patience, ..limits() }, trivial());
    assert_eq!(running.talk("").await, "");
    assert_eq!(running.talk("GET / HTTP/1.1\r\nHost: a\r\n").await, "");
    // One octet after the other, without an end: the head's clock does not start again with each.
    let mut stream = running.connect().await;
    while stream.write_all(b"G").await.is_ok() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_a_quick_one_is_kept() {
    let patience = Patience { idle: SOON, ..limits().patience };
    let running = start(Limits { patience, ..limits() }, trivial());
    let reply = running.talk("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(reply.starts_with("HTTP/1.1 200 OK\r\n"), "{reply}");
    // The head's clock is not the idle one's. It is long enough for this test's heads on a busy machine.
    let patience = Patience { head: SOON * 25, ..limits().patience };
    let running = start(Limits { patience, ..limits() }, trivial());
    let mut stream = running.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    one_reply(&mut stream).await;
    running.talk("").await; // As long as a head may take, and a connection's start.
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    one_reply(&mut stream).await;
}

#[tokio::test]
async fn a_reply_that_nobody_takes_ends() {
    let patience = Patience { write: SOON, ..limits().patience };
    let large = Router::new().route("/", get(|| async { vec![b'x'; 64 << 20] }));
    let running = start(Limits { patience, ..limits() }, large);
    let mut stream = running.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    // Nothing more than an octet is read until the server has let go of the connection.
    stream.read_u8().await.unwrap();
    running.until_open(0).await;
    assert!(rest(&mut stream).await.len() < 64 << 20);
}

#[tokio::test]
async fn heads_are_bounded() {
    let running = start(limits(), trivial());
    for (count, length, expected) in
        [(62, 10, "200 OK"), (64, 10, "431 "), (2, 7000, "200 OK"), (3, 7000, "431 ")]
    {
        let headers: String =
            (0..count).map(|at| format!("x-{at}: {}\r\n", "v".repeat(length))).collect();
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{headers}\r\n");
        let reply = running.talk(&request).await;
        assert!(reply.starts_with(&format!("HTTP/1.1 {expected}")), "{count} {length}: {reply}");
    }
    let reply = running.talk("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    assert!(!reply.contains("200"), "{reply}");
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_answered() {
    let running = start(Limits { request: SOON, ..limits() }, trivial());
    let reply = running.talk("GET /stuck HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert!(reply.starts_with("HTTP/1.1 503 "), "{reply}");
    assert!(reply.contains("content-type: application/problem+json\r\n"), "{reply}");
    assert!(reply.contains("retry-after: 1\r\n"), "{reply}");
}

#[tokio::test]
async fn when_connections_are_scarce_none_is_kept() {
    let running = start(limits(), trivial());
    let others = |count: usize| -> Vec<Seat> {
        (0..count)
            .map(|at| {
                let host = u8::try_from(at / MAX_CONNECTIONS_OF_CLIENT).unwrap();
                running.connections.take(IpAddr::from([10, 0, 0, host])).unwrap()
            })
            .collect()
    };
    let taken = others(MAX_CONNECTIONS - FEW_FREE);
    let reply = running.talk("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(reply.contains("connection: close\r\n"), "{reply}");
    drop(taken);
    running.until_open(0).await;
    // With none left a client is refused, and is served when there is room again.
    let all = others(MAX_CONNECTIONS);
    assert_eq!(running.talk("").await, "");
    assert_eq!(running.connections.counters().map(|(_, _, count)| count), [1, 0, 0]);
    drop(all);
    let mut second = running.connect().await;
    second.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    one_reply(&mut second).await;
}

#[tokio::test]
async fn one_client_does_not_take_all_connections() {
    let running = start(limits(), trivial());
    let greedy = IpAddr::from([10, 0, 0, 1]);
    let take = |client: IpAddr| running.connections.take(client);
    let taken: Vec<_> = (0..MAX_CONNECTIONS).filter_map(|_| take(greedy)).collect();
    assert_eq!(taken.len(), MAX_CONNECTIONS_OF_CLIENT);
    let refused = u64::try_from(MAX_CONNECTIONS - MAX_CONNECTIONS_OF_CLIENT).unwrap();
    assert_eq!(running.connections.counters().map(|(_, _, count)| count), [0, refused, 0]);
    let mut other = running.connect().await;
    other.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    one_reply(&mut other).await;
    drop((taken, other));
    running.until_open(0).await;
    for here in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
        let all: Vec<_> = (0..MAX_CONNECTIONS).map_while(|_| take(here.parse().unwrap())).collect();
        assert_eq!(all.len(), MAX_CONNECTIONS, "{here}");
    }
}

#[tokio::test]
async fn stopping_answers_what_was_sent_before() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // The kernel accepts them and has their requests before the door looks, which is when it stops already.
    let mut clients = Vec::new();
    for _ in 0..20 {
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        clients.push(client);
    }
    let mut silent = TcpStream::connect(address).await.unwrap();
    let (_stop, shutdown) = watch::channel(true);
    let connections = Connections::default();
    let serving = serve_within(
        limits(),
        vec![Listener::Plain(listener)],
        Guarded::new(guard(), trivial()),
        connections.clone(),
        shutdown,
    );
    serving.await.unwrap();
    for client in &mut clients {
        let reply = rest(client).await;
        assert!(reply.starts_with("HTTP/1.1 200 OK\r\n"), "{reply}");
        assert!(reply.contains("connection: close\r\n"), "{reply}");
    }
    assert_eq!(rest(&mut silent).await, "");
    assert_eq!(connections.open(), 0);
}

#[tokio::test]
async fn stopping_finishes_what_is_being_handled() {
    let (begun, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (has_begun, may_go) = (begun.clone(), go.clone());
    let slow = Router::new().route(
        "/",
        get(move || async move {
            has_begun.notify_one();
            may_go.notified().await;
            "finished"
        }),
    );
    let running = start(limits(), slow);
    let mut idle = running.connect().await;
    let mut busy = running.connect().await;
    busy.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    begun.notified().await;
    running.stop.send(true).unwrap();
    assert_eq!(rest(&mut idle).await, "");
    while TcpStream::connect(running.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    go.notify_one();
    assert!(rest(&mut busy).await.ends_with("finished"));
    running.serving.await.unwrap().unwrap();
}

#[tokio::test]
async fn stopping_does_not_wait_for_ever() {
    let begun = Arc::new(AtomicUsize::new(0));
    let count = begun.clone();
    let stuck = Router::new().route(
        "/",
        get(move || async move {
            count.fetch_add(1, Ordering::Relaxed);
            std::future::pending::<()>().await;
        }),
    );
    let running = start(Limits { drain: SOON, ..limits() }, stuck);
    let mut stream = running.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    while begun.load(Ordering::Relaxed) == 0 {
        tokio::task::yield_now().await;
    }
    running.stop.send(true).unwrap();
    running.serving.await.unwrap().unwrap();
    assert_eq!(rest(&mut stream).await, "");
}

#[tokio::test]
async fn a_handler_that_panics_ends_its_connection_alone() {
    async fn broken() -> &'static str {
        panic!("a panic on purpose")
    }
    let running = start(limits(), trivial().route("/broken", get(broken)));
    assert_eq!(running.talk("GET /broken HTTP/1.1\r\nHost: a\r\n\r\n").await, "");
    let reply = running.talk("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert!(reply.starts_with("HTTP/1.1 200 OK\r\n"), "{reply}");
}
