//! What keeps an upstream from being asked and people can put right, as a certificate that has expired: told in the log
//! once, not at each question.

use std::fmt::Display;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// The log has a line for an upstream this often at most, whatever it comes up with.
pub const TELL_EVERY: Duration = Duration::from_secs(60);

/// The trouble with one upstream.
pub struct Trouble {
    /// The upstream, for people.
    who: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    reason: Option<String>,
    /// The reason that was told last, and when.
    told: Option<(String, Instant)>,
    /// What was told still holds, for all that the log says.
    is_told: bool,
}

impl Trouble {
    /// None yet.
    pub fn new(who: &impl Display) -> Self {
        Self { who: who.to_string(), state: Mutex::default() }
    }

    /// Notes a reason, the end of a sentence that begins with the upstream, and tells it if it is news.
    pub fn note(&self, reason: &str, now: Instant) {
        if self.is_news(reason, now) {
            tracing::error!("upstream {} is not used: {reason}", self.who);
        }
    }

    /// It has replied as it should.
    pub fn is_over(&self) {
        let mut state = self.state.lock();
        if state.reason.take().is_some() && std::mem::take(&mut state.is_told) {
            tracing::warn!("upstream {} is used again", self.who);
        }
    }

    /// The trouble, if there is any.
    pub fn reason(&self) -> Option<String> {
        self.state.lock().reason.clone()
    }

    fn is_news(&self, reason: &str, now: Instant) -> bool {
        let mut state = self.state.lock();
        state.reason = Some(reason.to_owned());
        let may_tell = match &state.told {
            None => true,
            Some((told, at)) => {
                (!state.is_told || told != reason)
                    && now.saturating_duration_since(*at) >= TELL_EVERY
            }
        };
        if may_tell {
            state.told = Some((reason.to_owned(), now));
            state.is_told = true;
        }
        may_tell
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_is_told_once_and_again_when_it_is_another() {
        let (now, trouble) = (Instant::now(), Trouble::new(&"x"));
        assert!(trouble.is_news("expired", now));
        assert!(!trouble.is_news("expired", now + TELL_EVERY * 100));
        assert!(!trouble.is_news("for another", now + TELL_EVERY / 2));
        assert_eq!(trouble.reason().as_deref(), Some("for another"));
        assert!(trouble.is_news("for another", now + TELL_EVERY));
        trouble.is_over();
        assert_eq!(trouble.reason(), None);
        // Whoever comes and goes does not fill the log.
        assert!(!trouble.is_news("for another", now + TELL_EVERY * 3 / 2));
        assert!(trouble.is_news("for another", now + TELL_EVERY * 2));
    }
}
