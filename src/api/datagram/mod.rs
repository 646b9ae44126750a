//! The datagram door: one line asks, one line answers.
//!
//! ```text
//! RC1 REGISTER web web-1 10.0.0.5:8080 lease=30 tag=blue key=k1 time=<unix ms> boot=<hex> seq=<n> mac=<64 hex>
//! RC1 RENEW web web-1 key=… time=… boot=… seq=… mac=…
//! RC1 DRAIN web web-1 reason=deploy%2042 …      RC1 DEREGISTER web web-1 …
//! -> RC1 OK expires_ms=30000 mac=…  |  RC1 UNKNOWN mac=…  |  RC1 DENIED reason=… mac=…
//!  | RC1 INVALID field=… mac=…      |  RC1 BADTIME now=<unix ms> mac=…
//! ```
//!
//! A line is printable ASCII, at most 1,200 octets, with or without a newline. The fields after the fixed ones
//! come in any order. `REGISTER` takes `lease=` (seconds, or `none`; brought within the configured bounds),
//! `version=`, `weight=`, `priority=`, `protocol=` and `state=` once each, and any number of further `address=`,
//! of `tag=`, and of distinct `port.NAME=` and `meta.KEY=`; `DRAIN` takes `reason=`. In ids, meta keys and values
//! what is not a printable ASCII character other than the space is percent-encoded (`%20`), and so is the percent
//! sign (`%25`); a reply's `reason=` and `field=` are written so too.
//!
//! `OK` says for how long the lease runs from when the request was carried out: the term that was granted, after
//! `DRAIN` what was left of it, `none` without end, 0 after `DEREGISTER`. A signed reply is cut to the request's
//! length. No reply means: ask again, with the same datagram.
//!
//! The mac of a request is HMAC-SHA-256, in lower case, over everything before ` mac=`; that of a reply is over the
//! 64 digits of the request's mac, directly followed by everything before the reply's ` mac=`. `boot` is a number
//! that the sender draws when it starts, `seq` counts its datagrams (also over several instances); a repeat is the
//! same line again. `BADTIME` is for a time more than 30 s off, or before the server's start. In a shell:
//!
//! ```sh
//! line="RC1 RENEW web web-1 key=k1 time=$(date +%s000) boot=$(openssl rand -hex 8) seq=1"
//! mac=$(printf %s "$line" | openssl dgst -sha256 -mac HMAC -macopt "hexkey:$(cat k1.key)" | sed 's/.* //')
//! printf '%s mac=%s' "$line" "$mac" | socat -t 2 - UDP:127.0.0.1:8053
//! ```
//!
//! Lines travel in the clear. A sender whose clock is ahead of the server's by d seconds has its last d seconds'
//! datagrams accepted once more after the server restarts, as the server then remembers nothing. The server's wall clock
//! must not be set back by more than a minute: an instance is remembered for a minute after its last datagram, and
//! what an instance sent that is no longer remembered is accepted once more when the clock comes within 30 s of it
//! again. Less than a minute can do, if it follows a minute of silence.
//!
//! This file is the glue between `admission` (is it genuine, new, allowed, and what does it say) and the registrar.

mod admission;
mod change;
mod counters;
mod line;
mod replay;
mod reply;
pub mod serve;

use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::RwLock;

use crate::access::{Access, Authorised};
use crate::audit::Audit;
use crate::config::Lease;
use crate::net::udp;
use crate::registrar::{Registrar, Renewals, Renewed};
use crate::registry::{Command, MAX_ID_OCTETS};
use admission::{Admission, Admitted, Ticket};
pub use line::{MAX_LINE_OCTETS, Verb};
use reply::Reply;

/// Octets that a datagram must be received with to see that it is too long: a line, its end, and one more.
pub const MAX_DATAGRAM_OCTETS: usize = MAX_LINE_OCTETS + 3;

