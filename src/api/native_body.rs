//! The bodies of the native API's writes: from JSON to values that are valid.

use std::borrow::Cow;
use std::net::IpAddr;

use serde::Deserialize;
use utoipa::ToSchema;

use super::json::{Members, or_null};
use super::problem::{Problem, shown};
use crate::config::{Config, Lease};
use crate::registry::{
    Body, Declared, Invalid, LeaseTerm, Origin, Override, PortName, Protocol, State, Tag, Texts,
};

/// Renewals that one request may hold: a host's worth, done in a few milliseconds.
pub const MAX_RENEWALS: usize = 10_000;
/// Octets of a body of renewals at most: so many with 200 octets each.
pub const MAX_RENEWALS_OCTETS: usize = 2 * 1024 * 1024;

/// What a registration may say.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Registration {
    addresses: Option<Vec<String>>,
    #[schema(minimum = 1)]
    port: u16,
    protocol: Option<String>,
    #[schema(value_type = Option<BTreeMap<String, u16>>)]
    ports: Option<Members<u16>>,
    /// Seconds; null: without end.
    #[serde(default, deserialize_with = "or_null")]
    #[schema(value_type = Option<u32>)]
    lease_secs: Option<Option<i64>>,
    tags: Option<Vec<String>>,
    version: Option<String>,
    weight: Option<u16>,
    priority: Option<u16>,
    #[schema(value_type = Option<BTreeMap<String, String>>)]
    meta: Option<Members<String>>,
    state: Option<String>,
}

/// What a declaration of a state, or an override, may say.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Declaration {
    state: String,
    reason: Option<String>,
}

/// The longest time after which an override ends by itself, in seconds: 30 days. What has to last longer has no end.
pub(super) const MAX_OVERRIDE_SECS: u32 = 2_592_000;

/// What an override may say.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OverrideBody {
    state: String,
    reason: Option<String>,
    expires_in_secs: Option<i64>,
}

/// Leases to renew: service and id of each.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Renewals<'a> {
    #[serde(borrow)]
    #[schema(value_type = Vec<[String; 2]>)]
    instances: Vec<(Text<'a>, Text<'a>)>,
}

/// Text as it lies in the request, unless it is written with escapes.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub(super) struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl AsRef<str> for Text<'_> {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Registration {
    /// The body with every default resolved, and the state if one is given. `caller` is who asks, and
    /// `max_lease_secs` its longest lease, if it has a bound of its own.
    pub(super) fn resolve(
        self,
        caller: IpAddr,
        max_lease_secs: Option<u32>,
        config: &Config,
    ) -> Result<(Body, Option<State>), Problem> {
        let addresses = match &self.addresses {
            Some(texts) => texts.iter().enumerate().map(address).collect::<Result<_, _>>()?,
            None => vec![callers_address(caller, config)?].into(),
        };
        let version = self.version.map(|text| Tag::parse("version", &text)).transpose()?;
        let tags = tags(&self.tags.unwrap_or_default())?;
        let body = Body {
            addresses,
            port: self.port,
            protocol: self
                .protocol
                .map_or(Ok(Protocol::default()), |text| Protocol::parse(&text))?,
            ports: self.ports.unwrap_or_default().0.iter().map(port).collect::<Result<_, _>>()?,
            lease: lease(self.lease_secs, config.lease.within(max_lease_secs))?,
            texts: Texts::new(version.as_ref(), tags, self.meta.unwrap_or_default().0)?,
            weight: self.weight.unwrap_or(1),
            priority: self.priority.unwrap_or(0),
            origin: Origin::default(),
        };
        let state = self.state.map(|text| State::parse(&text)).transpose()?;
        Ok((body.checked()?, state))
    }
}

impl Declaration {
    pub(super) fn resolve(self) -> Result<Declared, Invalid> {
        Declared::parse(State::parse(&self.state)?, self.reason.as_deref().unwrap_or_default())
    }
}

impl OverrideBody {
    pub(super) fn resolve(self, now_unix_ms: u64) -> Result<Override, Invalid> {
        let reason = self.reason.as_deref().unwrap_or_default();
        let declared = Declared::parse(State::parse(&self.state)?, reason)?;
        let until_unix_ms =
            self.expires_in_secs.map(|secs| end_of(secs, now_unix_ms)).transpose()?;
        Ok(Override { declared, until_unix_ms })
    }
}

/// When an override ends that lasts so many seconds.
pub(super) fn end_of(secs: i64, now_unix_ms: u64) -> Result<u64, Invalid> {
    match u32::try_from(secs) {
        Ok(secs) if (1..=MAX_OVERRIDE_SECS).contains(&secs) => {
            Ok(now_unix_ms.saturating_add(u64::from(secs) * 1000))
        }
        _ => {
            let reason = format!("{secs} must be 1 to {MAX_OVERRIDE_SECS}, or left out for no end");
            Err(Invalid::new("expires_in_secs", reason))
        }
    }
}

