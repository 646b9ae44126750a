//! The Eureka API: what clients and servers of Netflix Eureka say, answered as their own servers would.
//!
//! A request is read by [`call`] and [`read`], and becomes commands and renewals as those of every other door do: by
//! [`register`] and [`amend`], for one instance or, from another server, for a list of them ([`replication`]). How an
//! instance of theirs is one of ours is in [`mapping`], and the way back, with what is kept for it, in [`kept`]. Lists are
//! put together by [`catalogue`] from parts that change seldom.

mod amend;
mod call;
mod catalogue;
mod fragment;
mod gzip;
mod json;
mod kept;
mod lists;
mod mapping;
mod names;
mod read;
mod register;
mod replication;
mod reply;
#[cfg(test)]
mod tests;
mod wire;
mod write;
mod xml;

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::Request;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use parking_lot::Mutex;

use self::call::{Call, NoCall};
use self::catalogue::Catalogue;
use self::kept::Kept;
use self::reply::Failure;
use super::guard::unix_ms;
use super::problem::Problem;
use super::{Api, BODY_TIME, MAX_BODY_OCTETS, read_up_to};
use crate::access::Asker;
use crate::config::Lease;
use crate::registry::{Command, Instance, InstanceId, Outcome, Refusal, ServiceName};

pub(super) use call::is_eureka;
pub(super) use kept::mirrored_from;

/// Another server says so of itself.
const FROM_PEER: &str = "x-netflix-discovery-replication";
/// Who copies from another server says so, and names it.
const MIRRORED_FROM: &str = "x-rollcall-mirrored-from";
/// Octets of that name at most: a URL.
const MAX_MIRRORED_FROM_OCTETS: usize = 512;

/// What this door has for itself.
#[derive(Debug)]
pub(super) struct Door {
    catalogue: Mutex<Catalogue>,
}

impl Default for Door {
    fn default() -> Self {
        Self { catalogue: Mutex::new(Catalogue::new(unix_ms())) }
    }
}

/// Whose call it is, and what holds for it.
struct Context {
    api: Arc<Api>,
    asker: Asker,
    from_peer: bool,
    mirrored_from: Option<Box<str>>,
}

/// Answers a call.
pub(super) async fn respond(api: Arc<Api>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let call = match Call::of(&parts.method, &parts.uri) {
        Ok(call) => call,
        Err(NoCall::Path) => return super::no_such_path(parts.uri).await.into_response(),
        Err(NoCall::Method) => {
            return super::no_such_method(parts.method, parts.uri).await.into_response();
        }
    };
    let Some(asker) = parts.extensions.get::<Asker>().cloned() else {
        return StatusCode::FORBIDDEN.into_response();
    };
    let context = match Context::new(api, asker, &parts.headers) {
        Ok(context) => Arc::new(context),
        Err(failure) => return failure.into_response(),
    };
    answer(context, call, parts, body).await.unwrap_or_else(IntoResponse::into_response)
}

async fn answer(
    context: Arc<Context>,
    call: Call,
    parts: Parts,
    body: axum::body::Body,
) -> Result<Response, Failure> {
    let form = reply::form(&parts.headers);
    let done = match call {
        Call::Register(app) => {
            let octets = octets(&parts.headers, body, MAX_BODY_OCTETS).await?;
            let content_type = parts.headers.get(CONTENT_TYPE).and_then(|it| it.to_str().ok());
            let info = read::instance(content_type, &octets)?;
            register::register(&context, &app, &info).await?
        }
        Call::Renew(named, stamp) => amend::renew(&context, &named, stamp)?,
        Call::Cancel(named) => amend::cancel(&context, &named).await?,
        Call::SetStatus(named, change) => amend::set_status(&context, &named, change).await?,
        Call::EndStatus(named) => amend::end_status(&context, &named).await?,
        Call::Metadata(named, pairs) => amend::metadata(&context, &named, &pairs).await?,
        Call::Batch => {
            let octets = octets(&parts.headers, body, replication::MAX_BATCH_OCTETS).await?;
            let answers = replication::batch(context.as_peer(), &octets).await?;
            let json = [(CONTENT_TYPE, write::Format::Json.content_type())];
            return Ok((json, answers).into_response());
        }
        reading => return lists::answer(context, reading, form).await,
    };
    Ok(done.into_response())
}

