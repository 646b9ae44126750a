//! `upstream`: an upstream server that can be made to fail, for `outage-load`.
//!
//! It answers any name with one address, which the name gives (see [`address_of`]), over UDP and TCP. What it does is said on
//! standard input, a line each time: `healthy`, `silent`, `slow`, `lossy` or `lying`. That nobody is there is said by
//! ending the program.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{self, BufRead, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::queries::{Dice, address_of, question_end};

/// Octets of a query that is read.
const OCTETS: usize = 1232;
/// How long it takes when nothing is wrong: an upstream in the same town.
const USUAL: Duration = Duration::from_millis(5);
/// How long it takes when it is slow.
const SLOW: Duration = Duration::from_secs(2);
/// Of how many datagrams one is lost when it is lossy: 20 %.
const LOST: u64 = 5;
/// How long it waits for a query while replies are due.
const TICK: Duration = Duration::from_micros(500);
/// The address that is always a lie.
pub const LIE: [u8; 4] = [6, 6, 6, 6];
/// Where flags and the count of answers are.
const FLAGS: usize = 2;
const ANSWERS: usize = 7;
const HEADER: usize = 12;
/// A record of the question's name is this, a TTL, a length and an address.
const RECORD: [u8; 6] = [0xc0, 12, 0, 1, 0, 1];
const SERVFAIL: u8 = 2;
const REFUSED: u8 = 5;

/// Where it listens, and what it answers.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The port, on 127.0.0.1
    #[arg(long)]
    port: u16,
    /// The TTL of records
    #[arg(long, default_value_t = 10)]
    ttl: u32,
}

/// What it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Mode {
    Healthy,
    Silent,
    Slow,
    Lossy,
    Lying,
}

impl Mode {
    const ALL: [(&str, Self); 5] = [
        ("healthy", Self::Healthy),
        ("silent", Self::Silent),
        ("slow", Self::Slow),
        ("lossy", Self::Lossy),
        ("lying", Self::Lying),
    ];

    fn delay(self) -> Duration {
        if self == Self::Slow { SLOW } else { USUAL }
    }
}

/// The mode, as all threads see it.
struct Switch(AtomicU8);

impl Switch {
    fn get(&self) -> Mode {
        let set = self.0.load(Ordering::Relaxed);
        let found = Mode::ALL.into_iter().find(|(_, mode)| *mode as u8 == set);
        found.map_or(Mode::Healthy, |(_, mode)| mode)
    }
}

/// Serves until standard input ends.
pub fn run(args: &Args) -> io::Result<()> {
    let udp = UdpSocket::bind(("127.0.0.1", args.port))?;
    let tcp = TcpListener::bind(("127.0.0.1", args.port))?;
    let switch = Arc::new(Switch(AtomicU8::new(Mode::Healthy as u8)));
    let (ttl, seen) = (args.ttl, switch.clone());
    thread::spawn(move || serve_udp(&udp, ttl, &seen));
    let seen = switch.clone();
    thread::spawn(move || serve_tcp(&tcp, ttl, &seen));
    for line in io::stdin().lock().lines() {
        let line = line?;
        let mode = Mode::ALL.into_iter().find(|(name, _)| *name == line.trim());
        let (_, mode) = mode.ok_or_else(|| io::Error::other(format!("no mode `{line}`")))?;
        switch.0.store(mode as u8, Ordering::Relaxed);
    }
    Ok(())
}

/// A reply that waits for its time.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Due(Reverse<Instant>, SocketAddr, Vec<u8>);

fn serve_udp(socket: &UdpSocket, ttl: u32, switch: &Switch) -> io::Result<()> {
    let mut due: BinaryHeap<Due> = BinaryHeap::new();
    let mut dice = Dice::new(7);
    let mut buffer = [0; OCTETS];
    socket.set_read_timeout(Some(TICK))?;
    loop {
        while let Some(Due(Reverse(at), ..)) = due.peek()
            && *at <= Instant::now()
            && let Some(Due(_, peer, reply)) = due.pop()
        {
            // Whoever asked may be gone.
            let _ = socket.send_to(&reply, peer);
        }
        // Without a query for a while, and where an earlier reply met a closed port.
        let Ok((length, peer)) = socket.recv_from(&mut buffer) else { continue };
        let mode = switch.get();
        let at = Reverse(Instant::now() + mode.delay());
        let replies = replies(&buffer[..length], mode, ttl, &mut dice);
        due.extend(replies.into_iter().map(|reply| Due(at, peer, reply)));
    }
}

fn serve_tcp(listener: &TcpListener, ttl: u32, switch: &Arc<Switch>) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept()?;
        let switch = switch.clone();
        thread::spawn(move || {
            // It ends when the other side does.
            let _ = serve_stream(stream, ttl, &switch);
        });
    }
}

