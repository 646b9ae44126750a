//! The tap: some queries with their replies, for whoever logs them elsewhere.
//!
//! Each responder has a buffer of its own, into which it copies one query in so many; nobody waits for anybody. Whoever
//! reads takes whole buffers away, and leaves empty ones of the same size. What finds no room is counted. While nobody
//! reads, a query costs one look at a number.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use parking_lot::Mutex;

use super::Transport;
use super::parse::HEADER;
use crate::view::LeaseTime;

/// Octets of a responder's buffer: some thousand queries with their replies, which is what one core answers in some
/// milliseconds; it is read more often where there are as many.
const BUFFER: usize = 1 << 20;
/// Octets of one entry before its query: lengths, time, transport, client.
const HEAD: usize = 4 + 4 + 4 + 8 + 1 + 1 + 2 + 16;

/// What is tapped, by all responders.
#[derive(Debug, Default)]
pub struct Taps {
    /// One query in so many; 0: none.
    one_in: AtomicU32,
    /// Whether replies are kept whole, or their headers alone.
    whole: std::sync::atomic::AtomicBool,
    buffers: Mutex<Vec<Arc<Buffer>>>,
}

#[derive(Debug, Default)]
struct Buffer {
    entries: Mutex<Vec<u8>>,
    lost: AtomicU64,
}

/// A responder's end of it.
#[derive(Debug)]
pub struct Hand {
    taps: Arc<Taps>,
    buffer: Arc<Buffer>,
    until_next: u32,
}

/// A query with its reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tapped<'a> {
    /// When it was answered, on the lease clock.
    pub at: LeaseTime,
    /// How it came.
    pub transport: Transport,
    /// From whom.
    pub client: SocketAddr,
    /// The query.
    pub query: &'a [u8],
    /// The reply, or its header.
    pub reply: &'a [u8],
    /// Octets of the whole reply.
    pub reply_len: usize,
}

impl Taps {
    /// A responder's end.
    pub fn hand(self: &Arc<Self>) -> Hand {
        let buffer = Arc::new(Buffer::default());
        if self.one_in.load(Ordering::Relaxed) > 0 {
            buffer.entries.lock().reserve_exact(BUFFER);
        }
        self.buffers.lock().push(buffer.clone());
        Hand { taps: self.clone(), buffer, until_next: 0 }
    }

    /// Taps one query in so many from now on, 0: none; with whole replies, or their headers alone.
    pub fn set(&self, one_in: u32, whole: bool) {
        if one_in > 0 {
            for buffer in &*self.buffers.lock() {
                buffer.entries.lock().reserve_exact(BUFFER);
            }
        }
        self.whole.store(whole, Ordering::Relaxed);
        self.one_in.store(one_in, Ordering::Relaxed);
    }

    /// Takes what was tapped; `empty` is exchanged for each buffer, and is to have been one. Gives how many queries found
    /// no room since the last time.
    pub fn take(&self, empty: &mut Vec<u8>, mut each: impl FnMut(Tapped<'_>)) -> u64 {
        let buffers = self.buffers.lock().clone();
        let mut lost = 0;
        for buffer in buffers {
            empty.clear();
            empty.reserve_exact(BUFFER);
            std::mem::swap(&mut *buffer.entries.lock(), empty);
            lost += buffer.lost.swap(0, Ordering::Relaxed);
            let mut rest = &**empty;
            while let Some((tapped, after)) = read(rest) {
                each(tapped);
                rest = after;
            }
        }
        lost
    }
}

impl Hand {
    /// Whether the next query is one of those.
    #[inline]
    pub fn is_due(&mut self) -> bool {
        let one_in = self.taps.one_in.load(Ordering::Relaxed);
        if one_in == 0 {
            return false;
        }
        if self.until_next > 1 && self.until_next <= one_in {
            self.until_next -= 1;
            return false;
        }
        self.until_next = one_in;
        true
    }

    /// Keeps a query with its reply, if there is room and nobody is just taking the buffer away.
    #[cold]
    pub fn keep(&self, tapped: Tapped<'_>) {
        let kept = match self.taps.whole.load(Ordering::Relaxed) {
            true => tapped.reply,
            false => tapped.reply.get(..HEADER).unwrap_or(tapped.reply),
        };
        let octets = HEAD + tapped.query.len() + kept.len();
        let Some(mut entries) = self.buffer.entries.try_lock() else { return self.lose() };
        if entries.capacity() - entries.len() < octets {
            return self.lose();
        }
        write(&mut entries, tapped, kept);
    }

