//! `rollcall check-config`: says what would be wrong with a configuration, and starts nothing.

use std::io::Write;

use crate::net::tls::Dates;
use crate::server::{self, Given};

use super::failure::{Failure, complain};
use super::output::{finish, stdout};
use super::serve;

/// The same as for `serve`.
#[derive(Debug, clap::Args)]
#[group(skip)] // `serve` has a group of the same name
pub(super) struct Args {
    #[command(flatten)]
    serve: serve::Args,
}

/// Checks, and lists every problem.
pub(super) fn run(args: Args) -> Result<(), Failure> {
    let given = Given::from(args.serve);
    let problems = server::check(&given);
    for problem in &problems {
        complain(problem);
    }
    match problems.len() {
        0 => {
            if let Some(warning) = certificate_warning(&given) {
                complain(&warning);
            }
            let mut out = stdout();
            writeln!(out, "the configuration is good")?;
            finish(out)
        }
        1 => Err(Failure::failed("1 problem: `serve` would not start like this")),
        count => {
            Err(Failure::failed(format!("{count} problems: `serve` would not start like this")))
        }
    }
}

/// What is wrong with the dates of the certificate. A server starts with it all the same: clients judge it.
fn certificate_warning(given: &Given) -> Option<String> {
    match server::certificate_dates(&given.load().ok()?) {
        Ok(Some(Dates::Off(why))) => Some(format!("the certificate {why}: clients will refuse it")),
        Ok(Some(Dates::EndsSoon(until))) => Some(format!("the certificate {until}: renew it")),
        _ => None,
    }
}
