//! Queries as DNS messages: from files of `name TYPE` a line, and what loads without a file need to make their own.

use std::fs;
use std::io;
use std::path::Path;

/// Octets of a header, whose id is filled in when it is sent.
const HEADER: [u8; 12] = [0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
/// An OPT record that offers 1,232 octets.
const OPT: [u8; 11] = [0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0];
/// A client's cookie (RFC 7873), as dig sends one.
const COOKIE: [u8; 12] = [0, 10, 0, 8, 0xa1, 0xb2, 0xc3, 0xd4, 0xe5, 0xf6, 0x07, 0x18];

/// What a query carries besides its question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extra {
    /// Nothing.
    None,
    /// EDNS.
    Edns,
    /// EDNS with a cookie option.
    Cookie,
}

/// Queries, to be sent one after the other and then again.
pub struct Queries {
    octets: Vec<u8>,
    /// Where each begins; the last entry is the end of all.
    begins: Vec<usize>,
    next: usize,
}

impl Queries {
    /// Reads a file.
    pub fn read(file: &Path, extra: Extra) -> io::Result<Self> {
        let text = fs::read_to_string(file)?;
        let mut queries = Self { octets: Vec::new(), begins: vec![0], next: 0 };
        for (number, line) in text.lines().enumerate() {
            let wrong = || {
                let place = format!("{}, line {}", file.display(), number + 1);
                io::Error::other(format!("{place}: not `name TYPE`: {line}"))
            };
            let (name, kind) = line.split_once(' ').ok_or_else(wrong)?;
            let kind = type_number(kind).ok_or_else(wrong)?;
            queries.push(name, kind, extra).ok_or_else(wrong)?;
        }
        match queries.begins.len() {
            1 => Err(io::Error::other(format!("{} has no queries", file.display()))),
            _ => Ok(queries),
        }
    }

    fn push(&mut self, name: &str, kind: u8, extra: Extra) -> Option<()> {
        let begin = self.octets.len();
        self.octets.extend(HEADER);
        for label in name.trim_end_matches('.').split('.') {
            self.octets.push(u8::try_from(label.len()).ok().filter(|n| (1..64).contains(n))?);
            self.octets.extend(label.as_bytes());
        }
        self.octets.extend([0, 0, kind, 0, 1]);
        if extra != Extra::None {
            self.octets[begin + 11] = 1;
            self.octets.extend(OPT);
        }
        if extra == Extra::Cookie {
            let length = self.octets.len() - 1;
            self.octets[length] = u8::try_from(COOKIE.len()).ok()?;
            self.octets.extend(COOKIE);
        }
        self.begins.push(self.octets.len());
        Some(())
    }

    /// The next one, without an id.
    pub fn next(&mut self) -> &[u8] {
        let (begin, end) = (self.begins[self.next], self.begins[self.next + 1]);
        self.next += 1;
        if self.next + 1 == self.begins.len() {
            self.next = 0;
        }
        &self.octets[begin..end]
    }
}

fn type_number(name: &str) -> Option<u8> {
    match name {
        "A" => Some(1),
        "PTR" => Some(12),
        "TXT" => Some(16),
        "AAAA" => Some(28),
        "SRV" => Some(33),
        _ => None,
    }
}

/// Where the first question of a message ends.
pub fn question_end(message: &[u8]) -> Option<usize> {
    let mut at = HEADER.len();
    loop {
        match message.get(at)? {
            0 => break,
            label => at += usize::from(*label) + 1,
        }
    }
    let end = at + 5;
    (end <= message.len()).then_some(end)
}

/// The address that a question has where answers are made up: a hash (FNV-1a) of its name, whatever the case.
pub fn address_of(question: &[u8]) -> [u8; 4] {
    let hash = question.iter().fold(0x811c_9dc5_u32, |hash, octet| {
        (hash ^ u32::from(octet.to_ascii_lowercase())).wrapping_mul(0x0100_0193)
    });
    let [_, b, c, d] = hash.to_be_bytes();
    [10, b, c, d]
}

/// Numbers that look drawn and are the same for a seed (SplitMix64).
pub struct Dice(u64);

impl Dice {
    /// With this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// One of the numbers below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// A number from 0 to 1.
    pub fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_makes_an_opt_record_of_23_octets() {
        let mut queries = Queries { octets: Vec::new(), begins: vec![0], next: 0 };
        queries.push("web.svc.test", 1, Extra::None).unwrap();
        queries.push("web.svc.test.", 1, Extra::Cookie).unwrap();
        let plain = queries.next().to_vec();
        let cookie = queries.next().to_vec();
        assert_eq!(plain.len() + 23, cookie.len());
        assert_eq!(plain[12..], cookie[12..plain.len()]);
        assert_eq!(cookie[plain.len() + 9..][..2], [0, 12]);
        assert_eq!(queries.next(), plain);
    }
}
