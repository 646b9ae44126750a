//! What the native API shows: instances, services, and long lists page by page.

use std::fmt::Write as _;
use std::net::IpAddr;

use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use utoipa::{IntoParams, ToSchema};

use super::eureka;
use super::guard::unix_ms;
use super::problem::Problem;
use crate::config::Config;
use crate::registrar::{Committed, Listed, Summary};
use crate::registry::{Instance, Override};

/// Items of a page at most, and if the request names no number.
pub const MAX_PAGE: usize = 1000;

/// Which page of a list is asked for.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PageQuery {
    /// Items of the page: 1 to 1000.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u64>,
    /// The page begins after this one.
    after: Option<String>,
}

/// A page: so many items after this one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Page {
    limit: usize,
    pub(super) after: Option<String>,
}

impl PageQuery {
    pub(super) fn resolve(self) -> Result<Page, Problem> {
        let limit = match self.limit {
            None => Some(MAX_PAGE),
            Some(limit) => {
                usize::try_from(limit).ok().filter(|limit| (1..=MAX_PAGE).contains(limit))
            }
        };
        let limit =
            limit.ok_or_else(|| Problem::field("limit", format!("must be 1 to {MAX_PAGE}")))?;
        Ok(Page { limit, after: self.after })
    }
}

impl Page {
    /// How many items to fetch: one more than is shown, which says whether more remain.
    pub(super) fn fetch(&self) -> usize {
        self.limit + 1
    }

    /// Cuts what was fetched to the page, and says where the next one is: at `path`, after the last key.
    pub(super) fn cut<T>(
        &self,
        items: &mut Vec<T>,
        path: &str,
        key: impl Fn(&T) -> &str,
    ) -> Option<String> {
        if items.len() <= self.limit {
            return None;
        }
        items.truncate(self.limit);
        let last = items.last().map(key).unwrap_or_default();
        Some(format!("{path}?limit={}&after={}", self.limit, percent_encoded(last)))
    }
}

/// Text as part of a URL's path or query: everything but unreserved characters encoded (RFC 3986, section 2.3).
pub(super) fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for octet in text.bytes() {
        if octet.is_ascii_alphanumeric() || b"-._~".contains(&octet) {
            encoded.push(char::from(octet));
        } else {
            let _ = write!(encoded, "%{octet:02X}");
        }
    }
    encoded
}

/// `L.S.Z` of an instance, in the first zone: an absolute name, with the final dot.
fn name(instance: &Instance, config: &Config) -> String {
    let zone = config.dns.zones.first().map(String::as_str).unwrap_or_default();
    format!("{}.{}.{zone}", instance.label, instance.service)
}

/// The reply to a registration.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RegisteredView<'a> {
    service: &'a str,
    id: &'a str,
    label: &'a str,
    name: String,
    lease_secs: Option<u32>,
    expires_in_ms: Option<u64>,
    revision: u64,
}

impl<'a> RegisteredView<'a> {
    pub(super) fn new(instance: &'a Instance, committed: &Committed, config: &Config) -> Self {
        Self {
            service: instance.service.as_str(),
            id: instance.id.as_str(),
            label: instance.label.as_str(),
            name: name(instance, config),
            lease_secs: instance.body.lease.secs(),
            expires_in_ms: committed.expires_in_ms,
            revision: instance.revision,
        }
    }
}

/// An instance with everything that is known of it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct InstanceView<'a> {
    service: &'a str,
    id: &'a str,
    label: &'a str,
    name: String,
    #[schema(value_type = Vec<String>)]
    addresses: &'a [IpAddr],
    port: u16,
    protocol: &'static str,
    #[serde(serialize_with = "as_object")]
    #[schema(value_type = BTreeMap<String, u16>)]
    ports: Vec<(&'a str, u16)>,
    lease_secs: Option<u32>,
    expires_in_ms: Option<u64>,
    tags: Vec<&'a str>,
    version: Option<&'a str>,
    weight: u16,
    priority: u16,
    #[serde(serialize_with = "as_object")]
    #[schema(value_type = BTreeMap<String, String>)]
    meta: Vec<(&'a str, &'a str)>,
    state: &'static str,
    state_reason: &'a str,
    r#override: Option<OverrideView<'a>>,
    health: &'static str,
    answering: bool,
    why: String,
    standing: &'static str,
    /// By which door it was registered.
    origin: &'a str,
    /// The registry that it is copied from; not there: it registered here.
    #[serde(skip_serializing_if = "Option::is_none")]
    mirrored_from: Option<String>,
    /// Whose it is; not there: nobody's.
    #[serde(skip_serializing_if = "str::is_empty")]
    owner: &'static str,
    registered_unix_ms: u64,
    changed_unix_ms: u64,
    revision: u64,
}

