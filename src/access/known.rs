//! Who is known by what: made from what the configuration grants and what the store keeps.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::denied::Denied;
use super::grants::{Grants, Kept, Kind};
use super::key::{Key, KeyFile};
use super::principal::{CONFIGURED, Credential, Principal};
use super::scope::{Scope, Verb};
use super::token::TokenHash;

/// What the configuration grants.
#[derive(Debug, Default)]
pub struct Configured {
    /// The one token that may everything.
    pub token: Option<TokenHash>,
    /// Keys that may register.
    pub keys: Vec<KeyFile>,
    /// Principals that are known by certificates, or as users of this machine.
    pub principals: Vec<ConfiguredPrincipal>,
}

/// A principal as the configuration has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfiguredPrincipal {
    /// What it is called.
    pub name: Box<str>,
    /// What it may do.
    pub scope: Scope,
    /// Names in its certificates, such as `dns:web-1.example` and `uri:spiffe://example/web`.
    pub certificates: Vec<Box<str>>,
    /// Users of this machine.
    pub users: Vec<u32>,
}

#[derive(Debug, Default)]
pub(super) struct Sources {
    pub(super) configured: Configured,
    pub(super) grants: Grants,
    /// What was revoked and is in the store still.
    pub(super) forgotten: HashSet<Box<str>>,
}

/// Who is known by what.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) tokens: HashMap<TokenHash, (Principal, Option<u64>)>,
    pub(super) keys: HashMap<Box<str>, Arc<Key>>,
    pub(super) certificates: HashMap<Box<str>, Principal>,
    pub(super) users: HashMap<u32, Principal>,
    /// Which doors nobody comes through unknown.
    pub(super) closed: Closed,
}

/// Doors that are not open on loopback either. What the store grants, even if it cannot be said to whom, and principals of
/// the configuration close all of them; the configuration's token and keys close the door that each is for.
#[derive(Debug, Default)]
pub(super) struct Closed {
    pub(super) http: bool,
    pub(super) udp: bool,
}

impl Sources {
    /// Who is known by what, by the configuration and the store together.
    pub(super) fn known(&self) -> Known {
        let Self { configured, grants, forgotten } = self;
        let all = grants.is_damaged || !grants.kept.is_empty() || !configured.principals.is_empty();
        let closed = Closed {
            http: all || configured.token.is_some(),
            udp: all || !configured.keys.is_empty(),
        };
        let mut known = Known { closed, ..Known::default() };
        let mut scopes: BTreeMap<&str, &Scope> =
            grants.principals.iter().map(|(name, scope)| (&**name, scope)).collect();
        for ConfiguredPrincipal { name, scope, certificates, users } in &configured.principals {
            scopes.insert(name, scope);
            for certificate in certificates {
                let credential = Credential::Certificate(certificate.clone());
                let principal = Principal::new(name, scope.clone(), credential);
                known.certificates.insert(certificate.clone(), principal);
            }
            for uid in users {
                let principal = Principal::new(name, scope.clone(), Credential::User(*uid));
                known.users.insert(*uid, principal);
            }
        }
        for kept in grants.kept.values().filter(|kept| !forgotten.contains(&kept.id)) {
            // One whose principal is not known any more may nothing.
            let Some(scope) = scopes.get(&*kept.principal) else { continue };
            known.keep(kept, (*scope).clone());
        }
        if let Some(token) = configured.token {
            let scope = Scope::all_services(&[Verb::Admin]);
            let principal = Principal::new(CONFIGURED, scope, Credential::Token(token.id()));
            known.tokens.insert(token, (principal, None));
        }
        for KeyFile { id, secret } in &configured.keys {
            let scope = Scope::all_services(&[Verb::Register]);
            let principal = Principal::new(CONFIGURED, scope, Credential::Key(id.clone()));
            known.keys.insert(id.clone(), Arc::new(Key::new(id, secret, principal, None)));
        }
        known
    }
}

impl Known {
    fn keep(&mut self, kept: &Kept, scope: Scope) {
        let (id, end) = (&kept.id, kept.expires_unix_ms);
        match kept.kind {
            Kind::Token => {
                let principal =
                    Principal::new(&kept.principal, scope, Credential::Token(id.clone()));
                self.tokens.insert(TokenHash::stored(kept.secret), (principal, end));
            }
            Kind::Key => {
                let principal = Principal::new(&kept.principal, scope, Credential::Key(id.clone()));
                let key = Key::new(id, &kept.secret, principal, end);
                self.keys.insert(id.clone(), Arc::new(key));
            }
        }
    }

    /// Who has a token.
    pub(super) fn token(&self, bearer: &[u8], now_unix_ms: u64) -> Result<Principal, Denied> {
        match self.tokens.get(&TokenHash::of(bearer)) {
            None => Err(Denied::WrongToken),
            Some((_, Some(end))) if *end <= now_unix_ms => Err(Denied::TokenOver),
            Some((principal, _)) => Ok(principal.clone()),
        }
    }

    /// Who has a certificate with one of these names.
    pub(super) fn certificate(&self, names: &[Box<str>]) -> Result<Principal, Denied> {
        let principal = names.iter().find_map(|name| self.certificates.get(name));
        principal.cloned().ok_or(Denied::UnknownCertificate)
    }

    /// Who a user of this machine is. Root and the server's own user may everything: the store is theirs anyway.
    pub(super) fn user(&self, uid: u32, own_uid: Option<u32>) -> Result<Principal, Denied> {
        if let Some(principal) = self.users.get(&uid) {
            return Ok(principal.clone());
        }
        if uid == 0 || own_uid == Some(uid) {
            let scope = Scope::all_services(&[Verb::Admin]);
            return Ok(Principal::new(CONFIGURED, scope, Credential::User(uid)));
        }
        Err(Denied::UnknownUser(uid))
    }
}
