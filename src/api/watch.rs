//! What happens, for those who watch: `GET /api/v1/watch`, as Server-Sent Events or as a long poll.
//!
//! Both go on from a revision, so that one who was away misses nothing, or is told that it cannot go on. A reply begins at
//! once and its body comes when there is something: a task a watcher, which waits for its client and nobody else.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use hyper::body::{Bytes, Frame};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::time::{Instant, timeout_at};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::history::EventView;
use super::problem::Problem;
use super::{Api, json};
use crate::access::Asker;
use crate::history::{Event, NoWatch, TooOld, Watcher};
use crate::registry::ServiceName;

/// How long a long poll waits if it does not say, and at most.
const POLL_SECS: u64 = 30;
const MAX_POLL_SECS: u64 = 60;
/// How often a stream that has nothing to say shows that it is alive: proxies cut off what is silent for a minute.
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);
/// How long a stream lasts: then its client comes again, and whoever may no longer read is refused.
const STREAM_LASTS: Duration = Duration::from_secs(600);
/// Messages between a watcher and its connection: one that is being sent, and one that is ready.
const BETWEEN: usize = 1;
/// Milliseconds after which a browser comes again.
const COME_AGAIN_MS: u32 = 1_000;

pub(super) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(watch))
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct WatchQuery {
    /// The service; left out: all.
    service: Option<String>,
    /// What happened after this revision; left out: from now on.
    revision: Option<u64>,
    /// How long a long poll waits, in seconds: 0 to 60, 30 if it is left out.
    #[param(maximum = 60)]
    wait_secs: Option<u64>,
}

#[utoipa::path(
    get, path = "/api/v1/watch", tag = "events", summary = "Watch what happens: a long poll, or an event stream by Accept",
    params(WatchQuery, ("Last-Event-ID" = Option<u64>, Header, description = "Goes before `revision`")),
    responses((status = 200, description = "What has happened since", content(
        (PolledView = "application/json"), (String = "text/event-stream")))),
)]
async fn watch(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Asker>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    let WatchQuery { service, revision, wait_secs } = json::read_query(&uri)?;
    let service = service.as_deref().map(ServiceName::parse).transpose()?;
    let wait_secs = wait_secs.unwrap_or(POLL_SECS);
    if wait_secs > MAX_POLL_SECS {
        return Err(Problem::field("wait_secs", format!("must be at most {MAX_POLL_SECS}")));
    }
    let revision = match last_event_id(&headers)? {
        Some(last) => Some(last),
        None => revision,
    };
    let registrar = match &service {
        Some(service) => api.for_reading(&caller, service.as_str())?,
        None => api.for_listing(&caller)?,
    };
    let watcher = registrar.history().watch(service.as_ref(), revision).map_err(refused)?;
    let (sender, receiver) = mpsc::channel(BETWEEN);
    let task = Task { watcher, caller, sender };
    let content_type = if wants_stream(&headers) {
        tokio::spawn(task.stream());
        "text/event-stream"
    } else {
        tokio::spawn(task.poll(Duration::from_secs(wait_secs)));
        "application/json"
    };
    let content_type = [(CONTENT_TYPE, HeaderValue::from_static(content_type))];
    Ok((content_type, Body::new(Messages(receiver))).into_response())
}

/// Where an event stream left off, as browsers say it (HTML, section 9.2.4).
fn last_event_id(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(given) = headers.get("last-event-id") else { return Ok(None) };
    let number = given.to_str().ok().and_then(|text| text.parse().ok());
    let wrong = || Problem::field("Last-Event-ID", "must be the id of an event: a whole number");
    number.map(Some).ok_or_else(wrong)
}

fn wants_stream(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|kind| {
        let essence = kind.split(';').next().unwrap_or_default().trim();
        essence.eq_ignore_ascii_case("text/event-stream")
    })
}

fn refused(reason: NoWatch) -> Problem {
    match reason {
        NoWatch::Full => {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too many watch already: ask again later")
        }
        NoWatch::TooOld(too_old) => gone(too_old),
    }
}

fn gone(TooOld { complete_since }: TooOld) -> Problem {
    Problem { complete_since: Some(complete_since), ..Problem::new(StatusCode::GONE, TOO_OLD) }
}

const TOO_OLD: &str = "events since that revision are forgotten, or it is not of this server's life: list anew, and go \
                       on from the revision of the list";

