//! What this door keeps with an instance: all that Eureka's clients say and the registry has no word for.
//!
//! It is text in the instance's origin, which nobody else reads. With it an instance is shown as its client registered it; one
//! that came by another door has none, and is shown as what it would be.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::names;
use super::wire::{Action, DataCenter, Info, Lease, Pairs, Port, Status};
use crate::registrar::Listed;
use crate::registry::{Declared, Instance, Invalid, LeaseTerm, Origin, State};

/// This door, in an instance's origin.
pub(super) const DOOR: &str = "eureka";
/// How often clients renew, in seconds, if they do not say.
pub(super) const DEFAULT_INTERVAL_SECS: u32 = 30;
/// The named ports that the two ports of Eureka are.
pub(super) const PLAIN_PORT: &str = "http";
pub(super) const SECURE_PORT: &str = "https";

type Text<'a> = Option<Cow<'a, str>>;

/// What is kept.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub(super) struct Kept<'a> {
    /// The app in upper case: several are one service.
    #[serde(borrow)]
    pub(super) app: Cow<'a, str>,
    #[serde(borrow, skip_serializing_if = "str::is_empty")]
    pub(super) host: Cow<'a, str>,
    /// As it was given: several texts are one address.
    #[serde(borrow, skip_serializing_if = "str::is_empty")]
    pub(super) ip: Cow<'a, str>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub(super) vip: Text<'a>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub(super) svip: Text<'a>,
    pub(super) plain: Option<Port>,
    pub(super) secure: Option<Port>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub(super) home: Text<'a>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub(super) page: Text<'a>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub(super) health: Text<'a>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub(super) secure_health: Text<'a>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub(super) group: Text<'a>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub(super) asg: Text<'a>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub(super) sid: Text<'a>,
    /// The data centre's name, if it is not `MyOwn`.
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub(super) center: Text<'a>,
    #[serde(borrow, skip_serializing_if = "Vec::is_empty")]
    pub(super) center_meta: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// If it is not 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) country: Option<i64>,
    #[serde(skip_serializing_if = "is_false")]
    pub(super) coordinating: bool,
    /// How often the client renews, in seconds, if it said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) every: Option<u32>,
    /// When the client changed it last, by its own clock; 0: it did not say.
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) dirty: u64,
    /// Since when it is up, if the client said so.
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) up_since: u64,
    /// The tag that its zone is.
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub(super) zone: Text<'a>,
    /// The services in which it is by its vip addresses, beside its app's.
    #[serde(borrow, skip_serializing_if = "Vec::is_empty")]
    pub(super) also: Vec<Cow<'a, str>>,
    /// This is such a one: the service of its app.
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub(super) twin_of: Text<'a>,
    /// The server that it was copied from, which it has not left yet.
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub(super) mirrored_from: Text<'a>,
}

fn is_false(value: &bool) -> bool {
    !value
}

fn is_zero(value: &u64) -> bool {
    *value == 0
}

impl<'a> Kept<'a> {
    /// What is kept with an instance; `None`: it did not come by this door.
    pub(super) fn of(instance: &'a Instance) -> Option<Self> {
        serde_json::from_str(instance.body.origin.kept_by(DOOR)?).ok()
    }

    /// As an instance's origin; the error names the field `origin`.
    pub(super) fn origin(&self) -> Result<Origin, Invalid> {
        let text = serde_json::to_string(self)
            .map_err(|error| Invalid::new("instance", format!("cannot be kept: {error}")))?;
        Origin::new(DOOR, &text)
    }
}

/// The server that an instance is copied from, if it is.
pub(in crate::api) fn mirrored_from(instance: &Instance) -> Option<String> {
    Kept::of(instance)?.mirrored_from.map(Cow::into_owned)
}

/// An instance as Eureka shows it.
pub(super) struct Shown<'a> {
    pub(super) info: Info<'a>,
    /// Whether it is in its service by a vip address alone.
    pub(super) is_twin: bool,
}

/// Shows an instance at a time of day.
pub(super) fn shown(listed: &Listed, now_unix_ms: u64) -> Shown<'_> {
    let instance = &*listed.instance;
    let kept = Kept::of(instance);
    let is_twin = kept.as_ref().is_some_and(|kept| kept.twin_of.is_some());
    let kept = kept.unwrap_or_else(|| as_if_registered_here(instance));
    Shown { info: info(listed, kept, now_unix_ms), is_twin }
}

