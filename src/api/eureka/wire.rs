//! An instance as Eureka has it, whatever it is written in: JSON ([`json`](super::json)) or XML ([`xml`](super::xml)).

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// What an instance, or an override, says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Status {
    /// It takes requests.
    Up,
    /// It takes none.
    Down,
    /// It will take some.
    Starting,
    /// It takes none because somebody wants it so.
    OutOfService,
    /// It is not known.
    Unknown,
}

impl Status {
    /// All of them, in the order of their words: the order of a hash.
    pub(super) const ALL: [Self; 5] =
        [Self::Down, Self::OutOfService, Self::Starting, Self::Unknown, Self::Up];

    /// The word for it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Up => "UP",
            Self::Down => "DOWN",
            Self::Starting => "STARTING",
            Self::OutOfService => "OUT_OF_SERVICE",
            Self::Unknown => "UNKNOWN",
        }
    }

    /// The status of a word, in any case.
    pub(super) fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str().eq_ignore_ascii_case(word.trim()))
    }
}

/// What was done to an instance last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// It was registered.
    Added,
    /// It was changed.
    Modified,
    /// It is gone.
    Deleted,
}

impl Action {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Added => "ADDED",
            Self::Modified => "MODIFIED",
            Self::Deleted => "DELETED",
        }
    }
}

/// One of the two ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Port(pub(super) u16, pub(super) bool);

impl Port {
    /// Its number, if it is in use.
    pub(super) fn in_use(self) -> Option<u16> {
        (self.1 && self.0 != 0).then_some(self.0)
    }
}

/// Where an instance runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DataCenter<'a> {
    /// `MyOwn`, `Amazon` or `Netflix`.
    pub(super) name: Cow<'a, str>,
    /// What Amazon says of the machine.
    pub(super) metadata: Pairs<'a>,
}

/// Keys with their values.
pub(super) type Pairs<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

/// The two classes that clients know.
pub(super) const AMAZON_CLASS: &str = "com.netflix.appinfo.AmazonInfo";
pub(super) const OWN_CLASS: &str = "com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo";
/// What clients in Java take an empty map for.
pub(super) const EMPTY_MAP_CLASS: &str = "java.util.Collections$EmptyMap";

impl DataCenter<'_> {
    /// The class that a client in Java makes of it.
    pub(super) fn class(&self) -> &'static str {
        if self.is_amazon() { AMAZON_CLASS } else { OWN_CLASS }
    }

    pub(super) fn is_amazon(&self) -> bool {
        self.name == "Amazon"
    }
}

/// An instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Info<'a> {
    pub(super) instance_id: Cow<'a, str>,
    pub(super) host_name: Cow<'a, str>,
    pub(super) app: Cow<'a, str>,
    pub(super) app_group: Option<Cow<'a, str>>,
    pub(super) asg: Option<Cow<'a, str>>,
    pub(super) sid: Option<Cow<'a, str>>,
    pub(super) ip: Cow<'a, str>,
    pub(super) status: Status,
    /// `UNKNOWN`: none.
    pub(super) overridden: Status,
    pub(super) port: Port,
    pub(super) secure_port: Port,
    pub(super) country_id: i64,
    pub(super) data_center: DataCenter<'a>,
    pub(super) lease: Lease,
    pub(super) metadata: Pairs<'a>,
    pub(super) home_page: Option<Cow<'a, str>>,
    pub(super) status_page: Option<Cow<'a, str>>,
    pub(super) health_check: Option<Cow<'a, str>>,
    pub(super) secure_health_check: Option<Cow<'a, str>>,
    pub(super) vip: Option<Cow<'a, str>>,
    pub(super) secure_vip: Option<Cow<'a, str>>,
    pub(super) coordinating: bool,
    pub(super) last_updated: u64,
    /// When the client changed it last, by the client's clock, in milliseconds since 1970; 0: it did not say.
    pub(super) last_dirty: u64,
    pub(super) action: Action,
}

/// An instance's lease.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Lease {
    /// How often it is renewed, in seconds; 0: not said.
    pub(super) interval_secs: u32,
    /// How long it holds without a renewal, in seconds; 0: not said.
    pub(super) duration_secs: u32,
    /// Times of the day, in milliseconds since 1970; 0: never.
    pub(super) registered: u64,
    pub(super) renewed: u64,
    pub(super) up_since: u64,
}

/// How many instances there are of each status: what clients compare their copies by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts([usize; Status::ALL.len()]);

impl Counts {
    /// Counts one more.
    pub(super) fn add(&mut self, status: Status) {
        if let Some(at) = Status::ALL.iter().position(|one| *one == status) {
            self.0[at] += 1;
        }
    }

    /// Counts others too.
    pub(super) fn add_all(&mut self, others: &Self) {
        for (count, other) in self.0.iter_mut().zip(&others.0) {
            *count += other;
        }
    }

    /// `DOWN_1_UP_4_`; nothing of an empty list.
    pub(super) fn hash(&self) -> String {
        let present = Status::ALL.iter().zip(self.0).filter(|(_, count)| *count > 0);
        present.map(|(status, count)| format!("{}_{count}_", status.as_str())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_has_the_statuses_in_the_order_of_their_words() {
        let mut counts = Counts::default();
        assert_eq!(counts.hash(), "");
        for status in [Status::Up, Status::Down, Status::Up, Status::OutOfService] {
            counts.add(status);
        }
        let mut all = counts;
        all.add_all(&counts);
        assert_eq!(counts.hash(), "DOWN_1_OUT_OF_SERVICE_1_UP_2_");
        assert_eq!(all.hash(), "DOWN_2_OUT_OF_SERVICE_2_UP_4_");
        assert!(Status::ALL.is_sorted_by_key(|status| status.as_str()));
    }

    #[test]
    fn words_of_statuses_come_in_any_case() {
        assert_eq!(Status::parse(" out_of_service"), Some(Status::OutOfService));
        assert_eq!(Status::parse("gone"), None);
    }
}
