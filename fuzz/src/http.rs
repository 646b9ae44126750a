//! A request to the HTTP door.

use std::sync::{Arc, OnceLock};

use axum::body::Body;
use axum::http::{Method, Request};
use http_body_util::BodyExt;
use rollcall::api::guard::{Guarded, Peer};
use rollcall::api::{self, Api};
use rollcall::audit::Audit;

use crate::world::world;

/// Method, path and body, each on its line: the rest is the body. Whatever it is, it is answered, without a defect of ours
/// (5xx), and what is refused is so with a problem (RFC 9457), the codes of the Eureka API apart.
pub fn http(data: &[u8]) {
    let mut lines = data.splitn(3, |octet| *octet == b'\n');
    let mut next = || lines.next().unwrap_or_default();
    let (method, path, body) = (next(), next(), next());
    let Ok(method) = Method::from_bytes(method) else { return };
    let request = Request::builder().method(method).uri(path).header("host", "localhost");
    // Clients of Eureka write both.
    let kind = if body.starts_with(b"<") { "application/xml" } else { "application/json" };
    let request = request.header("content-type", kind);
    let is_eureka =
        path.split(|octet| *octet == b'/').any(|part| matches!(part, b"eureka" | b"v2"));
    let Ok(mut request) = request.body(Body::from(body.to_vec())) else { return };
    request.extensions_mut().insert(Peer::plain(([127, 0, 0, 1], 4000).into()));
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(async {
        let response = door().respond(request).await;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("a body").to_bytes();
        let text = String::from_utf8(body.to_vec()).expect("text");
        assert!(parts.status.as_u16() < 500, "{} {text}", parts.status);
        // "Not listed" and what a peer has to know are no problems there.
        if parts.status.is_client_error()
            && !(is_eureka && matches!(parts.status.as_u16(), 404 | 409))
        {
            let kind = parts.headers.get("content-type").and_then(|kind| kind.to_str().ok());
            assert_eq!(kind, Some("application/problem+json"), "{text}");
        }
    });
}

fn door() -> &'static Guarded {
    static DOOR: OnceLock<Guarded> = OnceLock::new();
    DOOR.get_or_init(|| {
        let world = world();
        // Nobody waits for what happens.
        world.registrar.history().end();
        let scrape = Arc::new(|| rollcall::telemetry::Sources {
            registrar: world.registrar.figures(),
            ..rollcall::telemetry::Sources::default()
        });
        let api = Api::new(
            world.registrar.clone(),
            Arc::default(),
            Audit::default(),
            world.config.clone(),
            world.recursion.clone(),
            scrape,
            Arc::new(|_: &str, _: &str, _| Err(("name", "there is no DNS door".to_owned()))),
        );
        api::router(Arc::new(api))
    })
}
