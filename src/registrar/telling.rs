//! What the registrar tells: every change and every lease that came to stand elsewhere, once, with a revision.
//!
//! Where a lease stands changes without the registrar; it looks at the beginning of a step, when no change is between its
//! decision and the view. So the events of an instance are in the order in which it changed.

use std::collections::HashMap;
use std::sync::Arc;

use super::core::{Core, Decided, Kind, Now};
use crate::history::{self, Event};
use crate::registry::{Change, InstanceId, ServiceName};
use crate::store::StoreError;
use crate::view::{Standing, Stood};

impl Core {
    /// Puts back what happened before the server began: after all instances are loaded, whose leases run anew. `revision` is
    /// the store's.
    pub(super) fn load_history(
        &mut self,
        revision: u64,
        unix_ms: u64,
    ) -> Result<Vec<String>, StoreError> {
        let stored = self.store.history()?;
        // It did not end well: what it told last may not be there.
        let ended_well = stored.reserved_revision <= revision;
        let gaps = if ended_well { stored.gaps } else { stored.reserved_revision };
        self.registry.advance_to(stored.reserved_revision);
        let lapsed = lapsed_at_the_end(&stored.events);
        let now = self.registry.revision();
        let forgotten = self.history.restore(stored.events, gaps, now);
        self.owed.tell([], forgotten);
        let revived = lapsed.into_iter().filter_map(|(service, id)| {
            let instance = self.registry.get(&service, &id)?.clone();
            let at = (self.registry.count_on(), unix_ms);
            Some(Arc::new(Event::of_standing(
                &instance,
                Standing::Live,
                "the server began anew",
                at,
            )))
        });
        let revived: Vec<_> = revived.collect();
        self.tell_unwaited(revived);
        let skipped = match stored.skipped {
            0 => Vec::new(),
            skipped => vec![format!("table history, {skipped} rows")],
        };
        Ok(skipped)
    }

    /// Tells of leases that have come to stand elsewhere. It does not wait for the disk: they do so already.
    pub(super) fn tell_stood(&mut self, now: Now) {
        if !self.view.has_stood() {
            return;
        }
        let told = self.view.take_stood().into_iter().map(|stood| {
            let Stood { instance, standing, by_all } = &stood;
            let reason = match (standing, by_all) {
                (Standing::Held, true) => "too many leases of all services lapsed together",
                (Standing::Held, false) => "too many leases of the service lapsed together",
                _ => "it was renewed late",
            };
            let at = (self.registry.count_on(), now.unix_ms);
            Arc::new(Event::of_standing(instance, *standing, reason, at))
        });
        let told: Vec<_> = told.collect();
        self.tell_unwaited(told);
    }

    /// Tells what is so already; the store is owed it.
    pub(super) fn tell_unwaited(&mut self, events: Vec<Arc<Event>>) {
        let forgotten = self.history.tell(&events);
        self.owed.tell(events, forgotten);
    }

    /// What a removal is that does not wait for the disk.
    pub(super) fn expired(
        &self,
        change: &Change,
        by: &crate::access::Asker,
        now: Now,
    ) -> Arc<Event> {
        Arc::new(Event::of_change(change, now.unix_ms, by, Standing::Suspect, true))
    }

    /// What a batch is about to have done, in the order of the revisions.
    pub(super) fn events_of(&self, decided: &[Decided], now: Now) -> Vec<Arc<Event>> {
        let mut events = Vec::new();
        for Decided { by, result, kind, .. } in decided {
            let changes = result.as_ref().map_or(&[][..], |outcome| &outcome.changes);
            for change in changes {
                let standing = match kind {
                    Kind::Register(..) => Standing::Live,
                    Kind::Other => self.standing(change, now),
                };
                let event = Event::of_change(change, now.unix_ms, by.by(), standing, false);
                events.push(Arc::new(event));
            }
        }
        events
    }

    /// Where the lease stands of an instance that is changed and not registered.
    fn standing(&self, change: &Change, now: Now) -> Standing {
        let instance = change.instance();
        let (service, id) = (instance.service.as_str(), instance.id.as_str());
        let listed = self.view.instance(service, id, now.lease);
        listed.map_or(Standing::Live, |listed| listed.standing)
    }
}

/// The instances whose leases had lapsed when the server ended.
fn lapsed_at_the_end(events: &[Event]) -> Vec<(ServiceName, InstanceId)> {
    let mut last: HashMap<(&ServiceName, &InstanceId), &Event> = HashMap::new();
    for event in events {
        last.insert((&event.service, &event.id), event);
    }
    let is_lapsed = |event: &&Event| {
        event.after.is_some_and(|history::After { standing, .. }| standing != Standing::Live)
    };
    let mut lapsed: Vec<_> = last.into_values().filter(is_lapsed).collect();
    lapsed.sort_unstable_by_key(|event| event.revision);
    lapsed.into_iter().map(|event| (event.service.clone(), event.id.clone())).collect()
}
