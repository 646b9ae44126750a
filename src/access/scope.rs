//! Scopes: what a principal may do, to which services, from which addresses, how much and how long.

use std::fmt;
use std::net::IpAddr;

use super::prefixes::{Prefix, Prefixes};
use crate::registry::ServiceName;

/// Patterns, and networks, that a scope may have at most: each request is compared with all of them.
pub const MAX_SCOPE_ITEMS: usize = 64;

/// What can be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Look at what is listed, and at figures.
    Read,
    /// What an instance does for itself: register, renew, declare a state, deregister.
    Register,
    /// Set a state above that of an instance's owner, and end that.
    Override,
    /// Everything, to what others own too; tokens, keys, and the cache.
    Admin,
}

impl Verb {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Read, Self::Register, Self::Override, Self::Admin];

    /// The word that stands for it at every door.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Register => "register",
            Self::Override => "override",
            Self::Admin => "admin",
        }
    }

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// Some verbs. Whoever has `admin` has them all.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Verbs(u8);

impl Verbs {
    /// These verbs.
    pub fn of(verbs: &[Verb]) -> Self {
        Self(verbs.iter().fold(0, |bits, verb| bits | verb.bit()))
    }

    /// Whether `verb` is one of them.
    pub fn contain(self, verb: Verb) -> bool {
        self.0 & (verb.bit() | Verb::Admin.bit()) != 0
    }

    /// Those that were named.
    pub fn named(self) -> impl Iterator<Item = Verb> {
        Verb::ALL.into_iter().filter(move |verb| self.0 & verb.bit() != 0)
    }

    /// Reads words; the error is the end of a sentence that begins with what is wrong.
    pub fn parse<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let mut verbs = Vec::new();
        for word in words {
            let verb = Verb::ALL.into_iter().find(|verb| verb.as_str() == word);
            verbs.push(verb.ok_or_else(|| {
                let shown = word.escape_debug();
                format!("`{shown}` is no verb: there are read, register, override and admin")
            })?);
        }
        match &*verbs {
            [] => Err("a scope without a verb is good for nothing: name read, register, override or admin".into()),
            verbs => Ok(Self::of(verbs)),
        }
    }
}

impl fmt::Debug for Verbs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.named()).finish()
    }
}

/// Which services.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pattern {
    /// All: `*`.
    All,
    /// One, by its name.
    One(ServiceName),
    /// Those whose names begin with these parts, up to and with a hyphen: `pay-*` is `pay-api` and `pay-api-v2`, and
    /// neither `pay` nor `payments`.
    Under(Box<str>),
}

impl Pattern {
    /// Reads a pattern; the error is a sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self::All);
        }
        let shown = || text.chars().take(80).collect::<String>().escape_debug().to_string();
        match text.strip_suffix('*') {
            None => ServiceName::parse(text).map(Self::One).map_err(|invalid| {
                format!("`{}` is no service and no pattern: {}", shown(), invalid.reason)
            }),
            // What follows the hyphen has a place of one octet at least.
            Some(parts)
                if parts.ends_with('-') && ServiceName::parse(&format!("{parts}x")).is_ok() =>
            {
                Ok(Self::Under(parts.into()))
            }
            Some(_) => Err(format!(
                "`{}` is no pattern: there are `*`, a name, and the first parts of names with a hyphen and a star, \
                 such as `pay-*`",
                shown()
            )),
        }
    }

    /// Whether a service is one of them.
    pub fn matches(&self, service: &str) -> bool {
        match self {
            Self::All => true,
            Self::One(name) => name.as_str() == service,
            Self::Under(parts) => {
                service.strip_prefix(&**parts).is_some_and(|rest| !rest.is_empty())
            }
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("*"),
            Self::One(name) => f.write_str(name.as_str()),
            Self::Under(parts) => write!(f, "{parts}*"),
        }
    }
}

