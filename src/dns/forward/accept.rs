//! What is kept of an upstream's reply: the answer to the question that was asked, and nothing else.
//!
//! An upstream, or who speaks in its place, may say what it likes about other names: none of it is kept (Kaminsky,
//! MaginotDNS, CVE-2025-40778). What is kept is found by the very question only. Whether the reply came from where
//! the question went, has its id and repeats its letters' case is for who sent it to see to.

use std::cell::Cell;
use std::collections::HashSet;

use super::reply::{NOERROR, NOTIMP, NXDOMAIN, Record, Reply};
use crate::cache::layout::is_in;
use crate::cache::{
    Draft, Entry, MOST_LIFE_SECS, MOST_NEGATIVE_SECS, Question, RRset, Scope, Section, TooLong,
};
use crate::view::LeaseTime;
use crate::view::zones::types;

/// Seconds for which it is kept that there is nothing but what was dropped.
const DROPPED_SECS: u32 = 60;
/// CNAMEs that an answer may lead through (CVE-2022-48256).
const MOST_LINKS: usize = 8;
/// RRsets that prove what is not there, at most: NSEC3 needs three (RFC 5155, section 7.2.2), a chain through wildcards
/// one more for each.
const MOST_PROOFS: usize = 12;
/// Types of DNSSEC (RFC 4034, sections 3 and 4; RFC 5155, section 3).
const RRSIG: u16 = 46;
const NSEC: u16 = 47;
const NSEC3: u16 = 50;
/// Where in an RRSIG's data the signer's name stands (RFC 4034, section 3.1).
const SIGNER: usize = 18;
/// TTLs from here on are 0 (RFC 2181, section 8).
const NO_TTL: u32 = 1 << 31;

/// Why a reply is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Whoever asked waits on, as if nothing had come: anybody can send this (TuDoor).
    Ignore(Ignored),
    /// It is cut off (TC): to be asked again over TCP.
    Truncated,
    /// The upstream cannot answer: another may. The response code that it gave.
    Failure(u16),
    /// The upstream answers, but not the question: it is not one that asks on for others, or contradicts itself.
    Unhelpful,
}

/// Why a reply is as good as none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ignored {
    /// QR is not set, or it is about something other than a query.
    NotAReply,
    /// It repeats another question.
    OtherQuestion,
    /// It cannot be read.
    Malformed,
}

impl From<TooLong> for Refusal {
    fn from(_: TooLong) -> Self {
        Self::Unhelpful
    }
}

/// The data of a record that is kept does not fit its type.
struct Malformed;

impl From<Malformed> for Refusal {
    fn from(_: Malformed) -> Self {
        Self::Ignore(Ignored::Malformed)
    }
}

/// What is kept of replies, beside what must not be in any case.
pub trait Judge {
    /// Whether a name is in our zones: nothing that others say of it is kept.
    fn is_ours(&self, name: &[u8]) -> bool;

    /// Whether what others say may lead to names that are asked for by themselves: in our zones, or elsewhere.
    fn may_lead_on(&self) -> bool;

    /// Whether a record of this type and data is dropped.
    fn drops(&self, rtype: u16, rdata: &[u8]) -> bool;
}

/// The entry of a reply to `asked` that came at `now`.
pub fn accept(
    octets: &[u8],
    asked: Question<'_>,
    judge: &dyn Judge,
    now: LeaseTime,
) -> Result<Entry, Refusal> {
    let reply = Reply::read(octets, asked)?;
    if !matches!(reply.rcode, NOERROR | NXDOMAIN) {
        return Err(Refusal::Failure(reply.rcode));
    }
    // We answer ANY ourselves (RFC 8482); transfers and what belongs to messages are no questions.
    if types::is_meta(asked.rtype) {
        return Err(Refusal::Failure(NOTIMP));
    }
    let kept = Kept::of(&reply, asked, judge)?;
    let mut draft = Draft::new(asked);
    for set in &kept.sets {
        draft.add(&RRset {
            section: set.section,
            owner: &set.owner,
            rtype: set.rtype,
            ttl: set.ttl,
            rdata: &set.rdata,
        })?;
    }
    if kept.leads_on {
        draft.leads_on();
    }
    let no_name = reply.rcode == NXDOMAIN && !kept.leads_on;
    // Behind a CNAME it is another name that does not exist.
    let scope = if no_name && kept.names.len() == 1 { Scope::Name } else { Scope::Type };
    let life_secs = kept.most_secs.min(draft.least_ttl());
    let rcode = if no_name { 3 } else { 0 };
    Ok(draft.finish(rcode, reply.is_authentic, scope, now, life_secs))
}

