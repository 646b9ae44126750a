use std::time::Duration;

use rcgen::{CertificateParams, date_time_ymd};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::{ALL_VERSIONS, HandshakeKind};

use super::*;
use crate::dns::forward::exchange::tcp::{IDLE_ENCRYPTED, Streams};
use crate::dns::forward::exchange::{self, Budget, Failure, Means};
use crate::dns::forward::message::HEADER;
use crate::dns::forward::testing::encrypted::{Ca, NAME, dot, nobody, server_name};
use crate::dns::forward::testing::{
    Act, Fake, good, honest, later, question, reply, settle, silent,
};
use crate::dns::forward::upstream::{
    Address, PATIENCE_HANDSHAKE, PATIENCE_MOST, Transport, Upstream,
};

const WEB: &str = "web.example.";

fn upstream(addr: SocketAddr, name: &str, tls: &Tls) -> Upstream {
    let address = Address { addr, transport: Transport::Tls(server_name(name)) };
    let means = Means { sockets: super::super::udp::Sockets::new(1), tls: tls.clone() };
    Upstream::new(address, &means, Instant::now())
}

async fn ask(upstream: &Upstream, name: &str) -> Result<Vec<u8>, Failure> {
    exchange::ask(upstream, &question(name), &Budget::default()).await
}

fn streams(fake: &Fake, ca: &Ca) -> Arc<Streams> {
    let (name, trouble) = (server_name(NAME), Arc::new(Trouble::new(&"x")));
    Arc::new(Streams::encrypted(ca.trusted().for_dot(fake.addr, &name, &trouble)))
}

#[tokio::test]
async fn many_questions_share_an_encrypted_connection_in_any_order() {
    const COUNT: usize = 90;
    let held = Mutex::new(Vec::new());
    let last_first = move |_: usize, query: &[u8]| {
        let mut held = held.lock();
        held.push(Act::Say(reply(query, 0, &[[10, 0, query[HEADER + 2], query[HEADER + 3]]])));
        if held.len() < COUNT { Vec::new() } else { held.drain(..).rev().collect() }
    };
    let ca = Ca::new();
    let (fake, _) = dot(ca.server("dot"), last_first).await;
    let streams = streams(&fake, &ca);
    let mut asked = JoinSet::new();
    for n in 10..10 + COUNT {
        let streams = streams.clone();
        asked.spawn(async move {
            let name = format!("n{n}.example.");
            let letters = crate::dns::forward::message::Letters::Lower;
            let reply = streams.ask(&question(&name), letters, &Budget::default()).await;
            (n.to_string(), reply.unwrap().octets)
        });
    }
    for (n, reply) in asked.join_all().await {
        assert!(reply.ends_with(n.as_bytes()), "{n}: {reply:?}");
    }
    assert_eq!((*fake.heard.connections.lock(), streams.is_open()), (1, true));
    // Nobody sees by their length what they are about (RFC 8467).
    let queries = fake.heard.on_streams.lock();
    assert_eq!(queries.len(), COUNT);
    assert!(queries.iter().all(|query| query.len() == 128), "{queries:?}");
}

/// An upstream that is not used: why, and that no query came to it.
async fn is_refused(acceptor: TlsAcceptor, name: &str, tls: &Tls, expected: &str) {
    let (fake, _) = dot(acceptor, honest).await;
    let upstream = upstream(fake.addr, name, tls);
    assert_eq!(ask(&upstream, WEB).await, Err(Failure::Untrusted), "{expected}");
    let reason = upstream.trouble().reason().unwrap();
    assert!(reason.contains(expected), "{reason}");
    assert!(upstream.health().is_doubted());
    assert_eq!((fake.count(WEB), *fake.heard.connections.lock()), (0, 1));
    // What was wrong a moment ago is not tried at each question.
    assert_eq!(ask(&upstream, WEB).await, Err(Failure::Untrusted));
    assert_eq!(*fake.heard.connections.lock(), 1);
    later(RETRY_AFTER).await;
    assert_eq!(ask(&upstream, WEB).await, Err(Failure::Untrusted));
    assert_eq!((fake.count(WEB), *fake.heard.connections.lock()), (0, 2));
}

