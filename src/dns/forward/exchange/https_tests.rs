use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::*;
use crate::dns::forward::exchange::pulse::SLOW;
use crate::dns::forward::exchange::{self, Means, Ways, udp};
use crate::dns::forward::message::HEADER;
use crate::dns::forward::testing::encrypted::{
    Ca, NAME, Said, doh, dot, nobody, response, server_name,
};
use crate::dns::forward::testing::{good, honest, later, question, reply, settle, truncated, with};
use crate::dns::forward::upstream::{Address, PATIENCE_HANDSHAKE, Transport, Upstream};

const WEB: &str = "web.example.";

fn upstream(addr: std::net::SocketAddr, ca: &Ca) -> Arc<Upstream> {
    let (name, path) = (server_name(NAME), "/dns-query".to_owned());
    let address = Address { addr, transport: Transport::Https { name, path } };
    let means = Means { sockets: udp::Sockets::new(1), tls: ca.trusted() };
    Arc::new(Upstream::new(address, &means, Instant::now()))
}

async fn ask(upstream: &Upstream, name: &str) -> Result<Vec<u8>, Failure> {
    exchange::ask(upstream, &question(name), &Budget::default()).await
}

async fn well(_: usize, query: Vec<u8>) -> Said {
    Some(response(good(&query)))
}

#[tokio::test]
async fn many_questions_share_one_connection() {
    const COUNT: usize = 90;
    let ca = Ca::new();
    let barrier = Arc::new(Barrier::new(COUNT));
    // None is answered before all have come.
    let together = move |_: usize, query: Vec<u8>| {
        let barrier = barrier.clone();
        async move {
            barrier.wait().await;
            let address = [10, 0, query[HEADER + 2], query[HEADER + 3]];
            Some(response(reply(&query, 0, &[address])))
        }
    };
    let (fake, requests) = doh(ca.server("h2"), together).await;
    let upstream = upstream(fake.addr, &ca);
    assert_eq!(upstream.patience(), PATIENCE_HANDSHAKE);
    let mut asked = JoinSet::new();
    for n in 10..10 + COUNT {
        let upstream = upstream.clone();
        asked.spawn(async move {
            let reply = ask(&upstream, &format!("n{n}.example.")).await;
            (n.to_string(), reply.unwrap())
        });
    }
    for (n, reply) in asked.join_all().await {
        assert!(reply.ends_with(n.as_bytes()), "{n}: {reply:?}");
    }
    assert_eq!(upstream.patience(), upstream.health().patience());
    assert_eq!(*fake.heard.connections.lock(), 1);
    let requests = requests.lock();
    assert_eq!(requests.len(), COUNT);
    for request in &*requests {
        let (headers, body) = (request.headers(), request.body());
        let uri = format!("https://{NAME}:{}/dns-query", fake.addr.port());
        assert_eq!((request.method().as_str(), request.uri().to_string()), ("POST", uri));
        assert_eq!(headers["content-type"], "application/dns-message");
        assert_eq!(headers["accept"], "application/dns-message");
        // The id is 0 (RFC 8484, section 4.1), and the length says nothing (RFC 8467).
        assert_eq!((body.len(), &body[..2]), (128, &[0, 0][..]));
    }
}

#[tokio::test]
async fn only_a_reply_is_taken_for_one() {
    let ca = Ca::new();
    type Change = fn(&[u8]) -> Said;
    let cases: [(Change, Failure, &str); 8] = [
        (
            |query| {
                let mut response = response(good(query));
                *response.status_mut() = hyper::StatusCode::NOT_FOUND;
                Some(response)
            },
            Failure::Http(404),
            "HTTP status 404",
        ),
        (
            |query| {
                let mut response = response(good(query));
                response.headers_mut().insert("content-type", "text/html".parse().unwrap());
                Some(response)
            },
            Failure::Unfit,
            "replies with `text/html` instead of application/dns-message",
        ),
        (
            |query| {
                let mut response = response(good(query));
                response.headers_mut().remove("content-type");
                Some(response)
            },
            Failure::Unfit,
            "replies with ``",
        ),
        (|_| Some(response(vec![0; REPLY_MOST + 1])), Failure::Unfit, "longer than a DNS message"),
        (|_| Some(response(Vec::new())), Failure::Unfit, "no answer to the question"),
        (|query| Some(response(truncated(query))), Failure::Unfit, "no answer to the question"),
        (
            |query| Some(response(with(good(query), |reply| reply[1] = 1))),
            Failure::Unfit,
            "no answer to the question",
        ),
        (
            |query| Some(response(with(good(query), |reply| reply[HEADER + 1] = b'x'))),
            Failure::Unfit,
            "no answer to the question",
        ),
    ];
    for (change, failure, expected) in cases {
        let say = move |_: usize, query: Vec<u8>| async move { change(&query) };
        let (fake, requests) = doh(ca.server("h2"), say).await;
        let upstream = upstream(fake.addr, &ca);
        assert_eq!(ask(&upstream, WEB).await, Err(failure), "{expected}");
        let reason = upstream.trouble().reason().unwrap();
        assert!(reason.contains(expected), "{reason}");
        assert_eq!(requests.lock().len(), 1);
    }
}

