//! What is kept and told of what happens: events, queries, figures.

use std::path::PathBuf;

/// The log of queries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryLog {
    /// The file that lines are added to; nothing: there is none.
    pub file: Option<PathBuf>,
    /// One query in so many is told.
    pub one_in: u32,
    /// Whether clients' addresses are cut to their networks.
    pub networks_only: bool,
}

/// Queries and replies as they were, for another program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dnstap {
    /// The unix socket at which that listens; nothing: nobody is told.
    pub socket: Option<PathBuf>,
    /// One query in so many is told.
    pub one_in: u32,
    /// Who tells.
    pub identity: String,
}

/// What `/metrics` shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Metrics {
    /// Whether figures are there by the names of CoreDNS too.
    pub coredns_names: bool,
}

/// How many events are kept of what happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct History {
    /// In all.
    pub events: usize,
    /// Of each service.
    pub events_a_service: usize,
}
