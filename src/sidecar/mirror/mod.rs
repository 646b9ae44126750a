//! `rollcall import eureka`: copies what a running Eureka server lists into ours, and follows it.
//!
//! [`source`] asks the Eureka server for its lists, [`instance`] reads them, [`copy`] decides what our server is to be told,
//! [`batch`] tells it, and [`run`] is the loop around them. Our server marks the copies as such. An instance whose client
//! has come over is no copy any more, and we let go of it.

mod batch;
mod copy;
mod entry;
mod instance;
mod pace;
mod run;
mod source;
mod summary;

pub use run::{Event, Options, run};
pub use source::Source;
pub use summary::{Few, Summary};
