//! The doors over HTTP and UDP.
