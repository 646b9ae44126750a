//! DNS over HTTPS (RFC 8484): an HTTP/2 connection that many questions share, each a POST of its own.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http2::{self, SendRequest};
use hyper::header::{ACCEPT, AGE, CONTENT_TYPE, HeaderMap};
use hyper::{Request, Response, Uri};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;

use super::pulse::{Pulse, STALL};
use super::tcp::{CONNECTIONS_MOST, IDLE_ENCRYPTED, Lost, PIPELINED_MOST, Reply};
use super::tls::Opener;
use super::{Budget, Failure, age};
use crate::dns::forward::message::{Letters, Query, Question};

/// What a query and a reply are (RFC 8484, section 6).
const MESSAGE: &str = "application/dns-message";
/// Octets of a reply at most: what a DNS message may have anywhere else.
const REPLY_MOST: usize = u16::MAX as usize;
/// Octets of a reply's header fields at most: it has a few short ones.
const HEADERS_MOST: u32 = 16 << 10;
/// Octets that an upstream may have sent us of replies that were not read yet: a few long ones.
const WINDOW: u32 = 1 << 20;
/// Characters of what an upstream says that the log shows.
const SHOWN_MOST: usize = 80;
/// What may be spent on taking leave of an upstream.
const LEAVE_MOST: Duration = Duration::from_secs(1);
/// The port that the authority of an address need not name.
const HTTPS_PORT: u16 = 443;

/// The HTTP/2 connection to one upstream: one, or a new one and old ones that are going.
pub struct Https {
    opener: Arc<Opener>,
    /// `None` for a path that is none; the configuration has no such.
    uri: Option<Uri>,
    /// Questions under way; as many as other transports have.
    places: Arc<Semaphore>,
    /// Connections that there may be.
    connections: Arc<Semaphore>,
    current: Mutex<Option<Arc<Session>>>,
}

type Sender = SendRequest<Full<Bytes>>;

/// A connection, or one that is being opened.
struct Session {
    pulse: Pulse,
    /// `None` while it is being opened.
    state: watch::Sender<Option<Result<Sender, Lost>>>,
}

/// Why a request has no reply.
enum Failed {
    Lost(Lost),
    /// The upstream has said something else.
    Said(Failure),
}

impl From<Lost> for Failed {
    fn from(lost: Lost) -> Self {
        Self::Lost(lost)
    }
}

impl Https {
    /// Not open yet. `path` begins with a slash.
    pub fn new(opener: Opener, path: &str) -> Self {
        let authority = authority(opener.name(), opener.addr().port());
        let uri = Uri::builder().scheme("https").authority(authority).path_and_query(path);
        Self {
            opener: Arc::new(opener),
            uri: uri.build().ok(),
            places: Arc::new(Semaphore::new(CONNECTIONS_MOST * PIPELINED_MOST)),
            connections: Arc::new(Semaphore::new(CONNECTIONS_MOST)),
            current: Mutex::default(),
        }
    }

    /// Asks. As with other transports, a question that was under way when a used connection broke is asked once more.
    ///
    /// # Errors
    /// Why there is no reply.
    pub async fn ask(&self, question: &Question, budget: &Budget) -> Result<Reply, Failure> {
        let uri = self.uri.as_ref().ok_or(Failure::Local)?;
        let mut broken = None;
        loop {
            let place = self.places.clone().try_acquire_owned().map_err(|_| Failure::Local)?;
            let (session, opened) = self.session(broken.as_ref())?;
            let mut query = Query::new(question, Letters::Lower).map_err(|_| Failure::Local)?;
            // The same question is then the same request (RFC 8484, section 4.1).
            query.set_id(0);
            query.pad();
            budget.take()?;
            match self.request(uri.clone(), session.clone(), query, place).await {
                Ok(reply) => return Ok(reply),
                Err(Failed::Lost(Lost::Broken)) if !opened && broken.is_none() => {
                    broken = Some(session);
                }
                Err(Failed::Lost(lost)) => return Err(lost.into()),
                Err(Failed::Said(failure)) => return Err(failure),
            }
        }
    }

