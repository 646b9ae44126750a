//! What happened, for those who look back: `GET /api/v1/history`, newest first, page by page.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, State};
use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::native_list::{MAX_PAGE, percent_encoded};
use super::problem::Problem;
use super::{Api, json};
use crate::access::Asker;
use crate::history::{Event, Sought};
use crate::registry::{InstanceId, ServiceName};

const HISTORY: &str = "/api/v1/history";
/// Events of a page if the request names no number: what people look at.
const USUAL_PAGE: usize = 100;

pub(super) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(look_back))
}

/// Which events are asked for.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct HistoryQuery {
    /// The service; left out: all.
    service: Option<String>,
    /// The instance, with its service.
    id: Option<String>,
    /// Events of the page: 1 to 1000, 100 if it is left out.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u64>,
    /// Events with lower revisions alone.
    before: Option<u64>,
}

/// An event as every door shows it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EventView<'a> {
    revision: u64,
    unix_ms: u64,
    service: &'a str,
    id: &'a str,
    event: &'static str,
    reason: &'a str,
    /// Of an event `changed`: the fields of the registration.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    changed: Vec<&'static str>,
    /// As it is after the event; null: off the list.
    state: Option<&'static str>,
    standing: Option<&'static str>,
    answering: bool,
    #[schema(value_type = Vec<String>)]
    addresses: &'a [IpAddr],
    port: u16,
    by: ByView<'a>,
}

#[derive(Debug, Serialize, ToSchema)]
struct ByView<'a> {
    /// Null: the server itself.
    principal: Option<&'a str>,
    door: &'static str,
    source: &'a str,
}

impl<'a> EventView<'a> {
    pub(super) fn new(event: &'a Event) -> Self {
        Self {
            revision: event.revision,
            unix_ms: event.unix_ms,
            service: event.service.as_str(),
            id: event.id.as_str(),
            event: event.kind.as_str(),
            reason: &event.reason,
            changed: event.changed.names().collect(),
            state: event.after.map(|after| after.state.as_str()),
            standing: event.after.map(|after| after.standing.as_str()),
            answering: event.after.is_some_and(|after| after.answering()),
            addresses: &event.addresses,
            port: event.port,
            by: ByView {
                principal: event.by.principal.as_deref(),
                door: event.by.door.as_str(),
                source: &event.by.source,
            },
        }
    }
}

/// A page of events.
#[derive(Debug, Serialize, ToSchema)]
struct HistoryView<'a> {
    events: Vec<EventView<'a>>,
    /// Every event after this revision is kept; of those before some may be forgotten.
    complete_since: u64,
    next: Option<String>,
}

#[utoipa::path(
    get, path = "/api/v1/history", tag = "events", summary = "Look back at what happened",
    params(HistoryQuery),
    responses((status = 200, body = HistoryView, description = "Events, newest first")),
)]
async fn look_back(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Asker>,
    uri: Uri,
) -> Result<Response, Problem> {
    let HistoryQuery { service, id, limit, before } = json::read_query(&uri)?;
    let service = service.as_deref().map(ServiceName::parse).transpose()?;
    let id = id.as_deref().map(InstanceId::parse).transpose()?;
    if id.is_some() && service.is_none() {
        return Err(Problem::field(
            "service",
            "is needed with `id`, which is unique in a service alone",
        ));
    }
    let limit = limit.map_or(Some(USUAL_PAGE), |limit| {
        usize::try_from(limit).ok().filter(|limit| (1..=MAX_PAGE).contains(limit))
    });
    let limit = limit.ok_or_else(|| Problem::field("limit", format!("must be 1 to {MAX_PAGE}")))?;
    let registrar = match &service {
        Some(service) => api.for_reading(&caller, service.as_str())?,
        None => api.for_listing(&caller)?,
    };
    let sought = Sought {
        service: service.as_ref().map(ServiceName::as_str),
        id: id.as_ref().map(InstanceId::as_str),
        before,
    };
    let (history, scope) = (registrar.history(), caller.principal.scope());
    // Asked for first: what is forgotten meanwhile is not said to be there.
    let complete_since = history.complete_since(sought.service);
    let mut events = history.look_back(sought, limit + 1, |service| scope.is_for(service));
    let has_more = events.len() > limit;
    events.truncate(limit);
    let next = events.last().filter(|_| has_more).map(|last| next_page(sought, limit, last));
    let events = events.iter().map(|event| EventView::new(event)).collect();
    Ok(Json(HistoryView { events, complete_since, next }).into_response())
}

fn next_page(sought: Sought<'_>, limit: usize, last: &Event) -> String {
    let mut next = format!("{HISTORY}?limit={limit}&before={}", last.revision);
    for (key, value) in [("service", sought.service), ("id", sought.id)] {
        if let Some(value) = value {
            next += &format!("&{key}={}", percent_encoded(value));
        }
    }
    next
}
