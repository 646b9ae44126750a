//! `rollcall export`: every listed instance, one JSON object a line.

use super::connect::Connect;
use super::failure::Failure;
use super::line::Line;
use super::output::{finish, json_line, stdout};
use super::pages::Pages;

/// What is written.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// One service [default: all]
    service: Option<String>,
}

/// Writes it.
pub(super) async fn run(connect: &Connect, args: Args) -> Result<(), Failure> {
    let client = connect.client()?;
    let mut out = stdout();
    let mut services = Pages::default();
    while services.more() {
        let names = match &args.service {
            Some(service) => services.only(service.clone()),
            None => {
                let page = services.turn(client.services(services.next()).await?)?;
                page.into_iter().map(|summary| summary.service).collect()
            }
        };
        for service in names {
            let mut pages = Pages::default();
            while pages.more() {
                let page = match client.instances(&service, pages.next()).await {
                    Ok(page) => page,
                    // It was deregistered after the page was made.
                    Err(crate::sidecar::ClientError::NotListed(_)) if args.service.is_none() => {
                        break;
                    }
                    Err(error) => return Err(error.into()),
                };
                for listed in pages.turn(page)? {
                    json_line(&mut out, &Line::from(listed))?;
                }
            }
        }
    }
    finish(out)
}
