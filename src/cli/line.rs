//! A line of `export` and `import`: one instance, with all that a restart elsewhere needs to know of it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::sidecar::messages::{Lease, Listed, Override, Protocol, Registration, State, given};

/// One instance. Its label, times, revision and health are not part of it: they are made anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Line {
    pub(super) service: String,
    pub(super) id: String,
    #[serde(default)]
    addresses: Vec<IpAddr>,
    port: u16,
    protocol: Option<Protocol>,
    #[serde(default)]
    ports: BTreeMap<String, u16>,
    /// Left out: the server's default; null: without end.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    lease_secs: Option<Lease>,
    #[serde(default)]
    tags: Vec<String>,
    version: Option<String>,
    weight: Option<u16>,
    priority: Option<u16>,
    #[serde(default)]
    meta: BTreeMap<String, String>,
    #[serde(default = "up")]
    pub(super) state: State,
    #[serde(default)]
    pub(super) state_reason: String,
    #[serde(rename = "override")]
    pub(super) override_: Option<Override>,
}

fn up() -> State {
    State::Up
}

impl Line {
    /// Parses a line; the error names the field.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut json = serde_json::Deserializer::from_str(text);
        let line = serde_path_to_error::deserialize(&mut json).map_err(|error| {
            let (path, reason) = (error.path().to_string(), error.inner().to_string());
            // The position in its line of what is one line itself says nothing to people.
            let reason = reason.split(" at line ").next().unwrap_or_default().to_owned();
            if path == "." { reason } else { format!("{path}: {reason}") }
        })?;
        json.end().map_err(|_| "there is more after the object".to_owned())?;
        Ok(line)
    }

    /// The registration, with this state.
    pub(super) fn registration(&self, state: State) -> Registration {
        let line = self.clone();
        Registration {
            addresses: line.addresses,
            port: line.port,
            protocol: line.protocol,
            ports: line.ports,
            lease_secs: line.lease_secs,
            tags: line.tags,
            version: line.version,
            weight: line.weight,
            priority: line.priority,
            meta: line.meta,
            state: Some(state),
        }
    }
}

impl From<Listed> for Line {
    fn from(listed: Listed) -> Self {
        Self {
            service: listed.service,
            id: listed.id,
            addresses: listed.addresses,
            port: listed.port,
            protocol: Some(listed.protocol),
            ports: listed.ports,
            lease_secs: Some(listed.lease_secs.map_or(Lease::Endless, Lease::Secs)),
            tags: listed.tags,
            version: listed.version,
            weight: Some(listed.weight),
            priority: Some(listed.priority),
            meta: listed.meta,
            state: listed.state,
            state_reason: listed.state_reason.unwrap_or_default(),
            override_: listed.override_.map(Into::into),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_the_field() {
        for (text, reason) in [
            (r#"{"service":"web","id":"a","port":"x"}"#, "port: invalid type"),
            (r#"{"service":"web","id":"a","port":1,"prot":"tcp"}"#, "prot: unknown field"),
            (r#"{"service":"web","id":"a","port":1,"override":{"state":"on"}}"#, "override.state"),
            (r#"{"service":"web","port":1}"#, "missing field `id`"),
            (r#"{"service":"web","id":"a","port":1} x"#, "there is more"),
            ("nonsense", "expected"),
        ] {
            let error = Line::parse(text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
            assert!(!error.contains("line 1"), "{error}");
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let full = r#"{"service":"web","id":"a b","addresses":["10.0.0.1","fd00::1"],"port":80,
            "protocol":"udp","ports":{"metrics":90},"lease_secs":null,"tags":["blue"],"version":"2",
            "weight":0,"priority":7,"meta":{"k":"v"},"state":"down","state_reason":"disk",
            "override":{"state":"up","reason":"op"}}"#;
        for text in [full, r#"{"service":"web","id":"a","port":80}"#] {
            let line = Line::parse(text).unwrap();
            let written = serde_json::to_string(&line).unwrap();
            assert_eq!(Line::parse(&written).unwrap(), line, "{written}");
        }
        assert!(
            serde_json::to_string(&Line::parse(full).unwrap())
                .unwrap()
                .contains(r#""lease_secs":null"#)
        );
    }
}
