//! Reads what clients send of an instance: leniently, as each of them writes it.
//!
//! A body in XML is first brought into the shape that JSON has ([`xml::read`]), so there is one reader: numbers and booleans
//! may be texts and the reverse, and what is not known is left.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::wire::{Action, DataCenter, Info, Lease, Pairs, Port, Status};
use super::xml;
use crate::registry::Invalid;

/// Metadata that an instance may have at most; what it says altogether is bounded by the registry.
const MAX_PAIRS: usize = 512;

/// The instance that a body is.
pub(super) fn instance(content_type: Option<&str>, body: &[u8]) -> Result<Info<'static>, Invalid> {
    let value = document(content_type, body)?;
    let object = value.get("instance").unwrap_or(&value).as_object();
    info(object.ok_or_else(|| Invalid::new("instance", "is missing from the body"))?)
}

/// A body as a tree, by its content type or, without one that tells, by its first character.
fn document(content_type: Option<&str>, body: &[u8]) -> Result<Value, Invalid> {
    let is_xml = match content_type {
        Some(given) if given.contains("json") => false,
        Some(given) if given.contains("xml") => true,
        _ => body.trim_ascii_start().first() == Some(&b'<'),
    };
    if is_xml {
        return xml::read(body).map_err(|reason| Invalid::new("body", reason));
    }
    serde_json::from_slice(body).map_err(|error| Invalid::new("body", format!("no JSON: {error}")))
}

/// What another server hands on, or a client says, of an instance.
pub(super) fn info(object: &Map<String, Value>) -> Result<Info<'static>, Invalid> {
    let text = |key: &str| object.get(key).and_then(scalar).map(Cow::Owned);
    let required = |key: &str| {
        text(key)
            .filter(|text: &Cow<'_, str>| !text.trim().is_empty())
            .ok_or_else(|| Invalid::new(key, "must not be empty"))
    };
    let host_name = required("hostName")?;
    let status = match text("status") {
        None => Status::Up,
        Some(word) => Status::parse(&word).unwrap_or(Status::Unknown),
    };
    let overridden = text("overriddenStatus").or_else(|| text("overriddenstatus"));
    Ok(Info {
        instance_id: text("instanceId")
            .filter(|id| !id.is_empty())
            .unwrap_or_else(|| host_name.clone()),
        app: required("app")?.to_uppercase().into(),
        ip: required("ipAddr")?,
        host_name,
        app_group: text("appGroupName"),
        asg: text("asgName"),
        sid: text("sid").filter(|sid| sid != "na"),
        status,
        overridden: overridden.and_then(|word| Status::parse(&word)).unwrap_or(Status::Unknown),
        port: port(object, "port", Port(7001, true)),
        secure_port: port(object, "securePort", Port(7002, false)),
        country_id: number(object, "countryId").unwrap_or(1),
        data_center: data_center(object)?,
        lease: lease(object),
        metadata: pairs(object.get("metadata"))?,
        home_page: text("homePageUrl"),
        status_page: text("statusPageUrl"),
        health_check: text("healthCheckUrl"),
        secure_health_check: text("secureHealthCheckUrl"),
        vip: text("vipAddress"),
        secure_vip: text("secureVipAddress"),
        coordinating: object.get("isCoordinatingDiscoveryServer").is_some_and(is_true),
        last_updated: number(object, "lastUpdatedTimestamp").unwrap_or(0),
        last_dirty: number(object, "lastDirtyTimestamp").unwrap_or(0),
        action: Action::Added,
    })
}

fn data_center(object: &Map<String, Value>) -> Result<DataCenter<'static>, Invalid> {
    let given = object.get("dataCenterInfo");
    let name = given.and_then(|given| given.get("name")).and_then(scalar);
    let name = name.filter(|name| !name.trim().is_empty());
    let name = name.ok_or_else(|| Invalid::new("dataCenterInfo.name", "must not be empty"))?;
    Ok(DataCenter {
        metadata: pairs(given.and_then(|given| given.get("metadata")))?,
        name: name.into(),
    })
}

fn lease(object: &Map<String, Value>) -> Lease {
    let Some(given) = object.get("leaseInfo").and_then(Value::as_object) else {
        return Lease::default();
    };
    Lease {
        interval_secs: number(given, "renewalIntervalInSecs").unwrap_or(0),
        duration_secs: number(given, "durationInSecs").unwrap_or(0),
        up_since: number(given, "serviceUpTimestamp").unwrap_or(0),
        ..Lease::default()
    }
}