#[tokio::test]
async fn who_cannot_prove_its_name_is_not_asked() {
    let ca = Ca::new();
    let with = |change: fn(&mut CertificateParams)| ca.server_with("dot", ALL_VERSIONS, change);
    let expired = with(|params| params.not_after = date_time_ymd(2020, 1, 1));
    let not_yet = with(|params| params.not_before = date_time_ymd(4000, 1, 1));
    let is_ca = with(|params| {
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    });
    let trusted = ca.trusted();
    for (acceptor, name, tls, expected) in [
        (ca.server("dot"), "other.example", &trusted, "is not for `other.example`"),
        (ca.server("dot"), "127.0.0.1", &trusted, "is not for `127.0.0.1`"),
        (expired, NAME, &trusted, "has expired"),
        (not_yet, NAME, &trusted, "not valid yet"),
        (is_ca, NAME, &trusted, "that of a CA itself"),
        (Ca::new().server("dot"), NAME, &trusted, "CA that is not trusted here"),
        (Ca::named("other").server("dot"), NAME, &trusted, "CA that is not trusted here"),
        (ca.server("dot"), NAME, &Tls::trusting([]).unwrap(), "CA that is not trusted here"),
        (ca.server("h2"), NAME, &trusted, "(NoApplicationProtocol)"),
    ] {
        is_refused(acceptor, name, tls, expected).await;
    }
}

#[tokio::test]
async fn a_plain_server_behind_the_port_is_not_asked() {
    let tls = Ca::new().trusted();
    // A server of DNS over TCP takes the beginning of the handshake for a long message, and waits for the rest.
    let waits = Fake::start(honest, honest).await;
    let one = upstream(waits.addr, NAME, &tls);
    let asked = async {
        let ask = ask(&one, WEB);
        tokio::pin!(ask);
        loop {
            tokio::select! {
                reply = &mut ask => return reply,
                () = later(HANDSHAKE_MOST / 4) => {}
            }
        }
    };
    assert_eq!(asked.await, Err(Failure::Untrusted));
    assert!(one.trouble().reason().unwrap().contains("whether TLS is spoken"));
    assert_eq!((waits.count(WEB), waits.heard.on_streams.lock().len()), (0, 0));
    // Others say something at once, or close.
    for (greeting, expected) in
        [(&b"220 mail.example\r\n"[..], "is no TLS"), (&b""[..], "whether TLS is spoken")]
    {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let other = upstream(listener.local_addr().unwrap(), NAME, &tls);
        let talk = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::io::AsyncWriteExt::write_all(&mut stream, greeting).await.unwrap();
            let mut room = [0; 4096];
            let _ = tokio::io::AsyncReadExt::read(&mut stream, &mut room).await;
        };
        let (reply, ()) = tokio::join!(ask(&other, WEB), talk);
        assert_eq!(reply, Err(Failure::Untrusted));
        let reason = other.trouble().reason().unwrap();
        assert!(reason.contains(expected), "{reason}");
    }
    // Where nobody listens there is nothing to be told about TLS.
    let nobody = upstream(nobody().await, NAME, &tls);
    assert_eq!(ask(&nobody, WEB).await, Err(Failure::Unreachable));
    assert_eq!(nobody.trouble().reason(), None);
}

#[tokio::test]
async fn an_upstream_that_was_put_right_is_used_again() {
    let (ca, other) = (Ca::new(), Ca::new());
    let (fake, _) = dot(ca.server("dot"), honest).await;
    let both = Tls::trusting([ca.certificate.clone(), other.certificate.clone()]).unwrap();
    let upstream = upstream(fake.addr, NAME, &both);
    upstream.trouble().note("its certificate has expired", Instant::now());
    assert!(ask(&upstream, WEB).await.is_ok());
    assert_eq!(upstream.trouble().reason(), None);
    assert!(!upstream.health().is_doubted());
}

