//! Which call a request is: its path and query, as leniently as clients write them.
//!
//! Paths begin with `/eureka/`, `/eureka/v2/` or `/v2/`. Slashes may be doubled, and one may be at the end. Ids come percent-encoded, apps
//! in any case.

use axum::http::{Method, Uri};

use super::wire::Status;
use crate::api::percent;

/// What a client wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Call {
    /// All instances.
    Apps,
    /// What has changed lately.
    Delta,
    /// The instances of an app.
    App(String),
    /// One instance of an app.
    Instance(Named),
    /// One instance, whatever its app.
    AnyInstance(String),
    /// The instances with a vip address.
    Vip(String),
    /// The instances with a secure vip address.
    SecureVip(String),
    /// Register an instance of an app.
    Register(String),
    /// Renew a lease.
    Renew(Named, Stamp),
    /// Set a status above the instance's own.
    SetStatus(Named, StatusChange),
    /// End that.
    EndStatus(Named),
    /// Change metadata: keys and values.
    Metadata(Named, Vec<(String, String)>),
    /// Take an instance off the list.
    Cancel(Named),
    /// What another Eureka server hands on.
    Batch,
}

/// An instance by its names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    /// In the case that it was given in.
    pub(super) app: String,
    /// The instance's id.
    pub(super) id: String,
}

/// What a renewal says of the instance.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Stamp {
    /// When the client changed the instance last, in milliseconds since 1970; 0: it did not say.
    pub(super) last_dirty: u64,
    /// Whether the client itself says that it does not know its status.
    pub(super) is_unknown: bool,
}

/// A status to set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StatusChange {
    /// The status; `None`: it is missing, or none.
    pub(super) status: Option<Status>,
    /// Why; ours, Eureka has none.
    pub(super) reason: Option<String>,
    /// For how long; ours. `Some(None)`: it is not a number.
    pub(super) expires_in_secs: Option<Option<u32>>,
}

/// Why there is no call.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoCall {
    /// Nothing is there.
    Path,
    /// Something is there, but not for this method.
    Method,
}

/// Whether a path is the Eureka API's.
pub(in crate::api) fn is_eureka(path: &str) -> bool {
    let mut segments = path.split('/').filter(|segment| !segment.is_empty());
    matches!(segments.next(), Some("eureka" | "v2"))
}

impl Call {
    pub(super) fn of(method: &Method, uri: &Uri) -> Result<Self, NoCall> {
        let segments: Vec<_> =
            uri.path().split('/').filter(|segment| !segment.is_empty()).map(decoded).collect();
        let mut segments: Vec<_> = segments.iter().map(|segment| &**segment).collect();
        let prefix = match *segments {
            ["eureka", "v2", ..] => 2,
            ["eureka" | "v2", ..] => 1,
            _ => return Err(NoCall::Path),
        };
        segments.drain(..prefix);
        let query = || Query::of(uri);
        let named = |app: &str, id: &str| Named { app: app.to_owned(), id: id.to_owned() };
        let is = |wanted: &Method| method == wanted;
        let get = is(&Method::GET) || is(&Method::HEAD);
        let call = match *segments {
            ["apps"] if get => Self::Apps,
            ["apps", "delta"] if get => Self::Delta,
            ["apps", app] if get => Self::App(app.to_owned()),
            ["apps", app] if is(&Method::POST) => Self::Register(app.to_owned()),
            ["apps", app, id] if get => Self::Instance(named(app, id)),
            ["apps", app, id] if is(&Method::PUT) => Self::Renew(named(app, id), query().stamp()),
            ["apps", app, id] if is(&Method::DELETE) => Self::Cancel(named(app, id)),
            ["apps", app, id, "status"] if is(&Method::PUT) => {
                Self::SetStatus(named(app, id), query().status())
            }
            ["apps", app, id, "status"] if is(&Method::DELETE) => Self::EndStatus(named(app, id)),
            ["apps", app, id, "metadata"] if is(&Method::PUT) => {
                Self::Metadata(named(app, id), query().0)
            }
            ["instances", id] if get => Self::AnyInstance(id.to_owned()),
            ["vips", vip] if get => Self::Vip(vip.to_owned()),
            ["svips", vip] if get => Self::SecureVip(vip.to_owned()),
            ["peerreplication", "batch"] if is(&Method::POST) => Self::Batch,
            ["apps"]
            | ["apps", _]
            | ["apps", _, _]
            | ["apps", _, _, "status" | "metadata"]
            | ["instances" | "vips" | "svips", _]
            | ["peerreplication", "batch"] => return Err(NoCall::Method),
            _ => return Err(NoCall::Path),
        };
        Ok(call)
    }
}

