//! Asks one server one question, as a client does: over UDP with retries, over TCP when the reply is cut.
//!
//! It blocks, and is for commands that a person waits for; the server itself asks nobody in this way.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use super::message::{NotTheReply, Query, Reply};

/// Octets of a datagram at most: what UDP's length can say.
const DATAGRAM_OCTETS: usize = 65_535;
/// The bit of the third octet that says that a reply is cut (RFC 1035, section 4.1.1).
const TC: u8 = 0x02;

/// How to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct How {
    /// Over TCP from the beginning.
    pub tcp: bool,
    /// How long a reply is waited for, each time.
    pub timeout: Duration,
    /// How often a datagram is sent at most.
    pub tries: u32,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The reply.
    pub reply: Reply,
    /// Whether it came over TCP.
    pub tcp: bool,
    /// Its octets.
    pub octets: usize,
    /// The time from the query to the reply that counts, without those that were lost or cut.
    pub took: Duration,
}

/// Why there is no reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AskError {
    /// Nothing came from there.
    Unreachable(String),
    /// What came cannot be used.
    Unusable(String),
}

/// Asks `server`.
pub fn ask(server: SocketAddr, query: &Query, how: How) -> Result<Asked, AskError> {
    let over_udp = if how.tcp { None } else { ask_over_udp(server, query, how)? };
    over_udp.map_or_else(|| ask_over_tcp(server, query, how.timeout), Ok)
}

/// `None`: the reply is cut.
fn ask_over_udp(server: SocketAddr, query: &Query, how: How) -> Result<Option<Asked>, AskError> {
    let failed = |error: io::Error| unreachable(server, "UDP", &error);
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    // A socket a question: its port is one that nobody can guess, and old replies go elsewhere.
    let socket = UdpSocket::bind((any, 0)).map_err(failed)?;
    socket.connect(server).map_err(failed)?;
    for _ in 0..how.tries.max(1) {
        let sent = Instant::now();
        socket.send(query.bytes()).map_err(failed)?;
        if let Some(bytes) = receive(&socket, query, sent + how.timeout).map_err(failed)? {
            let took = sent.elapsed();
            return match query.read_reply(&bytes) {
                _ if is_cut(&bytes) => Ok(None),
                Ok(reply) => Ok(Some(Asked { reply, tcp: false, octets: bytes.len(), took })),
                Err(error) => Err(unusable(server, &error)),
            };
        }
    }
    let tries = how.tries.max(1);
    let waited = format!("{tries} × {} ms", how.timeout.as_millis());
    Err(AskError::Unreachable(format!("no reply from {server} over UDP within {waited}")))
}

/// The first datagram that is meant to be the reply; others are waited past. `None`: there was none in time.
fn receive(socket: &UdpSocket, query: &Query, end: Instant) -> io::Result<Option<Vec<u8>>> {
    let mut room = vec![0; DATAGRAM_OCTETS];
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(None);
        }
        socket.set_read_timeout(Some(left))?;
        match socket.recv(&mut room) {
            Ok(length) => {
                let bytes = room.get(..length).unwrap_or_default();
                if query.read_reply(bytes) != Err(NotTheReply::Foreign) {
                    return Ok(Some(bytes.to_vec()));
                }
            }
            Err(error) if is_timeout(&error) => return Ok(None),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn ask_over_tcp(server: SocketAddr, query: &Query, timeout: Duration) -> Result<Asked, AskError> {
    let began = Instant::now();
    let bytes = exchange(server, query.bytes(), began + timeout).map_err(|error| {
        if is_timeout(&error) {
            let waited = timeout.as_millis();
            let text = format!("no reply from {server} over TCP within {waited} ms");
            return AskError::Unreachable(text);
        }
        unreachable(server, "TCP", &error)
    })?;
    let took = began.elapsed();
    let reply = query.read_reply(&bytes).map_err(|error| unusable(server, &error))?;
    Ok(Asked { reply, tcp: true, octets: bytes.len(), took })
}

/// One message each way, each behind its length (RFC 1035, section 4.2.2).
fn exchange(server: SocketAddr, query: &[u8], end: Instant) -> io::Result<Vec<u8>> {
    let left = || match end.saturating_duration_since(Instant::now()) {
        Duration::ZERO => Err(io::Error::from(ErrorKind::TimedOut)),
        left => Ok(left),
    };
    let mut stream = TcpStream::connect_timeout(&server, left()?)?;
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(left()?))?;
    let length = u16::try_from(query.len()).map_err(|_| ErrorKind::InvalidInput)?;
    stream.write_all(&[&length.to_be_bytes(), query].concat())?;
    let mut read = |room: &mut [u8]| -> io::Result<()> {
        let mut filled = 0;
        while let Some(rest) = room.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            stream.set_read_timeout(Some(left()?))?;
            match stream.read(rest) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(length) => filled += length,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    };
    let mut length = [0; 2];
    read(&mut length)?;
    let mut reply = vec![0; usize::from(u16::from_be_bytes(length))];
    read(&mut reply)?;
    Ok(reply)
}

fn is_cut(bytes: &[u8]) -> bool {
    bytes.get(2).is_some_and(|flags| flags & TC != 0)
}

/// A socket whose time is over says either, by the system.
fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

fn unreachable(server: SocketAddr, over: &str, error: &io::Error) -> AskError {
    AskError::Unreachable(match error.kind() {
        ErrorKind::ConnectionRefused => format!("nobody listens on {server} ({over})"),
        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset => {
            format!("{server} closed the connection without a reply ({over})")
        }
        _ => format!("cannot ask {server} over {over}: {error}"),
    })
}

fn unusable(server: SocketAddr, error: &NotTheReply) -> AskError {
    AskError::Unusable(match error {
        NotTheReply::Foreign => format!("what {server} sent is not the reply to the query"),
        NotTheReply::Broken(reason) => format!("the reply of {server} cannot be read: {reason}"),
    })
}

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(text) | Self::Unusable(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for AskError {}

#[cfg(test)]
mod tests;
