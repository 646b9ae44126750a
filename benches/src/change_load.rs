//! `change-load`: changes of listed instances at a steady rate, over a few connections.
//!
//! Every change is a registration with another port than before, so each is durable and makes records anew.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process;

use crate::http::{self, Calls, Plan};
use crate::instances::{self, Instance};

/// Ports that changes go through.
const PORTS: u64 = 50_000;

/// How often what is changed.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The server's port for HTTP, on 127.0.0.1
    #[arg(long)]
    http: u16,
    /// The instances: `service id` a line
    #[arg(long)]
    instances: PathBuf,
    /// Changes a second
    #[arg(long, default_value_t = 1000.0)]
    rate: f64,
    /// Seconds
    #[arg(long, default_value_t = 3.0)]
    secs: f64,
    /// Connections
    #[arg(long, default_value_t = 8)]
    connections: usize,
}

/// Changes, and prints the figures.
pub fn run(args: &Args) -> io::Result<()> {
    let plan = Plan {
        port: args.http,
        connections: args.connections,
        secs: args.secs,
        count: u64::MAX,
        rate: Some(args.rate),
    };
    let listed = instances::read(&args.instances)?;
    // Another process begins at another port, so that its first changes are changes, too.
    let made = u64::from(process::id()) * 7919;
    http::run(&plan, &mut Changes { listed, next: 0, made })?.print();
    Ok(())
}

/// Changes of one instance after the other.
struct Changes {
    listed: Vec<Instance>,
    next: usize,
    made: u64,
}

impl Calls for Changes {
    fn next(&mut self, target: &mut Vec<u8>, body: &mut Vec<u8>) {
        let Instance { service, id } = &self.listed[self.next];
        let n = self.next;
        self.next = (self.next + 1) % self.listed.len();
        self.made += 1;
        let port = 10_000 + self.made % PORTS;
        // A Vec takes all that is written.
        let _ = write!(target, "PUT /api/v1/services/{service}/instances/{id}");
        let address = crate::fill::address(n as u64);
        let _ = write!(
            body,
            r#"{{"addresses":["{address}"],"port":{port},"ports":{{"http":{port}}},"lease_secs":300}}"#
        );
    }
}
