//! Lists of instances, whole and in part.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::Response;

use super::call::{Call, Named};
use super::catalogue::{self, Now, with_vip};
use super::fragment::Form;
use super::kept::shown;
use super::reply::{Failure, NOT_LISTED, listing, text};
use super::wire::Info;
use super::{Context, names};
use crate::api::guard::unix_ms;
use crate::api::problem::Problem;
use crate::registrar::Listed;
use crate::registry::ServiceName;

/// Services that are looked through at a time for an id.
const SERVICES: usize = 1_000;

/// Answers a call that reads. It may take a while, so it has a thread that nobody else waits for.
pub(super) async fn answer(
    context: Arc<Context>,
    call: Call,
    form: Form,
) -> Result<Response, Failure> {
    if !context.api.registrar.is_loaded() {
        // What Eureka says while it fetches the list from its peers: clients keep what they have.
        let detail = "the registry is being loaded: ask again soon";
        return Err(Problem::new(StatusCode::FORBIDDEN, detail).into());
    }
    let read = move || match call {
        Call::Apps => all(&context, form),
        Call::Delta => delta(&context, form),
        Call::App(app) => one_app(&context, &app, form),
        Call::Instance(named) => one_instance(&context, &named, form),
        Call::AnyInstance(id) => any_instance(&context, &id, form),
        Call::Vip(vip) => by_vip(&context, &vip, false, form),
        Call::SecureVip(vip) => by_vip(&context, &vip, true, form),
        _ => Err(Failure::Code(StatusCode::NOT_FOUND)),
    };
    let ended = tokio::task::spawn_blocking(read).await;
    ended.unwrap_or(Err(Failure::Code(StatusCode::INTERNAL_SERVER_ERROR)))
}

fn now(context: &Context) -> Now {
    Now { lease: context.api.registrar.now(), unix_ms: unix_ms() }
}

fn all(context: &Context, form: Form) -> Result<Response, Failure> {
    let registrar = context.api.for_listing(&context.asker)?;
    let scope = context.asker.principal.scope();
    let now = now(context);
    let mut catalogue = context.api.eureka.catalogue.lock();
    catalogue.refresh(registrar, now);
    let document = match scope.is_for_all() {
        true => catalogue.all(form, now),
        false => catalogue.list(form, |service| scope.is_for(service)),
    };
    Ok(listing(form, &document))
}

fn delta(context: &Context, form: Form) -> Result<Response, Failure> {
    let registrar = context.api.for_listing(&context.asker)?;
    let scope = context.asker.principal.scope();
    let is_for = |service: &str| scope.is_for(service);
    let is_for: Option<&dyn Fn(&str) -> bool> = (!scope.is_for_all()).then_some(&is_for);
    let now = now(context);
    let mut catalogue = context.api.eureka.catalogue.lock();
    catalogue.refresh(registrar, now);
    Ok(listing(form, &catalogue.delta(form, now, is_for)))
}

/// The instances of a service that are seen, if who asks may read there.
fn seen(context: &Context, service: &ServiceName) -> Result<Vec<Listed>, Failure> {
    let registrar = context.api.for_reading(&context.asker, service.as_str())?;
    Ok(registrar.seen(service))
}

fn one_app(context: &Context, app: &str, form: Form) -> Result<Response, Failure> {
    let seen = seen(context, &names::service("app", app)?)?;
    let now = unix_ms();
    let shown = seen.iter().map(|listed| shown(listed, now)).filter(|shown| !shown.is_twin);
    let infos: Vec<_> = shown.map(|shown| shown.info).filter(|info| is_app(info, app)).collect();
    let name = infos.first().ok_or(NOT_LISTED)?.app.clone();
    Ok(text(form, form.format.one_application(&name, &infos)))
}

fn is_app(info: &Info<'_>, app: &str) -> bool {
    names::is_same_app(&info.app, app)
}

fn one_instance(context: &Context, named: &Named, form: Form) -> Result<Response, Failure> {
    let service = names::service("app", &named.app)?;
    let registrar = context.api.for_reading(&context.asker, service.as_str())?;
    let listed = registrar.instance(service.as_str(), &named.id).ok_or(NOT_LISTED)?;
    let shown = shown(&listed, unix_ms());
    if shown.is_twin || !is_app(&shown.info, &named.app) || !catalogue::is_seen(&listed) {
        return Err(NOT_LISTED);
    }
    Ok(text(form, form.format.one_instance(&shown.info)))
}

fn any_instance(context: &Context, id: &str, form: Form) -> Result<Response, Failure> {
    let registrar = context.api.for_listing(&context.asker)?;
    let scope = context.asker.principal.scope();
    let mut after: Option<String> = None;
    loop {
        let some = registrar.services(after.as_deref(), SERVICES);
        let readable = some.iter().filter(|one| scope.is_for(one.service.as_str()));
        let found = readable.filter_map(|one| registrar.instance(one.service.as_str(), id));
        for listed in found.filter(catalogue::is_seen) {
            let shown = shown(&listed, unix_ms());
            if !shown.is_twin {
                return Ok(text(form, form.format.one_instance(&shown.info)));
            }
        }
        after = Some(some.last().ok_or(NOT_LISTED)?.service.to_string());
    }
}

/// All that have a vip address are in its service, whatever their app.
fn by_vip(context: &Context, vip: &str, secure: bool, form: Form) -> Result<Response, Failure> {
    let seen = seen(context, &names::service("vip", vip)?)?;
    let now = now(context);
    let version = {
        let mut catalogue = context.api.eureka.catalogue.lock();
        catalogue.refresh(&context.api.registrar, now);
        catalogue.version()
    };
    let infos = with_vip(&seen, vip, secure, now.unix_ms);
    Ok(text(form, catalogue::own_list(form.format, version, infos)))
}
