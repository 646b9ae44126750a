//! The zones that are served, with what their zone files say: one immutable snapshot.

/// All zones.
#[derive(Debug, Default)]
pub struct Zones {}
