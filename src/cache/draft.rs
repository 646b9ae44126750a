//! An entry as it grows, record by record, with its names compressed.

use super::entry::{Entry, Head, Mark, Section};
use super::key::{Question, Room, Scope};
use super::layout::{self, Field};
use crate::view::LeaseTime;
use crate::view::wire::MAX_LABELS;

/// Octets of a header (RFC 1035, section 4.1.1), and of a question's type and class.
const HEADER: usize = 12;
const TYPE_CLASS: usize = 4;
/// Octets of a message at most (RFC 1035, section 4.2.2), less those of an OPT record with an extended error.
const MOST: usize = 65_535 - 17;
/// Compression pointers reach so far (RFC 1035, section 4.1.4).
const POINTER_REACH: usize = 0x4000;
const POINTER: u16 = 0xc000;
/// Names that a pointer may lead to, at most. Each name that is written is compared with all of them: this bounds
/// the work (CVE-2024-8508), and is more than an answer to one question needs.
const MOST_SUFFIXES: usize = 64;
const CLASS_IN: u16 = 1;

/// Seconds that an entry holds at most: a day. RFC 8767, section 4, recommends a cap, and a week for it.
pub const MOST_LIFE_SECS: u32 = 86_400;
/// Seconds that it holds at most that there is nothing (RFC 2308, section 5: one to three hours).
pub const MOST_NEGATIVE_SECS: u32 = 3 * 3600;

/// The reply is longer than a message may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLong;

/// How letters are compared when a name is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Letters {
    /// Of owners: their case says nothing (RFC 4343).
    Alike,
    /// Of names in data, which people see.
    Exact,
}

/// An RRset for an entry.
#[derive(Debug, Clone, Copy)]
pub struct RRset<'r> {
    /// Where it stands.
    pub section: Section,
    /// Whose it is: an uncompressed name.
    pub owner: &'r [u8],
    /// Its type.
    pub rtype: u16,
    /// Its TTL, as upstream says.
    pub ttl: u32,
    /// Its records' data, without compressed names.
    pub rdata: &'r [Vec<u8>],
}

/// An entry to be.
pub struct Draft<'q> {
    question: Question<'q>,
    /// A reply with an empty header, and the question in lower case.
    message: Vec<u8>,
    start: usize,
    marks: Vec<Mark>,
    suffixes: Vec<usize>,
    least_ttl: u32,
    leads_on: bool,
    error: u16,
}

impl<'q> Draft<'q> {
    /// An entry without records.
    pub fn new(question: Question<'q>) -> Self {
        let mut draft = Self {
            question,
            message: vec![0; HEADER],
            start: 0,
            marks: Vec::new(),
            suffixes: Vec::new(),
            least_ttl: MOST_LIFE_SECS,
            leads_on: false,
            error: 0,
        };
        draft.put_name(question.name.wire(), Letters::Exact);
        draft.message.extend([0; TYPE_CLASS]);
        draft.start = draft.message.len();
        draft
    }

    /// Appends an RRset. Its TTL is capped.
    pub fn add(&mut self, rrset: &RRset<'_>) -> Result<(), TooLong> {
        let ttl = rrset.ttl.min(MOST_LIFE_SECS);
        for rdata in rrset.rdata {
            self.add_record(rrset, ttl, rdata).ok_or(TooLong)?;
        }
        if let Some(last) = self.marks.last_mut() {
            last.is_last = true;
            self.least_ttl = self.least_ttl.min(ttl);
        }
        Ok(())
    }

    fn add_record(&mut self, rrset: &RRset<'_>, ttl: u32, rdata: &[u8]) -> Option<()> {
        self.put_name(rrset.owner, Letters::Alike);
        self.message.extend(rrset.rtype.to_be_bytes());
        self.message.extend(CLASS_IN.to_be_bytes());
        let ttl_at = u16::try_from(self.message.len() - self.start).ok()?;
        self.message.extend(ttl.to_be_bytes());
        let length_at = self.message.len();
        self.message.extend([0; 2]);
        self.put_data(rrset.rtype, rdata);
        let length = u16::try_from(self.message.len() - length_at - 2).ok()?;
        self.message.get_mut(length_at..length_at + 2)?.copy_from_slice(&length.to_be_bytes());
        let end = u16::try_from(self.message.len() - self.start).ok()?;
        self.marks.push(Mark { ttl: ttl_at, end, section: rrset.section, is_last: false });
        (self.message.len() <= MOST).then_some(())
    }

