//! Who asks: a principal, by what it was known, at which door and from where.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};

use super::scope::{Scope, Verb};
use crate::registry::{Actor, Owner};

/// Octets that a principal's name may have at most.
pub const MAX_PRINCIPAL_OCTETS: usize = 64;
/// Whose is what came by the token and the keys that the configuration names.
pub const CONFIGURED: &str = "config";
/// Who nobody can be called.
const RESERVED: [&str; 2] = [CONFIGURED, "anonymous"];

/// Somebody who asks, with its scope; clones are the same one.
#[derive(Clone)]
pub struct Principal(Arc<Known>);

struct Known {
    name: Box<str>,
    owner: Owner,
    scope: Scope,
    credential: Credential,
}

/// By what a principal was known. None of it is secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// By nothing: the door is open.
    None,
    /// By a token with this id.
    Token(Box<str>),
    /// By a key with this id.
    Key(Box<str>),
    /// By a certificate with this name.
    Certificate(Box<str>),
    /// By being this user of the machine.
    User(u32),
}

static ANONYMOUS: LazyLock<Principal> = LazyLock::new(|| {
    Principal(Arc::new(Known {
        name: "anonymous".into(),
        owner: Owner::NOBODY,
        scope: Scope::all_services(&Verb::ALL),
        credential: Credential::None,
    }))
});

impl Principal {
    /// One that is known by `credential`. Those of one name own the same.
    pub fn new(name: &str, scope: Scope, credential: Credential) -> Self {
        Self(Arc::new(Known { name: name.into(), owner: Owner::named(name), scope, credential }))
    }

    /// Somebody without credentials, at a door that asks for none.
    pub fn anonymous() -> Self {
        ANONYMOUS.clone()
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Whether it is somebody who is not known.
    pub(super) fn is_anonymous(&self) -> bool {
        self.0.owner == Owner::NOBODY
    }

    /// By what it was known.
    pub fn credential(&self) -> &Credential {
        &self.0.credential
    }

    /// What it may do.
    pub fn scope(&self) -> &Scope {
        &self.0.scope
    }

    /// How the registry knows it where it is about `service`.
    pub(super) fn actor(&self, service: &str) -> Actor {
        let Known { owner, scope, .. } = &*self.0;
        Actor {
            owner: *owner,
            names_service: scope.names(service),
            is_admin: scope.verbs.contain(Verb::Admin),
            max_instances: scope.max_instances,
        }
    }
}

impl fmt::Debug for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Principal({}, {:?})", self.name(), self.credential())
    }
}

impl fmt::Display for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Token(id) => write!(f, "token {id}"),
            Self::Key(id) => write!(f, "key {id}"),
            Self::Certificate(name) => write!(f, "certificate {name}"),
            Self::User(uid) => write!(f, "user {uid}"),
        }
    }
}

/// A way to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// HTTP.
    Http,
    /// The Eureka API over HTTP.
    Eureka,
    /// Registration datagrams.
    Udp,
    /// None: the server itself, when a lease is over.
    Lease,
    /// None: the server itself, when an override's time is up.
    Override,
}

impl Door {
    /// What it is called in the audit.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Eureka => "eureka",
            Self::Udp => "udp",
            Self::Lease => "lease",
            Self::Override => "override",
        }
    }

    /// The door that is called so.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Http, Self::Eureka, Self::Udp, Self::Lease, Self::Override]
            .into_iter()
            .find(|door| door.as_str() == word)
    }
}

/// Where somebody asks from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// An address.
    Address(SocketAddr),
    /// A unix socket, as this user of the machine.
    User(u32),
    /// Nowhere: the server itself.
    Server,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::User(uid) => write!(f, "unix:{uid}"),
            Self::Server => f.write_str("server"),
        }
    }
}

/// Who asks, at which door, from where.
#[derive(Debug, Clone)]
pub struct Asker {
    /// Who.
    pub principal: Principal,
    /// At which door.
    pub door: Door,
    /// From where.
    pub source: Source,
}

impl Asker {
    /// The server itself, for whom a lease that is over speaks, or an override whose time is up.
    pub fn server(door: Door) -> Self {
        Self { principal: Principal::anonymous(), door, source: Source::Server }
    }
}

/// Whether a principal may be called so; the error is a sentence.
pub fn check_name(name: &str) -> Result<(), String> {
    let plain =
        |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, b'-' | b'_' | b'.');
    if name.is_empty() || name.len() > MAX_PRINCIPAL_OCTETS || !name.bytes().all(plain) {
        let shown = name.chars().take(80).collect::<String>();
        return Err(format!(
            "`{}` is no name of a principal: it has 1 to {MAX_PRINCIPAL_OCTETS} of a-z, 0-9, `-`, `_` and `.`",
            shown.escape_debug()
        ));
    }
    if matches!(name, "." | "..") {
        return Err(format!("`{name}` would be taken out of a path: choose another name"));
    }
    if RESERVED.contains(&name) {
        return Err(format!("`{name}` is what the server calls others: choose another name"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_plain_and_not_the_servers_own() {
        for good in ["team-a", "web_01.dc1", "7", &"x".repeat(MAX_PRINCIPAL_OCTETS)] {
            assert_eq!(check_name(good), Ok(()));
        }
        for bad in
            ["", "Team", "a b", "a/b", "ä", "config", "anonymous", ".", "..", &"x".repeat(65)]
        {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn those_of_one_name_own_the_same() {
        let scope = || Scope::all_services(&[Verb::Register]);
        let one = Principal::new("principal-a", scope(), Credential::Token("1".into()));
        let other = Principal::new("principal-a", scope(), Credential::Key("k".into()));
        assert_eq!(one.actor("web").owner, other.actor("web").owner);
        assert_ne!(one.actor("web").owner, Principal::anonymous().actor("web").owner);
        assert_eq!(format!("{one:?}"), "Principal(principal-a, Token(\"1\"))");
    }
}
