//! The principals, tokens and keys that the store keeps: what is granted, and what may be granted.
//!
//! A principal is there as long as it has a token or a key. Two of either are live at once, so that a new one is handed
//! out before the old one is taken away. Of a token its SHA-256 is kept; of a key the key, as both sides sign with it.

use std::collections::BTreeMap;
use std::fmt;

use super::principal::check_name;
use super::scope::Scope;
use super::token::{SECRET_OCTETS, TokenHash, hex, token_of};

/// Tokens and keys together at most: some hundred octets each, in memory and on disk.
pub const MAX_CREDENTIALS: usize = 10_000;
/// Tokens, and keys, of one principal that are live at once.
pub const MAX_LIVE: usize = 2;
/// Hexadecimal digits of a key's id behind its `k`: every datagram carries it.
const KEY_ID_DIGITS: usize = 10;

/// What is granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A bearer token.
    Token,
    /// A key for datagrams.
    Key,
}

impl Kind {
    /// The word for it, in the store and at doors.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Key => "key",
        }
    }
}

/// A token or a key as it is kept.
#[derive(Clone, PartialEq, Eq)]
pub struct Kept {
    /// What it is called where it is listed and revoked.
    pub id: Box<str>,
    /// Which it is.
    pub kind: Kind,
    /// Whose.
    pub principal: Box<str>,
    /// A token's SHA-256; a key.
    pub secret: [u8; SECRET_OCTETS],
    /// When it was made, in milliseconds since 1970 UTC.
    pub created_unix_ms: u64,
    /// When it ends; `None`: when it is revoked.
    pub expires_unix_ms: Option<u64>,
}

impl Kept {
    /// Whether it has ended.
    pub fn is_over(&self, now_unix_ms: u64) -> bool {
        self.expires_unix_ms.is_some_and(|end| end <= now_unix_ms)
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kept({} {} of {})", self.kind.as_str(), self.id, self.principal)
    }
}

/// All that is granted.
#[derive(Debug, Clone, Default)]
pub struct Grants {
    /// The scope of each principal.
    pub principals: BTreeMap<Box<str>, Scope>,
    /// Tokens and keys by their ids.
    pub kept: BTreeMap<Box<str>, Kept>,
    /// Some of them could not be read: then no door is open because nobody is known.
    pub is_damaged: bool,
}

/// A change of what is granted: made durable first, and then carried out.
#[derive(Debug, Clone)]
pub struct Edit {
    /// A principal and its scope, if it is new.
    pub principal: Option<(Box<str>, Scope)>,
    /// A token or key that is new.
    pub put: Option<Kept>,
    /// Tokens and keys that go.
    pub remove: Vec<Box<str>>,
    /// A principal that goes with the last of them.
    pub remove_principal: Option<Box<str>>,
}

/// What somebody wants to be granted.
#[derive(Debug, Clone)]
pub struct Wish<'a> {
    /// A token or a key.
    pub kind: Kind,
    /// For whom.
    pub principal: &'a str,
    /// What it may do; a principal that is known has its scope.
    pub scope: Option<Scope>,
    /// When it is to end.
    pub expires_unix_ms: Option<u64>,
}

/// What was granted. The secret is shown once, and to nobody else.
pub struct Issued {
    /// What it is called where it is listed and revoked.
    pub id: Box<str>,
    /// The token, or the key in hexadecimal digits.
    pub secret: String,
}

impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Issued({})", self.id)
    }
}

/// Why something is not granted, or not taken away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotGranted {
    /// No principal can be called so.
    Name(String),
    /// The principal is new, and needs a scope.
    NoScope(String),
    /// The principal has another scope.
    OtherScope(String),
    /// It has as many as can be live; their ids.
    Live(Kind, Vec<Box<str>>),
    /// The principal is new, and there are tokens and keys of one that was called so; their ids.
    LeftOver(String, Vec<Box<str>>),
    /// There are as many as there may be.
    Full,
    /// There is none of this id.
    NotThere(Kind, String),
}

