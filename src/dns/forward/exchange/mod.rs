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

use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::message::{self, FORMERR, Letters, NOERROR, NOTIMP, NXDOMAIN, Query, Question};
use super::upstream::Upstream;
use https::Https;
use tcp::Streams;
use tls::Tls;
use udp::{Datagram, Sockets};

/// Packets to upstreams that one question may cost, a query on a connection counting as one: whatever hostile
/// upstreams reply, they are no lever on others (NXNSAttack and its kin).
pub const PACKETS_MOST: u8 = 3;

/// How long a connection is waited for that is to show whose letters were other ones.
const LETTERS_STREAM_MOST: Duration = Duration::from_secs(1);

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

    /// Gives one back that was not sent after all.
    pub fn put_back(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether there is one.
    pub fn is_left(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }
}

/// How a question is put to an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Manner {
    /// The case of the name's letters.
    pub letters: Letters,
    /// Whether an OPT record goes with it.
    pub edns: bool,
}

impl From<Letters> for Manner {
    fn from(letters: Letters) -> Self {
        Self { letters, edns: true }
    }
}

impl Manner {
    fn query(self, question: &Question) -> Result<Query, Failure> {
        let query = Query::new(question, self.letters).map_err(|_| Failure::Local)?;
        Ok(if self.edns { query } else { query.without_edns() })
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
    let began = Instant::now();
    let reply = match upstream.ways() {
        Ways::Datagrams(sockets, streams) => match sockets.take() {
            Some(_may_open) => ask_by_datagram(upstream, streams, question, budget).await,
            None => ask_without_socket(upstream, sockets, streams, question, budget).await,
        },
        Ways::Streams(streams) => ask_by_stream(upstream, streams, question, budget).await,
        Ways::Https(https) => https.ask(question, budget).await.map(|reply| heard(upstream, reply)),
    };
    judged(upstream, reply, began)
}

/// With all sockets taken it goes over a connection. Where there is none with a place it waits for a socket: those that
/// have one are older, and are given up first.
async fn ask_without_socket(
    upstream: &Upstream,
    sockets: &Sockets,
    streams: &Streams,
    question: &Question,
    budget: &Budget,
) -> Result<Vec<u8>, Failure> {
    match ask_by_stream(upstream, streams, question, budget).await {
        Err(Failure::Local | Failure::Unreachable) if budget.is_left() => {
            let _may_open = sockets.wait().await.ok_or(Failure::Local)?;
            ask_by_datagram(upstream, streams, question, budget).await
        }
        reply => reply,
    }
}

/// The same over a connection, even to an upstream that takes datagrams: where two of them had no reply in time, what was
/// lost or was too long for them comes that way. If none can be opened, a datagram it is.
///
/// # Errors
/// Why there is no such reply.
pub async fn ask_by_connection(
    upstream: &Upstream,
    question: &Question,
    budget: &Budget,
) -> Result<Vec<u8>, Failure> {
    let Ways::Datagrams(_, streams) = upstream.ways() else {
        return ask(upstream, question, budget).await;
    };
    let began = Instant::now();
    match ask_by_stream(upstream, streams, question, budget).await {
        Err(Failure::Unreachable) if budget.is_left() => ask(upstream, question, budget).await,
        reply => judged(upstream, reply, began),
    }
}

/// Notes how the upstream did with a question that was asked then.
fn judged(
    upstream: &Upstream,
    reply: Result<Vec<u8>, Failure>,
    began: Instant,
) -> Result<Vec<u8>, Failure> {
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
                Failure::Unreachable => upstream.was_unreachable(began, now),
                Failure::Untrusted => upstream.was_silent(now),
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
    let manner = upstream.manner(began);
    let to = upstream.address().addr;
    let query = manner.query(question)?;
    let datagram = udp::ask(to, &query, manner.letters, budget).await?;
    let now = Instant::now();
    match datagram {
        Datagram::Reply(reply) => {
            upstream.was_heard(now - began, now);
            if query.has_upper_letters() {
                upstream.letters_seen(Some(true), now);
            }
            match message::rcode(&reply) {
                rcode @ (FORMERR | NOTIMP) if manner.edns => {
                    ask_without_edns(upstream, manner, question, rcode, budget).await
                }
                _ => Ok(reply),
            }
        }
        Datagram::NotUnderstood if manner.edns => {
            upstream.was_heard(now - began, now);
            ask_without_edns(upstream, manner, question, FORMERR, budget).await
        }
        Datagram::NotUnderstood => Err(Failure::Rcode(FORMERR)),
        Datagram::Truncated => {
            upstream.was_heard(now - began, now);
            Ok(streams.ask(question, manner, budget).await?.octets)
        }
        Datagram::Mismatched => Ok(streams.ask(question, manner, budget).await?.octets),
        Datagram::OtherLetters => {
            ask_for_other_letters(upstream, streams, manner, question, budget).await
        }
    }
}

/// An upstream did not understand a question with EDNS: without, it may (RFC 6891, section 7). Only if it then does is it
/// remembered, so that a forged refusal costs no more than a packet.
async fn ask_without_edns(
    upstream: &Upstream,
    manner: Manner,
    question: &Question,
    rcode: u8,
    budget: &Budget,
) -> Result<Vec<u8>, Failure> {
    let manner = Manner { edns: false, ..manner };
    let to = upstream.address().addr;
    match udp::ask(to, &manner.query(question)?, manner.letters, budget).await? {
        Datagram::Reply(reply) if matches!(message::rcode(&reply), NOERROR | NXDOMAIN) => {
            upstream.knows_no_edns(Instant::now());
            Ok(reply)
        }
        _ => Err(Failure::Rcode(rcode)),
    }
}

/// A reply was right but for its letters. Over a connection nobody else can reply: if the letters are others again, it is
/// the upstream's way. One to which there is none is asked again without letters by chance. A forger who has hit the
/// port and the id of the first datagram, without which there is no such reply, must then hit those of a second one: that
/// is harder than the letters of all but the longest names would make it.
async fn ask_for_other_letters(
    upstream: &Upstream,
    streams: &Streams,
    manner: Manner,
    question: &Question,
    budget: &Budget,
) -> Result<Vec<u8>, Failure> {
    let reply = timeout(LETTERS_STREAM_MOST, streams.ask(question, manner, budget)).await;
    if let Ok(Ok(reply)) = reply {
        upstream.letters_seen(Some(reply.letters_kept), Instant::now());
        return Ok(reply.octets);
    }
    let manner = Manner { letters: Letters::Lower, ..manner };
    let to = upstream.address().addr;
    let datagram = udp::ask(to, &manner.query(question)?, manner.letters, budget).await?;
    upstream.letters_seen(None, Instant::now());
    match datagram {
        Datagram::Reply(reply) => Ok(reply),
        _ => Err(Failure::Unfit),
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
