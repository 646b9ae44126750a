//! The native API: register, renew, declare, deregister and list over HTTP.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{DefaultBodyLimit, Extension, FromRequestParts, Path, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, Uri};
use axum::response;
use response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use utoipa::ToSchema;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouterExt};
use utoipa_axum::routes;

use super::guard::{Peer, unix_ms};
use super::native_body::{
    Declaration, MAX_RENEWALS_OCTETS, OverrideBody, Registration, Renewals, Text,
};
use super::native_list::{
    InstanceView, PageQuery, RegisteredView, ServiceView, ServicesView, SummaryView,
    percent_encoded,
};
use super::problem::Problem;
use super::{Api, Body, Json, json};
use crate::access::Asker;
use crate::registrar::Renewed;
use crate::registry::{Command, InstanceId, Refusal, ServiceName};

const SERVICES: &str = "/api/v1/services";

type Call = State<Arc<Api>>;
type Caller = Extension<Asker>;

/// The paths of the native API.
pub(super) fn routes() -> OpenApiRouter<Arc<Api>> {
    let renewals = routes!(renew_all).layer(DefaultBodyLimit::max(MAX_RENEWALS_OCTETS));
    OpenApiRouter::new()
        .routes(routes!(list_services))
        .routes(routes!(list_instances, deregister_service))
        .routes(routes!(show_instance, register, deregister))
        .routes(routes!(renew))
        .routes(routes!(declare))
        .routes(routes!(set_override, end_override))
        .routes(renewals)
}

#[utoipa::path(
    put, path = "/api/v1/services/{service}/instances/{id}", tag = "services", summary = "Register an instance, or change it; renews its lease",
    params(("service" = String, Path, description = "The service"), ("id" = String, Path, description = "The instance")),
    request_body = Registration,
    responses((status = 201, body = RegisteredView, description = "It is new"), (status = 200, body = RegisteredView, description = "It was listed")),
)]
async fn register(
    State(api): Call,
    Extension(caller): Caller,
    Extension(peer): Extension<Peer>,
    Named { service, id }: Named,
    Json(registration): Json<Registration>,
) -> Result<Response, Problem> {
    let most = caller.principal.scope().max_lease_secs;
    let (body, state) = registration.resolve(peer.ip(), most, &api.config.get())?;
    let command = Command::register(service, id, body, state);
    let committed = api.change(&caller, command).await?;
    let Some(instance) = &committed.outcome.instance else {
        return Err(Refusal::NotListed.into());
    };
    let code = if committed.outcome.created { StatusCode::CREATED } else { StatusCode::OK };
    let view = RegisteredView::new(instance, &committed, &api.config.get());
    Ok((code, response::Json(view)).into_response())
}

#[utoipa::path(
    delete, path = "/api/v1/services/{service}/instances/{id}", tag = "services", summary = "Deregister an instance",
    params(("service" = String, Path, description = "The service"), ("id" = String, Path, description = "The instance")),
    responses((status = 204, description = "It is off the list")),
)]
async fn deregister(
    State(api): Call,
    Extension(caller): Caller,
    Named { service, id }: Named,
) -> Result<StatusCode, Problem> {
    api.change(&caller, Command::Deregister { service, id }).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[utoipa::path(
    delete, path = "/api/v1/services/{service}", tag = "services", summary = "Deregister all instances of a service",
    params(("service" = String, Path, description = "The service")),
    responses((status = 204, description = "They are off the list")),
)]
async fn deregister_service(
    State(api): Call,
    Extension(caller): Caller,
    NamedService(service): NamedService,
) -> Result<StatusCode, Problem> {
    api.change(&caller, Command::DeregisterService { service }).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[utoipa::path(
    put, path = "/api/v1/services/{service}/instances/{id}/state", tag = "services", summary = "Declare the owner's state",
    params(("service" = String, Path, description = "The service"), ("id" = String, Path, description = "The instance")),
    request_body = Declaration,
    responses((status = 200, body = InstanceView, description = "The instance as it is then")),
)]
async fn declare(
    State(api): Call,
    caller: Caller,
    Named { service, id }: Named,
    Json(declaration): Json<Declaration>,
) -> Result<Response, Problem> {
    let declared = declaration.resolve()?;
    let command = Command::Declare { service: service.clone(), id: id.clone(), declared };
    amend(&api, &caller, command, &service, &id).await
}

#[utoipa::path(
    put, path = "/api/v1/services/{service}/instances/{id}/override", tag = "services", summary = "Set an operator's state above the owner's",
    params(("service" = String, Path, description = "The service"), ("id" = String, Path, description = "The instance")),
    request_body = OverrideBody,
    responses((status = 200, body = InstanceView, description = "The instance as it is then")),
)]
async fn set_override(
    State(api): Call,
    caller: Caller,
    Named { service, id }: Named,
    Json(wanted): Json<OverrideBody>,
) -> Result<Response, Problem> {
    let override_ = Some(wanted.resolve(unix_ms())?);
    let command = Command::Override { service: service.clone(), id: id.clone(), override_ };
    amend(&api, &caller, command, &service, &id).await
}

