//! Requests and their responses, with an echo in the place of the answers.

use std::sync::Arc;

use hyper::body::Frame;

use super::*;
use crate::answer::Reply;
use crate::net::Respond;
use crate::net::defer::{Defer, Deferred};

/// Replies with the query; there is none to `none`, and `later` is never heard of again.
struct Echo;

impl Answer for Echo {
    type Batch<'a> = Echo;

    fn batch<T>(&mut self, _now: LeaseTime, work: impl FnOnce(&mut Echo) -> T) -> T {
        work(self)
    }
}

impl Respond for Echo {
    fn look_ahead<'q>(&mut self, _queries: impl Iterator<Item = &'q [u8]>) {}

    fn respond(
        &mut self,
        _nth: usize,
        query: &[u8],
        _peer: SocketAddr,
        transport: Transport,
        out: &mut [u8],
    ) -> Reply {
        assert_eq!(transport, Transport::Https);
        out[..query.len()].copy_from_slice(query);
        match query {
            b"none" | b"" => Reply::Drop,
            b"later" => Reply::Defer,
            _ => Reply::Len(query.len()),
        }
    }
}

struct Lost;

impl Defer for Lost {
    fn defer(&self, deferred: Deferred) {
        drop(deferred);
    }
}

type Spoken = (u16, HeaderMap, Vec<u8>);

async fn ask<B: Body<Data = Bytes> + Unpin>(request: Request<B>) -> Spoken {
    let clock = Arc::new(|| LeaseTime::from_millis(0));
    let replier = Replier::new(1, |_| Echo, Arc::new(Lost), clock);
    let peer = SocketAddr::from(([127, 0, 0, 1], 7000));
    let response = respond(&replier, request, peer, Duration::from_secs(5)).await;
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap_or_else(|never| match never {}).to_bytes();
    (head.status.as_u16(), head.headers, body.to_vec())
}

async fn send(method: &str, uri: &str, media_type: Option<&str>, body: &[u8]) -> Spoken {
    let mut request = Request::builder().method(method).uri(uri);
    if let Some(media_type) = media_type {
        request = request.header(CONTENT_TYPE, media_type);
    }
    ask(request.body(Whole::from(body.to_vec())).unwrap()).await
}

#[tokio::test]
async fn a_query_is_in_the_parameter_or_in_the_body() {
    let (status, headers, reply) = send("GET", "/dns-query?dns=cXVlcnk", None, b"").await;
    assert_eq!((status, &*reply), (200, &b"query"[..]));
    assert_eq!(headers[CONTENT_TYPE], "application/dns-message");
    assert_eq!(headers[CONTENT_LENGTH], "5");
    // What cannot be read as a reply is fresh for no time.
    assert_eq!(headers[CACHE_CONTROL], "max-age=0");
    let uri = "https://resolver.example/dns-query?a=b&dns=cXVlcnk&c";
    assert_eq!(send("GET", uri, None, b"").await.2, b"query");
    for media_type in ["application/dns-message", "Application/DNS-message ; charset=utf-8"] {
        let (status, _, reply) = send("POST", "/dns-query", Some(media_type), b"query").await;
        assert_eq!((status, &*reply), (200, &b"query"[..]), "{media_type}");
    }
}

#[tokio::test]
async fn head_gets_what_get_would_but_the_body() {
    for uri in ["/dns-query?dns=cXVlcnk", "/dns-query", "/", "/dns-query?dns=bm9uZQ"] {
        let (get_status, get_headers, body) = send("GET", uri, None, b"").await;
        let (head_status, head_headers, empty) = send("HEAD", uri, None, b"").await;
        assert_eq!((head_status, head_headers), (get_status, get_headers), "{uri}");
        assert!(!body.is_empty() && empty.is_empty(), "{uri}");
    }
}

#[tokio::test]
async fn what_is_no_query_is_refused_in_plain_words() {
    let dns = Some(MEDIA_TYPE);
    for (expected, method, uri, media_type, body) in [
        (404, "GET", "/", None, &b""[..]),
        (404, "POST", "/dns-query/", dns, b"query"),
        (404, "PUT", "/elsewhere", dns, b"query"),
        (405, "PUT", "/dns-query", dns, b"query"),
        (405, "OPTIONS", "/dns-query", None, b""),
        (400, "GET", "/dns-query", None, b""),
        (400, "GET", "/dns-query?DNS=cXVlcnk", None, b""),
        (400, "GET", "/dns-query?dns=cXVlcnk&dns=cXVlcnk", None, b""),
        (400, "GET", "/dns-query?dns=", None, b""),
        (400, "GET", "/dns-query?dns=cXVlcnk=", None, b""),
        (400, "GET", "/dns-query?dns=cXVl+nk/", None, b""),
        (400, "GET", "/dns-query?dns=cXVlcnl", None, b""),
        (400, "GET", "/dns-query?dns=bm9uZQ", None, b""),
        (415, "POST", "/dns-query", None, b"query"),
        (415, "POST", "/dns-query", Some("application/dns-json"), b"query"),
        (415, "POST", "/dns-query", Some(""), b"query"),
        (400, "POST", "/dns-query", dns, b"none"),
        (400, "POST", "/dns-query", dns, b""),
        (503, "POST", "/dns-query", dns, b"later"),
        (413, "POST", "/dns-query", dns, &[7; 65_536]),
        (200, "POST", "/dns-query", dns, &[7; 65_535]),
    ] {
        let (status, headers, text) = send(method, uri, media_type, body).await;
        assert_eq!(status, expected, "{method} {uri} {media_type:?}");
        if status == 200 {
            continue;
        }
        assert_eq!(headers[CONTENT_TYPE], "text/plain; charset=utf-8");
        assert_eq!(headers[CACHE_CONTROL], "no-store");
        assert_eq!(headers.contains_key(ALLOW), status == 405);
        assert!(text.ends_with(b"\n"), "{method} {uri}");
    }
}

/// A body of unknown length: so many times 1,000 octets, then perhaps nothing more, for ever.
struct Streamed {
    left: usize,
    ends: bool,
}

impl Body for Streamed {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        if self.left == 0 {
            return if self.ends { std::task::Poll::Ready(None) } else { std::task::Poll::Pending };
        }
        self.left -= 1;
        std::task::Poll::Ready(Some(Ok(Frame::data(Bytes::from(vec![7; 1000])))))
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_is_read_no_further_and_no_longer_than_a_query_may_go() {
    let post = |left, ends| {
        let request = Request::post(PATH).header(CONTENT_TYPE, MEDIA_TYPE);
        ask(request.body(Streamed { left, ends }).unwrap())
    };
    assert_eq!(post(65, true).await.0, 200);
    assert_eq!(post(65, false).await.0, 408);
    // It would never end.
    assert_eq!(post(usize::MAX, false).await.0, 413);
}
