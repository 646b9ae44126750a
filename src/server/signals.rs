//! The signals that a server lives by: SIGTERM and SIGINT end it, SIGHUP reloads; and what is done when all is loaded.

use std::pin::Pin;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::notify::Notify;
use super::reload::Reloader;
use super::{Loading, Server, supervision};
use crate::registrar::Registrar;
use crate::store::{Loaded, StoreError};

/// The signals that a server listens to.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    pub(super) fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Reloads at each SIGHUP; returns at SIGTERM or SIGINT, or if the registry cannot be loaded.
    ///
    /// What takes time (looking through all that is listed, reading zone files) runs on a thread of its own, so
    /// that a stop is heard meanwhile; a SIGHUP that comes during a reload waits for its end.
    pub(super) async fn serve(mut self, server: &Server, loading: Loading) -> Result<(), String> {
        let (reloader, herald) = (server.reloader.clone(), server.herald.clone());
        let mut work: Work = Box::pin(async move {
            let loaded = loading.await.map_err(|_| "the registrar ended while loading")?;
            blocking(move || is_loaded(loaded, &reloader, &herald)).await
        });
        let mut working = true;
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return Ok(()),
                _ = self.interrupt.recv() => return Ok(()),
                done = &mut work, if working => {
                    done?;
                    working = false;
                }
                _ = self.hang_up.recv(), if !working => {
                    let (reloader, herald) = (server.reloader.clone(), server.herald.clone());
                    work = Box::pin(blocking(move || {
                        herald.notify.reloading();
                        reloader.reload();
                        herald.ready();
                        Ok(())
                    }));
                    working = true;
                }
            }
        }
    }
}

type Work = Pin<Box<dyn Future<Output = Result<(), String>>>>;

async fn blocking(
    work: impl FnOnce() -> Result<(), String> + Send + 'static,
) -> Result<(), String> {
    tokio::task::spawn_blocking(work).await.map_err(|error| error.to_string())?
}

/// The registry is loaded, or was left off by a stop.
fn is_loaded(
    loaded: Result<Option<Loaded>, StoreError>,
    reloader: &Reloader,
    herald: &Herald,
) -> Result<(), String> {
    let Some(loaded) = loaded.map_err(|error| error.to_string())? else { return Ok(()) };
    for skipped in &loaded.skipped {
        tracing::error!("not loaded: {skipped}");
    }
    reloader.drop_conflicting_zone_files();
    let (instances, revision) = (loaded.instances, loaded.revision);
    tracing::info!(instances, revision, "ready {}", herald.addresses);
    herald.ready();
    Ok(())
}

/// Tells the service manager that all is ready.
#[derive(Clone)]
pub(super) struct Herald {
    pub(super) notify: Notify,
    pub(super) registrar: Registrar,
    /// Where the doors are.
    pub(super) addresses: String,
}

impl Herald {
    fn ready(&self) {
        self.notify.ready(&supervision::status(&self.registrar, &self.addresses));
    }
}
