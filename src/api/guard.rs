//! What every HTTP request passes before its handler: the one place that keeps web pages and strangers out.
//!
//! A web page can make a browser on this machine send requests here. So the name it was called by must be one
//! of our own (a page that rebinds its name to our address fails there), a page of another origin is refused,
//! and a write must be JSON, for which a browser asks leave first and, without CORS headers, gets none.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use std::time::SystemTime;

use axum::Router;
use axum::body::HttpBody;
use axum::extract::Request;
use axum::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderName, ORIGIN, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, Version};
use axum::response::{IntoResponse, Response};
use data_encoding::BASE64;
use tower::ServiceExt;

use super::problem::{Problem, shown};
use super::{dashboard, eureka};
use crate::access::{Access, Asker, Caller, Door, Source};
use crate::audit::Audit;
use crate::config::Http;

/// What anybody may ask: whether the server lives, and is ready.
pub const PROBES: [&str; 2] = ["/healthz", "/readyz"];

/// What clients of Eureka write in. None of these can be sent by a page without leave.
const EUREKA_TYPES: [&str; 3] = ["application/json", "application/xml", "text/xml"];

/// Where a request comes from; the serving loop adds it to each.
#[derive(Debug, Clone)]
pub struct Peer {
    /// The address, or the user of this machine.
    pub source: Source,
    /// The names in the certificate that was shown.
    pub names: Arc<[Box<str>]>,
}

impl Peer {
    /// Somebody who came over TCP without a certificate.
    pub fn plain(address: SocketAddr) -> Self {
        Self { source: Source::Address(address), names: Arc::default() }
    }

    /// The address; of a user of this machine, its own.
    pub fn ip(&self) -> IpAddr {
        match self.source {
            Source::Address(address) => address.ip(),
            Source::User(_) | Source::Server => IpAddr::from([127, 0, 0, 1]),
        }
    }

    fn caller(&self) -> Caller<'_> {
        match self.source {
            Source::Address(address) => Caller::Network(address.ip(), &self.names),
            Source::User(uid) => Caller::User(uid),
            Source::Server => Caller::User(0),
        }
    }
}

/// What the guard knows.
#[derive(Debug)]
pub struct Guard {
    access: Arc<Access>,
    audit: Audit,
    names: OwnNames,
}

impl Guard {
    /// A guard for a door with this configuration, which has other addresses too.
    pub fn new(access: Arc<Access>, audit: Audit, http: &Http, others: &[SocketAddr]) -> Self {
        Self { access, audit, names: OwnNames::new(http, others) }
    }

    /// Who asks; nobody needs to be known for a probe. Who is turned away is told to the audit.
    fn admit(&self, request: &Request) -> Result<Option<Asker>, Problem> {
        let admitted = self.check(request);
        if let Err(problem) = &admitted
            && matches!(problem.status.as_u16(), 401 | 403 | 421)
        {
            let source = request.extensions().get::<Peer>().map(|peer| peer.source);
            let source = source.unwrap_or(Source::Server);
            self.audit.turned_away(Door::Http, source, &problem.detail);
        }
        admitted
    }

    fn check(&self, request: &Request) -> Result<Option<Asker>, Problem> {
        let host = self.check_host(request.version(), request.uri(), request.headers())?;
        self.check_origin(request.headers(), host.port_u16())?;
        let is_eureka = eureka::is_eureka(request.uri().path());
        match is_eureka {
            // Its PUT and DELETE have no body that is read; a page would have to ask leave for them in any case.
            true if request.method() != Method::POST => {}
            true => check_content_type(request, &EUREKA_TYPES)?,
            false => check_content_type(request, &["application/json"])?,
        }
        let path = request.uri().path();
        if PROBES.contains(&path) || dashboard::is_page(path) {
            return Ok(None);
        }
        let Some(peer) = request.extensions().get::<Peer>() else {
            return Err(Problem::new(StatusCode::FORBIDDEN, "it is not known where this is from"));
        };
        let basic = if is_eureka { basic(request.headers())? } else { None };
        let bearer = bearer(request.headers())?.or(basic.as_deref());
        let principal = self.access.over_http(peer.caller(), bearer, unix_ms())?;
        let door = if is_eureka { Door::Eureka } else { Door::Http };
        Ok(Some(Asker { principal, door, source: peer.source }))
    }

