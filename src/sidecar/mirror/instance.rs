//! Instances as a Eureka server lists them, read leniently: its versions differ in what is a list, a text or a number.
//!
//! An instance is kept as the text that it came as, and handed on so. What is read of it is what the copy has to know.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

/// How long a lease is if the source does not say: what Eureka takes.
const DEFAULT_LEASE: Duration = Duration::from_secs(90);
/// The longest time between two renewals, however long the lease: a server may grant less than was asked for.
const MOST_BETWEEN: Duration = Duration::from_secs(10);
/// The shortest.
const LEAST_BETWEEN: Duration = Duration::from_millis(300);
/// Octets of an instance at most: more than a server takes of one.
const MAX_OCTETS: usize = 256 << 10;
/// Characters of an app and of an id that are shown.
const MAX_SHOWN: usize = 120;
/// Members that change while the instance is the same.
const RESTLESS: [&str; 2] = ["lastUpdatedTimestamp", "actionType"];
const RESTLESS_OF_LEASE: [&str; 5] = [
    "registrationTimestamp",
    "lastRenewalTimestamp",
    "renewalTimestamp",
    "evictionTimestamp",
    "serviceUpTimestamp",
];

/// An app and an id: no two instances have the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    /// The app, in upper case.
    pub app: String,
    /// The instance's id.
    pub id: String,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = |text: &str| text.chars().take(MAX_SHOWN).collect::<String>();
        write!(f, "{}/{}", short(&self.app).escape_debug(), short(&self.id).escape_debug())
    }
}

/// An instance of the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Instance {
    pub(super) name: Arc<Name>,
    /// All of it, in JSON.
    pub(super) text: Box<str>,
    /// Differs where something differs that matters.
    pub(super) print: u64,
    /// In upper case.
    pub(super) status: Box<str>,
    /// When its client changed it last, by its client's clock; 0: not said.
    pub(super) dirty: u64,
    /// The time between two renewals of it.
    pub(super) every: Duration,
    /// Whether a list of changes says that it is gone.
    pub(super) is_deleted: bool,
}

/// A list, whole or of changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct List {
    pub(super) instances: Vec<Instance>,
    /// How many of each status the source says that it has, all in all.
    pub(super) hash: Option<String>,
    /// Why some of what is listed cannot be read.
    pub(super) unreadable: Vec<String>,
}

impl List {
    /// Reads a reply of `/apps` or `/apps/delta`; the error says what is wrong with it.
    pub(super) fn parse(json: &[u8]) -> Result<Self, String> {
        let body: Body = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        let applications = body.applications;
        let (mut instances, mut unreadable) = (Vec::new(), Vec::new());
        for one in applications.application.0.into_iter().flat_map(|app| app.instance.0) {
            match one.0 {
                Ok(instance) => instances.push(instance),
                Err(reason) => unreadable.push(reason),
            }
        }
        let hash = applications.apps_hashcode.or(applications.apps_hash_code);
        Ok(Self { instances, hash: hash.as_ref().map(text), unreadable })
    }
}

#[derive(Deserialize)]
struct Body {
    applications: Applications,
}

#[derive(Deserialize)]
struct Applications {
    #[serde(default, rename = "apps__hashcode")]
    apps_hashcode: Option<Value>,
    /// As servers of the first versions have it.
    #[serde(default, rename = "appsHashCode")]
    apps_hash_code: Option<Value>,
    #[serde(default)]
    application: Many<Application>,
}

#[derive(Deserialize)]
struct Application {
    #[serde(default)]
    instance: Many<Read>,
}

/// An instance, or why it is none.
struct Read(Result<Instance, String>);

impl<'de> Deserialize<'de> for Read {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Map::deserialize(deserializer).map(|object| Self(Instance::new(object)))
    }
}

/// A list; where there is one thing alone, some servers write that instead, and for none nothing.
struct Many<T>(Vec<T>);

impl<T> Default for Many<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Many<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ManyVisitor(PhantomData))
    }
}

struct ManyVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ManyVisitor<T> {
    type Value = Many<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list, or one object")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut many = Vec::new();
        while let Some(one) = list.next_element()? {
            many.push(one);
        }
        Ok(Many(many))
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(object)).map(|one| Many(vec![one]))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Many::default())
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(Many::default())
    }
}

impl Instance {
    /// Reads one. What the source leaves to be guessed, its id, is filled in, so that everybody guesses the same.
    fn new(mut object: Map<String, Value>) -> Result<Self, String> {
        let word = |key: &str| object.get(key).map(text).filter(|word| !word.trim().is_empty());
        let app = word("app").ok_or("an instance without `app`")?.to_uppercase();
        let id = word("instanceId").or_else(|| amazon_id(&object)).or_else(|| word("hostName"));
        let id = id.ok_or("an instance without `instanceId` and `hostName`")?;
        let status = word("status").unwrap_or_else(|| "UP".into()).to_uppercase();
        let dirty = object.get("lastDirtyTimestamp").and_then(number).unwrap_or(0);
        let action = word("actionType").unwrap_or_default();
        let every = between(object.get("leaseInfo").and_then(|lease| lease.get("durationInSecs")));
        object.entry("instanceId").or_insert_with(|| id.as_str().into());
        let name = Arc::new(Name { app, id });
        let all = Value::Object(object).to_string();
        if all.len() > MAX_OCTETS {
            return Err(format!("{name} has more than {MAX_OCTETS} octets"));
        }
        Ok(Self {
            print: print(&all),
            name,
            text: all.into(),
            status: status.into(),
            dirty,
            every,
            is_deleted: action.eq_ignore_ascii_case("DELETED"),
        })
    }
}

