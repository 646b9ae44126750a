//! Calls over kept HTTP/1.1 connections, from one thread: as cheap as a client can be, so that the server is the limit.
//!
//! A connection has one call outstanding. Closed loop: a reply lets the next call go. Open loop: calls leave at an
//! even rate over whichever connection is free, and a latency counts from when a call was due.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};

use crate::figures::{Clock, Latencies, Line, Pace, seconds};
use crate::sys::Readable;

/// Octets of a reply that is read at once; a longer one is an error.
const READ_OCTETS: usize = 64 << 10;
/// Milliseconds without any reply after which the server counts as gone.
const SILENCE_MS: i32 = 10_000;

/// Where calls go.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// The server's port, on 127.0.0.1.
    pub port: u16,
    /// Connections.
    pub connections: usize,
    /// Seconds after which no further call is made.
    pub secs: f64,
    /// Calls that are made at most.
    pub count: u64,
    /// Open loop: so many a second.
    pub rate: Option<f64>,
}

/// What is called.
pub trait Calls {
    /// Writes the next call's method and path, and its body.
    fn next(&mut self, target: &mut Vec<u8>, body: &mut Vec<u8>);
}

/// Calls until the time is up or enough are made; the figures of it.
pub fn run(plan: &Plan, calls: &mut impl Calls) -> io::Result<Line> {
    let mut load = Load::new(plan)?;
    let end = seconds(plan.secs);
    loop {
        let now = load.clock.now();
        if now < end {
            load.call(calls, now)?;
        }
        if load.free.len() == load.connections.len() && (now >= end || load.begun == plan.count) {
            break;
        }
        load.receive()?;
    }
    let elapsed = load.clock.now() as f64 / 1e9;
    let answered = load.latencies.count();
    Ok(Line::default()
        .value("rps", answered as f64 / elapsed)
        .count("answered", answered)
        .count("errors", load.errors)
        .value("secs", elapsed)
        .latencies(&load.latencies))
}

/// A load under way.
struct Load {
    connections: Vec<Connection>,
    /// Those without a call.
    free: Vec<usize>,
    readable: Readable,
    pace: Option<Pace>,
    begun: u64,
    count: u64,
    request: Request,
    buffer: Vec<u8>,
    clock: Clock,
    latencies: Latencies,
    errors: u64,
}

impl Load {
    fn new(plan: &Plan) -> io::Result<Self> {
        let readable = Readable::new()?;
        let mut connections = Vec::with_capacity(plan.connections);
        for token in 0..plan.connections {
            let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, plan.port))?;
            stream.set_nodelay(true)?;
            readable.add(&stream, token)?;
            connections.push(Connection { stream, due: 0, begun: Vec::new() });
        }
        Ok(Self {
            free: (0..plan.connections).collect(),
            connections,
            readable,
            pace: plan.rate.map(Pace::new),
            begun: 0,
            count: plan.count,
            request: Request::new(plan.port),
            buffer: vec![0; READ_OCTETS],
            clock: Clock::start(),
            latencies: Latencies::new(),
            errors: 0,
        })
    }

    /// Makes the calls that are due, as far as connections are free.
    fn call(&mut self, calls: &mut impl Calls, now: u64) -> io::Result<()> {
        while self.begun < self.count
            && let Some(&token) = self.free.last()
        {
            let due = match &mut self.pace {
                Some(pace) => match pace.take(now) {
                    Some(due) => due,
                    None => return Ok(()),
                },
                None => self.clock.now(),
            };
            self.free.pop();
            self.begun += 1;
            let connection = &mut self.connections[token];
            connection.due = due;
            connection.stream.write_all(self.request.write(calls))?;
        }
        Ok(())
    }

    fn receive(&mut self) -> io::Result<()> {
        let timeout = if self.pace.is_some() { 1 } else { SILENCE_MS };
        let mut any = false;
        for token in self.readable.wait(timeout)? {
            any = true;
            let connection = &mut self.connections[token];
            let Some(code) = connection.read(&mut self.buffer)? else { continue };
            self.latencies.add(self.clock.now().saturating_sub(connection.due));
            self.errors += u64::from(!(200..300).contains(&code));
            self.free.push(token);
        }
        if !any && self.pace.is_none() {
            return Err(io::Error::other("the server says nothing any more"));
        }
        Ok(())
    }
}

/// A request as it is written.
struct Request {
    /// The headers that all have, up to the body's length.
    headers: String,
    whole: Vec<u8>,
    body: Vec<u8>,
}

impl Request {
    fn new(port: u16) -> Self {
        let headers = format!(
            " HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAccept: application/json\r\n\
             Accept-Encoding: gzip\r\nContent-Type: application/json\r\n\
             Content-Length: "
        );
        Self { headers, whole: Vec::new(), body: Vec::new() }
    }

    fn write(&mut self, calls: &mut impl Calls) -> &[u8] {
        self.whole.clear();
        self.body.clear();
        calls.next(&mut self.whole, &mut self.body);
        self.whole.extend(self.headers.as_bytes());
        self.whole.extend(self.body.len().to_string().as_bytes());
        self.whole.extend(b"\r\n\r\n");
        self.whole.extend(&self.body);
        &self.whole
    }
}

/// A connection with at most one call.
struct Connection {
    stream: TcpStream,
    /// When its call was due.
    due: u64,
    /// The beginning of a reply whose end has not come.
    begun: Vec<u8>,
}

impl Connection {
    /// Reads once; the reply's code, if it is whole now.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<Option<u16>> {
        let octets = self.stream.read(buffer)?;
        if octets == 0 {
            return Err(io::Error::other("the server has closed a connection"));
        }
        let octets = &buffer[..octets];
        if self.begun.is_empty()
            && let Some(code) = code_of_whole(octets)?
        {
            return Ok(Some(code));
        }
        self.begun.extend(octets);
        let code = code_of_whole(&self.begun)?;
        if code.is_some() {
            self.begun.clear();
        }
        Ok(code)
    }
}

/// The code of a reply, once it has come whole.
fn code_of_whole(reply: &[u8]) -> io::Result<Option<u16>> {
    let Some(head) = reply.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = str::from_utf8(&reply[..head]).map_err(io::Error::other)?;
    let wrong = || io::Error::other(format!("no reply of HTTP/1.1: {head}"));
    let code = head.get(9..12).and_then(|code| code.parse().ok()).ok_or_else(wrong)?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    let whole = head.len() + 4 + length.unwrap_or(0);
    Ok((reply.len() >= whole).then_some(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_whole_when_its_body_is() {
        let reply = b"HTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\n{}";
        assert_eq!(code_of_whole(reply).unwrap(), Some(201));
        for end in 0..reply.len() {
            assert_eq!(code_of_whole(&reply[..end]).unwrap(), None);
        }
        assert_eq!(code_of_whole(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap(), Some(204));
        assert!(code_of_whole(b"SSH-2.0\r\n\r\n").is_err());
    }
}
