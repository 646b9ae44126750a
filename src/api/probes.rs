//! What watches the server asks: whether it lives, whether it is ready, and its figures.

use std::sync::Arc;

use axum::extract::{Extension, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;

use super::Api;
use super::problem::Problem;
use crate::access::Asker;
use crate::telemetry;

pub(super) fn routes() -> Router<Arc<Api>> {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
}

#[derive(Serialize)]
struct Ready {
    ready: bool,
    /// Why changes are refused now, if so: answers, renewals and expiry go on, so the server is ready.
    changes_refused: Option<String>,
}

async fn ready(State(api): State<Arc<Api>>) -> Result<Json<Ready>, Problem> {
    if !api.registrar.is_loaded() {
        return Err(Problem::loading());
    }
    Ok(Json(Ready { ready: true, changes_refused: api.registrar.unavailable() }))
}

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
