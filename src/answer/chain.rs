//! Answers of several parts: our aliases and delegations that lead to names of others, and back to ours.
//!
//! A client that asks for recursion follows nothing by itself, so it is done here: each part is ours or the cache's,
//! and what is missing is asked upstream by whoever gets the question. Names in our zones are answered from our
//! zones, whoever leads to them.

use super::cached::{self, Age};
use super::decide::{self, Answer, End, Sources};
use super::encode::{Body, Context};
use super::frame::{Encoded, Flags, Frame};
use super::parse::{CLASS_IN, Query, Question};
use super::recursion::{Beyond, Found, Wanted, can_be_asked, question};
use super::rule::Rules;
use super::writer::{Full, Owner, Section};
use crate::answer::ahead::Ahead;
use crate::cache::{self, Record};
use crate::view::wire::Name;
use crate::view::zones::{Kind, types};

/// Parts at most: an alias of ours, what upstream says, an alias back, and once more.
const MOST_PARTS: usize = 5;
/// SERVFAIL (RFC 1035, section 4.1.1).
const SERVFAIL: u16 = 2;
/// REFUSED (RFC 1035, section 4.1.1): the name is asked of nobody.
const REFUSED: u8 = 5;

/// What a query is answered with.
#[derive(Debug, Default)]
pub struct Chain<'a> {
    /// It leads on and on.
    is_broken: bool,
    parts: [Option<Part<'a>>; MOST_PARTS],
    count: usize,
}

/// A part of an answer.
#[derive(Debug)]
enum Part<'a> {
    Ours(Answer<'a>),
    Theirs(Found<'a>),
}

impl<'a> Chain<'a> {
    fn add(&mut self, part: Part<'a>) {
        if let Some(place) = self.parts.get_mut(self.count) {
            *place = Some(part);
            self.count += 1;
        }
    }

    fn iter(&self) -> impl Iterator<Item = &Part<'a>> {
        self.parts.iter().flatten()
    }

    fn is_full(&self) -> bool {
        self.count == MOST_PARTS
    }

    /// Whether something in it is to be asked for anew.
    pub fn is_due(&self) -> bool {
        self.iter().any(|part| matches!(part, Part::Theirs(found) if found.is_due))
    }

    /// The response code: that of the last part. One that leads on and on comes to nothing.
    pub fn rcode(&self) -> u16 {
        if self.is_broken {
            return SERVFAIL;
        }
        match self.iter().last() {
            Some(Part::Ours(answer)) => answer.rcode(),
            Some(Part::Theirs(found)) => found.entry.head().rcode.into(),
            None => 0,
        }
    }
}

/// Where a walk is.
struct Walk<'a, 'q> {
    sources: Sources<'a>,
    query: &'q Query<'q>,
    rtype: u16,
    chain: Chain<'a>,
}

/// Goes from our answer to where it leads. An error: what has to be asked first.
pub fn follow<'a>(
    sources: Sources<'a>,
    beyond: &Beyond<'a, '_>,
    query: &Query<'_>,
    asked: &Question<'_>,
    first: Answer<'a>,
) -> Result<Chain<'a>, Box<Wanted>> {
    let mut walk = Walk { sources, query, rtype: asked.rtype, chain: Chain::default() };
    let mut name = asked.name.clone();
    let mut ours = first;
    loop {
        if !ours.leads_beyond() {
            walk.chain.add(Part::Ours(ours));
            return Ok(walk.chain);
        }
        if let Some(target) = ours.links.target() {
            name = target;
        }
        match walk.theirs(beyond, ours, &name)? {
            Some(target) if !walk.chain.is_full() => name = target,
            leads_to => {
                walk.chain.is_broken = leads_to.is_some();
                return Ok(walk.chain);
            }
        }
        ours = walk.decide(&name);
    }
}

