//! Who asks, and what it may do: decided here for every door.
//!
//! A door finds out which [`Principal`] asks, from what the request carries and where it comes from, and has
//! [`Access::authorise`] decide on what it asks for. The registrar takes nothing that is not [`Authorised`], and nobody
//! else can make that. Whose an instance and a service are is the registry's to know: it is told on whose behalf a command
//! comes. There is no I/O here and no clock: whoever reads files and the time hands over what they say.

mod denied;
mod grants;
pub mod key;
mod known;
mod prefixes;
mod principal;
mod scope;
mod token;

use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use crate::registry::{Actor, Command, LeaseTerm};
use key::Key;
use known::{Known, Sources};

pub use denied::Denied;
pub use grants::{Edit, Grants, Issued, Kept, Kind, MAX_CREDENTIALS, MAX_LIVE, NotGranted, Wish};
pub use known::{Configured, ConfiguredPrincipal};
pub use prefixes::{Prefix, Prefixes};
pub use principal::{
    Asker, CONFIGURED, Credential, Door, MAX_PRINCIPAL_OCTETS, Principal, Source, check_name,
};
pub use scope::{MAX_SCOPE_ITEMS, Pattern, Scope, ScopeWords, Verb, Verbs};
pub use token::{MAX_TOKEN_OCTETS, MIN_TOKEN_OCTETS, SECRET_OCTETS, TOKEN_PREFIX, TokenHash, hex};

/// Somebody and what it may do, for the registrar: a command that comes with this was authorised.
#[derive(Debug, Clone)]
pub struct Authorised {
    actor: Actor,
    by: Asker,
}

impl Authorised {
    /// The server itself, for whom leases that are over speak.
    pub fn server() -> Self {
        Self { actor: Actor::ANYBODY, by: Asker::server(Door::Lease) }
    }

    /// The server itself, for whom overrides speak whose time is up.
    pub fn ended_override() -> Self {
        Self { actor: Actor::ANYBODY, by: Asker::server(Door::Override) }
    }

    /// On whose behalf the registry acts.
    pub fn actor(&self) -> &Actor {
        &self.actor
    }

    /// Who asks.
    pub fn by(&self) -> &Asker {
        &self.by
    }
}

/// How a caller over HTTP is known, besides its token.
#[derive(Debug, Clone, Copy)]
pub enum Caller<'a> {
    /// By its address, and the names in the certificate that it has shown.
    Network(IpAddr, &'a [Box<str>]),
    /// As a user of this machine.
    User(u32),
}

/// Doors that are open without a credential, by the configuration.
#[derive(Debug, Clone, Copy, Default)]
pub struct Open {
    /// HTTP is, to anybody, while there is no principal (`http.insecure_no_token`).
    pub http: bool,
    /// Datagrams are, to anybody, while there is no key (`udp.insecure_unsigned`).
    pub udp: bool,
    /// This server's own user, who may everything over a unix socket, as root does: the store is theirs anyway.
    pub own_uid: Option<u32>,
}

/// What decides.
#[derive(Debug, Default)]
pub struct Access {
    open: Open,
    known: RwLock<Known>,
    /// Where `known` comes from.
    sources: Mutex<Sources>,
}

impl Access {
    /// Decides with nobody known yet.
    pub fn new(open: Open) -> Self {
        Self { open, ..Self::default() }
    }

    /// Takes another configuration from now on.
    pub fn configure(&self, configured: Configured) {
        let mut sources = self.sources.lock();
        sources.configured = configured;
        self.take(&sources);
    }

    /// Takes what the store keeps.
    pub fn take_grants(&self, grants: Grants) {
        let mut sources = self.sources.lock();
        sources.grants = grants;
        self.take(&sources);
    }

    /// Carries out a change of what the store keeps, that is durable. What it takes away is gone when this returns.
    pub fn edit(&self, edit: Edit) {
        let mut sources = self.sources.lock();
        sources.grants.apply(edit);
        self.take(&sources);
    }

    /// Takes away what cannot be taken from the store yet: until a restart it is good for nothing.
    pub fn forget(&self, ids: &[Box<str>]) {
        let mut sources = self.sources.lock();
        sources.forgotten.extend(ids.iter().cloned());
        self.take(&sources);
    }

    /// A door that was closed once does not open until a restart, whoever is forgotten.
    fn take(&self, sources: &Sources) {
        let mut new = sources.known();
        let mut known = self.known.write();
        new.closed.http |= known.closed.http;
        new.closed.udp |= known.closed.udp;
        *known = new;
    }

