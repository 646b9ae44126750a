//! `rollcall import eureka`: a copy of another registry's instances, kept while they are listed there.
//!
//! [`source`] asks the Eureka server, [`list`] reads what it says, [`copy`] knows what has to be done here (a state machine
//! without I/O or clock), and [`run`] does it.

pub mod copy;
pub mod list;
pub mod run;
pub mod source;

pub use run::{Options, Outcome, run};
pub use source::Source;
