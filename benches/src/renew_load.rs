//! `renew-load`: signed renewals by datagram.
//!
//! Every datagram is a new one, as the server does a repeated one once: the sequence counts them all, under one boot
//! id and a time that is at most a second old. What precedes these in a line is written before the load begins.

use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process;
use std::time::{SystemTime, UNIX_EPOCH};

use ring::hmac;

use crate::instances::{self, Instance};
use crate::udp::{self, Reply, Traffic};

/// Nanoseconds after which the time in the lines is taken anew; the server allows 30 s.
const TIME_EVERY: u64 = 1_000_000_000;
/// Digits of a mac.
const MAC_DIGITS: usize = 64;
const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// What is renewed.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    udp: udp::Args,
    /// The instances: `service id` a line
    #[arg(long)]
    instances: PathBuf,
    /// The key: 64 hexadecimal digits
    #[arg(long)]
    key_file: PathBuf,
    /// The key's id
    #[arg(long, default_value = "k1")]
    key_id: String,
}

/// Renews, and prints the figures.
pub fn run(args: &Args) -> io::Result<()> {
    let mut renewals = Renewals::new(args)?;
    let line = udp::run(&args.udp, &mut renewals)?;
    line.count("renewed", renewals.renewed)
        .average("size_avg", renewals.octets, renewals.replies)
        .print();
    Ok(())
}

/// Renewals, and what the replies to them said.
struct Renewals {
    key: hmac::Key,
    /// Each instance's line up to its time.
    heads: Vec<Vec<u8>>,
    next: usize,
    boot: u64,
    /// ` time=… boot=… seq=` for all lines of this second.
    middle: Vec<u8>,
    middle_until: u64,
    seq: u64,
    replies: u64,
    renewed: u64,
    octets: u64,
}

impl Renewals {
    fn new(args: &Args) -> io::Result<Self> {
        let secret = fs::read_to_string(&args.key_file)?;
        let secret = secret_octets(secret.trim())
            .ok_or_else(|| io::Error::other("the key must have 64 hexadecimal digits"))?;
        let head = |Instance { service, id }: &Instance| {
            format!("RC1 RENEW {service} {id} key={}", args.key_id).into_bytes()
        };
        let instances = instances::read(&args.instances)?;
        Ok(Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, &secret),
            heads: instances.iter().map(head).collect(),
            next: 0,
            boot: unix_ms() << 16 | u64::from(process::id() & 0xffff),
            middle: Vec::new(),
            middle_until: 0,
            seq: 0,
            replies: 0,
            renewed: 0,
            octets: 0,
        })
    }

    fn take_time(&mut self, now: u64) {
        if now < self.middle_until {
            return;
        }
        self.middle_until = now + TIME_EVERY;
        self.middle = format!(" time={} boot={:016x} seq=", unix_ms(), self.boot).into_bytes();
    }
}

impl Traffic for Renewals {
    fn write(&mut self, _ticket: u16, now: u64, out: &mut [u8]) -> usize {
        self.take_time(now);
        self.seq += 1;
        let head = &self.heads[self.next];
        self.next = if self.next + 1 == self.heads.len() { 0 } else { self.next + 1 };
        let mut rest = &mut *out;
        // The longest line that an instance can make has room: a buffer has 512 octets, names are short here.
        let written = rest
            .write_all(head)
            .and_then(|()| rest.write_all(&self.middle))
            .and_then(|()| write!(rest, "{}", self.seq));
        let room = rest.len();
        if written.is_err() || room < MAC_DIGITS + 5 {
            return 0;
        }
        let signed = out.len() - room;
        let mac = hmac::sign(&self.key, &out[..signed]);
        let signature = &mut out[signed..signed + 5 + MAC_DIGITS];
        signature[..5].copy_from_slice(b" mac=");
        for (pair, octet) in signature[5..].chunks_exact_mut(2).zip(mac.as_ref()) {
            pair[0] = DIGITS[usize::from(octet >> 4)];
            pair[1] = DIGITS[usize::from(octet & 15)];
        }
        signed + 5 + MAC_DIGITS
    }

    fn read(&mut self, reply: &[u8]) -> Reply {
        self.replies += 1;
        self.octets += reply.len() as u64;
        if !reply.starts_with(b"RC1 OK") {
            return Reply::Wrong;
        }
        self.renewed += 1;
        Reply::ToOldest
    }
}

fn secret_octets(digits: &str) -> Option<Vec<u8>> {
    let octet = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok();
    let secret: Option<Vec<_>> = digits.as_bytes().chunks(2).map(octet).collect();
    secret.filter(|secret| secret.len() == 32)
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
