//! Names that are not ours: asked upstream, and kept in the cache.

pub mod accept;
mod names;
mod reply;
