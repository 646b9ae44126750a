//! What the parsers that meet the network or the disk must hold, whatever octets they are given. One function a target;
//! each panics where something does not hold.
//!
//! `fuzz/run` has a fuzzer look for octets that break them (`targets/` are its way in). `tests/replay.rs` gives them what was
//! found worth keeping, in `corpus/`, and is a part of `./tests/run`.

pub mod client;
pub mod datagram;
pub mod files;
pub mod http;
pub mod query;
pub mod upstream;
mod world;

/// A target by its name, which is also that of its corpus.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 9] = [
    ("query", query::query),
    ("upstream", upstream::upstream),
    ("datagram", datagram::datagram),
    ("http", http::http),
    ("zone_file", files::zone_file),
    ("config", files::config),
    ("resolv_conf", files::resolv_conf),
    ("store", files::store),
    ("client", client::client),
];