#[utoipa::path(
    delete, path = "/api/v1/services/{service}/instances/{id}/override", tag = "services", summary = "End an operator's override",
    params(("service" = String, Path, description = "The service"), ("id" = String, Path, description = "The instance")),
    responses((status = 200, body = InstanceView, description = "The instance as it is then")),
)]
async fn end_override(
    State(api): Call,
    caller: Caller,
    Named { service, id }: Named,
) -> Result<Response, Problem> {
    let command = Command::Override { service: service.clone(), id: id.clone(), override_: None };
    amend(&api, &caller, command, &service, &id).await
}

/// Has a listed instance amended, and shows it as it is then: whether it answers now, and why.
async fn amend(
    api: &Api,
    caller: &Asker,
    command: Command,
    service: &ServiceName,
    id: &InstanceId,
) -> Result<Response, Problem> {
    api.change(caller, command).await?;
    // Its lease may have ended since.
    let listed = api.registrar.instance(service.as_str(), id.as_str());
    let listed = listed.ok_or(Refusal::NotListed)?;
    Ok(response::Json(InstanceView::new(&listed, &api.config.get())).into_response())
}

#[derive(Serialize, ToSchema)]
struct RenewedView {
    expires_in_ms: Option<u64>,
}

#[utoipa::path(
    put, path = "/api/v1/services/{service}/instances/{id}/lease", tag = "services", summary = "Renew a lease",
    params(("service" = String, Path, description = "The service"), ("id" = String, Path, description = "The instance")),
    responses((status = 200, body = RenewedView, description = "It runs a whole term again")),
)]
async fn renew(
    State(api): Call,
    Extension(caller): Caller,
    Named { service, id }: Named,
) -> Result<response::Json<RenewedView>, Problem> {
    let (service, id) = (service.as_str(), id.as_str());
    let actor = api.renewer(&caller, service, id)?;
    match api.registrar.renew(service, id, &actor) {
        Renewed::Renewed(term) => Ok(response::Json(RenewedView { expires_in_ms: term.millis() })),
        Renewed::Unknown => Err(Refusal::NotListed.into()),
        Renewed::NotYours => Err(api.not_yours(&caller, service, id)),
        Renewed::Loading => Err(Problem::loading()),
    }
}

#[derive(Serialize, ToSchema)]
struct RenewalsView<'a> {
    renewed: usize,
    #[schema(value_type = Vec<[String; 2]>)]
    unknown: Vec<(&'a str, &'a str)>,
    /// Those that are not for who asks; there are none where the scope is for all, and nobody else owns anything.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<[String; 2]>)]
    denied: Vec<(&'a str, &'a str)>,
}

#[utoipa::path(
    post, path = "/api/v1/renewals", tag = "services", summary = "Renew many leases",
    request_body = Renewals,
    responses((status = 200, body = RenewalsView, description = "What became of each")),
)]
async fn renew_all(
    State(api): Call,
    Extension(caller): Caller,
    Body(body): Body,
) -> Result<Response, Problem> {
    let names = json::read::<Renewals>(&body)?.resolve()?;
    let mut view = RenewalsView { renewed: 0, unknown: Vec::new(), denied: Vec::new() };
    let mut loading = false;
    let mut count = |name, renewed| match renewed {
        Renewed::Renewed(_) => view.renewed += 1,
        Renewed::Unknown => view.unknown.push(name),
        Renewed::NotYours => view.denied.push(name),
        Renewed::Loading => loading = true,
    };
    let renewals = api.registrar.renewals();
    // Mostly all of them are for who asks, and go at once.
    let may = |(service, _): &(Text<'_>, Text<'_>)| api.may_renew(&caller, service.as_ref());
    for names in names.chunk_by(|one, next| may(one) == may(next)) {
        let Some((service, _)) = names.first() else { continue };
        match api.access.authorise_renewal(&caller.principal, service.as_ref()) {
            Ok(actor) => renewals.renew_all(names, &actor, |(service, id), renewed| {
                let (service, id) = (service.as_ref(), id.as_ref());
                if matches!(renewed, Renewed::NotYours) {
                    api.not_yours(&caller, service, id);
                }
                count((service, id), renewed);
            }),
            Err(denied) => names.iter().for_each(|(service, id)| {
                let (service, id) = (service.as_ref(), id.as_ref());
                api.denied(&caller, ("renew", Some(service), Some(id)), &denied);
                count((service, id), Renewed::NotYours);
            }),
        }
    }
    drop(renewals);
    if loading {
        return Err(Problem::loading());
    }
    Ok(response::Json(view).into_response())
}

