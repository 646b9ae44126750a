//! A connection's life: TLS if it has to, then HTTP/1.1, or HTTP/2 where TLS has agreed on it.

use std::convert::Infallible;
use std::future::Future;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::body::Whole;
use super::listener::{Accepted, Stream};
use super::timed::{Handling, Timed};
use super::{Door, has_stopped, stopped};
use crate::access::Source;
use crate::api::guard::Peer;
use crate::api::problem::Problem;
use crate::net::activity::Activity;
use crate::net::http2::{self, HTTP_2};
use crate::net::tls::{DoorTls, names_of};

/// Headers of a request at most; browsers and clients send about 20.
const MAX_HEADERS: usize = 64;
/// Octets of a request's head at most: the longest path with an id of 255 octets has 900, a token 1,024.
const MAX_HEAD_OCTETS: u16 = 16 * 1024;
/// Never reached, because [`Patience`](super::timed::Patience) ends first: but without a limit of its own hyper would not
/// read again once a reply is sent, and the idle connection's clock would not be started.
const HYPER_HEAD_LIMIT: Duration = Duration::from_secs(24 * 3600);
/// For requests that are under way over HTTP/2 when a connection is told to end.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// What serves one connection.
pub(super) struct Connection {
    pub(super) door: Arc<Door>,
    pub(super) shutdown: watch::Receiver<bool>,
}

impl Connection {
    /// Serves it until either side has had enough.
    pub(super) async fn run(self, accepted: Accepted) {
        let Accepted { stream, peer, tls } = accepted;
        match stream {
            Stream::Unix(stream) => self.plain(stream, peer).await,
            Stream::Tcp(stream) => {
                // Replies are small, and a client that waits for one sends nothing to acknowledge it with.
                let _ = stream.set_nodelay(true);
                match tls {
                    None => self.plain(stream, peer).await,
                    Some(tls) => self.with_tls(stream, peer, &tls).await,
                }
            }
        }
    }

    async fn plain(self, stream: impl AsyncRead + AsyncWrite + AsFd + Unpin, peer: Source) {
        let begins_late = has_stopped(&self.shutdown);
        if begins_late && !has_sent(&stream) {
            return;
        }
        let peer = Peer { source: peer, names: Arc::default() };
        self.http1(stream, peer, begins_late).await;
    }

    async fn with_tls(mut self, stream: TcpStream, peer: Source, tls: &DoorTls) {
        let accept = TlsAcceptor::from(tls.config()).accept(stream);
        let stream = tokio::select! {
            biased;
            accepted = timeout(self.door.limits.patience.head, accept) => accepted,
            // Nothing has been asked yet.
            () = stopped(&mut self.shutdown) => return,
        };
        let Ok(Ok(stream)) = stream else {
            self.door.connections.0.handshakes_failed.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let session = stream.get_ref().1;
        let own = session.peer_certificates().and_then(|chain| chain.first());
        let names = own.map(|own| names_of(own)).unwrap_or_default();
        let peer = Peer { source: peer, names: names.into() };
        if session.alpn_protocol() == Some(HTTP_2) {
            self.http2(stream, peer).await;
        } else {
            self.http1(stream, peer, false).await;
        }
    }

    async fn http1(
        self,
        stream: impl AsyncRead + AsyncWrite + Unpin,
        peer: Peer,
        begins_late: bool,
    ) {
        let Self { door, mut shutdown } = self;
        let handling = Handling::default();
        let io = TokioIo::new(Timed::new(stream, door.limits.patience, handling.clone()));
        let stop = shutdown.clone();
        let service = service_fn(|request| async {
            let _handling = handling.begin();
            let mut response = door.respond(request, &peer).await;
            if has_stopped(&stop) || door.connections.are_scarce() {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(response)
        });
        let mut http = http1::Builder::new();
        http.max_headers(MAX_HEADERS).max_buf_size(MAX_HEAD_OCTETS.into());
        http.timer(TokioTimer::new()).header_read_timeout(HYPER_HEAD_LIMIT);
        let mut connection = std::pin::pin!(http.serve_connection(io, service));
        let ended = tokio::select! {
            biased;
            ended = connection.as_mut() => ended,
            // What a late one has sent is answered, once, and says that it is the last.
            () = stopped(&mut shutdown), if !begins_late => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(peer = %peer.source, "an HTTP connection ended: {error}");
        }
    }

    async fn http2(self, stream: TlsStream<TcpStream>, peer: Peer) {
        let Self { door, mut shutdown } = self;
        let (activity, scarce) = (Activity::default(), Arc::new(Notify::new()));
        // A request, and the time to take its reply.
        let limit = door.limits.request + door.limits.patience.write;
        let http = http2::bounded(Tasks { activity: activity.clone(), limit }, MAX_HEAD_OCTETS);
        let (served, seen) = (door.clone(), scarce.clone());
        let source = peer.source;
        let service = service_fn(move |request| {
            let (door, peer, scarce) = (served.clone(), peer.clone(), seen.clone());
            async move {
                let response = door.respond(request, &peer).await;
                if door.connections.are_scarce() {
                    scarce.notify_one();
                }
                Ok::<_, Infallible>(response)
            }
        });
        let mut connection = std::pin::pin!(http.serve_connection(TokioIo::new(stream), service));
        tokio::select! {
            biased;
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(peer = %source, "an HTTP/2 connection ended: {error}");
                }
                return;
            }
            () = stopped(&mut shutdown) => {}
            () = scarce.notified() => {}
            () = activity.until_idle(door.limits.patience.idle) => {}
        }
        connection.as_mut().graceful_shutdown();
        // Whoever does not take it by then is dropped as it is.
        let _ = timeout(LAST_WORDS, connection).await;
    }
}

impl Door {
    async fn respond(&self, request: Request<Incoming>, peer: &Peer) -> Response {
        let mut request = request.map(|body| Body::new(Whole::new(body)));
        request.extensions_mut().insert(peer.clone());
        match timeout(self.limits.request, self.app.respond(request)).await {
            Ok(response) => response,
            Err(_) => too_slow().into_response(),
        }
    }
}

fn too_slow() -> Problem {
    let detail = "this took too long, and may have happened or not: send it again";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail)
}

/// Whether something that the client sent waits. Not through the runtime, which may not have heard of it yet.
fn has_sent(stream: &impl AsFd) -> bool {
    SockRef::from(stream)
        .peek(&mut [std::mem::MaybeUninit::uninit()])
        .is_ok_and(|octets| octets > 0)
}

/// Runs the requests of HTTP/2: each to its end, or for so long.
#[derive(Clone)]
struct Tasks {
    activity: Activity,
    limit: Duration,
}

impl<F: Future<Output: Send> + Send + 'static> Executor<F> for Tasks {
    fn execute(&self, request: F) {
        let Self { activity, limit } = self.clone();
        tokio::spawn(async move {
            let _busy = activity.begin();
            let _watch = PanicWatch;
            let _ = timeout(limit, request).await; // too slow: the stream is reset
        });
    }
}

/// Tells of the panic that ends what it is in.
struct PanicWatch;

impl Drop for PanicWatch {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!("a request over HTTP/2 was lost to a panic");
        }
    }
}
