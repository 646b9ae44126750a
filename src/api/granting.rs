//! Principals, tokens and keys over HTTP: who may what is made and taken away while the server runs.

use std::sync::Arc;

use axum::extract::{Extension, FromRequestParts, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Router, response};
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};

use super::guard::unix_ms;
use super::native::segments;
use super::problem::Problem;
use super::{Api, Json};
use crate::access::{Asker, Edit, Kept, Kind, NotGranted, SECRET_OCTETS, Scope, ScopeWords, Wish};
use crate::registry::Refusal;

type Call = State<Arc<Api>>;
type Caller = Extension<Asker>;

/// The paths of what is granted.
pub(super) fn routes() -> Router<Arc<Api>> {
    Router::new()
        .route("/api/v1/principals", get(list))
        .route("/api/v1/principals/{name}/tokens", post(create_token))
        .route("/api/v1/principals/{name}/keys", post(create_key))
        .route("/api/v1/tokens/{id}", delete(revoke_token))
        .route("/api/v1/keys/{id}", delete(revoke_key))
}

/// A scope, as it is given and shown.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ScopeView {
    verbs: Vec<String>,
    services: Vec<String>,
    #[serde(default)]
    networks: Vec<String>,
    max_instances: Option<u32>,
    max_lease_secs: Option<u32>,
}

impl ScopeView {
    fn new(scope: &Scope) -> Self {
        Self {
            verbs: scope.verbs.named().map(|verb| verb.as_str().to_owned()).collect(),
            services: scope.services.iter().map(ToString::to_string).collect(),
            networks: scope.networks.iter().map(ToString::to_string).collect(),
            max_instances: scope.max_instances,
            max_lease_secs: scope.max_lease_secs,
        }
    }

    fn resolve(&self) -> Result<Scope, Problem> {
        let words = ScopeWords {
            verbs: words(&self.verbs),
            services: words(&self.services),
            networks: words(&self.networks),
            max_instances: self.max_instances,
            max_lease_secs: self.max_lease_secs,
        };
        Scope::parse(&words)
            .map_err(|(field, reason)| Problem::field(format!("scope.{field}"), reason))
    }
}

fn words(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

/// What is to be granted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Creation {
    /// What the principal may do, if it is new.
    scope: Option<ScopeView>,
    /// Seconds after which it ends; none: when it is revoked.
    expires_in_secs: Option<u64>,
}

#[derive(Serialize)]
struct PrincipalsView {
    principals: Vec<PrincipalView>,
}

#[derive(Serialize)]
struct PrincipalView {
    name: String,
    scope: ScopeView,
    tokens: Vec<KeptView>,
    keys: Vec<KeptView>,
}

/// A token or a key, without its secret.
#[derive(Serialize)]
struct KeptView {
    id: String,
    created_unix_ms: u64,
    expires_unix_ms: Option<u64>,
    expired: bool,
}

#[derive(Serialize)]
struct IssuedView<'a> {
    principal: &'a str,
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    expires_unix_ms: Option<u64>,
}

async fn list(State(api): Call, Extension(caller): Caller) -> Result<Response, Problem> {
    api.administers(&caller, "list-principals")?;
    let now = unix_ms();
    let (grants, _) = api.access.grants("");
    let of = |principal: &str, kind: Kind| -> Vec<KeptView> {
        let all = grants.kept.values();
        let own = all.filter(|kept| *kept.principal == *principal && kept.kind == kind);
        own.map(|kept| view(kept, now)).collect()
    };
    let mut scopes = grants.principals.clone();
    for configured in &api.config.get().access.principals {
        scopes.insert(configured.name.clone(), configured.scope.clone());
    }
    let principals = scopes.iter().map(|(name, scope)| PrincipalView {
        name: name.to_string(),
        scope: ScopeView::new(scope),
        tokens: of(name, Kind::Token),
        keys: of(name, Kind::Key),
    });
    Ok(response::Json(PrincipalsView { principals: principals.collect() }).into_response())
}

fn view(kept: &Kept, now_unix_ms: u64) -> KeptView {
    KeptView {
        id: kept.id.to_string(),
        created_unix_ms: kept.created_unix_ms,
        expires_unix_ms: kept.expires_unix_ms,
        expired: kept.is_over(now_unix_ms),
    }
}

async fn create_token(
    State(api): Call,
    Extension(caller): Caller,
    Segment(name): Segment,
    Json(creation): Json<Creation>,
) -> Result<Response, Problem> {
    create(&api, &caller, Kind::Token, &name, &creation).await
}

