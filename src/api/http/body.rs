//! Bodies that nobody reads.
//!
//! A request that is refused by its head leaves a body on its way. To drop it would reset a stream of HTTP/2, or end a
//! connection of HTTP/1.1, while the client still sends: some then never see the reply that says why. So what little may be
//! left is read away.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use tokio::time::timeout;

use crate::api::MAX_BODY_OCTETS;

/// How long a body is read away.
const READ_AWAY_TIME: Duration = Duration::from_secs(2);

/// A request's body, which is read away when it is dropped, as far as it is no longer than one may be.
pub(super) struct Whole(Option<Incoming>);

impl Whole {
    pub(super) fn new(body: Incoming) -> Self {
        Self(Some(body))
    }
}

impl Body for Whole {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.0 {
            Some(body) => Pin::new(body).poll_frame(context),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.0.as_ref().map(Incoming::size_hint).unwrap_or_default()
    }
}

impl Drop for Whole {
    fn drop(&mut self) {
        let Some(body) = self.0.take().filter(|body| !body.is_end_stream()) else { return };
        if body.size_hint().lower() <= MAX_BODY_OCTETS as u64 {
            tokio::spawn(timeout(READ_AWAY_TIME, read_away(body)));
        }
    }
}

async fn read_away(mut body: Incoming) {
    let mut left = MAX_BODY_OCTETS;
    while let Some(Ok(frame)) = body.frame().await {
        let octets = frame.data_ref().map_or(0, Bytes::len);
        match left.checked_sub(octets) {
            Some(less) => left = less,
            None => return,
        }
    }
}
