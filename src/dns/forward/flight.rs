//! Questions under way: who asks what is asked already waits for the same reply.
//!
//! Many identical questions sent at once would give a forger as many replies to hit (the birthday attack,
//! RFC 5452, section 5), and a name that many want would be asked for by each. A flight is a task of its own: it does
//! not end with the client that began it.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::message::Question;

/// Questions under way at most, and clients that wait for them: with a few KiB for each, some tens of MiB. Beyond
/// it the oldest are given up, which have waited longest in vain.
pub const OUTSTANDING_MOST: usize = 10_000;

/// The question was given up, or what asked it broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GivenUp;

/// The flights.
pub struct Flights<T> {
    most: usize,
    table: Mutex<Table<T>>,
}

/// Both maps have the same flights, `most` at most.
struct Table<T> {
    /// All clients of all flights.
    clients: usize,
    by_question: HashMap<Question, u64>,
    /// The oldest first.
    by_number: BTreeMap<u64, Flight<T>>,
    next_number: u64,
    given_up: u64,
}

struct Flight<T> {
    question: Question,
    /// How many wait.
    clients: usize,
    landed: watch::Sender<Option<T>>,
    /// `None` for the moment before the task has begun.
    task: Option<AbortHandle>,
}

impl<T: Clone + Send + Sync + 'static> Flights<T> {
    /// None under way, and `most` at most: [`OUTSTANDING_MOST`] in the server.
    pub fn new(most: usize) -> Arc<Self> {
        let table = Table {
            clients: 0,
            by_question: HashMap::new(),
            by_number: BTreeMap::new(),
            next_number: 0,
            given_up: 0,
        };
        Arc::new(Self { most, table: Mutex::new(table) })
    }

    /// Waits for the reply to `question`, which `ask` asks if nobody does yet. The question is under way when this
    /// returns, in a task of the runtime that this must be called in.
    pub fn join<F>(self: &Arc<Self>, question: &Question, ask: impl FnOnce() -> F) -> Waiting<T>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let (boarded, given_up) = self.table.lock().board(question, self.most);
        // With the lock open: a task that is ended may be dropped here and now, and takes it.
        if let Some(task) = given_up.and_then(|flight| flight.task) {
            task.abort();
        }
        let Boarded { landed, number, is_new } = boarded;
        if is_new {
            let landing = Landing { flights: self.clone(), number };
            let asked = ask();
            let task = tokio::spawn(async move { landing.with(asked.await) });
            match self.table.lock().by_number.get_mut(&number) {
                Some(flight) => flight.task = Some(task.abort_handle()),
                // It has landed, or was given up before it had begun.
                None => task.abort(),
            }
        }
        Waiting { landed, seat: Seat { flights: self.clone(), number } }
    }

    /// How many questions are under way.
    pub fn count(&self) -> usize {
        self.table.lock().by_number.len()
    }

    /// How many questions were given up for newer ones so far.
    pub fn given_up(&self) -> u64 {
        self.table.lock().given_up
    }
}

/// A client's wait for a reply.
pub struct Waiting<T> {
    landed: watch::Receiver<Option<T>>,
    seat: Seat<T>,
}

/// A client's place in the count; free again when this is dropped.
struct Seat<T> {
    flights: Arc<Flights<T>>,
    number: u64,
}

impl<T> Drop for Seat<T> {
    fn drop(&mut self) {
        self.flights.table.lock().leave(self.number);
    }
}

impl<T: Clone> Waiting<T> {
    /// What the flight brings.
    ///
    /// # Errors
    /// It brings nothing: at once when it is given up.
    pub async fn reply(mut self) -> Result<T, GivenUp> {
        let Self { landed, seat: _seat } = &mut self;
        let landed = landed.wait_for(Option::is_some).await.map_err(|_| GivenUp)?;
        landed.clone().ok_or(GivenUp)
    }
}

/// A client has been put on a flight.
struct Boarded<T> {
    landed: watch::Receiver<Option<T>>,
    number: u64,
    /// Whether the flight is yet to begin.
    is_new: bool,
}

impl<T> Table<T> {
    /// Puts a client on the flight for `question`, and gives up the oldest if there is one too many, of flights or of
    /// clients: or one question that many ask would have no bound.
    fn board(&mut self, question: &Question, most: usize) -> (Boarded<T>, Option<Flight<T>>) {
        let mut given_up = None;
        if self.clients >= most || self.by_number.len() >= most {
            let oldest = self.by_number.keys().next().copied();
            given_up = oldest.and_then(|number| self.remove(number));
            self.given_up += 1;
        }
        self.clients += 1;
        let number = self.by_question.get(question);
        if let Some((number, flight)) =
            number.and_then(|number| Some((*number, self.by_number.get_mut(number)?)))
        {
            flight.clients += 1;
            let landed = flight.landed.subscribe();
            return (Boarded { landed, number, is_new: false }, given_up);
        }
        let number = self.next_number;
        self.next_number += 1;
        let (landed, will_land) = watch::channel(None);
        self.by_question.insert(question.clone(), number);
        let flight = Flight { question: question.clone(), clients: 1, landed, task: None };
        self.by_number.insert(number, flight);
        (Boarded { landed: will_land, number, is_new: true }, given_up)
    }

