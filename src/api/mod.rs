//! The doors over HTTP and UDP.
//!
//! Every door turns what it is sent into a [`Command`] or a renewal, has [`Access`] decide on it, and hands it
//! to the [`Registrar`]. A request over HTTP comes in by [`http`] (connections and their limits), passes
//! [`guard`] (who may call at all), and reaches a handler of [`native`], [`granting`], [`caching`] or [`probes`]. What goes wrong leaves
//! as a [`Problem`].

mod caching;
mod dashboard;
mod document;
mod eureka;
pub mod explain;
mod granting;
pub mod datagram;
pub mod http;
pub mod guard;
mod history;
mod http_sd;
pub mod native;
mod native_body;
mod native_list;
mod percent;
mod probes;
pub mod json;
pub mod problem;
pub mod secrets;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest, Request, State};
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use self::guard::{Guard, Guarded};
use self::problem::Problem;
use crate::access::{Access, Asker, Authorised, Denied};
use crate::answer::Recursion;
use crate::audit::Audit;
use crate::config;
use crate::registrar::{Committed, Registrar};
use crate::registry::{Actor, Command, InstanceId};
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
    audit: Audit,
    config: Arc<config::Live>,
    recursion: Arc<Shared<Recursion>>,
    scrape: Scrape,
    explain: explain::Explain,
    eureka: eureka::Door,
    /// One change of what is granted at a time.
    granting: tokio::sync::Mutex<()>,
}

impl Api {
    /// What the handlers need.
    pub fn new(
        registrar: Registrar,
        access: Arc<Access>,
        audit: Audit,
        config: Arc<config::Live>,
        recursion: Arc<Shared<Recursion>>,
        scrape: Scrape,
        explain: explain::Explain,
    ) -> Self {
        let granting = tokio::sync::Mutex::default();
        let eureka = eureka::Door::default();
        Self { registrar, access, audit, config, recursion, scrape, explain, eureka, granting }
    }

    /// Has a change made, if who asks may make it.
    async fn change(&self, by: &Asker, command: Command) -> Result<Committed, Problem> {
        let authorised = self.authorise(by, &command)?;
        Ok(self.registrar.change(command, authorised).await?)
    }

    /// Decides whether who asks may have a command carried out.
    fn authorise(&self, by: &Asker, command: &Command) -> Result<Authorised, Problem> {
        self.access.authorise(by.clone(), command).map_err(|denied| {
            let id = command.id().map(InstanceId::as_str);
            let about = (command.verb(), Some(command.service().as_str()), id);
            self.denied(by, about, &denied)
        })
    }

    /// On whose behalf leases of a service are renewed, if who asks may renew there.
    fn renewer(&self, by: &Asker, service: &str, id: &str) -> Result<Actor, Problem> {
        let decided = self.access.authorise_renewal(&by.principal, service);
        decided.map_err(|denied| self.denied(by, ("renew", Some(service), Some(id)), &denied))
    }

    /// Whether who asks may renew in a service: [`renewer`](Self::renewer) says why not, and tells the audit.
    fn may_renew(&self, by: &Asker, service: &str) -> bool {
        self.access.authorise_renewal(&by.principal, service).is_ok()
    }

    /// What somebody is told who renews what is another's.
    fn not_yours(&self, by: &Asker, service: &str, id: &str) -> Problem {
        let detail = "the instance is another principal's";
        self.audit.denied(by, "renew", Some(service), Some(id), detail);
        Problem::new(StatusCode::FORBIDDEN, detail)
    }

    /// The registrar, to read of a service from: once it is loaded, since a list with gaps would mislead.
    fn for_reading(&self, by: &Asker, service: &str) -> Result<&Registrar, Problem> {
        let decided = self.access.authorise_reading(&by.principal, Some(service));
        decided.map_err(|denied| self.denied(by, ("read", Some(service), None), &denied))?;
        self.loaded()
    }

    /// The registrar, to list services from that who asks may read.
    fn for_listing(&self, by: &Asker) -> Result<&Registrar, Problem> {
        let decided = self.access.authorise_listing(&by.principal);
        decided.map_err(|denied| self.denied(by, ("list", None, None), &denied))?;
        self.loaded()
    }

    /// Whether who asks may look at what is about all services.
    fn reads_all(&self, by: &Asker) -> Result<(), Problem> {
        let decided = self.access.authorise_reading(&by.principal, None);
        decided.map_err(|denied| self.denied(by, ("read", None, None), &denied))
    }

    fn loaded(&self) -> Result<&Registrar, Problem> {
        if self.registrar.is_loaded() { Ok(&self.registrar) } else { Err(Problem::loading()) }
    }

    /// Whether who asks may do something to the server itself.
    fn administers(&self, by: &Asker, verb: &'static str) -> Result<(), Problem> {
        let decided = self.access.authorise_administration(&by.principal);
        decided.map_err(|denied| self.denied(by, (verb, None, None), &denied))
    }

    fn denied(
        &self,
        by: &Asker,
        (verb, service, id): (&'static str, Option<&str>, Option<&str>),
        denied: &Denied,
    ) -> Problem {
        self.audit.denied(by, verb, service, id, &denied.to_string());
        denied.clone().into()
    }
}

/// All paths of the HTTP door, guarded.
pub fn router(api: Arc<Api>) -> Guarded {
    let guard = guard_of(&api);
    let routes =
        document::routes().merge(dashboard::routes()).fallback(eureka_or_nothing).with_state(api);
    guarded(routes, guard)
}

/// The paths of the Eureka API at addresses of its own, guarded as those are.
pub fn eureka_router(api: Arc<Api>) -> Guarded {
    let guard = guard_of(&api);
    let (probes, _) = probes::routes().split_for_parts();
    let routes = probes.fallback(eureka_alone).with_state(api);
    guarded(routes, guard)
}

fn guard_of(api: &Api) -> Arc<Guard> {
    let config = api.config.get();
    let guard =
        Guard::new(api.access.clone(), api.audit.clone(), &config.http, &config.eureka.listen);
    Arc::new(guard)
}

/// Adds to routes what holds for all of them: the guard, the limit of bodies, and problems for other paths.
fn guarded(routes: Router, guard: Arc<Guard>) -> Guarded {
    let routes = routes
        .method_not_allowed_fallback(no_such_method)
        .layer(DefaultBodyLimit::max(MAX_BODY_OCTETS));
    Guarded::new(guard, routes)
}

/// The Eureka API has paths that are read leniently, and so is no route.
async fn eureka_or_nothing(State(api): State<Arc<Api>>, request: Request) -> Response {
    if api.config.get().eureka.on_http {
        return eureka_alone(State(api), request).await;
    }
    no_such_path(request.uri().clone()).await.into_response()
}

async fn eureka_alone(State(api): State<Arc<Api>>, request: Request) -> Response {
    if eureka::is_eureka(request.uri().path()) {
        return eureka::respond(api, request).await;
    }
    no_such_path(request.uri().clone()).await.into_response()
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

/// A body of at most so many octets.
async fn read_up_to(
    body: axum::body::Body,
    most: usize,
    within: Duration,
) -> Result<Bytes, Problem> {
    let Ok(read) = timeout(within, axum::body::to_bytes(body, most)).await else {
        let detail = format!("the body did not arrive within {} s", within.as_secs());
        return Err(Problem::new(StatusCode::REQUEST_TIMEOUT, detail));
    };
    read.map_err(|_| {
        let detail = format!("the body is cut short, or larger than {most} octets");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
    })
}

#[cfg(test)]
mod testing;
#[cfg(test)]
#[path = "api_tests.rs"]
mod tests;
