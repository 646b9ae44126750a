//! From what upstream said to the reply's bytes: one copy, and the TTLs.

use super::Transport;
use super::edns::ExtendedError;
use super::frame::{Encoded, Flags, Frame};
use super::parse::Query;
use super::recursion::Found;
use super::writer::{Full, Section, Writer};
use crate::cache::{self, Entry, Fitting, Mark};
use crate::view::LeaseTime;
use crate::view::zones::types;

/// The TTL of what no longer holds (RFC 8767, section 4).
const STALE_TTL: u32 = 30;
const NXDOMAIN: u8 = 3;

/// Whether an entry holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Age {
    /// It does: its TTLs are counted down.
    Fresh,
    /// It no longer does: its TTLs are 30 s, and the client is told.
    Stale,
}

/// Writes the reply of an entry, which was found by the query's question. An error: not even the question fits, the
/// buffer is smaller than it must be, or the entry is about another name.
#[inline]
pub fn encode(
    found: &Found<'_>,
    query: &Query<'_>,
    now: LeaseTime,
    transport: Transport,
    out: &mut [u8],
) -> Result<Encoded, Full> {
    let Found { entry, age, rule, .. } = *found;
    let name = query.question.as_ref().map(|question| question.name.wire());
    // Pointers in the entry lead into the question.
    if name != Some(entry.name()) {
        return Err(Full);
    }
    let head = entry.head();
    let error = extended_error(entry, age);
    let (frame, mut writer) =
        Frame::begin(query, transport, head.rcode.into(), error, || rule.into(), out)?;
    let fitting = entry.fitting(writer.room());
    let start = writer.len();
    writer.put_records(Section::Answer, fitting.count(cache::Section::Answer), fitting.octets)?;
    writer.put_records(Section::Authority, fitting.count(cache::Section::Authority), &[])?;
    put_ttls(&mut writer, start, &fitting, age, entry.age_secs(now));
    turn(&mut writer, start, &fitting, query.id);
    let flags = Flags {
        is_authoritative: false,
        truncated: !fitting.is_whole,
        recursion_available: true,
        is_authentic: head.is_authentic && age == Age::Fresh,
    };
    frame.finish(writer, flags)
}

/// What is wrong with the answer, if so (RFC 8914, sections 4.4 and 4.20, and what is wrong upstream).
pub(super) fn extended_error(entry: &Entry, age: Age) -> Option<ExtendedError> {
    match (age, entry.head().error) {
        (Age::Stale, _) if entry.head().rcode == NXDOMAIN => Some(ExtendedError::StaleNoName),
        (Age::Stale, _) => Some(ExtendedError::Stale),
        (Age::Fresh, 0) => None,
        (Age::Fresh, error) => Some(ExtendedError::Upstream(error)),
    }
}

fn put_ttls(writer: &mut Writer<'_>, start: usize, fitting: &Fitting<'_>, age: Age, gone: u32) {
    for (at, ttl) in fitting.ttls() {
        writer.set(start + at, &ttl_left(ttl, age, gone).to_be_bytes());
    }
}

/// Has the addresses of a name take turns at being first, by the query's id, which is chance: so that nothing has to be
/// counted.
fn turn(writer: &mut Writer<'_>, start: usize, fitting: &Fitting<'_>, id: [u8; 2]) {
    let mut begin = 0;
    for set in fitting.marks.split_inclusive(|mark| mark.is_last) {
        let end = set.last().map_or(begin, |last| usize::from(last.end));
        if let Some(length) = length_of_each(fitting, set, begin) {
            let turn = usize::from(u16::from_be_bytes(id)) % set.len();
            writer.written_mut(start + begin, start + end).rotate_left(turn * length);
        }
        begin = end;
    }
}

/// The length of the records of an RRset of several addresses that begins at `begin`, if it is one: where an owner is
/// written out, others may point to it, and lengths differ.
fn length_of_each(fitting: &Fitting<'_>, set: &[Mark], begin: usize) -> Option<usize> {
    let [first, _, ..] = set else { return None };
    let length = usize::from(first.end) - begin;
    let are_alike = (1..).zip(set).all(|(nth, mark)| usize::from(mark.end) == begin + nth * length);
    (first.section == cache::Section::Answer && is_of_addresses(fitting, first) && are_alike)
        .then_some(length)
}

/// Whether a record holds an address: type and class stand before its TTL.
fn is_of_addresses(fitting: &Fitting<'_>, mark: &Mark) -> bool {
    let ttl = usize::from(mark.ttl);
    let rtype = fitting.octets.get(ttl.saturating_sub(4)..).and_then(<[u8]>::first_chunk);
    rtype.is_some_and(|rtype| matches!(u16::from_be_bytes(*rtype), types::A | types::AAAA))
}

/// What is left of a TTL after so many seconds: 1 at least, unless it was 0 when it came.
pub(super) fn ttl_left(ttl: u32, age: Age, gone: u32) -> u32 {
    match age {
        Age::Fresh => ttl.saturating_sub(gone).max(ttl.min(1)),
        Age::Stale => STALE_TTL,
    }
}
