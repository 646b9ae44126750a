//! `rollcall import eureka`: copies what a Eureka server lists, and follows it.

use std::time::Duration;

use serde_json::json;

use crate::sidecar::mirror::{self, Options, Outcome, Source};

use super::connect::Connect;
use super::credentials::span;
use super::failure::Failure;
use super::output;

/// The server, and how it is followed.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The Eureka server, such as http://user:password@eureka.example:8761/eureka
    url: String,
    /// How often it is asked for what has changed
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = span)]
    every: Duration,
    /// After how long a list is believed that lacks more than half of what there was
    #[arg(long, value_name = "TIME", default_value = "3min", value_parser = span)]
    believe_after: Duration,
    /// At the end leave what is copied to the end of its leases, instead of deregistering it
    #[arg(long)]
    keep: bool,
    /// Copy what there is, and end; the copies last as long as their leases
    #[arg(long, conflicts_with = "keep")]
    once: bool,
}

/// Copies, and follows until a signal.
pub(super) async fn run(connect: &Connect, args: Args) -> Result<(), Failure> {
    let Args { url, every, believe_after, keep, once } = args;
    let source = Source::new(&url, &connect.tls_files())
        .map_err(|reason| Failure::usage(format!("the Eureka server {reason}")))?;
    let shown = source.shown().to_owned();
    let options = Options { source, server: connect.client()?, every, believe_after, keep, once };
    let outcome = mirror::run(options).await.map_err(Failure::failed)?;
    let Outcome { copied, of_themselves, refused, left } = outcome;
    let value = json!({ "copied": copied, "of_themselves": of_themselves, "refused": refused, "left": left });
    let text = match once || keep {
        true => format!("{copied} copied from {shown}, until their leases end; {refused} refused"),
        false => format!("nothing is copied from {shown} any more"),
    };
    output::result(connect.json, &value, &text)?;
    match left {
        0 => Ok(()),
        left => {
            Err(Failure::failed(format!("{left} could not be settled: the server was not there")))
        }
    }
}
