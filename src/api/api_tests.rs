//! The router without its handlers' ends: what is refused before a registrar is reached, and the configuration
//! and instance that the other tests of this room share.

use super::secrets::load_token;
use super::*;
use crate::access::TokenHash;
use crate::registry::{
    Body as Registered, Declared, Instance, InstanceId, Label, LeaseTerm, PortName, ServiceName,
    State, Texts,
};
use axum::body::{Body, to_bytes};
use axum::routing::{get, put};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::pin::Pin;
use std::task::{Context, Poll};

/// The default configuration, with DNS listening on `dns`.
pub(super) fn config(dns: &str) -> config::Config {
    config::Config {
        dns: config::Dns {
            listen: vec![dns.parse().unwrap()],
            workers: 0,
            spin_micros: 0,
            zones: vec!["svc.internal.".into(), "other.internal.".into()],
            zone_dir: None,
            reverse_zones: Vec::new(),
            ns_addresses: Vec::new(),
            tcp_max_connections: 1,
            tcp_max_per_client: 1,
            tcp_idle_secs: 1,
            nsid: String::new(),
            cookie_secret_file: None,
            tls_listen: Vec::new(),
            https_listen: Vec::new(),
            quic_listen: Vec::new(),
            tls_cert_file: None,
            tls_key_file: None,
        },
        http: config::Http {
            listen: vec!["127.0.0.1:8053".parse().unwrap()],
            ..config::Http::default()
        },
        udp: config::Udp { listen: Vec::new(), key_files: Vec::new(), insecure_unsigned: false },
        access: config::Access::default(),
        audit: config::Audit::default(),
        eureka: config::Eureka { on_http: true, ..config::Eureka::default() },
        unguarded: Vec::new(),
        lease: config::Lease { default_secs: 30, min_secs: 2, max_secs: 86_400 },
        answers: config::Answers { ttl_secs: 5, max_answers: 0, negative_ttl_secs: 2 },
        rate_limit: config::RateLimit {
            responses_per_second: 0,
            exempt: crate::access::Prefixes::default(),
        },
        services: BTreeMap::new(),
        forward: config::Forward::default(),
        history: config::History { events: 100, events_a_service: 10 },
        query_log: config::QueryLog { file: None, one_in: 1, networks_only: false },
        dnstap: config::Dnstap { socket: None, one_in: 1, identity: String::new() },
        metrics: config::Metrics::default(),
        store: config::Store { data_dir: "data".into() },
        log: config::Log { level: "info".into(), json: false },
    }
}

/// An instance that has something of everything but an override.
pub(super) fn instance() -> Instance {
    let id = InstanceId::parse("Web 1").unwrap();
    let label = Label::candidates(&id).next().unwrap();
    let address = "10.0.0.5".parse().unwrap();
    Instance {
        service: ServiceName::parse("web").unwrap(),
        label,
        id,
        body: Registered {
            addresses: vec![address, "fd00::5".parse().unwrap()].into(),
            ports: [(PortName::parse("", "metrics").unwrap(), 9090)].into(),
            texts: Texts::stored(Some("2.1.0"), "blue", "a\n1").unwrap(),
            ..Registered::new(address, 8080, LeaseTerm::Secs(30))
        },
        declared: Declared { state: State::Draining, reason: "deploy 42".into() },
        override_: None,
        registered_unix_ms: 1,
        changed_unix_ms: 2,
        revision: 3,
        owner: crate::registry::Owner::NOBODY,
    }
}

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Example {
    port: u16,
}

/// Guarded routes whose handlers say what reached them.
fn example() -> Guarded {
    let guard = Guard::new(Arc::default(), Audit::default(), &config("127.0.0.1:53").http, &[]);
    let named = |named: native::Named| async move { format!("{} {}", named.service, named.id) };
    let routes = Router::new()
        .route("/services/{service}/instances/{id}", get(named))
        .route("/port", put(async |Json(read): Json<Example>| read.port.to_string()))
        .route(
            "/large",
            put(async |Json(read): Json<Example>| read.port.to_string())
                .layer(DefaultBodyLimit::max(2 * MAX_BODY_OCTETS)),
        );
    guarded(routes.fallback(no_such_path), Arc::new(guard))
}