#[derive(Debug, Serialize, ToSchema)]
struct OverrideView<'a> {
    state: &'static str,
    reason: &'a str,
    /// Until it ends by itself; not there: somebody has to end it.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_in_ms: Option<u64>,
}

impl<'a> OverrideView<'a> {
    fn new(set: &'a Override, now_unix_ms: u64) -> Self {
        let expires_in_ms = set.until_unix_ms.map(|until| until.saturating_sub(now_unix_ms));
        Self { state: set.declared.state.as_str(), reason: &set.declared.reason, expires_in_ms }
    }
}

impl<'a> InstanceView<'a> {
    pub(super) fn new(listed: &'a Listed, config: &Config) -> Self {
        Self::with(listed, listed.answering(), config)
    }

    fn with(listed: &'a Listed, (answering, why): (bool, String), config: &Config) -> Self {
        let instance = &*listed.instance;
        let body = &instance.body;
        Self {
            service: instance.service.as_str(),
            id: instance.id.as_str(),
            label: instance.label.as_str(),
            name: name(instance, config),
            addresses: &body.addresses,
            port: body.port,
            protocol: body.protocol.as_str(),
            ports: body.ports.iter().map(|(name, port)| (name.as_str(), *port)).collect(),
            lease_secs: body.lease.secs(),
            expires_in_ms: listed.expires_in_ms,
            tags: body.texts.tags().collect(),
            version: body.texts.version(),
            weight: body.weight,
            priority: body.priority,
            meta: body.texts.meta().collect(),
            state: instance.declared.state.as_str(),
            state_reason: &instance.declared.reason,
            r#override: instance.override_.as_deref().map(|set| OverrideView::new(set, unix_ms())),
            // There are no active checks yet.
            health: "unchecked",
            answering,
            why,
            standing: listed.standing.as_str(),
            origin: body.origin.door(),
            mirrored_from: eureka::mirrored_from(instance),
            owner: instance.owner.name(),
            registered_unix_ms: instance.registered_unix_ms,
            changed_unix_ms: instance.changed_unix_ms,
            revision: instance.revision,
        }
    }
}

fn as_object<S: Serializer, V: Serialize>(
    members: &[(&str, V)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut object = serializer.serialize_map(Some(members.len()))?;
    for (key, value) in members {
        object.serialize_entry(key, value)?;
    }
    object.end()
}

/// A page of a service's instances.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ServiceView<'a> {
    pub(super) service: &'a str,
    /// What has happened up to here is in it: from where to watch.
    pub(super) revision: u64,
    pub(super) instances: Vec<InstanceView<'a>>,
    pub(super) next: Option<String>,
}

/// A page of the services.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ServicesView<'a> {
    /// What has happened up to here is in it: from where to watch.
    pub(super) revision: u64,
    pub(super) services: Vec<SummaryView<'a>>,
    pub(super) next: Option<String>,
}

/// A service with its counts.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SummaryView<'a> {
    service: &'a str,
    instances: usize,
    answering: usize,
}

