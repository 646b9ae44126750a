//! From a query's bytes to a reply's bytes: parse, decide, encode.
//!
//! No lock but its own, no await, no allocation, no log line, no clock: what a query meets is the view as it is, at a moment
//! that is passed in. Every transport calls [`Batch::respond`], so no two of them can disagree.

pub mod ahead;
pub mod explain;
pub mod parse;
mod edns;
pub mod cookie;
pub mod rate;
pub mod clients;
pub mod decide;
mod frame;
pub mod encode;
pub mod cached;
pub mod recursion;
mod chain;
pub mod rule;
mod registered;
mod additional;
mod writer;
pub mod tap;
pub mod peek;
pub mod counters;

use std::cell::OnceCell;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::cache::{self, Cache};
use crate::shared::{Hand, Shared};
use crate::view::wire::Name;
use crate::view::{LeaseTime, Taking, View, Zones};
use ahead::Ahead;
pub use ahead::BATCH_QUERIES;
use chain::Chain;
use clients::{Admission, Admitted, Clients};
pub use counters::Counters;
use decide::{Answer, End, Sources};
pub use edns::UDP_MOST;
use encode::Context;
pub use explain::Explained;
pub use frame::Encoded;
use parse::Query;
use recursion::Beyond;
pub use recursion::{Known, Mode, Recursion, Wanted};
pub use writer::Full;

/// How a query came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// In a datagram: the reply is at most what the client takes, 1232 octets at the very most.
    Udp,
    /// In a stream: the reply has up to 65,535 octets.
    Tcp,
    /// In a stream within TLS (RFC 7858).
    Tls,
    /// In an HTTP request (RFC 8484).
    Https,
    /// In a stream of a QUIC connection (RFC 9250).
    Quic,
}

impl Transport {
    /// All of them, in the order in which they are counted.
    pub const ALL: [Self; 5] = [Self::Udp, Self::Tcp, Self::Tls, Self::Https, Self::Quic];

    /// Whether a reply has room for 65,535 octets, and goes where the query certainly came from.
    pub fn is_stream(self) -> bool {
        self != Self::Udp
    }

    /// Whether the query came on a connection whose idle timeout EDNS tells (RFC 7828, section 3.2.1); HTTP and QUIC have
    /// their own ways (RFC 9250, section 5.5.2).
    pub fn has_keepalive(self) -> bool {
        matches!(self, Self::Tcp | Self::Tls)
    }

    /// Whether nobody on the way reads along.
    pub fn is_encrypted(self) -> bool {
        matches!(self, Self::Tls | Self::Https | Self::Quic)
    }
}

/// What becomes of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// The reply is in the first so many octets of the buffer.
    Len(usize),
    /// It is there as well, and something in it should be asked for anew before it ends.
    Due(usize),
    /// There is none before others were asked: see [`Batch::resume`].
    Defer,
    /// No reply: it was none to answer.
    Drop,
}

/// Answers queries; one a worker.
#[derive(Debug)]
pub struct Responder {
    view: Arc<View>,
    zones: Hand<Zones>,
    recursion: Hand<Recursion>,
    clients: clients::Hand,
    counters: Arc<Counters>,
    tap: tap::Hand,
    /// Where the names that a batch asks for are read into.
    names: Box<[Name; BATCH_QUERIES]>,
}

impl Responder {
    /// A responder that answers from `view`, and looks names of others up as `recursion` says; without cookies, limits and
    /// a name of its own.
    pub fn new(view: Arc<View>, recursion: &Shared<Recursion>) -> Self {
        let (zones, recursion) = (view.zones_hand(), recursion.hand());
        Self {
            view,
            zones,
            recursion,
            clients: clients::Hand::new(Arc::default()),
            counters: Arc::default(),
            tap: Arc::<tap::Taps>::default().hand(),
            names: Box::new([const { Name::ROOT }; BATCH_QUERIES]),
        }
    }

    /// The same, treating clients as all responders with these `clients` do.
    #[must_use]
    pub fn with_clients(self, clients: Arc<Clients>) -> Self {
        Self { clients: clients::Hand::new(clients), ..self }
    }