/// What a principal may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// The verbs.
    pub verbs: Verbs,
    /// To which services.
    pub services: Box<[Pattern]>,
    /// With addresses in which networks; none: with any.
    pub networks: Box<[Prefix]>,
    /// How many instances it may own at most; `None`: as many as there may be.
    pub max_instances: Option<u32>,
    /// The longest lease that it may ask for, in seconds; `None`: what the configuration says.
    pub max_lease_secs: Option<u32>,
}

impl Scope {
    /// These verbs, without another bound.
    pub fn all_services(verbs: &[Verb]) -> Self {
        Self {
            verbs: Verbs::of(verbs),
            services: Box::new([Pattern::All]),
            networks: Box::default(),
            max_instances: None,
            max_lease_secs: None,
        }
    }

    /// A scope of words, as commands, calls and files have them; the error names the field.
    pub fn parse(words: &ScopeWords<'_>) -> Result<Self, (&'static str, String)> {
        let many = |field, count: usize| match count > MAX_SCOPE_ITEMS {
            true => Err((field, format!("has {count} items, may have {MAX_SCOPE_ITEMS}"))),
            false => Ok(()),
        };
        many("services", words.services.len())?;
        many("networks", words.networks.len())?;
        let verbs = Verbs::parse(words.verbs.iter().copied()).map_err(|error| ("verbs", error))?;
        let services: Result<Box<[_]>, _> =
            words.services.iter().map(|text| Pattern::parse(text)).collect();
        let services = services.map_err(|error| ("services", error))?;
        if services.is_empty() {
            return Err(("services", "names no service: `*` is all of them".into()));
        }
        let prefix = |text: &&str| {
            let shown = text.chars().take(80).collect::<String>();
            Prefix::parse(text).map_err(|error| format!("`{}` {error}", shown.escape_debug()))
        };
        let networks: Result<Box<[_]>, _> = words.networks.iter().map(prefix).collect();
        let networks = networks.map_err(|error| ("networks", error))?;
        if words.max_lease_secs == Some(0) {
            return Err(("max_lease_secs", "must be at least 1".into()));
        }
        let (max_instances, max_lease_secs) = (words.max_instances, words.max_lease_secs);
        Ok(Self { verbs, services, networks, max_instances, max_lease_secs })
    }

    /// Whether it is for this service.
    pub fn is_for(&self, service: &str) -> bool {
        self.services.iter().any(|pattern| pattern.matches(service))
    }

    /// Whether it is for all services.
    pub fn is_for_all(&self) -> bool {
        self.services.contains(&Pattern::All)
    }

    /// Whether it has this service's own name: a pattern that others may have too names nothing.
    pub fn names(&self, service: &str) -> bool {
        let is_it =
            |pattern: &Pattern| matches!(pattern, Pattern::One(name) if name.as_str() == service);
        self.services.iter().any(is_it)
    }

    /// The first of some addresses that it is not for.
    pub fn foreign(&self, addresses: &[IpAddr]) -> Option<IpAddr> {
        if self.networks.is_empty() {
            return None;
        }
        let networks = Prefixes::new(self.networks.iter().copied());
        addresses.iter().copied().find(|address| !networks.contains(*address))
    }
}

