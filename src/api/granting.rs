//! Principals, tokens and keys over HTTP: who may what is made and taken away while the server runs.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use axum::extract::{Extension, FromRequestParts, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response;
use axum::response::{IntoResponse, Response};
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::guard::unix_ms;
use super::native::segments;
use super::problem::Problem;
use super::{Api, Json};
use crate::access::{
    Asker, Edit, Issued, Kept, Kind, NotGranted, SECRET_OCTETS, Scope, ScopeWords, Wish,
};
use crate::registry::Refusal;

/// The longest life of a token or key, in seconds: a hundred years. Later dates are none that people write.
pub const MAX_EXPIRES_IN_SECS: u64 = 3_155_760_000;

type Call = State<Arc<Api>>;
type Caller = Extension<Asker>;

/// The paths of what is granted.
pub(super) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(create_token))
        .routes(routes!(create_key))
        .routes(routes!(revoke_token))
        .routes(routes!(revoke_key))
}

/// A scope, as it is given and shown.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
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
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Creation {
    /// What the principal may do, if it is new.
    scope: Option<ScopeView>,
    /// Seconds after which it ends; none: when it is revoked.
    expires_in_secs: Option<u64>,
}

#[derive(Serialize, ToSchema)]
struct PrincipalsView {
    principals: Vec<PrincipalView>,
}

#[derive(Serialize, ToSchema)]
struct PrincipalView {
    name: String,
    /// None: nothing says what it may do, so that its tokens and keys are good for nothing.
    scope: Option<ScopeView>,
    tokens: Vec<KeptView>,
    keys: Vec<KeptView>,
}

/// A token or a key, without its secret.
#[derive(Serialize, ToSchema)]
struct KeptView {
    id: String,
    created_unix_ms: u64,
    expires_unix_ms: Option<u64>,
    expired: bool,
}

#[derive(Serialize, ToSchema)]
struct IssuedView<'a> {
    principal: &'a str,
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    expires_unix_ms: Option<u64>,
}

#[utoipa::path(
    get, path = "/api/v1/principals", tag = "access", summary = "List the principals, with their tokens and keys",
    responses((status = 200, body = PrincipalsView, description = "All of them")),
)]
async fn list(State(api): Call, Extension(caller): Caller) -> Result<Response, Problem> {
    api.administers(&caller, "list-principals")?;
    let now = unix_ms();
    let (grants, _) = api.access.grants("");
    let mut by_principal: HashMap<&str, Vec<&Kept>> = HashMap::new();
    for kept in grants.kept.values() {
        by_principal.entry(&*kept.principal).or_default().push(kept);
    }
    let of = |principal: &str, kind: Kind| -> Vec<KeptView> {
        let own = by_principal.get(principal).into_iter().flatten();
        own.filter(|kept| kept.kind == kind).map(|kept| view(kept, now)).collect()
    };
    let left_over = grants.kept.values().map(|kept| (kept.principal.clone(), None));
    let mut scopes: BTreeMap<_, _> = left_over.collect();
    scopes
        .extend(grants.principals.iter().map(|(name, scope)| (name.clone(), Some(scope.clone()))));
    for configured in &api.config.get().access.principals {
        scopes.insert(configured.name.clone(), Some(configured.scope.clone()));
    }
    let principals = scopes.iter().map(|(name, scope)| PrincipalView {
        name: name.to_string(),
        scope: scope.as_ref().map(ScopeView::new),
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

#[utoipa::path(
    post, path = "/api/v1/principals/{name}/tokens", tag = "access", summary = "Make one of a principal's tokens",
    params(("name" = String, Path, description = "The principal")),
    request_body = Creation,
    responses((status = 201, body = IssuedView, description = "Its secret is told once")),
)]
async fn create_token(
    State(api): Call,
    Extension(caller): Caller,
    Segment(name): Segment,
    Json(creation): Json<Creation>,
) -> Result<Response, Problem> {
    create(&api, &caller, Kind::Token, &name, &creation).await
}

#[utoipa::path(
    post, path = "/api/v1/principals/{name}/keys", tag = "access", summary = "Make one of a principal's keys",
    params(("name" = String, Path, description = "The principal")),
    request_body = Creation,
    responses((status = 201, body = IssuedView, description = "Its secret is told once")),
)]
async fn create_key(
    State(api): Call,
    Extension(caller): Caller,
    Segment(name): Segment,
    Json(creation): Json<Creation>,
) -> Result<Response, Problem> {
    create(&api, &caller, Kind::Key, &name, &creation).await
}

