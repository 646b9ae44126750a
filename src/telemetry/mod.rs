//! Logs, metrics (`metrics.rs`, and by the names of CoreDNS `coredns.rs`), and what is told of queries: `query_log.rs` and
//! `dnstap.rs`, read from the tap by `tapping.rs`.

mod coredns;
pub mod dnstap;
mod metrics;
pub mod query_log;
pub mod tapping;

use std::io::IsTerminal;
use std::sync::OnceLock;

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, reload};

use crate::config;
pub use metrics::{DURATION_BOUNDS, DnsFigures, Durations, EXPOSITION_TYPE, Sources, exposition};

/// Replaces the log's filter; set when logging starts.
static SET_FILTER: OnceLock<SetFilter> = OnceLock::new();

type SetFilter = Box<dyn Fn(EnvFilter) -> Result<(), String> + Send + Sync>;

/// Starts logging to stderr. The error says what is wrong with `log.level`, or that logging was started before.
pub fn init_logs(log: &config::Log) -> Result<(), String> {
    let (filter, handle) = reload::Layer::new(filter(&log.level)?);
    let logs = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let logs = if log.json {
        logs.json().flatten_event(true).with_current_span(false).boxed()
    } else {
        logs.with_ansi(std::io::stderr().is_terminal()).boxed()
    };
    let started = tracing_subscriber::registry().with(filter).with(logs).try_init();
    started.map_err(|error| format!("logging cannot start: {error}"))?;
    let set = move |filter| handle.reload(filter).map_err(|error| error.to_string());
    let _ = SET_FILTER.set(Box::new(set)); // logging starts once
    Ok(())
}

/// Changes what is logged, at a reload.
pub fn set_level(level: &str) -> Result<(), String> {
    let filter = filter(level)?;
    SET_FILTER.get().map_or(Ok(()), |set| set(filter))
}

/// What libraries warn of is what peers do, as often as these like: a line each would be theirs to write. Who wants to
/// see them names them in `log.level`.
const LIBRARIES: &str =
    "h2=error,hyper=error,hyper_util=error,quinn=error,quinn_proto=error,rustls=error";

fn filter(level: &str) -> Result<EnvFilter, String> {
    let directives = match level {
        "off" => level.to_owned(),
        _ => format!("{LIBRARIES},{level}"),
    };
    EnvFilter::try_new(directives).map_err(|error| {
        format!(
            "log.level: `{}` is no filter ({error}): use error, warn, info, debug, trace, or such \
             as info,rollcall::store=debug",
            level.escape_debug()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_warn_of_peers_only_if_they_are_asked_to() {
        let directives = |level: &str| filter(level).unwrap().to_string();
        assert!(directives("info").contains("h2=error") && directives("info").contains("info"));
        assert!(directives("debug,h2=trace").contains("h2=trace"));
        assert!(!directives("debug,h2=trace").contains("h2=error"));
        assert_eq!(directives("off"), "off");
        assert!(filter("info,rollcall=loud").is_err());
    }

    #[test]
    fn a_wrong_log_level_is_named() {
        let log = config::Log { level: "info,rollcall=loud".into(), json: false };
        let error = init_logs(&log).unwrap_err();
        assert!(error.starts_with("log.level: `info,rollcall=loud` is no filter"), "{error}");
    }
}
