//! The command line: one file a subcommand.
//!
//! [`main`] parses, runs one subcommand and turns what became of it into an exit code. A subcommand writes
//! what it found to standard output and returns a [`Failure`] otherwise.

mod backup;
mod cache;
mod check_config;
mod completions;
mod connect;
mod credentials;
mod deregister;
mod doctor;
mod drain;
mod explain;
mod export;
mod failure;
mod fields;
mod health;
mod history;
mod import;
mod import_eureka;
mod line;
mod list;
mod man;
mod output;
mod override_;
mod pages;
mod query;
mod register;
mod renew;
mod run;
mod serve;
mod table;
mod watch;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::access::Kind;
use connect::Connect;
use failure::Failure;

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  refused, or failed
  2  the command line, or what it names, is wrong
  3  the instance or service is not listed; of `query` and `explain`: the name does not exist
  4  the server was not reached
  5  the server denied it: a token is needed, or another one
`run` ends with the exit code of its command (128 and the signal's number if a signal ended it, 127 if the
command is not found, 126 if it cannot be started).";

/// A private DNS server that answers from a live registry.
#[derive(Debug, Parser)]
#[command(name = "rollcall", version, after_help = EXIT_CODES, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    connect: Connect,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server
    Serve(serve::Args),
    /// Say what would be wrong with a configuration
    CheckConfig(check_config::Args),
    /// List an instance, or change what is listed of it; renews its lease
    Register(register::Args),
    /// Renew the lease of an instance
    Renew(renew::Args),
    /// Take an instance, or a whole service, off the list
    Deregister(deregister::Args),
    /// Declare that an instance takes nothing new
    Drain(drain::Args),
    /// Set an operator's state above the owner's, or end that
    Override(override_::Args),
    /// Show what is listed, and why it is answering or not
    List(list::Args),
    /// Say what a name would be answered with now, from which rule, and who is in or out, and why
    Explain(explain::Args),
    /// Show what happened to instances, why, and who did it
    History(history::Args),
    /// Show what happens to instances, as it happens
    Watch(watch::Args),
    /// Ask a DNS server for a name, and show the whole reply
    Query(query::Args),
    /// Show what upstream servers said that is remembered, or forget it
    Cache(cache::Args),
    /// Make, list and revoke tokens: who may call over HTTP, and what
    Token(credentials::Args),
    /// Make, list and revoke keys: who may send signed datagrams, and what
    Key(credentials::Args),
    /// Look at the machine around a server: ports, resolv.conf, data, clock; say what to do
    Doctor(doctor::Args),
    /// Ask a server that runs here for its own zone: a check for containers and supervisors
    Health(health::Args),
    /// Run a command, listed while it runs and passes its check
    Run(run::Args),
    /// Copy the store of a data directory into a file
    Backup(backup::Args),
    /// Write every listed instance to standard output, one JSON object a line
    Export(export::Args),
    /// Register what `export` wrote, or what another registry lists
    Import(import::Args),
    /// Write what makes a shell complete this command line
    Completions(completions::Args),
    /// Write the manual pages
    Man(man::Args),
}

/// Runs the command line; gives the exit code.
pub fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let cli = match parse(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors, and go to standard output. Nobody there to read: fine.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let connect = &cli.connect;
    let result = match cli.command {
        Command::Serve(args) => serve::run(args),
        Command::CheckConfig(args) => check_config::run(args),
        Command::Backup(args) => backup::run(connect.json, args),
        Command::Query(args) => query::run(connect, args),
        Command::Doctor(args) => doctor::run(connect.json, args),
        Command::Health(args) => health::run(connect.json, args),
        Command::Completions(args) => completions::run(&command(), &args),
        Command::Man(args) => man::run(command(), EXIT_CODES, args),
        Command::Run(args) => return run::run(connect, args),
        Command::Register(args) => on_runtime(register::run(connect, args)),
        Command::Renew(args) => on_runtime(renew::run(connect, args)),
        Command::Deregister(args) => on_runtime(deregister::run(connect, args)),
        Command::Drain(args) => on_runtime(drain::run(connect, args)),
        Command::Override(args) => on_runtime(override_::run(connect, args)),
        Command::Cache(args) => on_runtime(cache::run(connect, args)),
        Command::Token(args) => on_runtime(credentials::run(connect, Kind::Token, args)),
        Command::Key(args) => on_runtime(credentials::run(connect, Kind::Key, args)),
        Command::List(args) => on_runtime(list::run(connect, args)),
        Command::Explain(args) => on_runtime(explain::run(connect, args)),
        Command::History(args) => on_runtime(history::run(connect, args)),
        Command::Watch(args) => on_runtime(watch::run(connect, args)),
        Command::Export(args) => on_runtime(export::run(connect, args)),
        Command::Import(args) => on_runtime(import::run(connect, args)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// The command line as a description, of which help, completions and manual pages are made.
fn command() -> clap::Command {
    Cli::command()
}

fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Cli, clap::Error> {
    let matches = command().try_get_matches_from(arguments)?;
    let mut cli = Cli::from_arg_matches(&matches)?;
    cli.connect.note_source(&matches);
    Ok(cli)
}

/// Runs a client's work on this thread.
fn on_runtime<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime =
        runtime.map_err(|error| Failure::failed(format!("cannot start a runtime: {error}")))?;
    let result = runtime.block_on(work);
    // A name that is still being looked up must not keep us from ending.
    runtime.shutdown_background();
    result
}
