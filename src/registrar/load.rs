//! Loading: from the store to the registry and the view, before the first command is taken.
//!
//! Two threads share the work: this one reads rows, another lists what they say. In between go whole services, so
//! that a service is published when it is complete.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use crate::registry::{Instance, Registry};
use crate::store::{Loaded, Store, StoreError, Stored};
use crate::view::{LeaseStart, LeaseTime, View};

/// Services that may be read and not yet published: enough that neither thread waits for the other's slow moment.
const SERVICES_BETWEEN: usize = 256;

/// The instances of one service, in the order of their ids.
type Service = Vec<Stored>;

/// Loads everything that is stored, a service at a time. Each lease runs its term again, at most what was left when it
/// was last flushed, and up to a tenth more, so that they do not end together. `None` if `stop` said to leave off.
pub(super) fn load(
    store: &mut Store,
    registry: &mut Registry,
    view: &View,
    now: impl Fn() -> LeaseTime + Send,
    stop: impl Fn() -> bool,
) -> Result<Option<Loaded>, StoreError> {
    view.make_room(store.count()?);
    let (sender, services) = sync_channel(SERVICES_BETWEEN);
    thread::scope(|scope| {
        let publishing = scope.spawn(move || publish_each(&services, registry, view, now));
        let read = read_all(store, sender, stop);
        // The sender is gone: the other thread ends after the last service.
        if let Err(panic) = publishing.join() {
            std::panic::resume_unwind(panic);
        }
        read
    })
}

/// Reads row by row and hands over service by service.
fn read_all(
    store: &mut Store,
    sender: SyncSender<Service>,
    stop: impl Fn() -> bool,
) -> Result<Option<Loaded>, StoreError> {
    let mut service = Service::new();
    let mut stopped = false;
    let loaded = store.load(|stored| {
        if stopped {
            return;
        }
        if service.last().is_some_and(|last| last.instance.service != stored.instance.service) {
            // Nobody takes it only if the other thread has panicked, which is noticed when it is joined.
            stopped = sender.send(std::mem::take(&mut service)).is_err() || stop();
        }
        service.push(stored);
    })?;
    if stopped {
        return Ok(None);
    }
    let _ = sender.send(service);
    Ok(Some(loaded))
}

fn publish_each(
    services: &Receiver<Service>,
    registry: &mut Registry,
    view: &View,
    now: impl Fn() -> LeaseTime,
) {
    for service in services {
        let mut edit = view.edit(now());
        for stored in service {
            let instance = registry.restore(stored.instance);
            let remaining = remaining_at_start(&instance, stored.remaining_ms);
            edit.list(&instance, LeaseStart::Remaining(remaining));
        }
    }
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
