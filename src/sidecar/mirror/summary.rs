//! What has become of a round, in numbers and a few examples.

use serde::Serialize;

/// Examples that are kept of a kind.
const MAX_EXAMPLES: usize = 5;

/// What our server has taken, and what has changed there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Copies that it has now.
    pub instances: usize,
    /// The apps that they are of.
    pub apps: usize,
    /// Copies that are new there.
    pub new: usize,
    /// Copies that have changed.
    pub changed: usize,
    /// Copies that it had lost.
    pub again: usize,
    /// Copies that are gone, because the source has them no more.
    pub gone: usize,
    /// Instances that are there themselves, and no longer copied.
    pub came_over: Few,
    /// Instances that it did not take, and why.
    pub refused: Few,
    /// What the source lists and we cannot read, and why.
    pub unreadable: Few,
}

impl Summary {
    /// Whether there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        let all = Self { instances: 0, apps: 0, ..self.clone() };
        all == Self::default()
    }
}

/// How many there are, and some of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Few {
    /// All of them.
    pub count: usize,
    /// The first ones.
    pub examples: Vec<String>,
}

impl Few {
    pub(super) fn add(&mut self, example: String) {
        self.count += 1;
        if self.examples.len() < MAX_EXAMPLES {
            self.examples.push(example);
        }
    }
}
