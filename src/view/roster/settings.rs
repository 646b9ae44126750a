//! How answers are made, as the configuration says.

use std::collections::HashMap;

use crate::registry::ServiceName;

/// How a service's answers are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnswerSettings {
    /// The longest TTL of a record, in seconds.
    pub ttl_secs: u32,
    /// The most records of an answer; 0: all.
    pub max_answers: u32,
}

impl AnswerSettings {
    /// The most records of an answer, where all are no bound.
    pub fn most(self) -> usize {
        match self.max_answers {
            0 => usize::MAX,
            most => usize::try_from(most).unwrap_or(usize::MAX),
        }
    }
}

impl Default for AnswerSettings {
    fn default() -> Self {
        Self { ttl_secs: 5, max_answers: 0 }
    }
}

/// How answers are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// For every service that is not in `services`.
    pub default: AnswerSettings,
    /// By service.
    pub services: HashMap<String, AnswerSettings>,
    /// Whether there are reverse zones: without one, nobody asks who has an address.
    pub reverse: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { default: AnswerSettings::default(), services: HashMap::new(), reverse: true }
    }
}

impl Settings {
    pub(super) fn of(&self, service: &ServiceName) -> AnswerSettings {
        self.services.get(service.as_str()).copied().unwrap_or(self.default)
    }
}