/// What waits for events on behalf of a client.
struct Task {
    watcher: Watcher,
    caller: Asker,
    sender: Sender<Bytes>,
}

/// The reply to a long poll.
#[derive(Debug, Serialize, ToSchema)]
struct PolledView<'a> {
    /// From where to go on.
    revision: u64,
    events: Vec<EventView<'a>>,
}

#[derive(Debug, Serialize)]
struct WatchingView {
    revision: u64,
}

#[derive(Debug, Serialize)]
struct TooOldView {
    detail: &'static str,
    complete_since: u64,
}

impl Task {
    /// Sends events as they come, until the client has gone, has fallen behind, or the time is up.
    async fn stream(mut self) {
        let until = Instant::now() + STREAM_LASTS;
        let watching = WatchingView { revision: self.watcher.revision() };
        let first = message("watching", None, &watching);
        if !self.send(format!("retry: {COME_AGAIN_MS}\n{first}")).await {
            return;
        }
        while Instant::now() < until {
            let text = match self.watcher.take() {
                Ok(events) => self.messages(&events),
                Err(TooOld { complete_since }) => {
                    let view = TooOldView { detail: TOO_OLD, complete_since };
                    self.send(message("too_old", None, &view)).await;
                    return;
                }
            };
            if !text.is_empty() {
                if !self.send(text).await {
                    return;
                }
                continue; // there may be more
            }
            let sign = until.min(Instant::now() + SIGN_OF_LIFE);
            match self.wait(sign).await {
                Waited::More => {}
                Waited::Nothing if !self.send(":\n\n".to_owned()).await => return,
                Waited::Nothing => {}
                Waited::Over => return,
            }
        }
    }

    /// Sends what there is, or what comes first, or that nothing came.
    async fn poll(mut self, wait: Duration) {
        let until = Instant::now() + wait;
        loop {
            let Ok(events) = self.watcher.take() else {
                // It was in time when it was asked: the client finds out with its next call.
                self.send(self.polled(&[])).await;
                return;
            };
            let events: Vec<_> = events.into_iter().filter(|event| self.may_see(event)).collect();
            let is_over = events.is_empty() && !matches!(self.wait(until).await, Waited::More);
            if !events.is_empty() || is_over {
                self.send(self.polled(&events)).await;
                return;
            }
        }
    }

    /// Waits until there may be more, the time is up, or the client has gone.
    async fn wait(&mut self, until: Instant) -> Waited {
        let Self { watcher, sender, .. } = self;
        let waited = async {
            tokio::select! {
                more = watcher.wait() => if more { Waited::More } else { Waited::Over },
                () = sender.closed() => Waited::Over,
            }
        };
        timeout_at(until, waited).await.unwrap_or(Waited::Nothing)
    }

    fn may_see(&self, event: &Event) -> bool {
        self.caller.principal.scope().is_for(event.service.as_str())
    }

    fn polled(&self, events: &[Arc<Event>]) -> String {
        let revision = self.watcher.revision();
        let events = events.iter().map(|event| EventView::new(event)).collect();
        serde_json::to_string(&PolledView { revision, events }).unwrap_or_default() + "\n"
    }

    fn messages(&self, events: &[Arc<Event>]) -> String {
        let seen = events.iter().filter(|event| self.may_see(event));
        seen.map(|event| message("event", Some(event.revision), &EventView::new(event))).collect()
    }

    /// False if the client has gone.
    async fn send(&mut self, text: String) -> bool {
        self.sender.send(text.into()).await.is_ok()
    }
}

/// What came of waiting.
enum Waited {
    /// There may be more.
    More,
    /// Nothing came.
    Nothing,
    /// There will be no more, or nobody to send it to.
    Over,
}

/// One message of an event stream (HTML, section 9.2.5); JSON has no line breaks.
fn message(event: &str, id: Option<u64>, data: &impl Serialize) -> String {
    let id = id.map(|id| format!("id: {id}\n")).unwrap_or_default();
    let data = serde_json::to_string(data).unwrap_or_default();
    format!("{id}event: {event}\ndata: {data}\n\n")
}

/// A body of messages, as they come.
struct Messages(Receiver<Bytes>);

impl hyper::body::Body for Messages {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|message| message.map(|octets| Ok(Frame::data(octets))))
    }
}

#[cfg(test)]
mod tests;