/// What Amazon's machines were known by before instances had ids.
fn amazon_id(object: &Map<String, Value>) -> Option<String> {
    let id = object.get("dataCenterInfo")?.get("metadata")?.get("instance-id")?;
    Some(text(id)).filter(|id| !id.is_empty())
}

/// The time between two renewals: a third of the lease, so that two may be lost.
fn between(duration_secs: Option<&Value>) -> Duration {
    let secs = duration_secs.and_then(number).filter(|secs| *secs > 0);
    let lease = secs.map_or(DEFAULT_LEASE, Duration::from_secs);
    (lease / 3).clamp(LEAST_BETWEEN, MOST_BETWEEN)
}

/// A hash of all that matters; members are in the order of their names.
fn print(json: &str) -> u64 {
    let mut value: Value = serde_json::from_str(json).unwrap_or_default();
    if let Some(object) = value.as_object_mut() {
        object.retain(|key, _| !RESTLESS.contains(&&**key));
        if let Some(lease) = object.get_mut("leaseInfo").and_then(Value::as_object_mut) {
            lease.retain(|key, _| !RESTLESS_OF_LEASE.contains(&&**key));
        }
    }
    let mut hasher = DefaultHasher::new();
    value.to_string().hash(&mut hasher);
    hasher.finish()
}

/// A text, or what is as good as one.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(truth) => truth.to_string(),
        Value::Null | Value::Array(_) | Value::Object(_) => String::new(),
    }
}

fn number(value: &Value) -> Option<u64> {
    text(value).trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: &Value) -> Instance {
        let list = json!({"applications": {"application": {"name": "A", "instance": value}}});
        let mut list = List::parse(list.to_string().as_bytes()).unwrap();
        assert_eq!(list.unreadable, Vec::<String>::new());
        list.instances.remove(0)
    }

    #[test]
    fn lists_come_in_several_shapes() {
        let one = || json!({"app": "a", "instanceId": "i", "hostName": "h"});
        let in_list = |list: Value| json!({"applications": {"application": list}});
        for (body, count) in [
            (json!({"applications": {}}), 0),
            (in_list(json!(null)), 0),
            (in_list(json!("")), 0),
            (in_list(json!([])), 0),
            (in_list(json!([{"name": "A"}, {"name": "B", "instance": null}])), 0),
            (in_list(json!({"name": "A", "instance": one()})), 1),
            (in_list(json!([{"name": "A", "instance": [one(), one()]}])), 2),
            (in_list(json!([{"instance": one()}, {"instance": [one()]}])), 2),
        ] {
            let list = List::parse(body.to_string().as_bytes()).unwrap();
            assert_eq!(list.instances.len(), count, "{body}");
            assert_eq!((list.hash, list.unreadable), (None, Vec::new()), "{body}");
        }
        for bad in ["", "[]", "{}", "<applications/>", r#"{"applications":{"application":7}}"#] {
            assert!(List::parse(bad.as_bytes()).is_err(), "{bad}");
        }
        let hash = r#"{"applications":{"versions__delta":1,"apps__hashcode":"UP_1_"}}"#;
        assert_eq!(List::parse(hash.as_bytes()).unwrap().hash.as_deref(), Some("UP_1_"));
    }

    #[test]
    fn texts_and_numbers_are_taken_for_each_other() {
        let instance = read(&json!({"app": "shop", "instanceId": 7, "status": "down",
            "lastDirtyTimestamp": "17", "leaseInfo": {"durationInSecs": "6"}, "actionType": "DELETED"}));
        assert_eq!(instance.name.to_string(), "SHOP/7");
        assert_eq!((&*instance.status, instance.dirty), ("DOWN", 17));
        assert_eq!((instance.every, instance.is_deleted), (Duration::from_secs(2), true));
        for (secs, millis) in
            [(0, 10_000), (1, 333), (30, 10_000), (90, 10_000), (i64::MAX, 10_000)]
        {
            let lease = json!({"app": "A", "hostName": "h", "leaseInfo": {"durationInSecs": secs}});
            assert_eq!(read(&lease).every.as_millis(), millis, "{secs}");
        }
    }

    #[test]
    fn an_id_that_is_not_said_is_filled_in() {
        let plain = read(&json!({"app": "A", "hostName": "h"}));
        assert_eq!((&*plain.name.id, plain.dirty), ("h", 0));
        assert!(plain.text.contains(r#""instanceId":"h""#), "{}", plain.text);
        let amazon = read(&json!({"app": "A", "hostName": "h",
            "dataCenterInfo": {"name": "Amazon", "metadata": {"instance-id": "i-1"}}}));
        assert_eq!(amazon.name.id, "i-1");
    }

    #[test]
    fn times_of_the_lease_are_no_change() {
        let at = |time: u64, status: &str| {
            read(&json!({"app": "A", "hostName": "h", "status": status, "actionType": time,
                "lastUpdatedTimestamp": time, "leaseInfo": {"lastRenewalTimestamp": time, "durationInSecs": 90}}))
        };
        assert_eq!(at(1, "UP").print, at(2, "UP").print);
        assert_ne!(at(1, "UP").print, at(1, "DOWN").print);
    }

    #[test]
    fn what_cannot_be_read_does_not_keep_the_others_away() {
        let list = json!({"applications": {"application": [{"instance": [
            {"app": "A"}, {"hostName": "h"}, {"app": "A", "hostName": "x".repeat(MAX_OCTETS)},
            {"app": "A", "hostName": "h"}]}]}});
        let list = List::parse(list.to_string().as_bytes()).unwrap();
        assert_eq!((list.instances.len(), list.unreadable.len()), (1, 3));
        assert!(list.unreadable.iter().all(|reason| reason.len() < 300));
    }
}