    fn put_data(&mut self, rtype: u16, rdata: &[u8]) {
        let mut rest = rdata;
        let fields = if layout::may_be_compressed(rtype) { layout::fields(rtype) } else { &[] };
        for field in fields {
            let length = match field {
                Field::Octets(octets) => Some(*octets),
                Field::Text => rest.first().map(|length| 1 + usize::from(*length)),
                Field::Name => layout::name_len(rest),
            };
            let Some((part, after)) = length.and_then(|length| rest.split_at_checked(length))
            else {
                break; // whoever has made the draft has seen to it that the data fits its type
            };
            match field {
                Field::Name => self.put_name(part, Letters::Exact),
                Field::Octets(_) | Field::Text => self.message.extend(part),
            }
            rest = after;
        }
        self.message.extend(rest);
    }

    /// Appends a name, of which so much is a pointer as stands in the message already. Names in data are led to the
    /// question's only if they are in lower case: they then stand in the client's case, which it will not mind.
    fn put_name(&mut self, name: &[u8], letters: Letters) {
        let mut rest = name;
        while let Some((label, after)) = split_label(rest) {
            if let Some(at) = self.find(rest, letters) {
                self.message.extend((POINTER | at).to_be_bytes());
                return;
            }
            let at = self.message.len();
            if at < POINTER_REACH && self.suffixes.len() < MOST_SUFFIXES {
                self.suffixes.push(at);
            }
            self.message.extend(label);
            rest = after;
        }
        self.message.push(0);
    }

    /// Where a name stands that is not the root.
    fn find(&self, name: &[u8], letters: Letters) -> Option<u16> {
        let at = self.suffixes.iter().find(|at| self.stands_at(**at, name, letters))?;
        u16::try_from(*at).ok()
    }

    fn stands_at(&self, at: usize, name: &[u8], letters: Letters) -> bool {
        let (mut at, mut rest) = (at, name);
        // A label or a pointer a turn.
        for _ in 0..=2 * MAX_LABELS {
            match self.message.get(at..) {
                Some(&[high @ (0xc0..), low, ..]) => {
                    at = usize::from(u16::from_be_bytes([high, low]) & !POINTER);
                }
                Some([0, ..]) => return rest == [0],
                Some(here) => {
                    let (Some((one, _)), Some((other, after))) =
                        (split_label(here), split_label(rest))
                    else {
                        return false;
                    };
                    let same = match letters {
                        Letters::Alike => one.eq_ignore_ascii_case(other),
                        Letters::Exact => one == other,
                    };
                    if !same {
                        return false;
                    }
                    (at, rest) = (at + one.len(), after);
                }
                None => return false,
            }
        }
        false
    }

    /// The least TTL of its RRsets.
    pub fn least_ttl(&self) -> u32 {
        self.least_ttl
    }

    /// Its last record is an alias of a name that has to be asked for.
    pub fn leads_on(&mut self) {
        self.leads_on = true;
    }

    /// Why it is not what was asked for: the code of an extended error (RFC 8914, section 4).
    pub fn because(mut self, error: u16) -> Self {
        self.error = error;
        self
    }

    /// The entry of a reply that came at `now` and holds for `life_secs`.
    pub fn finish(
        self,
        rcode: u8,
        is_authentic: bool,
        scope: Scope,
        now: LeaseTime,
        life_secs: u32,
    ) -> Entry {
        let Self { leads_on, error, .. } = self;
        let head = Head { rcode, is_authentic, scope, stored: now, life_secs, leads_on, error };
        let mut room = Room::new(self.question);
        let key = room.key(scope);
        let records = self.message.get(self.start..).unwrap_or_default();
        Entry::new(key.octets(), key.hashed(), records, self.marks, head)
    }
}

/// The first label of a name, its length octet included, and what is after it; `None` for the root.
fn split_label(name: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = usize::from(*name.first().filter(|length| **length != 0)?);
    name.split_at_checked(1 + length)
}
