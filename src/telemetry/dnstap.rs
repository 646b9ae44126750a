//! dnstap: queries and replies as they were, to a program that listens at a unix socket.
//!
//! A message is a protobuf (<https://dnstap.info>, `dnstap.proto`) in a frame of Frame Streams, after a handshake. Of both
//! little is needed, and always the same, so it is written here. Whoever does not keep up loses messages, which are counted;
//! whoever goes away is called again.

use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use super::tapping::{Counts, Sampling};
use crate::answer::Transport;
use crate::answer::tap::Tapped;

/// What the frames hold.
const CONTENT_TYPE: &[u8] = b"protobuf:dnstap.Dnstap";
/// Control frames of Frame Streams, by their types.
const ACCEPT: u32 = 1;
const START: u32 = 2;
const STOP: u32 = 3;
const READY: u32 = 4;
/// The field of a control frame that names what frames hold.
const FIELD_CONTENT_TYPE: u32 = 1;
/// Octets of a control frame at most.
const MAX_CONTROL: u32 = 512;
/// How long the reader may take for some of what is sent, and for its part of the handshake.
const PATIENCE: Duration = Duration::from_millis(200);
/// How long a reader that is not there is left alone.
const CALL_AGAIN: Duration = Duration::from_secs(1);
/// Octets that wait for a reader at most: what a few milliseconds of a busy server make.
const MAX_WAITING: usize = 4 << 20;

/// Kinds of messages: from a client, to a client.
const CLIENT_QUERY: u64 = 5;
const CLIENT_RESPONSE: u64 = 6;

/// A program that is told.
#[derive(Debug)]
pub struct Dnstap {
    socket: PathBuf,
    identity: Vec<u8>,
    stream: Option<UnixStream>,
    call_at: Instant,
    sampling: Sampling,
    tapped_one_in: u32,
    frames: Vec<u8>,
    waiting: u64,
    scratch: Scratch,
}

/// Room for what has a length before it.
#[derive(Debug, Default)]
struct Scratch {
    message: Vec<u8>,
    dnstap: Vec<u8>,
}

impl Dnstap {
    /// Tells whoever listens at `socket`, as `identity`. `tapped_one_in`: of how many queries one comes here.
    pub fn new(socket: PathBuf, identity: &str, one_in: u32, tapped_one_in: u32) -> Self {
        Self {
            socket,
            identity: identity.into(),
            stream: None,
            call_at: Instant::now(),
            sampling: Sampling::new(one_in),
            tapped_one_in,
            frames: Vec::new(),
            waiting: 0,
            scratch: Scratch::default(),
        }
    }

    pub(super) fn one_in(&self) -> u32 {
        self.sampling.one_in()
    }

    /// Adds the two messages of a query, if it is one of those that are told.
    pub(super) fn tell(&mut self, tapped: &Tapped<'_>, at: SystemTime) {
        if !self.sampling.takes(self.tapped_one_in) || self.frames.len() > MAX_WAITING {
            return;
        }
        for kind in [CLIENT_QUERY, CLIENT_RESPONSE] {
            self.scratch.write(kind, &self.identity, tapped, at);
            let length = u32::try_from(self.scratch.dnstap.len()).unwrap_or(0);
            self.frames.extend(length.to_be_bytes());
            self.frames.extend(&self.scratch.dnstap);
            self.waiting += 1;
        }
    }

    /// Sends what was told; what nobody takes is let go of.
    pub(super) fn send(&mut self, counts: &Counts) {
        if self.frames.is_empty() {
            return;
        }
        if self.stream.is_none() && Instant::now() >= self.call_at {
            match call(&self.socket) {
                Ok(stream) => {
                    tracing::info!(socket = %self.socket.display(), "dnstap has a reader");
                    self.stream = Some(stream);
                }
                Err(error) => {
                    tracing::debug!(socket = %self.socket.display(), "dnstap has no reader: {error}");
                    self.call_at = Instant::now() + CALL_AGAIN;
                }
            }
        }
        let sent = self.stream.as_mut().map(|stream| stream.write_all(&self.frames));
        if let Some(Err(error)) = &sent {
            // A frame may have been cut: the next reader begins anew.
            tracing::warn!(socket = %self.socket.display(), "the reader of dnstap does not keep up: {error}");
            self.stream = None;
            self.call_at = Instant::now() + CALL_AGAIN;
        }
        let count = if matches!(sent, Some(Ok(()))) { &counts.sent } else { &counts.unsent };
        count.fetch_add(self.waiting, Ordering::Relaxed);
        self.frames.clear();
        self.waiting = 0;
    }

    /// Says goodbye.
    pub(super) fn end(&mut self) {
        if let Some(mut stream) = self.stream.take() {
            let _ = stream.write_all(&control(STOP, false));
            let _ = read_control(&mut stream); // FINISH, or it has gone
        }
    }
}

