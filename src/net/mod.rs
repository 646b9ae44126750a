//! Sockets: batched datagrams, streams, and what is said when an address is taken.
//!
//! A loop here moves octets and keeps time; what is answered is decided by whoever it is given, which is
//! [`answer::Responder`] in the server. Nothing here knows what a name is.

pub mod batch;
pub mod udp;
mod connection;
mod pool;
pub mod seats;
pub mod tcp;
pub mod holder;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

use crate::answer::{self, Reply, Transport};
use crate::view::LeaseTime;

/// Answers queries that were read together. A loop is compiled for each kind, so that a query costs no
/// indirect call.
pub trait Answer: Send + 'static {
    /// What answers the queries of one batch. It may pin what readers see, and is dropped before the loop
    /// waits for anything.
    type Batch<'a>: Respond;

    /// Begins a batch of queries, all answered as of `now`.
    fn batch(&mut self, now: LeaseTime) -> Self::Batch<'_>;
}

/// Answers the queries of one batch.
pub trait Respond {
    /// Answers one query into `out`, which has 1,232 octets for a datagram and 65,535 for a stream.
    fn respond(
        &mut self,
        query: &[u8],
        peer: SocketAddr,
        transport: Transport,
        out: &mut [u8],
    ) -> Reply;
}

impl Answer for answer::Responder {
    type Batch<'a> = answer::Batch<'a>;

    fn batch(&mut self, now: LeaseTime) -> answer::Batch<'_> {
        self.batch(now)
    }
}

impl Respond for answer::Batch<'_> {
    #[inline]
    fn respond(
        &mut self,
        query: &[u8],
        peer: SocketAddr,
        transport: Transport,
        out: &mut [u8],
    ) -> Reply {
        answer::Batch::respond(self, query, peer, transport, out)
    }
}

/// Tells the loops to end: each answers what it has received, then closes. Clones are the same flag.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<StopFlag>);

#[derive(Debug, Default)]
struct StopFlag {
    set: AtomicBool,
    changed: Notify,
}

impl Stop {
    /// Sets the flag, for good.
    pub fn stop(&self) {
        self.0.set.store(true, Ordering::Release);
        self.0.changed.notify_waiters();
    }

    /// Whether it is set.
    pub fn is_set(&self) -> bool {
        self.0.set.load(Ordering::Acquire)
    }

    /// Returns once it is set.
    pub async fn wait(&self) {
        let mut changed = std::pin::pin!(self.0.changed.notified());
        // Listens before it looks, or a stop in between would be missed.
        changed.as_mut().enable();
        if !self.is_set() {
            changed.await;
        }
    }
}
