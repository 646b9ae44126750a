//! Why somebody may not, in words that say what to do.

use std::fmt;
use std::net::IpAddr;

use super::scope::Verb;

/// Why somebody may not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denied {
    /// A token is needed, and none came.
    NoToken,
    /// A token came that is none of ours.
    WrongToken,
    /// A token came that has ended.
    TokenOver,
    /// Without a principal the door is for this machine alone.
    NotLoopback,
    /// A certificate came whose names are no principal's.
    UnknownCertificate,
    /// A user of this machine came who is no principal.
    UnknownUser(u32),
    /// Its scope does not have the verb.
    Verb(Verb),
    /// Its scope is not for this service.
    Service(Box<str>),
    /// Its scope is not for all services, and this is about all of them.
    NotAllServices,
    /// Its scope is not for this address.
    Address(IpAddr),
    /// Its scope does not have leases that long.
    Lease(u32),
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoToken => f.write_str("a token is needed: send `Authorization: Bearer TOKEN`"),
            Self::WrongToken => f.write_str("this is no token of this server, or not any more"),
            Self::TokenOver => {
                f.write_str("this token has ended: `rollcall token create` makes another")
            }
            Self::NotLoopback => f.write_str(
                "without a token only this machine is served: `rollcall token create` makes one",
            ),
            Self::UnknownCertificate => f.write_str(
                "none of the certificate's names is a principal's: `access.principals` has them",
            ),
            Self::UnknownUser(u32::MAX) => f.write_str(
                "the kernel does not say who this is: in a unit, PrivateUsers=no lets it",
            ),
            Self::UnknownUser(uid) => {
                write!(f, "the user {uid} is no principal: `access.principals` has them")
            }
            Self::Verb(verb) => write!(f, "the scope has no `{}`", verb.as_str()),
            Self::Service(service) => {
                let shown: String = service.chars().take(80).collect();
                write!(f, "`{}` is not in the scope", shown.escape_debug())
            }
            Self::NotAllServices => f.write_str("this is about all services, and the scope is not"),
            Self::Address(address) => write!(f, "{address} is not in the scope"),
            Self::Lease(most) => write!(f, "the scope has leases of up to {most} s"),
        }
    }
}

impl std::error::Error for Denied {}