#[utoipa::path(
    get, path = "/api/v1/services/{service}/instances/{id}", tag = "services", summary = "Show an instance, and why it is or is not answering",
    params(("service" = String, Path, description = "The service"), ("id" = String, Path, description = "The instance")),
    responses((status = 200, body = InstanceView, description = "The instance")),
)]
async fn show_instance(
    State(api): Call,
    Extension(caller): Caller,
    Named { service, id }: Named,
) -> Result<Response, Problem> {
    let registrar = api.for_reading(&caller, service.as_str())?;
    let listed = registrar.instance(service.as_str(), id.as_str()).ok_or(Refusal::NotListed)?;
    Ok(response::Json(InstanceView::new(&listed, &api.config.get())).into_response())
}

#[utoipa::path(
    get, path = "/api/v1/services/{service}", tag = "services", summary = "List the instances of a service",
    params(("service" = String, Path, description = "The service"), PageQuery),
    responses((status = 200, body = ServiceView, description = "A page of them")),
)]
async fn list_instances(
    State(api): Call,
    Extension(caller): Caller,
    NamedService(service): NamedService,
    uri: Uri,
) -> Result<Response, Problem> {
    let page = json::read_query::<PageQuery>(&uri)?.resolve()?;
    let registrar = api.for_reading(&caller, service.as_str())?;
    // Asked for first: what happens meanwhile is watched.
    let revision = registrar.history().revision();
    let listed = registrar.instances(service.as_str(), page.after.as_deref(), page.fetch());
    let mut listed = listed.ok_or(Refusal::NotListed)?;
    let path = format!("{SERVICES}/{}", percent_encoded(service.as_str()));
    let next = page.cut(&mut listed, &path, |listed| listed.instance.id.as_str());
    let config = api.config.get();
    let instances = listed.iter().map(|listed| InstanceView::new(listed, &config)).collect();
    let view = ServiceView { service: service.as_str(), revision, instances, next };
    Ok(response::Json(view).into_response())
}

#[utoipa::path(
    get, path = "/api/v1/services", tag = "services", summary = "List the services",
    params(PageQuery),
    responses((status = 200, body = ServicesView, description = "A page of them")),
)]
async fn list_services(
    State(api): Call,
    Extension(caller): Caller,
    uri: Uri,
) -> Result<Response, Problem> {
    let page = json::read_query::<PageQuery>(&uri)?.resolve()?;
    // Who may read some services alone is shown those.
    let scope = caller.principal.scope();
    let registrar = api.for_listing(&caller)?;
    let revision = registrar.history().revision();
    let mut summaries = Vec::new();
    let mut after = page.after.clone();
    loop {
        let some = registrar.services(after.as_deref(), page.fetch());
        let is_all = some.len() < page.fetch();
        after = some.last().map(|last| last.service.to_string());
        summaries.extend(some.into_iter().filter(|one| scope.is_for(one.service.as_str())));
        if is_all || summaries.len() >= page.fetch() {
            break;
        }
    }
    let next = page.cut(&mut summaries, SERVICES, |summary| summary.service.as_str());
    let services = summaries.iter().map(SummaryView::new).collect();
    Ok(response::Json(ServicesView { revision, services, next }).into_response())
}

/// The service that the path names.
#[derive(Debug)]
pub(super) struct NamedService(pub(super) ServiceName);

/// The instance that the path names.
#[derive(Debug)]
pub(super) struct Named {
    pub(super) service: ServiceName,
    pub(super) id: InstanceId,
}

impl<S: Send + Sync> FromRequestParts<S> for NamedService {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let service: String = segments(parts, state).await?;
        Ok(Self(ServiceName::parse(&service)?))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let (service, id): (String, String) = segments(parts, state).await?;
        Ok(Self { service: ServiceName::parse(&service)?, id: InstanceId::parse(&id)? })
    }
}

/// The path's named segments, percent-decoded: an id may hold a slash, as `%2F`.
pub(super) async fn segments<T, S>(parts: &mut Parts, state: &S) -> Result<T, Problem>
where
    T: DeserializeOwned + Send,
    S: Send + Sync,
{
    let segments = Path::<T>::from_request_parts(parts, state).await;
    segments.map(|Path(segments)| segments).map_err(|rejection: PathRejection| {
        let detail = super::problem::shown(&rejection.body_text());
        Problem::new(StatusCode::BAD_REQUEST, format!("the path cannot be read: {detail}"))
    })
}
