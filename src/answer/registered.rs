//! Records of the registry in a reply: whole chunks are copied, as they were laid out when they were published.
//!
//! What is patched is what may differ from reply to reply: the TTL, where a lease has little left; the owner, where a
//! CNAME led here; an SRV record's target, which ends in the zone that was asked; who owns the addresses beside it.

use super::writer::{Full, Section, Writer};
use crate::view::record::{
    A_OCTETS, AAAA_OCTETS, FIXED, LENGTH_AT, OWNER, Record, SRV_TARGET, Srv, TTL_AT,
};
use crate::view::zones::types;
use crate::view::{AnswerSettings, Cell, Labelled, LeaseTime, RRset, Run, Taking, Turn};

/// Where the name stands whose records the octets of chunks are: right after the header.
const QUESTION: usize = (OWNER & 0x3fff) as usize;

/// What records are written for.
#[derive(Clone, Copy)]
pub(super) struct For {
    /// Where their owner stands.
    pub(super) owner: usize,
    /// How answers are made.
    pub(super) settings: AnswerSettings,
    /// The moment of the answer.
    pub(super) now: LeaseTime,
    /// Whether turns are taken, or looked at.
    pub(super) taking: Taking,
}

impl For {
    /// The TTL of records whose instances have long enough to live, which the octets of chunks have.
    fn full_ttl(self) -> u32 {
        self.settings.ttl_secs.max(1)
    }

    /// The TTL of records that are good until `deadline` (`None`: without end): at least 1.
    pub(super) fn ttl(self, deadline: Option<LeaseTime>) -> u32 {
        let secs = deadline.map_or(u64::MAX, |deadline| deadline.since(self.now) / 1000);
        u32::try_from(secs).map_or(self.full_ttl(), |secs| secs.clamp(1, self.full_ttl()))
    }

    /// The TTL of these records: the least of all, as an RRset has one (RFC 2181, section 5.2).
    fn ttl_of<R: Record>(self, run: &Run<'_, R>) -> u32 {
        let full = self.full_ttl();
        let to = self.now.plus(u64::from(full) * 1000);
        if run.chunk.lasts(to) {
            return full;
        }
        let records = run.chunk.records().get(run.range.clone()).unwrap_or_default();
        let ttl = self.ttl(records.iter().filter_map(Record::deadline).min());
        if ttl == full {
            run.chunk.look_again(); // it has been renewed since
        }
        ttl
    }
}

/// Writes the address records whose turn it is: as many as an answer holds, or as there is room for, which is an
/// error if it is fewer.
pub(super) fn addresses<R: Record>(
    writer: &mut Writer<'_>,
    section: Section,
    what: For,
    turn: Turn<'_, R>,
) -> Result<(), Full> {
    let start = writer.len();
    let (mut left, mut written, mut ttl) = (what.settings.most(), 0, what.full_ttl());
    for run in turn {
        let wanted = run.range.len().min(left);
        let run = run.first(wanted.min(writer.room() / R::OCTETS));
        let count = run.range.len();
        writer.put_records(section, count, run.chunk.octets(run.range.clone()))?;
        ttl = ttl.min(what.ttl_of(&run));
        written += count;
        left -= wanted;
        if left == 0 || count < wanted {
            patch(writer, start, written, R::OCTETS, what, ttl);
            return if count < wanted { Err(Full) } else { Ok(()) };
        }
    }
    patch(writer, start, written, R::OCTETS, what, ttl);
    Ok(())
}

/// Gives records of the same length the owner and the TTL that they are to have, where they have others.
fn patch(writer: &mut Writer<'_>, start: usize, count: usize, octets: usize, what: For, ttl: u32) {
    for place in 0..count {
        let at = start + place * octets;
        if what.owner != QUESTION {
            writer.set(at, &pointer(what.owner));
        }
        if ttl != what.full_ttl() {
            writer.set(at + TTL_AT, &ttl.to_be_bytes());
        }
        if what.owner == QUESTION && ttl == what.full_ttl() {
            return;
        }
    }
}

