//! Where what is tapped of queries goes, by the configuration.

use std::sync::Arc;

use crate::answer::tap::Taps;
use crate::config::Config;
use crate::registrar::Clock;
use crate::telemetry::dnstap::Dnstap;
use crate::telemetry::query_log::QueryLog;
use crate::telemetry::tapping::{self, Handle, Outlets, Tapping};

/// Begins to tap, if the configuration has anywhere for it to go.
pub(super) fn start(
    config: &Config,
    taps: &Arc<Taps>,
    clock: Arc<Clock>,
) -> Result<(Handle, Option<Tapping>), String> {
    let (log, dnstap) = (&config.query_log, &config.dnstap);
    let log_one_in = log.file.as_ref().map(|_| log.one_in);
    let dnstap_one_in = dnstap.socket.as_ref().map(|_| dnstap.one_in);
    let finest = log_one_in.into_iter().chain(dnstap_one_in).min().unwrap_or(1);
    let open = |path| QueryLog::open(path, log.one_in, finest, log.networks_only);
    let outlets = Outlets {
        log: log.file.as_deref().map(open).transpose()?,
        dnstap: dnstap
            .socket
            .clone()
            .map(|socket| Dnstap::new(socket, &dnstap.identity, dnstap.one_in, finest)),
    };
    let started = tapping::start(taps, clock, outlets);
    started.map_err(|error| format!("no threads can be started: {error}"))
}