/// What is kept of a reply.
struct Kept<'r> {
    reply: &'r Reply<'r>,
    judge: &'r dyn Judge,
    wants_signatures: bool,
    /// The question's name, and those that CNAMEs lead to.
    names: Vec<Vec<u8>>,
    sets: Vec<Set>,
    most_secs: u32,
    /// The chain ends in an alias of a name that has to be asked for.
    leads_on: bool,
    /// Something was dropped that would have been an answer.
    has_dropped: Cell<bool>,
}

/// An RRset that is kept.
struct Set {
    section: Section,
    owner: Vec<u8>,
    rtype: u16,
    ttl: u32,
    rdata: Vec<Vec<u8>>,
}

impl<'r> Kept<'r> {
    fn of(
        reply: &'r Reply<'r>,
        asked: Question<'_>,
        judge: &'r dyn Judge,
    ) -> Result<Self, Refusal> {
        let mut kept = Self {
            reply,
            judge,
            wants_signatures: asked.dnssec_ok,
            names: vec![asked.name.wire().to_vec()],
            sets: Vec::new(),
            most_secs: MOST_LIFE_SECS,
            leads_on: false,
            has_dropped: Cell::new(false),
        };
        let has_answer = kept.follow(asked.rtype)?;
        match (has_answer, reply.rcode) {
            (true, NOERROR) => {}
            _ if kept.leads_on => return Ok(kept),
            (true, _) => return Err(Refusal::Unhelpful),
            (false, _) => kept.explain()?,
        }
        if kept.wants_signatures {
            kept.proofs()?;
        }
        Ok(kept)
    }

    /// The name that the chain has come to.
    fn name(&self) -> &[u8] {
        self.names.last().map_or(&[0], Vec::as_slice)
    }

    /// Keeps the chain from the question's name to the RRset of the type; false if it ends without one.
    fn follow(&mut self, rtype: u16) -> Result<bool, Refusal> {
        let answers = &self.reply.answers;
        for _ in 0..=MOST_LINKS {
            let name = self.name().to_vec();
            if self.keep(Section::Answer, answers, &name, rtype)? {
                return Ok(true);
            }
            if !self.keep(Section::Answer, answers, &name, types::CNAME)? {
                return Ok(false);
            }
            let link = self.sets.iter().rev().find(|set| set.rtype == types::CNAME);
            // A name has one CNAME (RFC 2181, section 10.1).
            let Some([target]) = link.map(|link| &*link.rdata) else {
                return Err(Refusal::Unhelpful);
            };
            if self.names.iter().any(|name| name.eq_ignore_ascii_case(target)) {
                return Err(Refusal::Unhelpful);
            }
            let is_ours = self.judge.is_ours(target);
            self.names.push(target.clone());
            if is_ours {
                self.leads_on = self.judge.may_lead_on();
                return Ok(!self.leads_on);
            }
        }
        Err(Refusal::Unhelpful)
    }

    /// Keeps the SOA that says for how long there is nothing (RFC 2308, section 5): of a zone that the name is in.
    fn explain(&mut self) -> Result<(), Refusal> {
        let authorities = &self.reply.authorities;
        let has = |rtype| authorities.iter().any(move |record| record.rtype == rtype);
        let ours =
            |record: &&Record| record.rtype == types::SOA && is_in(self.name(), &record.owner);
        let Some(soa) = authorities.iter().find(ours) else {
            // What was dropped leaves nothing, which nobody has to ask for again at once.
            if self.has_dropped.get() {
                self.most_secs = DROPPED_SECS;
                return Ok(());
            }
            // Delegations are for who follows them (RFC 2308, section 2.2).
            let is_referral = self.reply.rcode == NOERROR && !has(types::SOA) && has(types::NS);
            let is_alias = self.names.len() > 1 && self.judge.may_lead_on();
            if is_referral && !is_alias {
                return Err(Refusal::Unhelpful);
            }
            // Who answers for the alias need not answer for what it leads to.
            if self.reply.rcode == NOERROR && is_alias && !has(types::SOA) {
                self.leads_on = true;
                return Ok(());
            }
            self.most_secs = 0;
            return Ok(());
        };
        let first = self.sets.len();
        self.keep(Section::Authority, authorities, &soa.owner, types::SOA)?;
        let Some(soa) = self.sets.get(first).and_then(|set| set.rdata.first().zip(Some(set.ttl)))
        else {
            return Ok(());
        };
        let (rdata, ttl) = soa;
        let minimum = rdata.last_chunk().map_or(0, |octets| u32::from_be_bytes(*octets));
        let ttl = ttl.min(minimum).min(MOST_NEGATIVE_SECS);
        for set in self.sets.iter_mut().skip(first) {
            set.ttl = set.ttl.min(ttl);
        }
        Ok(())
    }

