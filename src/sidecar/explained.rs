//! Why a name is answered as it is, as a client reads it.

use std::net::IpAddr;

use hyper::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::client::Client;
use super::error::ClientError;
use super::url::segment;

/// What would be answered, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Explained {
    /// The name, with its final dot.
    pub name: String,
    /// The type.
    pub r#type: String,
    /// The zone that it is in.
    pub zone: Option<String>,
    /// The rule, in a word.
    pub rule: String,
    /// The rule, in a sentence.
    pub because: String,
    /// The reply's code; none: others would have to be asked first.
    pub rcode: Option<String>,
    /// The names of its flags.
    pub flags: Vec<String>,
    /// Records that answer.
    pub answer: Vec<String>,
    /// How many more there are.
    pub more_records: u64,
    /// Records that name authorities.
    pub authority: Vec<String>,
    /// The least TTL of the answer.
    pub ttl_secs: Option<u32>,
    /// Why it is that.
    pub ttl_because: Option<String>,
    /// Extended DNS Errors.
    pub errors: Vec<String>,
    /// Whether the reply would go over UDP whole.
    pub fits_udp: Option<bool>,
    /// The instances of the service that the name is about.
    pub instances: Vec<Member>,
    /// How many more there are.
    pub more_instances: u64,
    /// A service that has a similar name.
    pub did_you_mean: Option<String>,
    /// What a newer server says besides.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// An instance of the service that the name is about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Member {
    /// The instance.
    pub id: String,
    /// Whether it is in the answer.
    pub r#in: bool,
    /// Why, or why not.
    pub why: String,
    /// The state that counts.
    pub state: String,
    /// Where its lease stands.
    pub standing: String,
    /// Where it answers.
    pub addresses: Vec<IpAddr>,
    /// Its main port.
    pub port: u16,
    /// What a newer server says besides.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

impl Client {
    /// Why a name is answered as it is.
    pub async fn explain(&self, name: &str, rtype: &str) -> Result<Explained, ClientError> {
        let path = format!("/api/v1/explain?name={}&type={}", segment(name), segment(rtype));
        self.read(&self.call(Method::GET, &path, None).await?)
    }
}
