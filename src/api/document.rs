//! The API document: OpenAPI 3.1, made of the very routes that are served and of what they read and write.

use std::sync::Arc;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    ContentBuilder, Info, OpenApi, OpenApiBuilder, PathItem, Ref, ResponseBuilder,
};
use utoipa::{PartialSchema, ToSchema};
use utoipa_axum::router::OpenApiRouter;

use super::problem::Sent;
use super::{Api, caching, dashboard, explain, granting, history, http_sd, native, probes, watch};

/// How a token is called in the document.
const TOKEN: &str = "token";

/// The paths that are in the document, and the document's own.
pub(super) fn routes() -> Router<Arc<Api>> {
    let (routes, document) = documented().split_for_parts();
    // It is the same for the server's life.
    let text: Arc<str> = finish(document).to_json().unwrap_or_default().into();
    let send = move || {
        let text = text.to_string();
        async move { ([(CONTENT_TYPE, "application/json")], text) }
    };
    routes.route("/api/v1/openapi.json", get(send))
}

fn documented() -> OpenApiRouter<Arc<Api>> {
    let info = Info::builder()
        .title("Rollcall")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some("A private DNS server that answers from a live registry."));
    OpenApiRouter::with_openapi(OpenApiBuilder::new().info(info).build())
        .merge(native::routes())
        .merge(history::routes())
        .merge(watch::routes())
        .merge(explain::routes())
        .merge(dashboard::overview_routes())
        .merge(http_sd::routes())
        .merge(caching::routes())
        .merge(granting::routes())
        .merge(probes::routes())
}

/// Adds what is the same for all calls: the token, and the problem that each may end with.
fn finish(mut document: OpenApi) -> OpenApi {
    let components = document.components.get_or_insert_default();
    components.schemas.insert("Problem".to_owned(), Sent::schema());
    let mut further = Vec::new();
    Sent::schemas(&mut further);
    components.schemas.extend(further);
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
    components.add_security_scheme(TOKEN, SecurityScheme::Http(bearer));
    for item in document.paths.paths.values_mut() {
        operations(item).for_each(|operation| {
            let content =
                ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
            let problem = ResponseBuilder::new()
                .description("Why it was not done (RFC 9457)")
                .content("application/problem+json", content)
                .build();
            operation.responses.responses.insert("default".to_owned(), problem.into());
            // Without one, too, where the door is open on loopback.
            let without = SecurityRequirement::default();
            let with = SecurityRequirement::new(TOKEN, [""; 0]);
            operation.security = Some(vec![without, with]);
        });
    }
    document
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem { get, put, post, delete, .. } = item;
    [get, put, post, delete].into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use crate::api::testing::World;

    #[tokio::test]
    async fn the_document_has_every_call_with_its_problem() {
        let world = World::new();
        let document = world.get("/api/v1/openapi.json").await;
        assert!(document["openapi"].as_str().unwrap().starts_with("3.1."));
        let paths = document["paths"].as_object().unwrap();
        let mut calls = 0;
        for (path, item) in paths {
            for (method, operation) in item.as_object().unwrap() {
                calls += 1;
                let about = format!("{method} {path}");
                assert!(
                    operation["summary"].as_str().is_some_and(|text| !text.is_empty()),
                    "{about}"
                );
                let problem =
                    &operation["responses"]["default"]["content"]["application/problem+json"];
                assert_eq!(problem["schema"]["$ref"], "#/components/schemas/Problem", "{about}");
                assert!(operation["responses"].as_object().unwrap().len() > 1, "{about}");
                assert_eq!(operation["security"].as_array().unwrap().len(), 2, "{about}");
            }
        }
        assert_eq!((paths.len(), calls), (22, 26));
        // Whatever is named is there.
        let text = document.to_string();
        let names = text.split("#/components/schemas/").skip(1);
        for name in names.filter_map(|rest| rest.split('"').next()) {
            assert!(document["components"]["schemas"][name].is_object(), "{name}");
        }
        assert_ne!(document["components"]["schemas"]["Problem"], Value::Null);
    }
}