    /// Keeps what proves that there is nothing, or nothing nearer than a wildcard (RFC 4035, section 3.1.3): signed by
    /// a zone that the chain goes through.
    fn proofs(&mut self) -> Result<(), Refusal> {
        let authorities = &self.reply.authorities;
        let mut proofs: Vec<(&[u8], u16)> = Vec::new();
        for record in authorities.iter().filter(|record| record.rtype == RRSIG) {
            let Some(rtype @ (NSEC | NSEC3)) = self.covered(record) else { continue };
            let is_known = proofs
                .iter()
                .any(|(owner, known)| *known == rtype && owner.eq_ignore_ascii_case(&record.owner));
            if !is_known && self.is_by_a_zone_of_the_chain(record)? && proofs.len() < MOST_PROOFS {
                proofs.push((&record.owner, rtype));
            }
        }
        for (owner, rtype) in proofs {
            self.keep(Section::Authority, authorities, owner, rtype)?;
        }
        Ok(())
    }

    fn is_by_a_zone_of_the_chain(&self, signature: &Record) -> Result<bool, Malformed> {
        let (start, end) = signature.data;
        let (signer, after) = self.reply.message.name(start + SIGNER).ok_or(Malformed)?;
        if after > end {
            return Err(Malformed);
        }
        let signs_chain = self.names.iter().any(|name| is_in(name, &signer));
        Ok(signs_chain && is_in(&signature.owner, &signer))
    }

    /// Keeps an RRset, and its signatures; false if there is none.
    fn keep(
        &mut self,
        section: Section,
        records: &[Record],
        owner: &[u8],
        rtype: u16,
    ) -> Result<bool, Malformed> {
        let of_it =
            |record: &&Record| record.rtype == rtype && record.owner.eq_ignore_ascii_case(owner);
        let Some(set) = self.set(section, owner, rtype, records.iter().filter(of_it))? else {
            return Ok(false);
        };
        self.sets.push(set);
        if self.wants_signatures && rtype != RRSIG {
            let signatures = records.iter().filter(|record| {
                record.rtype == RRSIG
                    && record.owner.eq_ignore_ascii_case(owner)
                    && self.covered(record) == Some(rtype)
            });
            let set = self.set(section, owner, RRSIG, signatures)?;
            self.sets.extend(set);
        }
        Ok(true)
    }

    /// The type that a signature covers (RFC 4034, section 3.1.1).
    fn covered(&self, signature: &Record) -> Option<u16> {
        let (start, end) = signature.data;
        let data = self.reply.message.octets.get(start..end)?;
        data.first_chunk().map(|octets| u16::from_be_bytes(*octets))
    }

    /// Records as an RRset: each once, with the least of their TTLs (RFC 2181, sections 5 and 5.2).
    fn set<'a>(
        &self,
        section: Section,
        owner: &[u8],
        rtype: u16,
        records: impl Iterator<Item = &'a Record>,
    ) -> Result<Option<Set>, Malformed> {
        let mut rdata: Vec<Vec<u8>> = Vec::new();
        let mut seen = HashSet::new();
        let mut ttl = MOST_LIFE_SECS;
        for record in records {
            let (start, end) = record.data;
            let data = self.reply.message.data(rtype, start, end).ok_or(Malformed)?;
            types::check(rtype, &data).map_err(|_| Malformed)?;
            if self.judge.drops(rtype, &data) {
                self.has_dropped.set(true);
                continue;
            }
            ttl = ttl.min(if record.ttl < NO_TTL { record.ttl } else { 0 });
            if seen.insert(data.clone()) {
                rdata.push(data);
            }
        }
        let set = Set { section, owner: owner.to_vec(), rtype, ttl, rdata };
        Ok((!set.rdata.is_empty()).then_some(set))
    }
}

#[cfg(test)]
mod tests;
