//! From a query's bytes to a reply's bytes: parse, decide, encode.
//!
//! No lock but its own, no await, no allocation, no log line, no clock: what a query meets is the view as it is, at a moment
//! that is passed in. Every transport calls [`Batch::respond`], so no two of them can disagree.

mod parse;
mod edns;
mod decide;
mod encode;
mod registered;
mod additional;
mod writer;
pub mod counters;

use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::MutexGuard;

use crate::view::wire::Name;
use crate::view::{LeaseTime, Reader, View, Zones, ZonesHand};
pub use counters::Counters;
use decide::{Answer, End, Sources};
pub use edns::UDP_MOST;

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
    zones: ZonesHand,
    counters: Arc<Counters>,
    /// Where the name that is asked for is read into.
    name: Box<Name>,
}

impl Responder {
    /// A responder that answers from `view`.
    pub fn new(view: Arc<View>) -> Self {
        let zones = view.zones_hand();
        Self { view, zones, counters: Arc::default(), name: Box::new(Name::ROOT) }
    }

    /// What it counts.
    pub fn counters(&self) -> Arc<Counters> {
        self.counters.clone()
    }

    /// Begins a batch of queries at `now`: pins the view's maps and holds the zones as they are.
    pub fn batch(&mut self, now: LeaseTime) -> Batch<'_> {
        // Whoever is found loaded before the maps are asked was in them by then.
        let loaded = self.view.loaded();
        Batch {
            reader: self.view.read(),
            view: &self.view,
            zones: self.zones.hold(),
            counters: &self.counters,
            name: &mut self.name,
            loaded,
            now,
        }
    }
}

/// One batch of queries.
pub struct Batch<'a> {
    reader: Reader<'a>,
    view: &'a View,
    zones: MutexGuard<'a, Arc<Zones>>,
    counters: &'a Counters,
    name: &'a mut Name,
    loaded: bool,
    now: LeaseTime,
}

impl Batch<'_> {
    /// Answers one query into `out` (at least 1,232 octets for UDP, 65,535 for TCP).
    pub fn respond(
        &mut self,
        query: &[u8],
        peer: SocketAddr,
        transport: Transport,
        out: &mut [u8],
    ) -> Reply {
        let Some(query) = parse::parse(query, peer, transport, self.name) else {
            self.counters.dropped(transport);
            return Reply::Drop;
        };
        self.counters.query(transport, query.question.as_ref().map(|question| question.rtype));
        let sources = Sources { reader: &self.reader, zones: &self.zones, loaded: self.loaded };
        let answer: Answer<'_> = match (query.problem, &query.question) {
            (None, Some(question)) => decide::decide(sources, question),
            (problem, _) => End::Problem(problem.unwrap_or(parse::Problem::FormErr)).into(),
        };
        let serial = self.view.serial();
        let context = encode::Context { sources, serial, now: self.now, transport };
        match encode::encode(context, &query, &answer, out) {
            Ok(reply) => {
                self.counters.reply(transport, answer.rcode(), reply.truncated);
                Reply::Len(reply.len)
            }
            Err(writer::Full) => {
                self.counters.dropped(transport);
                Reply::Drop
            }
        }
    }
}

#[cfg(test)]
mod tests;