impl<'a> Walk<'a, '_> {
    fn decide(&self, name: &Name) -> Answer<'a> {
        let question = Question { verbatim: &[], name, rtype: self.rtype, class: CLASS_IN };
        decide::decide(self.sources, &question, &Ahead::default())
    }

    /// Adds what others say of a name to what we have said, and says where that leads.
    fn theirs(
        &mut self,
        beyond: &Beyond<'a, '_>,
        ours: Answer<'a>,
        name: &Name,
    ) -> Result<Option<Name>, Box<Wanted>> {
        if !can_be_asked(self.rtype) {
            let end = if self.rtype == types::ANY { End::AnyOfOthers } else { End::Refused };
            self.chain.add(Part::Ours(Answer { links: ours.links, end }));
            return Ok(None);
        }
        let question = question(self.query, name, self.rtype);
        let found = beyond.find(question).ok_or_else(|| wanted(&question))?;
        let is_none = found.entry.is_failure() || found.entry.head().rcode == REFUSED;
        let has_own = match ours.end {
            // We have an answer of our own to fall back on.
            End::NoData(zone) | End::NoName(zone) => zone.kind() == Kind::Reverse,
            End::Alias | End::Referral { .. } => found.entry.head().rcode == REFUSED,
            _ => false,
        };
        if is_none && has_own {
            self.chain.add(Part::Ours(ours));
            return Ok(None);
        }
        if !ours.links.is_empty() {
            self.chain.add(Part::Ours(Answer { links: ours.links, end: End::Alias }));
        }
        self.chain.add(Part::Theirs(found));
        Ok(found.entry.leads_to())
    }
}

/// The question, to be kept.
pub fn wanted(question: &cache::Question<'_>) -> Box<Wanted> {
    let cache::Question { name, rtype, dnssec_ok, checking_disabled } = *question;
    Box::new(Wanted { name: name.clone(), rtype, dnssec_ok, checking_disabled })
}

/// Writes the reply. An error: not even the question fits, the buffer is smaller than it must be.
pub fn encode(
    context: Context<'_>,
    query: &Query<'_>,
    chain: &Chain<'_>,
    out: &mut [u8],
) -> Result<Encoded, Full> {
    let error = chain.iter().find_map(|part| match part {
        Part::Ours(answer) => answer.extended_error(),
        Part::Theirs(found) => cached::extended_error(found.entry, found.age),
    });
    let rules = || {
        let mut rules = Rules::default();
        for part in chain.iter() {
            match part {
                Part::Ours(answer) => rules.add_own(answer),
                Part::Theirs(found) => rules.add(found.rule),
            }
        }
        rules
    };
    let rcode = chain.rcode();
    let (frame, writer) = Frame::begin(query, context.transport, rcode, error, rules, out)?;
    let mut body = Body::new(writer, context, query);
    let written = chain.iter().try_for_each(|part| match part {
        Part::Ours(answer) => body.write(answer),
        Part::Theirs(found) => theirs(&mut body, context, found),
    });
    let is_authentic = chain.iter().all(|part| {
        let is_theirs =
            |found: &Found<'_>| found.age == Age::Fresh && found.entry.head().is_authentic;
        matches!(part, Part::Theirs(found) if is_theirs(found))
    });
    let is_authoritative = match chain.iter().next() {
        Some(Part::Ours(answer)) => answer.is_authoritative(),
        _ => false,
    };
    let truncated = written.is_err();
    let recursion_available = context.recursion_available;
    frame.finish(
        body.writer,
        Flags { is_authoritative, truncated, recursion_available, is_authentic },
    )
}

/// Writes the records of an entry, which is about the name that was written last.
fn theirs(body: &mut Body<'_, '_>, context: Context<'_>, found: &Found<'_>) -> Result<(), Full> {
    let gone = found.entry.age_secs(context.now);
    for record in found.entry.each() {
        let section = match record.section {
            cache::Section::Answer => Section::Answer,
            cache::Section::Authority => Section::Authority,
        };
        let Record { rtype, ttl, .. } = record;
        let owner = match record.owner.wire() {
            owner if body.is_about(owner) => Owner::At(body.name),
            owner => Owner::Name(owner),
        };
        let ttl = cached::ttl_left(ttl, found.age, gone);
        let at = body.writer.record_of(section, owner, rtype, ttl, &record.data())?;
        if rtype == types::CNAME {
            body.go_on_at(at);
        }
    }
    Ok(())
}