    fn check_host(
        &self,
        version: Version,
        uri: &Uri,
        headers: &HeaderMap,
    ) -> Result<Authority, Problem> {
        let host = match single(headers, &HOST)? {
            Some(host) => host.to_str().ok().and_then(|text| text.parse().ok()),
            // HTTP/2 has it in `:authority` (RFC 9113, section 8.3.1).
            None if version == Version::HTTP_2 && uri.authority().is_some() => {
                uri.authority().cloned()
            }
            None => return Err(bad_request("there is no Host header")),
        };
        let host: Authority = host.ok_or_else(|| bad_request("the Host header is no host"))?;
        // A request to a proxy names its host in the first line (RFC 9112, section 3.2.2).
        for name in [Some(&host), uri.authority()].into_iter().flatten() {
            if !self.names.contains(name) {
                let name = shown(name.host());
                let detail = format!(
                    "`{name}` is not a name of this server: call it by an address it listens on, \
                     or add the name to `http.host_names`"
                );
                return Err(Problem::new(StatusCode::MISDIRECTED_REQUEST, detail));
            }
        }
        Ok(host)
    }

    /// Refuses pages that are not ours: one of ours has our name, and the port that was called or listens.
    fn check_origin(&self, headers: &HeaderMap, port: Option<u16>) -> Result<(), Problem> {
        let Some(origin) = single(headers, &ORIGIN)? else { return Ok(()) };
        let own = origin
            .to_str()
            .ok()
            .and_then(|text| text.split_once("://"))
            .and_then(|(_, authority)| authority.parse::<Authority>().ok())
            .is_some_and(|origin| self.names.is_origin(&origin, port));
        if own {
            return Ok(());
        }
        let origin = shown(&String::from_utf8_lossy(origin.as_bytes()));
        let detail = format!("a page of `{origin}` may not call this server");
        Err(Problem::new(StatusCode::FORBIDDEN, detail))
    }
}

/// Routes behind a guard. It stands around the router and not in it: a layer would be cloned and boxed for each
/// request.
#[derive(Debug, Clone)]
pub struct Guarded {
    guard: Arc<Guard>,
    routes: Router,
}

impl Guarded {
    /// Puts a guard before routes.
    pub fn new(guard: Arc<Guard>, routes: Router) -> Self {
        Self { guard, routes }
    }

    /// Lets a request through to its handler, with the [`Asker`], or answers it with a problem.
    pub async fn respond(&self, mut request: Request) -> Response {
        let mut response = match self.guard.admit(&request) {
            Ok(asker) => {
                if let Some(asker) = asker {
                    request.extensions_mut().insert(asker);
                }
                let Ok(response) = self.routes.clone().oneshot(request).await;
                response
            }
            Err(problem) => problem.into_response(),
        };
        let headers = response.headers_mut();
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
        response
    }
}

/// The time of day, in milliseconds since 1970 UTC.
pub fn unix_ms() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

/// A write with a body must be JSON, or what else a page cannot send unasked; so must a POST without one.
fn check_content_type(request: &Request, allowed: &[&'static str]) -> Result<(), Problem> {
    let method = request.method();
    if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) {
        return Ok(());
    }
    let given = match single(request.headers(), &CONTENT_TYPE)? {
        Some(given) => given,
        None if request.body().is_end_stream() && method != Method::POST => return Ok(()),
        None => return Err(wrong_type(allowed, "none")),
    };
    let given = String::from_utf8_lossy(given.as_bytes());
    let essence = given.split(';').next().unwrap_or_default().trim();
    if allowed.iter().any(|allowed| essence.eq_ignore_ascii_case(allowed)) {
        return Ok(());
    }
    Err(wrong_type(allowed, &shown(&given)))
}

fn wrong_type(allowed: &[&'static str], given: &str) -> Problem {
    let first = allowed.first().copied().unwrap_or_default();
    let detail = format!("send it with `Content-Type: {first}` (it had {given})");
    Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail)
}

/// The token of an `Authorization: Bearer` header (RFC 6750, section 2.1).
fn bearer(headers: &HeaderMap) -> Result<Option<&[u8]>, Problem> {
    let Some(value) = single(headers, &AUTHORIZATION)? else { return Ok(None) };
    let (scheme, token) = value.as_bytes().split_at_checked(6).unwrap_or_default();
    Ok(scheme.eq_ignore_ascii_case(b"Bearer").then(|| token.trim_ascii()))
}

/// The token that a client of Eureka has as the password in its server's URL (RFC 7617, section 2).
fn basic(headers: &HeaderMap) -> Result<Option<Vec<u8>>, Problem> {
    let Some(value) = single(headers, &AUTHORIZATION)? else { return Ok(None) };
    let (scheme, given) = value.as_bytes().split_at_checked(5).unwrap_or_default();
    if !scheme.eq_ignore_ascii_case(b"Basic") {
        return Ok(None);
    }
    let decoded = BASE64.decode(given.trim_ascii()).unwrap_or_default();
    let colon = decoded.iter().position(|octet| *octet == b':');
    Ok(colon.and_then(|at| decoded.get(at + 1..)).map(<[u8]>::to_vec))
}

