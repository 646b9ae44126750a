//! Turns everything that can go wrong at an HTTP door into one kind of reply: a problem (RFC 9457).

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::access::Denied;
use crate::registry::{Invalid, Refusal};

/// Characters of somebody else's text that a problem repeats at most.
const MAX_SHOWN_CHARS: usize = 80;
/// Seconds after which to ask again what cannot be answered now: less than the shortest lease.
pub const RETRY_AFTER_SECS: u32 = 1;

/// Why a request was not carried out, as its sender is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The code of the reply.
    pub status: StatusCode,
    /// What is wrong, and the way out.
    pub detail: String,
    /// The field that it is about, as the sender wrote it.
    pub field: Option<String>,
    /// After which revision no event is forgotten, for who asked for older ones.
    pub complete_since: Option<u64>,
}

/// A problem (RFC 9457) as it is sent.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct Sent<'a> {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    complete_since: Option<u64>,
}

impl Problem {
    /// A problem about the request as a whole.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), field: None, complete_since: None }
    }

    /// A problem about a field that is there, and wrong (422).
    pub fn field(field: impl Into<String>, detail: impl Into<String>) -> Self {
        let field = Some(field.into());
        Self { field, ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail) }
    }

    /// The registry is not loaded whole: what is not found may yet exist.
    pub fn loading() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "the registry is being loaded: ask again soon")
    }

    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        match self.status {
            StatusCode::UNAUTHORIZED => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECS));
            }
            _ => {}
        }
        headers
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let sent = Sent {
            r#type: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            detail: &self.detail,
            field: self.field.as_deref(),
            complete_since: self.complete_since,
        };
        // Text and numbers always serialise; were it not so, the code alone would say it.
        let body = serde_json::to_vec(&sent).unwrap_or_default();
        (self.status, self.headers(), body).into_response()
    }
}

impl From<Invalid> for Problem {
    fn from(invalid: Invalid) -> Self {
        Self::field(invalid.field, invalid.reason)
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let (status, field) = match &refusal {
            Refusal::NotListed => (StatusCode::NOT_FOUND, None),
            Refusal::Outdated => (StatusCode::CONFLICT, None),
            Refusal::TagIsLabel { .. } => (StatusCode::CONFLICT, Some("tags")),
            Refusal::LabelIsTag { .. } => (StatusCode::CONFLICT, Some("id")),
            Refusal::InZoneFile { field, .. } => (StatusCode::CONFLICT, Some(*field)),
            Refusal::NotYours { .. } => (StatusCode::FORBIDDEN, Some("id")),
            Refusal::Claimed { .. } => (StatusCode::FORBIDDEN, Some("service")),
            Refusal::Quota { .. } | Refusal::Full { .. } => (StatusCode::CONFLICT, None),
            Refusal::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, None),
        };
        Self { field: field.map(str::to_owned), ..Self::new(status, refusal.to_string()) }
    }
}

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Self {
        let (status, field) = match denied {
            Denied::NoToken | Denied::WrongToken | Denied::TokenOver => {
                (StatusCode::UNAUTHORIZED, None)
            }
            Denied::Address(_) => (StatusCode::FORBIDDEN, Some("addresses")),
            Denied::Lease(_) => (StatusCode::FORBIDDEN, Some("lease_secs")),
            Denied::Service(_) => (StatusCode::FORBIDDEN, Some("service")),
            Denied::NotLoopback
            | Denied::UnknownCertificate
            | Denied::UnknownUser(_)
            | Denied::Verb(_)
            | Denied::NotAllServices => (StatusCode::FORBIDDEN, None),
        };
        Self { field: field.map(str::to_owned), ..Self::new(status, denied.to_string()) }
    }
}

/// Somebody else's text as a problem repeats it: without control characters, and not without end.
pub fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(MAX_SHOWN_CHARS).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown.chars().flat_map(char::escape_debug).collect::<String>().replace("\\\"", "\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::{InstanceId, Label, ServiceName, Tag};

    async fn sent(problem: impl Into<Problem>) -> (u16, Option<String>, String) {
        let response = problem.into().into_response();
        assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
        let mut others = response.headers().clone();
        others.remove(CONTENT_TYPE);
        let other = others.iter().next().map(|(k, v)| format!("{k}: {}", v.to_str().unwrap()));
        let status = response.status().as_u16();
        let body = axum::body::to_bytes(response.into_body(), 4096).await.unwrap();
        (status, other, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn a_problem_is_sent_as_rfc_9457_says() {
        assert_eq!(
            sent(Invalid::new("ports.metrics", "must be 1 to 65535")).await,
            (
                422,
                None,
                r#"{"type":"about:blank","title":"Unprocessable Entity","status":422,"detail":"must be 1 to 65535","field":"ports.metrics"}"#.into()
            )
        );
        assert_eq!(
            sent(Denied::NoToken).await,
            (
                401,
                Some("www-authenticate: Bearer".into()),
                r#"{"type":"about:blank","title":"Unauthorized","status":401,"detail":"a token is needed: send `Authorization: Bearer TOKEN`"}"#.into()
            )
        );
        assert_eq!(
            sent(Refusal::Unavailable("the disk is full".into())).await,
            (
                503,
                Some("retry-after: 1".into()),
                r#"{"type":"about:blank","title":"Service Unavailable","status":503,"detail":"no changes can be made now: the disk is full"}"#.into()
            )
        );
    }

    #[test]
    fn each_refusal_has_its_code_and_field() {
        let id = InstanceId::parse("web-1").unwrap();
        let tag = Tag::parse("tags[0]", "web-1").unwrap();
        let service = ServiceName::parse("web").unwrap();
        let zone_file = Refusal::InZoneFile {
            field: "version",
            name: "web.svc.internal.".into(),
            file: "a.zone".into(),
            line: 7,
        };
        let label = Label::candidates(&id).next().unwrap();
        for (refusal, status, field) in [
            (Refusal::NotListed, 404, None),
            (Refusal::Outdated, 409, None),
            (Refusal::TagIsLabel { tag, holder: id.clone() }, 409, Some("tags")),
            (Refusal::LabelIsTag { label }, 409, Some("id")),
            (zone_file, 409, Some("version")),
            (Refusal::NotYours { id: id.clone() }, 403, Some("id")),
            (Refusal::Claimed { service, reserved_secs: Some(7) }, 403, Some("service")),
            (Refusal::Quota { owner: crate::registry::Owner::named("team"), most: 2 }, 409, None),
            (Refusal::Full { what: "instances", most: 2 }, 409, None),
            (Refusal::Unavailable("loading".into()), 503, None),
        ] {
            let text = refusal.to_string();
            let problem = Problem::from(refusal);
            assert_eq!((problem.status.as_u16(), problem.field.as_deref()), (status, field));
            assert_eq!(problem.detail, text);
        }
        assert_eq!(Problem::from(Denied::WrongToken).status, 401);
        assert_eq!(Problem::from(Denied::NotLoopback).status, 403);
        assert_eq!(Problem::from(Denied::TokenOver).status, 401);
        assert_eq!(Problem::from(Denied::Lease(60)).field.as_deref(), Some("lease_secs"));
    }

    #[test]
    fn shown_text_is_short_and_printable() {
        assert_eq!(shown("a\nb\u{7f}\"é\""), "a\\nb\\u{7f}\"é\"");
        assert_eq!(shown(&"é".repeat(81)), format!("{}…", "é".repeat(80)));
        assert_eq!(shown(&"x".repeat(80)), "x".repeat(80));
    }
}