impl fmt::Display for NotGranted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(reason) => f.write_str(reason),
            Self::NoScope(name) => {
                write!(f, "`{name}` is new: say what it may do (verbs, services)")
            }
            Self::OtherScope(name) => write!(
                f,
                "`{name}` has another scope: leave the scope out to keep that, choose another name, or revoke its \
                 tokens and keys first"
            ),
            Self::Live(kind, ids) => {
                let (kind, ids) = (kind.as_str(), ids.join(" and "));
                write!(f, "it has {MAX_LIVE} live {kind}s, {ids}: revoke one first")
            }
            Self::LeftOver(name, ids) => write!(
                f,
                "another `{name}` has left {} behind: revoke what it had, or choose another name",
                ids.join(" and ")
            ),
            Self::Full => {
                write!(f, "there are {MAX_CREDENTIALS} tokens and keys, the most there may be")
            }
            Self::NotThere(kind, id) => {
                write!(f, "there is no {} `{}`", kind.as_str(), id.escape_debug())
            }
        }
    }
}

impl std::error::Error for NotGranted {}

impl Grants {
    /// What granting a wish changes, and what its principal is then given. `random` is used for nothing else.
    ///
    /// `configured` is the scope that the configuration gives a principal of this name: it goes before the store's.
    pub fn grant(
        &self,
        wish: Wish<'_>,
        configured: Option<&Scope>,
        random: &[u8; SECRET_OCTETS],
        now_unix_ms: u64,
    ) -> Result<(Edit, Issued), NotGranted> {
        let name = wish.principal;
        check_name(name).map_err(NotGranted::Name)?;
        let known = configured.or_else(|| self.principals.get(name));
        let principal = match (known, wish.scope) {
            (Some(known), Some(scope)) if *known != scope => {
                return Err(NotGranted::OtherScope(name.into()));
            }
            (Some(_), _) => None,
            (None, Some(scope)) => {
                // They would have its scope.
                let left = self.kept.values().filter(|kept| *kept.principal == *name);
                let left: Vec<_> = left.map(|kept| kept.id.clone()).collect();
                if !left.is_empty() {
                    return Err(NotGranted::LeftOver(name.into(), left));
                }
                Some((name.into(), scope))
            }
            (None, None) => return Err(NotGranted::NoScope(name.into())),
        };
        let (over, live): (Vec<&Kept>, Vec<&Kept>) = self
            .kept
            .values()
            .filter(|kept| *kept.principal == *name && kept.kind == wish.kind)
            .partition(|kept| kept.is_over(now_unix_ms));
        if live.len() >= MAX_LIVE {
            let ids = live.iter().map(|kept| kept.id.clone()).collect();
            return Err(NotGranted::Live(wish.kind, ids));
        }
        if self.kept.len() - over.len() >= MAX_CREDENTIALS {
            return Err(NotGranted::Full);
        }
        let (issued, secret) = issue(wish.kind, random);
        let put = Kept {
            id: issued.id.clone(),
            kind: wish.kind,
            principal: name.into(),
            secret,
            created_unix_ms: now_unix_ms,
            expires_unix_ms: wish.expires_unix_ms,
        };
        let remove = over.iter().map(|kept| kept.id.clone()).collect();
        Ok((Edit { principal, put: Some(put), remove, remove_principal: None }, issued))
    }

    /// What taking a token or key away changes.
    pub fn revoke(&self, kind: Kind, id: &str) -> Result<Edit, NotGranted> {
        let kept = self.kept.get(id).filter(|kept| kept.kind == kind);
        let kept = kept.ok_or_else(|| NotGranted::NotThere(kind, id.chars().take(80).collect()))?;
        let mut others = self.kept.values().filter(|other| other.id != kept.id);
        let is_last = !others.any(|other| other.principal == kept.principal);
        Ok(Edit {
            principal: None,
            put: None,
            remove: vec![kept.id.clone()],
            remove_principal: is_last.then(|| kept.principal.clone()),
        })
    }

    /// Carries out a change.
    pub fn apply(&mut self, edit: Edit) {
        for id in &edit.remove {
            self.kept.remove(id);
        }
        if let Some(name) = &edit.remove_principal {
            self.principals.remove(name);
        }
        self.principals.extend(edit.principal);
        self.kept.extend(edit.put.map(|kept| (kept.id.clone(), kept)));
    }
}

