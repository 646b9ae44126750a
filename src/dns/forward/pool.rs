//! A group of upstreams: the fastest healthy one is asked first, the next after a short, measured delay, or at once
//! when one has failed.
//!
//! An upstream whose delay passes is doubted there and then: other questions go to the others, and a probe in the
//! background finds out whether it was dead or just slow for one name. So a dead upstream costs the clients that met it
//! first one delay, and nobody after them. Probes are sent while questions come, and by nobody when none do.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::exchange::{self, Budget, Failure, Means};
use super::message::Question;
use super::upstream::{Address, PATIENCE_MOST, Upstream};
use crate::view::wire::Name;
use crate::view::zones::types;

/// What a question may take: clients repeat theirs after 5 s, and should have a reply before.
pub const QUESTION_MOST: Duration = Duration::from_secs(4);
/// What a probe may take.
pub const PROBE_MOST: Duration = Duration::from_secs(2);
/// Of how many patiences that of a repetition is.
const REPEAT_PATIENCES: u32 = 4;
/// Times that a question is sent for want of a reply, as packets allow: to others, or again to the same.
const TRIES_MOST: usize = exchange::PACKETS_MOST as usize;

/// A group of upstreams.
pub struct Pool {
    upstreams: Vec<Arc<Upstream>>,
    /// What a probe asks for: something that each of the group should have at hand.
    probe: Arc<Question>,
}

/// What a question has come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered<T> {
    /// What was made of the reply.
    pub answer: T,
    /// Who sent it.
    pub by: Address,
}

impl Pool {
    /// A group for the names in `zone`: `.` for all.
    pub fn new(
        zone: &Name,
        addresses: impl IntoIterator<Item = Address>,
        means: &Means,
        now: Instant,
    ) -> Self {
        let upstream = |address| Arc::new(Upstream::new(address, means, now));
        Self {
            upstreams: addresses.into_iter().map(upstream).collect(),
            probe: Arc::new(Question::new(zone, types::SOA)),
        }
    }

    /// The upstreams, in the order they were given.
    pub fn upstreams(&self) -> &[Arc<Upstream>] {
        &self.upstreams
    }

    /// Asks. The first reply that has the response code NOERROR or NXDOMAIN and that `accept` makes something of wins,
    /// and nothing more is heard of the others. It is shown with the name in lower case and the id 0.
    ///
    /// # Errors
    /// The most telling of what went wrong: a response code, if there was one.
    pub async fn ask<T>(
        &self,
        question: &Question,
        accept: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<Answered<T>, Failure> {
        let order = self.order();
        // Who is asked next in any case needs no probe.
        order.iter().skip(1).for_each(|upstream| self.probe(upstream));
        let mut race = Race::new(question, order);
        let deadline = Instant::now() + QUESTION_MOST;
        race.ask_next();
        loop {
            tokio::select! {
                biased;
                done = race.tries.join_next() => match done {
                    None => return Err(race.failure),
                    // A try that panicked is a defect of ours, and a failure like others.
                    Some(Err(_)) => race.has_failed(Failure::Local),
                    Some(Ok((by, reply))) => {
                        match reply.and_then(|reply| accept(&reply).ok_or(Failure::Unfit)) {
                            Ok(answer) => return Ok(Answered { answer, by }),
                            Err(failure) => race.has_failed(failure),
                        }
                    }
                },
                () = sleep_until(race.next_at), if race.may_repeat() => {
                    if let Some(upstream) = race.has_waited() {
                        self.probe(&upstream);
                    }
                }
                () = sleep_until(deadline) => {
                    let now = Instant::now();
                    race.latest.iter().for_each(|upstream| upstream.was_silent(now));
                    race.asked.iter().for_each(|up| up.had_time_since(race.began, now));
                    return Err(race.failure);
                }
            }
        }
    }

    /// The upstreams in the order they are asked: those of equal rank as they were given.
    fn order(&self) -> Vec<Arc<Upstream>> {
        let mut order = self.upstreams.clone();
        order.sort_by_cached_key(|upstream| upstream.health().rank());
        order
    }

    /// Finds out in the background how an upstream is doing, if it is time. Alone in its group it is asked whatever
    /// comes out.
    fn probe(&self, upstream: &Arc<Upstream>) {
        if self.upstreams.len() > 1 && upstream.take_probe(Instant::now()) {
            let (upstream, question) = (upstream.clone(), self.probe.clone());
            tokio::spawn(async move {
                let budget = Budget::default();
                let began = Instant::now();
                // What else comes out of it is noted on the way.
                if timeout(PROBE_MOST, exchange::ask(&upstream, &question, &budget)).await.is_err()
                {
                    upstream.was_silent(Instant::now());
                    upstream.had_time_since(began, Instant::now());
                }
            });
        }
    }
}

/// One question on its way to a group.
struct Race {
    question: Arc<Question>,
    budget: Arc<Budget>,
    /// Those that were not asked yet, in order.
    waiting: std::vec::IntoIter<Arc<Upstream>>,
    /// All that were asked.
    asked: Vec<Arc<Upstream>>,
    /// The one that was asked last: its patience runs.
    latest: Option<Arc<Upstream>>,
    /// The first that was asked in vain, to be asked again when there is no other.
    again: Option<Arc<Upstream>>,
    /// At most [`TRIES_MOST`].
    tries: JoinSet<(Address, Result<Vec<u8>, Failure>)>,
    tried: usize,
    began: Instant,
    next_at: Instant,
    failure: Failure,
}

impl Race {
    fn new(question: &Question, order: Vec<Arc<Upstream>>) -> Self {
        Self {
            question: Arc::new(question.clone()),
            budget: Arc::default(),
            waiting: order.into_iter(),
            asked: Vec::new(),
            latest: None,
            again: None,
            tries: JoinSet::new(),
            tried: 0,
            began: Instant::now(),
            next_at: Instant::now(),
            failure: Failure::Silent,
        }
    }