fn serve_stream(mut stream: TcpStream, ttl: u32, switch: &Switch) -> io::Result<()> {
    let writer = Arc::new(Mutex::new(stream.try_clone()?));
    let mut dice = Dice::new(11);
    loop {
        let mut length = [0; 2];
        stream.read_exact(&mut length)?;
        let mut query = vec![0; u16::from_be_bytes(length).into()];
        stream.read_exact(&mut query)?;
        // A stream loses nothing.
        let mode = Some(switch.get()).filter(|mode| *mode != Mode::Lossy);
        let mode = mode.unwrap_or(Mode::Healthy);
        let replies = replies(&query, mode, ttl, &mut dice);
        let writer = writer.clone();
        thread::spawn(move || {
            thread::sleep(mode.delay());
            let Ok(mut stream) = writer.lock() else { return };
            for reply in replies {
                let length = u16::try_from(reply.len()).unwrap_or(0).to_be_bytes();
                let _ = stream.write_all(&[&length, &*reply].concat());
            }
        });
    }
}

/// The replies to a query, in their order.
fn replies(query: &[u8], mode: Mode, ttl: u32, dice: &mut Dice) -> Vec<Vec<u8>> {
    let Some(end) = question_end(query) else { return Vec::new() };
    let answer = |octets: [u8; 4]| answered(query, end, ttl, octets);
    match mode {
        Mode::Healthy | Mode::Slow => vec![answer(address_of(&query[HEADER..end]))],
        Mode::Silent => Vec::new(),
        Mode::Lossy if dice.below(LOST) == 0 => Vec::new(),
        Mode::Lossy => vec![answer(address_of(&query[HEADER..end]))],
        Mode::Lying => vec![lie(query, end, ttl, dice)],
    }
}

/// What a server sends that is broken, or is not the one that was asked.
fn lie(query: &[u8], end: usize, ttl: u32, dice: &mut Dice) -> Vec<u8> {
    let mut reply = answered(query, end, ttl, LIE);
    match dice.below(6) {
        0 => failed(query, end, SERVFAIL),
        1 => failed(query, end, REFUSED),
        // The id of another query.
        2 => {
            reply[0] ^= 0x55;
            reply
        }
        // Another question.
        3 => {
            reply[HEADER + 1] = if reply[HEADER + 1] == b'x' { b'y' } else { b'x' };
            reply
        }
        // An end in the middle of the record.
        4 => {
            reply.truncate(end + RECORD.len() + 2);
            reply
        }
        _ => (0..64).map(|_| u8::try_from(dice.below(256)).unwrap_or(0)).collect(),
    }
}

/// A reply with an address.
fn answered(query: &[u8], end: usize, ttl: u32, address: [u8; 4]) -> Vec<u8> {
    let mut reply = failed(query, end, 0);
    // For other types the name exists, and has none.
    if query.get(end - 4..end - 2) == Some(&[0, 1]) {
        reply[ANSWERS] = 1;
        reply.extend(RECORD);
        reply.extend(ttl.to_be_bytes());
        reply.extend([0, 4]);
        reply.extend(address);
    }
    reply
}

/// A reply with nothing but a code.
fn failed(query: &[u8], end: usize, rcode: u8) -> Vec<u8> {
    let mut reply = query[..end].to_vec();
    reply[FLAGS] = 0x80 | (query[FLAGS] & 1);
    reply[FLAGS + 1] = 0x80 | rcode;
    reply[4..HEADER].copy_from_slice(&[0, 1, 0, 0, 0, 0, 0, 0]);
    reply
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query() -> Vec<u8> {
        let mut query = vec![7, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1, 2, b'n', b'1', 0, 0, 1, 0, 1];
        query.extend([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]);
        query
    }

    #[test]
    fn a_healthy_one_tells_the_truth() {
        let replies = replies(&query(), Mode::Healthy, 10, &mut Dice::new(1));
        let [reply] = &*replies else { panic!("one reply") };
        assert_eq!(reply[..12], [7, 7, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
        assert_eq!(reply[reply.len() - 4..], address_of(b"\x02N1\0\0\x01\0\x01"));
    }

    #[test]
    fn a_liar_never_tells_the_truth() {
        let (query, mut dice) = (query(), Dice::new(1));
        let truth = answered(&query, question_end(&query).unwrap(), 10, address_of(&query[12..20]));
        for _ in 0..1000 {
            assert_ne!(replies(&query, Mode::Lying, 10, &mut dice), std::slice::from_ref(&truth));
        }
    }

    #[test]
    fn a_fifth_is_lost() {
        let mut dice = Dice::new(1);
        let lost = (0..10_000).filter(|_| replies(&query(), Mode::Lossy, 10, &mut dice).is_empty());
        assert!((1_800..2_200).contains(&lost.count()));
    }
}
