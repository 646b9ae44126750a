//! The store: makes a change durable before it is acknowledged.

use std::path::Path;

use crate::registry::{Change, Instance, InstanceId, ServiceName};

/// What one commit makes durable.
#[derive(Debug)]
pub struct Batch<'a> {
    /// Changes, oldest first.
    pub changes: &'a [Change],
    /// Remaining time of long leases: service, id, milliseconds.
    pub remaining: &'a [(ServiceName, InstanceId, u64)],
    /// The registry's revision after them.
    pub revision: u64,
    /// A serial that no answer has yet shown: where the zones' serial goes on after a restart.
    pub serial: u32,
}

/// What a store held when it was opened.
#[derive(Debug, Clone, Copy)]
pub struct Loaded {
    /// The registry's revision.
    pub revision: u64,
    /// Where the zones' serial goes on.
    pub serial: u32,
    /// Instances.
    pub instances: usize,
}

/// A stored instance.
#[derive(Debug)]
pub struct Stored {
    /// The instance.
    pub instance: Instance,
    /// What was left of its lease when that was last flushed, in milliseconds.
    pub remaining_ms: Option<u64>,
}

/// Why the store does not work, in words for people.
#[derive(Debug)]
pub struct StoreError(pub String);

/// The embedded store: one SQLite file in the data directory, one connection, one owner.
pub struct Store {}

impl Store {
    /// Opens or creates the store in a data directory that the caller holds the lock of.
    pub fn open(data_dir: &Path) -> Result<Self, StoreError> {
        let _ = data_dir;
        todo!()
    }

    /// Hands over every instance, service by service.
    pub fn load(&mut self, each: impl FnMut(Stored)) -> Result<Loaded, StoreError> {
        let _ = each;
        todo!()
    }

    /// Makes a batch durable, whole or not at all.
    pub fn commit(&mut self, batch: &Batch<'_>) -> Result<(), StoreError> {
        let _ = batch;
        todo!()
    }
}
