//! An entry's records one by one, with their names written out: for a reply in which they stand elsewhere than after
//! the entry's own question.

use super::entry::{Entry, Mark, Section};
use super::layout::{self, Field};
use crate::view::wire::{MAX_LABELS, MAX_NAME, Name};

/// Octets of a message before its records that are not the question's name: header, type and class (RFC 1035, section
/// 4.1).
const HEADER: usize = 12;
const TYPE_CLASS: usize = 4;
/// Octets of a record between its owner and its data: type, class, TTL, length.
const RECORD_FIXED: usize = 10;
const POINTER: u16 = 0xc000;

/// A record of an entry.
#[derive(Debug, Clone)]
pub struct Record<'e> {
    /// The section that it is in.
    pub section: Section,
    /// Whose it is.
    pub owner: WrittenName,
    /// Its type.
    pub rtype: u16,
    /// Its TTL when it came.
    pub ttl: u32,
    before: &'e [u8],
    names: [WrittenName; 2],
    after: &'e [u8],
}

/// An uncompressed name in wire form, its case as it came.
#[derive(Debug, Clone)]
pub struct WrittenName {
    octets: [u8; MAX_NAME],
    len: usize,
}

impl WrittenName {
    const NONE: Self = Self { octets: [0; MAX_NAME], len: 0 };

    /// Its octets, the root's included.
    pub fn wire(&self) -> &[u8] {
        self.octets.get(..self.len).unwrap_or_default()
    }

    fn put(&mut self, octets: &[u8]) -> Option<()> {
        let end = self.len + octets.len();
        self.octets.get_mut(self.len..end)?.copy_from_slice(octets);
        self.len = end;
        Some(())
    }
}

impl Record<'_> {
    /// The octets of its data, which are these parts one after the other.
    pub fn data(&self) -> [&[u8]; 4] {
        let [one, other] = &self.names;
        [self.before, one.wire(), other.wire(), self.after]
    }
}

impl Entry {
    /// Its records in their order.
    pub fn each(&self) -> impl Iterator<Item = Record<'_>> {
        let mut start = 0;
        self.marks().iter().map_while(move |mark| {
            let record = self.record(start, mark);
            start = usize::from(mark.end);
            record
        })
    }

    /// The name that has to be asked for, if it leads on to one.
    pub fn leads_to(&self) -> Option<Name> {
        let record = self.each().last().filter(|_| self.head().leads_on)?;
        Name::read(record.names.first()?.wire())
    }

    /// The record that stands from `start` of the records on.
    fn record(&self, start: usize, mark: &Mark) -> Option<Record<'_>> {
        let all = self.records();
        let mut owner = WrittenName::NONE;
        let at = self.write_name(start, &mut owner)?;
        let fixed = all.get(at..at + RECORD_FIXED)?;
        let (rtype, ttl) = (fixed.first_chunk()?, fixed.get(4..8)?.first_chunk()?);
        let rtype = u16::from_be_bytes(*rtype);
        let (from, end) = (at + RECORD_FIXED, usize::from(mark.end));
        let mut names = [WrittenName::NONE; 2];
        let mut places = names.iter_mut();
        let (mut before, mut at) = (from, from);
        if layout::may_be_compressed(rtype) {
            for field in layout::fields(rtype) {
                match field {
                    Field::Octets(octets) => {
                        at += octets;
                        before = at;
                    }
                    Field::Name => at = self.write_name(at, places.next()?)?,
                    Field::Text => return None, // no such type may be compressed
                }
            }
        }
        Some(Record {
            section: mark.section,
            owner,
            rtype,
            ttl: u32::from_be_bytes(*ttl),
            before: all.get(from..before)?,
            names,
            after: all.get(at..end)?,
        })
    }

    /// Writes out the name that stands at `at` of the records, and says what stands behind it. Pointers were made by us
    /// and lead backward, to what stands before or into the question.
    fn write_name(&self, at: usize, name: &mut WrittenName) -> Option<usize> {
        let question = HEADER + self.name().len();
        let start = question + TYPE_CLASS;
        let (mut at, mut after) = (at + start, None);
        // A label or a pointer a turn.
        for _ in 0..=2 * MAX_LABELS {
            let here = match at.checked_sub(start) {
                Some(at) => self.records().get(at..)?,
                None => self.name().get(at.checked_sub(HEADER)?..)?,
            };
            match *here {
                [0, ..] => {
                    name.put(&[0])?;
                    return Some(after.unwrap_or(at + 1) - start);
                }
                [high @ (0xc0..), low, ..] => {
                    after = after.or(Some(at + 2));
                    at = usize::from(u16::from_be_bytes([high, low]) & !POINTER);
                }
                [length, ..] => {
                    let label = here.get(..=usize::from(length))?;
                    name.put(label)?;
                    at += label.len();
                }
                [] => return None,
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::{Draft, Question, RRset, Scope};
    use crate::view::{LeaseTime, wire};

    fn name(text: &str) -> Vec<u8> {
        wire::parse(text, b"\0").unwrap().to_vec()
    }

    #[test]
    fn records_come_out_as_they_went_in() {
        let asked = Name::read(&name("www.example.")).unwrap();
        let question =
            Question { name: &asked, rtype: 1, dnssec_ok: false, checking_disabled: false };
        let soa = [name("ns.Example."), name("www.web.example."), vec![7; 20]].concat();
        let mx = [vec![0, 10], name("mail.example.")].concat();
        let srv = [vec![0, 1, 0, 2, 0, 80], name("web.example.")].concat();
        let sets = [
            (Section::Answer, "www.example.", 5, vec![name("web.example.")]),
            (Section::Answer, "web.example.", 15, vec![mx.clone(), mx]),
            (Section::Answer, "web.example.", 33, vec![srv]),
            (Section::Answer, "web.example.", 16, vec![b"\x02hi".to_vec(), vec![0]]),
            (Section::Authority, "example.", 6, vec![soa]),
        ];
        let mut draft = Draft::new(question);
        for (section, owner, rtype, rdata) in &sets {
            let (section, owner, rtype) = (*section, &*name(owner), *rtype);
            draft.add(&RRset { section, owner, rtype, ttl: 60, rdata }).unwrap();
        }
        let entry = draft.finish(0, false, Scope::Type, LeaseTime::default(), 60);
        let went_in = sets.iter().flat_map(|(section, owner, rtype, rdata)| {
            rdata.iter().map(|data| (*section, name(owner), *rtype, 60, data.clone()))
        });
        let came_out = entry.each().map(|record| {
            let (section, owner) = (record.section, record.owner.wire().to_vec());
            (section, owner, record.rtype, record.ttl, record.data().concat())
        });
        assert_eq!(came_out.collect::<Vec<_>>(), went_in.collect::<Vec<_>>());
        assert!(entry.leads_to().is_none());
    }

    #[test]
    fn an_alias_may_lead_on() {
        let asked = Name::read(&name("www.example.")).unwrap();
        let question =
            Question { name: &asked, rtype: 1, dnssec_ok: false, checking_disabled: false };
        let mut draft = Draft::new(question);
        let (owner, rdata) = (name("www.example."), [name("Web.ours.example.")]);
        let (section, owner) = (Section::Answer, &*owner);
        draft.add(&RRset { section, owner, rtype: 5, ttl: 60, rdata: &rdata }).unwrap();
        draft.leads_on();
        let entry = draft.finish(0, false, Scope::Type, LeaseTime::default(), 60);
        assert_eq!(entry.leads_to().unwrap().wire(), name("web.ours.example."));
    }
}
