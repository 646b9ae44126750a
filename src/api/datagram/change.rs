//! What a line says: the fields of a command, brought into the registry's terms.
//!
//! An error is the name of the field as the line's writer knows it.

use std::net::{IpAddr, SocketAddr};

use super::line::{Line, Verb, Wrong, is_stamp, number};
use crate::api::percent;
use crate::config::Lease;
use crate::registry::{
    Body, Command, Declared, InstanceId, Invalid, LeaseTerm, Origin, PortName, Protocol,
    ServiceName, State, Tag, Texts,
};

/// The reason of a `DRAIN` that gives none.
const DRAIN_REASON: &str = "drain datagram";

/// Checks that a renewal has no field of its own: it has nothing to say.
pub(super) fn check_renewal<'a>(line: &Line<'a>) -> Result<(), Wrong<'a>> {
    match line.fields().find(|(key, _)| !is_stamp(key)) {
        Some((key, _)) => Err(key.into()),
        None => Ok(()),
    }
}

/// The command of a `REGISTER`, `DRAIN` or `DEREGISTER`. A lease out of bounds becomes the nearest that is not.
pub(super) fn parse<'a>(
    verb: Verb,
    line: &Line<'a>,
    id: &str,
    bounds: &Lease,
) -> Result<Command, Wrong<'a>> {
    let service = ServiceName::parse(line.service).map_err(|_| "service")?;
    let id = InstanceId::parse(id).map_err(|_| "id")?;
    match verb {
        Verb::Register => {
            let registration = Registration::read(line, bounds)?;
            let state = registration.state;
            Ok(Command::register(service, id, registration.body(bounds)?, state))
        }
        Verb::Drain => Ok(Command::Declare { service, id, declared: draining(line)? }),
        Verb::Deregister => {
            check_renewal(line)?;
            Ok(Command::Deregister { service, id })
        }
        Verb::Renew => Err("command".into()),
    }
}

fn draining<'a>(line: &Line<'a>) -> Result<Declared, Wrong<'a>> {
    let mut reason = None;
    for (key, value) in line.fields().filter(|(key, _)| !is_stamp(key)) {
        let decoded = value.filter(|_| key == "reason").and_then(percent::decode);
        once(&mut reason, key, decoded)?;
    }
    let reason = reason.as_deref().unwrap_or(DRAIN_REASON);
    Declared::parse(State::Draining, reason).map_err(|_| "reason".into())
}

/// The fields of a `REGISTER`, as they come.
struct Registration {
    addresses: Vec<IpAddr>,
    port: u16,
    protocol: Option<Protocol>,
    ports: Vec<(PortName, u16)>,
    lease: Option<LeaseTerm>,
    tags: Vec<Tag>,
    version: Option<Tag>,
    weight: Option<u16>,
    priority: Option<u16>,
    meta: Vec<(Box<str>, Box<str>)>,
    state: Option<State>,
}

impl Registration {
    fn read<'a>(line: &Line<'a>, bounds: &Lease) -> Result<Self, Wrong<'a>> {
        let main = socket_address(line.address).ok_or("address")?;
        let mut registration = Self {
            addresses: vec![main.ip()],
            port: main.port(),
            protocol: None,
            ports: Vec::new(),
            lease: None,
            tags: Vec::new(),
            version: None,
            weight: None,
            priority: None,
            meta: Vec::new(),
            state: None,
        };
        for (key, value) in line.fields().filter(|(key, _)| !is_stamp(key)) {
            registration.take(key, value.ok_or(key)?, bounds)?;
        }
        Ok(registration)
    }

    /// Takes one field. How many there may be is bounded by the line's length, and by [`Body::checked`].
    fn take<'a>(&mut self, key: &'a str, value: &str, bounds: &Lease) -> Result<(), Wrong<'a>> {
        let text = percent::decode(value).ok_or(key)?;
        match key {
            "address" => self.addresses.push(text.parse().map_err(|_| key)?),
            "lease" => once(&mut self.lease, key, lease(&text, bounds))?,
            "tag" => self.tags.push(Tag::parse(key, &text).map_err(|_| key)?),
            "version" => once(&mut self.version, key, Tag::parse(key, &text).ok())?,
            "weight" => once(&mut self.weight, key, number(&text))?,
            "priority" => once(&mut self.priority, key, number(&text))?,
            "protocol" => once(&mut self.protocol, key, Protocol::parse(&text).ok())?,
            "state" => once(&mut self.state, key, State::parse(&text).ok())?,
            _ => self.take_named(key, text)?,
        }
        Ok(())
    }

    fn take_named<'a>(&mut self, key: &'a str, text: String) -> Result<(), Wrong<'a>> {
        if let Some(name) = key.strip_prefix("port.") {
            let name = PortName::parse(key, name).map_err(|_| key)?;
            self.ports.push((name, number(&text).ok_or(key)?));
        } else if let Some(name) = key.strip_prefix("meta.") {
            let name = percent::decode(name).ok_or(key)?;
            self.meta.push((name.into(), text.into()));
        } else {
            return Err(key.into());
        }
        Ok(())
    }

    fn body<'a>(self, bounds: &Lease) -> Result<Body, Wrong<'a>> {
        let field = |invalid: Invalid| field_of_a_line(&invalid.field);
        let body = Body {
            addresses: self.addresses.into(),
            port: self.port,
            protocol: self.protocol.unwrap_or_default(),
            ports: self.ports.into(),
            lease: self.lease.unwrap_or(LeaseTerm::Secs(bounds.default_secs)),
            texts: Texts::new(self.version.as_ref(), self.tags, self.meta).map_err(field)?,
            weight: self.weight.unwrap_or(1),
            priority: self.priority.unwrap_or(0),
            origin: Origin::default(),
        };
        Ok(body.checked().map_err(field)?)
    }
}

