//! What every reply has around its records: the header, the question, OPT.

use super::Transport;
use super::edns::{self, ExtendedError, OptRecord};
use super::parse::{HEADER, Query};
use super::rule::Rules;
use super::writer::{Full, Writer};

/// The flags of a header's third and fourth octet (RFC 1035, section 4.1.1; RFC 4035, section 3.2.3).
const QR: u8 = 0x80;
const AA: u8 = 0x04;
const TC: u8 = 0x02;
const RA: u8 = 0x80;
const AD: u8 = 0x20;

/// A reply that was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Encoded {
    /// Its octets.
    pub len: usize,
    /// Whether something is missing that belongs into it.
    pub truncated: bool,
}

/// What a reply's header says of it, beside what it repeats of the query's.
#[derive(Debug, Clone, Copy, Default)]
pub struct Flags {
    /// The answer is ours.
    pub is_authoritative: bool,
    /// Something is missing that belongs into it.
    pub truncated: bool,
    /// The client may ask for names of others.
    pub recursion_available: bool,
    /// Upstream has validated it.
    pub is_authentic: bool,
}

/// A reply around its records.
pub struct Frame<'q> {
    query: &'q Query<'q>,
    rcode: u16,
    opt: Option<OptRecord<'q>>,
}

impl<'q> Frame<'q> {
    /// Begins a reply in `out`, up to the question's end: the writer has room for the records that may follow, the
    /// room of OPT is kept; `rules` says which rules answer, if that is asked. An error: not even the question fits, the buffer is smaller than it must be.
    #[inline]
    pub fn begin<'b>(
        query: &'q Query<'q>,
        transport: Transport,
        rcode: u16,
        error: Option<ExtendedError>,
        rules: impl FnOnce() -> Rules,
        out: &'b mut [u8],
    ) -> Result<(Self, Writer<'b>), Full> {
        let carried = &query.carried;
        let opt = query.edns.as_ref().map(|edns| OptRecord {
            dnssec_ok: edns.dnssec_ok,
            rcode,
            error,
            rules: if carried.tells_rule { rules() } else { Rules::default() },
            carried,
        });
        let kept = opt.as_ref().map_or(0, OptRecord::octets);
        let limit = edns::limit(transport, query.edns.as_ref()).min(out.len());
        let mut writer = Writer::new(out, limit.checked_sub(kept).ok_or(Full)?);
        writer.put(&[0; HEADER])?;
        if let Some(question) = &query.question {
            writer.put(question.verbatim)?;
        }
        Ok((Self { query, rcode, opt }, writer))
    }

    /// Ends a reply: OPT, and the header.
    #[inline]
    pub fn finish(self, mut writer: Writer<'_>, flags: Flags) -> Result<Encoded, Full> {
        if let Some(opt) = &self.opt {
            writer.give_room(opt.octets());
            opt.write(&mut writer)?;
        }

        let query = self.query;
        let [answers, authorities, additionals] = writer.counts();
        let additionals = additionals.saturating_add(u16::from(self.opt.is_some()));
        let questions = u16::from(query.question.is_some());
        let bit = |is: bool, bit: u8| if is { bit } else { 0 };
        let third =
            query.opcode_rd | QR | bit(flags.is_authoritative, AA) | bit(flags.truncated, TC);
        let [_, rcode] = (self.rcode & 0xf).to_be_bytes();
        let fourth = query.cd
            | rcode
            | bit(flags.recursion_available, RA)
            | bit(flags.is_authentic && query.wants_ad, AD);
        writer.set(0, &query.id);
        writer.set(2, &[third, fourth]);
        for (place, count) in [questions, answers, authorities, additionals].into_iter().enumerate()
        {
            writer.set(4 + 2 * place, &count.to_be_bytes());
        }
        Ok(Encoded { len: writer.len(), truncated: flags.truncated })
    }
}
