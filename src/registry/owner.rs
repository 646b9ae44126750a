//! Who registered what: principals as the registry knows them.
//!
//! An owner is a principal's name as a small number, the same number for the same name as long as the process runs. So
//! an instance says in two octets whose it is. Numbers are not stored: names are.

use std::collections::HashMap;
use std::fmt;
use std::sync::LazyLock;

use parking_lot::RwLock;

/// Who owns an instance, or the name of a service.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Owner(u16);

/// The names by their numbers. They stay: each is of some octets, and there are as many as numbers at most.
struct Names {
    by_number: Vec<&'static str>,
    by_name: HashMap<&'static str, u16>,
}

static NAMES: LazyLock<RwLock<Names>> =
    LazyLock::new(|| RwLock::new(Names { by_number: vec![""], by_name: HashMap::from([("", 0)]) }));

impl Owner {
    /// Nobody in particular: what was registered through an open door. Whoever may register there can take it over.
    pub const NOBODY: Self = Self(0);
    /// Somebody who came when all numbers were taken: an administrator alone can touch what such a one has.
    const SOMEBODY: Self = Self(u16::MAX);

    /// The owner of this name; the empty name is nobody's.
    pub fn named(name: &str) -> Self {
        if let Some(number) = NAMES.read().by_name.get(name) {
            return Self(*number);
        }
        let mut names = NAMES.write();
        if let Some(number) = names.by_name.get(name) {
            return Self(*number);
        }
        match u16::try_from(names.by_number.len()) {
            Ok(number) if number < u16::MAX => {
                let name: &'static str = Box::leak(name.into());
                names.by_number.push(name);
                names.by_name.insert(name, number);
                Self(number)
            }
            _ => Self::SOMEBODY,
        }
    }

    /// Whether it is the same one; of two that came when all numbers were taken that is not known.
    pub fn is(self, other: Self) -> bool {
        self == other && self != Self::SOMEBODY
    }

    /// The name; empty for nobody.
    pub fn name(self) -> &'static str {
        NAMES.read().by_number.get(usize::from(self.0)).copied().unwrap_or("?")
    }
}

impl fmt::Debug for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Owner({})", self.name())
    }
}

/// On whose behalf a command comes, as far as the registry decides on it. The access rules make it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Actor {
    /// Whose is what it registers.
    pub owner: Owner,
    /// Whether its scope names the service, not by `*` alone: then it may register in one whose name another has.
    pub names_service: bool,
    /// Whether it may change what others own.
    pub is_admin: bool,
    /// Instances that it may own at most; `None`: as many as there may be.
    pub max_instances: Option<u32>,
}

impl Actor {
    /// Nobody in particular, who may do everything: at an open door, and the registrar itself.
    pub const ANYBODY: Self =
        Self { owner: Owner::NOBODY, names_service: true, is_admin: true, max_instances: None };

    /// Whether it may change or renew what this owner has.
    pub fn may_touch(&self, owner: Owner) -> bool {
        self.is_admin || owner == Owner::NOBODY || owner.is(self.owner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_number_and_nobody_has_none() {
        let team = Owner::named("team-a");
        assert_eq!((team, team.name()), (Owner::named("team-a"), "team-a"));
        assert_ne!(team, Owner::named("team-b"));
        assert_eq!(Owner::named(""), Owner::NOBODY);
        assert_eq!((Owner::NOBODY.name(), Owner::SOMEBODY.name()), ("", "?"));
    }

    #[test]
    fn owners_and_administrators_may_touch_and_nobodys_is_everybodys() {
        let [a, b] = ["owner-a", "owner-b"].map(Owner::named);
        let actor = Actor { owner: a, is_admin: false, ..Actor::ANYBODY };
        assert_eq!([a, b, Owner::NOBODY].map(|owner| actor.may_touch(owner)), [true, false, true]);
        let admin = Actor { is_admin: true, ..actor };
        assert!(admin.may_touch(b) && Actor::ANYBODY.may_touch(b));
    }
}