/// The one header of this name: of two, one reader would believe the first and another the second.
fn single<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'a HeaderValue>, Problem> {
    let mut all = headers.get_all(name).iter();
    match (all.next(), all.next()) {
        (first, None) => Ok(first),
        _ => Err(bad_request(format!("there is more than one {name} header"))),
    }
}

fn bad_request(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, detail)
}

/// The names under which the server may be called.
#[derive(Debug)]
struct OwnNames {
    addresses: HashSet<IpAddr>,
    /// It listens on a wildcard: any address may be one of the machine's. Rebinding needs a name.
    any_address: bool,
    names: HashSet<String>,
    ports: HashSet<u16>,
}

impl OwnNames {
    fn new(http: &Http, others: &[SocketAddr]) -> Self {
        let listen = || http.listen.iter().chain(&http.tls_listen).chain(others);
        let mut own = Self {
            addresses: [IpAddr::from([127, 0, 0, 1]), IpAddr::from(std::net::Ipv6Addr::LOCALHOST)]
                .into(),
            any_address: false,
            names: HashSet::from(["localhost".to_owned()]),
            ports: listen().map(SocketAddr::port).collect(),
        };
        for listen in listen() {
            own.any_address |= listen.ip().is_unspecified();
            own.addresses.insert(listen.ip().to_canonical());
        }
        for name in &http.host_names {
            match address(name) {
                Some(address) => own.addresses.insert(address),
                None => own.names.insert(plain(name)),
            };
        }
        own
    }

    fn contains(&self, authority: &Authority) -> bool {
        // `user@host` is no Host (RFC 9110, section 7.2).
        if authority.as_str().contains('@') {
            return false;
        }
        match address(authority.host()) {
            Some(address) => self.any_address || self.addresses.contains(&address),
            None => self.names.contains(&plain(authority.host())),
        }
    }

    fn is_origin(&self, origin: &Authority, called: Option<u16>) -> bool {
        let port = origin.port_u16();
        self.contains(origin)
            && (port == called || port.is_some_and(|port| self.ports.contains(&port)))
    }
}

fn address(host: &str) -> Option<IpAddr> {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    bare.parse().ok().map(|address: IpAddr| address.to_canonical())
}

