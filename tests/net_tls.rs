//! The door for DNS over TLS over loopback sockets, with an echo in the place of the answers and rustls as the client.

// Helpers outside the test functions unwrap as well.
#![allow(clippy::unwrap_used)]

mod net_common;
#[path = "net_common/stream.rs"]
mod stream;

use std::fs::Permissions;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use net_common::Held;
use rollcall::answer::{Reply, Transport};
use rollcall::net::tcp::{self, Counters, Door, Limits};
use rollcall::net::tls::{Certificates, server_config};
use rollcall::net::{Answer, Respond, Stop};
use rollcall::view::LeaseTime;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned};
use stream::{LIMITS, PATIENCE, SHORT, ask, frame, hear, reached, until};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

/// Replies with the query; at `large` with 60,000 octets, later to `later`.
struct Echo;

impl Answer for Echo {
    type Batch<'a> = Self;

    fn batch<T>(&mut self, _: LeaseTime, work: impl FnOnce(&mut Self) -> T) -> T {
        work(self)
    }
}

impl Respond for Echo {
    fn look_ahead<'q>(&mut self, _: impl Iterator<Item = &'q [u8]>) {}

    fn respond(
        &mut self,
        _: usize,
        query: &[u8],
        _: SocketAddr,
        transport: Transport,
        out: &mut [u8],
    ) -> Reply {
        assert_eq!((transport, out.len()), (Transport::Tls, 65_535));
        if query.ends_with(b"later") {
            return Reply::Defer;
        }
        out[..query.len()].copy_from_slice(query);
        Reply::Len(if query.ends_with(b"large") { 60_000 } else { query.len() })
    }
}

/// A certificate for `localhost` that is its own root, in files.
struct Pair {
    cert: PathBuf,
    key: PathBuf,
    der: CertificateDer<'static>,
    _directory: TempDir,
}

impl Pair {
    fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let (cert, key) = (directory.path().join("cert.pem"), directory.path().join("key.pem"));
        std::fs::write(&cert, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        std::fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
        Self { cert, key, der: made.cert.der().clone(), _directory: directory }
    }
}

struct Running {
    addr: SocketAddr,
    runtime: Runtime,
    stop: Stop,
    counters: Arc<Counters>,
    held: Arc<Held>,
    open: Box<dyn Fn() -> usize>,
    served: JoinHandle<std::io::Result<()>>,
    pair: Pair,
    certificates: Certificates,
}

impl Running {
    fn start(limits: Limits) -> Self {
        let listener = tcp::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let addr = listener.local_addr().unwrap();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.unwrap();
        let (stop, held, pair) = (Stop::default(), Arc::new(Held::default()), Pair::new());
        let certificates = Certificates::load(&pair.cert, &pair.key).unwrap();
        let tls = TlsAcceptor::from(server_config(&certificates, &[tcp::ALPN]).unwrap());
        let clock = Arc::new(|| LeaseTime::from_millis(42));
        let door =
            Door::new(limits, 2, |_| Echo, held.clone(), clock, stop.clone(), Arc::default());
        let served = runtime.spawn(door.clone().serve(listener, Some(tls)));
        let counters = door.counters();
        let open = Box::new(move || door.open());
        Self { addr, runtime, stop, counters, held, open, served, pair, certificates }
    }

    /// What a client trusts, and the protocols that it names.
    fn trusting(&self, alpn: &[&[u8]]) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.pair.der.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider);
        let config = config.with_safe_default_protocol_versions().unwrap();
        let mut config = config.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        Arc::new(config)
    }

    fn plain(&self) -> TcpStream {
        let stream = TcpStream::connect(self.addr).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    fn connect_as(&self, config: Arc<ClientConfig>) -> Client {
        let name = ServerName::try_from("localhost").unwrap();
        StreamOwned::new(ClientConnection::new(config, name).unwrap(), self.plain())
    }

    fn connect(&self) -> Client {
        self.connect_as(self.trusting(&[b"dot"]))
    }

    fn end(self) {
        self.stop.stop();
        let served = self.runtime.block_on(async { timeout(PATIENCE, self.served).await });
        served.expect("the door ends").unwrap().unwrap();
        assert_eq!((self.open)(), 0);
    }
}

type Client = StreamOwned<ClientConnection, TcpStream>;

#[test]
fn queries_are_answered_in_order_however_they_are_cut() {
    let server = Running::start(LIMITS);
    let mut client = server.connect();
    let queries: Vec<u8> = (0..100).flat_map(|n| frame(&format!("query {n}"))).collect();
    for cut in [queries.len(), 1000, 14, 1] {
        for piece in queries.chunks(cut) {
            client.write_all(piece).unwrap();
        }
        assert_eq!(hear(&mut client, queries.len()), queries, "pieces of {cut}");
    }
    server.end();
}

#[test]
fn long_messages_and_long_replies_pass_whole() {
    let server = Running::start(LIMITS);
    let mut client = server.connect();
    let longest = frame(&"x".repeat(65_535 - 12));
    client.write_all(&[longest.clone(), frame("large"), frame("large")].concat()).unwrap();
    assert!(hear(&mut client, longest.len()) == longest, "the longest query comes back");
    for large in hear(&mut client, 2 * 60_002).chunks(60_002) {
        assert_eq!(large[..2], 60_000_u16.to_be_bytes());
        assert_eq!(large[2..19], frame("large")[2..]);
    }
    server.end();
}

