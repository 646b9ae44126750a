//! The doors for DNS over HTTPS and over QUIC: opened together, because they answer with the same answerers.

use std::io;
use std::net::{TcpListener, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle as Task;

use super::doors_figures::{Figures, OpenDoor};
use crate::config::Dns;
use crate::net::replier::Replier;
use crate::net::tls::{Certificates, server_config};
use crate::net::{Answer, Stop, https, quic};
use crate::view::LeaseTime;

/// What the doors are opened with.
pub(super) struct Parts<'a, A, C> {
    pub(super) https: Vec<TcpListener>,
    pub(super) quic: Vec<UdpSocket>,
    pub(super) certificates: &'a Certificates,
    pub(super) config: &'a Dns,
    pub(super) replier: Replier<A, C>,
    pub(super) stop: &'a Stop,
    pub(super) runtime: &'a Runtime,
    pub(super) figures: &'a Mutex<Figures>,
}

/// Opens the doors for which there are sockets; what is returned ends after the stop.
///
/// # Errors
/// TLS cannot be spoken.
pub(super) fn open<A, C>(parts: Parts<'_, A, C>) -> io::Result<Vec<Task<()>>>
where
    A: Answer,
    C: Fn() -> LeaseTime + Send + Sync + 'static,
{
    let Parts { certificates, config, stop, runtime, figures, .. } = parts;
    let replier = Arc::new(parts.replier);
    let (connections, per_client) = (config.tcp_max_connections, config.tcp_max_per_client);
    let idle = Duration::from_secs(config.tcp_idle_secs);
    let mut tasks = Vec::new();
    if !parts.https.is_empty() {
        let limits = https::Limits { connections, per_client, idle, ..https::Limits::default() };
        let tls = server_config(certificates, &https::ALPN).map_err(io::Error::other)?;
        let door = https::Door::new(limits, tls, replier.clone(), stop.clone());
        let (counters, open) = (door.counters(), door.clone());
        figures.lock().https = Some(OpenDoor { counters, open: Box::new(move || open.open()) });
        for listener in parts.https {
            let served = door.clone().serve(listener);
            tasks.push(runtime.spawn(async move {
                if let Err(error) = served.await {
                    tracing::error!(%error, "a listener for DNS over HTTPS is closed");
                }
            }));
        }
    }
    if !parts.quic.is_empty() {
        let limits = quic::Limits { connections, per_client, idle, ..quic::Limits::default() };
        let tls = server_config(certificates, &quic::ALPN).map_err(io::Error::other)?;
        let door = quic::Door::new(limits, tls, replier, stop.clone())?;
        let (counters, open) = (door.counters(), door.clone());
        figures.lock().quic = Some(OpenDoor { counters, open: Box::new(move || open.open()) });
        for socket in parts.quic {
            let served = door.clone().serve(socket);
            tasks.push(runtime.spawn(async move {
                if let Err(error) = served.await {
                    tracing::error!(%error, "a socket for DNS over QUIC is closed");
                }
            }));
        }
    }
    Ok(tasks)
}
