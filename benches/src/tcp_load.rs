//! `tcp-load`: DNS over TCP, many connections with many queries outstanding on each.
//!
//! Every reply that was read lets another query go; those of one connection leave with one call.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;

use crate::figures::{Clock, Line, seconds};
use crate::queries::{Extra, Queries};
use crate::sys::Readable;

/// Octets that are read with one call.
const READ_OCTETS: usize = 64 << 10;
/// Milliseconds without any reply after which what is outstanding is lost.
const LOST_AFTER_MS: i32 = 1000;

/// What is asked.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The server's port, on 127.0.0.1
    #[arg(long)]
    port: u16,
    /// The queries: `name TYPE` a line
    #[arg(long)]
    file: PathBuf,
    /// Connections
    #[arg(long, default_value_t = 100)]
    connections: usize,
    /// Queries that are outstanding on each
    #[arg(long, default_value_t = 100)]
    pipelined: usize,
    /// Seconds
    #[arg(long, default_value_t = 3.0)]
    secs: f64,
}

/// Asks, and prints the figures.
pub fn run(args: &Args) -> io::Result<()> {
    let mut queries = Queries::read(&args.file, Extra::None)?;
    let mut readable = Readable::new()?;
    let mut connections = Vec::with_capacity(args.connections);
    for token in 0..args.connections {
        let connection = Connection::open(args.port)?;
        readable.add(&connection.stream, token)?;
        connections.push(connection);
    }
    let clock = Clock::start();
    for connection in &mut connections {
        connection.ask(&mut queries, args.pipelined)?;
    }
    let (end, mut answered, mut answers, mut closed) = (seconds(args.secs), 0_u64, 0, 0_u64);
    let mut buffer = vec![0; READ_OCTETS];
    while clock.now() < end {
        let mut any = false;
        for token in readable.wait(LOST_AFTER_MS)? {
            any = true;
            let connection = &mut connections[token];
            let Some(replies) = connection.read(&mut buffer, &mut answers)? else {
                closed += 1;
                continue;
            };
            answered += replies as u64;
            connection.ask(&mut queries, replies)?;
        }
        if !any || closed > 0 {
            break;
        }
    }
    let elapsed = clock.now() as f64 / 1e9;
    // What is outstanding when the time is up is not lost; what a silent or closed connection owes is.
    let outstanding: usize = connections.iter().map(|connection| connection.outstanding).sum();
    let lost = if clock.now() < end { outstanding as u64 } else { 0 };
    Line::default()
        .value("qps", answered as f64 / elapsed)
        .count("answered", answered)
        .count("lost", lost)
        .count("closed", closed)
        .average("an_avg", answers, answered)
        .print();
    Ok(())
}

/// A connection, and what is under way on it.
struct Connection {
    stream: TcpStream,
    next_id: u16,
    outstanding: usize,
    outgoing: Vec<u8>,
    /// The beginning of a reply whose end has not come.
    begun: Vec<u8>,
}

impl Connection {
    fn open(port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, next_id: 0, outstanding: 0, outgoing: Vec::new(), begun: Vec::new() })
    }

    fn ask(&mut self, queries: &mut Queries, count: usize) -> io::Result<()> {
        self.outgoing.clear();
        for _ in 0..count {
            let query = queries.next();
            let length = u16::try_from(query.len()).map_err(io::Error::other)?;
            self.outgoing.extend(length.to_be_bytes());
            self.outgoing.extend(self.next_id.to_be_bytes());
            self.outgoing.extend(&query[2..]);
            self.next_id = self.next_id.wrapping_add(1);
        }
        self.outstanding += count;
        self.stream.write_all(&self.outgoing)
    }

    /// Reads once; how many replies are whole now. `None`: the server has closed.
    fn read(&mut self, buffer: &mut [u8], answers: &mut u64) -> io::Result<Option<usize>> {
        let octets = self.stream.read(buffer)?;
        if octets == 0 {
            return Ok(None);
        }
        let mut replies = 0;
        let mut rest = &buffer[..octets];
        if !self.begun.is_empty() {
            self.begun.extend(rest);
            rest = &self.begun;
        }
        while let Some((reply, after)) = cut(rest) {
            *answers += u64::from(u16::from_be_bytes([reply[6], reply[7]]));
            replies += 1;
            rest = after;
        }
        self.begun = rest.to_vec();
        self.outstanding = self.outstanding.saturating_sub(replies);
        Ok(Some(replies))
    }
}

/// The first reply, if it is whole and has a header, and what comes after it.
fn cut(octets: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = octets.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
        .filter(|(reply, _)| reply.len() >= 12)
}
