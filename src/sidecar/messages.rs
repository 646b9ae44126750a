//! What is said over HTTP, as JSON has it.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use clap::ValueEnum;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

macro_rules! words {
    ($type:ident) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.to_possible_value().as_ref().map_or("", |word| word.get_name()))
            }
        }
    };
}

/// What an instance's owner, or an operator above it, declares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It takes work.
    Up,
    /// It finishes what it has and takes nothing new.
    Draining,
    /// It takes no work.
    Down,
}

/// What is in the cache of upstream answers, and what came of it since the start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheStats {
    /// Entries.
    pub entries: u64,
    /// Octets that they take.
    pub octets: u64,
    /// Octets that they may take.
    pub most_octets: u64,
    /// Look-ups that found what holds.
    pub hits: u64,
    /// Look-ups that found nothing.
    pub misses: u64,
    /// Look-ups that found what no longer holds.
    pub stale: u64,
    /// Entries that went to make room.
    pub evictions: u64,
}

/// What was forgotten of a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheFlushed {
    /// The name, with its final dot.
    pub name: String,
    /// Whether names below it were forgotten, too.
    pub subtree: bool,
    /// How many entries that were.
    pub flushed: u64,
}

/// The protocol of the main port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// Found at `_web._tcp`.
    Tcp,
    /// Found at `_web._udp`.
    Udp,
}

words!(State);
words!(Protocol);

/// How long an instance stays listed without a renewal; in JSON a number, or null.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lease {
    /// This many seconds.
    Secs(u32),
    /// Until it is deregistered.
    Endless,
}

impl Serialize for Lease {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Lease::Secs(secs) => serializer.serialize_u32(*secs),
            Lease::Endless => serializer.serialize_none(),
        }
    }
}

impl<'de> Deserialize<'de> for Lease {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let secs = Option::<u32>::deserialize(deserializer)?;
        Ok(secs.map_or(Lease::Endless, Lease::Secs))
    }
}

/// Reads a lease that is there, even if it is null; for a field with `#[serde(default)]`.
pub fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Lease>, D::Error> {
    Lease::deserialize(deserializer).map(Some)
}

/// The body of a registration. What is left out is the server's default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    /// Where the instance answers; empty: the address that the call comes from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<IpAddr>,
    /// Its main port.
    pub port: u16,
    /// The main port's protocol.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
    /// Further ports by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ports: BTreeMap<String, u16>,
    /// How long it stays listed without a renewal.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    pub lease_secs: Option<Lease>,
    /// Its tags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Its share among instances of the same priority.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u16>,
    /// Lower is asked first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<u16>,
    /// Text that its owner keeps with it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub meta: BTreeMap<String, String>,
    /// The owner's state; left out: as it was, `up` for a new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
}

/// The body of a declared state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Declared {
    /// The state.
    pub state: State,
    /// Why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// The body of an override.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Override {
    /// The state.
    pub state: State,
    /// Why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Seconds after which it ends by itself; none: somebody has to end it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in_secs: Option<u64>,
}

/// An override as it is listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedOverride {
    /// The state.
    pub state: State,
    /// Why.
    #[serde(default)]
    pub reason: String,
    /// Milliseconds until it ends by itself; none: somebody has to end it.
    #[serde(default)]
    pub expires_in_ms: Option<u64>,
}

impl From<ListedOverride> for Override {
    /// What is left of it: a second at least, for who sets it anew.
    fn from(listed: ListedOverride) -> Self {
        let ListedOverride { state, reason, expires_in_ms } = listed;
        let expires_in_secs = expires_in_ms.map(|ms| ms.div_ceil(1000).max(1));
        Self { state, reason, expires_in_secs }
    }
}

/// The reply to a registration.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Registered {
    /// The service.
    pub service: String,
    /// The instance.
    pub id: String,
    /// Its label.
    #[serde(default)]
    pub label: String,
    /// The DNS name that stands for it.
    #[serde(default)]
    pub name: String,
    /// Its lease in seconds; none: without end.
    pub lease_secs: Option<u32>,
    /// How long the lease runs now, in milliseconds.
    pub expires_in_ms: Option<u64>,
    /// The registry's revision.
    #[serde(default)]
    pub revision: u64,
    /// Whether it was not listed before: the status of the reply.
    #[serde(default, skip_deserializing)]
    pub created: bool,
}

