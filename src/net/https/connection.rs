//! One HTTPS connection: TLS, then HTTP/2 or HTTP/1.1 as was agreed on, with a bound on everything that the client
//! decides.
//!
//! hyper runs HTTP/1.1 in the connection's task, one request after the other; of HTTP/2 every request has a task of
//! its own, whose time is bounded here: it would wait for ever for a client that does not take its reply.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::request::{self, Whole};
use super::{Counters, Door};
use crate::net::Answer;
use crate::net::activity::Activity;
use crate::net::http2::{self, HTTP_2};
use crate::net::tcp::count;
use crate::view::LeaseTime;

/// Octets of a request's head at most: twice what the longest common query takes in a URL, and room for what
/// browsers add. Longer queries are posted.
const MAX_HEAD_OCTETS: u16 = 16 * 1024;
/// Headers of a request at most; browsers send about 20.
const MAX_HEADERS: usize = 64;
/// For requests that are under way when an idle connection, or one at the stop, is told to end.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Serves one connection until either side has had enough.
pub(super) async fn serve<A, C>(door: &Arc<Door<A, C>>, stream: TcpStream, peer: SocketAddr)
where
    A: Answer,
    C: Fn() -> LeaseTime + Send + Sync + 'static,
{
    // Replies leave when they are written; without it, later and no worse.
    let _ = stream.set_nodelay(true);
    let accept = TlsAcceptor::from(door.tls.clone()).accept(stream);
    let stream = tokio::select! {
        biased;
        () = door.stop.wait() => return,
        accepted = timeout(door.limits.handshake, accept) => match accepted {
            Ok(Ok(stream)) => stream,
            Ok(Err(_)) | Err(_) => return count(&door.counters.handshakes_failed),
        },
    };
    let activity = Activity::default();
    // Who agrees on nothing speaks what there was before there was something to agree on.
    if stream.get_ref().1.alpn_protocol() == Some(HTTP_2) {
        serve_http2(door, stream, peer, &activity).await;
    } else {
        serve_http1(door, stream, peer, &activity).await;
    }
}

/// Runs a connection of hyper's to its end; at the stop, or when nothing is asked any more, it is told to end. A
/// macro, because the two kinds have no trait in common.
macro_rules! run {
    ($connection:expr, $door:expr, $activity:expr) => {{
        let mut connection = std::pin::pin!($connection);
        let ended = tokio::select! {
            biased;
            _ = connection.as_mut() => true,
            () = $door.stop.wait() => false,
            () = $activity.until_idle($door.limits.idle) => {
                count(&$door.counters.timed_out_idle);
                false
            }
        };
        if !ended {
            connection.as_mut().graceful_shutdown();
            // Whoever does not take it by then is dropped as it is.
            let _ = timeout(LAST_WORDS, connection).await;
        }
    }};
}

async fn serve_http1<A, C>(
    door: &Arc<Door<A, C>>,
    stream: TlsStream<TcpStream>,
    peer: SocketAddr,
    activity: &Activity,
) where
    A: Answer,
    C: Fn() -> LeaseTime + Send + Sync + 'static,
{
    let mut http = http1::Builder::new();
    http.max_headers(MAX_HEADERS).max_buf_size(MAX_HEAD_OCTETS.into()).half_close(false);
    http.timer(TokioTimer::new()).header_read_timeout(None);
    let service = service_fn(|request| async {
        let _busy = activity.begin();
        respond(door, request, peer).await
    });
    run!(http.serve_connection(TokioIo::new(stream), service), door, activity);
}

async fn serve_http2<A, C>(
    door: &Arc<Door<A, C>>,
    stream: TlsStream<TcpStream>,
    peer: SocketAddr,
    activity: &Activity,
) where
    A: Answer,
    C: Fn() -> LeaseTime + Send + Sync + 'static,
{
    let tasks = Tasks {
        activity: activity.clone(),
        limit: door.limits.request,
        counters: door.counters.clone(),
    };
    let http = http2::bounded(tasks, MAX_HEAD_OCTETS);
    let door = door.clone();
    let shared = door.clone();
    let service = service_fn(move |request| {
        let door = shared.clone();
        async move { respond(&door, request, peer).await }
    });
    run!(http.serve_connection(TokioIo::new(stream), service), door, activity);
}

async fn respond<A, C>(
    door: &Door<A, C>,
    request: Request<Incoming>,
    peer: SocketAddr,
) -> Result<Response<Whole>, Infallible>
where
    A: Answer,
    C: Fn() -> LeaseTime,
{
    let response = request::respond(&door.replier, request, peer, door.limits.body).await;
    if response.status().is_client_error() {
        count(&door.counters.bad_requests);
    }
    Ok(response)
}

/// Runs the requests of HTTP/2: each to its end, or for so long.
#[derive(Clone)]
struct Tasks {
    activity: Activity,
    limit: Duration,
    counters: Arc<Counters>,
}

impl<F: Future<Output: Send> + Send + 'static> Executor<F> for Tasks {
    fn execute(&self, request: F) {
        let Self { activity, limit, counters } = self.clone();
        tokio::spawn(async move {
            let _busy = activity.begin();
            let _watch = PanicWatch(counters.clone());
            if timeout(limit, request).await.is_err() {
                count(&counters.timed_out_request);
            }
        });
    }
}

/// Counts the panic that ends what it is in.
struct PanicWatch(Arc<Counters>);

impl Drop for PanicWatch {
    fn drop(&mut self) {
        if std::thread::panicking() {
            count(&self.0.panics);
            tracing::error!("a request of DNS over HTTPS was lost to a panic");
        }
    }
}