/// The code, the `Allow` header and the body of the reply.
async fn reply(method: &str, path: &str, body: &str) -> (u16, String, String) {
    let request = Request::builder().method(method).uri(path).header("host", "localhost");
    let request = request.header("content-type", "application/json");
    let mut request = request.body(Body::from(body.to_owned())).unwrap();
    request.extensions_mut().insert(guard::Peer::plain("127.0.0.1:1".parse().unwrap()));
    let response = example().respond(request).await;
    let (parts, body) = response.into_parts();
    let text = String::from_utf8(to_bytes(body, 1 << 20).await.unwrap().to_vec()).unwrap();
    if !parts.status.is_success() {
        assert_eq!(parts.headers["content-type"], "application/problem+json", "{text}");
        let problem: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(problem["status"], parts.status.as_u16(), "{text}");
    }
    let allow = parts.headers.get("allow").map(|allow| allow.to_str().unwrap().to_owned());
    (parts.status.as_u16(), allow.unwrap_or_default(), text)
}

#[tokio::test]
async fn whatever_goes_wrong_is_a_problem() {
    for (method, path, body, code, allow, says) in [
        ("GET", "/nowhere", "", 404, "", "there is nothing at `/nowhere`"),
        ("GET", "/services/web/instances/", "", 404, "", "there is nothing"),
        ("PATCH", "/port", "", 405, "PUT", "`/port` has no PATCH"),
        ("POST", "/services/a/instances/b", "", 405, "GET,HEAD", "has no POST"),
        ("PUT", "/port", "{", 400, "", "not JSON"),
        ("PUT", "/port", "", 400, "", "empty"),
        ("PUT", "/port", r#"{"prot":1}"#, 422, "", r#""field":"prot""#),
        ("GET", "/services/we_b/instances/b", "", 422, "", r#""field":"service""#),
        ("GET", "/services/web/instances/%00", "", 422, "", r#""field":"id""#),
        ("GET", "/services/web/instances/%ff", "", 400, "", "the path cannot be read"),
        ("GET", "/services/web/instances/b/c", "", 404, "", "there is nothing"),
    ] {
        let reply = reply(method, path, body).await;
        assert_eq!((reply.0, &*reply.1), (code, allow), "{method} {path}: {}", reply.2);
        assert!(reply.2.contains(says), "{method} {path}: {}", reply.2);
    }
}

#[tokio::test]
async fn an_id_is_opaque() {
    for (path, id) in [
        ("web-1", "web-1"),
        ("a%2Fb%20c", "a/b c"),
        ("10.0.0.5:8080", "10.0.0.5:8080"),
        ("%C3%A9+%25", "é+%"),
    ] {
        let reply = reply("GET", &format!("/services/web/instances/{path}"), "").await;
        assert_eq!((reply.0, reply.2), (200, format!("web {id}")), "{path}");
    }
}

#[tokio::test]
async fn bodies_are_bounded() {
    let body = |octets: usize| {
        let said = r#"{"port":7}"#;
        format!("{said}{}", " ".repeat(octets - said.len()))
    };
    for (path, octets, code) in [
        ("/port", MAX_BODY_OCTETS, 200),
        ("/port", MAX_BODY_OCTETS + 1, 413),
        ("/large", 2 * MAX_BODY_OCTETS, 200),
        ("/large", 2 * MAX_BODY_OCTETS + 1, 413),
    ] {
        let reply = reply("PUT", path, &body(octets)).await;
        assert_eq!(reply.0, code, "{path} {octets}: {}", reply.2);
    }
}

#[tokio::test]
async fn a_body_that_does_not_arrive_is_not_waited_for() {
    let request = Request::put("/port").body(Body::new(Never)).unwrap();
    let problem = read_body(request, &(), Duration::from_millis(1)).await.unwrap_err();
    assert_eq!(problem.status, StatusCode::REQUEST_TIMEOUT);
}

/// A body of which nothing ever comes.
struct Never;

impl hyper::body::Body for Never {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<Bytes>, Self::Error>>> {
        Poll::Pending
    }
}

#[test]
fn the_token_is_read_from_its_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("token");
    let load = |text: &str| {
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let http = config::Http { token_file: Some(path.clone()), ..config("127.0.0.1:53").http };
        load_token(&http)
    };
    assert!(load("0123456789abcdef\n").unwrap() == Some(TokenHash::of(b"0123456789abcdef")));
    let error = load("short").unwrap_err();
    assert!(error.starts_with("http.token_file /") && error.contains("/token: a token must have"));
    assert!(load_token(&config("127.0.0.1:53").http).unwrap().is_none());
}