    /// Whether there is a connection that a question would not have to wait for.
    pub fn is_open(&self) -> bool {
        let current = self.current.lock();
        current.as_ref().is_some_and(|session| session.is_fit() && session.pulse.is_open())
    }

    /// The connection, and whether it was opened for this; not `broken`, if there can be another.
    fn session(&self, broken: Option<&Arc<Session>>) -> Result<(Arc<Session>, bool), Failure> {
        let mut current = self.current.lock();
        let is_broken = |session: &Arc<Session>| broken.is_some_and(|it| Arc::ptr_eq(it, session));
        let usable = current.as_ref().filter(|session| session.is_fit() && !is_broken(session));
        if let Some(session) = usable.filter(|session| !session.pulse.is_slow(Instant::now())) {
            return Ok((session.clone(), false));
        }
        let Ok(place) = self.connections.clone().try_acquire_owned() else {
            // A slow one is better than none.
            return usable.map(|session| (session.clone(), false)).ok_or(Failure::Local);
        };
        let state = watch::channel(None).0;
        let session = Arc::new(Session { pulse: Pulse::new(Instant::now()), state });
        tokio::spawn(session.clone().run(self.opener.clone(), place));
        *current = Some(session.clone());
        Ok((session, true))
    }

    /// Sends a request in a task of its own: its reply counts as a sign of life even if whoever asked has gone.
    async fn request(
        &self,
        uri: Uri,
        session: Arc<Session>,
        query: Query,
        place: OwnedSemaphorePermit,
    ) -> Result<Reply, Failed> {
        let opener = self.opener.clone();
        let task = tokio::spawn(async move {
            let _place = place;
            let sender = session.sender().await?;
            let asked = Instant::now();
            session.pulse.asked(asked);
            let reply = timeout(STALL, exchange(sender, uri, &query)).await;
            let reply = reply.unwrap_or(Err(Said::Lost(Lost::Stalled)));
            let now = Instant::now();
            match reply {
                Ok(octets) => {
                    session.pulse.replied(now);
                    Ok(Reply { octets, letters_kept: true, delay: now - asked })
                }
                Err(Said::Lost(lost)) => {
                    session.pulse.given_up();
                    Err(Failed::Lost(lost))
                }
                Err(Said::Other(failure, reason)) => {
                    session.pulse.replied(now);
                    opener.trouble().note(&reason, now);
                    Err(Failed::Said(failure))
                }
            }
        });
        // A task that panicked is a defect of ours.
        task.await.unwrap_or(Err(Failed::Said(Failure::Local)))
    }
}

impl Session {
    /// Opens the connection and keeps it until it is without a question for long enough, or another has taken its place.
    async fn run(self: Arc<Self>, opener: Arc<Opener>, _place: OwnedSemaphorePermit) {
        let opened = match opener.open().await {
            Ok(stream) => shake_hands(stream, &opener).await,
            Err(lost) => Err(lost),
        };
        let mut connection = match opened {
            Ok((sender, connection)) => {
                self.pulse.opened(Instant::now());
                self.state.send_replace(Some(Ok(sender)));
                Box::pin(connection)
            }
            Err(lost) => {
                self.state.send_replace(Some(Err(lost)));
                return;
            }
        };
        loop {
            // A question that comes brings the deadline nearer: so it is looked at again and again.
            let look_at = self.pulse.deadline(IDLE_ENCRYPTED).min(Instant::now() + STALL);
            tokio::select! {
                _ = &mut connection => break,
                () = sleep_until(look_at) => {}
            }
            if Instant::now() >= self.pulse.deadline(IDLE_ENCRYPTED) {
                break;
            }
        }
        // Without anybody to send, the connection says goodbye by itself.
        self.state.send_replace(Some(Err(Lost::Broken)));
        let _ = timeout(LEAVE_MOST, connection).await;
    }

    /// Whether it is being opened or open.
    fn is_fit(&self) -> bool {
        match &*self.state.borrow() {
            None => true,
            Some(Ok(sender)) => !sender.is_closed(),
            Some(Err(_)) => false,
        }
    }