#[tokio::test]
async fn what_a_response_may_be_is_taken() {
    let ca = Ca::new();
    let say = |nth: usize, query: Vec<u8>| async move {
        let mut long = good(&query);
        long.resize(REPLY_MOST, 0);
        let mut response = response(if nth == 0 { good(&query) } else { long });
        let media_type = "Application/DNS-Message; charset=x".parse().unwrap();
        response.headers_mut().insert("content-type", media_type);
        response.headers_mut().insert("age", "13".parse().unwrap());
        *response.status_mut() = hyper::StatusCode::NON_AUTHORITATIVE_INFORMATION;
        Some(response)
    };
    let (fake, _) = doh(ca.server("h2"), say).await;
    let upstream = upstream(fake.addr, &ca);
    let aged = ask(&upstream, WEB).await.unwrap();
    // The TTL of 60 s is 13 s old (RFC 8484, section 5.1).
    assert!(aged.ends_with(&[0, 0, 0, 47, 0, 4, 192, 0, 2, 1]), "{aged:?}");
    assert_eq!(ask(&upstream, WEB).await.unwrap().len(), REPLY_MOST);
    // A response code is a reply.
    let refuses = |_: usize, query: Vec<u8>| async move { Some(response(reply(&query, 5, &[]))) };
    let (fake, _) = doh(ca.server("h2"), refuses).await;
    assert_eq!(ask(&self::upstream(fake.addr, &ca), WEB).await, Err(Failure::Rcode(5)));
}

#[tokio::test]
async fn a_used_connection_that_breaks_is_replaced_and_a_fresh_one_is_not() {
    let ca = Ca::new();
    // The second request breaks the connection, or what is sent of it.
    let say = |nth: usize, query: Vec<u8>| async move {
        if nth == 1 { None } else { Some(response(good(&query))) }
    };
    let (fake, requests) = doh(ca.server("h2"), say).await;
    let upstream = upstream(fake.addr, &ca);
    assert!(ask(&upstream, WEB).await.is_ok());
    assert!(ask(&upstream, WEB).await.is_ok());
    assert_eq!((requests.lock().len(), *fake.heard.connections.lock()), (3, 2));
    let (fake, requests) = doh(ca.server("h2"), |_, _| async { None }).await;
    let upstream = self::upstream(fake.addr, &ca);
    assert_eq!(ask(&upstream, WEB).await, Err(Failure::Unreachable));
    assert_eq!((requests.lock().len(), *fake.heard.connections.lock()), (1, 1));
    let spent = Budget::default();
    while spent.take().is_ok() {}
    let asked = exchange::ask(&upstream, &question(WEB), &spent).await;
    assert_eq!(asked, Err(Failure::Spent));
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_opened_again() {
    let ca = Ca::new();
    let (fake, _) = doh(ca.server("h2"), well).await;
    let upstream = upstream(fake.addr, &ca);
    assert!(ask(&upstream, WEB).await.is_ok());
    let Ways::Https(https) = upstream.ways() else { panic!("no HTTPS") };
    for _ in 0..20 {
        later(IDLE_ENCRYPTED / 10).await;
    }
    assert!(!https.is_open());
    assert!(ask(&upstream, WEB).await.is_ok());
    assert_eq!(*fake.heard.connections.lock(), 2);
}

#[tokio::test]
async fn a_question_that_is_repeated_goes_another_way() {
    let ca = Ca::new();
    let say = |nth: usize, query: Vec<u8>| async move {
        if nth == 0 {
            std::future::pending::<()>().await;
        }
        Some(response(good(&query)))
    };
    let (fake, requests) = doh(ca.server("h2"), say).await;
    let upstream = upstream(fake.addr, &ca);
    let lost = tokio::spawn({
        let upstream = upstream.clone();
        async move { ask(&upstream, WEB).await }
    });
    while requests.lock().is_empty() {
        settle().await;
    }
    later(SLOW).await;
    assert!(ask(&upstream, WEB).await.is_ok());
    assert_eq!(*fake.heard.connections.lock(), 2);
    for _ in 0..5 {
        later(STALL / 4).await;
    }
    assert_eq!(lost.await.unwrap(), Err(Failure::Silent));
}

#[tokio::test]
async fn who_speaks_no_http_2_or_is_not_there_is_not_asked() {
    let ca = Ca::new();
    let (fake, _) = dot(ca.server("dot"), honest).await;
    let upstream = upstream(fake.addr, &ca);
    assert_eq!(ask(&upstream, WEB).await, Err(Failure::Untrusted));
    assert!(upstream.trouble().reason().unwrap().contains("NoApplicationProtocol"));
    let nobody = self::upstream(nobody().await, &ca);
    assert_eq!(ask(&nobody, WEB).await, Err(Failure::Unreachable));
    // Its certificate is that of another.
    let (fake, requests) = doh(Ca::new().server("h2"), well).await;
    let stranger = self::upstream(fake.addr, &ca);
    assert_eq!(ask(&stranger, WEB).await, Err(Failure::Untrusted));
    assert_eq!(requests.lock().len(), 0);
}

#[test]
fn the_authority_is_the_name_with_its_port() {
    for (name, port, expected) in [
        ("dns.example", 443, "dns.example"),
        ("dns.example", 8443, "dns.example:8443"),
        ("192.0.2.53", 443, "192.0.2.53"),
        ("fd00::53", 8443, "[fd00::53]:8443"),
    ] {
        assert_eq!(authority(&server_name(name), port), expected);
    }
}
