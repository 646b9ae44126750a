//! Which names an instance is found at.

use super::super::key::Key;
use crate::registry::{Instance, Protocol, ServiceName, tag_label};

/// A name of a service that answers for an instance.
pub(super) struct Named {
    /// The name.
    pub(super) key: Key,
    /// The port that SRV gives there; `None`: the name exists for the sake of names below only.
    pub(super) port: Option<u16>,
    /// Whether the instance's addresses are the name's.
    pub(super) addresses: bool,
}

impl Named {
    fn new(labels: &[&str], port: Option<u16>, addresses: bool) -> Self {
        Self { key: Key::of(labels), port, addresses }
    }
}

/// The service's own name.
pub(super) fn service_key(service: &ServiceName) -> Key {
    Key::of(&[service.as_str()])
}

/// All names at which an instance is found among others: the service's, those of its ports, tags and version.
pub(super) fn answered(instance: &Instance) -> Vec<Named> {
    let (service, body) = (instance.service.as_str(), &instance.body);
    let main = [&*format!("_{service}"), protocol_label(body.protocol)];
    let tags = body.tag_labels();
    let mut names = Vec::with_capacity(2 + tags.len() + 2 * body.ports.len());
    names.push(Named::new(&[service], Some(body.port), true));
    names.push(Named::new(&main, Some(body.port), false));
    for tag in tags {
        names.push(Named::new(&[&tag, service], Some(body.port), true));
    }
    if !body.ports.is_empty() {
        names.push(Named::new(&["_tcp", service], None, false));
    }
    for (label, port) in &body.ports {
        names.push(Named::new(&port_labels(&format!("_{label}"), service), Some(*port), false));
    }
    names
}

/// The names that a registration makes exist, relative to the zone: what a zone file must not have.
pub fn names_of(instance: &Instance) -> Vec<Box<[u8]>> {
    let own = Key::of(&[instance.label.as_str(), instance.service.as_str()]);
    let named = answered(instance).into_iter().filter(|named| named.port.is_some());
    let keys = named.map(|named| named.key).chain([own]);
    keys.map(|key| key.octets().into()).collect()
}

/// What of a registration makes one of [`names_of`] its names.
pub fn field_of(instance: &Instance, name: &[u8]) -> &'static str {
    let service = instance.service.as_str();
    let is = |labels: &[&str]| Key::of(labels).octets() == name;
    let is_tag = |tag: &str| tag_label(tag).is_some_and(|label| is(&[&label, service]));
    let is_port = |port: &str| is(&port_labels(&format!("_{port}"), service));
    if is(&[instance.label.as_str(), service]) {
        "id"
    } else if instance.body.texts.version().is_some_and(is_tag) {
        "version"
    } else if instance.body.texts.tags().any(is_tag) {
        "tags"
    } else if instance.body.ports.iter().any(|(port, _)| is_port(port.as_str())) {
        "ports"
    } else {
        "service"
    }
}

/// `_tcp` of `_web._tcp`: the parent that several services share.
pub(super) fn protocol_parent(name: &[u8]) -> Option<&[u8]> {
    let first = usize::from(*name.first()?);
    let parent = name.get(first + 1..)?;
    matches!(parent, b"\x04_tcp" | b"\x04_udp").then_some(parent)
}

fn port_labels<'a>(port: &'a str, service: &'a str) -> [&'a str; 3] {
    [port, "_tcp", service]
}

fn protocol_label(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "_tcp",
        Protocol::Udp => "_udp",
    }
}
