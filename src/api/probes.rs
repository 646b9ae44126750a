//! What watches the server asks: whether it lives, whether it is ready, and its figures.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::problem::Problem;
use crate::access::Asker;
use crate::telemetry;

pub(super) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(alive)).routes(routes!(ready)).routes(routes!(metrics))
}

#[utoipa::path(
    get, path = "/healthz", tag = "server", summary = "Whether the server lives",
    responses((status = 200, body = String, content_type = "text/plain; charset=utf-8", description = "It does")),
)]
async fn alive() -> &'static str {
    "ok\n"
}

#[derive(Serialize, ToSchema)]
struct Ready {
    ready: bool,
    /// Why changes are refused now, if so: answers, renewals and expiry go on, so the server is ready.
    changes_refused: Option<String>,
}

#[utoipa::path(
    get, path = "/readyz", tag = "server", summary = "Whether the registry is loaded whole",
    responses((status = 200, body = Ready, description = "It is")),
)]
async fn ready(State(api): State<Arc<Api>>) -> Result<Json<Ready>, Problem> {
    if !api.registrar.is_loaded() {
        return Err(Problem::loading());
    }
    Ok(Json(Ready { ready: true, changes_refused: api.registrar.unavailable() }))
}

#[utoipa::path(
    get, path = "/metrics", tag = "server", summary = "Figures for Prometheus",
    responses((status = 200, body = String, content_type = "application/openmetrics-text", description = "OpenMetrics 1.0")),
)]
async fn metrics(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Asker>,
) -> Result<Response, Problem> {
    api.reads_all(&caller)?;
    let text = telemetry::exposition((api.scrape)()).map_err(|_| {
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the figures could not be written")
    })?;
    Ok(([(CONTENT_TYPE, telemetry::EXPOSITION_TYPE)], text).into_response())
}
