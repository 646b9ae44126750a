//! What a Eureka server lists, as its JSON says it: single objects where lists are meant, numbers where texts are.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

/// An instance by its names: app in upper case, id.
pub type Name = (String, String);

/// What happened to an instance, by a delta.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is listed, as it is given.
    Listed,
    /// It is gone.
    Gone,
}

/// An instance as it is listed.
#[derive(Debug, Clone, PartialEq)]
pub struct Given {
    /// Its names.
    pub name: Name,
    /// What is said of it.
    pub info: Arc<Value>,
    /// What happened to it.
    pub fate: Fate,
}

/// A list, or a delta.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct List {
    /// How many of each status there are in the whole list, as the server counts them; `None`: it does not say.
    pub hash: Option<String>,
    /// The instances that are in it.
    pub given: Vec<Given>,
}

impl List {
    /// Reads a reply; the error says what it lacks.
    pub fn read(octets: &[u8]) -> Result<Self, String> {
        let mut value: Value = serde_json::from_slice(octets)
            .map_err(|error| format!("its reply is not JSON ({error})"))?;
        let Some(Value::Object(mut list)) = value.get_mut("applications").map(Value::take) else {
            return Err(
                "its reply has no `applications`: is this the URL of a Eureka server?".into()
            );
        };
        let hash = list.get("apps__hashcode").and_then(Value::as_str).map(str::to_owned);
        let mut given = Vec::new();
        for app in many(list.remove("application")) {
            let Value::Object(mut app) = app else { continue };
            let name = app.get("name").and_then(Value::as_str).unwrap_or_default().to_uppercase();
            let instances = many(app.remove("instance"));
            given.extend(instances.into_iter().filter_map(|info| instance(&name, info)));
        }
        Ok(Self { hash, given })
    }
}

/// A list, whatever it is written as.
fn many(value: Option<Value>) -> Vec<Value> {
    match value {
        Some(Value::Array(items)) => items,
        Some(item @ Value::Object(_)) => vec![item],
        _ => Vec::new(),
    }
}

fn instance(app: &str, info: Value) -> Option<Given> {
    let text = |key: &str| info.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    let id = text("instanceId").or_else(|| text("hostName"))?.to_owned();
    let app = text("app").map_or_else(|| app.to_owned(), str::to_uppercase);
    let fate = match text("actionType") {
        Some("DELETED") => Fate::Gone,
        _ => Fate::Listed,
    };
    Some(Given { name: (app, id), info: Arc::new(info), fate })
}

/// A number that may be a text.
pub fn number(value: Option<&Value>) -> Option<u64> {
    match value? {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// The status that an instance counts as.
pub fn status(info: &Value) -> &str {
    info.get("status").and_then(Value::as_str).unwrap_or("UNKNOWN")
}

/// How many of each status there are, as servers write it: `DOWN_1_UP_4_`.
pub fn hash<'a>(infos: impl Iterator<Item = &'a Value>) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for info in infos {
        *counts.entry(status(info)).or_default() += 1;
    }
    counts.iter().map(|(status, count)| format!("{status}_{count}_")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_however_they_are_written() {
        let many = r#"{"applications":{"versions__delta":1,"apps__hashcode":"UP_2_","application":[
            {"name":"a","instance":[{"instanceId":"1","status":"UP"},{"hostName":"h","app":"A","status":"UP"}]},
            {"name":"B","instance":{"instanceId":"2","actionType":"DELETED"}}, 7]}}"#;
        let list = List::read(many.as_bytes()).unwrap();
        let names: Vec<_> = list.given.iter().map(|one| (&*one.name.0, &*one.name.1)).collect();
        assert_eq!(names, [("A", "1"), ("A", "h"), ("B", "2")]);
        assert_eq!(list.given[2].fate, Fate::Gone);
        assert_eq!(hash(list.given[..2].iter().map(|one| &*one.info)), list.hash.unwrap());
        let one = r#"{"applications":{"application":{"name":"A","instance":{"instanceId":"1"}}}}"#;
        assert_eq!(List::read(one.as_bytes()).unwrap().given.len(), 1);
        let none = r#"{"applications":{"apps__hashcode":""}}"#;
        assert_eq!(List::read(none.as_bytes()).unwrap().given, []);
        for wrong in ["", "<a/>", "{}", r#"{"applications":[]}"#] {
            assert!(List::read(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
