//! What the door answers: mostly a code and nothing else, for clients take a body for more than it is.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use axum::http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, VARY};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use hyper::body::{Frame, SizeHint};

use super::catalogue::{Document, document};
use super::fragment::Form;
use super::write::Format;
use crate::api::problem::Problem;

/// Why a call was not carried out.
#[derive(Debug)]
pub(super) enum Failure {
    /// A code that says it all. "Not listed" must be this: clients that read on do not register again.
    Code(StatusCode),
    /// Something that a person has to mend.
    Problem(Problem),
    /// Another server has an older copy of an instance than ours, which is this, in JSON.
    Newer(String),
}

/// "Not listed: register it."
pub(super) const NOT_LISTED: Failure = Failure::Code(StatusCode::NOT_FOUND);

impl<T: Into<Problem>> From<T> for Failure {
    fn from(problem: T) -> Self {
        let problem = problem.into();
        match problem.status {
            StatusCode::NOT_FOUND => Self::Code(problem.status),
            // Eureka has one code for what is wrong with a request.
            StatusCode::UNPROCESSABLE_ENTITY => {
                Self::Problem(Problem { status: StatusCode::BAD_REQUEST, ..problem })
            }
            _ => Self::Problem(problem),
        }
    }
}

impl Failure {
    /// Its code.
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Code(status) => *status,
            Self::Problem(problem) => problem.status,
            Self::Newer(_) => StatusCode::CONFLICT,
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        match self {
            Self::Code(status) => status.into_response(),
            Self::Problem(problem) => problem.into_response(),
            Self::Newer(instance) => {
                let json = [(CONTENT_TYPE, Format::Json.content_type())];
                (StatusCode::CONFLICT, json, instance).into_response()
            }
        }
    }
}

/// The form that a client takes: JSON if it says so, compressed if it can.
pub(super) fn form(headers: &HeaderMap) -> Form {
    let says = |name: HeaderName, word: &str| {
        let mut values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.any(|value| {
            value.split(',').any(|part| {
                let part = part.to_ascii_lowercase();
                part.contains(word) && !refuses(&part)
            })
        })
    };
    let format = if says(ACCEPT, "json") { Format::Json } else { Format::Xml };
    Form { format, gzip: says(ACCEPT_ENCODING, "gzip") }
}

/// Whether a part of a header says "not that" (RFC 9110, section 12.4.2).
fn refuses(part: &str) -> bool {
    let weight = part.split(';').skip(1).find_map(|parameter| parameter.trim().strip_prefix("q="));
    weight.and_then(|weight| weight.trim().parse::<f32>().ok()) == Some(0.0)
}

/// A document, with what it is written in.
pub(super) fn listing(form: Form, document: &Document) -> Response {
    let mut response = Response::new(Body::new(Pieces::new(document)));
    let headers = response.headers_mut();
    let content_type = form.format.content_type();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(VARY, HeaderValue::from_static("accept, accept-encoding"));
    if form.gzip {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

/// A text in the form that a client takes.
pub(super) fn text(form: Form, text: String) -> Response {
    listing(form, &document(text, form.gzip))
}

/// A document on its way, without a copy of it.
struct Pieces {
    pieces: VecDeque<Bytes>,
    left: u64,
}

impl Pieces {
    fn new(document: &Document) -> Self {
        let pieces: VecDeque<_> =
            document.pieces.iter().filter(|piece| !piece.is_empty()).cloned().collect();
        let left = pieces.iter().map(|piece| piece.len() as u64).sum();
        Self { pieces, left }
    }
}

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = self.pieces.pop_front();
        self.left -= piece.as_ref().map_or(0, |piece| piece.len() as u64);
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_and_gzip_are_for_who_asks() {
        let form = |accept: &[(HeaderName, &'static str)]| {
            let pairs =
                accept.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value)));
            form(&pairs.collect())
        };
        let xml = Form { format: Format::Xml, gzip: false };
        for (headers, expected) in [
            (&[][..], xml),
            (&[(ACCEPT, "*/*")], xml),
            (
                &[(ACCEPT, "application/xml"), (ACCEPT_ENCODING, "deflate, GZIP;q=0.5")],
                Form { gzip: true, ..xml },
            ),
            (
                &[(ACCEPT, "application/json, application/*+json")],
                Form { format: Format::Json, ..xml },
            ),
            (&[(ACCEPT, "application/json;q=0"), (ACCEPT_ENCODING, "gzip; q=0")], xml),
        ] {
            assert_eq!(form(headers), expected, "{headers:?}");
        }
    }
}
