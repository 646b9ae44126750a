//! `rollcall explain`: what a name would be answered with now, from which rule, and who is in or out, and why.

use std::io::Write;
use std::net::SocketAddr;

use super::connect::Connect;
use super::failure::Failure;
use super::output::{finish, json_line, stdout};
use super::table::Table;
use crate::sidecar::explained::{Explained, Member};

/// The name and the type.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The name; one without a dot is in the server's first zone
    name: String,
    /// The type, such as A, SRV or TYPE65280
    #[arg(value_name = "TYPE", default_value = "A")]
    rtype: String,
}

/// Asks the server, and shows what it says.
pub(super) async fn run(connect: &Connect, args: Args) -> Result<(), Failure> {
    let explained = connect.client()?.explain(&args.name, &args.rtype).await?;
    let mut out = stdout();
    match connect.json {
        true => json_line(&mut out, &explained)?,
        false => show(&mut out, &explained)?,
    }
    finish(out)?;
    match explained.rcode.as_deref() {
        // As `query` has it: what is shown says why.
        Some("NXDOMAIN") => Err(Failure::not_listed("")),
        _ => Ok(()),
    }
}

fn show(out: &mut impl Write, explained: &Explained) -> Result<(), Failure> {
    let Explained { name, r#type, rule, because, .. } = explained;
    writeln!(out, "{name} {type}: {because} ({rule})")?;
    match explained.rcode.as_deref() {
        None => writeln!(out, "nothing is known of it yet: others have to be asked first")?,
        Some(rcode) => {
            let flags = explained.flags.join(" ");
            let cut = if explained.fits_udp == Some(false) { ", cut over UDP" } else { "" };
            writeln!(out, "{rcode}, {flags}{cut}")?;
        }
    }
    for error in &explained.errors {
        writeln!(out, "extended error {error}")?;
    }
    for record in explained.answer.iter().chain(&explained.authority) {
        writeln!(out, "  {record}")?;
    }
    if explained.more_records > 0 {
        writeln!(out, "  and {} more", explained.more_records)?;
    }
    if let Some(why) = &explained.ttl_because {
        writeln!(out, "TTL: {why}")?;
    }
    if let Some(near) = &explained.did_you_mean {
        writeln!(out, "did you mean the service `{near}`?")?;
    }
    members(out, explained)
}

fn members(out: &mut impl Write, explained: &Explained) -> Result<(), Failure> {
    if explained.instances.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    let mut table = Table::new(["IN", "ID", "ADDRESS", "STATE", "WHY"]);
    for member in &explained.instances {
        table.row(row(member));
    }
    table.write(&mut *out)?;
    if explained.more_instances > 0 {
        writeln!(out, "and {} more", explained.more_instances)?;
    }
    Ok(())
}

fn row(member: &Member) -> [String; 5] {
    let addresses = member.addresses.iter();
    let addresses = addresses.map(|ip| SocketAddr::new(*ip, member.port).to_string());
    let state = match &*member.standing {
        "live" => member.state.clone(),
        standing => format!("{}, {standing}", member.state),
    };
    [
        if member.r#in { "yes" } else { "no" }.to_owned(),
        member.id.clone(),
        addresses.collect::<Vec<_>>().join(","),
        state,
        member.why.clone(),
    ]
}
