//! Has queries answered that lead to names of others: asks for what is missing, and answers when it is there.
//!
//! Each query is a task. It is answered by the same code as everywhere, `answer::Batch::resume`, which says what is
//! missing; that is asked, and it is tried again, until nothing is. A client that has waited long enough gets what no
//! longer holds, if there is anything (RFC 8767, section 5), while upstream is still asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::RwLock;
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout_at};

use super::exchange::udp::{SOCKETS_MOST, Sockets};
use super::flight::{Flights, OUTSTANDING_MOST, Waiting};
use super::judge::Judge;
use super::plan::{Group, Plan, Upstreams};
use super::probe::Probes;
use super::{Failure, Question, accept};
use crate::answer::rule::Rule;
use crate::answer::{Aid, Known, Mode, Recursion, Responder, Resumed, Wanted};
use crate::cache::{self, Cache, Draft, Entry, Scope};
use crate::net::defer::{Defer, Deferred, Way};
use crate::net::pool::Pool as Desks;
use crate::shared::Shared;
use crate::view::{LeaseTime, Taking, View};

/// How long a client waits for upstream when there is an answer of old: the client response timer of RFC 8767, section
/// 5.
const STALE_AFTER: Duration = Duration::from_millis(1800);
/// Questions that one query may lead to: as many as an answer has parts.
const QUESTIONS_MOST: usize = 5;

/// Response codes (RFC 1035, section 4.1.1).
const SERVFAIL: u8 = 2;
const REFUSED: u8 = 5;
/// Extended errors (RFC 8914, sections 4.21, 4.23 and 4.24).
const NOT_AUTHORITATIVE: u16 = 20;
const NO_REACHABLE_AUTHORITY: u16 = 22;
const NETWORK_ERROR: u16 = 23;

/// What the forwarder is made of.
pub struct Parts {
    /// Where tasks run.
    pub runtime: Handle,
    /// Our zones are in it.
    pub view: Arc<View>,
    /// Who may ask, and the cache.
    pub recursion: Arc<Shared<Recursion>>,
    /// The clock of answers.
    pub clock: Arc<dyn Fn() -> LeaseTime + Send + Sync>,
}

/// The forwarder. Clones are the same.
#[derive(Clone)]
pub struct Forwarder(Arc<Inner>);

struct Inner {
    runtime: Handle,
    view: Arc<View>,
    recursion: Arc<Shared<Recursion>>,
    clock: Arc<dyn Fn() -> LeaseTime + Send + Sync>,
    desks: Desks<Responder>,
    plan: RwLock<Arc<Plan>>,
    sockets: Sockets,
    flights: Arc<Flights<Arc<Entry>>>,
    probes: Probes,
    asked: AtomicU64,
    failed: AtomicU64,
}

/// What the forwarder counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Questions under way.
    pub outstanding: usize,
    /// Questions that upstreams were asked, however often each was repeated.
    pub asked: u64,
    /// Questions that no upstream answered.
    pub failed: u64,
    /// Questions given up for newer ones.
    pub given_up: u64,
    /// Groups of upstreams that are not asked because what they are asked comes back to us.
    pub looping: usize,
    /// What is in the cache, and what came of it.
    pub cache: cache::Stats,
}

impl Defer for Forwarder {
    fn defer(&self, deferred: Deferred) {
        let me = self.clone();
        self.0.runtime.spawn(async move { me.serve(deferred).await });
    }
}

impl Forwarder {
    /// A forwarder that asks nobody yet, with `desks` responders (at least one; best as many as the runtime has threads).
    pub fn new(parts: Parts, desks: usize, responder: impl FnMut(usize) -> Responder) -> Self {
        let Parts { runtime, view, recursion, clock } = parts;
        Self(Arc::new(Inner {
            runtime,
            view,
            recursion,
            clock,
            desks: Desks::new(desks, responder),
            plan: RwLock::default(),
            sockets: Sockets::new(SOCKETS_MOST),
            flights: Flights::new(OUTSTANDING_MOST),
            probes: Probes::default(),
            asked: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        }))
    }

