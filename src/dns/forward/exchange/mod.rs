//! One question and one upstream: by datagram, and by connection where a datagram will not do or that is encrypted.

pub mod udp;
pub mod tcp;
mod stream;
pub mod tls;
pub mod https;
mod age;
mod pulse;
pub mod trouble;

use std::sync::atomic::{AtomicU8, Ordering};

use tokio::time::Instant;

use super::message::{self, Letters, NOERROR, NXDOMAIN, Query, Question};
use super::upstream::Upstream;
use https::Https;
use tcp::Streams;
use tls::Tls;
use udp::{Datagram, Sockets};

/// Packets to upstreams that one question may cost, a query on a connection counting as one: whatever hostile
/// upstreams reply, they are no lever on others (NXNSAttack and its kin).
pub const PACKETS_MOST: u8 = 3;

/// Why there is no reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// None came in time.
    Silent,
    /// There is no way to the upstream, nobody is there, or the connection was lost.
    Unreachable,
    /// No encrypted connection could be made, or not with whom it should be.
    Untrusted,
    /// It came with an HTTP status that is no success.
    Http(u16),
    /// It came with a response code that is no answer, as SERVFAIL and REFUSED are.
    Rcode(u8),
    /// It came, and whoever asked could not take it.
    Unfit,
    /// The question has cost as many packets as it may.
    Spent,
    /// This system had no socket or no random numbers left.
    Local,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Silent => f.write_str("no reply in time"),
            Self::Unreachable => f.write_str("not reachable"),
            Self::Untrusted => f.write_str("no connection that can be trusted"),
            Self::Http(status) => write!(f, "replied with HTTP status {status}"),
            Self::Rcode(code) => write!(f, "replied with response code {code}"),
            Self::Unfit => f.write_str("replied with what is no answer to the question"),
            Self::Spent => write!(f, "{PACKETS_MOST} packets had no usable reply"),
            Self::Local => f.write_str("this system has no socket to ask from"),
        }
    }
}

/// What upstreams are asked with. Clones are the same.
#[derive(Clone)]
pub struct Means {
    /// The sockets of questions.
    pub sockets: Sockets,
    /// Whom encrypted ones are trusted to be.
    pub tls: Tls,
}

/// The ways to one upstream.
pub(super) enum Ways {
    /// Datagrams, and connections for what they cannot carry.
    Datagrams(Sockets, Streams),
    /// Connections, encrypted or not.
    Streams(Streams),
    /// Requests of HTTP.
    Https(Https),
}

/// The packets that a question has left.
#[derive(Debug)]
pub struct Budget(AtomicU8);

impl Default for Budget {
    fn default() -> Self {
        Self(AtomicU8::new(PACKETS_MOST))
    }
}

impl Budget {
    /// Takes one packet.
    ///
    /// # Errors
    /// None is left.
    pub fn take(&self) -> Result<(), Failure> {
        let less = |left: u8| left.checked_sub(1);
        let taken = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        taken.map(|_| ()).map_err(|_| Failure::Spent)
    }

    /// Whether there is one.
    pub fn is_left(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }
}

/// Asks `upstream`, and waits for as long as it is let. The reply's name is in lower case and its id 0; its
/// response code is NOERROR or NXDOMAIN.
///
/// # Errors
/// Why there is no such reply.
pub async fn ask(
    upstream: &Upstream,
    question: &Question,
    budget: &Budget,
) -> Result<Vec<u8>, Failure> {
    let reply = match upstream.ways() {
        Ways::Datagrams(sockets, streams) => match sockets.take() {
            Some(_may_open) => ask_by_datagram(upstream, streams, question, budget).await,
            None => ask_by_stream(upstream, streams, question, budget).await,
        },
        Ways::Streams(streams) => ask_by_stream(upstream, streams, question, budget).await,
        Ways::Https(https) => https.ask(question, budget).await.map(|reply| heard(upstream, reply)),
    };
    let now = Instant::now();
    match &reply {
        Ok(octets) if matches!(message::rcode(octets), NOERROR | NXDOMAIN) => {
            upstream.was_of_use(now);
            reply
        }
        Ok(octets) => {
            upstream.was_of_no_use(now);
            Err(Failure::Rcode(message::rcode(octets)))
        }
        Err(failure) => {
            match failure {
                Failure::Unreachable | Failure::Untrusted => upstream.was_silent(now),
                Failure::Http(_) | Failure::Unfit => upstream.was_of_no_use(now),
                Failure::Silent | Failure::Rcode(_) | Failure::Spent | Failure::Local => {}
            }
            reply
        }
    }
}

async fn ask_by_datagram(
    upstream: &Upstream,
    streams: &Streams,
    question: &Question,
    budget: &Budget,
) -> Result<Vec<u8>, Failure> {
    let began = Instant::now();
    let letters = upstream.letters(began);
    let query = Query::new(question, letters).map_err(|_| Failure::Local)?;
    let datagram = udp::ask(upstream.address().addr, &query, letters, budget).await?;
    let now = Instant::now();
    match datagram {
        Datagram::Reply(reply) => {
            upstream.was_heard(now - began, now);
            if letters == Letters::Random {
                upstream.letters_seen(Some(true), now);
            }
            Ok(reply)
        }
        Datagram::Truncated => {
            upstream.was_heard(now - began, now);
            Ok(streams.ask(question, letters, budget).await?.octets)
        }
        Datagram::Mismatched => Ok(streams.ask(question, letters, budget).await?.octets),
        // Over a connection nobody else can reply: if the letters are others again, it is the upstream's way.
        Datagram::OtherLetters => {
            let reply = streams.ask(question, Letters::Random, budget).await;
            upstream.letters_seen(reply.as_ref().ok().map(|reply| reply.letters_kept), now);
            Ok(reply?.octets)
        }
    }
}

async fn ask_by_stream(
    upstream: &Upstream,
    streams: &Streams,
    question: &Question,
    budget: &Budget,
) -> Result<Vec<u8>, Failure> {
    // Nobody can forge a reply on a connection without seeing it: letters would prove nothing.
    let reply = streams.ask(question, Letters::Lower, budget).await?;
    Ok(heard(upstream, reply))
}

/// Notes a reply over a connection: the measure is that of the question, not of opening the connection.
fn heard(upstream: &Upstream, reply: tcp::Reply) -> Vec<u8> {
    upstream.was_heard(reply.delay, Instant::now());
    upstream.trouble().is_over();
    reply.octets
}
