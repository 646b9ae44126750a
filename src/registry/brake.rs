//! The brake.
