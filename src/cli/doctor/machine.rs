//! The machine as the checks see it: its files, who holds its ports, and what its name servers say.

use std::fs::File;
use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::config::Config;
use crate::net::holder::{Holder, Protocol};
use crate::server::DataDirectory;

/// Octets of a system's file that are read: what is looked for stands in far fewer.
const MAX_FILE_OCTETS: u64 = 1 << 20;

/// Where to look.
pub(super) struct Machine<'a> {
    /// Where the system's files are: `/`, but in tests.
    pub(super) root: &'a Path,
    /// What the server is configured with.
    pub(super) config: &'a Config,
    /// Who holds an address.
    pub(super) holder: &'a dyn Fn(Protocol, SocketAddr) -> Option<Holder>,
    /// What a name server says about a name's SOA record.
    pub(super) ask: &'a dyn Fn(SocketAddr, &str) -> Result<Told, String>,
    /// How a data directory stands.
    pub(super) data_directory: &'a dyn Fn(&Path) -> Result<DataDirectory, String>,
}

/// What a name server said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Told {
    /// The reply's code, such as `NOERROR`.
    pub(super) rcode: String,
    /// Whether the zone is its own.
    pub(super) authoritative: bool,
    /// Whether it asks others.
    pub(super) recursion: bool,
    /// Whether there is such a record.
    pub(super) found: bool,
    /// How long it took.
    pub(super) millis: u128,
}

impl Machine<'_> {
    /// Where a file of the system, named by its absolute path, is.
    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// The beginning of a file of the system; `None`: it cannot be read.
    pub(super) fn read(&self, path: &str) -> Option<String> {
        read(&self.path(path))
    }

    /// The first zone, which stands for all: they have the same services.
    pub(super) fn zone(&self) -> &str {
        self.config.dns.zones.first().map_or(".", String::as_str)
    }
}

/// The beginning of a file, without what is not text.
pub(super) fn read(path: &Path) -> Option<String> {
    if !std::fs::metadata(path).ok()?.is_file() {
        return None;
    }
    let mut octets = Vec::new();
    File::open(path).ok()?.take(MAX_FILE_OCTETS).read_to_end(&mut octets).ok()?;
    Some(String::from_utf8_lossy(&octets).into_owned())
}

#[cfg(test)]
pub(super) mod testing {
    //! Machines for tests.

    use super::*;
    use crate::config::Overrides;

    /// The configuration of a text, in a directory of its own.
    pub(in crate::cli::doctor) fn config(text: &str) -> Config {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("config.toml");
        std::fs::write(&file, text).unwrap();
        let overrides = Overrides { data_dir: Some("data".into()), ..Overrides::default() };
        Config::load(Some(&file), &overrides).unwrap()
    }

    /// A root directory with these files.
    pub(in crate::cli::doctor) fn root(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        root
    }

    /// Nobody holds anything, nobody answers, and there is no data yet.
    pub(in crate::cli::doctor) fn machine<'a>(root: &'a Path, config: &'a Config) -> Machine<'a> {
        Machine {
            root,
            config,
            holder: &|_, _| None,
            ask: &|server, _| Err(format!("no reply from {server}")),
            data_directory: &|_| Ok(DataDirectory::Missing),
        }
    }

    /// A reply with this code.
    pub(in crate::cli::doctor) fn told(rcode: &str, authoritative: bool) -> Result<Told, String> {
        let found = rcode == "NOERROR";
        Ok(Told { rcode: rcode.into(), authoritative, recursion: false, found, millis: 3 })
    }
}
