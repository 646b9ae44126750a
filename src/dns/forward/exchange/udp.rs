//! One question in one datagram, from a socket that is only for it (RFC 5452, section 9.2).
//!
//! The socket is connected, so that the kernel drops what comes from elsewhere and tells us of ICMP errors. Its port
//! is the kernel's choice: random over the system's range, without those that the system's owner reserved. A reply
//! that does not match is no reason to give up: the good one may be on its way (TuDoor). But who is sent several
//! of them is being attacked, and asks over TCP, where guessing ends.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use tokio::net::UdpSocket;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Budget, Failure};
use crate::dns::forward::message::{Letters, Query};

/// Replies that do not match, until it goes over TCP: two may be late or broken ones, three are an attempt.
pub const MISMATCHES_MOST: usize = 3;
/// Room for a datagram: more than we say we take, since some send it all the same.
const RECEIVE_OCTETS: usize = 4096;

/// Sockets of questions at most: what is under way when two thousand questions a second meet silent upstreams takes
/// some more, and then goes over connections. Each is a file to the system, and doors must not run out of them.
pub const SOCKETS_MOST: usize = 4096;

/// Those of one upstream at most: one that is silent must leave the others theirs.
pub const SOCKETS_OF_ONE_MOST: usize = SOCKETS_MOST / 2;

/// The sockets that all questions to all upstreams may have, and of them those to one upstream. Clones are the same.
#[derive(Debug, Clone)]
pub struct Sockets {
    all: Arc<Semaphore>,
    part: Arc<Semaphore>,
}

/// A socket that may be opened; another may be when this is dropped.
#[derive(Debug)]
pub struct MayOpen {
    _places: [OwnedSemaphorePermit; 2],
}

impl Sockets {
    /// So many: [`SOCKETS_MOST`] in the server.
    pub fn new(most: usize) -> Self {
        let all = Arc::new(Semaphore::new(most));
        Self { part: all.clone(), all }.part(most)
    }

    /// Of the same sockets a part, of at most so many.
    pub fn part(&self, most: usize) -> Self {
        Self { all: self.all.clone(), part: Arc::new(Semaphore::new(most)) }
    }

    /// One of them, as soon as it is there: whoever waited longest has it first.
    pub async fn wait(&self) -> Option<MayOpen> {
        let part = self.part.clone().acquire_owned().await.ok()?;
        Some(MayOpen { _places: [part, self.all.clone().acquire_owned().await.ok()?] })
    }

    /// One of them, if there is one left.
    pub fn take(&self) -> Option<MayOpen> {
        let place = |places: &Arc<Semaphore>| places.clone().try_acquire_owned().ok();
        Some(MayOpen { _places: [place(&self.part)?, place(&self.all)?] })
    }
}

/// What came.
#[derive(Debug, PartialEq, Eq)]
pub enum Datagram {
    /// The reply.
    Reply(Vec<u8>),
    /// A reply that is not all of it.
    Truncated,
    /// A reply that matches but for the case of the name's letters.
    OtherLetters,
    /// Replies that do not match, more than there should be.
    Mismatched,
    /// The query was not understood, whatever it was.
    NotUnderstood,
}

/// Sends the query, and waits for the reply for as long as it is let. An upstream whose letters are known not to be kept
/// is asked with [`Letters::Lower`], and replies in any case.
///
/// # Errors
/// Why nothing will come.
pub async fn ask(
    to: SocketAddr,
    query: &Query,
    letters: Letters,
    budget: &Budget,
) -> Result<Datagram, Failure> {
    let socket = connected(to).await?;
    budget.take()?;
    socket.send(query.octets()).await.map_err(|error| failure(&error))?;
    let mut room = vec![0; RECEIVE_OCTETS];
    for _ in 0..MISMATCHES_MOST {
        let len = socket.recv(&mut room).await.map_err(|error| failure(&error))?;
        let reply = room.get(..len).unwrap_or_default();
        match query.matches(reply) {
            Some(matched) if letters == Letters::Random && !matched.letters_kept => {
                return Ok(Datagram::OtherLetters);
            }
            Some(matched) if matched.truncated => return Ok(Datagram::Truncated),
            Some(_) => {
                room.truncate(len);
                query.restore(&mut room);
                return Ok(Datagram::Reply(room));
            }
            None if query.is_not_understood(reply) => return Ok(Datagram::NotUnderstood),
            None => {}
        }
    }
    Ok(Datagram::Mismatched)
}

async fn connected(to: SocketAddr) -> Result<UdpSocket, Failure> {
    let any: SocketAddr = match to {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await.map_err(|_| Failure::Local)?;
    socket.connect(to).await.map_err(|error| failure(&error))?;
    Ok(socket)
}

/// What the kernel says of a datagram: mostly an ICMP error (RFC 1122, section 4.1.3.3), else a want of our own.
fn failure(error: &io::Error) -> Failure {
    match error.kind() {
        ErrorKind::ConnectionRefused
        | ErrorKind::HostUnreachable
        | ErrorKind::NetworkUnreachable
        | ErrorKind::NetworkDown
        | ErrorKind::AddrNotAvailable
        | ErrorKind::PermissionDenied => Failure::Unreachable,
        _ => Failure::Local,
    }
}

#[cfg(test)]
#[path = "udp_tests.rs"]
mod tests;
