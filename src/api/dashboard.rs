//! The dashboard: pages for people, which read what every other client reads.
//!
//! The pages say nothing of the registry and are anybody's, as the probes are; what they show comes by calls that are
//! authorised like all others. They run under a policy that lets them load nothing from elsewhere and run nothing that is
//! not a file of ours, so that what a service says of itself stays text.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};

use axum::extract::{Extension, Path, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, REFERRER_POLICY,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use data_encoding::BASE64URL_NOPAD;
use ring::digest::{SHA256, digest};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::problem::Problem;
use crate::access::Asker;
use crate::config::Config;
use crate::registrar::Figures;

/// What the pages may do (CSP 3, and Trusted Types): load files of ours, and call us.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'";

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// The files: name, type, content.
const FILES: [(&str, &str, &str); 17] = [
    ("index.html", HTML, include_str!("../web/index.html")),
    ("style.css", "text/css; charset=utf-8", include_str!("../web/style.css")),
    ("icon.svg", "image/svg+xml", include_str!("../web/icon.svg")),
    ("api.js", SCRIPT, include_str!("../web/api.js")),
    ("dom.js", SCRIPT, include_str!("../web/dom.js")),
    ("explain.js", SCRIPT, include_str!("../web/explain.js")),
    ("history.js", SCRIPT, include_str!("../web/history.js")),
    ("instance.js", SCRIPT, include_str!("../web/instance.js")),
    ("instances.js", SCRIPT, include_str!("../web/instances.js")),
    ("live.js", SCRIPT, include_str!("../web/live.js")),
    ("main.js", SCRIPT, include_str!("../web/main.js")),
    ("overview.js", SCRIPT, include_str!("../web/overview.js")),
    ("service.js", SCRIPT, include_str!("../web/service.js")),
    ("services.js", SCRIPT, include_str!("../web/services.js")),
    ("timeline.js", SCRIPT, include_str!("../web/timeline.js")),
    ("trouble.js", SCRIPT, include_str!("../web/trouble.js")),
    ("words.js", SCRIPT, include_str!("../web/words.js")),
];

/// A file with what a browser compares its own copy by.
struct File {
    content_type: &'static str,
    content: &'static str,
    etag: HeaderValue,
}

static BY_NAME: LazyLock<HashMap<&str, File>> = LazyLock::new(|| {
    let file = |(name, content_type, content): (&'static str, &'static str, &'static str)| {
        let hash = BASE64URL_NOPAD.encode(digest(&SHA256, content.as_bytes()).as_ref());
        // Letters, digits, `-` and `_` in quotes.
        let etag = HeaderValue::try_from(format!("\"{hash}\"")).ok()?;
        Some((name, File { content_type, content, etag }))
    };
    FILES.into_iter().filter_map(file).collect()
});

pub(super) fn routes() -> Router<Arc<Api>> {
    Router::new().route("/", get(async |headers: HeaderMap| send("index.html", &headers))).route(
        "/ui/{file}",
        get(async |Path(file): Path<String>, headers: HeaderMap| send(&file, &headers)),
    )
}

/// The path of what the server says of itself.
pub(super) fn overview_routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(overview))
}

/// Whether a path is a page's, or of a file that a page loads.
pub(super) fn is_page(path: &str) -> bool {
    path == "/" || path.starts_with("/ui/")
}

fn send(name: &str, headers: &HeaderMap) -> Response {
    let Some(file) = BY_NAME.get(name) else {
        let detail = format!("there is no page `{}`", super::problem::shown(name));
        return Problem::new(StatusCode::NOT_FOUND, detail).into_response();
    };
    let File { content_type, content, etag } = file;
    // A browser asks each time, and is mostly told that it has the file.
    let mut reply = match is_known(headers, etag) {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => content.into_response(),
    };
    let sent = reply.headers_mut();
    sent.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    sent.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    sent.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    sent.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    sent.insert(ETAG, etag.clone());
    reply
}

/// Whether who asks has the file already (RFC 9110, section 13.1.2): a proxy that compresses makes the tag a weak one.
fn is_known(headers: &HeaderMap, etag: &HeaderValue) -> bool {
    let given = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    given.flat_map(|value| value.split(',')).map(str::trim).any(|tag| {
        tag == "*" || tag.strip_prefix("W/").unwrap_or(tag).as_bytes() == etag.as_bytes()
    })
}

/// What the server says of itself, to everybody who may read something.
#[derive(Debug, Serialize, ToSchema)]
struct OverviewView {
    version: &'static str,
    revision: u64,
    /// Why changes are refused now, if so.
    changes_refused: Option<String>,
    /// Doors that are open to everybody by these options.
    insecure: Vec<&'static str>,
    /// Where DNS is answered.
    #[schema(value_type = Vec<String>)]
    dns: Vec<SocketAddr>,
    zones: Vec<String>,
    /// Null for who may read some services alone.
    figures: Option<FiguresView>,
}

/// What there is of all services.
#[derive(Debug, Serialize, ToSchema)]
struct FiguresView {
    services: usize,
    instances: usize,
    answering: usize,
    /// Listed instances by the state that counts.
    up: usize,
    draining: usize,
    down: usize,
    /// Those whose leases have lapsed, and those of them that the brake holds.
    suspect: usize,
    held: usize,
    brake: BrakeView,
    watchers: usize,
}

#[derive(Debug, Serialize, ToSchema)]
struct BrakeView {
    services: usize,
    global: bool,
}

