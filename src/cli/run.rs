//! `rollcall run`: runs a command, listed while it runs and passes its check.

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use crate::sidecar::check::Check;
use crate::sidecar::listing::Subject;
use crate::sidecar::messages::Lease;
use crate::sidecar::run::{self, Options};

use super::connect::Connect;
use super::failure::{Failure, complain};
use super::fields::Fields;
use super::on_runtime;

/// Seconds that a drain, an interval or a lease may have at most: a day.
const MAX_SECS: u32 = 86_400;

/// The command and what is said of it.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The service
    #[arg(long)]
    service: String,
    /// The instance's id, unique in the service [default: HOSTNAME-PORT]
    #[arg(long)]
    id: Option<String>,
    #[command(flatten)]
    fields: Fields,
    /// Seconds after which it is dropped when nothing is heard of it; renewed at a third of them
    #[arg(long, value_name = "SECS", default_value_t = 30,
        value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_SECS)))]
    lease: u32,
    /// A URL that must answer with a 2xx status: before it is listed, and while it is (3 failures: down)
    #[arg(long, value_name = "URL")]
    check: Option<String>,
    /// The time between two checks: 2, 2s or 500ms
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = time, requires = "check")]
    check_interval: Duration,
    /// The time after which a check has failed
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = time, requires = "check")]
    check_timeout: Duration,
    /// Seconds between the declaration that it drains and the signal to the command
    #[arg(long, value_name = "SECS", default_value_t = 5,
        value_parser = clap::value_parser!(u32).range(..=i64::from(MAX_SECS)))]
    drain_secs: u32,
    /// The command and its arguments, after `--`
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// Runs it; the exit code is the command's.
pub(super) fn run(connect: &Connect, args: Args) -> ExitCode {
    let result = on_runtime(async {
        let options = options(connect, args)?;
        Ok(run::run(options).await)
    });
    match result {
        Ok(Ok(exit_code)) => ExitCode::from(exit_code),
        Ok(Err(not_started)) => {
            complain(&not_started.reason);
            ExitCode::from(not_started.exit_code)
        }
        Err(failure) => failure.report(),
    }
}

fn options(connect: &Connect, args: Args) -> Result<Options, Failure> {
    let tls = connect.tls_files();
    let check = |url: &String| Check::new(url, args.check_interval, args.check_timeout, &tls);
    let check = args.check.as_ref().map(check).transpose();
    let check = check.map_err(|reason| Failure::usage(format!("--check {reason}")))?;
    let subject = Subject {
        service: args.service,
        id: args.id.unwrap_or_else(|| default_id(args.fields.port)),
        registration: args.fields.registration(Some(Lease::Secs(args.lease)))?,
        lease: Duration::from_secs(args.lease.into()),
        token_file: connect.token_file.clone(),
    };
    if subject.service.is_empty() || subject.id.is_empty() {
        return Err(Failure::usage("--service and --id must not be empty"));
    }
    let drain = Duration::from_secs(args.drain_secs.into());
    Ok(Options { command: args.command, subject, servers: connect.clients()?, check, drain })
}

/// The host's name and the port: there can be no second one.
fn default_id(port: u16) -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match host.trim() {
        "" => format!("pid{}-{port}", std::process::id()),
        host => format!("{host}-{port}"),
    }
}

/// A time on the command line: `2`, `2s`, `0.5s` or `500ms`.
pub(super) fn time(text: &str) -> Result<Duration, String> {
    let (number, unit) = match text.strip_suffix("ms") {
        Some(number) => (number, 0.001),
        None => (text.strip_suffix('s').unwrap_or(text), 1.0),
    };
    let secs = number.parse::<f64>().map(|number| number * unit);
    match secs {
        Ok(secs) if (0.01..=f64::from(MAX_SECS)).contains(&secs) => {
            Ok(Duration::from_secs_f64(secs))
        }
        _ => Err(format!("must be a time like 2s or 500ms, 10ms to {MAX_SECS}s")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        for (text, millis) in [("2", 2000), ("2s", 2000), ("0.5s", 500), ("500ms", 500)] {
            assert_eq!(time(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for bad in ["", "s", "0", "-1", "1h", "nan", "inf", "1ms"] {
            assert!(time(bad).is_err(), "{bad}");
        }
    }
}
