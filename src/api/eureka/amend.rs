//! What happens to an instance that is listed: renewal, status, metadata, cancellation.

use std::sync::Arc;

use axum::http::StatusCode;

use super::call::{Named, Stamp, StatusChange};
use super::kept::{Kept, declared};
use super::register::{is_twin_of, newer};
use super::reply::{Failure, NOT_LISTED};
use super::wire::Status;
use super::{Context, names};
use crate::api::guard::unix_ms;
use crate::api::native_body::end_of;
use crate::api::problem::Problem;
use crate::registrar::Renewed;
use crate::registry::{
    Basis, Body, Command, Instance, InstanceId, Invalid, Override, Refusal, ServiceName, State,
    Tag, Texts,
};

/// Tries at most of a change of metadata: each meets an instance that was changed between look and commit.
const MAX_TRIES: usize = 8;

/// Renews a lease. Whoever has something newer to say than what is listed has to register again.
pub(super) fn renew(context: &Context, named: &Named, stamp: Stamp) -> Result<StatusCode, Failure> {
    let service = names::service("app", &named.app)?;
    let (service, id) = (service.as_str(), named.id.as_str());
    let api = &context.api;
    let actor = api.renewer(&context.asker, service, id)?;
    let renewals = api.registrar.renewals();
    let listed = renewals.instance(service, id);
    let kept = listed.and_then(|listed| Kept::of(listed));
    if let (Some(listed), Some(kept)) = (listed, &kept) {
        let is_newer = kept.dirty != 0 && stamp.last_dirty > kept.dirty;
        // Whoever renews a copy has come over, and registers: else its end at the other server would be its end here.
        let comes_over = context.comes_over(kept);
        if !is_app(kept, named) || is_newer || stamp.is_unknown || comes_over {
            return Err(NOT_LISTED);
        }
        if context.from_peer && stamp.last_dirty != 0 && stamp.last_dirty < kept.dirty {
            return Err(newer(listed));
        }
        context.check_mirrored(Some(kept))?;
    } else if listed.is_some() {
        context.check_mirrored(None)?;
    }
    let others = kept.map(|kept| kept.also).unwrap_or_default();
    match renewals.renew(service, id, &actor) {
        Renewed::Renewed(_) => {}
        Renewed::Unknown => return Err(NOT_LISTED),
        Renewed::NotYours => return Err(api.not_yours(&context.asker, service, id).into()),
        Renewed::Loading => return Err(Problem::loading().into()),
    }
    for other in &others {
        let actor = api.renewer(&context.asker, other, id)?;
        // If one lease of it is over, all of it is registered anew.
        let there = renewals.instance(other, id).ok_or(NOT_LISTED)?;
        let is_twin = Kept::of(there).and_then(|it| it.twin_of).is_some_and(|of| of == service);
        if is_twin && renewals.renew(other, id, &actor) == Renewed::Unknown {
            return Err(NOT_LISTED);
        }
    }
    Ok(StatusCode::OK)
}

/// Whether what is kept is of the app that was named; several apps may be one service.
fn is_app(kept: &Kept<'_>, named: &Named) -> bool {
    kept.twin_of.is_none() && names::is_same_app(&kept.app, &named.app)
}

/// A listed instance that was named, where it is.
struct Found {
    service: ServiceName,
    id: InstanceId,
    instance: Arc<Instance>,
}

impl Found {
    fn new(context: &Context, named: &Named) -> Result<Self, Failure> {
        let service = names::service("app", &named.app)?;
        let instance = context.listed(&service, &named.id)?.ok_or(NOT_LISTED)?;
        let kept = Kept::of(&instance);
        if kept.as_ref().is_some_and(|kept| !is_app(kept, named)) {
            return Err(NOT_LISTED);
        }
        context.check_mirrored(kept.as_ref())?;
        Ok(Self { service, id: instance.id.clone(), instance })
    }

    /// The services in which it is by its vip addresses.
    fn others(&self) -> Vec<ServiceName> {
        others(&self.instance)
    }
}

fn others(instance: &Instance) -> Vec<ServiceName> {
    let also = Kept::of(instance).map(|kept| kept.also).unwrap_or_default();
    also.iter().filter_map(|one| ServiceName::parse(one).ok()).collect()
}

