//! `rollcall watch`: shows what happens to instances, as it happens.
//!
//! It goes on by itself when the server was away, from where it was; what it cannot know any more it says.

use std::time::Duration;

use super::connect::Connect;
use super::failure::{Failure, complain};
use super::history::row;
use super::output::{json_line, stdout};
use crate::sidecar::ClientError;
use crate::sidecar::happened::Event;

/// How long a server that is away is left alone.
const PAUSE: Duration = Duration::from_secs(1);

/// What is watched.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The service [default: all]
    service: Option<String>,
    /// Begin after this revision, as a list or an event has it [default: from now on]
    #[arg(long, value_name = "NUMBER")]
    revision: Option<u64>,
}

/// Watches until it is ended.
pub(super) async fn run(connect: &Connect, args: Args) -> Result<(), Failure> {
    let client = connect.client()?;
    let mut revision = args.revision;
    let mut is_away = false;
    loop {
        match client.watch(args.service.as_deref(), revision).await {
            Ok(polled) => {
                if std::mem::take(&mut is_away) {
                    complain("the server is there again");
                }
                show(connect.json, &polled.events)?;
                revision = Some(polled.revision);
            }
            Err(ClientError::TooOld { complete_since, .. }) => {
                miss(connect.json, revision, complete_since)?;
                revision = Some(complete_since);
            }
            // One that was never there is more likely a typing error.
            Err(error @ (ClientError::Unreachable { .. } | ClientError::Unavailable { .. }))
                if revision.is_some() =>
            {
                if !std::mem::replace(&mut is_away, true) {
                    complain(&format!("{error}; waiting for it"));
                }
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn show(json: bool, events: &[Event]) -> Result<(), Failure> {
    use std::io::Write;
    let mut out = stdout();
    for event in events {
        match json {
            true => json_line(&mut out, event)?,
            false => {
                let [time, service, id, what, _, by, why] = row(event);
                let why = if why.is_empty() { why } else { format!(": {why}") };
                let answering = if event.answering { "answering" } else { "not answering" };
                writeln!(out, "{time} {service}/{id} {what}, {answering}, by {by}{why}")?;
            }
        }
    }
    Ok(out.flush()?)
}

/// Says that something may be missing here.
fn miss(json: bool, revision: Option<u64>, complete_since: u64) -> Result<(), Failure> {
    use std::io::Write;
    let after = revision.unwrap_or_default();
    if !json {
        complain(&format!(
            "what happened after revision {after} is not all known any more: see `rollcall list`; this goes on from \
             revision {complete_since}"
        ));
        return Ok(());
    }
    let mut out = stdout();
    json_line(
        &mut out,
        &serde_json::json!({ "event": "too_old", "complete_since": complete_since }),
    )?;
    Ok(out.flush()?)
}
