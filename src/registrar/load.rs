//! Loading: from the store to the registry and the view, before the first command is taken.

use crate::registry::{Instance, Registry};
use crate::store::{Loaded, Store, StoreError, Stored};
use crate::view::{LeaseStart, LeaseTime, View};

/// Loads everything that is stored, a service at a time: it is published when it is whole. Each lease runs its term
/// again, at most what was left when it was last flushed, and up to a tenth more, so that they do not end together.
/// `None` if `stop` said to leave off.
pub(super) fn load(
    store: &mut Store,
    registry: &mut Registry,
    view: &View,
    now: impl Fn() -> LeaseTime,
    stop: impl Fn() -> bool,
) -> Result<Option<Loaded>, StoreError> {
    view.make_room(store.count()?);
    let mut service: Vec<Stored> = Vec::new();
    let mut publish = |service: &mut Vec<Stored>| {
        let mut edit = view.edit(now());
        for stored in service.drain(..) {
            let instance = registry.restore(stored.instance);
            let remaining = remaining_at_start(&instance, stored.remaining_ms);
            edit.list(&instance, LeaseStart::Remaining(remaining));
        }
    };
    let mut stopped = false;
    let loaded = store.load(|stored| {
        if stopped {
            return;
        }
        if service.last().is_some_and(|last| last.instance.service != stored.instance.service) {
            publish(&mut service);
            stopped = stop();
        }
        service.push(stored);
    })?;
    if stopped {
        return Ok(None);
    }
    publish(&mut service);
    Ok(Some(loaded))
}

/// What a stored lease has from the start on: its term, at most what was left, and up to a tenth more. Not less:
/// nothing ends before the deadline that was acknowledged.
fn remaining_at_start(instance: &Instance, flushed_ms: Option<u64>) -> u64 {
    use std::hash::{BuildHasher, RandomState};
    let term = instance.body.lease.millis().unwrap_or(0);
    let left = flushed_ms.map_or(term, |flushed| flushed.min(term));
    let tenth = left / 10;
    let random = RandomState::new().hash_one(&instance.label);
    (left + random % (tenth + 1)).max(1)
}
