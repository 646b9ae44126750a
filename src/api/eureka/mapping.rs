//! From an instance as Eureka has it to registrations: its app's service, and those of its vip addresses.

use std::net::IpAddr;

use super::kept::{Kept, PLAIN_PORT, SECURE_PORT, declared};
use super::names;
use super::wire::{Info, Port};
use crate::config::Lease;
use crate::registry::{
    Body, Declared, Instance, InstanceId, Invalid, LeaseTerm, PortName, ServiceName, Tag, Texts,
};

/// How long a lease is if the client does not say, in seconds: what Eureka takes.
const DEFAULT_DURATION_SECS: u32 = 90;

/// What is registered for an instance.
#[derive(Debug)]
pub(super) struct Registration {
    /// Where: its app's service last, so that it is listed when all of it is.
    pub(super) places: Vec<(ServiceName, Body)>,
    /// Its id, the same in all of them.
    pub(super) id: InstanceId,
    /// The status as a state.
    pub(super) declared: Declared,
}

/// What goes into a registration beside what the client says.
#[derive(Debug, Clone, Copy)]
pub(super) struct With<'a> {
    /// The instance as it is listed under its app.
    pub(super) listed: Option<&'a Instance>,
    /// The bounds of leases for who asks.
    pub(super) bounds: Lease,
    /// The server that it is copied from.
    pub(super) mirrored_from: Option<&'a str>,
    /// Whether its zone becomes a tag; not where another instance has the name.
    pub(super) zone_is_tag: bool,
}

impl Registration {
    /// What is to be registered of `info`. What it cannot say of an instance that is listed stays as it is.
    pub(super) fn new(info: &Info<'_>, with: With<'_>) -> Result<Self, Invalid> {
        let service = names::service("app", &info.app)?;
        let before = with.listed.and_then(Kept::of);
        let zone = zone(info).filter(|zone| with.zone_is_tag && Tag::parse("zone", zone).is_ok());
        let also = other_services(info, &service)?;
        let mut kept = kept_of(info);
        kept.zone = zone.map(Into::into);
        kept.mirrored_from = with.mirrored_from.map(Into::into);
        kept.also = also.iter().map(|(service, _)| service.as_str().into()).collect();
        let (main, address) = (main_port(info)?, address(info)?);
        let mut body = Body {
            ports: ports(info, with.listed)?.into(),
            texts: texts(info, with.listed, before.as_ref(), zone)?,
            origin: kept.origin()?,
            ..Body::new(address, main, term(info, with.bounds))
        };
        if let Some(listed) = with.listed {
            let Body { addresses, protocol, weight, priority, .. } = &listed.body;
            (body.protocol, body.weight, body.priority) = (*protocol, *weight, *priority);
            // It had room for one of them only.
            if addresses.contains(&address) {
                body.addresses = addresses.clone();
            }
        }
        kept.twin_of = Some(service.as_str().into());
        let twin_origin = kept.origin()?;
        let mut places = Vec::with_capacity(also.len() + 1);
        for (other, port) in also {
            let twin = Body { port, origin: twin_origin.clone(), ..body.clone() };
            places.push((other, twin.checked()?));
        }
        places.push((service, body.checked()?));
        let id = InstanceId::parse(&info.instance_id)
            .map_err(|error| Invalid::new("instanceId", error.reason))?;
        Ok(Self { places, id, declared: declared(info.status, None)? })
    }
}

/// The services of its vip addresses, other than its app's, with the ports that are meant there.
fn other_services(info: &Info<'_>, app: &ServiceName) -> Result<Vec<(ServiceName, u16)>, Invalid> {
    let mut others: Vec<(ServiceName, u16)> = Vec::new();
    for (field, list, port) in [
        ("vipAddress", &info.vip, info.port.in_use()),
        ("secureVipAddress", &info.secure_vip, info.secure_port.in_use()),
    ] {
        let Some(port) = port else { continue };
        for vip in names::vips(list.as_deref().unwrap_or_default()) {
            let service = names::service(field, vip)?;
            if service == *app || others.iter().any(|(other, _)| *other == service) {
                continue;
            }
            if others.len() >= names::MAX_VIPS {
                let most = names::MAX_VIPS;
                return Err(Invalid::new(field, format!("more than {most} names beside the app")));
            }
            others.push((service, port));
        }
    }
    Ok(others)
}

