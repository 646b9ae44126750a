//! The one encoder: from an answer to the reply's bytes, for every transport.
//!
//! An RRset is sent whole. Where that does not fit, additional records go first and nobody is told; then the
//! RRset is cut where it no longer fits, and TC says so (RFC 2181, section 9). The room of OPT is always kept.

use super::Transport;
use super::additional;
use super::decide::{Answer, End, RegistryRRset, Sources};
use super::frame::{Encoded, Flags, Frame};
use super::parse::{HEADER, Query};
use super::registered::{self, For, addresses, services};
use super::rule::Rules;
use super::writer::{Full, Section, Writer};
use crate::view::wire::MAX_NAME;
use crate::view::zones::{FileRRset, Kind, Zone, types};
use crate::view::{AnswerSettings, LeaseTime, Node, Pointers, Taking};

/// The data of the HINFO record that answers ANY (RFC 8482, section 4.2).
const ANY_HINFO: &[u8] = b"\x07RFC8482\x00";
/// How long that holds for names of others, in seconds: it is the same answer for ever.
const ANY_OF_OTHERS_TTL: u32 = 3600;
/// Octets of an SOA's data from the serial to the end, and of the minimum.
const SOA_FROM_SERIAL: usize = 20;
const SOA_MINIMUM: usize = 4;

/// What the encoder needs to know besides the answer.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// Where addresses of targets are found.
    pub sources: Sources<'a>,
    /// The serial of zones beside the registry.
    pub serial: u32,
    /// The moment of the answer.
    pub now: LeaseTime,
    /// How the reply goes.
    pub transport: Transport,
    /// Whether the client may ask for names of others.
    pub recursion_available: bool,
    /// Whether turns are taken, or looked at.
    pub taking: Taking,
}

/// Writes the reply. An error: not even the question fits, the buffer is smaller than it must be.
pub fn encode(
    context: Context<'_>,
    query: &Query<'_>,
    answer: &Answer<'_>,
    out: &mut [u8],
) -> Result<Encoded, Full> {
    let rules = || {
        let mut rules = Rules::default();
        rules.add_own(answer);
        rules
    };
    let (rcode, error) = (answer.rcode(), answer.extended_error());
    let (frame, writer) = Frame::begin(query, context.transport, rcode, error, rules, out)?;
    let mut body = Body::new(writer, context, query);
    let truncated = body.write(answer).is_err();
    let is_authoritative = answer.is_authoritative();
    let Context { recursion_available, .. } = context;
    let flags = Flags { truncated, is_authoritative, recursion_available, is_authentic: false };
    frame.finish(body.writer, flags)
}

/// The records of a reply as they are written.
pub(super) struct Body<'a, 'b> {
    pub(super) writer: Writer<'b>,
    context: Context<'a>,
    /// Where the name that records are about begins and ends: the question's, then that of the last CNAME.
    pub(super) name: usize,
    name_end: usize,
}

/// Records of an RRset that were written, one after the other.
struct Written {
    start: usize,
    count: usize,
    whole: Result<(), Full>,
}

impl<'a, 'b> Body<'a, 'b> {
    /// The body of a reply to `query`, of which the question is written.
    pub(super) fn new(writer: Writer<'b>, context: Context<'a>, query: &Query<'_>) -> Self {
        let name_end = query.question.as_ref().map_or(HEADER, |q| HEADER + q.name.wire().len());
        Self { writer, context, name: HEADER, name_end }
    }

    /// What follows is about the name that was written last, at `at`.
    pub(super) fn go_on_at(&mut self, at: usize) {
        (self.name, self.name_end) = (at, self.writer.len());
    }

    /// Whether records are about this name now, in whatever case.
    pub(super) fn is_about(&self, name: &[u8]) -> bool {
        self.writer.written(self.name, self.name_end).eq_ignore_ascii_case(name)
    }

    /// An error: something did not fit that belongs into the reply.
    pub(super) fn write(&mut self, answer: &Answer<'_>) -> Result<(), Full> {
        for link in answer.links.iter() {
            let Some(cname) = link.records.first() else { continue };
            let rdata = [&*cname.rdata];
            let at =
                self.writer.record(Section::Answer, self.name, types::CNAME, link.ttl, &rdata)?;
            self.go_on_at(at);
        }
        match &answer.end {
            End::Registry(node, rrset, zone) => self.registry(node, rrset, zone),
            End::Instance(labelled, own, zone) => {
                let what = self.what(labelled.settings);
                registered::own(&mut self.writer, what, labelled, *own, zone.name())
            }
            End::Pointers(pointers, zone) => self.pointers(pointers, zone),
            End::File(rrset) => self.file(rrset),
            End::Soa(zone) => self.soa(Section::Answer, zone, zone.soa_ttl()),
            End::Any(zone) => self.any(zone.negative_ttl()),
            End::AnyOfOthers => self.any(ANY_OF_OTHERS_TTL),
            End::NoData(zone) | End::NoName(zone) => {
                self.soa(Section::Authority, zone, zone.negative_ttl())
            }
            End::Referral { zone, ns, octets } => self.referral(zone, ns, *octets),
            End::Limited => Err(Full),
            End::Alias | End::Circle | End::NotReady | End::NotOurs => Ok(()),
            End::Prohibited | End::Refused | End::Problem(_) => Ok(()),
            End::NoQuestion | End::BadCookie => Ok(()),
        }
    }

