//! `http-load`: renewals one by one, renewals in batches, registrations, calls of Eureka's clients, or calls to the
//! reference.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process;

use crate::http::{self, Calls, Plan};
use crate::instances::{self, Instance};

/// Services that new instances are spread over: none becomes large.
const NEW_SERVICES: u64 = 500;

/// What is called.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The server's port, on 127.0.0.1
    #[arg(long)]
    port: u16,
    /// What is called
    #[arg(long, value_enum)]
    kind: Kind,
    /// Connections, each with one call outstanding
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// Seconds
    #[arg(long, default_value_t = 3.0)]
    secs: f64,
    /// Calls at most
    #[arg(long, default_value_t = u64::MAX)]
    count: u64,
    /// Calls a second, at an even rate; else as fast as they are answered
    #[arg(long)]
    rate: Option<f64>,
    /// Renewals of one call, with the kind `batch`
    #[arg(long, default_value_t = 1000)]
    batch: usize,
    /// The instances to renew: `service id` a line
    #[arg(long)]
    instances: Option<PathBuf>,
    /// What the ids of new instances begin with; else they are of no other run
    #[arg(long, value_name = "PREFIX")]
    new: Option<String>,
}

/// Kinds of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    /// Renew an instance
    Renew,
    /// Renew many with a call
    Batch,
    /// Register a new instance
    Register,
    /// Renew an instance as a client of Eureka does
    EurekaRenew,
    /// Fetch the whole list as a client of Eureka does: in JSON, compressed
    EurekaApps,
    /// Call the reference, as `renew` calls the server
    Hello,
}

/// Calls, and prints the figures.
pub fn run(args: &Args) -> io::Result<()> {
    let Args { port, connections, secs, count, rate, .. } = *args;
    let plan = Plan { port, connections, secs, count, rate };
    let listed = match &args.instances {
        Some(file) => instances::read(file)?,
        None => Vec::new(),
    };
    let line = match args.kind {
        Kind::Register => http::run(&plan, &mut Registrations::of(args.new.as_deref()))?,
        Kind::EurekaApps => http::run(&plan, &mut Lists)?,
        _ if listed.is_empty() => return Err(io::Error::other("--instances is missing")),
        Kind::Renew | Kind::Hello => http::run(&plan, &mut Renewals { listed, next: 0 })?,
        Kind::EurekaRenew => http::run(&plan, &mut EurekaRenewals { listed, next: 0 })?,
        Kind::Batch => http::run(&plan, &mut Batches { listed, next: 0, size: args.batch })?,
    };
    line.print();
    Ok(())
}

/// Renewals one by one.
struct Renewals {
    listed: Vec<Instance>,
    next: usize,
}

impl Calls for Renewals {
    fn next(&mut self, target: &mut Vec<u8>, _body: &mut Vec<u8>) {
        let Instance { service, id } = &self.listed[self.next];
        self.next = (self.next + 1) % self.listed.len();
        for part in ["PUT /api/v1/services/", service, "/instances/", id, "/lease"] {
            target.extend(part.as_bytes());
        }
    }
}

/// Renewals as a client of Eureka sends them.
struct EurekaRenewals {
    listed: Vec<Instance>,
    next: usize,
}

impl Calls for EurekaRenewals {
    fn next(&mut self, target: &mut Vec<u8>, _body: &mut Vec<u8>) {
        let Instance { service, id } = &self.listed[self.next];
        self.next = (self.next + 1) % self.listed.len();
        let app = service.to_ascii_uppercase();
        for part in ["PUT /eureka/apps/", &*app, "/", id, "?status=UP&lastDirtyTimestamp=1"] {
            target.extend(part.as_bytes());
        }
    }
}

/// Fetches of the whole list.
struct Lists;

impl Calls for Lists {
    fn next(&mut self, target: &mut Vec<u8>, _body: &mut Vec<u8>) {
        target.extend(b"GET /eureka/apps/");
    }
}

/// Renewals many a call.
struct Batches {
    listed: Vec<Instance>,
    next: usize,
    size: usize,
}

impl Calls for Batches {
    fn next(&mut self, target: &mut Vec<u8>, body: &mut Vec<u8>) {
        target.extend(b"POST /api/v1/renewals");
        body.extend(b"{\"instances\":[");
        for n in 0..self.size {
            let Instance { service, id } = &self.listed[self.next];
            self.next = (self.next + 1) % self.listed.len();
            let comma = if n == 0 { "" } else { "," };
            for part in [comma, "[\"", service, "\",\"", id, "\"]"] {
                body.extend(part.as_bytes());
            }
        }
        body.extend(b"]}");
    }
}

/// Registrations of instances that were never listed before.
struct Registrations {
    prefix: String,
    next: u64,
}

impl Registrations {
    fn of(prefix: Option<&str>) -> Self {
        let prefix = prefix.map_or_else(|| format!("n{}", process::id()), str::to_owned);
        Self { prefix, next: 0 }
    }
}

impl Calls for Registrations {
    fn next(&mut self, target: &mut Vec<u8>, body: &mut Vec<u8>) {
        let (n, service) = (self.next, self.next % NEW_SERVICES);
        self.next += 1;
        // A Vec takes all that is written.
        let _ =
            write!(target, "PUT /api/v1/services/new-{service}/instances/{}-{n:06}", self.prefix);
        let third = n / 250 % 250;
        let _ = write!(body, r#"{{"addresses":["10.9.{third}.{}"],"port":8080}}"#, n % 250);
    }
}