fn issue(kind: Kind, random: &[u8; SECRET_OCTETS]) -> (Issued, [u8; SECRET_OCTETS]) {
    match kind {
        Kind::Token => {
            let secret = token_of(random);
            let hash = TokenHash::of(secret.as_bytes());
            (Issued { id: hash.id(), secret }, *hash.octets())
        }
        Kind::Key => {
            // Of its hash, as an id is seen by everybody.
            let digits = hex(TokenHash::of(random).octets());
            let id = format!("k{}", digits.get(..KEY_ID_DIGITS).unwrap_or_default());
            (Issued { id: id.into(), secret: hex(random) }, *random)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::scope::Verb;
    use super::*;

    fn scope() -> Scope {
        Scope::all_services(&[Verb::Register])
    }

    fn wish(kind: Kind, principal: &str) -> Wish<'_> {
        Wish { kind, principal, scope: Some(scope()), expires_unix_ms: None }
    }

    fn give(
        grants: &mut Grants,
        wish: Wish<'_>,
        random: u8,
        now: u64,
    ) -> Result<Issued, NotGranted> {
        let (edit, issued) = grants.grant(wish, None, &[random; SECRET_OCTETS], now)?;
        grants.apply(edit);
        Ok(issued)
    }

    #[test]
    fn a_principal_has_two_of_each_and_goes_with_the_last() {
        let mut grants = Grants::default();
        let first = give(&mut grants, wish(Kind::Token, "team"), 1, 0).unwrap();
        let again = Wish { scope: None, ..wish(Kind::Token, "team") };
        let second = give(&mut grants, again.clone(), 2, 0).unwrap();
        let refused = give(&mut grants, again.clone(), 3, 0).unwrap_err();
        let mut ids = vec![first.id.clone(), second.id.clone()];
        ids.sort();
        assert_eq!(refused, NotGranted::Live(Kind::Token, ids));
        let key = give(&mut grants, Wish { kind: Kind::Key, ..again.clone() }, 4, 0).unwrap();
        for (kind, id) in
            [(Kind::Token, &first.id), (Kind::Token, &second.id), (Kind::Key, &key.id)]
        {
            assert!(grants.principals.contains_key("team"));
            let other = if kind == Kind::Key { Kind::Token } else { Kind::Key };
            assert!(grants.revoke(other, id).is_err(), "it is of another kind");
            let edit = grants.revoke(kind, id).unwrap();
            grants.apply(edit);
        }
        assert!(grants.principals.is_empty() && grants.kept.is_empty());
        assert!(matches!(grants.revoke(Kind::Key, &key.id), Err(NotGranted::NotThere(..))));
    }

    #[test]
    fn what_has_ended_makes_room() {
        let mut grants = Grants::default();
        let ending = |end| Wish { expires_unix_ms: Some(end), ..wish(Kind::Key, "team") };
        give(&mut grants, ending(10), 1, 0).unwrap();
        give(&mut grants, ending(20), 2, 0).unwrap();
        assert!(give(&mut grants, ending(30), 3, 9).is_err());
        give(&mut grants, ending(30), 3, 10).unwrap();
        assert_eq!(grants.kept.len(), 2);
    }

    #[test]
    fn a_scope_is_given_once_and_that_of_the_configuration_goes_first() {
        let mut grants = Grants::default();
        let bare = Wish { scope: None, ..wish(Kind::Token, "team") };
        let refused = give(&mut grants, bare.clone(), 1, 0).unwrap_err();
        assert_eq!(refused, NotGranted::NoScope("team".into()));
        give(&mut grants, wish(Kind::Token, "team"), 1, 0).unwrap();
        let wider = Scope::all_services(&[Verb::Admin]);
        let refused = give(&mut grants, Wish { scope: Some(wider.clone()), ..bare.clone() }, 2, 0);
        assert_eq!(refused.unwrap_err(), NotGranted::OtherScope("team".into()));
        let other = Wish { principal: "other", ..bare };
        let (edit, _) = grants.grant(other, Some(&wider), &[3; SECRET_OCTETS], 0).unwrap();
        assert_eq!(edit.principal, None, "the configuration has it");
        assert!(give(&mut grants, wish(Kind::Token, "Team"), 4, 0).is_err());
    }

    #[test]
    fn secrets_are_what_was_drawn_and_tokens_are_kept_as_their_hash() {
        let mut grants = Grants::default();
        let token = give(&mut grants, wish(Kind::Token, "a"), 7, 0).unwrap();
        assert_eq!(token.secret, token_of(&[7; SECRET_OCTETS]));
        assert_eq!(grants.kept[&token.id].secret, *TokenHash::of(token.secret.as_bytes()).octets());
        let key = give(&mut grants, wish(Kind::Key, "a"), 7, 0).unwrap();
        assert_eq!(key.secret, "07".repeat(SECRET_OCTETS));
        assert_eq!(grants.kept[&key.id].secret, [7; SECRET_OCTETS]);
        assert!(key.id.starts_with('k') && key.id.len() == 1 + KEY_ID_DIGITS);
        assert!(!format!("{token:?} {key:?} {grants:?}").contains("0707"));
    }
}
