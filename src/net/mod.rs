//! Sockets: batched datagrams, streams, and what is said when an address is taken.
//!
//! A loop here moves octets and keeps time; what is answered is decided by whoever it is given, which is
//! [`answer::Responder`] in the server. Nothing here knows what a name is.

mod accept;
pub mod activity;
pub mod batch;
pub mod defer;
pub mod udp;
mod connection;
mod stream;
pub mod pool;
pub mod replier;
pub mod seats;
pub mod tcp;
pub mod http2;
pub mod https;
pub mod quic;
pub mod tls;
pub mod holder;
pub mod passed;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

use crate::answer::{self, Reply, Transport};
use crate::view::LeaseTime;

/// Answers queries that were read together. A loop is compiled for each kind, so that a query costs no
/// indirect call.
pub trait Answer: Send + 'static {
    /// What answers the queries of one batch. It may pin what readers see.
    type Batch<'a>: Respond;

    /// Has `work` answer a batch of queries, all as of `now`. It waits for nothing.
    fn batch<T>(&mut self, now: LeaseTime, work: impl FnOnce(&mut Self::Batch<'_>) -> T) -> T;
}

/// Answers the queries of one batch.
pub trait Respond {
    /// Is shown the queries that are answered next, [`answer::BATCH_QUERIES`] at most.
    fn look_ahead<'q>(&mut self, queries: impl Iterator<Item = &'q [u8]>);

    /// Answers the `nth` of the queries that were shown, counted from 0, into `out`, which has 1,232 octets for a datagram and 65,535 for a stream.
    fn respond(
        &mut self,
        nth: usize,
        query: &[u8],
        peer: SocketAddr,
        transport: Transport,
        out: &mut [u8],
    ) -> Reply;
}

impl Answer for answer::Responder {
    type Batch<'a> = answer::Batch<'a>;

    fn batch<T>(&mut self, now: LeaseTime, work: impl FnOnce(&mut answer::Batch<'_>) -> T) -> T {
        self.batch(now, work)
    }
}

impl Respond for answer::Batch<'_> {
    fn look_ahead<'q>(&mut self, queries: impl Iterator<Item = &'q [u8]>) {
        answer::Batch::look_ahead(self, queries);
    }

    #[inline]
    fn respond(
        &mut self,
        nth: usize,
        query: &[u8],
        peer: SocketAddr,
        transport: Transport,
        out: &mut [u8],
    ) -> Reply {
        answer::Batch::respond(self, nth, query, peer, transport, out)
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
