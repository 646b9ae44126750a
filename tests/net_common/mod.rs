//! What the tests of both DNS doors need.

use std::sync::Mutex;

use rollcall::net::defer::{Defer, Deferred};

/// Holds deferred queries until the test has them answered.
#[derive(Default)]
pub struct Held(pub Mutex<Vec<Deferred>>);

impl Defer for Held {
    fn defer(&self, deferred: Deferred) {
        self.0.lock().unwrap().push(deferred);
    }
}

impl Held {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    /// Takes the oldest.
    pub fn take(&self) -> Deferred {
        self.0.lock().unwrap().remove(0)
    }
}
