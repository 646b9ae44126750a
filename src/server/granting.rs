//! Grants without a server: made, listed and taken away in a data directory that no server has.

use ring::rand::{SecureRandom, SystemRandom};

use super::Given;
use crate::access::{Configured, Grants, Issued, Kind, SECRET_OCTETS, Wish};
use crate::api::guard::unix_ms;
use crate::config::Config;
use crate::store::{DataDir, Store, grants_of};

/// What the store grants, also while a server runs on it, and the principals of the configuration.
pub fn grants(given: &Given) -> Result<(Grants, Configured), String> {
    let config = given.load()?;
    let grants = grants_of(&config.store.data_dir).map_err(|error| error.to_string())?;
    let principals = config.access.principals.clone();
    Ok((grants, Configured { principals, ..Configured::default() }))
}

/// Makes a token or a key; the error says what to do.
pub fn grant(given: &Given, wish: Wish<'_>) -> Result<Issued, String> {
    let config = given.load()?;
    let configured = config.access.principals.iter().find(|known| *known.name == *wish.principal);
    let configured = configured.map(|known| known.scope.clone());
    let mut random = [0; SECRET_OCTETS];
    let drawn = SystemRandom::new().fill(&mut random);
    drawn.map_err(|_| "the system gives no random octets".to_owned())?;
    let (mut store, _held) = open(&config)?;
    let grants = store.grants().map_err(|error| error.to_string())?.0;
    let (edit, issued) = grants
        .grant(wish, configured.as_ref(), &random, unix_ms())
        .map_err(|error| error.to_string())?;
    store.edit_grants(&edit).map_err(|error| error.to_string())?;
    Ok(issued)
}

/// Takes a token or a key away.
pub fn revoke(given: &Given, kind: Kind, id: &str) -> Result<(), String> {
    let (mut store, _held) = open(&given.load()?)?;
    let grants = store.grants().map_err(|error| error.to_string())?.0;
    let edit = grants.revoke(kind, id).map_err(|error| error.to_string())?;
    store.edit_grants(&edit).map_err(|error| error.to_string())
}

/// The store, held so that no server comes onto it meanwhile.
fn open(config: &Config) -> Result<(Store, DataDir), String> {
    let held = DataDir::lock(&config.store.data_dir, "rollcall token or key");
    let held = held.map_err(|error| {
        format!("{error}; while a server runs it is asked: leave --config and --data-dir out")
    })?;
    let store = Store::open(held.path()).map_err(|error| error.to_string())?;
    Ok((store, held))
}