impl<'a> SummaryView<'a> {
    pub(super) fn new(summary: &'a Summary) -> Self {
        let Summary { service, instances, answering } = summary;
        Self { service: service.as_str(), instances: *instances, answering: *answering }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{config, instance};
    use super::*;
    use crate::registrar::Standing;
    use crate::registry::{Declared, Outcome, State};

    #[test]
    fn an_instance_is_shown_whole() {
        let config = config("127.0.0.1:53");
        let mut full = instance();
        full.override_ =
            Some(Override::endless(Declared::parse(State::Down, "broken disk").unwrap()).into());
        let listed = Listed {
            instance: full.into(),
            expires_in_ms: Some(28_000),
            standing: Standing::Suspect,
        };
        let view = InstanceView::with(&listed, (false, "its override says down".into()), &config);
        assert_eq!(
            serde_json::to_string(&view).unwrap(),
            concat!(
                r#"{"service":"web","id":"Web 1","label":"web-1-a235d79c","#,
                r#""name":"web-1-a235d79c.web.svc.internal.","addresses":["10.0.0.5","fd00::5"],"#,
                r#""port":8080,"protocol":"tcp","ports":{"metrics":9090},"lease_secs":30,"#,
                r#""expires_in_ms":28000,"tags":["blue"],"version":"2.1.0","weight":1,"#,
                r#""priority":0,"meta":{"a":"1"},"state":"draining","state_reason":"deploy 42","#,
                r#""override":{"state":"down","reason":"broken disk"},"health":"unchecked","#,
                r#""answering":false,"why":"its override says down","standing":"suspect","origin":"native","#,
                r#""registered_unix_ms":1,"changed_unix_ms":2,"revision":3}"#
            )
        );
    }

    #[test]
    fn what_is_not_there_is_null() {
        let config = config("127.0.0.1:53");
        let mut bare = instance();
        let address = bare.body.addresses[0];
        bare.body = crate::registry::Body::new(address, 1, crate::registry::LeaseTerm::Endless);
        let listed =
            Listed { instance: bare.into(), expires_in_ms: None, standing: Standing::Live };
        let view = InstanceView::with(&listed, (true, "up".into()), &config);
        let shown: serde_json::Value = serde_json::to_value(&view).unwrap();
        for field in ["lease_secs", "expires_in_ms", "version", "override"] {
            assert_eq!(shown.get(field), Some(&serde_json::Value::Null), "{field}");
        }
    }

    #[test]
    fn a_registration_is_answered_with_its_name() {
        let instance = instance();
        let outcome = Outcome { instance: None, created: true, changes: Vec::new() };
        let committed = Committed { outcome, expires_in_ms: Some(30_000), revision: 9 };
        let view = RegisteredView::new(&instance, &committed, &config("127.0.0.1:53"));
        assert_eq!(
            serde_json::to_string(&view).unwrap(),
            concat!(
                r#"{"service":"web","id":"Web 1","label":"web-1-a235d79c","#,
                r#""name":"web-1-a235d79c.web.svc.internal.","lease_secs":30,"#,
                r#""expires_in_ms":30000,"revision":3}"#
            )
        );
    }

    #[test]
    fn pages_are_followed_to_the_end() {
        let all: Vec<String> = (0..2500).map(|at| format!("id {at:04}")).collect();
        let fetch = |after: Option<&str>, limit: usize| -> Vec<String> {
            all.iter().filter(|id| Some(id.as_str()) > after).take(limit).cloned().collect()
        };
        for (limit, pages) in [(None, 3), (Some(1000), 3), (Some(500), 5), (Some(2), 1250)] {
            let (mut seen, mut after, mut count) = (Vec::new(), None, 0);
            loop {
                let page = PageQuery { limit, after }.resolve().unwrap();
                let mut items = fetch(page.after.as_deref(), page.fetch());
                let next = page.cut(&mut items, "/list", |id| id);
                seen.append(&mut items);
                count += 1;
                let Some(next) = next else { break };
                let uri = next.parse().unwrap();
                after = super::super::json::read_query::<PageQuery>(&uri).unwrap().after;
            }
            assert_eq!((seen == all, count), (true, pages), "{limit:?}");
        }
    }

    #[test]
    fn the_next_page_is_a_url() {
        let page = Page { limit: 1, after: None };
        let next = page.cut(&mut vec!["a/b é&=+%", "c"], "/x", |id| id);
        assert_eq!(next.as_deref(), Some("/x?limit=1&after=a%2Fb%20%C3%A9%26%3D%2B%25"));
        assert_eq!(page.cut(&mut vec!["a"], "/x", |id| id), None);
    }

    #[test]
    fn limits_are_checked() {
        for limit in [0, 1001, u64::MAX] {
            let problem = PageQuery { limit: Some(limit), after: None }.resolve().unwrap_err();
            assert_eq!(problem, Problem::field("limit", "must be 1 to 1000"));
        }
    }
}