/// The reply to a renewal.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Renewed {
    /// How long the lease runs now, in milliseconds; none: without end.
    pub expires_in_ms: Option<u64>,
}

/// The reply to many renewals.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RenewedMany {
    /// How many were renewed.
    pub renewed: u64,
    /// What is not listed: service and id.
    pub unknown: Vec<(String, String)>,
}

/// A service, summed up.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Summary {
    /// The service.
    pub service: String,
    /// How many instances are listed.
    pub instances: u64,
    /// How many of them are answering.
    pub answering: u64,
}

/// A listed instance.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Listed {
    /// The service.
    pub service: String,
    /// The instance.
    pub id: String,
    /// Its label.
    #[serde(default)]
    pub label: String,
    /// The DNS name that stands for it.
    #[serde(default)]
    pub name: String,
    /// Where it answers.
    pub addresses: Vec<IpAddr>,
    /// Its main port.
    pub port: u16,
    /// The main port's protocol.
    pub protocol: Protocol,
    /// Further ports by name.
    #[serde(default)]
    pub ports: BTreeMap<String, u16>,
    /// Its lease in seconds; none: without end.
    pub lease_secs: Option<u32>,
    /// How long the lease runs now, in milliseconds; none: without end.
    pub expires_in_ms: Option<u64>,
    /// Its tags.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Its version.
    #[serde(default)]
    pub version: Option<String>,
    /// Its share among instances of the same priority.
    pub weight: u16,
    /// Lower is asked first.
    pub priority: u16,
    /// Text that its owner keeps with it.
    #[serde(default)]
    pub meta: BTreeMap<String, String>,
    /// What its owner declares.
    pub state: State,
    /// Why, in the owner's words.
    #[serde(default)]
    pub state_reason: Option<String>,
    /// What an operator declares above it.
    #[serde(default, rename = "override")]
    pub override_: Option<ListedOverride>,
    /// Whether it is in the answers now.
    pub answering: bool,
    /// Why, or why not.
    #[serde(default)]
    pub why: String,
    /// What else the server says, passed on as it is.
    #[serde(flatten)]
    pub rest: serde_json::Map<String, serde_json::Value>,
}

/// A page of a list.
#[derive(Debug, Clone)]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// Where the next one begins; none: this is the last.
    pub next: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_left_out_or_null_or_a_number() {
        for (json, lease) in [
            (r#"{"port":80}"#, None),
            (r#"{"port":80,"lease_secs":null}"#, Some(Lease::Endless)),
            (r#"{"port":80,"lease_secs":30}"#, Some(Lease::Secs(30))),
        ] {
            let registration: Registration = serde_json::from_str(json).unwrap();
            assert_eq!(registration.lease_secs, lease, "{json}");
            assert_eq!(serde_json::to_string(&registration).unwrap(), json);
        }
    }
}

/// What a principal may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    /// `read`, `register`, `override`, `admin`.
    pub verbs: Vec<String>,
    /// Names of services, patterns, or `*`.
    pub services: Vec<String>,
    /// Networks of its instances' addresses; none: any.
    #[serde(default)]
    pub networks: Vec<String>,
    /// Instances that it may have at most.
    pub max_instances: Option<u32>,
    /// Its longest lease, in seconds.
    pub max_lease_secs: Option<u32>,
}

/// What is to be granted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Creation {
    /// What the principal may do, if it is new.
    pub scope: Option<Scope>,
    /// Seconds after which it ends.
    pub expires_in_secs: Option<u64>,
}

/// A token or a key that was made. The secret is told once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issued {
    /// Whose.
    pub principal: String,
    /// What it is called.
    pub id: String,
    /// The token, if it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// The key in hexadecimal digits, if it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// When it ends, in milliseconds since 1970 UTC.
    pub expires_unix_ms: Option<u64>,
}

/// A token or a key, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// What it is called.
    pub id: String,
    /// When it was made, in milliseconds since 1970 UTC.
    pub created_unix_ms: u64,
    /// When it ends.
    pub expires_unix_ms: Option<u64>,
    /// Whether it has.
    pub expired: bool,
}

/// A principal with its tokens and keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Principal {
    /// What it is called.
    pub name: String,
    /// What it may do; none: nothing says so, and it may nothing.
    pub scope: Option<Scope>,
    /// Its tokens.
    pub tokens: Vec<Kept>,
    /// Its keys.
    pub keys: Vec<Kept>,
}
