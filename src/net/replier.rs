//! One query, one reply: for doors that have each query in a stream of its own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::defer::{Awaited, Defer, Deferred, Way};
use super::pool::{Pool, Slot};
use super::{Answer, Respond};
use crate::answer::{Reply, Transport};
use crate::view::LeaseTime;

/// How long a reply may take that others have to be asked for. Whoever asks them gives up sooner (4 s a question,
/// some questions a chain of aliases): this is for the case that they are never heard of again.
const AWAIT_MOST: Duration = Duration::from_secs(20);

/// Why there is no reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unanswered {
    /// It was no query.
    NoQuery,
    /// Others had to be asked, and there were too many such queries.
    GivenUp,
}

/// Answers one query at a time, for many tasks.
pub struct Replier<A, C> {
    answerers: Pool<A>,
    defer: Arc<dyn Defer>,
    clock: Arc<C>,
}

impl<A: Answer, C: Fn() -> LeaseTime> Replier<A, C> {
    /// A replier with `answerers` answerers (at least one; best as many as the runtime has threads). What cannot be
    /// answered at once goes to `defer`.
    pub fn new(
        answerers: usize,
        answerer: impl FnMut(usize) -> A,
        defer: Arc<dyn Defer>,
        clock: Arc<C>,
    ) -> Self {
        Self { answerers: Pool::new(answerers, answerer), defer, clock }
    }

    /// The reply to a query: at once if it is at hand, else when those who have to be asked have answered.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn ask(
        &self,
        query: &[u8],
        peer: SocketAddr,
        transport: Transport,
    ) -> Result<Vec<u8>, Unanswered> {
        let (outcome, reply) = self.answerers.with(|Slot { answer, room }| {
            answer.batch((self.clock)(), |batch| {
                batch.look_ahead(std::iter::once(query));
                let outcome = batch.respond(0, query, peer, transport, room);
                let octets = match outcome {
                    Reply::Len(len) | Reply::Due(len) => len,
                    Reply::Defer | Reply::Drop => 0,
                };
                (outcome, room.get(..octets).unwrap_or_default().to_vec())
            })
        });
        let defer = |way| self.defer.defer(Deferred { query: query.into(), peer, transport, way });
        match outcome {
            Reply::Len(_) => Ok(reply),
            Reply::Due(_) => {
                defer(Way::Nobody);
                Ok(reply)
            }
            Reply::Drop => Err(Unanswered::NoQuery),
            Reply::Defer => {
                let mut awaited = Awaited::default();
                defer(awaited.way());
                let reply = timeout(AWAIT_MOST, awaited.next()).await;
                reply.ok().flatten().ok_or(Unanswered::GivenUp)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;

    /// Does with a query what its first octet says.
    struct Told;

    impl Answer for Told {
        type Batch<'a> = Told;

        fn batch<T>(&mut self, now: LeaseTime, work: impl FnOnce(&mut Told) -> T) -> T {
            assert_eq!(now, LeaseTime::from_millis(42));
            work(self)
        }
    }

    impl Respond for Told {
        fn look_ahead<'q>(&mut self, queries: impl Iterator<Item = &'q [u8]>) {
            assert_eq!(queries.count(), 1);
        }

        fn respond(
            &mut self,
            nth: usize,
            query: &[u8],
            _peer: SocketAddr,
            transport: Transport,
            out: &mut [u8],
        ) -> Reply {
            assert_eq!((nth, transport, out.len()), (0, Transport::Tcp, 65_535));
            out[..query.len()].copy_from_slice(query);
            match query[0] {
                b'a' => Reply::Len(query.len()),
                b'd' => Reply::Due(query.len()),
                b'l' => Reply::Defer,
                _ => Reply::Drop,
            }
        }
    }

    #[derive(Default)]
    struct Held(Mutex<Vec<Deferred>>);

    impl Defer for Held {
        fn defer(&self, deferred: Deferred) {
            self.0.lock().push(deferred);
        }
    }

    type Clock = fn() -> LeaseTime;

    fn replier() -> (Replier<Told, Clock>, Arc<Held>) {
        let held = Arc::new(Held::default());
        let clock: Clock = || LeaseTime::from_millis(42);
        (Replier::new(1, |_| Told, held.clone(), Arc::new(clock)), held)
    }

    const PEER: SocketAddr =
        SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 7000);

    #[tokio::test]
    async fn what_is_at_hand_is_answered_at_once_and_what_is_due_asked_for_besides() {
        let (replier, held) = replier();
        let ask = |query| replier.ask(query, PEER, Transport::Tcp);
        assert_eq!(ask(b"at once").await, Ok(b"at once".to_vec()));
        assert_eq!(ask(b"none").await, Err(Unanswered::NoQuery));
        assert!(held.0.lock().is_empty());
        assert_eq!(ask(b"due").await, Ok(b"due".to_vec()));
        let deferred = held.0.lock().remove(0);
        assert_eq!((&*deferred.query, deferred.peer), (&b"due"[..], PEER));
        assert!(matches!(deferred.way, Way::Nobody));
    }

    #[tokio::test(start_paused = true)]
    async fn what_others_are_asked_for_is_awaited_but_not_for_ever() {
        let (replier, held) = replier();
        let ask = || replier.ask(b"later", PEER, Transport::Tcp);
        let take = async || {
            while held.0.lock().is_empty() {
                tokio::task::yield_now().await;
            }
            held.0.lock().remove(0)
        };
        let (reply, ()) = tokio::join!(ask(), async { take().await.reply(b"here it is") });
        assert_eq!(reply, Ok(b"here it is".to_vec()));
        let (reply, ()) = tokio::join!(ask(), async { drop(take().await) });
        assert_eq!(reply, Err(Unanswered::GivenUp));
        // Nobody ever takes this one: the clock jumps.
        assert_eq!(ask().await, Err(Unanswered::GivenUp));
    }
}
