//! Which rule answered: told to who asks on this machine, by an EDNS option of our own.
//!
//! `rollcall query` sends the option empty; the reply's has one octet for each part of the answer, in their order.

use super::decide::{Answer, End};
use crate::view::zones::{Kind, Zone};

/// The option: one of those for local use (RFC 6891, section 9).
pub const OPTION: u16 = 65_053;
/// Parts of an answer that are told.
const MOST: usize = 5;

/// Which rule answered a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Who is listed.
    Registry = 1,
    /// A zone file, or what a zone has without one.
    Zone = 2,
    /// What upstream said before.
    Cache = 3,
    /// Upstream, asked for this query.
    Upstream = 4,
    /// The server itself: it answers the same everywhere.
    Itself = 5,
    /// Nobody: it is not answered here.
    Refused = 6,
}

impl Rule {
    /// The rule of an octet of the option.
    pub fn of(octet: u8) -> Option<Self> {
        use Rule::{Cache, Itself, Refused, Registry, Upstream, Zone};
        let all = [Registry, Zone, Cache, Upstream, Itself, Refused];
        all.into_iter().find(|rule| *rule as u8 == octet)
    }

    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Registry => "registry",
            Self::Zone => "zone file",
            Self::Cache => "cache",
            Self::Upstream => "upstream",
            Self::Itself => "the server itself",
            Self::Refused => "refused",
        }
    }
}

/// The rules of an answer's parts, one after the other.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rules {
    octets: [u8; MOST],
    count: usize,
}

impl Rules {
    /// Adds that of the next part.
    pub fn add(&mut self, rule: Rule) {
        if let Some(place) = self.octets.get_mut(self.count) {
            *place = rule as u8;
            self.count += 1;
        }
    }

    /// The option's data.
    pub fn octets(&self) -> &[u8] {
        self.octets.get(..self.count).unwrap_or_default()
    }

    /// Adds those of what we say: a zone's aliases, and what they lead to.
    pub fn add_own(&mut self, answer: &Answer<'_>) {
        let rule = rule_of(&answer.end);
        if !answer.links.is_empty() && rule != Some(Rule::Zone) {
            self.add(Rule::Zone);
        }
        if let Some(rule) = rule {
            self.add(rule);
        }
    }
}

impl From<Rule> for Rules {
    fn from(rule: Rule) -> Self {
        let mut rules = Self::default();
        rules.add(rule);
        rules
    }
}

/// The rule of an end; `None`: the query was not looked into.
fn rule_of(end: &End<'_>) -> Option<Rule> {
    let of_zone = |zone: &Zone| if zone.kind() == Kind::File { Rule::Zone } else { Rule::Registry };
    match end {
        End::Registry(..) | End::Instance(..) | End::Pointers(..) | End::NotReady => {
            Some(Rule::Registry)
        }
        End::Soa(zone) | End::Any(zone) | End::NoData(zone) | End::NoName(zone) => {
            Some(of_zone(zone))
        }
        End::File(_) | End::Alias | End::Circle | End::Referral { .. } => Some(Rule::Zone),
        End::AnyOfOthers => Some(Rule::Itself),
        End::NotOurs | End::Prohibited | End::Refused => Some(Rule::Refused),
        End::NoQuestion | End::Limited | End::BadCookie | End::Problem(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_octets_and_words() {
        for octet in 1..=6 {
            assert_eq!(Rule::of(octet).unwrap() as u8, octet);
        }
        assert_eq!((Rule::of(0), Rule::of(7)), (None, None));
        let mut rules = Rules::from(Rule::Zone);
        for _ in 0..9 {
            rules.add(Rule::Upstream);
        }
        assert_eq!(rules.octets(), [2, 4, 4, 4, 4]);
    }
}
