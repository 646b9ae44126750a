//! A message as it grows: records that fit whole, or not at all.

use crate::view::wire::Name;

/// Octets of a record between its owner and its data: type, class, TTL, length.
const RECORD_FIXED: usize = 10;
/// Compression pointers reach so far (RFC 1035, section 4.1.4).
const POINTER_REACH: usize = 0x4000;
const POINTER: u16 = 0xc000;
const CLASS_IN: u16 = 1;

/// Nothing more fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

/// The sections that hold records (RFC 1035, section 4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// The answer.
    Answer,
    /// Who answers, or says that there is nothing.
    Authority,
    /// What helps.
    Additional,
}

/// Writes a message into a buffer, up to a limit.
pub struct Writer<'b> {
    out: &'b mut [u8],
    len: usize,
    limit: usize,
    counts: [u16; 3],
}

/// Whose a record is.
#[derive(Debug, Clone, Copy)]
pub enum Owner<'n> {
    /// The uncompressed name that stands there in the message.
    At(usize),
    /// This uncompressed name.
    Name(&'n [u8]),
}

/// A point to go back to.
#[derive(Clone, Copy)]
pub struct Mark {
    len: usize,
    counts: [u16; 3],
}

impl<'b> Writer<'b> {
    /// A writer of at most `limit` octets.
    pub fn new(out: &'b mut [u8], limit: usize) -> Self {
        let limit = limit.min(out.len());
        Self { out, len: 0, limit, counts: [0; 3] }
    }

    /// How many octets there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// How many records each section has.
    pub fn counts(&self) -> [u16; 3] {
        self.counts
    }

    /// How many octets still fit.
    #[inline]
    pub fn room(&self) -> usize {
        self.limit.saturating_sub(self.len)
    }

    /// Whether a compression pointer reaches the name at `at`.
    pub fn reaches(&self, at: usize) -> bool {
        at < POINTER_REACH
    }

    /// Appends `count` whole records as they stand.
    #[inline]
    pub fn put_records(
        &mut self,
        section: Section,
        count: usize,
        octets: &[u8],
    ) -> Result<(), Full> {
        self.put(octets)?;
        self.add_to(section, count)
    }

    /// Appends a record that stands in two parts.
    #[inline]
    pub fn put_record(&mut self, section: Section, one: &[u8], other: &[u8]) -> Result<(), Full> {
        let (middle, end) = (self.len + one.len(), self.len + one.len() + other.len());
        if end > self.limit {
            return Err(Full);
        }
        let place = self.out.get_mut(self.len..end).ok_or(Full)?;
        let (first, second) = place.split_at_mut_checked(middle - self.len).ok_or(Full)?;
        first.copy_from_slice(one);
        second.copy_from_slice(other);
        self.len = end;
        self.add_to(section, 1)
    }

    /// Counts records. No message has room for more than can be counted.
    #[inline]
    fn add_to(&mut self, section: Section, count: usize) -> Result<(), Full> {
        let records = self.counts.get_mut(section as usize).ok_or(Full)?;
        let count = u16::try_from(count).ok().and_then(|count| records.checked_add(count));
        *records = count.ok_or(Full)?;
        Ok(())
    }

    /// Moves the limit by the room that was kept.
    pub fn give_room(&mut self, octets: usize) {
        self.limit = (self.limit + octets).min(self.out.len());
    }

    /// Where the message is now.
    pub fn mark(&self) -> Mark {
        Mark { len: self.len, counts: self.counts }
    }

    /// Takes everything after `mark` back.
    pub fn go_back(&mut self, mark: Mark) {
        self.len = mark.len;
        self.counts = mark.counts;
    }

    /// Appends octets.
    pub fn put(&mut self, octets: &[u8]) -> Result<(), Full> {
        let end = self.len + octets.len();
        if end > self.limit {
            return Err(Full);
        }
        self.out.get_mut(self.len..end).ok_or(Full)?.copy_from_slice(octets);
        self.len = end;
        Ok(())
    }

    /// The uncompressed name that stands at `at`.
    pub fn name_at(&self, at: usize) -> Option<Name> {
        Name::read(self.out.get(at..self.len)?)
    }

