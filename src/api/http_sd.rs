//! Targets for Prometheus: `GET /api/v1/http_sd`, in the form of its HTTP service discovery.
//!
//! One group an instance, so that each has labels of its own. Those who answer alone: who is on its way out is not scraped.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, State};
use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::problem::Problem;
use super::{Api, json};
use crate::access::Asker;
use crate::registrar::{Listed, Registrar};
use crate::registry::{PortName, ServiceName};

/// Targets of a reply at most: beyond it, some 15 MB, a job asks for a service.
const MAX_TARGETS: usize = 50_000;
/// Services and instances that are read at a time.
const PAGE: usize = 1_000;

pub(super) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(targets))
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct TargetsQuery {
    /// The service; left out: all.
    service: Option<String>,
    /// The named port to be scraped; the main one.
    port: Option<String>,
}

/// One instance as Prometheus discovers it.
#[derive(Debug, Serialize, ToSchema)]
struct GroupView {
    #[schema(value_type = Vec<String>)]
    targets: [String; 1],
    labels: BTreeMap<String, String>,
}

#[utoipa::path(
    get, path = "/api/v1/http_sd", tag = "server", summary = "List who answers, as Prometheus discovers targets",
    params(TargetsQuery),
    responses((status = 200, body = Vec<GroupView>, description = "A group an instance")),
)]
async fn targets(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Asker>,
    uri: Uri,
) -> Result<Response, Problem> {
    let TargetsQuery { service, port } = json::read_query(&uri)?;
    let service = service.as_deref().map(ServiceName::parse).transpose()?;
    let port = port.as_deref().map(|port| PortName::parse("port", port)).transpose()?;
    let registrar = match &service {
        Some(service) => api.for_reading(&caller, service.as_str())?,
        None => api.for_listing(&caller)?,
    };
    let services = match service {
        Some(service) => vec![service],
        None => services(registrar, |name| caller.principal.scope().is_for(name)),
    };
    let mut groups = Vec::new();
    for service in services {
        for listed in registrar.seen(&service) {
            groups.extend(group(&listed, port.as_ref()));
        }
        if groups.len() > MAX_TARGETS {
            let detail = format!("there are more than {MAX_TARGETS} targets: name a service");
            return Err(Problem::field("service", detail));
        }
    }
    Ok(Json(groups).into_response())
}

fn services(registrar: &Registrar, may: impl Fn(&str) -> bool) -> Vec<ServiceName> {
    let mut all: Vec<ServiceName> = Vec::new();
    loop {
        let after = all.last().map(ServiceName::as_str);
        let some = registrar.services(after, PAGE);
        let is_last = some.len() < PAGE;
        all.extend(some.into_iter().map(|summary| summary.service));
        if is_last {
            break;
        }
    }
    all.retain(|service| may(service.as_str()));
    all
}

/// Nothing: it does not answer, or has no such port.
fn group(listed: &Listed, port: Option<&PortName>) -> Option<GroupView> {
    if !listed.answering().0 {
        return None;
    }
    let instance = &*listed.instance;
    let body = &instance.body;
    let number = match port {
        None => body.port,
        Some(port) => body.ports.iter().find(|(name, _)| name == port)?.1,
    };
    let address = body.addresses.first()?;
    let mut labels = BTreeMap::new();
    let mut label = |name: &str, value: &str| {
        labels.insert(format!("__meta_rollcall_{name}"), value.to_owned());
    };
    label("service", instance.service.as_str());
    label("id", instance.id.as_str());
    label("label", instance.label.as_str());
    label("version", body.texts.version().unwrap_or_default());
    // With commas around, as other discoveries have it: a rule can look for `,blue,`.
    let tags: Vec<_> = body.texts.tags().collect();
    label("tags", &if tags.is_empty() { String::new() } else { format!(",{},", tags.join(",")) });
    label("standing", listed.standing.as_str());
    label("origin", body.origin.door());
    for (key, value) in body.texts.meta() {
        label(&format!("meta_{}", label_name(key)), value);
    }
    Some(GroupView { targets: [SocketAddr::new(*address, number).to_string()], labels })
}

/// What does not fit into the name of a label becomes `_`.
fn label_name(key: &str) -> String {
    key.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::api::testing::World;

    #[tokio::test]
    async fn who_answers_is_a_target() {
        let world = World::new();
        let put = |id: &str| format!("PUT /api/v1/services/web/instances/{id}");
        let full = r#"{"addresses":["fd00::1"],"port":80,"ports":{"metrics":9090},"version":"2","tags":["a","b"],"meta":{"k-1":"v"}}"#;
        world.change(&put("w1"), full).await;
        world.change(&put("w2"), r#"{"addresses":["10.0.0.2"],"port":81}"#).await;
        world
            .change(&put("w3"), r#"{"addresses":["10.0.0.3"],"port":81,"state":"draining"}"#)
            .await;
        world
            .change(
                "PUT /api/v1/services/db/instances/d1",
                r#"{"addresses":["10.0.0.4"],"port":82}"#,
            )
            .await;
        let get = async |query: &str| world.get(&format!("/api/v1/http_sd{query}")).await;
        let targets = |groups: &serde_json::Value| -> Vec<String> {
            groups
                .as_array()
                .unwrap()
                .iter()
                .map(|group| group["targets"][0].as_str().unwrap().to_owned())
                .collect()
        };
        assert_eq!(targets(&get("").await), ["10.0.0.4:82", "[fd00::1]:80", "10.0.0.2:81"]);
        assert_eq!(targets(&get("?service=web").await), ["[fd00::1]:80", "10.0.0.2:81"]);
        let metrics = get("?service=web&port=metrics").await;
        assert_eq!(
            metrics,
            json!([{"targets": ["[fd00::1]:9090"], "labels": {
                "__meta_rollcall_id": "w1", "__meta_rollcall_label": "w1", "__meta_rollcall_meta_k_1": "v",
                "__meta_rollcall_origin": "native", "__meta_rollcall_service": "web",
                "__meta_rollcall_standing": "live", "__meta_rollcall_tags": ",a,b,", "__meta_rollcall_version": "2"}}])
        );
        assert_eq!(get("?service=nobody").await, json!([]));
        let (code, _) = world.call("GET /api/v1/http_sd?service=we_b", "", "").await;
        assert_eq!(code, 422);
    }
}