    /// The same, with its queries to be had from `taps`.
    #[must_use]
    pub fn with_tap(self, taps: &Arc<tap::Taps>) -> Self {
        Self { tap: taps.hand(), ..self }
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
        let recursion = self.recursion.hold();
        self.clients.refresh();
        work(&mut Batch {
            sources: Sources { reader: &reader, zones: &zones, loaded },
            view: &self.view,
            recursion: &recursion,
            cached: OnceCell::new(),
            clients: &self.clients,
            counters: &self.counters,
            tap: &mut self.tap,
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
    recursion: &'a Recursion,
    /// The cache, pinned when it is first looked at.
    cached: OnceCell<cache::Reader<'a>>,
    clients: &'a clients::Hand,
    counters: &'a Counters,
    tap: &'a mut tap::Hand,
    names: &'a mut [Name; BATCH_QUERIES],
    ahead: [Ahead<'a>; BATCH_QUERIES],
    now: LeaseTime,
}

/// What comes of a query that others may have to be asked for.
#[derive(Debug)]
pub enum Resumed {
    /// The reply is in the first so many octets of the buffer.
    Len(usize),
    /// This has to be asked.
    Ask(Box<Wanted>),
    /// No reply: it was none to answer.
    Drop,
}

/// What there is beside the view and the cache to answer a query from.
#[derive(Debug, Clone, Copy)]
pub struct Aid<'k> {
    /// What was learnt for the query.
    pub known: &'k [Known],
    /// How much is made of what the cache has.
    pub mode: Mode,
    /// Whether turns are taken, or looked at.
    pub taking: Taking,
}

/// A reply that was written.
struct Written {
    reply: Encoded,
    rcode: u16,
    /// Something in it should be asked for anew before it ends.
    is_due: bool,
}

/// Why there is no reply.
enum Unwritten {
    Full,
    Missing(Box<Wanted>),
}

impl From<Full> for Unwritten {
    fn from(_: Full) -> Self {
        Self::Full
    }
}

impl<'a> Batch<'a> {
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
        let bytes = query;
        let Some(mut query) = parse::parse(query, peer, transport, name) else {
            self.counters.dropped(transport);
            return Reply::Drop;
        };
        self.counters.query(transport, peer.ip(), bytes.len(), &query);
        let Admitted { admission, is_limited } =
            self.clients.admit(&mut query, peer.ip(), transport, self.now);
        if is_limited {
            self.counters.limited();
        }
        let end = match (query.problem, admission) {
            (_, Admission::Drop) => {
                self.counters.dropped(transport);
                return Reply::Drop;
            }
            (Some(problem), _) => Some(End::Problem(problem)),
            (None, Admission::BadCookie) => Some(End::BadCookie),
            (None, Admission::Limited) => Some(End::Limited),
            (None, Admission::Full) => None,
        };
        let aid = Aid { known: &[], mode: Mode::Usual, taking: Taking::Turn };
        match self.write(&query, end, &ahead, peer, transport, aid, out) {
            Ok(Written { reply, rcode, is_due }) => {
                self.counters.reply(transport, rcode, reply.len, reply.truncated);
                self.tap(bytes, peer, transport, out, reply.len);
                if is_due { Reply::Due(reply.len) } else { Reply::Len(reply.len) }
            }
            Err(Unwritten::Missing(_)) => Reply::Defer,
            Err(Unwritten::Full) => {
                self.counters.dropped(transport);
                Reply::Drop
            }
        }
    }

    /// Answers a query that was deferred or is due, and was counted then, with what was learnt since.
    pub fn resume(
        &mut self,
        query: &[u8],
        peer: SocketAddr,
        transport: Transport,
        aid: Aid<'_>,
        out: &mut [u8],
    ) -> Resumed {
        self.look_ahead(std::iter::once(query));
        let [ahead, ..] = self.ahead;
        let name = self.names.first().filter(|_| ahead.is_read);
        let bytes = query;
        let Some(mut query) = parse::parse(query, peer, transport, name) else {
            return Resumed::Drop;
        };
        self.clients.admit_again(&mut query, peer.ip(), transport);
        let end = query.problem.map(End::Problem);
        match self.write(&query, end, &ahead, peer, transport, aid, out) {
            Ok(Written { reply, rcode, .. }) => {
                // What is only asked for anew was counted when it was sent.
                if aid.mode != Mode::Refresh {
                    self.counters.reply(transport, rcode, reply.len, reply.truncated);
                    self.tap(bytes, peer, transport, out, reply.len);
                }
                Resumed::Len(reply.len)
            }
            Err(Unwritten::Missing(wanted)) => Resumed::Ask(wanted),
            Err(Unwritten::Full) => Resumed::Drop,
        }
    }

    /// Hands a query with its reply to whoever logs them, if it is one of those.
    #[inline]
    fn tap(
        &mut self,
        query: &[u8],
        client: SocketAddr,
        transport: Transport,
        out: &[u8],
        len: usize,
    ) {
        if self.tap.is_due() {
            let reply = out.get(..len).unwrap_or_default();
            let at = self.now;
            self.tap.keep(tap::Tapped { at, transport, client, query, reply, reply_len: len });
        }
    }

    /// Says what a query would be answered with and from what, and writes that reply. It changes nothing: no turn is taken,
    /// nothing is counted, nobody is asked. `None`: it is no query.
    pub fn explain(
        &mut self,
        query: &[u8],
        peer: SocketAddr,
        transport: Transport,
        out: &mut [u8],
    ) -> Option<Explained> {
        self.look_ahead(std::iter::once(query));
        let [ahead, ..] = self.ahead;
        let name = self.names.first().filter(|_| ahead.is_read);
        let query = parse::parse(query, peer, transport, name)?;
        let question = query.question.as_ref()?;
        let ground = explain::ground(self.sources, question, &ahead);
        let aid = Aid { known: &[], mode: Mode::Usual, taking: Taking::Look };
        let reply = match self.write(&query, None, &ahead, peer, transport, aid, out) {
            Ok(written) => Some(written.reply),
            Err(Unwritten::Missing(_)) => None,
            Err(Unwritten::Full) => return None,
        };
        Some(Explained { reply, ground })
    }

    /// Writes a reply: `end`, if that is known without looking at the question.
    #[inline]
    #[allow(clippy::too_many_arguments)]
    fn write(
        &self,
        query: &Query<'_>,
        end: Option<End<'_>>,
        ahead: &Ahead<'_>,
        peer: SocketAddr,
        transport: Transport,
        aid: Aid<'_>,
        out: &mut [u8],
    ) -> Result<Written, Unwritten> {
        let cache = self.recursion.cache_for(peer.ip());
        let answer: Answer<'_> = match (end, &query.question) {
            (Some(end), _) => end.into(),
            (None, Some(question)) => decide::decide(self.sources, question, ahead),
            (None, None) if query.carried.cookie.is_some() => End::NoQuestion.into(),
            (None, None) => End::Problem(parse::Problem::FormErr).into(),
        };
        let context = Context {
            sources: self.sources,
            serial: self.view.serial(),
            now: self.now,
            transport,
            recursion_available: cache.is_some(),
            taking: aid.taking,
        };
        match cache {
            Some(cache) if answer.leads_beyond() && query.wants_recursion() => {
                self.beyond(context, query, answer, cache, aid, out)
            }
            _ => self.own(context, query, &answer, out),
        }
    }

    /// Answers a query with what we have.
    #[inline]
    fn own(
        &self,
        context: Context<'_>,
        query: &Query<'_>,
        answer: &Answer<'_>,
        out: &mut [u8],
    ) -> Result<Written, Unwritten> {
        // Others are looked up, and not for this client.
        if matches!(answer.end, End::NotOurs)
            && query.wants_recursion()
            && self.recursion.cache.is_some()
        {
            let prohibited = Answer::from(End::Prohibited);
            let reply = encode::encode(context, query, &prohibited, out)?;
            return Ok(Written { reply, rcode: prohibited.rcode(), is_due: false });
        }
        let reply = encode::encode(context, query, answer, out)?;
        Ok(Written { reply, rcode: answer.rcode(), is_due: false })
    }

    /// Answers a query that leads beyond our zones.
    fn beyond<'s>(
        &'s self,
        context: Context<'s>,
        query: &Query<'_>,
        answer: Answer<'s>,
        cache: &'a Cache,
        aid: Aid<'s>,
        out: &mut [u8],
    ) -> Result<Written, Unwritten> {
        let Some(question) = &query.question else { return Err(Unwritten::Full) };
        let (reader, Aid { known, mode, .. }) = (&self.cached, aid);
        let beyond = Beyond { cache, reader, known, mode, now: self.now };
        if matches!(answer.end, End::NotOurs) && recursion::can_be_asked(question.rtype) {
            let asked = recursion::question(query, question.name, question.rtype);
            let found = beyond.find(asked);
            let found = found.ok_or_else(|| Unwritten::Missing(chain::wanted(&asked)))?;
            let head = found.entry.head();
            if !head.leads_on {
                let Context { now, transport, .. } = context;
                let reply = cached::encode(&found, query, now, transport, out)?;
                return Ok(Written { reply, rcode: head.rcode.into(), is_due: found.is_due });
            }
        }
        let chain = chain::follow(self.sources, &beyond, query, question, answer);
        let chain: Chain<'_> = chain.map_err(Unwritten::Missing)?;
        let reply = chain::encode(context, query, &chain, out)?;
        Ok(Written { reply, rcode: chain.rcode(), is_due: chain.is_due() })
    }
}

#[cfg(test)]
mod tests;