impl<'a> Renewals<'a> {
    pub(super) fn resolve(self) -> Result<Vec<(Text<'a>, Text<'a>)>, Invalid> {
        let count = self.instances.len();
        if count > MAX_RENEWALS {
            let reason = format!("has {count} items, may have {MAX_RENEWALS}: send several lists");
            return Err(Invalid::new("instances", reason));
        }
        Ok(self.instances)
    }
}

fn address((at, text): (usize, &String)) -> Result<IpAddr, Invalid> {
    text.parse().map_err(|_| {
        let reason = format!("`{}` is not an IPv4 or IPv6 address", shown(text));
        Invalid::new(format!("addresses[{at}]"), reason)
    })
}

fn tags(texts: &[String]) -> Result<Vec<Tag>, Invalid> {
    let parsed =
        texts.iter().enumerate().map(|(at, text)| Tag::parse(&format!("tags[{at}]"), text));
    parsed.collect()
}

fn port((name, number): &(String, u16)) -> Result<(PortName, u16), Invalid> {
    Ok((PortName::parse(&format!("ports.{}", shown(name)), name)?, *number))
}

/// The address that the request comes from. A loopback address is of use to nobody elsewhere, so it is taken
/// only where nobody elsewhere can ask.
fn callers_address(caller: IpAddr, config: &Config) -> Result<IpAddr, Invalid> {
    let caller = caller.to_canonical();
    if caller.is_loopback() && config.dns.listen.iter().any(|listen| !listen.ip().is_loopback()) {
        let reason = format!(
            "is missing, and {caller}, where this request comes from, would mean nothing to other \
             machines that ask: give the address at which the instance is reached"
        );
        return Err(Invalid::new("addresses", reason));
    }
    Ok(caller)
}