/// A compression pointer. Whoever calls has seen to it that it reaches.
#[allow(clippy::cast_possible_truncation)] // it has 14 bits
fn pointer(to: usize) -> [u8; 2] {
    (0xc000 | (to & 0x3fff) as u16).to_be_bytes()
}

/// Writes an RRset's addresses as additional records, all of them or none.
pub(super) fn additional<R: Record>(
    writer: &mut Writer<'_>,
    what: For,
    rrset: Option<&RRset<R>>,
) -> Result<(), Full> {
    let Some(rrset) = rrset else { return Ok(()) };
    if !writer.reaches(what.owner) {
        return Err(Full); // only a reply of more than 16 KiB has such an owner
    }
    let mark = writer.mark();
    let written = addresses(writer, Section::Additional, what, rrset.in_order());
    written.inspect_err(|Full| writer.go_back(mark))
}

/// Writes the SRV records whose turn it is, with targets in `zone`, and the targets' addresses as additional records as
/// far as there is room. An error: not all of the SRV records fit.
pub(super) fn services(
    writer: &mut Writer<'_>,
    what: For,
    zone: &[u8],
    turn: &Turn<'_, Srv>,
) -> Result<(), Full> {
    let start = writer.len();
    // An alias that led here is in the answer already.
    let before = writer.counts()[Section::Answer as usize];
    let (mut left, mut ttl) = (what.settings.most(), what.full_ttl());
    let mut fits = Ok(());
    for run in turn.clone() {
        let mut run = run.first(left);
        let wanted = run.range.len();
        let begin = run.range.start;
        let written = run.range.clone().take_while(|place| {
            fits = service(writer, run.chunk.octets(*place..place + 1), zone);
            fits.is_ok()
        });
        run.range = begin..begin + written.count();
        ttl = ttl.min(what.ttl_of(&run));
        left -= wanted;
        if left == 0 || fits.is_err() {
            break;
        }
    }
    let count = writer.counts()[Section::Answer as usize] - before;
    if what.owner != QUESTION || ttl != what.full_ttl() {
        patch_services(writer, start, what, ttl);
    }
    fits?;
    // What helps and does not fit is left out, and nobody is told.
    let _ = targets(writer, what, zone, start, turn.clone(), count);
    Ok(())
}

/// One SRV record: as it stands, and the zone after its target (which is not compressed, RFC 2782).
fn service(writer: &mut Writer<'_>, octets: &[u8], zone: &[u8]) -> Result<(), Full> {
    let (octets, _) = split_service(octets);
    let at = writer.len();
    writer.put_record(Section::Answer, octets, zone)?;
    let length = octets.len() + zone.len() - FIXED;
    writer.set(at + LENGTH_AT, &u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes());
    Ok(())
}

/// The SRV record without the zone, and the addresses of its target.
fn split_service(octets: &[u8]) -> (&[u8], &[u8]) {
    let length = octets.get(LENGTH_AT..).and_then(<[u8]>::first_chunk);
    let length = length.map_or(0, |length| usize::from(u16::from_be_bytes(*length)));
    octets.split_at_checked(FIXED + length).unwrap_or((octets, &[]))
}

fn patch_services(writer: &mut Writer<'_>, start: usize, what: For, ttl: u32) {
    let mut at = start;
    while let Some(rdata) = writer.rdata_of(at) {
        writer.set(at, &pointer(what.owner));
        writer.set(at + TTL_AT, &ttl.to_be_bytes());
        at = rdata.end;
    }
}

/// The addresses of the targets of `count` SRV records from `start` on: each target's IPv4 addresses whole or not at
/// all, then its IPv6 addresses, until something does not fit.
fn targets(
    writer: &mut Writer<'_>,
    what: For,
    zone: &[u8],
    start: usize,
    turn: Turn<'_, Srv>,
    count: u16,
) -> Result<(), Full> {
    let mut at = start;
    let mut left = usize::from(count);
    for run in turn {
        let run = run.first(left);
        left -= run.range.len();
        let full = what.ttl_of(&run) == what.full_ttl();
        for place in run.range {
            let (service, addresses) = split_service(run.chunk.octets(place..place + 1));
            let owner = at + FIXED + SRV_TARGET;
            at += service.len() + zone.len();
            let cell = run.chunk.records().get(place).map(|record| &record.cell);
            let ttl = cell.filter(|_| !full).map(|cell| what.ttl(cell.lease.deadline()));
            target(writer, owner, addresses, ttl)?;
        }
        if left == 0 {
            break;
        }
    }
    Ok(())
}

