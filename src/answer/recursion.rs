//! Names that are not ours: for whom they are looked up, and where what is known of them is.

use std::cell::OnceCell;
use std::net::IpAddr;
use std::sync::Arc;

use super::cached::Age;
use super::decide::{Answer, End};
use super::parse::Query;
use super::rule::Rule;
use crate::access::Prefixes;
use crate::cache::{self, Cache, Entry, Lookup};
use crate::view::LeaseTime;
use crate::view::wire::Name;
use crate::view::zones::{Kind, types};

/// For whom names of others are looked up. The default is: for nobody.
#[derive(Debug, Default)]
pub struct Recursion {
    /// Clients by their addresses.
    pub allow: Prefixes,
    /// What upstream said; `None`: nobody is asked.
    pub cache: Option<Arc<Cache>>,
}

impl Recursion {
    /// The cache, if such names are looked up for `client`.
    #[inline]
    pub fn cache_for(&self, client: IpAddr) -> Option<&Cache> {
        self.cache.as_deref().filter(|_| self.allow.contains(client))
    }
}

/// What was learnt for one query, beside the cache: an answer that holds for no time is in none.
#[derive(Debug, Clone)]
pub struct Known {
    /// What it answers, see [`Wanted`].
    pub wanted: Wanted,
    /// The answer.
    pub entry: Arc<Entry>,
    /// Who gave it.
    pub rule: Rule,
}

/// A question of others that has to be asked upstream before a query can be answered: the query's own, or one that an
/// alias leads to.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The name.
    pub name: Name,
    /// The type.
    pub rtype: u16,
    /// Whether the client wants signatures.
    pub dnssec_ok: bool,
    /// Whether the client wants what fails validation as well.
    pub checking_disabled: bool,
}

impl Wanted {
    /// The question as the cache is asked it.
    pub fn question(&self) -> cache::Question<'_> {
        let Self { name, rtype, dnssec_ok, checking_disabled } = self;
        let (rtype, dnssec_ok, checking_disabled) = (*rtype, *dnssec_ok, *checking_disabled);
        cache::Question { name, rtype, dnssec_ok, checking_disabled }
    }

    fn is(&self, other: &cache::Question<'_>) -> bool {
        self.rtype == other.rtype && self.name.wire() == other.name.wire()
    }
}

/// How much is made of what the cache has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// What holds is an answer, and what no longer does if upstream has failed just now.
    Usual,
    /// What no longer holds is an answer, for upstream has been waited for.
    Stale,
    /// What ends soon is asked for anew.
    Refresh,
}

/// What a query that leads beyond our zones is answered from.
#[derive(Clone, Copy)]
pub struct Beyond<'a, 'c> {
    /// What is known already.
    pub cache: &'c Cache,
    /// The cache as it is, once it was looked at.
    pub reader: &'a OnceCell<cache::Reader<'c>>,
    /// What was learnt for this query.
    pub known: &'a [Known],
    /// How much is made of what there is.
    pub mode: Mode,
    /// The moment.
    pub now: LeaseTime,
}

/// What there is to answer a question of others.
#[derive(Debug, Clone, Copy)]
pub struct Found<'a> {
    /// The answer.
    pub entry: &'a Entry,
    /// Whether it holds.
    pub age: Age,
    /// Who gave it.
    pub rule: Rule,
    /// Whether it is to be asked for anew all the same.
    pub is_due: bool,
}

impl<'a> Beyond<'a, '_> {
    /// What there is for a question; `None`: it has to be asked.
    #[inline]
    pub fn find(&self, question: cache::Question<'_>) -> Option<Found<'a>> {
        // What was learnt just now goes before what is remembered, unless it is that nothing was.
        let known = self.known(&question);
        if let Some(learnt) = known.filter(|known| !known.entry.is_failure()) {
            return Some(learnt);
        }
        let reader = self.reader.get_or_init(|| self.cache.read());
        let found = |entry, age, is_due| Some(Found { entry, age, rule: Rule::Cache, is_due });
        match (reader.look_up(question, self.now), self.mode) {
            (Lookup::Fresh(entry) | Lookup::Due(entry), Mode::Refresh)
                if entry.is_ending(self.now) =>
            {
                known
            }
            (Lookup::Fresh(entry), _) => found(entry, Age::Fresh, false),
            (Lookup::Due(entry), _) => found(entry, Age::Fresh, true),
            (Lookup::Stale { entry, has_failed: true }, _)
            | (Lookup::Stale { entry, .. }, Mode::Stale) => found(entry, Age::Stale, false),
            // It was asked just now, in vain.
            (Lookup::Stale { entry, .. }, _) if known.is_some() => found(entry, Age::Stale, false),
            (Lookup::Failed(entry), _) => found(entry, Age::Fresh, false),
            (Lookup::Stale { .. } | Lookup::Nothing, _) => known,
        }
    }

    fn known(&self, question: &cache::Question<'_>) -> Option<Found<'a>> {
        let known = self.known.iter().find(|known| known.wanted.is(question))?;
        Some(Found { entry: &known.entry, age: Age::Fresh, rule: known.rule, is_due: false })
    }
}

/// The question to upstream for a name that a query leads to.
pub fn question<'n>(query: &Query<'_>, name: &'n Name, rtype: u16) -> cache::Question<'n> {
    let dnssec_ok = query.edns.is_some_and(|edns| edns.dnssec_ok);
    cache::Question { name, rtype, dnssec_ok, checking_disabled: query.cd != 0 }
}

impl Answer<'_> {
    /// Whether others may have more to say than we do: to a name that is not ours, an alias of such a name, what we have
    /// delegated, an address of which we know no instance.
    #[inline]
    pub fn leads_beyond(&self) -> bool {
        match &self.end {
            End::NotOurs | End::Alias | End::Referral { .. } => true,
            End::NoData(zone) | End::NoName(zone) => zone.kind() == Kind::Reverse,
            _ => false,
        }
    }
}

/// Whether a type can be asked of others.
pub fn can_be_asked(rtype: u16) -> bool {
    !types::is_meta(rtype)
}
