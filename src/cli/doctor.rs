//! `rollcall doctor`: looks at the machine around a server, and says what to do.
//!
//! Each file below looks at one thing. What it reads is found through [`Machine`], so that tests have machines of their
//! own making.

mod certificate;
mod clock;
mod data;
mod machine;
mod network;
mod report;
mod resolver;
mod upstreams;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::Config;
use crate::dns::ask::{self, How};
use crate::dns::forward::upstream::{Address, Transport};
use crate::dns::message::{Query, Wishes};
use crate::net::holder::who_holds;
use crate::server::{self, Given};

use super::failure::Failure;
use super::output::{finish, json_line, stdout};
use super::query::draw_id;
use super::run::time;
use super::serve;
use machine::{Machine, Told};
use report::{Finding, Report};

/// How often a server is asked: one datagram may be lost.
const TRIES: u32 = 2;

/// The same as for `serve`, and how to look.
#[derive(Debug, clap::Args)]
#[group(skip)] // `serve` has a group of the same name
pub(super) struct Args {
    #[command(flatten)]
    serve: serve::Args,
    /// How long a name server is waited for; it is asked twice
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = time)]
    timeout: Duration,
    /// Where the system's files are, for tests
    #[arg(long, value_name = "DIR", default_value = "/", hide = true)]
    root: PathBuf,
}

/// Looks at everything; fails if something is a problem.
pub(super) fn run(json: bool, args: Args) -> Result<(), Failure> {
    let Args { serve, timeout, root } = args;
    let report = match Given::from(serve).load() {
        Ok(config) => look_around(&root, &config, timeout),
        Err(wrong) => refused(&wrong),
    };
    let mut out = stdout();
    match json {
        true => json_line(&mut out, &report.to_json())?,
        false => show(&report, &mut out)?,
    }
    finish(out)?;
    match report.problems() {
        0 => Ok(()),
        1 => Err(Failure::failed("1 problem")),
        count => Err(Failure::failed(format!("{count} problems"))),
    }
}

/// The rest depends on the configuration.
fn refused(wrong: &str) -> Report {
    let way_out = "put it right: `rollcall check-config` looks at all of it";
    let lines = wrong.lines().map(|line| Finding::problem("configuration", line, way_out));
    Report { findings: lines.collect() }
}

fn look_around(root: &Path, config: &Config, timeout: Duration) -> Report {
    let ask = |server: SocketAddr, name: &str| soa(server, name, false, timeout);
    let machine = Machine {
        root,
        config,
        holder: &who_holds,
        ask: &ask,
        data_directory: &server::data_directory,
    };
    let mut findings = network::listeners(&machine);
    findings.extend(network::port_53(&machine));
    findings.extend(certificate::look(config, server::certificate_dates));
    findings.extend(resolver::look(&machine));
    let tls = upstreams::tls(config);
    let ask_upstream = |address: &Address| match &address.transport {
        Transport::Udp => ask(address.addr, "."),
        Transport::Tcp => soa(address.addr, ".", true, timeout),
        Transport::Tls(_) | Transport::Https { .. } => {
            upstreams::ask_encrypted(address, tls.clone()?, timeout * TRIES)
        }
    };
    findings.extend(upstreams::look(config, &ask_upstream));
    findings.extend(data::look(&machine));
    findings.extend(clock::look(&machine));
    findings.push(network::buffers(&machine));
    Report { findings }
}

/// Asks a server for a name's SOA record: small, and every zone has one.
fn soa(server: SocketAddr, name: &str, tcp: bool, timeout: Duration) -> Result<Told, String> {
    let id = draw_id().map_err(|failure| failure.message().to_owned())?;
    let wishes = Wishes { recursion: true, dnssec: false };
    let query = Query::new(id, name, "SOA", wishes)?;
    let asked = ask::ask(server, &query, How { tcp, timeout, tries: TRIES });
    let asked = asked.map_err(|error| error.to_string())?;
    let has = |flag| asked.reply.flags.contains(&flag);
    Ok(Told {
        rcode: asked.reply.rcode.clone(),
        authoritative: has("aa"),
        recursion: has("ra"),
        found: !asked.reply.answer.is_empty(),
        millis: asked.took.as_millis(),
    })
}

fn show(report: &Report, mut out: impl Write) -> io::Result<()> {
    for line in report.lines() {
        writeln!(out, "{line}")?;
    }
    Ok(())
}