/// `10.0.0.5:8080` or `[fd00::5]:8080`; an address that means something on one link only is none.
fn socket_address(text: &str) -> Option<SocketAddr> {
    let address = text.parse().ok()?;
    match address {
        SocketAddr::V6(v6) if v6.scope_id() != 0 => None,
        address => Some(address),
    }
}

fn lease(text: &str, bounds: &Lease) -> Option<LeaseTerm> {
    if text == "none" {
        return Some(LeaseTerm::Endless);
    }
    if text.is_empty() || !text.bytes().all(|c| c.is_ascii_digit()) {
        return None;
    }
    // More digits than a number holds are more than the longest lease.
    let secs = text.parse().unwrap_or(u32::MAX);
    Some(LeaseTerm::Secs(secs.max(bounds.min_secs).min(bounds.max_secs)))
}

/// Fills the place of a field that may be given once.
fn once<'a, T>(place: &mut Option<T>, key: &'a str, value: Option<T>) -> Result<(), Wrong<'a>> {
    match place.replace(value.ok_or(key)?) {
        None => Ok(()),
        Some(_) => Err(key.into()),
    }
}

/// The native API's field names, as a line has them.
fn field_of_a_line(field: &str) -> String {
    match field {
        "port" => "address".into(),
        "tags" => "tag".into(),
        "ports" => "port".into(),
        field if field.starts_with("addresses") => "address".into(),
        field => match field.strip_prefix("ports.") {
            Some(name) => format!("port.{name}"),
            None => field.into(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::super::line::IdBuffer;
    use super::*;

    const BOUNDS: Lease = Lease { default_secs: 30, min_secs: 2, max_secs: 86_400 };

    fn parsed(line: &str) -> Result<String, String> {
        let line = Line::cut(line);
        let mut buffer: IdBuffer = [0; 255];
        let verb = line.verb()?;
        let id = line.decoded_id(&mut buffer)?;
        Ok(format!("{:?}", parse(verb, &line, id, &BOUNDS)?))
    }

    fn registration(id: &str, body: &Body, state: Option<State>) -> String {
        let service = ServiceName::parse("web").unwrap();
        let id = InstanceId::parse(id).unwrap();
        format!("{:?}", Command::register(service, id, body.clone(), state))
    }

    #[test]
    fn a_registration_says_everything() {
        let port = |name| PortName::parse("port", name).unwrap();
        let plain = Body::new([10, 0, 0, 5].into(), 8080, LeaseTerm::Secs(30));
        let v6: IpAddr = "fd00::5".parse().unwrap();
        let full = Body {
            addresses: vec![v6, [10, 0, 0, 5].into()].into(),
            protocol: Protocol::Udp,
            ports: [(port("admin"), 1), (port("metrics"), 9090)].into(),
            lease: LeaseTerm::Secs(60),
            texts: Texts::stored(Some("2%"), "a b\nblue", "k=x\né=1\nz\n").unwrap(),
            weight: 2,
            priority: 5,
            ..plain.clone()
        };
        let lease = |lease| Body { lease, ..plain.clone() };
        for (line, command) in [
            ("RC1 REGISTER web web-1 10.0.0.5:8080", registration("web-1", &plain, None)),
            (
                "RC1 REGISTER web web-1 10.0.0.5:8080 key=k time=1 boot=1 seq=1 state=up",
                registration("web-1", &plain, Some(State::Up)),
            ),
            (
                "RC1 REGISTER web a%20%25 [fd00::5]:8080 tag=blue meta.z= tag=a%20b port.metrics=9090 \
                 version=2%25 weight=2 address=10.0.0.5 priority=5 state=draining protocol=udp tag=blue \
                 port.admin=1 lease=60 meta.k%3Dx=%C3%A9=1",
                registration("a %", &full, Some(State::Draining)),
            ),
            (
                "RC1 REGISTER web w 10.0.0.5:8080 lease=none",
                registration("w", &lease(LeaseTerm::Endless), None),
            ),
            (
                "RC1 REGISTER web w 10.0.0.5:8080 lease=0",
                registration("w", &lease(LeaseTerm::Secs(2)), None),
            ),
            (
                "RC1 REGISTER web w 10.0.0.5:8080 lease=99999999999999999999",
                registration("w", &lease(LeaseTerm::Secs(86_400)), None),
            ),
        ] {
            assert_eq!(parsed(line), Ok(command), "{line}");
        }
    }

    #[test]
    fn a_drain_declares_and_a_deregistration_ends() {
        let service = ServiceName::parse("web").unwrap();
        let id = InstanceId::parse("web-1").unwrap();
        let drain = |reason| {
            let declared = Declared::parse(State::Draining, reason).unwrap();
            format!("{:?}", Command::Declare { service: service.clone(), id: id.clone(), declared })
        };
        assert_eq!(parsed("RC1 DRAIN web web-1 seq=1"), Ok(drain("drain datagram")));
        assert_eq!(parsed("RC1 DRAIN web web-1 reason=deploy%2042"), Ok(drain("deploy 42")));
        let gone = format!("{:?}", Command::Deregister { service, id });
        assert_eq!(parsed("RC1 DEREGISTER web web-1 seq=1"), Ok(gone));
    }

    #[test]
    fn the_wrong_field_is_named() {
        for (line, field) in [
            ("RC1 FORGET web web-1", "command"),
            ("RC1 register web web-1 10.0.0.5:8080", "command"),
            ("RC1 ", "command"),
            ("RC1 DRAIN web", "id"),
            ("RC1 DRAIN web a%0Ab", "id"),
            ("RC1 DRAIN web %ff", "id"),
            ("RC1 DRAIN web web-1 reason=a reason=b", "reason"),
            ("RC1 DRAIN web web-1 reason=a%0Ab", "reason"),
            ("RC1 DRAIN web web-1 state=up", "state"),
            ("RC1 DRAIN Web web-1", "service"),
            ("RC1 DRAIN ns web-1", "service"),
            ("RC1 DEREGISTER web web-1 reason=over", "reason"),
            ("RC1 REGISTER web web-1", "address"),
            ("RC1 REGISTER web web-1 lease=30", "address"),
            ("RC1 REGISTER web web-1 10.0.0.5", "address"),
            ("RC1 REGISTER web web-1 10.0.0.5:0", "address"),
            ("RC1 REGISTER web web-1 fd00::5:8080", "address"),
            ("RC1 REGISTER web web-1 [fe80::5%1]:8080", "address"),
            ("RC1 REGISTER web web-1 0.0.0.0:8080", "address"),
            ("RC1 REGISTER web web-1 web.example:8080", "address"),
        ] {
            assert_eq!(parsed(line), Err(field.into()), "{line}");
        }
        for (fields, field) in [
            ("colour=blue", "colour"),
            ("blue", "blue"),
            ("=blue", ""),
            ("mac=00", "mac"),
            ("lease", "lease"),
            ("lease=", "lease"),
            ("lease=-1", "lease"),
            ("lease=1.5", "lease"),
            ("lease=30 lease=30", "lease"),
            ("tag=", "tag"),
            ("tag=%zz", "tag"),
            ("version=1 version=2", "version"),
            ("weight=65536", "weight"),
            ("weight=+1", "weight"),
            ("weight=", "weight"),
            ("weight=1 weight=1", "weight"),
            ("priority=x", "priority"),
            ("priority=1 priority=1", "priority"),
            ("protocol=TCP", "protocol"),
            ("protocol=tcp protocol=tcp", "protocol"),
            ("state=gone", "state"),
            ("state=up state=up", "state"),
            ("address=10.0.0.5", "address"),
            ("address=fd00::1%1", "address"),
            ("address=::", "address"),
            ("port.a_b=1", "port.a_b"),
            ("port.=1", "port."),
            ("port.metrics=0", "port.metrics"),
            ("port.metrics=1 port.metrics=2", "port.metrics"),
            ("meta.=1", "meta."),
            ("meta.k=1 meta.k=2", "meta.k"),
            ("meta.k=%0A", "meta.k"),
            ("meta.%0=1", "meta.%0"),
        ] {
            let line = format!("RC1 REGISTER web web-1 10.0.0.5:8080 {fields}");
            assert_eq!(parsed(&line), Err(field.into()), "{line}");
        }
        let tags: String = (0..65).map(|n| format!(" tag=t{n}")).collect();
        let line = format!("RC1 REGISTER web web-1 10.0.0.5:8080{tags}");
        assert_eq!(parsed(&line), Err("tag".into()));
    }
}
