//! Documents of many parts, each compressed by itself: when one changes, the others are as they were.
//!
//! A part is a sequence of deflate blocks that looks back at nothing before it and ends at an octet's border (RFC 1951,
//! section 3.2, a flush with an empty block). So parts can be put one after the other into one gzip member (RFC 1952,
//! section 2.3), whose checksum is that of the parts combined.

use std::io::Read;

use axum::body::Bytes;
use flate2::read::GzDecoder;
use flate2::{Compress, Compression, Crc, FlushCompress, Status};

/// A header without name, time or system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
/// Room for a flush, and for what does not get shorter.
const SPARE: usize = 64;
/// The last block: empty, and with a code that is known.
const LAST_BLOCK: [u8; 2] = [0x03, 0x00];

/// A part, compressed.
#[derive(Debug)]
pub(super) struct Part {
    octets: Bytes,
    crc: Crc,
}

impl Part {
    /// Compresses a part: fast, for it is done again with every change.
    pub(super) fn new(plain: &[u8]) -> Self {
        let mut compress = Compress::new(Compression::fast(), false);
        let mut octets = Vec::with_capacity(plain.len() / 4 + SPARE);
        let mut rest = plain;
        loop {
            let before = compress.total_in();
            let done = compress.compress_vec(rest, &mut octets, FlushCompress::Sync);
            let taken = usize::try_from(compress.total_in() - before).unwrap_or(rest.len());
            rest = rest.get(taken..).unwrap_or_default();
            // With room left all of it is out, the flush too.
            let is_flushed = rest.is_empty() && octets.len() < octets.capacity();
            if is_flushed || !matches!(done, Ok(Status::Ok | Status::BufError)) {
                break;
            }
            octets.reserve(plain.len() / 4 + SPARE);
        }
        let mut crc = Crc::new();
        crc.update(plain);
        octets.shrink_to_fit();
        Self { octets: octets.into(), crc }
    }
}

/// Puts parts together into one member.
#[derive(Debug)]
pub(super) struct Member {
    pieces: Vec<Bytes>,
    crc: Crc,
}

impl Member {
    pub(super) fn new() -> Self {
        Self { pieces: vec![Bytes::from_static(&HEADER)], crc: Crc::new() }
    }

    pub(super) fn push(&mut self, part: &Part) {
        self.pieces.push(part.octets.clone());
        self.crc.combine(&part.crc);
    }

    /// The member's octets, in pieces.
    pub(super) fn finish(mut self) -> Vec<Bytes> {
        let mut end = LAST_BLOCK.to_vec();
        end.extend(self.crc.sum().to_le_bytes());
        end.extend(self.crc.amount().to_le_bytes());
        self.pieces.push(end.into());
        self.pieces
    }
}

/// What a gzip file holds; `None` if it is none, or holds more than `most` octets.
pub(super) fn decompressed(octets: &[u8], most: usize) -> Option<Vec<u8>> {
    let mut plain = Vec::new();
    let limit = u64::try_from(most).ok()?.checked_add(1)?;
    GzDecoder::new(octets).take(limit).read_to_end(&mut plain).ok()?;
    (plain.len() <= most).then_some(plain)
}

#[cfg(test)]
mod tests {

    use super::*;

    fn read(parts: &[&[u8]]) -> Vec<u8> {
        let mut member = Member::new();
        for part in parts {
            member.push(&Part::new(part));
        }
        let octets = member.finish().concat();
        let mut plain = Vec::new();
        GzDecoder::new(&*octets).read_to_end(&mut plain).unwrap();
        plain
    }

    #[test]
    fn parts_are_one_member_and_come_back() {
        let noise: Vec<u8> =
            (0..200_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let text = "the same again and again, ".repeat(20_000);
        let cases: [&[&[u8]]; 5] = [
            &[],
            &[b""],
            &[b"a"],
            &[b"a", b",", b"", b"a"],
            &[&noise, text.as_bytes(), b"]", &noise],
        ];
        for parts in cases {
            assert!(read(parts) == parts.concat(), "{} parts", parts.len());
        }
        assert!(Part::new(text.as_bytes()).octets.len() < text.len() / 50);
    }
}
