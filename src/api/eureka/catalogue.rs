//! The list of all instances, as it is sent: a copy of what is seen, made anew where something has changed.
//!
//! It is brought up to date before each reply, so that a change is in the very next one. What is sent are the octets of
//! the services' parts as they lie here, so that a list of 100,000 instances costs little while few of them change.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use axum::body::Bytes;

use super::fragment::{Form, Fragment, applications};
use super::gzip::{Member, Part};
use super::kept::{Kept, shown};
use super::names::{app_of, has_vip};
use super::wire::{Action, Counts, Info};
use super::write::Format;
use crate::registrar::{Listed, MAX_FEED, Registrar, Seen, Standing, Taken};
use crate::registry::ServiceName;
use crate::view::LeaseTime;

/// How long a change is among those of `apps/delta`, in milliseconds: clients ask every 30 s, and after a longer absence
/// for the whole list.
pub(super) const DELTA_MS: u64 = 180_000;
/// Instances that are copied at a time while others wait for the roster: some hundred microseconds.
const SLICE: usize = 2_000;
/// Goes at the changes that wait: nobody waits for the last of them while they come faster than they are copied.
const MAX_ROUNDS: usize = 1_000;
/// Services that are asked for at a time.
const SERVICES: usize = 1_000;
/// How long a form is kept that nobody asks for, in milliseconds: ten rounds of a client.
const UNUSED_MS: u64 = 300_000;
/// What a copy that has missed something cannot have counted: its holder asks for the whole list then.
const RESYNC: &str = "RESYNC_1_";

/// A document, in the pieces that it was put together from.
#[derive(Debug, Clone)]
pub(super) struct Document {
    pub(super) pieces: Arc<[Bytes]>,
}

/// The copy.
#[derive(Debug)]
pub(super) struct Catalogue {
    services: BTreeMap<ServiceName, Fragment>,
    /// Moves with the content, and is beyond that of any server before.
    version: u64,
    recent: VecDeque<Seen>,
    is_copied: bool,
    /// Until when somebody may hold a copy from before the recent changes.
    resync_until: LeaseTime,
    documents: [Option<Document>; Form::COUNT],
    deltas: [Option<(LeaseTime, Document)>; Form::COUNT],
    used: [Option<LeaseTime>; Form::COUNT],
}

/// The time, twice.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now {
    pub(super) lease: LeaseTime,
    pub(super) unix_ms: u64,
}

impl Catalogue {
    /// An empty copy that is yet to be made. `unix_ms` is when the server began.
    pub(super) fn new(unix_ms: u64) -> Self {
        Self {
            services: BTreeMap::new(),
            version: unix_ms,
            recent: VecDeque::new(),
            is_copied: false,
            resync_until: LeaseTime::from_millis(0),
            documents: Default::default(),
            deltas: Default::default(),
            used: Default::default(),
        }
    }

    /// Brings the copy up to date.
    pub(super) fn refresh(&mut self, registrar: &Registrar, now: Now) {
        let version = self.version;
        for _ in 0..MAX_ROUNDS {
            let Some(taken) = registrar.take_feed(SLICE).filter(|_| self.is_copied) else {
                self.copy_all(registrar, now);
                continue;
            };
            if !self.take(taken, now) {
                break;
            }
        }
        let is_over = |seen: &Seen| now.lease.since(seen.at) > DELTA_MS;
        while self.recent.len() > MAX_FEED || self.recent.front().is_some_and(is_over) {
            if self.recent.pop_front().is_some_and(|seen| !is_over(&seen)) {
                // Of so many it is better to ask for the whole list.
                self.resync_until = now.lease.plus(DELTA_MS);
            }
        }
        if self.version != version {
            self.documents = Default::default();
            self.deltas = Default::default();
            self.forget_unused(now);
        }
    }

    /// Takes changes; says whether more wait.
    fn take(&mut self, taken: Taken, now: Now) -> bool {
        self.version += taken.changes.len() as u64;
        self.recent.extend(taken.changes);
        for (service, listed) in taken.services {
            self.put(service, listed, now);
        }
        taken.more
    }

    /// Copies everything, slice by slice; what changes meanwhile is told afterwards.
    fn copy_all(&mut self, registrar: &Registrar, now: Now) {
        registrar.begin_feed();
        let nobody_has_one = !self.is_copied && registrar.began_empty();
        *self = Self { version: self.version + 1, used: self.used, ..Self::new(0) };
        self.is_copied = true;
        if !nobody_has_one {
            self.resync_until = now.lease.plus(DELTA_MS);
        }
        let mut after: Option<String> = None;
        loop {
            let some = registrar.services(after.as_deref(), SERVICES);
            for summary in &some {
                let listed = registrar.seen(&summary.service);
                self.put(summary.service.clone(), listed, now);
            }
            match some.last() {
                Some(last) => after = Some(last.service.to_string()),
                None => break,
            }
        }
    }

    fn put(&mut self, service: ServiceName, listed: Vec<Listed>, now: Now) {
        match Fragment::new(listed, now.unix_ms) {
            Some(fragment) => drop(self.services.insert(service, fragment)),
            None => drop(self.services.remove(&service)),
        }
    }

    fn forget_unused(&mut self, now: Now) {
        for (form, used) in self.used.iter_mut().enumerate() {
            if used.is_some_and(|used| now.lease.since(used) > UNUSED_MS) {
                *used = None;
                self.services.values_mut().for_each(|fragment| fragment.forget(form));
            }
        }
    }