    /// A client waits no longer, for it has what it waited for, or something else.
    fn leave(&mut self, number: u64) {
        if let Some(flight) = self.by_number.get_mut(&number) {
            flight.clients -= 1;
            self.clients -= 1;
        }
    }

    fn remove(&mut self, number: u64) -> Option<Flight<T>> {
        let flight = self.by_number.remove(&number)?;
        self.by_question.remove(&flight.question);
        self.clients -= flight.clients;
        Some(flight)
    }
}

/// A flight's way out of the table, taken even if its task breaks.
struct Landing<T> {
    flights: Arc<Flights<T>>,
    number: u64,
}

impl<T> Landing<T> {
    fn with(self, reply: T) {
        let flight = self.flights.table.lock().remove(self.number);
        if let Some(flight) = flight {
            flight.landed.send_replace(Some(reply));
        }
    }
}

impl<T> Drop for Landing<T> {
    fn drop(&mut self) {
        self.flights.table.lock().remove(self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Notify;

    use super::*;
    use crate::dns::forward::testing::question;

    #[tokio::test]
    async fn a_question_is_asked_once_and_all_have_the_reply() {
        let flights = Flights::new(OUTSTANDING_MOST);
        let asked = Arc::new(AtomicUsize::new(0));
        let go = Arc::new(Notify::new());
        let join = || {
            flights.join(&question("web.example."), || {
                let (asked, go) = (asked.clone(), go.clone());
                async move {
                    go.notified().await;
                    asked.fetch_add(1, Ordering::Relaxed) + 1
                }
            })
        };
        let mut clients: Vec<_> = (0..1000).map(|_| join()).collect();
        // The flight is nobody's: who began it may leave.
        drop(clients.remove(0));
        let mut other = question("web.example.");
        other.dnssec_ok = true;
        let other = flights.join(&other, || async { 7 });
        assert_eq!(flights.count(), 2);
        assert_eq!(other.reply().await, Ok(7));
        go.notify_one();
        for client in clients {
            assert_eq!(client.reply().await, Ok(1));
        }
        assert_eq!(flights.count(), 0);
        let again = join();
        go.notify_one();
        assert_eq!(again.reply().await, Ok(2));
    }

    #[tokio::test]
    async fn beyond_the_bound_the_oldest_are_given_up_at_once() {
        let flights = Flights::<()>::new(3);
        let held = Arc::new(());
        let join = |n: usize| {
            flights.join(&question(&format!("n{n}.example.")), || {
                let held = held.clone();
                async move {
                    let () = std::future::pending().await;
                    drop(held);
                }
            })
        };
        let mut clients: Vec<_> = (0..5).map(join).collect();
        assert_eq!((flights.count(), flights.given_up()), (3, 2));
        assert_eq!(clients.remove(0).reply().await, Err(GivenUp));
        assert_eq!(clients.remove(0).reply().await, Err(GivenUp));
        // Their tasks are gone, and what those held.
        while Arc::strong_count(&held) > 1 + 3 {
            tokio::task::yield_now().await;
        }
        // Clients of one question count as well.
        let many: Vec<_> = (0..4).map(|_| join(4)).collect();
        for client in clients {
            assert_eq!(client.reply().await, Err(GivenUp));
        }
        drop(many);
        assert!(flights.table.lock().clients <= 3);
    }

    #[tokio::test]
    async fn a_flight_that_breaks_keeps_nobody_waiting() {
        let flights = Flights::<usize>::new(3);
        let broken = flights
            .join(&question("web.example."), || async { panic!("as it should in this test") });
        assert_eq!(broken.reply().await, Err(GivenUp));
        assert_eq!(flights.count(), 0);
        assert_eq!(flights.join(&question("web.example."), || async { 1 }).reply().await, Ok(1));
    }

    #[tokio::test]
    async fn who_waits_no_longer_takes_no_room() {
        let flights = Flights::<u8>::new(10);
        let waiting = flights.join(&question("web.example."), std::future::pending);
        for _ in 0..100 {
            drop(flights.join(&question("web.example."), std::future::pending));
        }
        assert_eq!((flights.count(), flights.given_up()), (1, 0));
        drop(waiting);
    }
}
