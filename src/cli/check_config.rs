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
            for warning in certificate_warnings(&given) {
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

/// What is wrong with the dates of certificates. A server starts with them all the same: clients judge them.
fn certificate_warnings(given: &Given) -> Vec<String> {
    let Ok(config) = given.load() else { return Vec::new() };
    let dates = server::certificate_dates(&config).unwrap_or_default();
    let warning = |(door, dates)| match dates {
        Dates::Off(why) => {
            Some(format!("the certificate for {door} {why}: clients will refuse it"))
        }
        Dates::EndsSoon(until) => Some(format!("the certificate for {door} {until}: renew it")),
        Dates::Hold(_) => None,
    };
    dates.into_iter().filter_map(warning).collect()
}
