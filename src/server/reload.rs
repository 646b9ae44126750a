//! SIGHUP: reads the configuration and the zone files again, and changes what can be changed while serving.
//!
//! Every part is taken as a whole or stays as it was; what was refused is said in the log.

use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use super::doors::Doors;
use super::{Given, zones};
use crate::access::Access;
use crate::access::key::Keys;
use crate::api::secrets;
use crate::config::{Lease, Live};
use crate::registrar::Registrar;
use crate::telemetry;
use crate::view::View;
use crate::view::zones::Conflict;

/// What a reload reaches.
pub(super) struct Reloader {
    given: Given,
    live: Arc<Live>,
    view: Arc<View>,
    registrar: Registrar,
    access: Arc<Access>,
    keys: Arc<Keys>,
    bounds: Arc<RwLock<Lease>>,
    /// Zone files that are not served because they cover what was listed first.
    left_out: Arc<Mutex<Vec<Arc<str>>>>,
}

impl Reloader {
    pub(super) fn new(
        given: Given,
        live: Arc<Live>,
        view: Arc<View>,
        registrar: Registrar,
        doors: &Doors,
    ) -> Self {
        let (access, keys, bounds) = (doors.access(), doors.keys(), doors.bounds());
        Self { given, live, view, registrar, access, keys, bounds, left_out: Arc::default() }
    }

    /// Reloads what can be reloaded, and logs what cannot.
    pub(super) fn reload(&self) {
        match self.given.load() {
            Ok(new) => {
                let (config, kept) = self.live.get().reload_from(&new);
                for line in kept {
                    tracing::warn!("{line}");
                }
                self.live.set(config);
            }
            Err(errors) => {
                tracing::error!("the configuration stays as it was: {errors}");
                return;
            }
        }
        self.reload_zones();
        self.reload_secrets();
        let config = self.live.get();
        *self.bounds.write() = config.lease;
        let now = crate::view::LeaseTime::default();
        self.view.edit(now).set_settings(zones::settings(&config));
        if let Err(reason) = telemetry::set_level(&config.log.level) {
            tracing::error!("the log's level stays as it was: {reason}");
        }
        tracing::info!("reloaded");
    }

    /// New zones are in force at once, so that nobody registers what they have; those that cover what is listed
    /// already are taken back.
    fn reload_zones(&self) {
        let old = self.view.zones();
        match zones::load(&self.live.get()) {
            Ok(new) => self.view.set_zones(new),
            Err(errors) => {
                for error in errors {
                    tracing::error!("the zones stay as they were: {error}");
                }
                return;
            }
        }
        let (view, left_out, config) = (self.view.clone(), self.left_out.clone(), self.live.get());
        // What was registered before the change is listed by then.
        self.registrar.after_queued(move || {
            let mut left_out = left_out.lock();
            let Some(conflict) = zones::conflict(&view.zones(), &view) else {
                return left_out.clear();
            };
            say_left_out(&conflict);
            let without = zones::load_without(&config, &left_out).ok();
            let without = without.filter(|zones| zones::conflict(zones, &view).is_none());
            match without.filter(|_| left_out.contains(&conflict.zone_file)) {
                Some(zones) => view.set_zones(zones),
                None => {
                    tracing::error!("the zones stay as they were");
                    view.set_zones(old);
                }
            }
        });
    }

    fn reload_secrets(&self) {
        let config = self.live.get();
        match secrets::load_token(&config.http) {
            Ok(token) => self.access.reload(token),
            Err(reason) => tracing::error!("the token stays as it was: {reason}"),
        }
        let keys = secrets::load_keys(&config.udp.key_files);
        if let Err(reason) = keys.and_then(|keys| self.keys.replace(keys)) {
            tracing::error!("the keys stay as they were: {reason}");
        }
    }

    /// After the start: a zone file that covers what the store had listed is not served.
    pub(super) fn drop_conflicting_zone_files(&self) {
        let mut left_out = self.left_out.lock();
        while let Some(conflict) = zones::conflict(&self.view.zones(), &self.view) {
            let (name, file) = (&conflict.name, &conflict.file);
            if conflict.line == 0 {
                return tracing::error!(
                    "`{name}` is listed, and a zone of its own by {file}: that wins"
                );
            }
            say_left_out(&conflict);
            left_out.push(conflict.zone_file);
            match zones::load_without(&self.live.get(), &left_out) {
                Ok(zones) => self.view.set_zones(zones),
                Err(errors) => return tracing::error!("{}", errors.join("\n")),
            }
        }
    }
}

fn say_left_out(conflict: &Conflict) {
    let Conflict { name, file, line, zone_file } = conflict;
    tracing::error!(
        "{zone_file} is not loaded: {file} line {line} would cover `{name}`, which is listed"
    );
}