    /// The version of what is copied.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// The whole list.
    pub(super) fn all(&mut self, form: Form, now: Now) -> Document {
        self.used[form.index()] = Some(now.lease);
        if let Some(document) = &self.documents[form.index()] {
            return document.clone();
        }
        let document = self.list(form, |_| true);
        self.documents[form.index()] = Some(document.clone());
        document
    }

    /// The list of those services that are for who asks.
    pub(super) fn list(&self, form: Form, is_for: impl Fn(&str) -> bool) -> Document {
        let fragments = self.services.iter().filter(|(service, _)| is_for(service.as_str()));
        let fragments: Vec<_> = fragments.map(|(_, fragment)| fragment).collect();
        let mut counts = Counts::default();
        fragments.iter().for_each(|fragment| counts.add_all(fragment.counts()));
        let Form { format, gzip } = form;
        let head = format.head(self.version, &counts.hash());
        if !gzip {
            let mut pieces: Vec<Bytes> = vec![head.into()];
            for (at, fragment) in fragments.iter().enumerate() {
                if at > 0 && !format.between().is_empty() {
                    pieces.push(format.between().into());
                }
                pieces.push(fragment.plain(format));
            }
            pieces.push(format.tail().into());
            return Document { pieces: pieces.into() };
        }
        let between = Part::new(format.between().as_bytes());
        let mut member = Member::new();
        member.push(&Part::new(head.as_bytes()));
        for (at, fragment) in fragments.iter().enumerate() {
            if at > 0 {
                member.push(&between);
            }
            if let Some(part) = fragment.gzip(format) {
                member.push(part);
            }
        }
        member.push(&Part::new(format.tail().as_bytes()));
        Document { pieces: member.finish().into() }
    }

    /// What has changed lately, with the hash of the whole list.
    pub(super) fn delta(
        &mut self,
        form: Form,
        now: Now,
        is_for: Option<&dyn Fn(&str) -> bool>,
    ) -> Document {
        if let (None, Some((made, document))) = (is_for, &self.deltas[form.index()])
            && now.lease.since(*made) < DELTA_MS / 6
        {
            return document.clone();
        }
        let document = self.make_delta(form, now, is_for);
        if is_for.is_none() {
            self.deltas[form.index()] = Some((now.lease, document.clone()));
        }
        document
    }

    fn make_delta(&self, form: Form, now: Now, is_for: Option<&dyn Fn(&str) -> bool>) -> Document {
        let is_for = |service: &str| is_for.is_none_or(|is_for| is_for(service));
        // By app: one app's instance with an id must not hide that another's, in the same service, is gone.
        let mut last: BTreeMap<(String, &str), &Seen> = BTreeMap::new();
        for seen in &self.recent {
            let (service, id) = (seen.instance.service.as_str(), seen.instance.id.as_str());
            let kept = Kept::of(&seen.instance);
            if is_for(service) && kept.as_ref().is_none_or(|kept| kept.twin_of.is_none()) {
                let app = kept.map_or_else(|| app_of(service), |kept| kept.app.into_owned());
                last.insert((app, id), seen);
            }
        }
        let listed: Vec<_> = last.values().map(|seen| (as_listed(seen), seen.gone)).collect();
        let infos = listed.iter().map(|(listed, gone)| {
            let info = shown(listed, now.unix_ms).info;
            let action = if *gone { Action::Deleted } else { info.action };
            Info { action, ..info }
        });
        let apps = applications(form.format, infos);
        let mut counts = Counts::default();
        for (service, fragment) in &self.services {
            if is_for(service.as_str()) {
                counts.add_all(fragment.counts());
            }
        }
        let mut hash = counts.hash();
        if now.lease < self.resync_until {
            hash.push_str(RESYNC);
        }
        let Form { format, gzip } = form;
        let text = [&*format.head(self.version, &hash), &apps, format.tail()].concat();
        document(text, gzip)
    }
}

/// A document of one piece of text.
pub(super) fn document(text: String, gzip: bool) -> Document {
    let pieces = if gzip {
        let mut member = Member::new();
        member.push(&Part::new(text.as_bytes()));
        member.finish()
    } else {
        vec![text.into()]
    };
    Document { pieces: pieces.into() }
}

/// Whether the list has an instance: not one whose lease has lapsed, unless it is held.
pub(super) fn is_seen(listed: &Listed) -> bool {
    listed.standing != Standing::Suspect
}

fn as_listed(seen: &Seen) -> Listed {
    let instance = seen.instance.clone();
    Listed { expires_in_ms: instance.body.lease.millis(), instance, standing: Standing::Live }
}

/// The instances among some that are shown under a vip address.
pub(super) fn with_vip<'a>(
    listed: &'a [Listed],
    vip: &str,
    secure: bool,
    now_unix_ms: u64,
) -> Vec<Info<'a>> {
    let infos = listed.iter().map(|listed| shown(listed, now_unix_ms).info);
    let has = |info: &Info<'_>| {
        let list = if secure { &info.secure_vip } else { &info.vip };
        list.as_deref().is_some_and(|list| has_vip(list, vip))
    };
    infos.filter(has).collect()
}

/// One text of instances as a whole list, with a hash of its own.
pub(super) fn own_list<'a>(format: Format, version: u64, infos: Vec<Info<'a>>) -> String {
    let mut counts = Counts::default();
    infos.iter().for_each(|info| counts.add(info.status));
    let head = format.head(version, &counts.hash());
    [&*head, &applications(format, infos.into_iter()), format.tail()].concat()
}
