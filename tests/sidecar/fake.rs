//! A server of a few lines that speaks the HTTP contract, keeps a registry of plain JSON, and records every call.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::process::until_or;

/// A call as it came: method, path, token, body (null if it is none).
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    pub method: String,
    pub path: String,
    pub token: Option<String>,
    pub body: Value,
}

type Names = (String, String);
/// Decides on calls before the registry does: status and body.
type Hook = Box<dyn FnMut(&Call) -> Option<(u16, Value)> + Send>;

#[derive(Default)]
struct State {
    calls: Vec<Call>,
    listed: BTreeMap<Names, Value>,
    hook: Option<Hook>,
}

/// The server; clones are the same one.
#[derive(Clone)]
pub struct Fake {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
}

/// Instances on a page.
const PAGE: usize = 2;

impl Fake {
    pub fn start() -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap())
    }

    /// Starts at an address, which may be one that was free before.
    pub fn start_at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let fake = Self { address, state: Arc::default() };
        let server = fake.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let server = server.clone();
                std::thread::spawn(move || server.serve(stream));
            }
        });
        fake
    }

    /// Lets `hook` decide on calls first.
    pub fn hook(self, hook: impl FnMut(&Call) -> Option<(u16, Value)> + Send + 'static) -> Self {
        self.state.lock().unwrap().hook = Some(Box::new(hook));
        self
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn calls(&self) -> Vec<Call> {
        self.state.lock().unwrap().calls.clone()
    }

    /// Methods and paths, without the common beginning of the paths, renewals left out.
    pub fn story(&self) -> Vec<String> {
        let calls = self.calls().into_iter().filter(|call| !call.path.ends_with("/lease"));
        calls.map(|call| call.short()).collect()
    }

    /// Waits for the `count`-th call that `short`ens to this.
    pub fn wait_for(&self, short: &str, count: usize) {
        let calls = || self.calls().iter().map(Call::short).collect::<Vec<_>>();
        until_or(
            || format!("call {count} of `{short}` at {}: {:?}", self.address, calls()),
            || calls().iter().filter(|call| *call == short).count() >= count,
        );
    }

    /// What is listed, by service and id.
    pub fn listed(&self) -> BTreeMap<Names, Value> {
        self.state.lock().unwrap().listed.clone()
    }

    /// Loses an instance, as a restart without its store would.
    pub fn forget(&self, service: &str, id: &str) {
        let gone = self.state.lock().unwrap().listed.remove(&(service.into(), id.into()));
        assert!(gone.is_some());
    }

    fn serve(&self, stream: TcpStream) {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut writer = stream;
        while let Some(call) = read_call(&mut reader) {
            let (status, body) = self.reply(&call);
            let body = if body.is_null() { String::new() } else { body.to_string() };
            let kind = if status < 400 { "json" } else { "problem+json" };
            let reply = format!(
                "HTTP/1.1 {status} X\r\ncontent-type: application/{kind}\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            );
            // 204 has no length (RFC 9110, section 8.6).
            let reply = if status == 204 { "HTTP/1.1 204 X\r\n\r\n".to_owned() } else { reply };
            if writer.write_all(reply.as_bytes()).is_err() {
                return;
            }
        }
    }

    fn reply(&self, call: &Call) -> (u16, Value) {
        let mut state = self.state.lock().unwrap();
        state.calls.push(call.clone());
        if let Some(mut hook) = state.hook.take() {
            let reply = hook(call);
            state.hook = Some(hook);
            if let Some(reply) = reply {
                return reply;
            }
        }
        state.reply(call)
    }
}

impl Call {
    pub fn short(&self) -> String {
        format!("{} {}", self.method, self.path.replacen("/api/v1/services", "", 1))
    }
}

impl State {
    fn reply(&mut self, call: &Call) -> (u16, Value) {
        let path = call.path.strip_prefix("/api/v1/services");
        let Some(path) = path else { return (200, json!({})) };
        let (path, after) = path.split_once("?after=").unwrap_or((path, ""));
        let parts: Vec<String> = path.split('/').skip(1).map(decode).collect();
        let parts: Vec<&str> = parts.iter().map(|part| &**part).collect();
        match (&*call.method, &*parts) {
            ("GET", []) => self.services(),
            ("GET", [service]) => self.instances(service, after),
            ("DELETE", [service]) => {
                let before = self.listed.len();
                self.listed.retain(|(listed, _), _| listed != service);
                if self.listed.len() < before { (204, Value::Null) } else { not_listed() }
            }
            ("PUT", [service, "instances", id]) => self.register(service, id, &call.body),
            (_, [service, "instances", id, rest @ ..]) => {
                self.instance(&call.method, service, id, rest, &call.body)
            }
            _ => not_listed(),
        }
    }

    fn register(&mut self, service: &str, id: &str, body: &Value) -> (u16, Value) {
        let names = (service.to_owned(), id.to_owned());
        let before = self.listed.get(&names).cloned();
        let mut listed = json!({
            "service": service, "id": id, "label": id, "name": format!("{id}.{service}.svc.internal."),
            "addresses": ["127.0.0.1"], "protocol": "tcp", "ports": {}, "lease_secs": 30, "tags": [],
            "version": null, "weight": 1, "priority": 0, "meta": {}, "state": "up", "state_reason": "",
            "override": null, "health": "unchecked", "answering": true, "why": "", "revision": 7,
        });
        if let Some(before) = &before {
            listed["override"] = before["override"].clone();
            if before["state"] == body["state"] {
                listed["state_reason"] = before["state_reason"].clone();
            }
        }
        for (key, value) in body.as_object().unwrap() {
            listed[key] = value.clone();
        }
        judge(&mut listed);
        let lease = listed["lease_secs"].as_u64();
        listed["expires_in_ms"] = lease.map(|secs| secs * 1000).into();
        let status = if before.is_some() { 200 } else { 201 };
        self.listed.insert(names, listed.clone());
        (status, listed)
    }

    fn instance(
        &mut self,
        method: &str,
        service: &str,
        id: &str,
        rest: &[&str],
        body: &Value,
    ) -> (u16, Value) {
        let names = (service.to_owned(), id.to_owned());
        let Some(listed) = self.listed.get_mut(&names) else { return not_listed() };
        match (method, rest) {
            ("GET", []) => (200, listed.clone()),
            ("DELETE", []) => {
                self.listed.remove(&names);
                (204, Value::Null)
            }
            ("PUT", ["lease"]) => (200, json!({ "expires_in_ms": listed["expires_in_ms"] })),
            ("PUT", ["state"]) => {
                listed["state"] = body["state"].clone();
                listed["state_reason"] = body.get("reason").cloned().unwrap_or("".into());
                judge(listed);
                (200, listed.clone())
            }
            ("PUT", ["override"]) => {
                let reason = body.get("reason").cloned().unwrap_or("".into());
                listed["override"] = json!({ "state": body["state"], "reason": reason });
                judge(listed);
                (200, listed.clone())
            }
            ("DELETE", ["override"]) => {
                listed["override"] = Value::Null;
                judge(listed);
                (204, Value::Null)
            }
            _ => not_listed(),
        }
    }

    fn services(&self) -> (u16, Value) {
        let mut services: BTreeMap<&str, u64> = BTreeMap::new();
        for (service, _) in self.listed.keys() {
            *services.entry(service).or_default() += 1;
        }
        let services: Vec<_> = services
            .iter()
            .map(|(service, count)| json!({ "service": service, "instances": count, "answering": count }))
            .collect();
        (200, json!({ "services": services, "next": null }))
    }

    fn instances(&self, service: &str, after: &str) -> (u16, Value) {
        let all = self.listed.iter().filter(|((listed, _), _)| listed == service);
        let mut rest =
            all.filter(|((_, id), _)| id.as_str() > after).map(|(_, value)| value).peekable();
        if rest.peek().is_none() {
            return not_listed();
        }
        let page: Vec<_> = rest.by_ref().take(PAGE).collect();
        let next = rest.next().map(|_| page.last().unwrap()["id"].clone());
        (200, json!({ "service": service, "instances": page, "next": next }))
    }
}

/// Says whether an instance answers, and why not.
fn judge(listed: &mut Value) {
    let (state, reason) = match listed["override"].is_null() {
        true => (&listed["state"], &listed["state_reason"]),
        false => (&listed["override"]["state"], &listed["override"]["reason"]),
    };
    let words = format!("{}: {}", state.as_str().unwrap(), reason.as_str().unwrap());
    listed["answering"] = (state == "up").into();
    listed["why"] = words.into();
}

fn not_listed() -> (u16, Value) {
    (404, json!({ "title": "Not Found", "status": 404, "detail": "not listed" }))
}

fn decode(segment: &str) -> String {
    let mut octets = Vec::new();
    let mut rest = segment.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if first == b'%' {
            let digits = std::str::from_utf8(&after[..2]).unwrap();
            octets.push(u8::from_str_radix(digits, 16).unwrap());
            rest = &after[2..];
        } else {
            octets.push(first);
        }
    }
    String::from_utf8(octets).unwrap()
}

fn read_call(reader: &mut impl BufRead) -> Option<Call> {
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line.trim().is_empty() {
            break;
        }
        head.push(line.trim().to_owned());
    }
    let mut words = head.first()?.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let header = |name: &str| {
        let lines = head.iter().skip(1).filter_map(|line| line.split_once(": "));
        lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, v)| v.to_owned()).next()
    };
    let mut body = vec![0; header("content-length").map_or(0, |length| length.parse().unwrap())];
    reader.read_exact(&mut body).ok()?;
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let token = header("authorization");
    Some(Call { method, path, token, body })
}
