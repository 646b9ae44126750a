//! `rollcall list`: what is listed, what is left of its lease, and why it is answering or not.

use std::io::Write;

use crate::sidecar::Client;
use crate::sidecar::messages::Listed;

use super::connect::Connect;
use super::failure::Failure;
use super::output::{duration, finish, json_line, remaining, stdout};
use super::pages::Pages;
use super::table::Table;

/// What is shown.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// One service [default: all]
    service: Option<String>,
    /// One instance of it, with all that is listed of it
    id: Option<String>,
    /// Only the services, with how many instances they have
    #[arg(long, conflicts_with = "service")]
    services: bool,
}

/// Shows it.
pub(super) async fn run(connect: &Connect, args: Args) -> Result<(), Failure> {
    let client = connect.client()?;
    let json = connect.json;
    match (args.service, args.id) {
        (Some(service), Some(id)) => {
            let listed = client.instance(&service, &id).await?;
            let mut out = stdout();
            match json {
                true => json_line(&mut out, &listed)?,
                false => details(&listed).write(&mut out)?,
            }
            finish(out)
        }
        (Some(service), None) => instances(&client, json, Some(&service)).await,
        (None, _) if args.services => services(&client, json).await,
        (None, _) => instances(&client, json, None).await,
    }
}

async fn services(client: &Client, json: bool) -> Result<(), Failure> {
    let mut all = Vec::new();
    let mut pages = Pages::default();
    while pages.more() {
        all.extend(pages.turn(client.services(pages.next()).await?)?);
    }
    let mut out = stdout();
    if json {
        json_line(&mut out, &serde_json::json!({ "services": all }))?;
        return finish(out);
    }
    let mut table = Table::new(["SERVICE", "INSTANCES", "ANSWERING"]);
    for summary in all {
        let (instances, answering) = (summary.instances, summary.answering);
        table.row([summary.service, instances.to_string(), answering.to_string()]);
    }
    table.write(&mut out)?;
    finish(out)
}

/// Instances of one service, or of all.
async fn instances(client: &Client, json: bool, service: Option<&str>) -> Result<(), Failure> {
    let mut list = List::begin(json)?;
    match service {
        Some(service) => list.service(client, service).await?,
        None => {
            let mut pages = Pages::default();
            while pages.more() {
                for summary in pages.turn(client.services(pages.next()).await?)? {
                    match list.service(client, &summary.service).await {
                        // It was deregistered after the page was made.
                        Err(failure) if failure.is_not_listed() => {}
                        result => result?,
                    }
                }
            }
        }
    }
    list.end()
}

/// A list that is written while it is read.
struct List<W> {
    out: W,
    json: bool,
    count: usize,
    table: Table<6>,
}

impl List<()> {
    fn begin(json: bool) -> Result<List<impl Write>, Failure> {
        let mut out = stdout();
        if json {
            write!(out, "{{\"instances\":[")?;
        }
        let table = Table::new(["SERVICE", "ID", "ADDRESS", "STATE", "LEASE", "ANSWERING"]);
        Ok(List { out, json, count: 0, table })
    }
}

impl<W: Write> List<W> {
    async fn service(&mut self, client: &Client, service: &str) -> Result<(), Failure> {
        let mut pages = Pages::default();
        while pages.more() {
            for listed in pages.turn(client.instances(service, pages.next()).await?)? {
                self.instance(&listed)?;
            }
        }
        Ok(())
    }

    fn instance(&mut self, listed: &Listed) -> Result<(), Failure> {
        if self.json {
            let comma = if self.count == 0 { "\n" } else { ",\n" };
            let text = serde_json::to_string(listed);
            let text = text.map_err(|error| Failure::failed(error.to_string()))?;
            write!(self.out, "{comma}{text}")?;
        } else {
            self.table.row(row(listed));
            if self.table.is_full() {
                self.table.write(&mut self.out)?;
            }
        }
        self.count += 1;
        Ok(())
    }

    fn end(mut self) -> Result<(), Failure> {
        match (self.json, self.count) {
            (true, _) => writeln!(self.out, "]}}")?,
            (false, 0) => super::failure::complain("nothing is listed"),
            (false, _) => self.table.write(&mut self.out)?,
        }
        finish(self.out)
    }
}

fn row(listed: &Listed) -> [String; 6] {
    [
        listed.service.clone(),
        listed.id.clone(),
        addresses(listed),
        state(listed),
        remaining(listed.expires_in_ms),
        answering(listed),
    ]
}

fn addresses(listed: &Listed) -> String {
    let addresses = listed.addresses.iter();
    let with_port = addresses.map(|ip| std::net::SocketAddr::new(*ip, listed.port).to_string());
    with_port.collect::<Vec<_>>().join(",")
}

/// The state that counts.
fn state(listed: &Listed) -> String {
    match &listed.override_ {
        Some(override_) => format!("{} (override)", override_.state),
        None => listed.state.to_string(),
    }
}

/// `yes`, or `no` and why.
fn answering(listed: &Listed) -> String {
    match (listed.answering, &*listed.why) {
        (true, _) => "yes".to_owned(),
        (false, "") => "no".to_owned(),
        (false, why) => format!("no: {why}"),
    }
}

/// Everything of one instance.
fn details(listed: &Listed) -> Table<2> {
    let answering = match (listed.answering, &*listed.why) {
        (true, "") => "yes".to_owned(),
        (true, why) => format!("yes: {why}"),
        (false, _) => answering(listed),
    };
    let of = listed.lease_secs.map(|secs| format!(" of {}", duration(u64::from(secs) * 1000)));
    let lease = format!("{}{}", remaining(listed.expires_in_ms), of.unwrap_or_default());
    let mut table = Table::new(["service", &listed.service]);
    let mut line = |key: &str, value: String| {
        if !value.is_empty() {
            table.row([key.to_owned(), value]);
        }
    };
    line("id", listed.id.clone());
    line("label", listed.label.clone());
    line("name", listed.name.clone());
    line("answering", answering);
    line("lease", lease);
    line("state", with_reason(&listed.state.to_string(), listed.state_reason.as_deref()));
    if let Some(over) = &listed.override_ {
        let ends = over.expires_in_ms.map(|ms| format!(" for {} more", duration(ms)));
        let state = format!("{}{}", over.state, ends.unwrap_or_default());
        line("override", with_reason(&state, Some(&over.reason)));
    }
    line("address", addresses(listed));
    line("protocol", listed.protocol.to_string());
    for (name, port) in &listed.ports {
        line("port", format!("{name}={port}"));
    }
    line("tags", listed.tags.join(", "));
    line("version", listed.version.clone().unwrap_or_default());
    line("weight", listed.weight.to_string());
    line("priority", listed.priority.to_string());
    for (key, value) in &listed.meta {
        line("meta", format!("{key}={value}"));
    }
    for (key, value) in &listed.rest {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        line(key, text);
    }
    table
}

fn with_reason(state: &str, reason: Option<&str>) -> String {
    match reason {
        None | Some("") => state.to_owned(),
        Some(reason) => format!("{state}: {reason}"),
    }
}
