//! Registers an instance: under its app's name, and under those of its vip addresses.

use std::sync::Arc;

use axum::http::StatusCode;

use super::kept::Kept;
use super::mapping::{Registration, With};
use super::reply::Failure;
use super::wire::Info;
use super::write::Format;
use super::{Context, names};
use crate::api::guard::unix_ms;
use crate::api::problem::Problem;
use crate::registrar::{Listed, Renewed, Standing};
use crate::registry::{Basis, Body, Command, Instance, Invalid, Refusal, ServiceName, State};

/// Tries at most: each meets an instance that was changed between look and commit.
const MAX_TRIES: usize = 8;

/// Registers an instance, or changes what is listed of it.
pub(super) async fn register(
    context: &Context,
    app: &str,
    info: &Info<'_>,
) -> Result<StatusCode, Failure> {
    if !names::is_same_app(app, &info.app) {
        return Err(Invalid::new("app", "must be the app that the path names").into());
    }
    let service = names::service("app", &info.app)?;
    let mut zone_is_tag = true;
    for _ in 0..MAX_TRIES {
        let found = context.listed(&service, &info.instance_id)?;
        let basis = Basis::Listed(found.as_ref().map(|found| found.revision));
        // One that has its app here goes before one that has a vip address.
        let listed = found.filter(|found| Kept::of(found).is_none_or(|it| it.twin_of.is_none()));
        if let Some(listed) = &listed
            && !is_to_be_replaced(context, listed, info)?
        {
            return keep(context, &service, info);
        }
        let with = With {
            listed: listed.as_deref(),
            bounds: context.bounds(),
            mirrored_from: context.mirrored_from.as_deref(),
            zone_is_tag,
        };
        let registration = Registration::new(info, with)?;
        match carry_out(context, registration, listed.as_deref(), basis).await? {
            Ok(()) => return Ok(StatusCode::NO_CONTENT),
            Err(Refusal::Outdated) => {}
            // Its zone has the name of another instance: it is reached without it.
            Err(Refusal::TagIsLabel { .. }) if zone_is_tag => zone_is_tag = false,
            Err(refusal) => return Err(refusal.into()),
        }
    }
    Err(Refusal::Outdated.into())
}

/// Whether what is listed gives way; an error if it must not.
fn is_to_be_replaced(
    context: &Context,
    listed: &Arc<Instance>,
    info: &Info<'_>,
) -> Result<bool, Failure> {
    let kept = Kept::of(listed);
    context.check_mirrored(kept.as_ref())?;
    let Some(kept) = kept else { return Ok(true) };
    if kept.app != info.app {
        let detail = format!("has the name of one of `{}`: they are one service here", kept.app);
        return Err(match context.mirrored_from {
            // To who copies, a conflict means that the instance has come over.
            Some(_) => Invalid::new("app", detail).into(),
            None => conflict(&detail),
        });
    }
    // What registers by itself is a copy no longer, however old the server's copy was that it was made of.
    let comes_over = context.comes_over(&kept);
    if comes_over || info.last_dirty == 0 || info.last_dirty >= kept.dirty {
        return Ok(true);
    }
    match context.from_peer {
        true => Err(newer(listed)),
        false => Ok(false),
    }
}

/// An older registration is as good as a renewal.
fn keep(context: &Context, service: &ServiceName, info: &Info<'_>) -> Result<StatusCode, Failure> {
    let (service, id) = (service.as_str(), &*info.instance_id);
    let actor = context.api.renewer(&context.asker, service, id)?;
    match context.api.registrar.renew(service, id, &actor) {
        Renewed::Renewed(_) => Ok(StatusCode::NO_CONTENT),
        Renewed::NotYours => Err(context.api.not_yours(&context.asker, service, id).into()),
        Renewed::Unknown | Renewed::Loading => Err(Problem::loading().into()),
    }
}

/// Registers in all places, its app's last, and takes it out of those that it has left.
async fn carry_out(
    context: &Context,
    registration: Registration,
    listed: Option<&Instance>,
    basis: Basis,
) -> Result<Result<(), Refusal>, Failure> {
    let Registration { mut places, id, declared } = registration;
    let Some((service, body)) = places.pop() else { return Ok(Ok(())) };
    let before = listed.and_then(Kept::of).into_iter().flat_map(|before| before.also);
    let left: Vec<_> = before
        .filter_map(|one| ServiceName::parse(&one).ok())
        .filter(|one| !places.iter().any(|(place, _)| place == one))
        .collect();
    let register = |service: ServiceName, body: Body, basis: Basis| Command::Register {
        service,
        id: id.clone(),
        body: Box::new(body),
        declared: Some(declared.clone()),
        basis,
    };
    for (other, body) in places {
        let there = context.listed(&other, id.as_str())?;
        if there.as_ref().is_some_and(|there| !is_twin_of(there, &service)) {
            continue;
        }
        // An operator keeps it out of the answers: it comes to other names when that has ended, with a registration that
        // the renewals until then ask for.
        if there.is_none() && listed.is_some_and(is_kept_out) {
            continue;
        }
        let basis = Basis::Listed(there.map(|there| there.revision));
        if let Err(refusal) = context.command(register(other, body, basis)).await? {
            return Ok(Err(refusal));
        }
    }
    if let Err(refusal) = context.command(register(service.clone(), body, basis)).await? {
        return Ok(Err(refusal));
    }
    for other in left {
        context.deregister_twin(other, &service, &id).await;
    }
    Ok(Ok(()))
}

fn is_kept_out(instance: &Instance) -> bool {
    instance.override_.as_deref().is_some_and(|set| set.declared.state != State::Up)
}

/// Whether an instance is in its service by a vip address of one that has its app in `service`.
pub(super) fn is_twin_of(instance: &Instance, service: &ServiceName) -> bool {
    Kept::of(instance).and_then(|kept| kept.twin_of).is_some_and(|of| of == service.as_str())
}

/// Our copy of an instance, for a server whose own is older.
pub(super) fn newer(listed: &Arc<Instance>) -> Failure {
    let listed = Listed {
        instance: listed.clone(),
        expires_in_ms: listed.body.lease.millis(),
        standing: Standing::Live,
    };
    let shown = super::kept::shown(&listed, unix_ms());
    Failure::Newer(Format::Json.one_instance(&shown.info))
}

fn conflict(detail: &str) -> Failure {
    Problem::new(StatusCode::CONFLICT, format!("the instance {detail}")).into()
}
