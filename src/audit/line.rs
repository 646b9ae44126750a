//! One entry as a line of JSON. serde_json escapes control characters; no line breaks or colours a terminal.

use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::{Denial, Entry};
use crate::access::{Asker, Credential};
use crate::registry::Instance;

/// A line.
#[derive(Serialize)]
struct Line<'a> {
    time: String,
    outcome: &'static str,
    door: &'static str,
    source: String,
    principal: Option<&'a str>,
    credential: Option<String>,
    verb: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<State<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<State<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    what: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

/// An instance.
#[derive(Serialize)]
struct State<'a> {
    addresses: Vec<String>,
    port: u16,
    lease_secs: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<&'a str>,
    weight: u16,
    priority: u16,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    meta_keys: Vec<&'a str>,
    state: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    r#override: Option<Over<'a>>,
    #[serde(skip_serializing_if = "str::is_empty")]
    owner: &'static str,
}

#[derive(Serialize)]
struct Over<'a> {
    state: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    reason: &'a str,
    /// When it ends by itself, if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
}

/// Adds an entry to `out` as a line with its end; nothing for what is no entry.
pub(super) fn write(entry: &Entry, out: &mut Vec<u8>) {
    match entry {
        Entry::Change { unix_ms, by, verb, change } => {
            let instance = change.instance();
            let line = Line {
                service: Some(instance.service.as_str()),
                id: Some(instance.id.as_str()),
                revision: Some(change.revision),
                before: change.before.as_deref().map(state),
                after: change.after.as_deref().map(state),
                ..line(by, SystemTime::UNIX_EPOCH + Duration::from_millis(*unix_ms), verb)
            };
            put(&line, out);
        }
        Entry::Administration { by, verb, what } => {
            put(&Line { what: Some(what), ..line(by, SystemTime::now(), verb) }, out);
        }
        Entry::Denial(denial) => put(&denied(denial), out),
        Entry::Reopen => {}
    }
}

/// Adds a line that says how many entries are missing here.
pub(super) fn write_missing(lost: u64, denials: u64, out: &mut Vec<u8>) {
    #[derive(Serialize)]
    struct Missing {
        time: String,
        outcome: &'static str,
        lost: u64,
        denials_untold: u64,
    }
    let time = shown(SystemTime::now());
    put(&Missing { time, outcome: "missing", lost, denials_untold: denials }, out);
}

fn put(line: &impl Serialize, out: &mut Vec<u8>) {
    // Text and numbers always serialise, and a Vec takes them.
    if serde_json::to_writer(&mut *out, line).is_ok() {
        out.push(b'\n');
    }
}

fn shown(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time).to_string()
}

fn line<'a>(by: &'a Asker, time: SystemTime, verb: &'static str) -> Line<'a> {
    Line {
        time: shown(time),
        outcome: "done",
        door: by.door.as_str(),
        source: by.source.to_string(),
        principal: Some(by.principal.name()),
        credential: credential(by.principal.credential()),
        verb,
        service: None,
        id: None,
        revision: None,
        before: None,
        after: None,
        what: None,
        reason: None,
    }
}

fn denied(denial: &Denial) -> Line<'_> {
    let principal = denial.principal.as_ref();
    Line {
        time: shown(denial.at),
        outcome: "denied",
        door: denial.door.as_str(),
        source: denial.source.to_string(),
        principal: principal.map(|(name, _)| &**name),
        credential: principal.and_then(|(_, known)| credential(known)),
        verb: denial.verb,
        service: denial.service.as_deref(),
        id: denial.id.as_deref(),
        revision: None,
        before: None,
        after: None,
        what: None,
        reason: Some(&denial.reason),
    }
}

fn credential(credential: &Credential) -> Option<String> {
    (*credential != Credential::None).then(|| credential.to_string())
}

fn state(instance: &Instance) -> State<'_> {
    let body = &instance.body;
    State {
        addresses: body.addresses.iter().map(ToString::to_string).collect(),
        port: body.port,
        lease_secs: body.lease.secs(),
        version: body.texts.version(),
        tags: body.texts.tags().collect(),
        weight: body.weight,
        priority: body.priority,
        meta_keys: body.texts.meta().map(|(key, _)| key).collect(),
        state: instance.declared.state.as_str(),
        reason: &instance.declared.reason,
        r#override: instance.override_.as_deref().map(|set| Over {
            state: set.declared.state.as_str(),
            reason: &set.declared.reason,
            until: set
                .until_unix_ms
                .map(|ms| shown(SystemTime::UNIX_EPOCH + Duration::from_millis(ms))),
        }),
        owner: instance.owner.name(),
    }
}
