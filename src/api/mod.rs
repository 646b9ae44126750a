//! The doors over HTTP and UDP.
//!
//! Every door turns what it is sent into a [`Command`] or a renewal, has [`Access`] decide on it, and hands it
//! to the [`Registrar`]. A request over HTTP comes in by [`http`] (connections and their limits), passes
//! [`guard`] (who may call at all), and reaches a handler of [`native`], [`caching`] or [`probes`]. What goes wrong leaves
//! as a [`Problem`].

mod caching;
pub mod datagram;
pub mod http;
mod timed;
pub mod guard;
pub mod native;
mod native_body;
mod native_list;
mod probes;
pub mod json;
pub mod problem;
pub mod secrets;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest, Request};
use axum::http::{Method, StatusCode, Uri};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use self::guard::{Guard, Guarded};
use self::problem::Problem;
use crate::access::{Access, Action, Denied, Principal};
use crate::answer::Recursion;
use crate::config;
use crate::registrar::{Committed, Registrar};
use crate::registry::Command;
use crate::shared::Shared;
use crate::telemetry::Sources;

/// Octets of a request's body at most: a registration with all that it may have takes about 25 KiB.
pub const MAX_BODY_OCTETS: usize = 64 * 1024;
/// How long a body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(10);

/// Gathers what `/metrics` shows.
pub type Scrape = Arc<dyn Fn() -> Sources + Send + Sync>;

/// What the handlers share. They reach the registrar through its methods alone, each of which authorises.
pub struct Api {
    registrar: Registrar,
    access: Arc<Access>,
    config: Arc<config::Live>,
    recursion: Arc<Shared<Recursion>>,
    scrape: Scrape,
}

impl Api {
    /// What the handlers need.
    pub fn new(
        registrar: Registrar,
        access: Arc<Access>,
        config: Arc<config::Live>,
        recursion: Arc<Shared<Recursion>>,
        scrape: Scrape,
    ) -> Self {
        Self { registrar, access, config, recursion, scrape }
    }

    /// Has a change made, if `principal` may make it.
    async fn change(&self, principal: &Principal, command: Command) -> Result<Committed, Problem> {
        self.access.authorise(principal, Action::of(&command))?;
        Ok(self.registrar.change(command).await?)
    }

    /// The registrar, to renew leases with.
    fn for_renewal(&self, principal: &Principal) -> Result<&Registrar, Denied> {
        self.access.authorise(principal, Action::Renew)?;
        Ok(&self.registrar)
    }

    /// The registrar, to read from: once it is loaded, since a list with gaps would mislead.
    fn for_reading(&self, principal: &Principal) -> Result<&Registrar, Problem> {
        self.access.authorise(principal, Action::Read)?;
        if self.registrar.is_loaded() { Ok(&self.registrar) } else { Err(Problem::loading()) }
    }
}

/// All paths of the HTTP door, guarded.
pub fn router(api: Arc<Api>) -> Guarded {
    let guard = Arc::new(Guard::new(api.access.clone(), &api.config.get().http));
    let routes = native::routes().merge(caching::routes()).merge(probes::routes()).with_state(api);
    guarded(routes, guard)
}

/// Adds to routes what holds for all of them: the guard, the limit of bodies, and problems for other paths.
fn guarded(routes: Router, guard: Arc<Guard>) -> Guarded {
    let routes = routes
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        .layer(DefaultBodyLimit::max(MAX_BODY_OCTETS));
    Guarded::new(guard, routes)
}

async fn no_such_path(uri: Uri) -> Problem {
    let path = problem::shown(uri.path());
    Problem::new(StatusCode::NOT_FOUND, format!("there is nothing at `{path}`"))
}

async fn no_such_method(method: Method, uri: Uri) -> Problem {
    let path = problem::shown(uri.path());
    let method = problem::shown(method.as_str());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, format!("`{path}` has no {method}"))
}

/// A request's body, to be read from where it lies.
struct Body(Bytes);

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        read_body(request, state, BODY_TIME).await.map(Body)
    }
}

/// A request's body, read as strict JSON.
struct Json<T>(T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let octets = read_body(request, state, BODY_TIME).await?;
        json::read(&octets).map(Json)
    }
}

async fn read_body<S: Send + Sync>(
    request: Request,
    state: &S,
    within: Duration,
) -> Result<Bytes, Problem> {
    let Ok(read) = timeout(within, Bytes::from_request(request, state)).await else {
        let detail = format!("the body did not arrive within {} s", within.as_secs());
        return Err(Problem::new(StatusCode::REQUEST_TIMEOUT, detail));
    };
    read.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            let detail = "the body is larger than this call takes";
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
        }
        _ => Problem::new(StatusCode::BAD_REQUEST, problem::shown(&rejection.body_text())),
    })
}

#[cfg(test)]
#[path = "api_tests.rs"]
mod tests;