/// A map of texts, without the mark of its class.
fn pairs(value: Option<&Value>) -> Result<Pairs<'static>, Invalid> {
    let Some(object) = value.and_then(Value::as_object) else { return Ok(Vec::new()) };
    let pairs: Pairs<'static> = object
        .iter()
        .filter(|(key, _)| *key != "@class" && !key.is_empty())
        .filter_map(|(key, value)| Some((key.clone().into(), scalar(value)?.into())))
        .collect();
    match pairs.len() {
        0..=MAX_PAIRS => Ok(pairs),
        count => Err(Invalid::new("metadata", format!("has {count} items, may have {MAX_PAIRS}"))),
    }
}

/// `{"$":8080,"@enabled":"true"}`, or a bare number.
fn port(object: &Map<String, Value>, key: &str, default: Port) -> Port {
    let Some(given) = object.get(key) else { return default };
    let (port, enabled) = match given.as_object() {
        Some(given) => (given.get("$"), given.get("@enabled")),
        None => (Some(given), None),
    };
    let port = port.and_then(scalar).and_then(|text| text.trim().parse().ok()).unwrap_or(0);
    Port(port, enabled.map_or(default.1, is_true))
}

fn number<T: std::str::FromStr>(object: &Map<String, Value>, key: &str) -> Option<T> {
    scalar(object.get(key)?)?.trim().parse().ok()
}

fn is_true(value: &Value) -> bool {
    scalar(value).is_some_and(|text| text.trim().eq_ignore_ascii_case("true"))
}

/// A text, or what is as good as one.
pub(super) fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        // An element of XML with attributes has its text beside them.
        Value::Object(object) => {
            object.get("$").filter(|value| !value.is_object()).and_then(scalar)
        }
        Value::Null | Value::Array(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the client for Node sends it.
    const FROM_NODE: &str = r#"{"instance":{"app":"js-svc","hostName":"localhost","ipAddr":"127.0.0.1",
        "port":{"$":9292,"@enabled":true},"vipAddress":"js-svc","status":"UP","unknown":{"x":[1]},
        "dataCenterInfo":{"@class":"com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo","name":"MyOwn"}}}"#;

    #[test]
    fn little_is_enough() {
        let info = instance(Some("application/json"), FROM_NODE.as_bytes()).unwrap();
        assert_eq!((&*info.instance_id, &*info.app), ("localhost", "JS-SVC"));
        assert_eq!((info.port, info.secure_port), (Port(9292, true), Port(7002, false)));
        assert_eq!((info.status, info.overridden), (Status::Up, Status::Unknown));
        assert_eq!((info.lease, info.last_dirty, info.metadata.len()), (Lease::default(), 0, 0));
        assert!(!info.data_center.is_amazon() && info.home_page.is_none());
    }

    #[test]
    fn numbers_and_texts_are_taken_for_each_other() {
        let text = r#"{"instance":{"instanceId":"i","app":"A","hostName":"h","ipAddr":"10.0.0.1","status":"down",
            "overriddenstatus":"OUT_OF_SERVICE","port":{"$":"80","@enabled":"false"},"securePort":{"$":"443","@enabled":"true"},
            "leaseInfo":{"renewalIntervalInSecs":"5","durationInSecs":15},"lastDirtyTimestamp":"17","countryId":"2",
            "isCoordinatingDiscoveryServer":"true","metadata":{"@class":"x","n":1,"t":true,"s":"x"},
            "dataCenterInfo":{"name":"Amazon","metadata":{"availability-zone":"us-east-1a"}}}}"#;
        let info = instance(None, text.as_bytes()).unwrap();
        assert_eq!((info.port, info.secure_port), (Port(80, false), Port(443, true)));
        assert_eq!((info.status, info.overridden), (Status::Down, Status::OutOfService));
        assert_eq!((info.lease.interval_secs, info.lease.duration_secs), (5, 15));
        assert_eq!((info.last_dirty, info.country_id, info.coordinating), (17, 2, true));
        let metadata: Vec<_> = info.metadata.iter().map(|(k, v)| (&**k, &**v)).collect();
        assert_eq!(metadata, [("n", "1"), ("s", "x"), ("t", "true")]);
        assert_eq!(info.data_center.metadata[0].1, "us-east-1a");
    }

    #[test]
    fn what_is_missing_is_named() {
        let without = |key: &str| {
            let mut value: Value = serde_json::from_str(FROM_NODE).unwrap();
            value["instance"].as_object_mut().unwrap().remove(key);
            instance(None, value.to_string().as_bytes()).unwrap_err().field
        };
        for key in ["hostName", "app", "ipAddr"] {
            assert_eq!(without(key), key);
        }
        assert_eq!(without("dataCenterInfo"), "dataCenterInfo.name");
        for (body, field) in [("", "body"), ("[]", "instance"), ("{", "body"), ("<a", "body")] {
            assert_eq!(instance(None, body.as_bytes()).unwrap_err().field, field, "{body}");
        }
    }
}
