//! `echo`: what a UDP server costs that looks nothing up. The reference for queries and for signed renewals.
//!
//! It copies id and question of a query and appends an answer that was laid out before: 5 A records, or 5 SRV records
//! and the 5 addresses of their targets, of the size in which the server sends them. With `--rc1` it answers any
//! datagram with one line of a renewal's reply. One thread and one SO_REUSEPORT socket a worker; what a batch
//! brought is answered with one call.

use std::io;
use std::net::UdpSocket;
use std::thread;
use std::time::{Duration, Instant};

use crate::queries::question_end;
use crate::sys::{self, Batch, Wait};

/// Datagrams of a batch, as the server takes them.
const DATAGRAMS: usize = 32;
/// Octets of a buffer: a reply over UDP has 1,232 at most.
const OCTETS: usize = 1500;
/// Octets of a DNS message's header.
const HEADER: usize = 12;
/// Records of each kind.
const RECORDS: u8 = 5;
/// The type SRV.
const SRV: u8 = 33;

/// Where it listens, and what it answers.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The port, on 127.0.0.1
    #[arg(long)]
    port: u16,
    /// Threads, each with a socket
    #[arg(long, default_value_t = 1)]
    workers: u32,
    /// Microseconds to look for datagrams before it sleeps
    #[arg(long, default_value_t = 0)]
    spin_micros: u64,
    /// Answer datagrams of any kind, as renewals are answered
    #[arg(long)]
    rc1: bool,
    /// Octets of such an answer
    #[arg(long, default_value_t = 110)]
    reply_octets: usize,
}

/// Serves until it is ended.
pub fn run(args: &Args) -> io::Result<()> {
    let sockets: Vec<_> =
        (0..args.workers).map(|_| sys::listen(args.port)).collect::<io::Result<_>>()?;
    thread::scope(|scope| {
        let start = |socket| scope.spawn(move || work(&socket, args));
        let workers: Vec<_> = sockets.into_iter().map(start).collect();
        let ended = |worker: thread::ScopedJoinHandle<'_, io::Result<()>>| {
            worker.join().unwrap_or_else(|_| Err(io::Error::other("a worker panicked")))
        };
        workers.into_iter().try_for_each(ended)
    })
}

fn work(socket: &UdpSocket, args: &Args) -> io::Result<()> {
    let spin = Duration::from_micros(args.spin_micros);
    if args.rc1 {
        let line = renewal_reply(args.reply_octets.min(OCTETS));
        return serve(socket, spin, |buffer, _| {
            buffer[..line.len()].copy_from_slice(&line);
            line.len()
        });
    }
    let answers = Answers::new();
    serve(socket, spin, |buffer, length| answers.answer(buffer, length).unwrap_or(HEADER))
}

/// Receives, answers in place, sends. `answer` gets a buffer and what was received of it, and gives the reply's length.
fn serve(
    socket: &UdpSocket,
    spin: Duration,
    answer: impl Fn(&mut [u8], usize) -> usize,
) -> io::Result<()> {
    let mut batch = Batch::new(DATAGRAMS, OCTETS, true);
    loop {
        let received = receive(&mut batch, socket, spin)?;
        for at in 0..received {
            let (buffer, length) = batch.received(at);
            let reply = answer(buffer, length);
            batch.set_length(at, reply);
        }
        let mut sent = 0;
        while sent < received {
            match batch.send(socket, sent, received) {
                Ok(0) | Err(_) => break,
                Ok(more) => sent += more,
            }
        }
        batch.reset(received);
    }
}

fn receive(batch: &mut Batch, socket: &UdpSocket, spin: Duration) -> io::Result<usize> {
    if !spin.is_zero() {
        let since = Instant::now();
        while since.elapsed() < spin {
            let received = batch.receive(socket, Wait::Never)?;
            if received > 0 {
                return Ok(received);
            }
        }
    }
    batch.receive(socket, Wait::ForOne)
}

/// A line that reads like the reply to a signed renewal.
fn renewal_reply(octets: usize) -> Vec<u8> {
    let mut line = b"RC1 OK expires_ms=30000 mac=".to_vec();
    line.resize(octets, b'0');
    line
}

/// What stands after the question.
struct Answers {
    a: Vec<u8>,
    srv: Vec<u8>,
    /// Where in `srv` the 5 addresses begin, and where in each SRV record its target does.
    srv_octets: usize,
    target: usize,
}

