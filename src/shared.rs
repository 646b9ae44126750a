//! One value that many workers read and that is seldom replaced.
//!
//! Each worker has a reference of its own, behind a lock of its own: it takes it for a batch of queries, and meets
//! nobody there but, for a moment, whoever replaces the value. So no worker keeps an old one, however idle it is, or
//! has to free it.

use std::sync::{Arc, Weak};

use parking_lot::{Mutex, MutexGuard};

/// The value, and who else holds it.
#[derive(Debug)]
pub struct Shared<T>(Mutex<Held<T>>);

#[derive(Debug)]
struct Held<T> {
    value: Arc<T>,
    hands: Vec<Weak<Mutex<Arc<T>>>>,
}

/// A worker's reference to the value.
#[derive(Debug)]
pub struct Hand<T>(Arc<Mutex<Arc<T>>>);

impl<T> Hand<T> {
    /// The value as it is, which it stays until this is dropped.
    pub fn hold(&self) -> MutexGuard<'_, Arc<T>> {
        self.0.lock()
    }
}

impl<T> Shared<T> {
    /// The value that is held first.
    pub fn new(value: T) -> Self {
        Self(Mutex::new(Held { value: Arc::new(value), hands: Vec::new() }))
    }

    /// The value as it is.
    pub fn get(&self) -> Arc<T> {
        self.0.lock().value.clone()
    }

    /// A reference for a worker.
    pub fn hand(&self) -> Hand<T> {
        let mut held = self.0.lock();
        let hand = Arc::new(Mutex::new(held.value.clone()));
        held.hands.push(Arc::downgrade(&hand));
        Hand(hand)
    }

    /// Replaces the value, does `meanwhile` before any worker has the new one, and frees the old one. Waits for each
    /// worker's batch: microseconds. Not to be called by who holds a [`Hand`].
    pub fn set(&self, value: impl Into<Arc<T>>, meanwhile: impl FnOnce()) {
        let value = value.into();
        let mut held = self.0.lock();
        let old = std::mem::replace(&mut held.value, value.clone());
        meanwhile();
        held.hands.retain(|hand| {
            let Some(hand) = hand.upgrade() else { return false };
            *hand.lock() = value.clone();
            true
        });
        drop(held);
        drop(old); // the last, and not under the lock: it may take a while
    }
}

impl<T: Default> Default for Shared<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}