/// One target's addresses; `ttl` is given where it is not that of the octets.
fn target(
    writer: &mut Writer<'_>,
    owner: usize,
    addresses: &[u8],
    ttl: Option<u32>,
) -> Result<(), Full> {
    // Only a reply of more than 16 KiB has an owner that no pointer reaches. What helps is left out there.
    if !writer.reaches(owner) {
        return Err(Full);
    }
    let is_v4 = |record: &&[u8; A_OCTETS]| record.get(2..4) == Some(&types::A.to_be_bytes());
    let (v4, _) = addresses.as_chunks::<A_OCTETS>();
    let v4 = v4.get(..v4.iter().take_while(is_v4).count()).unwrap_or_default();
    let (v6, _) =
        addresses.get(v4.len() * A_OCTETS..).unwrap_or_default().as_chunks::<AAAA_OCTETS>();
    family(writer, owner, v4, ttl)?;
    family(writer, owner, v6, ttl)
}

fn family<const OCTETS: usize>(
    writer: &mut Writer<'_>,
    owner: usize,
    records: &[[u8; OCTETS]],
    ttl: Option<u32>,
) -> Result<(), Full> {
    if records.len() * OCTETS > writer.room() {
        return Err(Full);
    }
    for record in records {
        let at = writer.len();
        writer.put_record(Section::Additional, record, &[])?;
        writer.set(at, &pointer(owner));
        if let Some(ttl) = ttl {
            writer.set(at + TTL_AT, &ttl.to_be_bytes());
        }
    }
    Ok(())
}

/// What is asked of an instance by its own name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Own {
    /// A
    V4,
    /// AAAA
    V6,
    /// SRV
    Srv,
}

/// Writes an instance's own records. An error: not all fit.
pub(super) fn own(
    writer: &mut Writer<'_>,
    what: For,
    labelled: &Labelled,
    own: Own,
    zone: &[u8],
) -> Result<(), Full> {
    let cell = &*labelled.cell;
    let ttl = what.ttl(cell.lease.deadline());
    match own {
        Own::V4 => labelled.turn_v4(what.taking).try_for_each(|v4| {
            writer.record(Section::Answer, what.owner, types::A, ttl, &[&v4.octets()]).map(drop)
        }),
        Own::V6 => labelled.turn_v6(what.taking).try_for_each(|v6| {
            writer.record(Section::Answer, what.owner, types::AAAA, ttl, &[&v6.octets()]).map(drop)
        }),
        Own::Srv => {
            let rdata = own_service(writer, what.owner, ttl, cell, zone)?;
            let _ = own_addresses(writer, rdata + SRV_TARGET, ttl, cell);
            Ok(())
        }
    }
}

fn own_service(
    writer: &mut Writer<'_>,
    owner: usize,
    ttl: u32,
    cell: &Cell,
    zone: &[u8],
) -> Result<usize, Full> {
    let body = &cell.instance.body;
    let (priority, weight) = (body.priority.to_be_bytes(), body.weight.to_be_bytes());
    let mut room = [0; crate::view::wire::MAX_NAME];
    let rdata = [&priority[..], &weight, &body.port.to_be_bytes(), cell.host(&mut room), zone];
    writer.record(Section::Answer, owner, types::SRV, ttl, &rdata)
}

/// Writes all addresses of an instance as additional records: the IPv4 ones whole or not at all, then the others.
pub(super) fn own_addresses(
    writer: &mut Writer<'_>,
    owner: usize,
    ttl: u32,
    cell: &Cell,
) -> Result<(), Full> {
    super::additional::whole(writer, cell.v4(), |writer, v4| {
        writer.record(Section::Additional, owner, types::A, ttl, &[&v4.octets()])
    })?;
    super::additional::whole(writer, cell.v6(), |writer, v6| {
        writer.record(Section::Additional, owner, types::AAAA, ttl, &[&v6.octets()])
    })
}