    /// The name's last so many octets, as an owner.
    fn suffix(&self, octets: usize) -> usize {
        self.name_end.saturating_sub(octets)
    }

    fn what(&self, settings: AnswerSettings) -> For {
        For { owner: self.name, settings, now: self.context.now, taking: self.context.taking }
    }

    fn registry(
        &mut self,
        node: &Node,
        rrset: &RegistryRRset<'_>,
        zone: &Zone,
    ) -> Result<(), Full> {
        let what = self.what(node.settings);
        let writer = &mut self.writer;
        match rrset {
            RegistryRRset::A(a) => {
                addresses(writer, Section::Answer, what, a.turn(self.context.taking))
            }
            RegistryRRset::Aaaa(aaaa) => {
                addresses(writer, Section::Answer, what, aaaa.turn(self.context.taking))
            }
            RegistryRRset::Srv(srv) => {
                services(writer, what, zone.name(), &srv.turn(self.context.taking))
            }
        }
    }

    fn pointers(&mut self, pointers: &Pointers, zone: &Zone) -> Result<(), Full> {
        let (owner, now) = (self.name, self.context.now);
        let mut least_ms = None;
        let written = self.each(pointers.turn(self.context.taking), |writer, cell| {
            let mut room = [0; MAX_NAME];
            let rdata = [cell.host(&mut room), zone.name()];
            writer.record(Section::Answer, owner, types::PTR, 0, &rdata)?;
            least_ms = least(least_ms, cell.lease.remaining_ms(now));
            Ok(())
        });
        self.writer.set_ttls(written.start, written.count, ttl(pointers.ttl_secs, least_ms));
        written.whole
    }

    /// Writes one record after the other, until one does not fit.
    fn each<T>(
        &mut self,
        records: impl Iterator<Item = T>,
        mut write: impl FnMut(&mut Writer<'_>, T) -> Result<(), Full>,
    ) -> Written {
        let mut written = Written { start: self.writer.len(), count: 0, whole: Ok(()) };
        for record in records {
            written.whole = write(&mut self.writer, record);
            if written.whole.is_err() {
                break;
            }
            written.count += 1;
        }
        written
    }

    fn file(&mut self, rrset: &FileRRset) -> Result<(), Full> {
        let turn = rrset.turn(self.context.taking);
        let start = self.writer.len();
        for record in turn.clone() {
            let rdata = [&*record.rdata];
            self.writer.record(Section::Answer, self.name, rrset.rtype, rrset.ttl, &rdata)?;
        }
        additional::of_targets(&mut self.writer, &self.context, start, turn);
        Ok(())
    }

    fn referral(&mut self, zone: &Zone, ns: &FileRRset, octets: usize) -> Result<(), Full> {
        let (owner, start) = (self.suffix(octets), self.writer.len());
        let delegated = self.writer.name_at(owner).ok_or(Full)?;
        let turn = ns.turn(self.context.taking);
        for record in turn.clone() {
            self.writer.record(Section::Authority, owner, types::NS, ns.ttl, &[&*record.rdata])?;
        }
        additional::glue(&mut self.writer, zone, delegated.wire(), start, &turn)
    }

    fn any(&mut self, ttl: u32) -> Result<(), Full> {
        self.writer.record(Section::Answer, self.name, types::HINFO, ttl, &[ANY_HINFO]).map(|_| ())
    }

    /// The zone's SOA. Beside the registry its serial is that of the registry's content, and its minimum what
    /// is configured.
    fn soa(&mut self, section: Section, zone: &Zone, ttl: u32) -> Result<(), Full> {
        let owner = self.suffix(zone.name().len());
        let soa = zone.soa();
        if zone.kind() == Kind::File {
            return self.writer.record(section, owner, types::SOA, ttl, &[soa]).map(|_| ());
        }
        let (names, numbers) =
            soa.split_at_checked(soa.len().saturating_sub(SOA_FROM_SERIAL)).ok_or(Full)?;
        let timers = numbers.get(4..SOA_FROM_SERIAL - SOA_MINIMUM).unwrap_or_default();
        let serial = self.context.serial.to_be_bytes();
        let minimum = zone.negative_ttl().to_be_bytes();
        let rdata = [names, &serial, timers, &minimum];
        self.writer.record(section, owner, types::SOA, ttl, &rdata).map(|_| ())
    }
}

/// The TTL of records that are good for `least_ms` at least (`None`: without end).
fn ttl(most_secs: u32, least_ms: Option<u64>) -> u32 {
    let least_secs = least_ms.map_or(most_secs, |ms| u32::try_from(ms / 1000).unwrap_or(u32::MAX));
    most_secs.min(least_secs).max(1)
}

fn least(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