    /// The sockets for the upstreams of a [`Plan`].
    pub fn sockets(&self) -> &Sockets {
        &self.0.sockets
    }

    /// Asks by this plan from now on, and finds out whether it leads back to us.
    pub fn set_plan(&self, plan: Plan) {
        *self.0.plan.write() = Arc::new(plan);
        self.probe();
    }

    /// The plan.
    pub fn plan(&self) -> Arc<Plan> {
        self.0.plan.read().clone()
    }

    /// The cache, if there is one.
    pub fn cache(&self) -> Option<Arc<Cache>> {
        self.0.recursion.get().cache.clone()
    }

    /// What it counts.
    pub fn figures(&self) -> Figures {
        let Inner { flights, asked, failed, .. } = &*self.0;
        Figures {
            outstanding: flights.count(),
            asked: asked.load(Ordering::Relaxed),
            failed: failed.load(Ordering::Relaxed),
            given_up: flights.given_up(),
            looping: self.plan().upstreams().filter(|group| group.is_looping()).count(),
            cache: self.cache().map(|cache| cache.stats()).unwrap_or_default(),
        }
    }

    /// Finds out, in the background, whether what upstreams are asked comes back to us.
    pub fn probe(&self) {
        for upstreams in self.plan().upstreams() {
            let (me, upstreams) = (self.clone(), upstreams.clone());
            self.0.runtime.spawn(async move { me.0.probes.probe(&upstreams).await });
        }
    }

    async fn serve(&self, deferred: Deferred) {
        let stale_at = Instant::now() + STALE_AFTER;
        let mut known = Vec::new();
        let mut mode = match deferred.way {
            Way::Nobody => Mode::Refresh,
            Way::Datagram(..) | Way::Stream(_) => Mode::Usual,
        };
        while known.len() <= QUESTIONS_MOST {
            let wanted =
                match self.resume(&deferred, Aid { known: &known, mode, taking: Taking::Turn }) {
                    Ok(Some(reply)) => return deferred.reply(&reply),
                    Ok(None) => return,
                    Err(wanted) => wanted,
                };
            if self.0.probes.came_back(&wanted.name) {
                return; // whoever sent it on is not told that we are here
            }
            let waiting = self.ask(&wanted);
            let entry = match mode {
                Mode::Refresh => return,
                Mode::Usual => match timeout_at(stale_at, waiting.reply()).await {
                    Ok(reply) => reply.ok(),
                    Err(_) => {
                        mode = Mode::Stale;
                        continue;
                    }
                },
                Mode::Stale => waiting.reply().await.ok(),
            };
            let entry = entry.unwrap_or_else(|| Arc::new(given_up(&wanted, (self.0.clock)())));
            let rule = self.rule_for(&wanted);
            known.push(Known { wanted: *wanted, entry, rule });
        }
    }

    fn rule_for(&self, wanted: &Wanted) -> Rule {
        match self.plan().find(&wanted.name) {
            Group::Upstreams(_) => Rule::Upstream,
            Group::Special(_) => Rule::Itself,
            Group::Nobody => Rule::Refused,
        }
    }

    /// The reply, if one is due; an error: what has to be asked before.
    fn resume(&self, deferred: &Deferred, aid: Aid<'_>) -> Result<Option<Vec<u8>>, Box<Wanted>> {
        let now = (self.0.clock)();
        let Deferred { query, peer, transport, .. } = deferred;
        self.0.desks.with(|desk| {
            let room = &mut desk.room;
            desk.answer.batch(now, |batch| {
                match batch.resume(query, *peer, *transport, aid, room) {
                    Resumed::Len(len) => Ok(room.get(..len).map(<[u8]>::to_vec)),
                    Resumed::Drop => Ok(None),
                    Resumed::Ask(wanted) => Err(wanted),
                }
            })
        })
    }

