//! Rollcall: a private DNS server that answers from a live registry.
//!
//! The modules in reading order; `ARCHITECTURE.md` has the map, the three paths and the invariants.

pub mod registry;
pub mod access;
pub mod view;
pub mod cache;
pub mod answer;
pub mod store;
pub mod net;
pub mod audit;
pub mod history;
pub mod registrar;
pub mod dns;
pub mod api;
pub mod sidecar;
pub mod config;
pub mod nearest;
pub mod secret;
pub mod shared;
pub mod telemetry;
pub mod server;
pub mod cli;
pub mod sync;