/// A body as it was before it was compressed, if it was.
async fn octets(
    headers: &HeaderMap,
    body: axum::body::Body,
    most: usize,
) -> Result<Bytes, Failure> {
    let octets = read_up_to(body, most, BODY_TIME).await?;
    let encoding = headers.get(CONTENT_ENCODING).and_then(|it| it.to_str().ok()).unwrap_or("");
    match encoding.trim() {
        "" | "identity" => Ok(octets),
        "gzip" => gzip::decompressed(&octets, most).map(Bytes::from).ok_or_else(|| {
            let detail = "the body is no gzip, or larger than this call takes";
            Problem::new(StatusCode::BAD_REQUEST, detail).into()
        }),
        _ => {
            let detail = "send the body as it is, or with `Content-Encoding: gzip`";
            Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail).into())
        }
    }
}

impl Context {
    fn new(api: Arc<Api>, asker: Asker, headers: &HeaderMap) -> Result<Self, Failure> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let mirrored_from: Option<Box<str>> = text(MIRRORED_FROM).map(Box::from);
        if mirrored_from.as_ref().map_or(0, |it| it.len()) > MAX_MIRRORED_FROM_OCTETS {
            let detail = format!("{MIRRORED_FROM} may have {MAX_MIRRORED_FROM_OCTETS} octets");
            return Err(Problem::new(StatusCode::BAD_REQUEST, detail).into());
        }
        let from_peer = text(FROM_PEER).is_some_and(|value| value.eq_ignore_ascii_case("true"));
        Ok(Self { api, asker, from_peer, mirrored_from })
    }

    /// The same, whether another server says that it is one or not.
    fn as_peer(&self) -> Arc<Self> {
        Arc::new(Self {
            api: self.api.clone(),
            asker: self.asker.clone(),
            from_peer: self.mirrored_from.is_none(),
            mirrored_from: self.mirrored_from.clone(),
        })
    }

    /// An instance as it is listed; an error while that is not known.
    fn listed(&self, service: &ServiceName, id: &str) -> Result<Option<Arc<Instance>>, Failure> {
        let registrar = self.api.loaded()?;
        Ok(registrar.instance(service.as_str(), id).map(|listed| listed.instance))
    }

    /// Who copies may touch only what is a copy still.
    fn check_mirrored(&self, kept: Option<&Kept<'_>>) -> Result<(), Failure> {
        let is_mirrored = kept.is_some_and(|kept| kept.mirrored_from.is_some());
        if self.mirrored_from.is_none() || is_mirrored {
            return Ok(());
        }
        let detail = "the instance is registered here by itself, and no longer copied";
        Err(Problem::new(StatusCode::CONFLICT, detail).into())
    }

    /// Whether an instance that was copied speaks for itself now.
    fn comes_over(&self, kept: &Kept<'_>) -> bool {
        kept.mirrored_from.is_some() && self.mirrored_from.is_none()
    }

    /// The bounds of leases for who asks.
    fn bounds(&self) -> Lease {
        let most = self.asker.principal.scope().max_lease_secs;
        self.api.config.get().lease.within(most)
    }

    /// Has a command carried out, if who asks may.
    async fn command(&self, command: Command) -> Result<Result<Outcome, Refusal>, Failure> {
        let authorised = self.api.authorise(&self.asker, &command)?;
        let committed = self.api.registrar.change(command, authorised).await;
        Ok(committed.map(|committed| committed.outcome))
    }

    /// Takes an instance out of a service in which it is by a vip address, if it still is; it may be gone by itself.
    async fn deregister_twin(&self, other: ServiceName, service: &ServiceName, id: &InstanceId) {
        let there = self.listed(&other, id.as_str()).ok().flatten();
        if there.is_some_and(|there| register::is_twin_of(&there, service)) {
            let command = Command::Deregister { service: other, id: id.clone() };
            if let Err(failure) = self.command(command).await {
                tracing::debug!(status = %failure.status(), "an instance stays in a service it has left");
            }
        }
    }
}
