//! The atomics of what is model-checked: the standard library's here, loom's in `tests/loom`.

pub use std::sync::atomic::{AtomicU64, Ordering};
