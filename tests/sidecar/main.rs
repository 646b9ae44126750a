//! The client side against a fake server: `rollcall run`, the script sidecar, and the command line.
//!
//! Children are real processes; tests wait for conditions and never for a time.

#![allow(clippy::unwrap_used, reason = "all of it is test: what is not there is a failure")]

mod cli;
mod datagrams;
mod fake;
mod process;
mod sidecars;
