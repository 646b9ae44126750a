//! Who asks, and what it may do: decided here for every door.
//!
//! A door finds out which [`Principal`] asks, from what the request carries and where it comes from, and has
//! [`Access::authorise`] decide on every action. There is no I/O here: whoever reads the files hands over
//! what is in them.

pub mod key;
mod prefixes;
mod token;

use std::fmt;
use std::net::IpAddr;

use parking_lot::RwLock;

use crate::registry::Command;

pub use prefixes::{Prefix, Prefixes};
pub use token::{MAX_TOKEN_OCTETS, MIN_TOKEN_OCTETS, Token};

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Principal {
    /// Somebody without credentials, at a door that asks for none: on this machine, or the door is open to all.
    Anonymous,
    /// Who has the token.
    Token,
    /// Who has one of the keys: which one makes no difference to what it may do.
    Key,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Look at what is listed, and at figures.
    Read,
    /// Renew a lease.
    Renew,
    /// What an instance does for itself: register, declare a state, deregister.
    Own,
    /// What an operator does to others: overrides, a whole service at once.
    Operate,
}

impl Action {
    /// The action that a command is.
    pub fn of(command: &Command) -> Self {
        match command {
            Command::Register { .. } | Command::Declare { .. } | Command::Deregister { .. } => {
                Action::Own
            }
            Command::Override { .. } | Command::DeregisterService { .. } => Action::Operate,
        }
    }
}

/// Why somebody may not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// A token is needed, and none came.
    NoToken,
    /// A token came that is not the one.
    WrongToken,
    /// Without a token the door is for this machine alone.
    NotLoopback,
    /// A key stands for instances, and this is an operator's or a reader's action.
    NotForKeys,
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Denied::NoToken => "a token is needed: send `Authorization: Bearer TOKEN`",
            Denied::WrongToken => "this is not the token of `http.token_file`",
            Denied::NotLoopback => {
                "without a token only this machine is served: set `http.token_file`"
            }
            Denied::NotForKeys => "a key registers and renews instances, and nothing else",
        })
    }
}

impl std::error::Error for Denied {}

/// What decides.
#[derive(Debug)]
pub struct Access {
    token: RwLock<Option<Token>>,
    /// Whether the HTTP door is open to anybody while there is no token (`http.insecure_no_token`).
    open_without_token: bool,
}

impl Access {
    /// Decides by this token, or without one.
    pub fn new(token: Option<Token>, open_without_token: bool) -> Self {
        Self { token: RwLock::new(token), open_without_token }
    }

    /// Takes another token from now on; the old one is not accepted any more.
    pub fn reload(&self, token: Option<Token>) {
        *self.token.write() = token;
    }

    /// Who asks over HTTP: by the token that came with the request, or by where it comes from.
    pub fn over_http(&self, peer: IpAddr, bearer: Option<&[u8]>) -> Result<Principal, Denied> {
        match (&*self.token.read(), bearer) {
            (Some(token), Some(given)) if token.is(given) => Ok(Principal::Token),
            (Some(_), Some(_)) => Err(Denied::WrongToken),
            (Some(_), None) => Err(Denied::NoToken),
            (None, _) if self.open_without_token || peer.to_canonical().is_loopback() => {
                Ok(Principal::Anonymous)
            }
            (None, _) => Err(Denied::NotLoopback),
        }
    }

    /// Whether `principal` may do it.
    pub fn authorise(&self, principal: &Principal, action: Action) -> Result<(), Denied> {
        match (principal, action) {
            (Principal::Anonymous | Principal::Token, _) => Ok(()),
            (Principal::Key, Action::Own | Action::Renew) => Ok(()),
            (Principal::Key, Action::Read | Action::Operate) => Err(Denied::NotForKeys),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: [&str; 3] = ["127.0.0.1", "::1", "::ffff:127.0.0.1"];
    const SECRET: &str = "0123456789abcdef";

    fn over_http(access: &Access, peer: &str, bearer: Option<&str>) -> Result<Principal, Denied> {
        access.over_http(peer.parse().unwrap(), bearer.map(str::as_bytes))
    }

    #[test]
    fn without_a_token_this_machine_alone_is_served() {
        let access = Access::new(None, false);
        for here in HERE {
            assert_eq!(over_http(&access, here, None), Ok(Principal::Anonymous), "{here}");
        }
        assert_eq!(over_http(&access, "192.0.2.1", None), Err(Denied::NotLoopback));
        assert_eq!(over_http(&access, "192.0.2.1", Some(SECRET)), Err(Denied::NotLoopback));
        assert_eq!(
            over_http(&Access::new(None, true), "192.0.2.1", None),
            Ok(Principal::Anonymous)
        );
    }

    #[test]
    fn with_a_token_everybody_needs_it() {
        for open in [false, true] {
            let access = Access::new(Some(Token::parse(SECRET).unwrap()), open);
            for peer in ["127.0.0.1", "192.0.2.1"] {
                assert_eq!(over_http(&access, peer, Some(SECRET)), Ok(Principal::Token));
                assert_eq!(over_http(&access, peer, Some("0123456789abcdeF")), {
                    Err(Denied::WrongToken)
                });
                assert_eq!(over_http(&access, peer, None), Err(Denied::NoToken));
            }
        }
    }

    #[test]
    fn a_reloaded_token_ends_the_old_one() {
        let access = Access::new(Some(Token::parse(SECRET).unwrap()), false);
        access.reload(Some(Token::parse("another-token-of-16").unwrap()));
        assert_eq!(over_http(&access, "::1", Some(SECRET)), Err(Denied::WrongToken));
        assert_eq!(over_http(&access, "::1", Some("another-token-of-16")), Ok(Principal::Token));
    }

    #[test]
    fn a_key_is_for_instances() {
        let access = Access::new(None, false);
        let may = |principal: &Principal| {
            [Action::Read, Action::Renew, Action::Own, Action::Operate]
                .map(|action| access.authorise(principal, action).is_ok())
        };
        assert_eq!(may(&Principal::Anonymous), [true; 4]);
        assert_eq!(may(&Principal::Token), [true; 4]);
        assert_eq!(may(&Principal::Key), [false, true, true, false]);
    }
}