fn kept_of<'a>(info: &'a Info<'_>) -> Kept<'a> {
    let text = |text: &'a Option<std::borrow::Cow<'_, str>>| text.as_deref().map(Into::into);
    let center = &info.data_center;
    Kept {
        app: (&*info.app).into(),
        host: (&*info.host_name).into(),
        ip: (&*info.ip).into(),
        vip: text(&info.vip),
        svip: text(&info.secure_vip),
        plain: Some(info.port),
        secure: Some(info.secure_port),
        home: text(&info.home_page),
        page: text(&info.status_page),
        health: text(&info.health_check),
        secure_health: text(&info.secure_health_check),
        group: text(&info.app_group),
        asg: text(&info.asg),
        sid: text(&info.sid),
        center: (center.name != "MyOwn").then(|| (&*center.name).into()),
        center_meta: center.metadata.iter().map(|(k, v)| ((&**k).into(), (&**v).into())).collect(),
        country: (info.country_id != 1).then_some(info.country_id),
        coordinating: info.coordinating,
        every: (info.lease.interval_secs != 0).then_some(info.lease.interval_secs),
        dirty: info.last_dirty,
        up_since: info.lease.up_since,
        ..Kept::default()
    }
}

/// Its address, or that of its host, if that is one.
fn address(info: &Info<'_>) -> Result<IpAddr, Invalid> {
    let parse = |text: &str| {
        let text = text.trim().trim_start_matches('[').trim_end_matches(']');
        text.split('%').next().unwrap_or_default().parse().ok()
    };
    parse(&info.ip).or_else(|| parse(&info.host_name)).ok_or_else(|| {
        let shown = info.ip.chars().take(80).collect::<String>();
        let reason = format!("`{}` is not an IPv4 or IPv6 address", shown.escape_debug());
        Invalid::new("ipAddr", reason)
    })
}

/// The port that is meant where none is named: the plain one, if it is in use.
fn main_port(info: &Info<'_>) -> Result<u16, Invalid> {
    let Port(plain, _) = info.port;
    let port = info.port.in_use().or(info.secure_port.in_use()).or((plain != 0).then_some(plain));
    port.ok_or_else(|| Invalid::new("port", "must be 1 to 65535"))
}

fn ports(info: &Info<'_>, listed: Option<&Instance>) -> Result<Vec<(PortName, u16)>, Invalid> {
    let others = listed.map(|listed| listed.body.ports.iter()).into_iter().flatten();
    let is_ours = |name: &PortName| [PLAIN_PORT, SECURE_PORT].contains(&name.as_str());
    let mut ports: Vec<_> = others.filter(|(name, _)| !is_ours(name)).cloned().collect();
    for (name, port) in [(PLAIN_PORT, info.port), (SECURE_PORT, info.secure_port)] {
        if let Some(port) = port.in_use() {
            ports.push((PortName::parse("port", name)?, port));
        }
    }
    Ok(ports)
}

/// Where it runs: by Amazon, or by its own word.
fn zone<'a>(info: &'a Info<'_>) -> Option<&'a str> {
    let find = |pairs: &'a super::wire::Pairs<'_>, name: &str| {
        pairs.iter().find(|(key, _)| key == name).map(|(_, value)| &**value)
    };
    find(&info.data_center.metadata, "availability-zone").or(find(&info.metadata, "zone"))
}

/// The metadata, and the tags and the version that are listed, with the zone's tag as it is now.
fn texts(
    info: &Info<'_>,
    listed: Option<&Instance>,
    before: Option<&Kept<'_>>,
    zone: Option<&str>,
) -> Result<Texts, Invalid> {
    let texts = listed.map(|listed| &listed.body.texts);
    let zone_before = before.and_then(|before| before.zone.as_deref());
    let tags = texts.into_iter().flat_map(Texts::tags).filter(|tag| Some(*tag) != zone_before);
    let tags = tags.chain(zone).map(|tag| Tag::parse("zone", tag)).collect::<Result<_, _>>()?;
    let version = texts.and_then(Texts::version).map(|version| Tag::parse("version", version));
    let metadata = info.metadata.iter().map(|(key, value)| (&**key, &**value));
    Texts::new(version.transpose()?.as_ref(), tags, metadata).map_err(|mut error| {
        error.field = error.field.replacen("meta", "metadata", 1);
        error
    })
}

/// The lease that the client wants, within its bounds.
fn term(info: &Info<'_>, bounds: Lease) -> LeaseTerm {
    let wanted = match info.lease.duration_secs {
        0 => DEFAULT_DURATION_SECS,
        secs => secs,
    };
    LeaseTerm::Secs(wanted.clamp(bounds.min_secs, bounds.max_secs))
}
