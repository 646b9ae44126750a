//! `rollcall override`: sets an operator's state above the owner's, or ends that.

use std::time::Duration;

use serde_json::json;

use crate::sidecar::messages::{Override, State};

use super::connect::Connect;
use super::credentials::span;
use super::failure::Failure;
use super::output;

/// The instance, the state, and why.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The service
    service: String,
    /// The instance's id
    id: String,
    /// The state that counts, whatever the owner declares
    #[arg(required_unless_present = "clear", conflicts_with = "clear")]
    state: Option<State>,
    /// Why: shown in `list`
    #[arg(long, default_value = "", hide_default_value = true)]
    reason: String,
    /// End it by itself after so long, such as `10m`, at most 30 days; else somebody has to end it
    #[arg(long = "for", value_name = "TIME", value_parser = span, conflicts_with = "clear")]
    span: Option<Duration>,
    /// End the override: the owner's state counts again
    #[arg(long)]
    clear: bool,
}

/// Sets or ends it.
pub(super) async fn run(connect: &Connect, args: Args) -> Result<(), Failure> {
    let Args { service, id, state, reason, span, .. } = args;
    let client = connect.client()?;
    let Some(state) = state else {
        client.clear_override(&service, &id).await?;
        let value = json!({ "service": service, "id": id, "override": null });
        let text = format!("{service}/{id} has no override: its owner's state counts");
        return output::result(connect.json, &value, &text);
    };
    let set = Override { state, reason, expires_in_secs: span.map(|span| span.as_secs()) };
    client.set_override(&service, &id, &set).await?;
    let value = json!({ "service": service, "id": id, "override": set });
    let until = format!("until `rollcall override {service} {id} --clear`");
    let until = match span {
        Some(span) => format!("for {}, or {until}", humantime::format_duration(span)),
        None => until,
    };
    let text = format!("{service}/{id} is {state} {until}");
    output::result(connect.json, &value, &text)
}
