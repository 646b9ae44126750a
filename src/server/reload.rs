//! SIGHUP: reads the configuration and the zone files again, and changes what can be changed while serving.
//!
//! Every part is taken as a whole or stays as it was; what was refused is said in the log.

use std::sync::Arc;

use parking_lot::RwLock;

use super::{Given, zones};
use crate::access::Access;
use crate::access::key::Keys;
use crate::api::secrets;
use crate::config::{Lease, Live};
use crate::telemetry;
use crate::view::View;

/// What a reload reaches.
pub(super) struct Reloader {
    given: Given,
    live: Arc<Live>,
    view: Arc<View>,
    access: Arc<Access>,
    keys: Arc<Keys>,
    bounds: Arc<RwLock<Lease>>,
}

impl Reloader {
    pub(super) fn new(
        given: Given,
        live: Arc<Live>,
        view: Arc<View>,
        access: Arc<Access>,
        keys: Arc<Keys>,
        bounds: Arc<RwLock<Lease>>,
    ) -> Self {
        Self { given, live, view, access, keys, bounds }
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

    fn reload_zones(&self) {
        match zones::load(&self.live.get()) {
            Ok(new) => match zones::conflict(&new, &self.view) {
                None => self.view.set_zones(new),
                Some(conflict) => tracing::error!(
                    "the zones stay as they were: {} line {} would cover `{}`, which is listed",
                    conflict.file,
                    conflict.line,
                    conflict.name
                ),
            },
            Err(errors) => {
                for error in errors {
                    tracing::error!("the zones stay as they were: {error}");
                }
            }
        }
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
        let mut left_out = Vec::new();
        while let Some(conflict) = zones::conflict(&self.view.zones().1, &self.view) {
            let (file, line, name) = (conflict.file, conflict.line, conflict.name);
            tracing::error!(
                "{file} is not loaded: its line {line} would cover `{name}`, which is listed"
            );
            if left_out.contains(&file) {
                return;
            }
            left_out.push(file);
            match zones::load_without(&self.live.get(), &left_out) {
                Ok(zones) => self.view.set_zones(zones),
                Err(errors) => return tracing::error!("{}", errors.join("\n")),
            }
        }
    }
}