async fn create_key(
    State(api): Call,
    Extension(caller): Caller,
    Segment(name): Segment,
    Json(creation): Json<Creation>,
) -> Result<Response, Problem> {
    create(&api, &caller, Kind::Key, &name, &creation).await
}

async fn create(
    api: &Api,
    caller: &Asker,
    kind: Kind,
    name: &str,
    creation: &Creation,
) -> Result<Response, Problem> {
    let verb = match kind {
        Kind::Token => "token-create",
        Kind::Key => "key-create",
    };
    api.administers(caller, verb)?;
    let scope = creation.scope.as_ref().map(ScopeView::resolve).transpose()?;
    let now = unix_ms();
    let expires_unix_ms =
        creation.expires_in_secs.map(|secs| now.saturating_add(secs.saturating_mul(1000)));
    let mut random = [0; SECRET_OCTETS];
    SystemRandom::new().fill(&mut random).map_err(|_| {
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the system gives no random octets")
    })?;
    let _one_at_a_time = api.granting.lock().await;
    let (grants, configured) = api.access.grants(name);
    let wish = Wish { kind, principal: name, scope, expires_unix_ms };
    let (edit, issued) = grants.grant(wish, configured.as_ref(), &random, now)?;
    api.edit(edit).await?;
    let word = kind.as_str();
    api.audit.administered(caller, verb, format!("{word} {} of {name}", issued.id));
    let secret = Some(&*issued.secret);
    let view = IssuedView {
        principal: name,
        id: &issued.id,
        token: secret.filter(|_| kind == Kind::Token),
        key: secret.filter(|_| kind == Kind::Key),
        expires_unix_ms,
    };
    Ok((StatusCode::CREATED, response::Json(view)).into_response())
}

async fn revoke_token(
    State(api): Call,
    Extension(caller): Caller,
    Segment(id): Segment,
) -> Result<StatusCode, Problem> {
    revoke(&api, &caller, Kind::Token, "token-revoke", &id).await
}

async fn revoke_key(
    State(api): Call,
    Extension(caller): Caller,
    Segment(id): Segment,
) -> Result<StatusCode, Problem> {
    revoke(&api, &caller, Kind::Key, "key-revoke", &id).await
}

async fn revoke(
    api: &Api,
    caller: &Asker,
    kind: Kind,
    verb: &'static str,
    id: &str,
) -> Result<StatusCode, Problem> {
    api.administers(caller, verb)?;
    let _one_at_a_time = api.granting.lock().await;
    let edit = api.access.grants("").0.revoke(kind, id)?;
    api.edit(edit).await?;
    api.audit.administered(caller, verb, format!("{} {id}", kind.as_str()));
    if api.access.open_on_loopback() == [true; 2] {
        tracing::warn!(
            "the last token, key and principal is gone: on this machine all may everything"
        );
    }
    Ok(StatusCode::NO_CONTENT)
}

impl Api {
    /// Makes a change of what is granted durable, and then carries it out.
    async fn edit(&self, edit: Edit) -> Result<(), Problem> {
        let stored = edit.clone();
        let written = self.registrar.with_store(move |store| store.edit_grants(&stored)).await;
        match written {
            Some(Ok(())) => {
                self.access.edit(edit);
                Ok(())
            }
            Some(Err(error)) => Err(Refusal::Unavailable(error.to_string()).into()),
            None => Err(Refusal::Unavailable("the server is stopping".to_owned()).into()),
        }
    }
}

impl From<NotGranted> for Problem {
    fn from(not_granted: NotGranted) -> Self {
        let (status, field) = match &not_granted {
            NotGranted::Name(_) => (StatusCode::UNPROCESSABLE_ENTITY, Some("name")),
            NotGranted::NoScope(_) => (StatusCode::UNPROCESSABLE_ENTITY, Some("scope")),
            NotGranted::OtherScope(_) => (StatusCode::CONFLICT, Some("scope")),
            NotGranted::Live(..) | NotGranted::Full => (StatusCode::CONFLICT, None),
            NotGranted::NotThere(..) => (StatusCode::NOT_FOUND, None),
        };
        Self { status, detail: not_granted.to_string(), field: field.map(str::to_owned) }
    }
}

/// The one named segment of the path.
struct Segment(String);

impl<S: Send + Sync> FromRequestParts<S> for Segment {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        segments(parts, state).await.map(Self)
    }
}
