//! From a query's bytes to a reply's bytes.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::view::{LeaseTime, View};

/// How a query came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// In a datagram: the reply is at most what the client takes, 1232 octets at the very most.
    Udp,
    /// In a stream: the reply has up to 65,535 octets.
    Tcp,
}

/// What becomes of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// The reply is in the first so many octets of the buffer.
    Len(usize),
    /// No reply: it was none to answer.
    Drop,
}

/// Answers queries; one a worker.
#[derive(Debug)]
pub struct Responder {
    view: Arc<View>,
}

impl Responder {
    /// A responder that answers from `view`.
    pub fn new(view: Arc<View>) -> Self {
        Self { view }
    }

    /// Begins a batch of queries at `now`: pins the view's maps and takes the zones' latest snapshot.
    pub fn batch(&mut self, now: LeaseTime) -> Batch<'_> {
        let _ = (&self.view, now);
        Batch { _r: self }
    }
}

/// One batch of queries.
pub struct Batch<'a> {
    _r: &'a Responder,
}

impl Batch<'_> {
    /// Answers one query into `out` (at least 1,232 octets for UDP, 65,535 for TCP).
    pub fn respond(
        &self,
        query: &[u8],
        peer: SocketAddr,
        transport: Transport,
        out: &mut [u8],
    ) -> Reply {
        let _ = (query, peer, transport, out);
        Reply::Drop
    }
}
