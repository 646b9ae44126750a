//! What is not a plain query.

pub mod forward;
pub mod zone_file;
pub mod message;
pub mod ask;
