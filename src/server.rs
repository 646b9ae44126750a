//! Wiring: build, start, drain, stop.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// What the command line says above the configuration file.
#[derive(Debug, Clone, Default)]
pub struct Given {
    /// The configuration file; none: the defaults.
    pub config: Option<PathBuf>,
    /// Instead of `dns.listen`, if any.
    pub dns: Vec<SocketAddr>,
    /// Instead of `http.listen`, if any.
    pub http: Vec<SocketAddr>,
    /// Instead of `udp.listen`, if any.
    pub udp: Vec<SocketAddr>,
    /// Instead of `store.data_dir`.
    pub data_dir: Option<PathBuf>,
}

/// Serves until a signal says to stop; the error says what to do.
pub fn run(given: &Given) -> Result<(), String> {
    let _ = given;
    todo!()
}

/// What would keep the server from starting, or be wrong when it has; nothing: all is well.
pub fn check(given: &Given) -> Vec<String> {
    let _ = given;
    todo!()
}

/// Copies the store of the data directory into `file`, also while a server runs on it.
pub fn backup(given: &Given, file: &Path, overwrite: bool) -> Result<(), String> {
    let _ = (given, file, overwrite);
    todo!()
}
