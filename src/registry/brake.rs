//! The brake: keeps a mass lapse from emptying the answers.
//!
//! Many leases that lapse together are the network's fault or the server's, not the instances'. The rules are
//! here, as functions of counts and of the time that is passed in; the roster counts, and carries them out.
//!
//! - Service: at least [`SERVICE_LEAST`] leases, and more than half of those that were live, have lapsed within
//!   one renewal interval. Its suspects answer again, for one more lease at most.
//! - Global: more than half of at least [`GLOBAL_LEAST`] leases have lapsed within one term. All suspects answer
//!   again, for [`GLOBAL_HOLD_MS`] at most; then they are let go at [`RELEASE_PERCENT_A_MINUTE`].

/// Lapses from which on a service can be braked: one or two are crashes.
pub const SERVICE_LEAST: usize = 3;
/// Leases from which on the brake over all services can hold.
pub const GLOBAL_LEAST: usize = 20;
/// How long the global brake holds at most: an operator has had ten minutes to look.
pub const GLOBAL_HOLD_MS: u64 = 10 * 60 * 1000;
/// How fast the global brake lets go after that, in percent of what it held.
pub const RELEASE_PERCENT_A_MINUTE: u64 = 15;

/// How many leases run, and how many have lapsed within the time that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lapses {
    /// Leases that run, those without end not counted: they cannot lapse.
    pub live: usize,
    /// Leases that have lapsed lately and were not renewed since.
    pub lapsed: usize,
}

impl Lapses {
    /// Whether a service with these is braked.
    pub fn brake_service(self) -> bool {
        self.lapsed >= SERVICE_LEAST && self.lapsed > self.live
    }

    /// Whether these, over all services, set the global brake.
    pub fn brake_all(self) -> bool {
        self.lapsed + self.live >= GLOBAL_LEAST && self.are_most()
    }

    /// Whether more than half have lapsed. While the brake holds it is this alone that counts: those that it
    /// lets go make the leases fewer.
    fn are_most(self) -> bool {
        self.lapsed > self.live
    }
}

/// The brake over all services. Times are milliseconds on the lease clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum GlobalBrake {
    /// It does not hold.
    #[default]
    Off,
    /// It holds what lapses.
    Holding {
        /// Since then.
        since_ms: u64,
    },
    /// It held for as long as it may and lets go.
    Releasing {
        /// Since then.
        since_ms: u64,
        /// How many were held then.
        held: usize,
        /// How many have been let go.
        let_go: usize,
    },
}

/// What the global brake asks for at a tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing new.
    Keep,
    /// Hold all suspects from now on.
    Hold,
    /// The lapses are no longer the many: what is still held has one more lease.
    End,
    /// Let so many of those that are held go.
    LetGo(usize),
}

impl GlobalBrake {
    /// Whether what lapses now is to be held.
    pub fn holds(self) -> bool {
        self != GlobalBrake::Off
    }

    /// Judges anew: `lapses` over all services within one term, `held` of them held now.
    ///
    /// Those that it has let go count as lapsed on: letting go is no recovery.
    pub fn tick(&mut self, now_ms: u64, lapses: Lapses, held: usize) -> Verdict {
        match *self {
            GlobalBrake::Off if lapses.brake_all() => {
                *self = GlobalBrake::Holding { since_ms: now_ms };
                Verdict::Hold
            }
            GlobalBrake::Off => Verdict::Keep,
            GlobalBrake::Holding { .. } if !lapses.are_most() => self.end(),
            GlobalBrake::Holding { since_ms }
                if now_ms.saturating_sub(since_ms) < GLOBAL_HOLD_MS =>
            {
                Verdict::Keep
            }
            GlobalBrake::Holding { .. } => {
                *self = GlobalBrake::Releasing { since_ms: now_ms, held, let_go: 0 };
                Verdict::Keep
            }
            GlobalBrake::Releasing { let_go, .. }
                if held == 0 || lapses.lapsed + let_go <= lapses.live =>
            {
                self.end()
            }
            GlobalBrake::Releasing { since_ms, held: at_first, let_go } => {
                // Some may have come to be held since it began to let go: they go at the same rate.
                let at_first = at_first.max(held + let_go);
                let due = due(now_ms.saturating_sub(since_ms), at_first);
                let due = due.saturating_sub(let_go).min(held);
                *self = GlobalBrake::Releasing { since_ms, held: at_first, let_go: let_go + due };
                if due == 0 { Verdict::Keep } else { Verdict::LetGo(due) }
            }
        }
    }

