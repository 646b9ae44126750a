//! What keeps an upstream from being of use and people can put right, as a certificate that has expired, or that nobody is
//! there: told in the log once, not at each question.

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
    silence: Mutex<State>,
}

/// The reason of all silence.
const SILENCE: &str = "silence";

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
        Self { who: who.to_string(), state: Mutex::default(), silence: Mutex::default() }
    }

    /// Notes a reason, the end of a sentence that begins with the upstream, and tells it if it is news.
    pub fn note(&self, reason: &str, now: Instant) {
        if self.state.lock().is_news(reason, now) {
            tracing::error!("upstream {} is not used: {reason}", self.who);
        }
    }

    /// It has replied as it should.
    pub fn is_over(&self) {
        if self.state.lock().ends() {
            tracing::warn!("upstream {} is used again", self.who);
        }
    }

    /// It has given no sign of life for as long as a question may take.
    pub fn note_silence(&self, now: Instant) {
        if self.silence.lock().is_news(SILENCE, now) {
            tracing::error!("upstream {} does not answer", self.who);
        }
    }

    /// It has given one.
    pub fn silence_is_over(&self) {
        if self.silence.lock().ends() {
            tracing::warn!("upstream {} answers again", self.who);
        }
    }

    /// The trouble, if there is any.
    pub fn reason(&self) -> Option<String> {
        self.state.lock().reason.clone()
    }
}

impl State {
    /// Notes a reason, and says whether it is to be told.
    fn is_news(&mut self, reason: &str, now: Instant) -> bool {
        self.reason = Some(reason.to_owned());
        let may_tell = match &self.told {
            None => true,
            Some((told, at)) => {
                (!self.is_told || told != reason)
                    && now.saturating_duration_since(*at) >= TELL_EVERY
            }
        };
        if may_tell {
            self.told = Some((reason.to_owned(), now));
            self.is_told = true;
        }
        may_tell
    }

    /// Notes that there is none any more, and says whether that is to be told.
    fn ends(&mut self) -> bool {
        self.reason.take().is_some() && std::mem::take(&mut self.is_told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_is_told_once_and_again_when_it_is_another() {
        let (now, mut trouble) = (Instant::now(), State::default());
        assert!(trouble.is_news("expired", now));
        assert!(!trouble.is_news("expired", now + TELL_EVERY * 100));
        assert!(!trouble.is_news("for another", now + TELL_EVERY / 2));
        assert_eq!(trouble.reason.as_deref(), Some("for another"));
        assert!(trouble.is_news("for another", now + TELL_EVERY));
        assert!(trouble.ends() && !trouble.ends());
        assert_eq!(trouble.reason, None);
        // Whoever comes and goes does not fill the log.
        assert!(!trouble.is_news("for another", now + TELL_EVERY * 3 / 2));
        assert!(trouble.is_news("for another", now + TELL_EVERY * 2));
    }
}