/// What would be kept of an instance of another door.
fn as_if_registered_here(instance: &Instance) -> Kept<'_> {
    let service = instance.service.as_str();
    let address = first_address(instance);
    // A name would have to be one that its reader can look up.
    let host = address.clone();
    let body = &instance.body;
    let home = match address.contains(':') {
        true => format!("http://[{address}]:{}/", body.port),
        false => format!("http://{address}:{}/", body.port),
    };
    let secure = body.ports.iter().find(|(name, _)| name.as_str() == SECURE_PORT);
    Kept {
        app: names::app_of(service).into(),
        host: host.into(),
        vip: Some(service.into()),
        svip: Some(service.into()),
        plain: Some(Port(body.port, true)),
        secure: Some(secure.map_or(Port(443, false), |(_, port)| Port(*port, true))),
        home: Some(home.into()),
        ..Kept::default()
    }
}

/// The one address that Eureka has room for: of IPv4, which all of its clients can use, if there is one.
pub(super) fn first_address(instance: &Instance) -> String {
    let addresses = &instance.body.addresses;
    let first = addresses.iter().find(|address| address.is_ipv4()).or(addresses.first());
    first.map(ToString::to_string).unwrap_or_default()
}

fn info<'a>(listed: &'a Listed, kept: Kept<'a>, now_unix_ms: u64) -> Info<'a> {
    let instance = &*listed.instance;
    let ip = match kept.ip.is_empty() {
        true => first_address(instance).into(),
        false => kept.ip,
    };
    let metadata: Pairs<'a> =
        instance.body.texts.meta().map(|(key, value)| (key.into(), value.into())).collect();
    let changed = instance.changed_unix_ms;
    let is_new = instance.registered_unix_ms == changed;
    Info {
        instance_id: instance.id.as_str().into(),
        host_name: if kept.host.is_empty() { ip.clone() } else { kept.host },
        app: kept.app,
        app_group: kept.group,
        asg: kept.asg,
        sid: kept.sid,
        ip,
        status: effective(instance),
        overridden: instance
            .override_
            .as_deref()
            .map_or(Status::Unknown, |set| status_of(&set.declared)),
        port: kept.plain.unwrap_or(Port(instance.body.port, true)),
        secure_port: kept.secure.unwrap_or(Port(443, false)),
        country_id: kept.country.unwrap_or(1),
        data_center: DataCenter {
            name: kept.center.unwrap_or("MyOwn".into()),
            metadata: kept.center_meta,
        },
        lease: lease(listed, kept.every, kept.up_since, now_unix_ms),
        metadata,
        home_page: kept.home,
        status_page: kept.page,
        health_check: kept.health,
        secure_health_check: kept.secure_health,
        vip: kept.vip,
        secure_vip: kept.svip,
        coordinating: kept.coordinating,
        last_updated: changed,
        last_dirty: if kept.dirty == 0 { changed } else { kept.dirty },
        action: if is_new { Action::Added } else { Action::Modified },
    }
}

fn lease(listed: &Listed, every: Option<u32>, up_since: u64, now_unix_ms: u64) -> Lease {
    let instance = &*listed.instance;
    let term = instance.body.lease;
    let registered = instance.registered_unix_ms;
    let renewed = match (term.millis(), listed.expires_in_ms) {
        (Some(term), Some(left)) => now_unix_ms.saturating_sub(term.saturating_sub(left)),
        _ => now_unix_ms,
    };
    let duration_secs = match term {
        LeaseTerm::Secs(secs) => secs,
        // The longest that a client in Java can read.
        LeaseTerm::Endless => i32::MAX.unsigned_abs(),
    };
    let third = (duration_secs / 3).max(1);
    Lease {
        interval_secs: every.unwrap_or(DEFAULT_INTERVAL_SECS).min(third),
        duration_secs,
        registered,
        renewed: renewed.max(registered),
        up_since: if up_since == 0 { registered } else { up_since },
    }
}

/// The status that counts: the override's, else the instance's own.
fn effective(instance: &Instance) -> Status {
    status_of(instance.override_.as_deref().map_or(&instance.declared, |set| &set.declared))
}

/// A state as a status. Eureka has three for what takes no work, which the reason tells apart.
fn status_of(declared: &Declared) -> Status {
    match declared.state {
        State::Up => Status::Up,
        State::Draining => Status::OutOfService,
        State::Down => match Status::parse(&declared.reason) {
            Some(status @ (Status::Starting | Status::Unknown)) => status,
            _ => Status::Down,
        },
    }
}

/// A status as a state; the reason, if none is given, says which of those that take no work it is.
pub(super) fn declared(status: Status, reason: Option<&str>) -> Result<Declared, Invalid> {
    let (state, own) = match status {
        Status::Up => (State::Up, ""),
        Status::OutOfService => (State::Draining, ""),
        Status::Down => (State::Down, "DOWN"),
        Status::Starting => (State::Down, "STARTING"),
        Status::Unknown => (State::Down, "UNKNOWN"),
    };
    Declared::parse(state, reason.filter(|reason| !reason.is_empty()).unwrap_or(own))
}
