//! One event: what happened to an instance, why, and who did it.
//!
//! An event comes of a [`Change`] of the registry, or of where the lease stands: a lapse, the brake, a late renewal. Each
//! has a revision of its own, so that who follows them can say where it left off.

use std::fmt;

use crate::access::{Asker, Door, Source};
use crate::registry::{
    Addresses, Body, Change, Instance, InstanceId, LeaseTerm, Reason, ServiceName, State,
};
use crate::view::Standing;

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The registry's revision with it.
    pub revision: u64,
    /// When: milliseconds since 1970 UTC.
    pub unix_ms: u64,
    /// The service.
    pub service: ServiceName,
    /// The instance.
    pub id: InstanceId,
    /// What it was.
    pub kind: Kind,
    /// Why, in a sentence for people, or in the words of who declared it; empty if nobody said.
    pub reason: Reason,
    /// What a registration has changed.
    pub changed: Fields,
    /// How the instance is after it; nothing: it is off the list.
    pub after: Option<After>,
    /// Where the instance answers, or did.
    pub addresses: Addresses,
    /// Its main port.
    pub port: u16,
    /// Who did it.
    pub by: By,
}

/// How an instance is after an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct After {
    /// The state that counts.
    pub state: State,
    /// Where its lease stands.
    pub standing: Standing,
}

impl After {
    /// Whether it is in the answers.
    pub fn answering(self) -> bool {
        self.state == State::Up && self.standing != Standing::Suspect
    }
}

/// Who did something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct By {
    /// The principal; nothing: the server itself.
    pub principal: Option<Box<str>>,
    /// The door.
    pub door: Door,
    /// From where.
    pub source: Box<str>,
}

impl By {
    /// The server itself, when a lease lapses, is held, or runs again.
    pub fn leases() -> Self {
        Self::from(&Asker::server(Door::Lease))
    }
}

impl From<&Asker> for By {
    fn from(asker: &Asker) -> Self {
        let is_server = asker.source == Source::Server;
        Self {
            principal: (!is_server).then(|| asker.principal.name().into()),
            door: asker.door,
            source: asker.source.to_string().into(),
        }
    }
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $word:literal),+ $(,)?) => {
        /// Kinds of events.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Kind {
            $($(#[$doc])* $kind,)+
        }

        impl Kind {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$kind),+];

            /// The word that stands for it in the API and the store.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$kind => $word,)+
                }
            }
        }
    };
}

kinds! {
    /// It is listed now.
    Registered = "registered",
    /// What its registration says has changed.
    Changed = "changed",
    /// Its owner declared another state, or another reason.
    StateChanged = "state_changed",
    /// An operator set a state above its owner's.
    Overridden = "overridden",
    /// The override is over: by an operator, or by its time.
    OverrideEnded = "override_ended",
    /// Its owner, or who may, took it off the list.
    Deregistered = "deregistered",
    /// Its lease was not renewed: it is a suspect, and out of the answers.
    Lapsed = "lapsed",
    /// The brake keeps it in the answers.
    Held = "held",
    /// Its lease runs again: it was renewed late, or the server began anew.
    Revived = "revived",
    /// Its lease is over: it is off the list.
    Expired = "expired",
}

impl Kind {
    /// The kind that a word stands for.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == word)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Fields of a registration, by the native API's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Fields(u16);

impl Fields {
    /// The names, in the order of the bits.
    const NAMES: [&str; 13] = [
        "addresses",
        "port",
        "protocol",
        "ports",
        "lease_secs",
        "tags",
        "version",
        "weight",
        "priority",
        "meta",
        "origin",
        "state",
        "owner",
    ];

    /// What differs between two registrations of an instance.
    fn between(before: &Instance, after: &Instance) -> Self {
        let (one, other): (&Body, &Body) = (&before.body, &after.body);
        let differs = [
            one.addresses != other.addresses,
            one.port != other.port,
            one.protocol != other.protocol,
            one.ports != other.ports,
            one.lease != other.lease,
            one.texts.tag_lines() != other.texts.tag_lines(),
            one.texts.version() != other.texts.version(),
            one.weight != other.weight,
            one.priority != other.priority,
            one.texts.meta_lines() != other.texts.meta_lines(),
            one.origin != other.origin,
            before.declared != after.declared,
            before.owner != after.owner,
        ];
        Self(differs.iter().enumerate().map(|(at, differs)| u16::from(*differs) << at).sum())
    }

