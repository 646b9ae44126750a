//! Files that people, other programs or a broken disk give us.

use std::fs;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rollcall::config::resolv_conf::ResolvConf;
use rollcall::config::{Config, Overrides};
use rollcall::dns::zone_file as zones;
use rollcall::registry::Registry;
use rollcall::store::Store;
use rollcall::view::zones::{ZoneSettings, Zones};

/// A zone file: it is loaded, or refused with a line and a reason.
pub fn zone_file(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    // Files that others include would be looked for on this machine.
    if text.to_ascii_uppercase().contains("$INCLUDE") {
        return;
    }
    match zones::load(Path::new("example.zone"), "example.", &text) {
        Ok(zone) => {
            let zones = ["svc.internal.".to_owned()];
            let settings = ZoneSettings {
                zones: &zones,
                reverse_zones: &[],
                negative_ttl_secs: 2,
                ns_addresses: &[],
                texts: &[],
            };
            let _ = Zones::build(&settings, vec![zone]);
        }
        Err(error) => assert!(!error.reason.is_empty() && error.line <= text.lines().count() + 1),
    }
}

/// A configuration: it is good, or every problem says where it is.
pub fn config(data: &[u8]) {
    let path = directory().join("config.toml");
    fs::write(&path, data).expect("a file");
    if let Err(error) = Config::load(Some(&path), &Overrides::default()) {
        assert!(error.to_string().contains("config.toml"), "{error}");
    }
}

/// A resolv.conf: what it says of servers is read, and none of them twice.
pub fn resolv_conf(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let ours: SocketAddr = ([127, 0, 0, 1], 53).into();
    let read = ResolvConf::parse(&text, |address| address == ours, |_| Some(1));
    for (at, server) in read.nameservers.iter().enumerate() {
        assert!(*server != ours && !read.nameservers[..at].contains(server));
    }
}

/// A store that a disk has changed: the first four octets say where, the rest is what stands there then. It is refused, or
/// what can be read of it is loaded.
pub fn store(data: &[u8]) {
    let Some((place, change)) = data.split_first_chunk::<4>() else { return };
    let dir = directory().join("store");
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir(&dir).expect("a directory");
    for (name, octets) in good_store() {
        let mut octets = octets.clone();
        let at = u32::from_be_bytes(*place) as usize % octets.len().max(1);
        for (octet, change) in octets[at..].iter_mut().zip(change) {
            *octet = *change;
        }
        fs::write(dir.join(name), octets).expect("a file");
    }
    let _ = rollcall::store::check(&dir);
    if let Ok(mut store) = Store::open(&dir) {
        let mut registry = Registry::default();
        let _ = store.load(|stored| {
            registry.restore(stored.instance);
            ControlFlow::Continue(())
        });
    }
}

/// The files of a store with an instance.
fn good_store() -> &'static [(String, Vec<u8>)] {
    static GOOD: OnceLock<Vec<(String, Vec<u8>)>> = OnceLock::new();
    GOOD.get_or_init(crate::world::store_files)
}

/// A directory of this process.
fn directory() -> PathBuf {
    static DIRECTORY: OnceLock<tempfile::TempDir> = OnceLock::new();
    let made = || tempfile::tempdir().expect("a directory");
    DIRECTORY.get_or_init(made).path().to_owned()
}
