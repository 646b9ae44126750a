//! `rollcall renew`: renews the lease of an instance.

use super::connect::Connect;
use super::failure::Failure;
use super::output::{self, remaining};

/// The instance.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The service
    service: String,
    /// The instance's id
    id: String,
}

/// Renews.
pub(super) async fn run(connect: &Connect, args: Args) -> Result<(), Failure> {
    let Args { service, id } = args;
    let renewed = connect.client()?.renew(&service, &id).await?;
    let text = format!("{service}/{id} is renewed: {}", remaining(renewed.expires_in_ms));
    output::result(connect.json, &renewed, &text)
}