    /// Asks, together with whoever asks the same.
    fn ask(&self, wanted: &Wanted) -> Waiting<Arc<Entry>> {
        let mut question = Question::new(&wanted.name, wanted.rtype);
        question.dnssec_ok = wanted.dnssec_ok;
        question.checking_disabled = wanted.checking_disabled;
        self.0.flights.join(&question, || {
            let (me, wanted, question) = (self.0.clone(), wanted.clone(), question.clone());
            async move { me.answer_to(&wanted, &question).await }
        })
    }
}

impl Inner {
    async fn answer_to(&self, wanted: &Wanted, question: &Question) -> Arc<Entry> {
        let memory = Memory::new(self.recursion.get().cache.clone());
        let plan = self.plan.read().clone();
        match plan.find(&wanted.name) {
            Group::Upstreams(upstreams) => {
                self.answer_of(&upstreams, &plan, wanted, question, &memory).await
            }
            Group::Special(special) => {
                let now = (self.clock)();
                memory.keep(wanted, special.entry(wanted.question(), now), now)
            }
            Group::Nobody => {
                let refused = Draft::new(wanted.question()).because(NOT_AUTHORITATIVE);
                Arc::new(refused.finish(REFUSED, false, Scope::Type, (self.clock)(), 0))
            }
        }
    }

    async fn answer_of(
        &self,
        upstreams: &Upstreams,
        plan: &Plan,
        wanted: &Wanted,
        question: &Question,
        memory: &Memory,
    ) -> Arc<Entry> {
        let accept = |octets: &[u8]| {
            let zones = self.view.zones();
            let judge = Judge::new(&zones, &plan.private, &wanted.name);
            accept::accept(octets, wanted.question(), &judge, (self.clock)()).ok()
        };
        let answer = match upstreams.is_looping() {
            true => Err(Failure::Unreachable),
            false => {
                self.asked.fetch_add(1, Ordering::Relaxed);
                upstreams.pool.ask(question, accept).await
            }
        };
        let now = (self.clock)();
        match answer {
            Ok(answered) => memory.keep(wanted, answered.answer, now),
            Err(failure) => {
                self.failed.fetch_add(1, Ordering::Relaxed);
                tracing::debug!(name = ?wanted.name, rtype = wanted.rtype, %failure, "no upstream answers");
                match memory.cache() {
                    Some(cache) => cache.failed(wanted.question(), error_of(failure), now),
                    None => Arc::new(given_up(wanted, now)),
                }
            }
        }
    }
}

/// The cache as it was when a question was asked: an answer by an old plan must not come into a new one, nor what was
/// asked before a flush be remembered after it.
struct Memory {
    cache: Option<Arc<Cache>>,
    flushes: u64,
}

impl Memory {
    fn new(cache: Option<Arc<Cache>>) -> Self {
        let flushes = cache.as_ref().map_or(0, |cache| cache.flushes());
        Self { cache, flushes }
    }

    /// The cache, if nothing was flushed since.
    fn cache(&self) -> Option<&Cache> {
        self.cache.as_deref().filter(|cache| cache.flushes() == self.flushes)
    }

    fn keep(&self, wanted: &Wanted, entry: Entry, now: LeaseTime) -> Arc<Entry> {
        match self.cache() {
            Some(cache) => cache.answered(wanted.question(), entry, now),
            None => Arc::new(entry),
        }
    }
}

/// The extended error of a failure.
fn error_of(failure: Failure) -> u16 {
    match failure {
        Failure::Silent | Failure::Unreachable | Failure::Untrusted | Failure::Spent => {
            NO_REACHABLE_AUTHORITY
        }
        Failure::Http(_) | Failure::Rcode(_) | Failure::Unfit | Failure::Local => NETWORK_ERROR,
    }
}

/// What answers a question that was given up.
fn given_up(wanted: &Wanted, now: LeaseTime) -> Entry {
    let draft = Draft::new(wanted.question()).because(NO_REACHABLE_AUTHORITY);
    draft.finish(SERVFAIL, false, Scope::Failure, now, 0)
}
