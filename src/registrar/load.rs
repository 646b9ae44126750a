//! Loading: from the store to the registry and the view, before the first command is taken.
//!
//! Two threads share the work: this one reads rows into the registry, another publishes them. In between go whole
//! services, so that a service is published when it is complete.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use crate::registry::{Instance, Registry};
use crate::store::{Loaded, Store, StoreError, Stored};
use crate::view::{LeaseStart, LeaseTime, View};

/// Instances that are handed over at once, with the rest of their service: threads are woken seldom.
const INSTANCES_A_PARCEL: usize = 2000;
/// Parcels that may be read and not yet published: enough that neither thread waits for the other's slow moment.
const PARCELS_BETWEEN: usize = 4;

/// Instances of whole services, in the order of services and ids, and what is left of their leases in milliseconds.
type Parcel = Vec<(Arc<Instance>, u64)>;

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
    let (sender, parcels) = sync_channel(PARCELS_BETWEEN);
    thread::scope(|scope| {
        let publishing = scope.spawn(move || publish_each(&parcels, view, now));
        let read = read_all(store, registry, &sender, stop);
        drop(sender); // the other thread ends after the last parcel
        if let Err(panic) = publishing.join() {
            std::panic::resume_unwind(panic);
        }
        read
    })
}

/// Puts back whose the names of services are, when all instances are there; gives what could not be read.
pub(super) fn load_claims(
    store: &Store,
    registry: &mut Registry,
    now_unix_ms: u64,
) -> Result<Vec<String>, StoreError> {
    let (claims, skipped) = store.claims()?;
    for (service, claim) in claims {
        registry.restore_claim(&service, claim, now_unix_ms);
    }
    Ok(skipped)
}

/// Reads row by row and hands over parcel by parcel.
fn read_all(
    store: &mut Store,
    registry: &mut Registry,
    sender: &SyncSender<Parcel>,
    stop: impl Fn() -> bool,
) -> Result<Option<Loaded>, StoreError> {
    let mut parcel = Parcel::new();
    let mut stopped = false;
    let loaded = store.load(|stored| {
        let Stored { instance, remaining_ms } = stored;
        let another = |(last, _): &(Arc<Instance>, u64)| last.service != instance.service;
        if parcel.len() >= INSTANCES_A_PARCEL && parcel.last().is_some_and(another) {
            let next = Parcel::with_capacity(2 * INSTANCES_A_PARCEL);
            // Nobody takes it only if the other thread has panicked, which is noticed when it is joined.
            stopped = sender.send(std::mem::replace(&mut parcel, next)).is_err() || stop();
            if stopped {
                return ControlFlow::Break(());
            }
        }
        let remaining = remaining_at_start(&instance, remaining_ms);
        parcel.push((registry.restore(instance), remaining));
        ControlFlow::Continue(())
    })?;
    if stopped {
        return Ok(None);
    }
    let _ = sender.send(parcel);
    Ok(Some(loaded))
}

fn publish_each(parcels: &Receiver<Parcel>, view: &View, now: impl Fn() -> LeaseTime) {
    for parcel in parcels {
        for service in parcel.chunk_by(|(one, _), (next, _)| one.service == next.service) {
            let mut edit = view.edit(now());
            for (instance, remaining) in service {
                edit.list(instance, LeaseStart::Remaining(*remaining));
            }
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
