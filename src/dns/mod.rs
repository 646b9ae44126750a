//! What is not a plain query.

pub mod zone_file;
