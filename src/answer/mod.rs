//! From a query's bytes to a reply's bytes: parse, decide, encode.
//!
//! No lock but its own, no await, no allocation, no log line, no clock: what a query meets is the view as it is, at a moment
//! that is passed in. Every transport calls [`Batch::respond`], so no two of them can disagree.

pub mod ahead;
pub mod parse;
mod edns;
pub mod cookie;
pub mod rate;
pub mod clients;
pub mod decide;
mod frame;
pub mod encode;
pub mod cached;
mod registered;
mod additional;
mod writer;
pub mod counters;

use std::net::SocketAddr;
use std::sync::Arc;

use crate::view::wire::Name;
use crate::view::{LeaseTime, View, ZonesHand};
use ahead::Ahead;
pub use ahead::BATCH_QUERIES;
use clients::{Admission, Admitted, Clients, Hand};
pub use counters::Counters;
use decide::{Answer, End, Sources};
pub use edns::UDP_MOST;
pub use frame::Encoded;
pub use writer::Full;

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
    clients: Hand,
    counters: Arc<Counters>,
    /// Where the names that a batch asks for are read into.
    names: Box<[Name; BATCH_QUERIES]>,
}

impl Responder {
    /// A responder that answers from `view`, without cookies, limits and a name of its own.
    pub fn new(view: Arc<View>) -> Self {
        let zones = view.zones_hand();
        Self {
            view,
            zones,
            clients: Hand::new(Arc::default()),
            counters: Arc::default(),
            names: Box::new([const { Name::ROOT }; BATCH_QUERIES]),
        }
    }

    /// The same, treating clients as all responders with these `clients` do.
    #[must_use]
    pub fn with_clients(self, clients: Arc<Clients>) -> Self {
        Self { clients: Hand::new(clients), ..self }
    }

    /// What it counts.
    pub fn counters(&self) -> Arc<Counters> {
        self.counters.clone()
    }

    /// Has `work` answer a batch of queries at `now`: pins the view's maps and holds the zones as they are meanwhile.
    pub fn batch<T>(&mut self, now: LeaseTime, work: impl FnOnce(&mut Batch<'_>) -> T) -> T {
        // Whoever is found loaded before the maps are asked was in them by then.
        let loaded = self.view.loaded();
        let (reader, zones) = (self.view.read(), self.zones.hold());
        self.clients.refresh();
        work(&mut Batch {
            sources: Sources { reader: &reader, zones: &zones, loaded },
            view: &self.view,
            clients: &self.clients,
            counters: &self.counters,
            names: &mut self.names,
            ahead: [Ahead::default(); BATCH_QUERIES],
            now,
        })
    }
}

/// One batch of queries.
pub struct Batch<'a> {
    sources: Sources<'a>,
    view: &'a View,
    clients: &'a Hand,
    counters: &'a Counters,
    names: &'a mut [Name; BATCH_QUERIES],
    ahead: [Ahead<'a>; BATCH_QUERIES],
    now: LeaseTime,
}

impl Batch<'_> {
    /// Looks ahead at the queries that are answered next, [`BATCH_QUERIES`] at most.
    pub fn look_ahead<'q>(&mut self, queries: impl Iterator<Item = &'q [u8]>) {
        ahead::look_ahead(self.sources, queries, self.names, &mut self.ahead);
    }

    /// Answers the `nth` of the queries that were looked ahead at, counted from 0, into `out` (at least 1,232 octets
    /// for UDP, 65,535 for TCP).
    pub fn respond(
        &mut self,
        nth: usize,
        query: &[u8],
        peer: SocketAddr,
        transport: Transport,
        out: &mut [u8],
    ) -> Reply {
        let ahead = self.ahead.get(nth).copied().unwrap_or_default();
        let name = self.names.get(nth).filter(|_| ahead.is_read);
        let Some(mut query) = parse::parse(query, peer, transport, name) else {
            self.counters.dropped(transport);
            return Reply::Drop;
        };
        self.counters.query(transport, query.question.as_ref().map(|question| question.rtype));
        let Admitted { admission, is_limited } =
            self.clients.admit(&mut query, peer.ip(), transport, self.now);
        if is_limited {
            self.counters.limited();
        }
        let answer: Answer<'_> = match (query.problem, admission, &query.question) {
            (_, Admission::Drop, _) => {
                self.counters.dropped(transport);
                return Reply::Drop;
            }
            (Some(problem), ..) => End::Problem(problem).into(),
            (None, Admission::BadCookie, _) => End::BadCookie.into(),
            (None, Admission::Limited, _) => End::Limited.into(),
            (None, Admission::Full, Some(question)) => {
                decide::decide(self.sources, question, &ahead)
            }
            (None, Admission::Full, None) if query.carried.cookie.is_some() => {
                End::NoQuestion.into()
            }
            (None, Admission::Full, None) => End::Problem(parse::Problem::FormErr).into(),
        };
        let serial = self.view.serial();
        let context = encode::Context { sources: self.sources, serial, now: self.now, transport };
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
