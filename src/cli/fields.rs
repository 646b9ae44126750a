//! The options that say what is registered: `register` and `run` have the same.

use std::collections::BTreeMap;
use std::net::IpAddr;

use clap::Args;

use crate::sidecar::messages::{Lease, Protocol, Registration};

use super::failure::Failure;

/// What is registered, but for its lease and state.
#[derive(Debug, Args)]
pub(super) struct Fields {
    /// The main port
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) port: u16,
    /// An address where the instance answers; repeatable [default: the one that the server sees]
    #[arg(long, value_name = "IP")]
    address: Vec<IpAddr>,
    /// The main port's protocol [default: tcp]
    #[arg(long)]
    protocol: Option<Protocol>,
    /// A further port, found at _NAME._tcp; repeatable
    #[arg(long, value_name = "NAME=PORT", value_parser = named_port)]
    named_port: Vec<(String, u16)>,
    /// A tag; repeatable
    #[arg(long, value_name = "TAG")]
    tag: Vec<String>,
    /// The version of what runs
    #[arg(long)]
    version: Option<String>,
    /// Its share among instances of the same priority [default: 1]
    #[arg(long)]
    weight: Option<u16>,
    /// Lower is asked first [default: 0]
    #[arg(long)]
    priority: Option<u16>,
    /// Text that is kept with it; repeatable
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    meta: Vec<(String, String)>,
}

impl Fields {
    /// The registration, with this lease.
    pub(super) fn registration(&self, lease: Option<Lease>) -> Result<Registration, Failure> {
        Ok(Registration {
            addresses: self.address.clone(),
            port: self.port,
            protocol: self.protocol,
            ports: unique("--named-port", &self.named_port)?,
            lease_secs: lease,
            tags: self.tag.clone(),
            version: self.version.clone(),
            weight: self.weight,
            priority: self.priority,
            meta: unique("--meta", &self.meta)?,
            state: None,
        })
    }
}

fn unique<V: Clone>(option: &str, pairs: &[(String, V)]) -> Result<BTreeMap<String, V>, Failure> {
    let map: BTreeMap<_, _> = pairs.iter().cloned().collect();
    match pairs.iter().find(|(key, _)| pairs.iter().filter(|(other, _)| other == key).count() > 1) {
        Some((key, _)) => Err(Failure::usage(format!("{option} {key} is given twice"))),
        None => Ok(map),
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("must be KEY=VALUE".to_owned()),
    }
}

fn named_port(text: &str) -> Result<(String, u16), String> {
    let (name, port) = pair(text).map_err(|_| "must be NAME=PORT".to_owned())?;
    match port.parse() {
        Ok(port) if port != 0 => Ok((name, port)),
        _ => Err(format!("`{port}` must be a port, 1 to 65535")),
    }
}

/// A lease on the command line: seconds, or `none`.
pub(super) fn lease(text: &str) -> Result<Lease, String> {
    match text {
        "none" => Ok(Lease::Endless),
        _ => match text.parse() {
            Ok(secs) if secs > 0 => Ok(Lease::Secs(secs)),
            _ => Err("must be a number of seconds, at least 1, or `none` for a lease without end"
                .to_owned()),
        },
    }
}