    /// Their names.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES
            .into_iter()
            .enumerate()
            .filter(move |(at, _)| self.0 >> at & 1 == 1)
            .map(|(_, name)| name)
    }

    /// Those that are named, each followed by a space but the last; nothing for a name that none has.
    pub fn parse(names: &str) -> Option<Self> {
        let bit = |name| Self::NAMES.iter().position(|known| *known == name).map(|at| 1 << at);
        names
            .split(' ')
            .filter(|name| !name.is_empty())
            .map(bit)
            .try_fold(Self(0), |all, bit| Some(Self(all.0 | bit?)))
    }
}

impl Event {
    /// What a change of the registry was. `standing` is where the lease stands after it; `expired`: it was the end of a lease.
    pub fn of_change(
        change: &Change,
        unix_ms: u64,
        by: &Asker,
        standing: Standing,
        expired: bool,
    ) -> Self {
        let (before, after) = (change.before.as_deref(), change.after.as_deref());
        let (kind, changed, reason) = match (before, after) {
            (_, None) if expired => {
                (Kind::Expired, Fields::default(), not_renewed(change.instance()))
            }
            (_, None) => (Kind::Deregistered, Fields::default(), Reason::default()),
            (None, Some(after)) => {
                (Kind::Registered, Fields::default(), after.declared.reason.clone())
            }
            (Some(before), Some(after)) => difference(before, after, by),
        };
        let after = after.map(|after| After { state: after.state(), standing });
        let instance = change.instance();
        Self {
            kind,
            changed,
            reason,
            after,
            ..Self::of(instance, change.revision, unix_ms, by.into())
        }
    }

    /// A lease stands elsewhere than it did.
    pub fn of_standing(
        instance: &Instance,
        standing: Standing,
        reason: &str,
        (revision, unix_ms): (u64, u64),
    ) -> Self {
        let kind = match standing {
            Standing::Live => Kind::Revived,
            Standing::Suspect => Kind::Lapsed,
            Standing::Held => Kind::Held,
        };
        let reason = match standing {
            Standing::Suspect => not_renewed(instance),
            _ => reason.into(),
        };
        let after = Some(After { state: instance.state(), standing });
        Self { kind, reason, after, ..Self::of(instance, revision, unix_ms, By::leases()) }
    }

    fn of(instance: &Instance, revision: u64, unix_ms: u64, by: By) -> Self {
        Self {
            revision,
            unix_ms,
            service: instance.service.clone(),
            id: instance.id.clone(),
            kind: Kind::Registered,
            reason: Reason::default(),
            changed: Fields::default(),
            after: None,
            addresses: instance.body.addresses.clone(),
            port: instance.body.port,
            by,
        }
    }
}

fn difference(before: &Instance, after: &Instance, by: &Asker) -> (Kind, Fields, Reason) {
    let none = Fields::default();
    if before.override_ != after.override_ {
        return match after.override_.as_deref() {
            Some(set) => (Kind::Overridden, none, set.declared.reason.clone()),
            None if by.door == Door::Override => {
                (Kind::OverrideEnded, none, "its time was up".into())
            }
            None => (Kind::OverrideEnded, none, Reason::default()),
        };
    }
    if before.body == after.body && before.owner == after.owner {
        return (Kind::StateChanged, none, after.declared.reason.clone());
    }
    let changed = Fields::between(before, after);
    let reason = if before.declared == after.declared {
        Reason::default()
    } else {
        after.declared.reason.clone()
    };
    (Kind::Changed, changed, reason)
}

/// Why a lease lapsed, or is over.
fn not_renewed(instance: &Instance) -> Reason {
    match instance.body.lease {
        LeaseTerm::Secs(secs) => format!("its lease of {secs} s was not renewed").as_str().into(),
        LeaseTerm::Endless => Reason::default(),
    }
}
