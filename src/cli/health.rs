//! `rollcall health`: whether a server answers, for who starts it again if not.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::json;

use crate::dns::ask::{How, ask};
use crate::dns::message::{Query, Reply, Wishes};
use crate::server::Given;

use super::failure::Failure;
use super::output;
use super::query::{draw_id, reachable};
use super::run::time;
use super::serve;

/// How often an address is asked: one datagram may be lost.
const TRIES: u32 = 2;

/// The same as for `serve`, and how to ask.
#[derive(Debug, clap::Args)]
#[group(skip)] // `serve` has a group of the same name
pub(super) struct Args {
    #[command(flatten)]
    serve: serve::Args,
    /// How long a reply is waited for; each address is asked twice
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = time)]
    timeout: Duration,
}

/// Asks for the first zone on each address. Whatever is wrong, the exit code is 1: container engines keep the others
/// for themselves.
pub(super) fn run(as_json: bool, args: Args) -> Result<(), Failure> {
    let Args { serve, timeout } = args;
    let config = Given::from(serve).load().map_err(Failure::failed)?;
    let Some(zone) = config.dns.zones.first() else {
        return Err(Failure::failed("no zone is configured"));
    };
    for listen in &config.dns.listen {
        let address = reachable(*listen);
        let took = answers(address, zone, timeout)
            .map_err(|reason| Failure::failed(format!("{address}: {reason}")))?;
        let millis = took.as_millis();
        let value = json!({ "address": address, "zone": zone, "took_ms": millis });
        output::result(as_json, &value, &format!("{address} answers for {zone} in {millis} ms"))?;
    }
    Ok(())
}

/// How long it took until the server at `address` said what `zone` is.
fn answers(address: SocketAddr, zone: &str, timeout: Duration) -> Result<Duration, String> {
    let id = draw_id().map_err(|failure| failure.message().to_owned())?;
    // Every zone has an SOA record. Without recursion: nobody else is to be asked.
    let query = Query::new(id, zone, "SOA", Wishes { recursion: false, dnssec: false })?;
    let asked = ask(address, &query, How { tcp: false, timeout, tries: TRIES });
    let asked = asked.map_err(|error| error.to_string())?;
    judge(&asked.reply, zone)?;
    Ok(asked.took)
}

/// A server that is another one, or has not loaded its zones yet, does not answer for the zone.
fn judge(reply: &Reply, zone: &str) -> Result<(), String> {
    let ours = reply.flags.contains(&"aa") && !reply.answer.is_empty();
    match ours {
        true => Ok(()),
        false => Err(format!("does not answer for {zone}: it says {}", reply.rcode)),
    }
}