/// A query's pairs, decoded, in their order.
struct Query(Vec<(String, String)>);

impl Query {
    fn of(uri: &Uri) -> Self {
        // Any text is a query of pairs: what cannot be decoded has a mark in its place.
        Self(axum::extract::Query::try_from_uri(uri).map(|query| query.0).unwrap_or_default())
    }

    fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    fn stamp(&self) -> Stamp {
        let last_dirty = self.get("lastDirtyTimestamp").and_then(|text| text.parse().ok());
        Stamp {
            last_dirty: last_dirty.unwrap_or(0),
            is_unknown: self.get("status").and_then(Status::parse) == Some(Status::Unknown),
        }
    }

    fn status(&self) -> StatusChange {
        StatusChange {
            status: self.get("value").and_then(Status::parse),
            reason: self.get("reason").map(str::to_owned),
            expires_in_secs: self.get("expires_in_secs").map(|text| text.parse().ok()),
        }
    }
}

/// Percent-decoded; what cannot be stays as it is.
fn decoded(text: &str) -> String {
    percent::decode(text).unwrap_or_else(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(method: &Method, uri: &str) -> Result<Call, NoCall> {
        Call::of(method, &uri.parse().unwrap())
    }

    fn named(app: &str, id: &str) -> Named {
        Named { app: app.into(), id: id.into() }
    }

    #[test]
    fn paths_are_read_as_clients_write_them() {
        for prefix in ["/eureka", "/eureka/v2", "/v2", "//eureka//v2/"] {
            assert_eq!(call(&Method::GET, &format!("{prefix}/apps/")), Ok(Call::Apps));
            assert_eq!(call(&Method::GET, &format!("{prefix}//apps/delta/")), Ok(Call::Delta));
        }
        let renewal =
            "/eureka/apps/PY-SVC/127.0.0.1%3Apy-svc%3A9191?status=UP&lastDirtyTimestamp=7";
        let stamp = Stamp { last_dirty: 7, is_unknown: false };
        assert_eq!(
            call(&Method::PUT, renewal),
            Ok(Call::Renew(named("PY-SVC", "127.0.0.1:py-svc:9191"), stamp))
        );
        let bare = call(&Method::PUT, "/eureka/v2/apps/js-svc/localhost");
        assert_eq!(bare, Ok(Call::Renew(named("js-svc", "localhost"), Stamp::default())));
        assert_eq!(call(&Method::GET, "/v2/vips/a%2Fb"), Ok(Call::Vip("a/b".into())));
        let metadata = call(&Method::PUT, "/eureka/apps/A/i/metadata?a+b=%C3%A9&c");
        let pairs = vec![("a b".into(), "é".into()), ("c".into(), String::new())];
        assert_eq!(metadata, Ok(Call::Metadata(named("A", "i"), pairs)));
    }

    #[test]
    fn a_status_may_have_a_reason_and_an_end() {
        let change = |uri| match call(&Method::PUT, uri) {
            Ok(Call::SetStatus(_, change)) => change,
            other => panic!("{other:?}"),
        };
        let plain = change("/eureka/apps/A/i/status?value=OUT_OF_SERVICE&lastDirtyTimestamp=1");
        assert_eq!(plain.status, Some(Status::OutOfService));
        assert_eq!((plain.reason, plain.expires_in_secs), (None, None));
        let full = change("/v2/apps/A/i/status?value=DOWN&reason=disk+full&expires_in_secs=60");
        assert_eq!(full.reason.as_deref(), Some("disk full"));
        assert_eq!(full.expires_in_secs, Some(Some(60)));
        assert_eq!(change("/v2/apps/A/i/status?value=x").status, None);
        assert_eq!(change("/v2/apps/A/i/status?expires_in_secs=x").expires_in_secs, Some(None));
    }

    #[test]
    fn what_is_not_there_is_told_from_what_cannot_be_done_there() {
        for path in ["/eureka", "/eureka/v2", "/eureka/apps/A/i/x", "/eureka/x", "/api/v1", "/"] {
            assert_eq!(call(&Method::GET, path), Err(NoCall::Path), "{path}");
        }
        assert_eq!(call(&Method::POST, "/eureka/apps"), Err(NoCall::Method));
        assert_eq!(call(&Method::PATCH, "/v2/apps/A/i"), Err(NoCall::Method));
        assert!(is_eureka("//eureka/apps") && is_eureka("/v2") && !is_eureka("/eurekas/apps"));
    }

    #[test]
    fn what_is_no_percent_encoding_stays() {
        for (text, expected) in [("a%", "a%"), ("%4", "%4"), ("%zz", "%zz"), ("%ff", "%ff")] {
            assert_eq!(decoded(text), expected);
        }
    }
}
