//! A request of DNS over HTTPS to its response (RFC 8484, sections 4 and 5).

use std::net::SocketAddr;
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Bytes};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use tokio::time::timeout;

use crate::answer::{Transport, peek};
use crate::net::Answer;
use crate::net::replier::{Replier, Unanswered};
use crate::view::LeaseTime;

/// Where queries go: what clients have in their templates unless they are told otherwise (RFC 8484, section 4.1.1).
pub(super) const PATH: &str = "/dns-query";
/// The type of queries and replies (RFC 8484, section 6).
const MEDIA_TYPE: &str = "application/dns-message";
/// Octets of the longest query.
const MAX_QUERY_OCTETS: usize = u16::MAX as usize;
/// What is asked with at this path.
const METHODS: &str = "GET, HEAD, POST";

/// A body that is there whole.
pub(super) type Whole = Full<Bytes>;

/// Why a request gets no reply of DNS: a status, and a few words for who reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Refusal(StatusCode, &'static str);

const NO_SUCH_PATH: Refusal = Refusal(StatusCode::NOT_FOUND, "DNS is asked at /dns-query");
const NO_SUCH_METHOD: Refusal =
    Refusal(StatusCode::METHOD_NOT_ALLOWED, "DNS is asked with GET, HEAD or POST");
const NO_PARAMETER: Refusal =
    Refusal(StatusCode::BAD_REQUEST, "one parameter, dns, has to be the query in base64url");
const NOT_BASE64: Refusal =
    Refusal(StatusCode::BAD_REQUEST, "the parameter dns is not base64url without padding");
const WRONG_TYPE: Refusal =
    Refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, "a query is application/dns-message");
const TOO_LONG: Refusal =
    Refusal(StatusCode::PAYLOAD_TOO_LARGE, "a query has at most 65,535 octets");
const TOO_SLOW: Refusal = Refusal(StatusCode::REQUEST_TIMEOUT, "the query did not come in time");
const CUT_OFF: Refusal = Refusal(StatusCode::BAD_REQUEST, "the query is cut off");
const NO_QUERY: Refusal = Refusal(StatusCode::BAD_REQUEST, "this is no query");
const GIVEN_UP: Refusal =
    Refusal(StatusCode::SERVICE_UNAVAILABLE, "too much is being asked now: ask again");

/// The response to a request, whose body may take so long.
pub(super) async fn respond<A, C, B>(
    replier: &Replier<A, C>,
    request: Request<B>,
    peer: SocketAddr,
    body_limit: Duration,
) -> Response<Whole>
where
    A: Answer,
    C: Fn() -> LeaseTime,
    B: Body<Data = Bytes> + Unpin,
{
    let is_head = request.method() == Method::HEAD;
    let response = match query(request, body_limit).await {
        Ok(query) => match replier.ask(&query, peer, Transport::Https).await {
            Ok(reply) => answered(reply),
            Err(Unanswered::NoQuery) => refused(NO_QUERY),
            Err(Unanswered::GivenUp) => refused(GIVEN_UP),
        },
        Err(refusal) => refused(refusal),
    };
    if is_head { response.map(|_| Whole::default()) } else { response }
}

/// The octets of the query that a request carries. A body is read in any case: a client that is still sending it may
/// not look at what it is told.
async fn query<B>(request: Request<B>, body_limit: Duration) -> Result<Vec<u8>, Refusal>
where
    B: Body<Data = Bytes> + Unpin,
{
    let (head, posted) = request.into_parts();
    let posted = timeout(body_limit, body(posted)).await.unwrap_or(Err(TOO_SLOW));
    if head.uri.path() != PATH {
        return Err(NO_SUCH_PATH);
    }
    match head.method {
        Method::GET | Method::HEAD => parameter(head.uri.query().unwrap_or_default()),
        Method::POST if is_dns_message(&head.headers) => posted,
        Method::POST => Err(WRONG_TYPE),
        _ => Err(NO_SUCH_METHOD),
    }
}

/// The query in the parameter `dns` (RFC 8484, section 4.1); there may be others, which say nothing to us.
fn parameter(parameters: &str) -> Result<Vec<u8>, Refusal> {
    let mut values = parameters.split('&').filter_map(|parameter| parameter.strip_prefix("dns="));
    let (Some(value), None) = (values.next(), values.next()) else { return Err(NO_PARAMETER) };
    BASE64URL_NOPAD.decode(value.as_bytes()).map_err(|_| NOT_BASE64)
}

/// Whether the body is said to be a query. Parameters of the type say nothing: it has none.
fn is_dns_message(headers: &HeaderMap) -> bool {
    let named = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = named.split_once(';').map_or(named, |(essence, _)| essence);
    essence.trim().eq_ignore_ascii_case(MEDIA_TYPE)
}

/// Reads a body, and no further than a query may go, however long it is.
async fn body<B: Body<Data = Bytes> + Unpin>(mut body: B) -> Result<Vec<u8>, Refusal> {
    let mut query = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| CUT_OFF)?;
        let Some(octets) = frame.data_ref() else { continue };
        if query.len() + octets.len() > MAX_QUERY_OCTETS {
            return Err(TOO_LONG);
        }
        query.extend_from_slice(octets);
    }
    Ok(query)
}

/// A reply of DNS, whatever its code: to HTTP all of them are successes (RFC 8484, section 4.2.1).
fn answered(reply: Vec<u8>) -> Response<Whole> {
    let fresh = format!("max-age={}", peek::fresh_secs(&reply));
    let mut response = whole(StatusCode::OK, MEDIA_TYPE, reply.into());
    if let Ok(fresh) = HeaderValue::try_from(fresh) {
        response.headers_mut().insert(CACHE_CONTROL, fresh);
    }
    response
}

fn refused(Refusal(status, reason): Refusal) -> Response<Whole> {
    let text = Bytes::from(format!("{reason}\n"));
    let mut response = whole(status, "text/plain; charset=utf-8", text);
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, HeaderValue::from_static(METHODS));
    }
    response
}

/// A response. It says how long its body is, as it also has to without it (RFC 9110, section 9.3.2).
fn whole(status: StatusCode, media_type: &'static str, body: Bytes) -> Response<Whole> {
    let length = body.len();
    let mut response = Response::new(Whole::new(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    response
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
