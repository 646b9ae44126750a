//! `rollcall check-config`: says what would be wrong with a configuration, and starts nothing.

use std::io::Write;

use crate::server;

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
    let problems = server::check(&args.serve.into());
    for problem in &problems {
        complain(problem);
    }
    match problems.len() {
        0 => {
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
