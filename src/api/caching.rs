//! The cache over HTTP: what is in it, and how to forget a name.

use std::sync::Arc;

use axum::extract::{Extension, FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, Uri};
use axum::response;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::native::segments;
use super::problem::Problem;
use super::{Api, json};
use crate::access::Asker;
use crate::cache::Cache;
use crate::view::wire::{self, Name};

type Call = State<Arc<Api>>;
type Caller = Extension<Asker>;

/// The paths of the cache.
pub(super) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(stats)).routes(routes!(flush))
}

/// What is in the cache, and what came of it since the start.
#[derive(Serialize, ToSchema)]
struct StatsView {
    entries: usize,
    octets: usize,
    most_octets: usize,
    hits: u64,
    misses: u64,
    stale: u64,
    evictions: u64,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct FlushQuery {
    /// Whether names below it are forgotten, too.
    #[serde(default)]
    subtree: bool,
}

#[derive(Serialize, ToSchema)]
struct FlushedView {
    name: String,
    subtree: bool,
    flushed: usize,
}

#[utoipa::path(
    get, path = "/api/v1/cache", tag = "server", summary = "Show what is in the cache of upstream answers",
    responses((status = 200, body = StatsView, description = "As it is now")),
)]
async fn stats(
    State(api): Call,
    Extension(caller): Caller,
) -> Result<response::Json<StatsView>, Problem> {
    api.reads_all(&caller)?;
    let cache = api.cache()?;
    let stats = cache.stats();
    Ok(response::Json(StatsView {
        entries: stats.entries,
        octets: stats.octets,
        most_octets: cache.most_octets(),
        hits: stats.hits,
        misses: stats.misses,
        stale: stats.stale,
        evictions: stats.evictions,
    }))
}

#[utoipa::path(
    delete, path = "/api/v1/cache/{name}", tag = "server", summary = "Forget what upstream said of a name",
    params(("name" = String, Path, description = "The domain name"), FlushQuery),
    responses((status = 200, body = FlushedView, description = "What was forgotten")),
)]
async fn flush(
    State(api): Call,
    Extension(caller): Caller,
    NamedName(name): NamedName,
    uri: Uri,
) -> Result<response::Json<FlushedView>, Problem> {
    let FlushQuery { subtree } = json::read_query(&uri)?;
    api.administers(&caller, "cache-flush")?;
    let flushed = api.cache()?.flush(&name, subtree);
    let below = if subtree { " and below" } else { "" };
    api.audit.administered(&caller, "cache-flush", format!("{}{below}", wire::text(name.wire())));
    Ok(response::Json(FlushedView { name: wire::text(name.wire()), subtree, flushed }))
}

impl Api {
    fn cache(&self) -> Result<Arc<Cache>, Problem> {
        let none = || {
            let text = "there is no cache: no names are forwarded ([forward] in the configuration)";
            Problem::new(StatusCode::NOT_FOUND, text)
        };
        self.recursion.get().cache.clone().ok_or_else(none)
    }
}

/// The domain name that the path names.
struct NamedName(Name);

impl<S: Send + Sync> FromRequestParts<S> for NamedName {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let text: String = segments(parts, state).await?;
        let wrong = |reason: String| {
            let detail = format!("`{}` is no domain name: {reason}", super::problem::shown(&text));
            Problem::new(StatusCode::BAD_REQUEST, detail)
        };
        let octets = wire::parse(&text, b"\0").map_err(wrong)?;
        let too_long = || wrong("it is longer than 255 octets".to_owned());
        Name::read(&octets).map(Self).ok_or_else(too_long)
    }
}