#[test]
fn a_client_names_our_protocol_or_none() {
    let server = Running::start(LIMITS);
    for (alpn, spoken) in [(&[&b"dot"[..]][..], Some(&b"dot"[..])), (&[], None)] {
        let mut client = server.connect_as(server.trusting(alpn));
        ask(&mut client, "one");
        assert_eq!(client.conn.alpn_protocol(), spoken);
    }
    let mut client = server.connect_as(server.trusting(&[b"http/1.1"]));
    let error = client.write_all(&frame("one")).and_then(|()| client.read(&mut [0])).unwrap_err();
    assert!(error.to_string().contains("NoApplicationProtocol"), "{error}");
    until("the count", || reached(&server.counters.failed_handshake, 1));
    server.end();
}

#[test]
fn a_client_that_comes_back_resumes() {
    let server = Running::start(LIMITS);
    let config = server.trusting(&[b"dot"]);
    for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
        let mut client = server.connect_as(config.clone());
        ask(&mut client, "one");
        assert_eq!(client.conn.handshake_kind(), Some(kind));
    }
    server.end();
}

#[test]
fn a_new_certificate_is_shown_from_the_next_connection_on() {
    let mut server = Running::start(LIMITS);
    let mut before = server.connect();
    ask(&mut before, "one");
    let other = Pair::new();
    assert!(server.certificates.reload(&other.cert, &server.pair.key).is_err());
    ask(&mut server.connect(), "as before");
    server.certificates.reload(&other.cert, &other.key).unwrap();
    assert!(server.connect().write_all(b"x").is_err(), "the old one is no longer shown");
    ask(&mut before, "still there");
    server.pair = other;
    ask(&mut server.connect(), "two");
    server.end();
}

#[test]
fn a_query_in_plain_text_gets_no_reply() {
    let server = Running::start(LIMITS);
    for octets in [frame("one"), b"GET / HTTP/1.1\r\n\r\n".to_vec(), vec![22, 3, 1, 0xff, 0xff, 0]]
    {
        let mut client = server.plain();
        client.write_all(&octets).unwrap();
        let mut heard = Vec::new();
        let _ = client.read_to_end(&mut heard); // a reset ends it as well
        // At most an alert.
        assert!(heard.len() <= 7 && heard.first().is_none_or(|kind| *kind == 21), "{heard:?}");
    }
    until("the counts", || reached(&server.counters.failed_handshake, 3));
    server.end();
}

#[test]
fn a_handshake_has_its_time_and_its_seat() {
    let server = Running::start(Limits { handshake: SHORT, ..LIMITS });
    let mut silent = server.plain();
    assert_eq!(silent.read(&mut [0]).unwrap(), 0);
    until("the count", || reached(&server.counters.timed_out_handshake, 1));
    until("its seat free", || (server.open)() == 0);
    server.end();

    let server = Running::start(Limits { per_client: 1, ..LIMITS });
    let mut first = server.connect();
    ask(&mut first, "one");
    assert!(server.connect().write_all(&frame("two")).is_err());
    until("the count", || reached(&server.counters.refused_client, 1));
    ask(&mut first, "three");
    server.end();
}

#[test]
fn an_idle_client_gets_a_farewell() {
    let server = Running::start(Limits { idle: Duration::from_secs(1), ..LIMITS });
    let mut client = server.connect();
    client.write_all(&frame("one")).unwrap();
    let mut heard = Vec::new();
    // Without the farewell this were an error.
    client.read_to_end(&mut heard).unwrap();
    assert_eq!(heard, frame("one"));
    until("the count", || reached(&server.counters.timed_out_idle, 1));
    server.end();
}

#[test]
fn a_client_that_does_not_read_is_sent_away() {
    let server = Running::start(Limits { write: SHORT, ..LIMITS });
    let mut client = server.connect();
    // 60 MB of replies: far more than the buffers of both ends hold.
    client.write_all(&frame("large").repeat(1000)).unwrap();
    until("the count", || reached(&server.counters.timed_out_write, 1));
    until("its seat free", || (server.open)() == 0);
    ask(&mut server.connect(), "others are served");
    server.end();
}

#[test]
fn what_is_deferred_comes_when_it_can_also_to_a_client_that_has_said_all() {
    let server = Running::start(LIMITS);
    for says_farewell in [true, false] {
        let mut client = server.connect();
        client.write_all(&[frame("later"), frame("now")].concat()).unwrap();
        assert_eq!(hear(&mut client, frame("now").len()), frame("now"));
        until("the deferred query", || server.held.count() == 1);
        if says_farewell {
            client.conn.send_close_notify();
            client.conn.write_tls(&mut client.sock).unwrap();
        }
        client.sock.shutdown(std::net::Shutdown::Write).unwrap();
        let deferred = server.held.take();
        let reply = deferred.query.clone();
        deferred.reply(&reply);
        assert_eq!(hear(&mut client, frame("later").len()), frame("later"));
    }
    server.end();
}

#[test]
fn a_stop_answers_what_was_received() {
    let server = Running::start(LIMITS);
    let queries: Vec<u8> = (0..1000).flat_map(|n| frame(&format!("query {n}"))).collect();
    let mut clients: Vec<_> = (0..10).map(|_| server.connect()).collect();
    let silent = server.plain();
    for client in &mut clients {
        ask(client, "one");
    }
    for client in &mut clients {
        client.write_all(&queries).unwrap();
    }
    server.end();
    for client in &mut clients {
        let mut heard = Vec::new();
        client.read_to_end(&mut heard).unwrap();
        assert_eq!(heard, queries);
    }
    drop(silent);
}
