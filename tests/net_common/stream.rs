//! What the tests of connections need, with TLS or without: time, conditions, messages.

use std::io::{Read, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rollcall::net::tcp::Limits;

/// Far longer than anything takes here: only a failing test waits for it.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Nothing times out unless the test wants it.
pub const LIMITS: Limits = Limits {
    connections: 100,
    per_client: 100,
    idle: PATIENCE,
    query: PATIENCE,
    handshake: PATIENCE,
    write: PATIENCE,
};

pub const SHORT: Duration = Duration::from_millis(100);

pub fn until(what: &str, condition: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < end, "waited in vain: {what}");
        thread::yield_now();
    }
}

pub fn reached(counter: &AtomicU64, n: u64) -> bool {
    counter.load(Ordering::Relaxed) == n
}

/// A message long enough to be one, that says `text`, with its length before it.
pub fn frame(text: &str) -> Vec<u8> {
    let message = [&[b'.'; 12], text.as_bytes()].concat();
    [&u16::try_from(message.len()).unwrap().to_be_bytes(), &message[..]].concat()
}

pub fn hear(stream: &mut impl Read, octets: usize) -> Vec<u8> {
    let mut heard = vec![0; octets];
    stream.read_exact(&mut heard).expect("a reply");
    heard
}

pub fn ask(stream: &mut (impl Read + Write), text: &str) {
    stream.write_all(&frame(text)).unwrap();
    assert_eq!(hear(stream, frame(text).len()), frame(text));
}
