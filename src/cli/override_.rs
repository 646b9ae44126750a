//! `rollcall override`: sets an operator's state above the owner's, or ends that.

use serde_json::json;

use crate::sidecar::messages::State;

use super::connect::Connect;
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
    /// End the override: the owner's state counts again
    #[arg(long)]
    clear: bool,
}

/// Sets or ends it.
pub(super) async fn run(connect: &Connect, args: Args) -> Result<(), Failure> {
    let Args { service, id, state, reason, .. } = args;
    let client = connect.client()?;
    let Some(state) = state else {
        client.clear_override(&service, &id).await?;
        let value = json!({ "service": service, "id": id, "override": null });
        let text = format!("{service}/{id} has no override: its owner's state counts");
        return output::result(connect.json, &value, &text);
    };
    client.set_override(&service, &id, state, &reason).await?;
    let override_ = json!({ "state": state, "reason": reason });
    let value = json!({ "service": service, "id": id, "override": override_ });
    let text =
        format!("{service}/{id} is {state} until `rollcall override {service} {id} --clear`");
    output::result(connect.json, &value, &text)
}