fn lease(given: Option<Option<i64>>, bounds: Lease) -> Result<LeaseTerm, Invalid> {
    let secs = match given {
        None => return Ok(LeaseTerm::Secs(bounds.default_secs)),
        Some(None) => return Ok(LeaseTerm::Endless),
        Some(Some(secs)) => secs,
    };
    match u32::try_from(secs) {
        Ok(secs) if (bounds.min_secs..=bounds.max_secs).contains(&secs) => {
            Ok(LeaseTerm::Secs(secs))
        }
        _ => {
            let Lease { min_secs, max_secs, .. } = bounds;
            let reason = format!("{secs} must be {min_secs} to {max_secs}, or null for no end");
            Err(Invalid::new("lease_secs", reason))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::json;
    use super::super::tests::config;
    use super::*;

    const CALLER: &str = "192.0.2.1";

    fn resolve(text: &str, caller: &str, dns: &str) -> Result<(Body, Option<State>), Problem> {
        let caller = caller.parse().unwrap();
        json::read::<Registration>(text.as_bytes())?.resolve(caller, None, &config(dns))
    }

    #[test]
    fn only_the_port_is_required() {
        let expected = Body::new(CALLER.parse().unwrap(), 8080, LeaseTerm::Secs(30));
        for text in [
            r#"{"port":8080}"#,
            r#"{"port":8080,"addresses":null,"protocol":null,"ports":null,"tags":null,
                "version":null,"weight":null,"priority":null,"meta":null,"state":null}"#,
        ] {
            let resolved = resolve(text, CALLER, "0.0.0.0:53");
            assert_eq!(resolved, Ok((expected.clone(), None)), "{text}");
        }
    }

    #[test]
    fn everything_can_be_said() {
        let text = r#"{"addresses":["10.0.0.5","fd00::5"],"port":8080,"protocol":"udp",
            "ports":{"metrics":9090,"admin":9091},"lease_secs":3600,"tags":["blue","amber"],
            "version":"2.1.0","weight":0,"priority":7,"meta":{"b":"2","a":"1"},"state":"draining"}"#;
        let expected = Body {
            addresses: ["10.0.0.5", "fd00::5"].iter().map(|a| a.parse().unwrap()).collect(),
            port: 8080,
            protocol: Protocol::Udp,
            ports: [("admin", 9091), ("metrics", 9090)]
                .map(|(name, port)| (PortName::parse("", name).unwrap(), port))
                .into(),
            lease: LeaseTerm::Secs(3600),
            texts: Texts::stored(Some("2.1.0"), "amber\nblue", "a\n1\nb\n2").unwrap(),
            weight: 0,
            priority: 7,
            origin: Origin::default(),
        };
        assert_eq!(resolve(text, CALLER, "0.0.0.0:53"), Ok((expected, Some(State::Draining))));
    }

    #[test]
    fn a_wrong_value_is_named() {
        for (text, field, detail) in [
            (r#"{"port":0}"#, "port", "must be 1 to 65535"),
            (
                r#"{"port":1,"lease_secs":1}"#,
                "lease_secs",
                "1 must be 2 to 86400, or null for no end",
            ),
            (
                r#"{"port":1,"lease_secs":-30}"#,
                "lease_secs",
                "-30 must be 2 to 86400, or null for no end",
            ),
            (
                r#"{"port":1,"lease_secs":4294967298}"#,
                "lease_secs",
                "4294967298 must be 2 to 86400, or null for no end",
            ),
            (
                r#"{"port":1,"addresses":["10.0.0.1","10.0.0.1:80"]}"#,
                "addresses[1]",
                "`10.0.0.1:80` is not an IPv4 or IPv6 address",
            ),
            (r#"{"port":1,"addresses":[]}"#, "addresses", "must not be empty"),
            (r#"{"port":1,"protocol":"sctp"}"#, "protocol", "`sctp` must be one of `tcp`, `udp`"),
            (r#"{"port":1,"state":"UP"}"#, "state", "`UP` must be one of `up`, `draining`, `down`"),
            (r#"{"port":1,"ports":{"a":1,"a":1}}"#, "ports.a", "is given twice"),
            (r#"{"port":1,"ports":{"A":1}}"#, "ports.A", "`A` must be lower case: `a`"),
            (r#"{"port":1,"meta":{"k":"1","k":"2"}}"#, "meta.k", "is given twice"),
            (r#"{"port":1,"tags":["a",""]}"#, "tags[1]", "has 0 octets, must have 1 to 255"),
            (r#"{"port":1,"leases":5}"#, "leases", {
                "there is no field `leases`: did you mean `lease_secs`?"
            }),
        ] {
            let problem = resolve(text, CALLER, "127.0.0.1:53").unwrap_err();
            assert_eq!(problem, Problem::field(field, detail), "{text}");
        }
    }

    #[test]
    fn a_lease_may_have_no_end() {
        let (body, _) = resolve(r#"{"port":1,"lease_secs":null}"#, CALLER, "127.0.0.1:53").unwrap();
        assert_eq!(body.lease, LeaseTerm::Endless);
    }

    #[test]
    fn a_loopback_caller_says_where_it_is_reached() {
        let address = |caller, dns| {
            resolve(r#"{"port":1}"#, caller, dns).map(|(body, _)| body.addresses[0].to_string())
        };
        assert_eq!(address("127.0.0.1", "127.0.0.1:53"), Ok("127.0.0.1".into()));
        assert_eq!(address("::ffff:192.0.2.7", "[::]:53"), Ok("192.0.2.7".into()));
        for caller in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
            let problem = address(caller, "0.0.0.0:53").unwrap_err();
            assert_eq!((problem.status.as_u16(), problem.field.as_deref()), {
                (422, Some("addresses"))
            });
        }
        let given = r#"{"port":1,"addresses":["10.0.0.1"]}"#;
        assert!(resolve(given, "127.0.0.1", "0.0.0.0:53").is_ok());
    }

    #[test]
    fn a_declaration_has_a_state_and_perhaps_a_reason() {
        let read =
            |text: &str| Ok::<_, Problem>(json::read::<Declaration>(text.as_bytes())?.resolve()?);
        assert_eq!(
            read(r#"{"state":"draining","reason":"deploy 42"}"#),
            Ok(Declared { state: State::Draining, reason: "deploy 42".into() })
        );
        assert_eq!(
            read(r#"{"state":"down"}"#),
            Ok(Declared { state: State::Down, reason: "".into() })
        );
        let field = |text: &str| read(text).unwrap_err().field.unwrap();
        assert_eq!(field(r#"{"reason":"x"}"#), "state");
        assert_eq!(field(r#"{"state":"gone"}"#), "state");
        assert_eq!(field(&format!(r#"{{"state":"up","reason":"{}"}}"#, "x".repeat(256))), "reason");
        assert_eq!(field(r#"{"state":"up","why":"x"}"#), "why");
    }

    #[test]
    fn renewals_are_pairs_and_not_too_many() {
        fn read(text: &str) -> Result<Vec<(Text<'_>, Text<'_>)>, Problem> {
            Ok(json::read::<Renewals>(text.as_bytes())?.resolve()?)
        }
        let pair = |id: &'static str| (Text("web".into()), Text(id.into()));
        let named = read(r#"{"instances":[["web","web-1"],["web","b\/c\u0020d"]]}"#).unwrap();
        assert_eq!(named, [pair("web-1"), pair("b/c d")]);
        assert!(matches!(named[0].1.0, Cow::Borrowed(_)), "nothing is copied");
        let list =
            |count| format!(r#"{{"instances":[{}]}}"#, vec![r#"["a","b"]"#; count].join(","));
        assert_eq!(read(&list(MAX_RENEWALS)).unwrap().len(), MAX_RENEWALS);
        assert_eq!(
            read(&list(MAX_RENEWALS + 1)),
            Err(Problem::field("instances", "has 10001 items, may have 10000: send several lists"))
        );
        let short = read(r#"{"instances":[["web","web-1"],["web"]]}"#).unwrap_err();
        assert_eq!((short.status.as_u16(), short.field.as_deref()), (422, Some("instances[1]")));
    }
}