/// Connects, and agrees on what the frames hold.
fn call(socket: &std::path::Path) -> io::Result<UnixStream> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(&control(READY, true))?;
    let reply = read_control(&mut stream)?;
    let accepts = reply.windows(CONTENT_TYPE.len()).any(|part| part == CONTENT_TYPE);
    if reply.get(..4) != Some(&ACCEPT.to_be_bytes()) || (reply.len() > 4 && !accepts) {
        return Err(io::Error::other("it does not take dnstap"));
    }
    stream.write_all(&control(START, true))?;
    Ok(stream)
}

/// A control frame: an empty frame, and then its length and type.
fn control(kind: u32, with_content_type: bool) -> Vec<u8> {
    let mut body = kind.to_be_bytes().to_vec();
    if with_content_type {
        body.extend(FIELD_CONTENT_TYPE.to_be_bytes());
        body.extend(u32::try_from(CONTENT_TYPE.len()).unwrap_or(0).to_be_bytes());
        body.extend(CONTENT_TYPE);
    }
    let length = u32::try_from(body.len()).unwrap_or(0);
    [&[0; 4][..], &length.to_be_bytes(), &body].concat()
}

/// The type and the fields of a control frame.
fn read_control(stream: &mut UnixStream) -> io::Result<Vec<u8>> {
    let mut head = [0; 8];
    stream.read_exact(&mut head)?;
    let [escape, length] = [0, 4].map(|at| {
        head.get(at..at + 4)
            .and_then(<[u8]>::first_chunk)
            .map_or(0, |octets| u32::from_be_bytes(*octets))
    });
    if escape != 0 || !(4..=MAX_CONTROL).contains(&length) {
        return Err(io::Error::other("it does not speak Frame Streams"));
    }
    let mut body = vec![0; length as usize];
    stream.read_exact(&mut body)?;
    Ok(body)
}

impl Scratch {
    /// Makes a `Dnstap` with a `Message` in it.
    fn write(&mut self, kind: u64, identity: &[u8], tapped: &Tapped<'_>, at: SystemTime) {
        let Self { message, dnstap } = self;
        message.clear();
        number(message, 1, kind);
        let (family, address) = match tapped.client.ip() {
            IpAddr::V4(v4) => (1, v4.octets().to_vec()),
            IpAddr::V6(v6) => (2, v6.octets().to_vec()),
        };
        number(message, 2, family);
        number(message, 3, protocol(tapped.transport));
        octets(message, 4, &address);
        number(message, 6, tapped.client.port().into());
        let at = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        // The query's time, and in the reply's message also the reply's: they are of one batch.
        let times: &[(u64, u64)] =
            if kind == CLIENT_QUERY { &[(8, 9)] } else { &[(8, 9), (12, 13)] };
        for (secs, nanos) in times {
            number(message, *secs, at.as_secs());
            fixed32(message, *nanos, at.subsec_nanos());
        }
        match kind {
            CLIENT_QUERY => octets(message, 10, tapped.query),
            _ => octets(message, 14, tapped.reply),
        }
        dnstap.clear();
        octets(dnstap, 1, identity);
        octets(dnstap, 2, concat!("rollcall ", env!("CARGO_PKG_VERSION")).as_bytes());
        octets(dnstap, 14, message);
        // Type: MESSAGE.
        number(dnstap, 15, 1);
    }
}

/// `SocketProtocol` of a transport.
fn protocol(transport: Transport) -> u64 {
    match transport {
        Transport::Udp => 1,
        Transport::Tcp => 2,
        Transport::Tls => 3,
        Transport::Https => 4,
        Transport::Quic => 7,
    }
}

/// A number of 7 bits an octet, the lowest first (protobuf, "Encoding").
fn varint(out: &mut Vec<u8>, mut value: u64) {
    loop {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        if value == 0 {
            return out.push(low);
        }
        out.push(low | 0x80);
    }
}

fn number(out: &mut Vec<u8>, field: u64, value: u64) {
    varint(out, field << 3);
    varint(out, value);
}

fn octets(out: &mut Vec<u8>, field: u64, value: &[u8]) {
    varint(out, field << 3 | 2);
    varint(out, value.len() as u64);
    out.extend(value);
}

fn fixed32(out: &mut Vec<u8>, field: u64, value: u32) {
    varint(out, field << 3 | 5);
    out.extend(value.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_protobuf_has_them() {
        let mut out = Vec::new();
        number(&mut out, 1, 300);
        octets(&mut out, 14, b"abc");
        fixed32(&mut out, 9, 1);
        assert_eq!(out, [0x08, 0xac, 0x02, 0x72, 3, b'a', b'b', b'c', 0x4d, 1, 0, 0, 0]);
    }

    #[test]
    fn control_frames_are_as_frame_streams_has_them() {
        let ready = control(READY, true);
        assert_eq!(ready[..16], [0, 0, 0, 0, 0, 0, 0, 34, 0, 0, 0, 4, 0, 0, 0, 1]);
        assert_eq!(ready[16..20], [0, 0, 0, 22]);
        assert_eq!(ready[20..], *CONTENT_TYPE);
        assert_eq!(control(STOP, false), [0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 3]);
    }
}
