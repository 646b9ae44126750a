//! `rollcall serve`: runs the server.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::server::{self, Given};

use super::failure::Failure;

/// What stands above the configuration file.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The configuration file [default: none, every option at its default]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// An address for DNS, UDP and TCP; repeatable; instead of dns.listen
    #[arg(long, value_name = "ADDR:PORT")]
    dns: Vec<SocketAddr>,
    /// An address for HTTP; repeatable; instead of http.listen
    #[arg(long, value_name = "ADDR:PORT")]
    http: Vec<SocketAddr>,
    /// An address for registration datagrams; repeatable; instead of udp.listen
    #[arg(long, value_name = "ADDR:PORT")]
    udp: Vec<SocketAddr>,
    /// The data directory; instead of store.data_dir
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

impl From<Args> for Given {
    fn from(args: Args) -> Self {
        let Args { config, dns, http, udp, data_dir } = args;
        Given { config, dns, http, udp, data_dir, ..Given::default() }
    }
}

/// Serves until a signal says to stop.
pub(super) fn run(args: Args) -> Result<(), Failure> {
    server::run(&args.into()).map_err(Failure::failed)
}
