//! SIGHUP: reads the configuration and the zone files again, and changes what can be changed while serving.
//!
//! Every part is taken as a whole or stays as it was; what was refused is said in the log.

use std::sync::Arc;
use std::sync::mpsc::sync_channel;

use parking_lot::{Mutex, RwLock};

use super::doors::Doors;
use super::encrypted::{reload_certificates, reload_http_tls};
use super::forward::Forwarding;
use super::{Given, clients, zones};
use crate::access::Access;
use crate::answer::clients::Clients;
use crate::api::secrets;
use crate::audit::Audit;
use crate::config::{Config, Lease, Live};
use crate::net::tls::{Certificates, DoorTls};
use crate::registrar::Registrar;
use crate::telemetry;
use crate::telemetry::tapping;
use crate::view::View;
use crate::view::zones::Conflict;

/// What a reload reaches.
pub(super) struct Reloader {
    given: Given,
    live: Arc<Live>,
    view: Arc<View>,
    registrar: Registrar,
    access: Arc<Access>,
    audit: Audit,
    tap: tapping::Handle,
    bounds: Arc<RwLock<Lease>>,
    forwarding: Arc<Forwarding>,
    clients: Arc<Clients>,
    certificates: Option<Certificates>,
    http_tls: Option<DoorTls>,
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
        Self {
            given,
            live,
            view,
            registrar,
            access: doors.access(),
            audit: doors.audit(),
            tap: doors.tap(),
            bounds: doors.bounds(),
            forwarding: doors.forwarding(),
            clients: doors.clients(),
            certificates: doors.certificates(),
            http_tls: doors.http_tls(),
            left_out: Arc::default(),
        }
    }

    /// Reloads what can be reloaded, and logs what cannot.
    pub(super) fn reload(&self) {
        tracing::info!("reloading");
        let new = match self.given.load() {
            Ok(new) => new,
            Err(errors) => return tracing::error!("all stays as it was: {errors}"),
        };
        let old = self.live.get();
        let (mut config, kept) = old.reload_from(&new);
        for line in kept {
            tracing::warn!("{line}");
        }
        let zones_before = self.view.zones();
        let zones_are_new = self.reload_zones(&config);
        if self.view.zones().names() != zones_before.names() {
            self.forwarding.forget_all();
        }
        if !zones_are_new {
            tracing::error!("the zones stay as they were");
            config.dns = old.dns.clone();
            config.answers.negative_ttl_secs = old.answers.negative_ttl_secs;
        }
        *self.bounds.write() = config.lease;
        self.view.set_settings(zones::settings(&config), self.registrar.now());
        self.reload_secrets(&config);
        if let Err(reason) = clients::reload(&self.clients, &config, &old) {
            tracing::error!("the secret of cookies stays as it was: {reason}");
        }
        if let Err(reason) = telemetry::set_level(&config.log.level) {
            tracing::error!("the log's level stays as it was: {reason}");
        }
        self.forwarding.configure(&config);
        self.live.set(config);
        if zones_are_new {
            tracing::info!("reloaded");
        } else {
            tracing::warn!("reloaded, but for the zones");
        }
    }

    /// New zones are in force at once, so that nobody registers what they have; those that cover what is listed
    /// already are taken back. False if the old ones stay.
    fn reload_zones(&self, config: &Config) -> bool {
        let old = self.view.zones();
        match zones::load(config) {
            Ok(new) => self.view.set_zones(new),
            Err(errors) => {
                for error in errors {
                    tracing::error!("{error}");
                }
                return false;
            }
        }
        self.wait_for_registrar();
        let mut left_out = self.left_out.lock();
        let Some(conflict) = zones::conflict(&self.view.zones(), &self.view) else {
            left_out.clear();
            return true;
        };
        say_left_out(&conflict);
        let without = zones::load_without(config, &left_out).ok();
        let without = without.filter(|zones| zones::conflict(zones, &self.view).is_none());
        if let Some(zones) = without.filter(|_| left_out.contains(&conflict.zone_file)) {
            self.view.set_zones(zones);
            return true;
        }
        self.view.set_zones(old);
        false
    }

    /// What was submitted before is listed, or refused, when it returns.
    fn wait_for_registrar(&self) {
        let (sender, receiver) = sync_channel(1);
        self.registrar.after_queued(move || {
            let _ = sender.send(());
        });
        let _ = receiver.recv(); // an error: the registrar has ended, and changes nothing any more
    }

    fn reload_secrets(&self, config: &Config) {
        match secrets::load_configured(config) {
            Ok(configured) => {
                self.access.configure(configured);
                if let Some(warning) = self.access.nobody_is_known() {
                    tracing::warn!("{warning}");
                }
            }
            Err(reason) => {
                tracing::error!("token, keys and principals stay as they were: {reason}");
            }
        }
        self.audit.reopen();
        self.tap.reopen();
        if let Some(certificates) = &self.certificates {
            reload_certificates(certificates, &config.dns);
        }
        if let Some(tls) = &self.http_tls {
            reload_http_tls(tls, &config.http);
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
    let Conflict { name, file, line, zone_file, .. } = conflict;
    tracing::error!(
        "{zone_file} is not loaded: {file} line {line} would cover `{name}`, which is listed"
    );
}