#[tokio::test]
async fn a_server_that_closes_is_connected_to_again_with_the_same_session() {
    for version in [&TLS13, &TLS12] {
        let ca = Ca::new();
        let answers_once = |_: usize, query: &[u8]| vec![Act::Say(good(query)), Act::Close];
        let acceptor = ca.server_with("dot", &[version], |_| {});
        let (fake, handshakes) = dot(acceptor, answers_once).await;
        let upstream = upstream(fake.addr, NAME, &ca.trusted());
        for n in 1..=3 {
            assert!(ask(&upstream, WEB).await.is_ok());
            assert_eq!(*fake.heard.connections.lock(), n);
        }
        let resumed = vec![HandshakeKind::Full, HandshakeKind::Resumed, HandshakeKind::Resumed];
        assert_eq!(*handshakes.lock(), resumed);
    }
}

#[tokio::test]
async fn an_idle_connection_is_closed_with_a_goodbye() {
    let ca = Ca::new();
    let (fake, _) = dot(ca.server("dot"), honest).await;
    let streams = streams(&fake, &ca);
    let letters = crate::dns::forward::message::Letters::Lower;
    assert!(streams.ask(&question(WEB), letters, &Budget::default()).await.is_ok());
    later(IDLE_ENCRYPTED * 3 / 4).await;
    assert!(streams.is_open());
    later(IDLE_ENCRYPTED).await;
    assert_eq!((streams.is_open(), streams.count()), (false, 0));
}

#[tokio::test]
async fn a_handshake_is_given_its_time() {
    let ca = Ca::new();
    let (fake, _) = dot(ca.server("dot"), honest).await;
    let upstream = upstream(fake.addr, NAME, &ca.trusted());
    assert_eq!(upstream.patience(), PATIENCE_HANDSHAKE);
    assert!(ask(&upstream, WEB).await.is_ok());
    assert!(upstream.patience() <= PATIENCE_MOST);
    assert_eq!(upstream.patience(), upstream.health().patience());
}

#[tokio::test]
async fn a_question_that_is_repeated_goes_another_way() {
    let ca = Ca::new();
    // The first connection's questions are lost.
    let second_only = |nth: usize, query: &[u8]| match nth {
        0 => Vec::new(),
        _ => vec![Act::Say(good(query))],
    };
    let (fake, _) = dot(ca.server("dot"), second_only).await;
    let upstream = Arc::new(upstream(fake.addr, NAME, &ca.trusted()));
    let lost = tokio::spawn({
        let upstream = upstream.clone();
        async move { ask(&upstream, WEB).await }
    });
    while fake.heard.on_streams.lock().is_empty() {
        settle().await;
    }
    later(super::super::pulse::SLOW).await;
    assert!(ask(&upstream, WEB).await.is_ok());
    assert_eq!(*fake.heard.connections.lock(), 2);
    lost.abort();
}

#[tokio::test]
async fn a_connection_that_opens_slowly_ends_in_time() {
    // It is accepted and nothing is said.
    let silent = Fake::start(silent, silent).await;
    let upstream = upstream(silent.addr, NAME, &Ca::new().trusted());
    let asked = ask(&upstream, WEB);
    tokio::pin!(asked);
    let mut waited = Duration::ZERO;
    let reply = loop {
        tokio::select! {
            reply = &mut asked => break reply,
            () = later(HANDSHAKE_MOST / 4) => waited += HANDSHAKE_MOST / 4,
        }
    };
    assert_eq!(reply, Err(Failure::Untrusted));
    assert!(waited <= HANDSHAKE_MOST * 2, "{waited:?}");
}
