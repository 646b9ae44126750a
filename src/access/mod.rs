//! Who asks, and what it may do: decided here for every door.

pub mod key;