    /// The octets from `start` to `end`; none if there are not as many.
    pub fn written(&self, start: usize, end: usize) -> &[u8] {
        self.out.get(start..end.min(self.len)).unwrap_or_default()
    }

    /// The same, to be changed.
    pub fn written_mut(&mut self, start: usize, end: usize) -> &mut [u8] {
        self.out.get_mut(start..end.min(self.len)).unwrap_or_default()
    }

    /// Overwrites octets.
    pub fn set(&mut self, at: usize, octets: &[u8]) {
        if let Some(place) = self.out.get_mut(at..at + octets.len()) {
            place.copy_from_slice(octets);
        }
    }

    /// Appends a record, whole or not at all, and says where its data begins. Its owner is the uncompressed
    /// name that stands at `owner` in the message; its data is the concatenation of `rdata`.
    pub fn record(
        &mut self,
        section: Section,
        owner: usize,
        rtype: u16,
        ttl: u32,
        rdata: &[&[u8]],
    ) -> Result<usize, Full> {
        self.record_of(section, Owner::At(owner), rtype, ttl, rdata)
    }

    /// Appends a record as [`record`](Self::record) does, whoever its owner is.
    pub fn record_of(
        &mut self,
        section: Section,
        owner: Owner<'_>,
        rtype: u16,
        ttl: u32,
        rdata: &[&[u8]],
    ) -> Result<usize, Full> {
        let mark = self.mark();
        let written = self.try_record(owner, rtype, ttl, rdata);
        match (&written, self.counts.get_mut(section as usize)) {
            (Ok(_), Some(count)) if *count < u16::MAX => *count += 1,
            _ => {
                self.go_back(mark);
                return Err(Full);
            }
        }
        written
    }

    fn try_record(
        &mut self,
        owner: Owner<'_>,
        rtype: u16,
        ttl: u32,
        rdata: &[&[u8]],
    ) -> Result<usize, Full> {
        let length: usize = rdata.iter().map(|part| part.len()).sum();
        let length = u16::try_from(length).map_err(|_| Full)?;
        match owner {
            Owner::At(at) => self.put_owner(at)?,
            Owner::Name(name) => self.put(name)?,
        }
        let mut fixed = [0; RECORD_FIXED];
        fixed[..2].copy_from_slice(&rtype.to_be_bytes());
        fixed[2..4].copy_from_slice(&CLASS_IN.to_be_bytes());
        fixed[4..8].copy_from_slice(&ttl.to_be_bytes());
        fixed[8..].copy_from_slice(&length.to_be_bytes());
        self.put(&fixed)?;
        let start = self.len;
        for part in rdata {
            self.put(part)?;
        }
        Ok(start)
    }

    fn put_owner(&mut self, owner: usize) -> Result<(), Full> {
        match u16::try_from(owner) {
            Ok(pointer) if owner < POINTER_REACH => self.put(&(POINTER | pointer).to_be_bytes()),
            _ => self.copy_name(owner),
        }
    }

    /// Appends a copy of the uncompressed name at `from`.
    fn copy_name(&mut self, from: usize) -> Result<(), Full> {
        let name = self.name_at(from).ok_or(Full)?;
        self.put(name.wire())
    }

    /// Where the data of the record at `at` lies, whose owner is a pointer; the next record begins at its end.
    pub fn rdata_of(&self, at: usize) -> Option<std::ops::Range<usize>> {
        let fixed = self.out.get(at + 2..at + 2 + RECORD_FIXED)?;
        let length = u16::from_be_bytes(*fixed.last_chunk()?);
        let start = at + 2 + RECORD_FIXED;
        Some(start..start + usize::from(length))
    }

    /// Gives `count` records from `at` on, whose owners are pointers, one TTL.
    pub fn set_ttls(&mut self, at: usize, count: usize, ttl: u32) {
        let mut at = at;
        for _ in 0..count {
            let Some(rdata) = self.rdata_of(at) else { return };
            self.set(at + 6, &ttl.to_be_bytes());
            at = rdata.end;
        }
    }
}
