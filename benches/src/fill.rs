//! `fill`: registers many instances, as they are in a large installation.
//!
//! Ids have 12 characters. Besides an address an instance has two tags and 64 octets of metadata, if it is to be
//! whole; otherwise a port `http` alone.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::net::Ipv4Addr;
use std::path::PathBuf;

use crate::http::{self, Calls, Plan};

/// Seconds that a fill may take.
const PATIENCE_SECS: f64 = 3600.0;

/// What is registered.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The server's port for HTTP, on 127.0.0.1
    #[arg(long)]
    http: u16,
    /// Services
    #[arg(long, default_value_t = 1000)]
    services: u64,
    /// Instances of each
    #[arg(long, default_value_t = 5)]
    instances: u64,
    /// What the services' names begin with; a number follows
    #[arg(long, default_value = "web-")]
    prefix: String,
    /// Digits of that number
    #[arg(long, default_value_t = 4)]
    digits: usize,
    /// With two tags and 64 octets of metadata each
    #[arg(long)]
    whole: bool,
    /// As clients of Eureka register
    #[arg(long)]
    eureka: bool,
    /// The term of the leases
    #[arg(long, default_value_t = 300)]
    lease_secs: u32,
    /// Connections: so many registrations can share a commit
    #[arg(long, default_value_t = 128)]
    connections: usize,
    /// Write what was registered: `service id` a line
    #[arg(long)]
    list: Option<PathBuf>,
    /// Register nothing, write the list alone
    #[arg(long)]
    list_only: bool,
}

/// Registers, and prints the figures.
pub fn run(args: &Args) -> io::Result<()> {
    if let Some(file) = &args.list {
        let mut file = BufWriter::new(File::create(file)?);
        for n in 0..args.services * args.instances {
            writeln!(file, "{} {}", args.service(n), id(n))?;
        }
        file.flush()?;
    }
    if args.list_only {
        return Ok(());
    }
    let plan = Plan {
        port: args.http,
        connections: args.connections,
        secs: PATIENCE_SECS,
        count: args.services * args.instances,
        rate: None,
    };
    http::run(&plan, &mut Registrations { args, next: 0 })?.print();
    Ok(())
}

impl Args {
    fn service(&self, n: u64) -> String {
        format!("{}{:0width$}", self.prefix, n / self.instances, width = self.digits)
    }
}

/// The id of the instance number `n`.
fn id(n: u64) -> String {
    // Spread, so that neighbours have nothing in common, and still each its own: the factor is odd.
    format!("i-{:010x}", n.wrapping_mul(0x9e_3779_b97f) & 0xff_ffff_ffff)
}

/// The address of the instance number `n`.
pub fn address(n: u64) -> Ipv4Addr {
    let low = u32::try_from(n % (1 << 24)).unwrap_or(0);
    Ipv4Addr::from(0x0a00_0000 | low)
}

/// Registrations of all of them.
struct Registrations<'a> {
    args: &'a Args,
    next: u64,
}

impl Calls for Registrations<'_> {
    fn next(&mut self, target: &mut Vec<u8>, body: &mut Vec<u8>) {
        let n = self.next;
        self.next += 1;
        let (service, id, address) = (self.args.service(n), id(n), address(n));
        if self.args.eureka {
            return self.eureka(&service, &id, address, target, body);
        }
        // A Vec takes all that is written.
        let _ = write!(target, "PUT /api/v1/services/{service}/instances/{id}");
        let lease = self.args.lease_secs;
        let _ = write!(body, r#"{{"addresses":["{address}"],"port":8080,"lease_secs":{lease},"#);
        let _ = match self.args.whole {
            true => write!(
                body,
                r#""tags":["blue","zone-{}"],"meta":{{"rack":"r{:04}","commit":"{:049}"}}}}"#,
                n % 3,
                n % 1000,
                n
            ),
            false => write!(body, r#""ports":{{"http":8080}}}}"#),
        };
    }
}

impl Registrations<'_> {
    /// As Spring Cloud registers.
    fn eureka(
        &self,
        service: &str,
        id: &str,
        address: Ipv4Addr,
        target: &mut Vec<u8>,
        body: &mut Vec<u8>,
    ) {
        let (app, lease) = (service.to_ascii_uppercase(), self.args.lease_secs);
        // A Vec takes all that is written.
        let _ = write!(target, "POST /eureka/apps/{app}");
        let _ = write!(
            body,
            r#"{{"instance":{{"instanceId":"{id}","app":"{app}","hostName":"{address}","ipAddr":"{address}","status":"UP","#
        );
        let _ = write!(
            body,
            r#""overriddenStatus":"UNKNOWN","port":{{"$":8080,"@enabled":"true"}},"securePort":{{"$":443,"@enabled":"false"}},"#
        );
        let _ = write!(
            body,
            r#""homePageUrl":"http://{address}:8080/","statusPageUrl":"http://{address}:8080/actuator/info","#
        );
        let _ = write!(
            body,
            r#""healthCheckUrl":"http://{address}:8080/actuator/health","vipAddress":"{service}","secureVipAddress":"{service}","#
        );
        let _ = write!(
            body,
            r#""leaseInfo":{{"renewalIntervalInSecs":30,"durationInSecs":{lease}}},"lastDirtyTimestamp":"1","countryId":1,"#
        );
        let _ = write!(
            body,
            r#""metadata":{{"management.port":"8080"}},"dataCenterInfo":{{"name":"MyOwn"}}}}}}"#
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_12_characters_and_are_distinct() {
        let ids: std::collections::HashSet<_> = (0..100_000).map(id).collect();
        assert_eq!(ids.len(), 100_000);
        assert!(ids.iter().all(|id| id.len() == 12));
    }
}