    /// Waits until it is open.
    async fn sender(&self) -> Result<Sender, Lost> {
        let mut state = self.state.subscribe();
        let opened = state.wait_for(Option::is_some).await.map_err(|_| Lost::Broken)?;
        opened.clone().unwrap_or(Err(Lost::Broken))
    }
}

/// Why an exchange has no reply.
enum Said {
    Lost(Lost),
    /// The upstream has said something else; and what, for the log.
    Other(Failure, String),
}

async fn shake_hands(
    stream: TlsStream<TcpStream>,
    opener: &Opener,
) -> Result<(Sender, impl Future<Output = hyper::Result<()>> + use<>), Lost> {
    if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
        let reason = "it does not speak HTTP/2: name the port of its DNS over HTTPS";
        opener.trouble().note(reason, Instant::now());
        return Err(Lost::NeverOpened);
    }
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_header_list_size(HEADERS_MOST)
        .initial_stream_window_size(u32::from(u16::MAX))
        .initial_connection_window_size(WINDOW);
    let opened = builder.handshake(TokioIo::new(stream)).await;
    opened.map_err(|_| Lost::NeverOpened)
}

/// One request and its reply; without id, name in lower case.
async fn exchange(mut sender: Sender, uri: Uri, query: &Query) -> Result<Vec<u8>, Said> {
    let broken = |_| Said::Lost(Lost::Broken);
    let body = Full::new(Bytes::copy_from_slice(query.octets()));
    let request =
        Request::post(uri).header(CONTENT_TYPE, MESSAGE).header(ACCEPT, MESSAGE).body(body);
    let request =
        request.map_err(|_| Said::Other(Failure::Local, "no request can be made".into()))?;
    sender.ready().await.map_err(broken)?;
    let response = sender.send_request(request).await.map_err(broken)?;
    let (seconds, body) = check(response)?;
    let body = Limited::new(body, REPLY_MOST).collect().await.map_err(|error| {
        match error.is::<http_body_util::LengthLimitError>() {
            true => Said::Other(Failure::Unfit, "its reply is longer than a DNS message".into()),
            false => Said::Lost(Lost::Broken),
        }
    })?;
    let mut octets = body.to_bytes().to_vec();
    match query.matches(&octets) {
        Some(matched) if !matched.truncated => {
            query.restore(&mut octets);
            age::age(&mut octets, seconds);
            Ok(octets)
        }
        _ => {
            Err(Said::Other(Failure::Unfit, "what it replies is no answer to the question".into()))
        }
    }
}

/// The age of a response that has a DNS message in it (RFC 8484, sections 4.2.1 and 5.1), and its body.
fn check(response: Response<Incoming>) -> Result<(u32, Incoming), Said> {
    let (parts, body) = response.into_parts();
    if !parts.status.is_success() {
        let status = parts.status.as_u16();
        let reason = format!("it replies with HTTP status {status}: see whether the path is right");
        return Err(Said::Other(Failure::Http(status), reason));
    }
    let text = |name| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let media_type = text(CONTENT_TYPE).unwrap_or_default();
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case(MESSAGE) {
        let shown: String = media_type.chars().take(SHOWN_MOST).collect();
        let shown = shown.escape_debug();
        let reason = format!(
            "it replies with `{shown}` instead of {MESSAGE}: see whether the path is right"
        );
        return Err(Said::Other(Failure::Unfit, reason));
    }
    Ok((age_of(&parts.headers), body))
}

/// Seconds that a response has spent in caches of HTTP.
fn age_of(headers: &HeaderMap) -> u32 {
    let age = headers.get(AGE).and_then(|value| value.to_str().ok());
    age.and_then(|age| age.trim().parse().ok()).unwrap_or(0)
}

/// What stands for the upstream in the request: its name, not the address.
fn authority(name: &ServerName<'_>, port: u16) -> String {
    let host = match name {
        ServerName::IpAddress(ip) => match IpAddr::from(*ip) {
            IpAddr::V6(ip) => format!("[{ip}]"),
            IpAddr::V4(ip) => ip.to_string(),
        },
        name => name.to_str().into_owned(),
    };
    if port == HTTPS_PORT { host } else { format!("{host}:{port}") }
}

#[cfg(test)]
#[path = "https_tests.rs"]
mod tests;