fn plain(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{Configured, TokenHash};
    use axum::body::Body;
    use axum::routing::any;

    const SECRET: &str = "0123456789abcdef";

    fn http(listen: &str) -> Http {
        Http {
            listen: vec![listen.parse().unwrap()],
            host_names: vec!["Rollcall.example.".into(), "192.0.2.9".into()],
            ..Http::default()
        }
    }

    fn router(listen: &str, token: Option<&str>) -> Guarded {
        let access = Access::default();
        let token = token.map(|token| TokenHash::parse(token).unwrap());
        access.configure(Configured { token, ..Configured::default() });
        let guard = Guard::new(Arc::new(access), Audit::default(), &http(listen), &[]);
        let state = Arc::new(guard);
        let reached =
            |request: Request| async move { format!("{:?}", request.extensions().get::<Asker>()) };
        Guarded::new(state, Router::new().fallback(any(reached)))
    }

    /// The code of the reply to a request that is written as its head and body.
    async fn status(router: Guarded, peer: &str, text: &str) -> u16 {
        let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
        let mut lines = head.lines();
        let (method, uri) = lines.next().unwrap().split_once(' ').unwrap();
        let mut request = Request::builder().method(method).uri(uri);
        for line in lines {
            let (name, value) = line.split_once(": ").unwrap();
            request = request.header(name, value);
        }
        let mut request = request.body(Body::from(body.to_owned())).unwrap();
        request.extensions_mut().insert(Peer::plain(format!("{peer}:1234").parse().unwrap()));
        let response = router.respond(request).await;
        assert_eq!(response.headers()[X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert!(!response.headers().contains_key("access-control-allow-origin"));
        response.status().as_u16()
    }

    #[tokio::test]
    async fn it_is_called_by_its_own_names() {
        for (host, at_loopback, at_wildcard) in [
            ("127.0.0.1:8053", 200, 200),
            ("127.0.0.1", 200, 200),
            ("[::1]:9", 200, 200),
            ("localhost", 200, 200),
            ("LOCALHOST.:80", 200, 200),
            ("rollcall.example", 200, 200),
            ("192.0.2.9", 200, 200),
            ("192.0.2.8:8053", 421, 200),
            ("[fd00::1]", 421, 200),
            ("evil.example", 421, 421),
            ("localhost.evil.example", 421, 421),
            ("a@localhost", 421, 421),
            ("a b", 400, 400),
            ("", 400, 400),
        ] {
            let text = format!("GET /x\nHost: {host}");
            for (listen, expected) in [("127.0.0.1:8053", at_loopback), ("[::]:80", at_wildcard)] {
                let status = status(router(listen, None), "127.0.0.1", &text).await;
                assert_eq!(status, expected, "{host} at {listen}");
            }
        }
        for (text, expected) in [
            ("GET /x", 400),
            ("GET /x\nHost: localhost\nHost: localhost", 400),
            ("GET http://evil.example/x\nHost: localhost", 421),
            ("GET http://localhost/x\nHost: localhost", 200),
            ("GET /healthz\nHost: evil.example", 421),
        ] {
            let status = status(router("127.0.0.1:8053", None), "127.0.0.1", text).await;
            assert_eq!(status, expected, "{text}");
        }
    }

    #[tokio::test]
    async fn foreign_pages_are_refused() {
        for (origin, expected) in [
            ("http://localhost:8053", 200),
            ("http://127.0.0.1:8053", 200),
            ("https://rollcall.example:8053", 200),
            ("http://localhost:3000", 403),
            ("https://rollcall.example", 403),
            ("http://evil.example", 403),
            ("http://evil.example:8053", 403),
            ("null", 403),
            ("file://", 403),
        ] {
            let text = format!("GET /x\nHost: localhost:8053\nOrigin: {origin}");
            let status = status(router("127.0.0.1:8053", None), "127.0.0.1", &text).await;
            assert_eq!(status, expected, "{origin}");
        }
        let behind_a_proxy = "GET /x\nHost: rollcall.example\nOrigin: https://rollcall.example";
        assert_eq!(status(router("127.0.0.1:8053", None), "127.0.0.1", behind_a_proxy).await, 200);
    }

    #[tokio::test]
    async fn writes_are_json() {
        for (text, expected) in [
            ("PUT /x\nHost: localhost", 200),
            ("DELETE /x\nHost: localhost", 200),
            ("PUT /x\nHost: localhost\n\n{}", 415),
            ("POST /x\nHost: localhost", 415),
            ("POST /x\nHost: localhost\nContent-Type: text/plain\n\n{}", 415),
            ("PUT /x\nHost: localhost\nContent-Type: application/x-www-form-urlencoded", 415),
            ("PUT /x\nHost: localhost\nContent-Type: application/jsonp\n\n{}", 415),
            ("PUT /x\nHost: localhost\nContent-Type: application/json\n\n{}", 200),
            ("POST /x\nHost: localhost\nContent-Type: Application/JSON; charset=utf-8\n\n{}", 200),
        ] {
            let status = status(router("127.0.0.1:8053", None), "127.0.0.1", text).await;
            assert_eq!(status, expected, "{text}");
        }
    }

    #[tokio::test]
    async fn strangers_are_refused() {
        let bearer = |token: &str| format!("GET /x\nHost: localhost\nAuthorization: {token}");
        for (token, peer, text, expected) in [
            (None, "127.0.0.1", bearer("Basic eDp5"), 200),
            (None, "192.0.2.1", bearer("Basic eDp5"), 403),
            (None, "192.0.2.1", "GET /readyz\nHost: localhost".into(), 200),
            (Some(SECRET), "127.0.0.1", "GET /x\nHost: localhost".into(), 401),
            (Some(SECRET), "192.0.2.1", "GET /healthz\nHost: localhost".into(), 200),
            (Some(SECRET), "192.0.2.1", "GET /metrics\nHost: localhost".into(), 401),
            (Some(SECRET), "192.0.2.1", bearer(&format!("Bearer {SECRET}")), 200),
            (Some(SECRET), "192.0.2.1", bearer(&format!("bearer  {SECRET}")), 200),
            (Some(SECRET), "192.0.2.1", bearer(&format!("Basic {SECRET}")), 401),
            (Some(SECRET), "192.0.2.1", bearer("Bearer 0123456789abcdeF"), 401),
            (Some(SECRET), "192.0.2.1", bearer("x"), 401),
        ] {
            let status = status(router("127.0.0.1:8053", token), peer, &text).await;
            assert_eq!(status, expected, "{peer} with {token:?}: {text}");
        }
    }
}
