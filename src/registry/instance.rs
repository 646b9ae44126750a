//! An instance: what a service said of one running copy of itself.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

use super::names::{InstanceId, Invalid, Label, PortName, ServiceName, tag_label};
use super::owner::Owner;
use super::packed::{Addresses, Origin, Reason, Texts};

/// Addresses that an instance may have at most: a reply names each of them.
pub const MAX_ADDRESSES: usize = 8;
/// Tags that an instance may have at most.
pub const MAX_TAGS: usize = 64;
/// Named ports that an instance may have at most.
pub const MAX_PORTS: usize = 32;
/// Octets of keys and values that an instance's metadata may have at most.
pub const MAX_META_OCTETS: usize = 4096;
/// Octets that the reason of a state or an override may have at most.
pub const MAX_REASON_OCTETS: usize = 255;

/// How long an instance stays listed without a renewal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseTerm {
    /// This many seconds, at least 1.
    Secs(u32),
    /// Until it is deregistered.
    Endless,
}

impl LeaseTerm {
    /// The term in milliseconds; `None` if it has no end.
    pub fn millis(self) -> Option<u64> {
        match self {
            LeaseTerm::Secs(secs) => Some(u64::from(secs) * 1000),
            LeaseTerm::Endless => None,
        }
    }

    /// The term in seconds; `None` if it has no end.
    pub fn secs(self) -> Option<u32> {
        match self {
            LeaseTerm::Secs(secs) => Some(secs),
            LeaseTerm::Endless => None,
        }
    }
}

/// The protocol of an instance's main port: the second label of `_web._tcp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocol {
    /// `_tcp`
    #[default]
    Tcp,
    /// `_udp`
    Udp,
}

/// What an instance's owner, or an operator above it, declares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum State {
    /// It takes work.
    #[default]
    Up,
    /// It finishes what it has and takes nothing new.
    Draining,
    /// It takes no work.
    Down,
}

macro_rules! words {
    ($type:ident, $field:literal, $($variant:ident = $word:literal),+) => {
        impl $type {
            /// The word that stands for it at every door.
            pub fn as_str(self) -> &'static str {
                match self {
                    $($type::$variant => $word,)+
                }
            }

            /// Parses the word; the error names the field.
            pub fn parse(text: &str) -> Result<Self, Invalid> {
                match text {
                    $($word => Ok($type::$variant),)+
                    _ => {
                        let shown = text.escape_debug();
                        let words = [$(concat!("`", $word, "`")),+].join(", ");
                        Err(Invalid::new($field, format!("`{shown}` must be one of {words}")))
                    }
                }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

words!(Protocol, "protocol", Tcp = "tcp", Udp = "udp");
words!(State, "state", Up = "up", Draining = "draining", Down = "down");

/// A state with the reason that was given for it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Declared {
    /// The state.
    pub state: State,
    /// Why, in the words of who declared it; empty if none was given.
    pub reason: Reason,
}

impl From<State> for Declared {
    /// Without a reason.
    fn from(state: State) -> Self {
        Self { state, reason: Reason::default() }
    }
}

impl Declared {
    /// A state and its reason; the error names the field `reason`.
    pub fn parse(state: State, reason: &str) -> Result<Self, Invalid> {
        if reason.len() > MAX_REASON_OCTETS || reason.chars().any(char::is_control) {
            let limit =
                format!("must have at most {MAX_REASON_OCTETS} octets and no control characters");
            return Err(Invalid::new("reason", limit));
        }
        Ok(Self { state, reason: reason.into() })
    }
}

/// A state that an operator declares above the owner's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    /// The state and why.
    pub declared: Declared,
    /// When it ends by itself: milliseconds since 1970 UTC; `None`: when somebody ends it.
    pub until_unix_ms: Option<u64>,
}

impl Override {
    /// One that somebody has to end.
    pub fn endless(declared: Declared) -> Self {
        Self { declared, until_unix_ms: None }
    }
}

/// What a registration says, every default resolved: two equal bodies are one registration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    /// Where it answers; at least one, distinct, in the order given.
    pub addresses: Addresses,
    /// Its main port, never 0.
    pub port: u16,
    /// The main port's protocol.
    pub protocol: Protocol,
    /// Further ports by name, sorted by name.
    pub ports: Box<[(PortName, u16)]>,
    /// How long it stays listed without a renewal.
    pub lease: LeaseTerm,
    /// Its version, its tags, and what its owner keeps with it.
    pub texts: Texts,
    /// Its share among instances of the same priority.
    pub weight: u16,
    /// Lower is asked first (RFC 2782).
    pub priority: u16,
    /// By which door it came, and what that door keeps with it.
    pub origin: Origin,
}

