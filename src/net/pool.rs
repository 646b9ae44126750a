//! A few answerers shared by many tasks: as many as threads run them, so that one is always free.

use parking_lot::Mutex;

use super::Answer;
use super::connection::REPLY_ROOM;

/// An answerer, with the room it writes a reply into.
pub struct Slot<A> {
    /// The answerer.
    pub answer: A,
    /// The room: for the longest reply.
    pub room: Box<[u8]>,
}

/// Answerers, each used by one thread at a time and never while that waits for anything.
pub struct Pool<A> {
    first: Mutex<Slot<A>>,
    others: Vec<Mutex<Slot<A>>>,
}

impl<A: Answer> Pool<A> {
    /// `count` answerers, at least one.
    pub fn new(count: usize, mut answerer: impl FnMut(usize) -> A) -> Self {
        let mut slot = |n| {
            let room = vec![0; REPLY_ROOM].into_boxed_slice();
            Mutex::new(Slot { answer: answerer(n), room })
        };
        Self { first: slot(0), others: (1..count).map(slot).collect() }
    }

    /// Runs `work` with a free answerer. Should all be at work, it waits for one: microseconds.
    pub fn with<T>(&self, work: impl FnOnce(&mut Slot<A>) -> T) -> T {
        let free =
            std::iter::once(&self.first).chain(&self.others).find_map(|slot| slot.try_lock());
        work(&mut free.unwrap_or_else(|| self.first.lock()))
    }
}
