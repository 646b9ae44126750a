//! Writes instances and lists of them, in JSON or XML: the members and their order are the same, and are here.

use super::json::Json;
use super::wire::{AMAZON_CLASS, EMPTY_MAP_CLASS, Info, Pairs, Port};
use super::xml::Xml;

/// What a list or an instance is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    Xml,
}

impl Format {
    /// As its content type.
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Xml => "application/xml",
        }
    }

    /// Instances of one app, as one of a list of apps.
    pub(super) fn application(self, app: &str, instances: &[Info<'_>]) -> String {
        match self {
            Self::Json => write_application::<Json>(app, instances),
            Self::Xml => write_application::<Xml>(app, instances),
        }
    }

    /// What is before the applications of a list.
    pub(super) fn head(self, version: u64, hash: &str) -> String {
        match self {
            Self::Json => format!(
                r#"{{"applications":{{"versions__delta":"{version}","apps__hashcode":"{hash}","application":["#
            ),
            Self::Xml => format!(
                "<applications><versions__delta>{version}</versions__delta><apps__hashcode>{hash}</apps__hashcode>"
            ),
        }
    }

    /// What is between two of them.
    pub(super) fn between(self) -> &'static str {
        match self {
            Self::Json => ",",
            Self::Xml => "",
        }
    }

    /// What is after them.
    pub(super) fn tail(self) -> &'static str {
        match self {
            Self::Json => "]}}",
            Self::Xml => "</applications>",
        }
    }

    /// One app by itself.
    pub(super) fn one_application(self, app: &str, instances: &[Info<'_>]) -> String {
        let application = self.application(app, instances);
        match self {
            Self::Json => format!(r#"{{"application":{application}}}"#),
            Self::Xml => application,
        }
    }

    /// One instance by itself.
    pub(super) fn one_instance(self, info: &Info<'_>) -> String {
        let mut text = String::new();
        match self {
            Self::Json => {
                text.push_str(r#"{"instance":"#);
                write_instance::<Json>(&mut text, info);
                text.push('}');
            }
            Self::Xml => write_instance::<Xml>(&mut text, info),
        }
        text
    }
}

/// How one of the two writes.
pub(super) trait Write {
    /// The name of the override's member: each has its own.
    const OVERRIDDEN: &'static str;

    /// Begins an instance.
    fn begin(out: &mut String) -> Self;
    /// Ends it.
    fn end(self, out: &mut String);
    /// A text.
    fn text(&mut self, out: &mut String, key: &str, value: &str);
    /// A number.
    fn number(&mut self, out: &mut String, key: &str, value: i64);
    /// A port.
    fn port(&mut self, out: &mut String, key: &str, port: Port);
    /// Begins an object, of a class.
    fn open(&mut self, out: &mut String, key: &str, class: Option<&str>);
    /// Ends it.
    fn close(&mut self, out: &mut String, key: &str);
    /// A key that somebody chose, and its value.
    fn pair(&mut self, out: &mut String, key: &str, value: &str);
    /// An app with its instances.
    fn application(app: &str, instances: impl FnOnce(&mut String)) -> String;
    /// What is between two instances.
    fn between() -> &'static str;
}

fn write_application<W: Write>(app: &str, instances: &[Info<'_>]) -> String {
    W::application(app, |out| {
        for (at, info) in instances.iter().enumerate() {
            if at > 0 {
                out.push_str(W::between());
            }
            write_instance::<W>(out, info);
        }
    })
}

fn write_instance<W: Write>(out: &mut String, info: &Info<'_>) {
    let mut w = W::begin(out);
    for (key, value) in [
        ("instanceId", &info.instance_id),
        ("hostName", &info.host_name),
        ("app", &info.app),
        ("ipAddr", &info.ip),
    ] {
        w.text(out, key, value);
    }
    w.text(out, "status", info.status.as_str());
    w.text(out, W::OVERRIDDEN, info.overridden.as_str());
    w.port(out, "port", info.port);
    w.port(out, "securePort", info.secure_port);
    w.number(out, "countryId", info.country_id);
    write_data_center(&mut w, out, info);
    write_lease(&mut w, out, info);
    write_map(&mut w, out, &info.metadata);
    for (key, value) in [
        ("appGroupName", &info.app_group),
        ("asgName", &info.asg),
        ("sid", &info.sid),
        ("homePageUrl", &info.home_page),
        ("statusPageUrl", &info.status_page),
        ("healthCheckUrl", &info.health_check),
        ("secureHealthCheckUrl", &info.secure_health_check),
        ("vipAddress", &info.vip),
        ("secureVipAddress", &info.secure_vip),
    ] {
        if let Some(value) = value {
            w.text(out, key, value);
        }
    }
    w.text(out, "isCoordinatingDiscoveryServer", if info.coordinating { "true" } else { "false" });
    w.text(out, "lastUpdatedTimestamp", &info.last_updated.to_string());
    w.text(out, "lastDirtyTimestamp", &info.last_dirty.to_string());
    w.text(out, "actionType", info.action.as_str());
    w.end(out);
}

fn write_data_center<W: Write>(w: &mut W, out: &mut String, info: &Info<'_>) {
    let center = &info.data_center;
    w.open(out, "dataCenterInfo", Some(center.class()));
    w.text(out, "name", &center.name);
    if center.class() == AMAZON_CLASS {
        write_map(w, out, &center.metadata);
    }
    w.close(out, "dataCenterInfo");
}

fn write_lease<W: Write>(w: &mut W, out: &mut String, info: &Info<'_>) {
    let lease = &info.lease;
    let time = |unix_ms: u64| i64::try_from(unix_ms).unwrap_or(i64::MAX);
    w.open(out, "leaseInfo", None);
    for (key, value) in [
        ("renewalIntervalInSecs", i64::from(lease.interval_secs)),
        ("durationInSecs", i64::from(lease.duration_secs)),
        ("registrationTimestamp", time(lease.registered)),
        ("lastRenewalTimestamp", time(lease.renewed)),
        ("evictionTimestamp", 0),
        ("serviceUpTimestamp", time(lease.up_since)),
    ] {
        w.number(out, key, value);
    }
    w.close(out, "leaseInfo");
}

/// A map of metadata, with the mark of an empty one, without which clients in Java do not read it.
fn write_map<W: Write>(w: &mut W, out: &mut String, pairs: &Pairs<'_>) {
    w.open(out, "metadata", pairs.is_empty().then_some(EMPTY_MAP_CLASS));
    for (key, value) in pairs {
        w.pair(out, key, value);
    }
    w.close(out, "metadata");
}
