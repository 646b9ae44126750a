//! Who may what, from the configuration and the store; and the audit.

use std::path::Path;
use std::sync::Arc;

use crate::access::{Access, Door, Grants, Open};
use crate::api::secrets;
use crate::audit::{Audit, Writing};
use crate::config::Config;
use crate::store::Store;

/// What decides on access, when a server starts.
///
/// # Errors
/// A secret cannot be read, or a door that is not on loopback would be open to everybody.
pub(super) fn build(
    config: &Config,
    file: Option<&Path>,
    store: &Store,
) -> Result<Arc<Access>, String> {
    let (grants, skipped) = store.grants().map_err(|error| error.to_string())?;
    for skipped in skipped {
        tracing::error!("it grants nothing: {skipped}");
    }
    let access = decided_by(config, grants)?;
    check(config, file, &access)?;
    tell(config, &access);
    Ok(Arc::new(access))
}

fn decided_by(config: &Config, grants: Grants) -> Result<Access, String> {
    let access = Access::new(Open {
        http: config.http.insecure_no_token,
        udp: config.udp.insecure_unsigned,
        own_uid: Some(rustix::process::geteuid().as_raw()),
    });
    access.configure(secrets::load_configured(config)?);
    access.take_grants(grants);
    Ok(access)
}

/// Whether every door beyond loopback knows somebody.
fn check(config: &Config, file: Option<&Path>, access: &Access) -> Result<(), String> {
    let is_guarded = |door| match door {
        Door::Http | Door::Eureka => access.knows_callers(),
        Door::Udp => access.signs(),
        Door::Lease | Door::Override => true,
    };
    config.check_guarded(file, is_guarded).map_err(|error| error.to_string())
}

/// What would keep a server with these grants from starting.
pub(super) fn problem(config: &Config, file: Option<&Path>, grants: Grants) -> Option<String> {
    let access = match decided_by(config, grants) {
        Ok(access) => access,
        Err(reason) => return Some(reason),
    };
    check(config, file, &access).err()
}

/// Says which doors are open to whom.
fn tell(config: &Config, access: &Access) {
    if config.http.insecure_no_token && !access.knows_callers() {
        tracing::warn!(
            "the HTTP door is open to everybody who reaches it (http.insecure_no_token)"
        );
    }
    if config.udp.insecure_unsigned && !access.signs() {
        tracing::warn!(
            "the datagram door takes unsigned lines from everybody (udp.insecure_unsigned)"
        );
    }
    if config.http.insecure_no_tls {
        tracing::warn!("tokens may cross a network in the clear (http.insecure_no_tls)");
    }
    let doors = match access.open_on_loopback() {
        [true, true] => "HTTP and datagrams are",
        [true, false] => "HTTP is",
        [false, true] => "datagrams are",
        [false, false] => return,
    };
    tracing::info!("{doors} open: whoever is on this machine may register and deregister");
}

/// Opens the audit, if the configuration names a file.
pub(super) fn open_audit(config: &Config) -> Result<(Audit, Option<Writing>), String> {
    let Some(path) = &config.audit.file else { return Ok((Audit::default(), None)) };
    let (audit, writing) = Audit::open(path)?;
    Ok((audit, Some(writing)))
}
