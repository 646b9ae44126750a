//! Instance files: `service id` a line.

use std::fs;
use std::io;
use std::path::Path;

/// An instance that is listed, or is to be.
#[derive(Debug, Clone)]
pub struct Instance {
    /// Its service.
    pub service: String,
    /// Its id.
    pub id: String,
}

/// Reads a file.
pub fn read(file: &Path) -> io::Result<Vec<Instance>> {
    let text = fs::read_to_string(file)?;
    let instance = |line: &str| {
        let (service, id) = line.split_once(' ')?;
        Some(Instance { service: service.to_owned(), id: id.to_owned() })
    };
    let instances: Option<Vec<_>> = text.lines().map(instance).collect();
    let instances = instances.filter(|instances| !instances.is_empty());
    instances.ok_or_else(|| {
        io::Error::other(format!("{} must have a line `service id` for each", file.display()))
    })
}