/// A scope as it is written.
#[derive(Debug, Clone, Default)]
pub struct ScopeWords<'a> {
    /// As in [`Verb::as_str`].
    pub verbs: Vec<&'a str>,
    /// As [`Pattern`] shows itself.
    pub services: Vec<&'a str>,
    /// As in `10.0.0.0/8`.
    pub networks: Vec<&'a str>,
    /// As in [`Scope`].
    pub max_instances: Option<u32>,
    /// As in [`Scope`].
    pub max_lease_secs: Option<u32>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_pattern_is_a_name_or_whole_parts_of_one() {
        for (pattern, service, matches) in [
            ("*", "pay", true),
            ("pay", "pay", true),
            ("pay", "evilpay", false),
            ("pay", "payments", false),
            ("pay-*", "pay-api", true),
            ("pay-*", "pay-api-v2", true),
            ("pay-*", "pay", false),
            ("pay-*", "pay-", false),
            ("pay-*", "payments-api", false),
            ("pay-*", "evil-pay-api", false),
        ] {
            let parsed = Pattern::parse(pattern).unwrap();
            assert_eq!(parsed.matches(service), matches, "{pattern} {service}");
            assert_eq!(parsed.to_string(), pattern);
        }
        for wrong in ["", "p*", "*-pay", "pay-*-x", "-*", "pay.*", "Päy", "**", "pay-**", "ns"] {
            assert!(Pattern::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn who_has_admin_has_all() {
        let verbs = Verbs::parse(["admin"]).unwrap();
        assert!(Verb::ALL.into_iter().all(|verb| verbs.contain(verb)));
        assert_eq!(verbs.named().collect::<Vec<_>>(), [Verb::Admin]);
        let verbs = Verbs::parse(["override", "read"]).unwrap();
        let may = Verb::ALL.map(|verb| verbs.contain(verb));
        assert_eq!(may, [true, false, true, false]);
        assert!(Verbs::parse(["write"]).unwrap_err().starts_with("`write` is no verb"));
        assert!(Verbs::parse([]).is_err());
    }

    #[test]
    fn what_is_wrong_is_named_by_its_field() {
        let well = || ScopeWords { verbs: vec!["read"], services: vec!["*"], ..Default::default() };
        assert!(Scope::parse(&well()).is_ok());
        for (field, words) in [
            ("verbs", ScopeWords { verbs: vec!["x"], ..well() }),
            ("services", ScopeWords { services: vec![], ..well() }),
            ("services", ScopeWords { services: vec!["a*"], ..well() }),
            ("services", ScopeWords { services: vec!["a"; MAX_SCOPE_ITEMS + 1], ..well() }),
            ("networks", ScopeWords { networks: vec!["10.0.0.1/8"], ..well() }),
            ("max_lease_secs", ScopeWords { max_lease_secs: Some(0), ..well() }),
        ] {
            assert_eq!(Scope::parse(&words).unwrap_err().0, field);
        }
    }

    #[test]
    fn a_scope_names_what_it_has_by_its_own_name() {
        let words = ScopeWords {
            verbs: vec!["register"],
            services: vec!["*", "pay-*", "shop"],
            ..Default::default()
        };
        let scope = Scope::parse(&words).unwrap();
        assert!(scope.is_for("web") && !scope.names("web"));
        assert!(scope.is_for("pay-api") && !scope.names("pay-api"));
        assert!(scope.names("shop") && !scope.names("shops"));
        assert!(scope.is_for_all());
    }

    #[test]
    fn without_networks_every_address_will_do() {
        let addresses: Vec<IpAddr> =
            ["10.1.2.3", "::ffff:10.9.9.9", "fd00::1"].map(|text| text.parse().unwrap()).into();
        let scope = Scope::all_services(&[Verb::Register]);
        assert_eq!(scope.foreign(&addresses), None);
        let networks = ["10.0.0.0/8", "fd00::/8"].map(|text| Prefix::parse(text).unwrap());
        let scope = Scope { networks: networks.into(), ..scope };
        assert_eq!(scope.foreign(&addresses), None);
        let foreign = "192.0.2.1".parse().unwrap();
        assert_eq!(scope.foreign(&[addresses[0], foreign]), Some(foreign));
    }

    proptest! {
        /// Names are compared part by part: text around a name never makes it match.
        #[test]
        fn nothing_around_a_name_matches(name in "[a-z][a-z0-9]{0,9}", before in "[a-z0-9]{1,5}", after in "[a-z0-9]{1,5}") {
            prop_assume!(Pattern::parse(&name).is_ok() && before != name);
            let one = Pattern::parse(&name).unwrap();
            let under = Pattern::parse(&format!("{name}-*")).unwrap();
            for other in [format!("{before}{name}"), format!("{name}{after}"), format!("{before}-{name}")] {
                prop_assert!(!one.matches(&other));
                prop_assert!(!under.matches(&other));
            }
            let child = format!("{name}-{after}");
            prop_assert!(!one.matches(&child) && under.matches(&child));
        }
    }
}