    /// Asks the next upstream that was not asked, if there is one.
    fn ask_next(&mut self) {
        match self.waiting.next() {
            Some(upstream) if self.may_repeat() => self.ask(upstream),
            _ => self.latest = None,
        }
    }

    fn ask(&mut self, upstream: Arc<Upstream>) {
        self.tried += 1;
        let repeats = self.waiting.as_slice().is_empty() || self.tried + 1 >= TRIES_MOST;
        let patience = upstream.patience();
        let patience = if repeats { repeat_patience(patience) } else { patience };
        self.next_at = Instant::now() + patience;
        // With the others still under way the last packet goes where nothing is lost or cut.
        let by_connection = self.tries.len() + 1 == TRIES_MOST;
        self.latest = Some(upstream.clone());
        self.asked.push(upstream.clone());
        let (question, budget) = (self.question.clone(), self.budget.clone());
        self.tries.spawn(async move {
            let reply = match by_connection {
                false => exchange::ask(&upstream, &question, &budget).await,
                true => exchange::ask_by_connection(&upstream, &question, &budget).await,
            };
            (upstream.address().clone(), reply)
        });
    }

    /// Whether it may be sent once more.
    fn may_repeat(&self) -> bool {
        self.tried < TRIES_MOST && self.budget.is_left()
    }

    fn has_failed(&mut self, failure: Failure) {
        if !matches!(self.failure, Failure::Rcode(_)) {
            self.failure = failure;
        }
        self.ask_next();
    }

    /// The latest has been waited for: the next is asked, or the first again. Says who is to be doubted.
    fn has_waited(&mut self) -> Option<Arc<Upstream>> {
        let silent = self.latest.take();
        if let Some(silent) = &silent {
            silent.was_silent(Instant::now());
            self.again.get_or_insert_with(|| silent.clone());
        }
        match self.waiting.next().or_else(|| self.again.clone()) {
            Some(upstream) => self.ask(upstream),
            // Nobody is left who could still reply: what is under way decides.
            None => self.tried = TRIES_MOST,
        }
        silent
    }
}

/// How long is waited until a question is repeated: it is not lightly, as one that takes its time is as likely as one that
/// was lost.
fn repeat_patience(patience: Duration) -> Duration {
    (patience * REPEAT_PATIENCES).clamp(patience, patience.max(PATIENCE_MOST))
}

#[cfg(test)]
#[path = "pool_tests.rs"]
mod tests;