async fn create(
    api: &Arc<Api>,
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
    if creation.expires_in_secs.is_some_and(|secs| !(1..=MAX_EXPIRES_IN_SECS).contains(&secs)) {
        let reason = format!("must be 1 to {MAX_EXPIRES_IN_SECS}");
        return Err(Problem::field("expires_in_secs", reason));
    }
    let expires_unix_ms =
        creation.expires_in_secs.map(|secs| now.saturating_add(secs.saturating_mul(1000)));
    let mut random = [0; SECRET_OCTETS];
    SystemRandom::new().fill(&mut random).map_err(|_| {
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the system gives no random octets")
    })?;
    let asked = Asked { caller: caller.clone(), verb, about: format!("of {name}") };
    let (name_, wished) = (name.to_owned(), scope);
    let issued = api
        .clone()
        .edit(asked, move |api| {
            let (grants, configured) = api.access.grants(&name_);
            let wish = Wish { kind, principal: &name_, scope: wished, expires_unix_ms };
            grants.grant(wish, configured.as_ref(), &random, now)
        })
        .await?;
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

#[utoipa::path(
    delete, path = "/api/v1/tokens/{id}", tag = "access", summary = "Revoke one of the tokens",
    params(("id" = String, Path, description = "What it is called")),
    responses((status = 204, description = "It is good for nothing now")),
)]
async fn revoke_token(
    State(api): Call,
    Extension(caller): Caller,
    Segment(id): Segment,
) -> Result<StatusCode, Problem> {
    revoke(&api, &caller, Kind::Token, "token-revoke", &id).await
}

#[utoipa::path(
    delete, path = "/api/v1/keys/{id}", tag = "access", summary = "Revoke one of the keys",
    params(("id" = String, Path, description = "What it is called")),
    responses((status = 204, description = "It is good for nothing now")),
)]
async fn revoke_key(
    State(api): Call,
    Extension(caller): Caller,
    Segment(id): Segment,
) -> Result<StatusCode, Problem> {
    revoke(&api, &caller, Kind::Key, "key-revoke", &id).await
}

async fn revoke(
    api: &Arc<Api>,
    caller: &Asker,
    kind: Kind,
    verb: &'static str,
    id: &str,
) -> Result<StatusCode, Problem> {
    api.administers(caller, verb)?;
    let asked = Asked { caller: caller.clone(), verb, about: String::new() };
    let id = id.to_owned();
    let revoked = api.clone().edit(asked, move |api| {
        let edit = api.access.grants("").0.revoke(kind, &id)?;
        Ok((edit, id))
    });
    revoked.await?;
    if let Some(warning) = api.access.nobody_is_known() {
        tracing::warn!("{warning}");
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Who wants a change of what is granted, for the audit.
struct Asked {
    caller: Asker,
    verb: &'static str,
    /// What follows the id of the token or key.
    about: String,
}

/// What is granted or taken away: a token or a key, by its id.
trait HasId {
    fn id(&self) -> &str;
}

impl HasId for Issued {
    fn id(&self) -> &str {
        &self.id
    }
}

impl HasId for String {
    fn id(&self) -> &str {
        self
    }
}

impl Api {
    /// Makes a change of what is granted durable, and then carries it out. Once begun it goes on to its end, whether whoever
    /// asked still waits or not: what is durable must be in force, and told to the audit.
    async fn edit<T: HasId + Send + 'static>(
        self: Arc<Self>,
        asked: Asked,
        decide: impl FnOnce(&Self) -> Result<(Edit, T), NotGranted> + Send + 'static,
    ) -> Result<T, Problem> {
        let edited = tokio::spawn(async move {
            let _one_at_a_time = self.granting.lock().await;
            let (edit, made) = decide(&self)?;
            let stored = edit.clone();
            let written = self.registrar.with_store(move |store| store.edit_grants(&stored)).await;
            match written {
                Some(Ok(())) => self.access.edit(edit),
                Some(Err(error)) if edit.put.is_none() => {
                    self.access.forget(&edit.remove);
                    let reason = format!(
                        "it is good for nothing as long as this server runs, but is in the store still: revoke it \
                         again ({error})"
                    );
                    return Err(Refusal::Unavailable(reason).into());
                }
                Some(Err(error)) => return Err(Refusal::Unavailable(error.to_string()).into()),
                None => {
                    return Err(Refusal::Unavailable("the server is stopping".to_owned()).into());
                }
            }
            let Asked { caller, verb, about } = asked;
            let what = if verb.starts_with("token") { Kind::Token } else { Kind::Key }.as_str();
            let what = format!("{what} {} {about}", made.id());
            self.audit.administered(&caller, verb, what.trim_end().to_owned());
            Ok(made)
        });
        let lost = |_| {
            let detail = "this was lost to a defect: see what is granted before you try again";
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, detail)
        };
        edited.await.map_err(lost)?
    }
}

impl From<NotGranted> for Problem {
    fn from(not_granted: NotGranted) -> Self {
        let (status, field) = match &not_granted {
            NotGranted::Name(_) => (StatusCode::UNPROCESSABLE_ENTITY, Some("name")),
            NotGranted::NoScope(_) => (StatusCode::UNPROCESSABLE_ENTITY, Some("scope")),
            NotGranted::OtherScope(_) => (StatusCode::CONFLICT, Some("scope")),
            NotGranted::Live(..) | NotGranted::LeftOver(..) | NotGranted::Full => {
                (StatusCode::CONFLICT, None)
            }
            NotGranted::NotThere(..) => (StatusCode::NOT_FOUND, None),
        };
        Self { field: field.map(str::to_owned), ..Self::new(status, not_granted.to_string()) }
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