#[utoipa::path(
    get, path = "/api/v1/overview", tag = "server", summary = "Show figures of the whole registry, and what is in trouble",
    responses((status = 200, body = OverviewView, description = "As it is now")),
)]
async fn overview(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Asker>,
) -> Result<Response, Problem> {
    let registrar = api.for_listing(&caller)?;
    let (figures, config) = (registrar.figures(), api.config.get());
    let reads_all = api.access.authorise_reading(&caller.principal, None).is_ok();
    let view = OverviewView {
        version: env!("CARGO_PKG_VERSION"),
        revision: registrar.history().revision(),
        insecure: insecure(&config),
        dns: config.dns.listen.clone(),
        zones: config.dns.zones.clone(),
        figures: reads_all.then(|| FiguresView::new(&figures, registrar.history().figures().0)),
        changes_refused: figures.unavailable,
    };
    Ok(Json(view).into_response())
}

impl FiguresView {
    fn new(figures: &Figures, watchers: usize) -> Self {
        let by_state =
            |state: usize| figures.instances.get(state).map_or(0, |all| all.iter().sum());
        let by_standing =
            |at: usize| figures.instances.iter().filter_map(|all| all.get(at)).sum::<usize>();
        Self {
            services: figures.services,
            instances: figures.instances.as_flattened().iter().sum(),
            answering: figures.answering,
            up: by_state(0),
            draining: by_state(1),
            down: by_state(2),
            suspect: by_standing(1),
            held: by_standing(2),
            brake: BrakeView { services: figures.services_braked, global: figures.global_brake },
            watchers,
        }
    }
}

fn insecure(config: &Config) -> Vec<&'static str> {
    let options = [
        ("http.insecure_no_token", config.http.insecure_no_token),
        ("http.insecure_no_tls", config.http.insecure_no_tls),
        ("udp.insecure_unsigned", config.udp.insecure_unsigned),
    ];
    options.into_iter().filter_map(|(option, is_set)| is_set.then_some(option)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::World;

    #[tokio::test]
    async fn pages_are_sent_with_their_policy_and_asked_for_again() {
        let world = World::new();
        for (name, content_type, content) in FILES {
            let path = if name == "index.html" { "/".to_owned() } else { format!("/ui/{name}") };
            let reply = world.reply(&format!("GET {path}"), "", "").await;
            let headers = reply.headers();
            assert_eq!(
                (reply.status().as_u16(), headers[CONTENT_TYPE].as_bytes()),
                (200, content_type.as_bytes())
            );
            assert_eq!(headers[CONTENT_SECURITY_POLICY], POLICY);
            assert_eq!(headers[CACHE_CONTROL], "no-cache");
            assert_eq!(headers["x-content-type-options"], "nosniff");
            let etag = format!("if-none-match: {}", headers[ETAG].to_str().unwrap());
            assert_eq!(world.call(&format!("GET {path}"), "", "").await.1, content.as_bytes());
            assert_eq!(world.call(&format!("GET {path}"), &etag, "").await, (304, Vec::new()));
            let weak = etag.replace(": ", ": \"x\", W/");
            assert_eq!(world.call(&format!("GET {path}"), &weak, "").await, (304, Vec::new()));
            assert_eq!(world.call(&format!("GET {path}"), "if-none-match: \"x\"", "").await.0, 200);
            assert_eq!(world.call(&format!("HEAD {path}"), "", "").await, (200, Vec::new()));
            for method in ["POST", "PUT", "DELETE"] {
                let json = "content-type: application/json";
                assert_eq!(world.call(&format!("{method} {path}"), json, "{}").await.0, 405);
            }
        }
        for path in ["/ui/nope.js", "/ui/", "/ui/..%2Findex.html", "/ui/%2e%2e/x", "/index.html"] {
            assert_eq!(world.call(&format!("GET {path}"), "", "").await.0, 404, "{path}");
        }
    }

    #[test]
    fn the_first_page_names_every_module() {
        let (_, _, index) = FILES[0];
        for (name, content_type, _) in FILES {
            let named = index.contains(&format!("href=\"/ui/{name}\""))
                || index.contains(&format!("src=\"/ui/{name}\""));
            assert!(named || content_type == HTML, "{name} is fetched late");
        }
    }

    #[test]
    fn pages_have_nothing_inline_and_nothing_from_elsewhere() {
        for (name, _, content) in FILES {
            for forbidden in [
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
                "style=\"",
                " onclick=\"",
                "<style",
            ] {
                assert!(!content.contains(forbidden), "{name} has {forbidden}");
            }
            let addresses =
                content.matches("://").count() - content.matches("http://www.w3.org/").count();
            assert_eq!(addresses, 0, "{name} names another place");
        }
    }

    #[tokio::test]
    async fn the_overview_counts() {
        let world = World::new();
        let put = |id: &str| format!("PUT /api/v1/services/web/instances/{id}");
        world.change(&put("w1"), r#"{"addresses":["10.0.0.1"],"port":1}"#).await;
        world.change(&put("w2"), r#"{"addresses":["10.0.0.2"],"port":1,"state":"down"}"#).await;
        let overview = world.get("/api/v1/overview").await;
        assert_eq!(overview["revision"], 2);
        let figures = &overview["figures"];
        for (field, value) in [
            ("services", 1),
            ("instances", 2),
            ("answering", 1),
            ("up", 1),
            ("down", 1),
            ("held", 0),
        ] {
            assert_eq!(figures[field], value, "{field}");
        }
        assert_eq!(figures["brake"], serde_json::json!({"services": 0, "global": false}));
        assert_eq!(overview["changes_refused"], serde_json::Value::Null);
    }
}
