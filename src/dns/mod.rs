//! What is not a plain query.
