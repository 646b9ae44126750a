//! `rollcall deregister`: takes an instance, or a whole service, off the list.

use serde_json::json;

use super::connect::Connect;
use super::failure::Failure;
use super::output;

/// What is taken off the list.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The service
    service: String,
    /// The instance's id
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    id: Option<String>,
    /// All instances of the service
    #[arg(long)]
    all: bool,
}

/// Deregisters.
pub(super) async fn run(connect: &Connect, args: Args) -> Result<(), Failure> {
    let service = &args.service;
    let client = connect.client()?;
    match &args.id {
        Some(id) => {
            client.deregister(service, id).await?;
            let value = json!({ "service": service, "id": id, "deregistered": true });
            output::result(connect.json, &value, &format!("{service}/{id} is off the list"))
        }
        None => {
            client.deregister_service(service).await?;
            let value = json!({ "service": service, "deregistered": true });
            output::result(connect.json, &value, &format!("all of {service} is off the list"))
        }
    }
}
