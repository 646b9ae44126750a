//! One instance of a copy, and what has become of it at our server.

use std::sync::Arc;
use std::time::Duration;

use super::instance::Instance;
use super::summary::Summary;

/// When what was refused is tried again: somebody may have mended what was wrong, such as what we may do.
const REFUSED_AGAIN: Duration = Duration::from_secs(60);
/// When it is looked again whether one that had come over has gone back to the source, which says something new of it: our
/// server has it until its lease there is over.
const GONE_BACK_AGAIN: Duration = Duration::from_secs(10);
/// When one that the server could not take is tried again.
pub(super) const AGAIN: Duration = Duration::from_secs(1);

/// What our server is to do with an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Register,
    Renew,
    Cancel,
}

/// One thing for our server to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) action: Action,
    pub(super) instance: Arc<Instance>,
}

/// What our server said to an item: a status of HTTP, and why if it refused.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) code: u16,
    pub(super) detail: String,
}

/// What our server has of an instance; the numbers are prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum There {
    /// Nothing that we know of.
    Nothing,
    /// Perhaps what we sent.
    Perhaps,
    /// Our copy of it.
    Copy(u64),
    /// The instance itself, which has come over.
    Itself(u64),
    /// Nothing: it does not take it.
    Refused(u64),
}

/// An instance, and what has become of it.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) instance: Arc<Instance>,
    /// Since when whole lists have lacked it, and are not believed.
    pub(super) missing_since: Option<Duration>,
    /// The source has it no more.
    pub(super) is_gone: bool,
    pub(super) there: There,
    /// The print of the copy that our server had last.
    pub(super) had: Option<u64>,
    /// The print of what our server refused last.
    pub(super) refused: Option<u64>,
    /// What the source said of it when it came over. Only if it says something else is it of the source again.
    pub(super) came_over: Option<u64>,
    /// When its lease is to be renewed next.
    pub(super) renew_at: Duration,
    /// Where it is in the agenda.
    pub(super) due: Option<(Duration, Kind)>,
}

/// The two agendas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Renewal,
    Work,
}

impl Entry {
    pub(super) fn new(instance: Arc<Instance>) -> Self {
        Self {
            instance,
            missing_since: None,
            is_gone: false,
            there: There::Nothing,
            had: None,
            refused: None,
            came_over: None,
            renew_at: Duration::ZERO,
            due: None,
        }
    }

    pub(super) fn is_at_source(&self) -> bool {
        !self.is_gone && self.missing_since.is_none()
    }

    /// Whether it is to be kept alive by us.
    pub(super) fn is_ours(&self) -> bool {
        !self.is_gone && matches!(self.there, There::Nothing | There::Perhaps | There::Copy(_))
    }

    /// Whether our server has said that it does not take it as it is.
    pub(super) fn is_declined(&self) -> bool {
        let print = self.instance.print;
        matches!(self.there, There::Refused(seen) | There::Itself(seen) if seen == print)
    }

    /// What is to be done next, and when. `None`: nothing, until the source says something of it.
    pub(super) fn next(&self, now: Duration) -> Option<(Duration, Action)> {
        let print = self.instance.print;
        match self.there {
            There::Perhaps | There::Copy(_) if self.is_gone => Some((now, Action::Cancel)),
            _ if self.is_gone => None,
            There::Copy(copied) if copied == print => Some((self.renew_at, Action::Renew)),
            There::Itself(_) if self.came_over == Some(print) => None,
            There::Itself(seen) if seen == print => Some((now + GONE_BACK_AGAIN, Action::Register)),
            There::Refused(seen) if seen == print => Some((now + REFUSED_AGAIN, Action::Register)),
            _ => Some((now, Action::Register)),
        }
    }

    /// Takes what our server said to an item.
    pub(super) fn answered(
        &mut self,
        now: Duration,
        item: &Item,
        answer: &Answer,
        summary: &mut Summary,
    ) {
        let name = &item.instance.name;
        let print = item.instance.print;
        match (item.action, answer.code) {
            (Action::Cancel, 0 | 500..) => {}
            (Action::Cancel, code) => {
                self.there = There::Nothing;
                summary.gone += usize::from(matches!(code, 200..300 | 404));
            }
            (Action::Renew, 200..300) => {
                let every = self.instance.every;
                self.renew_at = (self.renew_at + every).max(now + every / 2);
            }
            (Action::Register, 200..300) => {
                match self.had.replace(print) {
                    None => summary.new += 1,
                    Some(had) if had == print => summary.again += 1,
                    Some(_) => summary.changed += 1,
                }
                self.there = There::Copy(print);
                self.came_over = None;
                self.renew_at = now + first_share(&item.instance);
            }
            (Action::Renew, 404) => self.there = There::Nothing,
            (_, 409) => {
                self.there = There::Itself(print);
                self.had = None;
                if self.came_over.is_none() {
                    self.came_over = Some(print);
                    summary.came_over.add(name.to_string());
                }
            }
            (_, code @ 300..500) => {
                self.there = There::Refused(print);
                if self.refused.replace(print) != Some(print) {
                    summary.refused.add(format!("{name}: {code} {}", answer.detail));
                }
            }
            (Action::Renew, 500..) => self.renew_at = now + AGAIN,
            // No answer: at once, when it is called again.
            (Action::Renew, _) => self.renew_at = now,
            (Action::Register, _) => {}
        }
    }
}

/// When a lease is renewed for the first time: at a time of its own, so that not all are at once.
fn first_share(instance: &Instance) -> Duration {
    let share = u32::try_from(instance.print >> 48).unwrap_or(0);
    instance.every.mul_f64(f64::from(share) / f64::from(1 << 16))
}
