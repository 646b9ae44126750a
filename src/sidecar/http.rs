//! One HTTP call: bounded in time and size.

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue, USER_AGENT};
use hyper::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ClientConfig;
use tokio::net::UnixStream;

/// How long a connection may take to come about.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a whole call may take.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// Octets of a reply at most: a page of 1,000 instances, each with all the metadata there may be, is 10 MiB.
const MAX_REPLY_OCTETS: usize = 32 << 20;
/// Idle connections are closed after this, before most servers and proxies do so.
const IDLE_TIMEOUT: Duration = Duration::from_secs(25);

/// A reply, whole.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// A header of a request, beside those that all have.
pub(super) type Header = (HeaderName, HeaderValue);

/// Why there was no reply.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Nothing listens there.
    Refused,
    /// No connection, or no reply, in this time.
    TimedOut(Duration),
    /// Anything else, in words.
    Other(String),
}

/// Makes calls, and keeps connections open between them if it is to.
#[derive(Debug, Clone)]
pub(super) struct Http {
    calls: Calls,
    timeout: Duration,
}

/// How servers are reached.
#[derive(Debug, Clone)]
enum Calls {
    Tcp(legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>),
    Unix(legacy::Client<UnixConnector, Full<Bytes>>),
}

impl Http {
    /// Calls over TCP, as it is and with TLS, may take `timeout`; with `keep_alive` connections are used again.
    pub(super) fn over_tcp(timeout: Duration, keep_alive: bool, tls: ClientConfig) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT.min(timeout)));
        tcp.set_nodelay(true);
        tcp.enforce_http(false);
        let https = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
        let connector = https.enable_http1().wrap_connector(tcp);
        Self { calls: Calls::Tcp(client(keep_alive).build(connector)), timeout }
    }

    /// The same over the unix socket at `path`, whatever a call's host.
    pub(super) fn over_unix(timeout: Duration, path: PathBuf) -> Self {
        Self { calls: Calls::Unix(client(true).build(UnixConnector(path))), timeout }
    }

    /// The same, with another bound on the time of a whole call.
    pub(super) fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Sends a request with a JSON body, if it has one, and reads the whole reply.
    pub(super) async fn call(
        &self,
        method: Method,
        uri: Uri,
        headers: Vec<Header>,
        json: Option<Vec<u8>>,
    ) -> Result<Reply, Trouble> {
        let mut request = Request::builder()
            .method(method)
            .uri(uri)
            .header(USER_AGENT, AGENT)
            .header(ACCEPT, "application/json, application/problem+json");
        if json.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::from(json.unwrap_or_default()));
        let request = request.map_err(|error| Trouble::Other(error.to_string()))?;
        self.exchange(request, MAX_REPLY_OCTETS).await
    }

    /// Sends a GET request and reads the whole reply, of at most so many octets.
    pub(super) async fn get(
        &self,
        uri: Uri,
        headers: Vec<Header>,
        most: usize,
    ) -> Result<Reply, Trouble> {
        let mut request = Request::get(uri).header(USER_AGENT, AGENT);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::default());
        self.exchange(request.map_err(|error| Trouble::Other(error.to_string()))?, most).await
    }

    async fn exchange(&self, request: Request<Full<Bytes>>, most: usize) -> Result<Reply, Trouble> {
        self.in_time(async {
            let (head, body) = self.send(request).await?.into_parts();
            let body = Limited::new(body, most).collect().await;
            let body = body.map_err(|error| Trouble::of(&*error))?.to_bytes();
            Ok(Reply { status: head.status, headers: head.headers, body })
        })
        .await
    }

    /// Sends a GET request and reads the reply's status alone.
    pub(super) async fn status(&self, uri: Uri) -> Result<StatusCode, Trouble> {
        let request = Request::get(uri).header(USER_AGENT, AGENT).body(Full::default());
        let request = request.map_err(|error| Trouble::Other(error.to_string()))?;
        self.in_time(async { Ok(self.send(request).await?.status()) }).await
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Trouble> {
        let sent = match &self.calls {
            Calls::Tcp(client) => client.request(request).await,
            Calls::Unix(client) => client.request(request).await,
        };
        sent.map_err(|error| Trouble::of(&error))
    }

    async fn in_time<T>(
        &self,
        call: impl Future<Output = Result<T, Trouble>>,
    ) -> Result<T, Trouble> {
        let timed_out = |_| Err(Trouble::TimedOut(self.timeout));
        tokio::time::timeout(self.timeout, call).await.unwrap_or_else(timed_out)
    }
}

fn client(keep_alive: bool) -> legacy::Builder {
    let mut builder = legacy::Client::builder(TokioExecutor::new());
    builder
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_TIMEOUT)
        .pool_max_idle_per_host(if keep_alive { usize::MAX } else { 0 });
    builder
}

/// Connects to one unix socket.
#[derive(Debug, Clone)]
struct UnixConnector(PathBuf);

impl tower::Service<Uri> for UnixConnector {
    type Response = TokioIo<UnixStream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let path = self.0.clone();
        Box::pin(async move { UnixStream::connect(path).await.map(TokioIo::new) })
    }
}

const AGENT: &str = concat!("rollcall/", env!("CARGO_PKG_VERSION"));

impl Trouble {
    /// The error's whole chain in words, or what it is if its innermost cause says so.
    fn of(error: &(dyn Error + 'static)) -> Self {
        let mut words: Vec<String> = Vec::new();
        let mut cause = Some(error);
        while let Some(error) = cause {
            match error.downcast_ref::<io::Error>().map(io::Error::kind) {
                Some(io::ErrorKind::ConnectionRefused) => return Trouble::Refused,
                Some(io::ErrorKind::TimedOut) => return Trouble::TimedOut(CONNECT_TIMEOUT),
                _ => {}
            }
            let text = error.to_string();
            // The outermost says only that a request was sent with an error.
            if !text.starts_with("client error") && !words.iter().any(|said| said.contains(&text)) {
                words.push(text);
            }
            cause = error.source();
        }
        Trouble::Other(words.join(": "))
    }
}
