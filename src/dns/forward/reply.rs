//! A reply of upstream's, read strictly: whether it is one to what was asked, and which records it has.

use super::accept::{Ignored, Refusal};
use super::names::Message;
use crate::cache::Question;
use crate::view::zones::types;

/// Octets of a header (RFC 1035, section 4.1.1).
const HEADER: usize = 12;
/// Of the header's third octet: QR, the opcode, TC.
const QR: u8 = 0x80;
const OPCODE: u8 = 0x78;
const TC: u8 = 0x02;
/// Of its fourth octet: AD, the response code.
const AD: u8 = 0x20;
const RCODE: u8 = 0x0f;
const CLASS_IN: u16 = 1;

/// Response codes (RFC 1035, section 4.1.1).
pub const NOERROR: u16 = 0;
pub const FORMERR: u16 = 1;
pub const NXDOMAIN: u16 = 3;
pub const NOTIMP: u16 = 4;

/// A reply to the question that was asked.
#[derive(Debug)]
pub struct Reply<'m> {
    /// All of it.
    pub message: Message<'m>,
    /// The response code, with what OPT adds to it.
    pub rcode: u16,
    /// Upstream says that it has validated it.
    pub is_authentic: bool,
    /// The answer section.
    pub answers: Vec<Record>,
    /// The authority section.
    pub authorities: Vec<Record>,
}

/// A record of class IN, its data not looked at.
#[derive(Debug)]
pub struct Record {
    /// The name, uncompressed.
    pub owner: Vec<u8>,
    /// The type.
    pub rtype: u16,
    /// The TTL.
    pub ttl: u32,
    /// Where the data begins and ends.
    pub data: (usize, usize),
}

impl<'m> Reply<'m> {
    /// Reads a reply to `asked`.
    pub fn read(octets: &'m [u8], asked: Question<'_>) -> Result<Self, Refusal> {
        let malformed = Refusal::Ignore(Ignored::Malformed);
        let &[_, _, flags, more_flags, ref counts @ ..] =
            octets.first_chunk::<HEADER>().ok_or(malformed)?;
        if flags & QR == 0 || flags & OPCODE != 0 {
            return Err(Refusal::Ignore(Ignored::NotAReply));
        }
        let &[q0, q1, an0, an1, ns0, ns1, ar0, ar1] = counts;
        let rcode = u16::from(more_flags & RCODE);
        match u16::from_be_bytes([q0, q1]) {
            1 => {}
            // A server that did not understand the query may leave the question out.
            0 if matches!(rcode, FORMERR | NOTIMP) => return Err(Refusal::Failure(rcode)),
            _ => return Err(Refusal::Ignore(Ignored::OtherQuestion)),
        }
        let mut rest = Rest { message: Message { octets, name_end: 0 }, at: HEADER };
        if !rest.question(asked).ok_or(malformed)? {
            return Err(Refusal::Ignore(Ignored::OtherQuestion));
        }
        if flags & TC != 0 {
            return Err(Refusal::Truncated);
        }
        let counts = [[an0, an1], [ns0, ns1], [ar0, ar1]].map(u16::from_be_bytes);
        let mut reply = Self {
            message: rest.message,
            rcode,
            is_authentic: more_flags & AD != 0,
            answers: Vec::new(),
            authorities: Vec::new(),
        };
        reply.read_sections(&mut rest, counts).ok_or(malformed)?;
        Ok(reply)
    }

    /// Each record takes eleven octets of the message at least: that bounds the loops.
    fn read_sections(&mut self, rest: &mut Rest<'_>, counts: [u16; 3]) -> Option<()> {
        let [answers, authorities, additionals] = counts;
        for (count, section) in [(answers, &mut self.answers), (authorities, &mut self.authorities)]
        {
            for _ in 0..count {
                let (class, record) = rest.record()?;
                // OPT has its place, and classes are no matter of ours.
                if record.rtype == types::OPT {
                    return None;
                }
                if class == CLASS_IN {
                    section.push(record);
                }
            }
        }
        let mut has_opt = false;
        for _ in 0..additionals {
            let (_, record) = rest.record()?;
            if record.rtype == types::OPT {
                // One at most, and the root's (RFC 6891, section 6.1.1).
                if has_opt || record.owner != [0] {
                    return None;
                }
                has_opt = true;
                let [high, ..] = record.ttl.to_be_bytes();
                self.rcode |= u16::from(high) << 4;
            }
        }
        (rest.at == rest.message.octets.len()).then_some(())
    }
}

/// What is still to be read.
struct Rest<'m> {
    message: Message<'m>,
    at: usize,
}

impl Rest<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let octets = *self.message.octets.get(self.at..)?.first_chunk()?;
        self.at += N;
        Some(octets)
    }

    fn u16(&mut self) -> Option<u16> {
        self.take().map(u16::from_be_bytes)
    }

    fn name(&mut self) -> Option<Vec<u8>> {
        let (name, after) = self.message.name(self.at)?;
        self.at = after;
        Some(name)
    }

    /// Whether the question is the one that was asked, in whatever case: whoever sent it compares that.
    fn question(&mut self, asked: Question<'_>) -> Option<bool> {
        let name = self.name()?;
        self.message.name_end = self.at;
        let (rtype, class) = (self.u16()?, self.u16()?);
        let same = name.eq_ignore_ascii_case(asked.name.wire());
        Some(same && rtype == asked.rtype && class == CLASS_IN)
    }

    fn record(&mut self) -> Option<(u16, Record)> {
        let owner = self.name()?;
        let (rtype, class) = (self.u16()?, self.u16()?);
        let ttl = self.take().map(u32::from_be_bytes)?;
        let end = usize::from(self.u16()?) + self.at;
        let data = (self.at, end);
        self.message.octets.get(self.at..end)?;
        self.at = end;
        Some((class, Record { owner, rtype, ttl, data }))
    }
}