    fn end(&mut self) -> Verdict {
        *self = GlobalBrake::Off;
        Verdict::End
    }
}

/// How many of `held` are to have been let go after `elapsed_ms`.
fn due(elapsed_ms: u64, held: usize) -> usize {
    let share = u128::from(elapsed_ms) * u128::from(RELEASE_PERCENT_A_MINUTE) * held as u128;
    usize::try_from(share / (100 * 60_000)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lapses(live: usize, lapsed: usize) -> Lapses {
        Lapses { live, lapsed }
    }

    #[test]
    fn a_service_is_braked_when_more_than_half_of_at_least_three_lapse() {
        for (live, lapsed, braked) in [
            (1, 1, false),
            (0, 2, false),
            (0, 3, true),
            (3, 3, false),
            (2, 3, true),
            (5, 5, false),
            (4, 6, true),
        ] {
            assert_eq!(
                lapses(live, lapsed).brake_service(),
                braked,
                "{live} live, {lapsed} lapsed"
            );
        }
    }

    #[test]
    fn the_global_brake_holds_ten_minutes_and_lets_go_fifteen_percent_a_minute() {
        let mut brake = GlobalBrake::Off;
        assert_eq!(brake.tick(0, lapses(10, 9), 0), Verdict::Keep);
        assert_eq!(brake.tick(0, lapses(9, 10), 0), Verdict::Keep, "19 leases are too few");
        assert_eq!(brake.tick(1_000, lapses(0, 100), 0), Verdict::Hold);
        assert!(brake.holds());
        assert_eq!(brake.tick(1_000 + GLOBAL_HOLD_MS - 1, lapses(0, 100), 100), Verdict::Keep);
        let end = 1_000 + GLOBAL_HOLD_MS;
        assert_eq!(brake.tick(end, lapses(0, 100), 100), Verdict::Keep);
        assert_eq!(brake.tick(end + 60_000, lapses(0, 100), 100), Verdict::LetGo(15));
        assert_eq!(brake.tick(end + 60_000, lapses(0, 85), 85), Verdict::Keep);
        assert_eq!(brake.tick(end + 7 * 60_000, lapses(0, 85), 85), Verdict::LetGo(85));
        assert_eq!(brake.tick(end + 7 * 60_000, lapses(0, 0), 0), Verdict::End);
        assert!(!brake.holds());
    }

    #[test]
    fn letting_go_is_no_recovery() {
        let mut brake = GlobalBrake::Off;
        brake.tick(0, lapses(40, 60), 0);
        brake.tick(GLOBAL_HOLD_MS, lapses(40, 60), 60);
        let mut held = 60;
        for minute in 1..=6 {
            let verdict = brake.tick(GLOBAL_HOLD_MS + minute * 60_000, lapses(40, held), held);
            assert_eq!(verdict, Verdict::LetGo(9), "minute {minute}");
            held -= 9;
        }
        assert_eq!(brake.tick(GLOBAL_HOLD_MS + 7 * 60_000, lapses(94, 6), 6), Verdict::End);
    }

    #[test]
    fn it_ends_when_the_renewals_come_back() {
        let mut brake = GlobalBrake::Off;
        brake.tick(0, lapses(0, 40), 0);
        assert_eq!(brake.tick(5_000, lapses(15, 25), 25), Verdict::Keep);
        assert_eq!(brake.tick(6_000, lapses(20, 20), 20), Verdict::End);
    }
}
