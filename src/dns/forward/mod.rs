//! Names that are not ours: how an upstream is asked.
//!
//! A question goes down these floors, and one reply comes back:
//!
//! ```text
//! forwarder each query until nothing is missing to answer it
//! flight    the same question is asked once, whoever waits for it
//! plan      which group of upstreams a name belongs to, or that nobody is asked
//! rules     which group of upstreams a name belongs to
//! pool      the fastest healthy upstream of the group first, the next after a short delay or a failure
//! exchange  one question, one upstream: a datagram from a socket of its own, or a connection that is shared, TLS or not
//! message   the query's octets, and which replies are replies to it
//! accept    what of a reply the cache may keep
//! ```
//!
//! No delegation is followed and nothing is validated here: an upstream is a resolver. So one question costs
//! [`exchange::PACKETS_MOST`] packets at most, whatever the upstreams say, and [`pool::QUESTION_MOST`] at most.

pub mod forwarder;
pub mod flight;
pub mod plan;
pub mod probe;
pub mod special;
pub mod rules;
pub mod pool;
pub mod upstream;
pub mod exchange;
pub mod message;
pub mod accept;
pub mod judge;
mod names;
mod reply;
#[cfg(test)]
mod testing;

pub use exchange::Failure;
pub use message::Question;