/// Takes an instance off the list, everywhere.
pub(super) async fn cancel(context: &Context, named: &Named) -> Result<StatusCode, Failure> {
    let Found { service, id, .. } = Found::new(context, named)?;
    let command = Command::Deregister { service: service.clone(), id: id.clone() };
    let outcome = context.command(command).await?.map_err(Failure::from)?;
    // As it was when it was taken off, whatever it was when it was looked at.
    let gone = outcome.changes.iter().filter_map(|change| change.before.as_deref());
    for other in gone.flat_map(others) {
        context.deregister_twin(other, &service, &id).await;
    }
    Ok(StatusCode::OK)
}

/// Sets a status above the instance's own. `UP` is not set above one that is down: it ends what was set before, unless the
/// instance itself says that it is out of service.
pub(super) async fn set_status(
    context: &Context,
    named: &Named,
    change: StatusChange,
) -> Result<StatusCode, Failure> {
    let words = "must be UP, DOWN, STARTING, OUT_OF_SERVICE or UNKNOWN";
    let status = change.status.ok_or_else(|| Invalid::new("value", words))?;
    let found = Found::new(context, named)?;
    let ends = match status {
        Status::Unknown => true,
        Status::Up => found.instance.declared.state != State::Draining,
        _ => false,
    };
    if ends {
        return override_all(context, found, None).await;
    }
    let secs = change.expires_in_secs.map(|secs| secs.map_or(-1, i64::from));
    let until_unix_ms = secs.map(|secs| end_of(secs, unix_ms())).transpose()?;
    let declared = declared(status, change.reason.as_deref())?;
    override_all(context, found, Some(Override { declared, until_unix_ms })).await
}

/// Ends a status that was set.
pub(super) async fn end_status(context: &Context, named: &Named) -> Result<StatusCode, Failure> {
    override_all(context, Found::new(context, named)?, None).await
}

async fn override_all(
    context: &Context,
    found: Found,
    override_: Option<Override>,
) -> Result<StatusCode, Failure> {
    let others = found.others();
    let Found { service, id, .. } = found;
    let set = |service: ServiceName| Command::Override {
        service,
        id: id.clone(),
        override_: override_.clone(),
    };
    context.command(set(service.clone())).await?.map_err(Failure::from)?;
    for other in others {
        let there = context.listed(&other, id.as_str())?;
        if there.is_some_and(|there| is_twin_of(&there, &service)) {
            context.command(set(other)).await?.map_err(Failure::from)?;
        }
    }
    Ok(StatusCode::OK)
}

/// Changes metadata, and nothing else.
pub(super) async fn metadata(
    context: &Context,
    named: &Named,
    pairs: &[(String, String)],
) -> Result<StatusCode, Failure> {
    if pairs.is_empty() {
        return Err(Invalid::new("query", "must name a key of the metadata").into());
    }
    for _ in 0..MAX_TRIES {
        let found = Found::new(context, named)?;
        let others = found.others();
        match amend_metadata(context, &found.service, &found.instance, pairs).await? {
            Err(Refusal::Outdated) => continue,
            Err(refusal) => return Err(refusal.into()),
            Ok(()) => {}
        }
        for other in others {
            let there = context.listed(&other, found.id.as_str())?;
            if let Some(there) = there.filter(|there| is_twin_of(there, &found.service)) {
                // Another change of it is as new as this one, and the next registration tells all.
                let _ = amend_metadata(context, &other, &there, pairs).await?;
            }
        }
        return Ok(StatusCode::OK);
    }
    Err(Refusal::Outdated.into())
}

async fn amend_metadata(
    context: &Context,
    service: &ServiceName,
    instance: &Instance,
    pairs: &[(String, String)],
) -> Result<Result<(), Refusal>, Failure> {
    let texts = &instance.body.texts;
    let given = |key: &str| pairs.iter().any(|(name, _)| name == key);
    let meta = texts.meta().filter(|(key, _)| !given(key));
    let last = |at: usize, key: &str| !pairs.iter().skip(at + 1).any(|(name, _)| name == key);
    let new = pairs.iter().enumerate().filter(|(at, (key, _))| last(*at, key));
    let meta = meta.chain(new.map(|(_, (key, value))| (key.as_str(), value.as_str())));
    let tags = texts.tags().map(|tag| Tag::parse("tags", tag)).collect::<Result<_, _>>()?;
    let version = texts.version().map(|version| Tag::parse("version", version)).transpose()?;
    let texts = Texts::new(version.as_ref(), tags, meta)?;
    let body = Body { texts, ..instance.body.clone() };
    let command = Command::Register {
        service: service.clone(),
        id: instance.id.clone(),
        body: Box::new(body.checked()?),
        declared: None,
        basis: Basis::Listed(Some(instance.revision)),
    };
    Ok(context.command(command).await?.map(drop))
}
