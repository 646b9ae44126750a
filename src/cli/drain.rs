//! `rollcall drain`: declares, as the owner, that an instance takes nothing new.

use serde_json::json;

use crate::sidecar::messages::State;

use super::connect::Connect;
use super::failure::Failure;
use super::output;

/// The instance, and why.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The service
    service: String,
    /// The instance's id
    id: String,
    /// Why: shown in `list`
    #[arg(long, default_value = "", hide_default_value = true)]
    reason: String,
}

/// Declares it.
pub(super) async fn run(connect: &Connect, args: Args) -> Result<(), Failure> {
    let Args { service, id, reason } = args;
    connect.client()?.declare(&service, &id, State::Draining, &reason).await?;
    let value = json!({ "service": service, "id": id, "state": State::Draining, "reason": reason });
    let text = format!(
        "{service}/{id} is draining: it is out of the answers, and listed while it is renewed"
    );
    output::result(connect.json, &value, &text)
}