    /// What to tell if doors are closed and nobody is known who could come in; `None`: somebody is.
    pub fn nobody_is_known(&self) -> Option<&'static str> {
        let known = self.known.read();
        let is_closed = known.closed.http || known.closed.udp;
        let nobody = known.tokens.is_empty()
            && known.certificates.is_empty()
            && known.users.is_empty()
            && known.keys.is_empty();
        (is_closed && nobody).then_some(
            "the last token, key and principal is gone: doors stay closed until a restart. From then on they are open to \
             this machine, and one beyond loopback keeps the server from starting: make a token before \
             (`rollcall token create --config FILE`)",
        )
    }

    /// What the store keeps, and the scope that the configuration gives a principal.
    pub fn grants(&self, principal: &str) -> (Grants, Option<Scope>) {
        let sources = self.sources.lock();
        let mut configured = sources.configured.principals.iter();
        let configured = configured.find(|configured| *configured.name == *principal);
        (sources.grants.clone(), configured.map(|configured| configured.scope.clone()))
    }

    /// Whether HTTP, and datagrams, are open on loopback to who is not known.
    pub fn open_on_loopback(&self) -> [bool; 2] {
        let known = self.known.read();
        [!known.closed.http, !known.closed.udp]
    }

    /// Whether anybody is known by a token, a certificate, or as a user.
    pub fn knows_callers(&self) -> bool {
        let known = self.known.read();
        !(known.tokens.is_empty() && known.certificates.is_empty() && known.users.is_empty())
    }

    /// The ids of the live keys.
    pub fn key_ids(&self) -> Vec<Box<str>> {
        self.known.read().keys.keys().cloned().collect()
    }

    /// Who asks over HTTP: by the token that came with the request, or by how the caller is known.
    pub fn over_http(
        &self,
        caller: Caller<'_>,
        bearer: Option<&[u8]>,
        now_unix_ms: u64,
    ) -> Result<Principal, Denied> {
        let known = self.known.read();
        if !known.closed.http {
            return match caller {
                Caller::Network(peer, _)
                    if !(self.open.http || peer.to_canonical().is_loopback()) =>
                {
                    Err(Denied::NotLoopback)
                }
                _ => Ok(Principal::anonymous()),
            };
        }
        match (bearer, caller) {
            (Some(bearer), _) => known.token(bearer, now_unix_ms),
            (None, Caller::User(uid)) => known.user(uid, self.open.own_uid),
            (None, Caller::Network(_, [])) => Err(Denied::NoToken),
            (None, Caller::Network(_, names)) => known.certificate(names),
        }
    }

    /// The live key called `id`.
    pub fn key(&self, id: &str, now_unix_ms: u64) -> Option<Arc<Key>> {
        let key = self.known.read().keys.get(id).cloned();
        key.filter(|key| !key.is_over(now_unix_ms))
    }

    /// Whether lines are signed: while there is a key all are, and none else.
    pub fn signs(&self) -> bool {
        !self.known.read().keys.is_empty()
    }

    /// Whether an unsigned line may come from there, while there is no key.
    pub fn takes_unsigned(&self, peer: IpAddr) -> bool {
        let is_open = !self.known.read().closed.udp && peer.to_canonical().is_loopback();
        self.open.udp || is_open
    }

    /// Decides on a command, for every door alike.
    pub fn authorise(&self, by: Asker, command: &Command) -> Result<Authorised, Denied> {
        let scope = by.principal.scope();
        let service = command.service().as_str();
        check(scope, command_verb(command), service)?;
        if let Command::Register { body, .. } = command {
            if let Some(address) = scope.foreign(&body.addresses) {
                return Err(Denied::Address(address));
            }
            match (scope.max_lease_secs, body.lease) {
                (Some(most), LeaseTerm::Endless) => return Err(Denied::Lease(most)),
                (Some(most), LeaseTerm::Secs(secs)) if secs > most => {
                    return Err(Denied::Lease(most));
                }
                _ => {}
            }
        }
        Ok(Authorised { actor: self.actor(&by.principal, service), by })
    }

    /// Decides on a renewal; the registry's view then looks at whose the instance is.
    pub fn authorise_renewal(&self, principal: &Principal, service: &str) -> Result<Actor, Denied> {
        check(principal.scope(), Verb::Register, service)?;
        Ok(self.actor(principal, service))
    }

    /// On whose behalf the registry acts. Who comes unknown with datagrams, while others are known over HTTP, is not above
    /// what those own; to whom HTTP is open, everything is.
    fn actor(&self, principal: &Principal, service: &str) -> Actor {
        let mut actor = principal.actor(service);
        if principal.is_anonymous() {
            let known = self.known.read();
            actor.is_admin &= !known.closed.http;
        }
        actor
    }

    /// Decides on looking at a service, or, without one, at what is about all of them.
    pub fn authorise_reading(
        &self,
        principal: &Principal,
        service: Option<&str>,
    ) -> Result<(), Denied> {
        match service {
            Some(service) => check(principal.scope(), Verb::Read, service),
            None => check_all(principal.scope(), Verb::Read),
        }
    }

    /// Decides on listing services: those that its scope is for.
    pub fn authorise_listing(&self, principal: &Principal) -> Result<(), Denied> {
        match principal.scope().verbs.contain(Verb::Read) {
            true => Ok(()),
            false => Err(Denied::Verb(Verb::Read)),
        }
    }

    /// Decides on what is about the server as a whole: tokens, keys, the cache.
    pub fn authorise_administration(&self, principal: &Principal) -> Result<(), Denied> {
        check_all(principal.scope(), Verb::Admin)
    }
}

/// What has to be among a scope's verbs for a command. A whole service goes by `register` where all of it is one's own.
fn command_verb(command: &Command) -> Verb {
    match command {
        Command::Register { .. }
        | Command::Declare { .. }
        | Command::Deregister { .. }
        | Command::DeregisterService { .. } => Verb::Register,
        Command::Override { .. } => Verb::Override,
    }
}

fn check(scope: &Scope, verb: Verb, service: &str) -> Result<(), Denied> {
    if !scope.verbs.contain(verb) {
        return Err(Denied::Verb(verb));
    }
    if scope.is_for(service) { Ok(()) } else { Err(Denied::Service(service.into())) }
}

fn check_all(scope: &Scope, verb: Verb) -> Result<(), Denied> {
    if !scope.verbs.contain(verb) {
        return Err(Denied::Verb(verb));
    }
    if scope.is_for_all() { Ok(()) } else { Err(Denied::NotAllServices) }
}

#[cfg(test)]
mod tests;