    fn lose(&self) {
        self.buffer.lost.fetch_add(1, Ordering::Relaxed);
    }
}

fn write(entries: &mut Vec<u8>, tapped: Tapped<'_>, kept: &[u8]) {
    let Tapped { at, transport, client, query, reply_len, .. } = tapped;
    for length in [query.len(), kept.len(), reply_len] {
        // No message has more than 65,535 octets.
        entries.extend(u32::try_from(length).unwrap_or(0).to_ne_bytes());
    }
    entries.extend(at.millis().to_ne_bytes());
    entries.push(transport as u8);
    let (is_v6, address) = match client.ip() {
        IpAddr::V4(v4) => (0, v4.to_ipv6_mapped().octets()),
        IpAddr::V6(v6) => (1, v6.octets()),
    };
    entries.push(is_v6);
    entries.extend(client.port().to_ne_bytes());
    entries.extend(address);
    entries.extend(query);
    entries.extend(kept);
}

/// The next entry, and what comes after it.
fn read(entries: &[u8]) -> Option<(Tapped<'_>, &[u8])> {
    let (head, rest) = entries.split_first_chunk::<HEAD>()?;
    let number = |at: usize| {
        let octets = head.get(at..at + 4).and_then(<[u8]>::first_chunk);
        octets.map_or(0, |octets| u32::from_ne_bytes(*octets) as usize)
    };
    let at = head.get(12..20).and_then(<[u8]>::first_chunk).map_or(0, |at| u64::from_ne_bytes(*at));
    let [transport, is_v6, port_low, port_high] = *head.get(20..24)?.first_chunk()?;
    let address: [u8; 16] = *head.get(24..40)?.first_chunk()?;
    let address = IpAddr::from(address);
    let address = if is_v6 == 1 { address } else { address.to_canonical() };
    let (query, rest) = rest.split_at_checked(number(0))?;
    let (reply, rest) = rest.split_at_checked(number(4))?;
    let tapped = Tapped {
        at: LeaseTime::from_millis(at),
        transport: Transport::ALL.into_iter().find(|one| *one as u8 == transport)?,
        client: SocketAddr::new(address, u16::from_ne_bytes([port_low, port_high])),
        query,
        reply,
        reply_len: number(8),
    };
    Some((tapped, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tapped<'a>(client: &str, query: &'a [u8], reply: &'a [u8]) -> Tapped<'a> {
        Tapped {
            at: LeaseTime::from_millis(42),
            transport: Transport::Quic,
            client: client.parse().unwrap(),
            query,
            reply,
            reply_len: reply.len(),
        }
    }

    #[test]
    fn one_in_so_many_is_kept_as_it_was() {
        let taps = Arc::new(Taps::default());
        let mut hand = taps.hand();
        assert!(!hand.is_due());
        taps.set(3, true);
        let later = taps.hand();
        later.keep(tapped("192.0.2.9:1", b"", b""));
        assert_eq!(taps.take(&mut Vec::new(), |_| ()), 0, "one that comes later has room too");
        let due: Vec<_> = (0..7).map(|_| hand.is_due()).collect();
        assert_eq!(due, [true, false, false, true, false, false, true]);
        let reply = [7; 40];
        let all = [tapped("192.0.2.1:5", b"one", &reply), tapped("[2001:db8::1]:65535", b"", b"")];
        all.into_iter().for_each(|one| hand.keep(one));
        let (mut empty, mut seen) = (Vec::new(), 0);
        let lost = taps.take(&mut empty, |one| {
            assert_eq!(one, all[seen]);
            seen += 1;
        });
        assert_eq!((seen, lost), (2, 0));
        taps.set(1, false);
        hand.keep(all[0]);
        taps.take(&mut empty, |one| assert_eq!((one.reply, one.reply_len), (&reply[..12], 40)));
        taps.set(0, false);
        assert!(!hand.is_due());
    }

    #[test]
    fn what_finds_no_room_is_counted_and_nothing_grows() {
        let taps = Arc::new(Taps::default());
        let hand = taps.hand();
        hand.keep(tapped("192.0.2.1:5", b"", b""));
        taps.set(1, true);
        let query = vec![0; 60_000];
        for _ in 0..30 {
            hand.keep(tapped("192.0.2.1:5", &query, b""));
        }
        let (mut empty, mut seen) = (Vec::new(), 0);
        let lost = taps.take(&mut empty, |_| seen += 1);
        assert_eq!((seen, lost), (17, 14));
        assert_eq!(empty.capacity(), BUFFER);
        assert_eq!(taps.take(&mut empty, |_| ()), 0);
    }
}
