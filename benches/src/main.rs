//! `rollcall-bench`: the loads that `benches/run` puts on a server, and the references it is compared with.
//!
//! `echo` and `http-echo` are the references: what a server costs that looks nothing up. The others are loads. Each
//! runs on one thread, for a core of its own, and writes one line of `key=value` figures when it is done.
//!
//! A reader goes from here to one file a subcommand. Under them lie `udp` (datagrams, many a system call), `http`
//! (calls over kept connections), `figures` (what is counted) and `sys` (the system calls).

mod echo;
mod dns_load;
mod renew_load;
mod tcp_load;
mod http_echo;
mod http_load;
mod change_load;
mod fill;
mod upstream;
mod outage_load;
mod watch_load;
mod http;
mod udp;
mod queries;
mod instances;
mod figures;
mod sys;

use std::io;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Loads for Rollcall, and the references it is compared with.
#[derive(Debug, Parser)]
#[command(name = "rollcall-bench", max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Answer datagrams without looking anything up
    Echo(echo::Args),
    /// Answer HTTP calls without looking anything up
    HttpEcho(http_echo::Args),
    /// Send DNS queries over UDP
    Load(dns_load::Args),
    /// Send signed renewals over UDP
    RenewLoad(renew_load::Args),
    /// Send pipelined DNS queries over TCP
    TcpLoad(tcp_load::Args),
    /// Send renewals, registrations or anything over HTTP
    HttpLoad(http_load::Args),
    /// Change registered instances at a steady rate
    ChangeLoad(change_load::Args),
    /// Watch services, and time how changes of them reach the watchers
    WatchLoad(watch_load::Args),
    /// Register many instances
    Fill(fill::Args),
    /// Answer DNS queries as an upstream that can be made to fail
    Upstream(upstream::Args),
    /// Send DNS queries at an even rate while upstreams fail
    OutageLoad(outage_load::Args),
}

fn main() -> ExitCode {
    match run(&Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rollcall-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: &Command) -> io::Result<()> {
    match command {
        Command::Echo(args) => echo::run(args),
        Command::HttpEcho(args) => http_echo::run(args),
        Command::Load(args) => dns_load::run(args),
        Command::RenewLoad(args) => renew_load::run(args),
        Command::TcpLoad(args) => tcp_load::run(args),
        Command::HttpLoad(args) => http_load::run(args),
        Command::ChangeLoad(args) => change_load::run(args),
        Command::WatchLoad(args) => watch_load::run(args),
        Command::Fill(args) => fill::run(args),
        Command::Upstream(args) => upstream::run(args),
        Command::OutageLoad(args) => outage_load::run(args),
    }
}
