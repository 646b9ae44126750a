//! The doors over HTTP and UDP.

pub mod datagram;
