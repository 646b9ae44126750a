//! What happened to instances, as a client reads it: pages of history, and polls that go on from a revision.

use std::net::IpAddr;
use std::time::Duration;

use hyper::Method;
use serde::{Deserialize, Serialize};

use super::client::Client;
use super::error::ClientError;
use super::url::segment;

/// How long a poll waits at the server: short of what proxies cut off.
const WAIT_SECS: u64 = 30;
/// How much longer its reply may take.
const REPLY_TIME: Duration = Duration::from_secs(10);

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// The registry's revision with it.
    pub revision: u64,
    /// When, in milliseconds since 1970 UTC.
    pub unix_ms: u64,
    /// The service.
    pub service: String,
    /// The instance.
    pub id: String,
    /// What it was, such as `registered` or `lapsed`.
    pub event: String,
    /// Why.
    pub reason: String,
    /// The fields that a registration changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changed: Vec<String>,
    /// The instance's state after it; none: off the list.
    pub state: Option<String>,
    /// Where its lease stands after it.
    pub standing: Option<String>,
    /// Whether it is in the answers after it.
    pub answering: bool,
    /// Where it answers.
    pub addresses: Vec<IpAddr>,
    /// Its main port.
    pub port: u16,
    /// Who did it.
    pub by: By,
}

/// Who did something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct By {
    /// The principal; none: the server itself.
    pub principal: Option<String>,
    /// The door.
    pub door: String,
    /// From where.
    pub source: String,
}

/// A page of events, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Events {
    /// The events.
    pub events: Vec<Event>,
    /// Every event after this revision is kept.
    pub complete_since: u64,
    /// The next page.
    pub next: Option<String>,
}

/// Which events are looked back at.
#[derive(Debug, Clone, Default)]
pub struct Sought<'a> {
    /// Of this service; of all.
    pub service: Option<&'a str>,
    /// Of this instance.
    pub id: Option<&'a str>,
    /// How many.
    pub limit: u64,
}

/// What a poll gave.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Polled {
    /// From where to go on.
    pub revision: u64,
    /// The events, oldest first.
    pub events: Vec<Event>,
}

impl Client {
    /// A page of what happened: the first, or that which the page before it named.
    pub async fn history(
        &self,
        sought: &Sought<'_>,
        next: Option<&str>,
    ) -> Result<Events, ClientError> {
        let mut path = format!("/api/v1/history?limit={}", sought.limit);
        for (key, value) in [("service", sought.service), ("id", sought.id)] {
            if let Some(value) = value {
                path += &format!("&{key}={}", segment(value));
            }
        }
        let path = next.map_or(path, str::to_owned);
        self.read(&self.call(Method::GET, &path, None).await?)
    }

    /// Waits for what happens after a revision (from now on, if there is none), and gives it; nothing if that is long.
    pub async fn watch(
        &self,
        service: Option<&str>,
        revision: Option<u64>,
    ) -> Result<Polled, ClientError> {
        let mut path = format!("/api/v1/watch?wait_secs={WAIT_SECS}");
        if let Some(service) = service {
            path += &format!("&service={}", segment(service));
        }
        if let Some(revision) = revision {
            path += &format!("&revision={revision}");
        }
        let patient = self.clone().with_timeout(Duration::from_secs(WAIT_SECS) + REPLY_TIME);
        self.read(&patient.call(Method::GET, &path, None).await?)
    }
}