impl Body {
    /// A body with one address and port, everything else at its default.
    pub fn new(address: IpAddr, port: u16, lease: LeaseTerm) -> Self {
        Self {
            addresses: vec![address].into(),
            port,
            protocol: Protocol::Tcp,
            ports: Box::default(),
            lease,
            texts: Texts::default(),
            weight: 1,
            priority: 0,
            origin: Origin::default(),
        }
    }

    /// Checks what the types cannot say, and brings lists into their order.
    ///
    /// Every door calls it last, with the field names of the native API.
    pub fn checked(mut self) -> Result<Self, Invalid> {
        check_addresses(&mut self.addresses)?;
        if self.port == 0 {
            return Err(Invalid::new("port", "must be 1 to 65535"));
        }
        check_count("ports", self.ports.len(), MAX_PORTS)?;
        self.ports.sort();
        for pair in self.ports.windows(2) {
            if pair[0].0 == pair[1].0 {
                return Err(Invalid::new(format!("ports.{}", pair[0].0), "is given twice"));
            }
        }
        if let Some((name, _)) = self.ports.iter().find(|(_, port)| *port == 0) {
            return Err(Invalid::new(format!("ports.{name}"), "must be 1 to 65535"));
        }
        Ok(self)
    }

    /// Its version and its tags, which are reached alike.
    pub fn tags_and_version(&self) -> impl Iterator<Item = &str> {
        self.texts.version().into_iter().chain(self.texts.tags())
    }

    /// The labels under which the body's version and tags are found, distinct.
    pub fn tag_labels(&self) -> Vec<Cow<'_, str>> {
        let mut labels: Vec<_> = self.tags_and_version().filter_map(tag_label).collect();
        labels.sort_unstable();
        labels.dedup();
        labels
    }
}

fn check_addresses(addresses: &mut [IpAddr]) -> Result<(), Invalid> {
    if addresses.is_empty() {
        return Err(Invalid::new("addresses", "must not be empty"));
    }
    check_count("addresses", addresses.len(), MAX_ADDRESSES)?;
    for at in 0..addresses.len() {
        let address = addresses[at].to_canonical();
        let broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
        if address.is_unspecified() || address.is_multicast() || broadcast {
            let reason = format!("{address} is not the address of one host");
            return Err(Invalid::new(format!("addresses[{at}]"), reason));
        }
        if addresses[..at].contains(&address) {
            return Err(Invalid::new(
                format!("addresses[{at}]"),
                format!("{address} is given twice"),
            ));
        }
        addresses[at] = address;
    }
    Ok(())
}

pub(super) fn check_count(field: &str, count: usize, most: usize) -> Result<(), Invalid> {
    if count > most {
        return Err(Invalid::new(field, format!("has {count} items, may have {most}")));
    }
    Ok(())
}

/// One running copy of a service, as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// The service it is one of.
    pub service: ServiceName,
    /// Its id, unique in the service.
    pub id: InstanceId,
    /// Its DNS label, unique in the service.
    pub label: Label,
    /// What its registration says.
    pub body: Body,
    /// What its owner declares.
    pub declared: Declared,
    /// What an operator declares above it, if so.
    pub override_: Option<Box<Override>>,
    /// Who registered it.
    pub owner: Owner,
    /// When it was first registered: milliseconds since 1970 UTC.
    pub registered_unix_ms: u64,
    /// When it was last changed: milliseconds since 1970 UTC.
    pub changed_unix_ms: u64,
    /// The revision of its last change.
    pub revision: u64,
}

impl Instance {
    /// Lets its label and its id be one text, if they say the same.
    pub(super) fn share_label(&mut self) {
        self.label.share(&self.id);
    }

    /// Whether its id is its label too, as it mostly is.
    pub fn has_id_as_label(&self) -> bool {
        self.label.as_str() == self.id.as_str()
    }

    /// The state that counts: the override's, else the owner's.
    pub fn state(&self) -> State {
        self.override_.as_deref().map_or(&self.declared, |set| &set.declared).state
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(addresses: &[&str]) -> Body {
        let addresses = addresses.iter().map(|a| a.parse().unwrap()).collect();
        Body { addresses, ..Body::new([10, 0, 0, 1].into(), 80, LeaseTerm::Secs(30)) }
    }

    #[test]
    fn addresses_are_those_of_single_hosts() {
        assert!(body(&["10.0.0.1", "fd00::1"]).checked().is_ok());
        for bad in [
            &["0.0.0.0"][..],
            &["::"],
            &["224.0.0.1"],
            &["255.255.255.255"],
            &[],
            &["::ffff:10.0.0.1", "10.0.0.1"],
        ] {
            assert!(body(bad).checked().unwrap_err().field.starts_with("addresses"), "{bad:?}");
        }
    }
}
