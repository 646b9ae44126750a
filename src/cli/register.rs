//! `rollcall register`: lists an instance, or changes what is listed of it.

use crate::sidecar::messages::{Lease, Registration, State};

use super::connect::Connect;
use super::failure::Failure;
use super::fields::{Fields, lease};
use super::output::{self, remaining};

/// The instance and what is said of it.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The service
    service: String,
    /// The instance's id, unique in the service
    id: String,
    #[command(flatten)]
    fields: Fields,
    /// Seconds until it must be renewed, or `none`: listed until deregistered [default: the server's]
    #[arg(long, value_name = "SECS|none", value_parser = lease)]
    lease: Option<Lease>,
    /// The owner's state [default: as it was; up for a new one]
    #[arg(long)]
    state: Option<State>,
}

/// Registers.
pub(super) async fn run(connect: &Connect, args: Args) -> Result<(), Failure> {
    let Args { service, id, fields, lease, state } = args;
    let registration = Registration { state, ..fields.registration(lease)? };
    let registered = connect.client()?.register(&service, &id, &registration).await?;
    let name = match registered.name.is_empty() {
        true => String::new(),
        false => format!(" as {}", registered.name),
    };
    let until = match registered.expires_in_ms {
        Some(_) => format!("for {}, then renew it", remaining(registered.expires_in_ms)),
        None => "until it is deregistered".to_owned(),
    };
    output::result(connect.json, &registered, &format!("{service}/{id} is listed{name} {until}"))
}
