//! The client side: calls to a server, and `rollcall run`, which keeps a program listed while it runs.
//!
//! It knows the HTTP contract alone and imports nothing of the server. [`Client`] makes one call at a time to
//! one server; [`run`](run::run) starts a child, and one [`listing`] task a server keeps it listed there. [`mirror`] copies
//! what a Eureka server lists.

mod trust;
pub mod url;
mod http;
pub mod error;
pub mod messages;
pub mod client;
pub mod explained;
pub mod happened;
pub mod check;
mod pace;
pub mod listing;
mod child;
mod signals;
pub mod run;
pub mod mirror;

pub use client::Client;
pub use error::ClientError;
pub use trust::TlsFiles;