impl Answers {
    fn new() -> Self {
        let mut a = Vec::new();
        for n in 0..RECORDS {
            address(&mut a, n);
        }
        let mut srv = Vec::new();
        let mut target = 0;
        for n in 0..RECORDS {
            target = service(&mut srv, n);
        }
        let srv_octets = srv.len();
        for n in 0..RECORDS {
            address(&mut srv, n);
        }
        Self { a, srv, srv_octets, target }
    }

    /// Turns a query into a reply; its length. Nothing if it has no question.
    fn answer(&self, buffer: &mut [u8], length: usize) -> Option<usize> {
        let end = question_end(&buffer[..length])?;
        let srv = buffer[end - 3] == SRV;
        let additional = if srv { RECORDS } else { 0 };
        buffer[2] = 0x84 | (buffer[2] & 1);
        buffer[3] = 0;
        buffer[6..HEADER].copy_from_slice(&[0, RECORDS, 0, 0, 0, additional]);
        let answer = if srv { &self.srv } else { &self.a };
        let reply = end + answer.len();
        buffer[end..reply].copy_from_slice(answer);
        if srv {
            self.point_to_targets(buffer, end);
        }
        Some(reply)
    }

    /// The owner of each address is a pointer to the target of its SRV record.
    fn point_to_targets(&self, buffer: &mut [u8], end: usize) {
        let (each, address) = (self.srv_octets / 5, (self.srv.len() - self.srv_octets) / 5);
        for n in 0..usize::from(RECORDS) {
            let [high, low] = offset(end + n * each + self.target);
            let at = end + self.srv_octets + n * address;
            buffer[at] = 0xc0 | high;
            buffer[at + 1] = low;
        }
    }
}

fn offset(at: usize) -> [u8; 2] {
    u16::try_from(at).unwrap_or(u16::MAX).to_be_bytes()
}

/// An A record that belongs to the question's name, TTL 5.
fn address(out: &mut Vec<u8>, n: u8) {
    out.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4, 10, 1, 1, n]);
}

/// An SRV record of the question's name; where in it the target begins, which is written out as the server does.
fn service(out: &mut Vec<u8>, n: u8) -> usize {
    let begin = out.len();
    out.extend([0xc0, 12, 0, SRV, 0, 1, 0, 0, 0, 5, 0, 0, 0, 0, 0, 1, 0x1f, 0x90]);
    let target = out.len();
    for label in [format!("i-000000000{n}").as_str(), "web-0001", "svc", "test"] {
        out.push(u8::try_from(label.len()).unwrap_or(0));
        out.extend(label.as_bytes());
    }
    out.push(0);
    let [high, low] = offset(out.len() - begin - 12);
    out[begin + 10] = high;
    out[begin + 11] = low;
    target - begin
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(kind: u8) -> Vec<u8> {
        let mut query = vec![7, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 3, b'w', b'e', b'b', 0];
        query.extend([0, kind, 0, 1]);
        query
    }

    #[test]
    fn an_address_is_answered_with_five() {
        let mut buffer = query(1);
        let length = buffer.len();
        buffer.resize(OCTETS, 0);
        let reply = Answers::new().answer(&mut buffer, length).unwrap();
        assert_eq!(reply, length + 5 * 16);
        assert_eq!(buffer[..12], [7, 7, 0x85, 0, 0, 1, 0, 5, 0, 0, 0, 0]);
    }

    #[test]
    fn the_owner_of_an_additional_address_is_the_target() {
        let mut buffer = query(SRV);
        let length = buffer.len();
        buffer.resize(OCTETS, 0);
        let answers = Answers::new();
        let reply = answers.answer(&mut buffer, length).unwrap();
        let owner = &buffer[reply - 16..reply - 14];
        let at = usize::from(owner[0] & 0x3f) << 8 | usize::from(owner[1]);
        assert_eq!(buffer[at..at + 13], *b"\x0ci-0000000004");
    }

    #[test]
    fn what_has_no_question_is_not_answered() {
        assert_eq!(question_end(&[0; 12]), None);
        assert_eq!(question_end(&query(1)[..20]), None);
        assert_eq!(question_end(&query(1)), Some(21));
    }
}