/// What a door is built from.
pub struct Settings {
    /// Decides who may what, and has the keys: while there are none, lines are unsigned.
    pub access: Arc<Access>,
    /// Is told of denials.
    pub audit: Audit,
    /// Bounds of leases; a reload changes them.
    pub lease: Arc<RwLock<Lease>>,
    /// When the server started: milliseconds since 1970 UTC.
    pub start_unix_ms: u64,
}

/// Sends a reply that waited for a commit, from the socket that received the request.
pub type SendLater = Box<dyn FnOnce(&[u8]) + Send>;

/// What a datagram came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handled {
    /// A reply of so many octets is to be sent.
    Reply(usize),
    /// Nothing is to be sent.
    Silent,
    /// A reply, if there is one, will be sent by what `reply_later` gave.
    Later,
}

/// The datagram door; clones are the same one.
#[derive(Clone)]
pub struct Door {
    admission: Arc<Admission>,
    registrar: Registrar,
    /// What its threads received, sent and lost.
    traffic: Arc<udp::Counters>,
}

impl Door {
    /// A door to `registrar`.
    pub fn new(settings: Settings, registrar: Registrar) -> Self {
        let admission = Arc::new(Admission::new(settings));
        Self { admission, registrar, traffic: Arc::default() }
    }

    /// Handles datagrams that came together; `now_unix_ms` is the time of day.
    pub fn batch(&self, now_unix_ms: u64) -> Batch<'_> {
        Batch { door: self, renewals: self.registrar.renewals(), now_unix_ms }
    }

    fn submit(&self, ticket: Ticket, command: Command, by: Authorised, send: SendLater) {
        let admission = self.admission.clone();
        let ack = move |result| {
            let mut out = [0; MAX_LINE_OCTETS];
            let reply = Reply::of_change(ticket.verb, result);
            let length = admission.settle(&ticket, reply, &mut out);
            if let Some(line) = out.get(..length).filter(|line| !line.is_empty()) {
                send(line);
            }
        };
        self.registrar.submit(command, by, Box::new(ack));
    }

    /// Counters for metrics: name, what it counts, value.
    pub fn figures(&self) -> Vec<(&'static str, &'static str, u64)> {
        let mut figures = self.admission.counters.figures();
        figures.extend(counters::traffic(&self.traffic));
        figures
    }
}

/// The door with the clock read, for datagrams that came together.
pub struct Batch<'a> {
    door: &'a Door,
    renewals: Renewals<'a>,
    now_unix_ms: u64,
}

impl Batch<'_> {
    /// Handles one datagram.
    ///
    /// A reply goes into `out`, which should hold [`MAX_LINE_OCTETS`], or, when it waits for a commit, to what
    /// `reply_later` gives: that is called at most once, on the registrar's thread, and must not block. A renewal
    /// is answered at once and without an allocation.
    pub fn handle(
        &self,
        datagram: &[u8],
        peer: SocketAddr,
        out: &mut [u8],
        reply_later: impl FnOnce() -> SendLater,
    ) -> Handled {
        let mut buffer = [0; MAX_ID_OCTETS];
        let Self { door, renewals, now_unix_ms } = self;
        let admission = &door.admission;
        let length = match admission.admit(datagram, peer, *now_unix_ms, &mut buffer) {
            Admitted::Silent => 0,
            Admitted::Told(seal, reply) => seal.write(&reply, out),
            Admitted::Renewal { ticket, principal, actor, service, id } => {
                let renewed = renewals.renew(service, id, &actor);
                if renewed == Renewed::NotYours {
                    admission.tell_of(principal, peer, service, id);
                }
                admission.settle(&ticket, Reply::of_renewal(renewed), out)
            }
            Admitted::Change { ticket, command, by } => {
                door.submit(ticket, command, by, reply_later());
                return Handled::Later;
            }
        };
        if length > 0 { Handled::Reply(length) } else { Handled::Silent }
    }
}

#[cfg(test)]
mod tests;
