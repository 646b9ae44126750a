//! What entries are found by: the question, and what an entry is good for.

use crate::view::Sought;
use crate::view::wire::{MAX_NAME, Name};

/// Octets of a key after the name: the type, the marks.
const TRAILER: usize = 3;

/// DO was set (RFC 3225): the entry has signatures.
const DNSSEC_OK: u8 = 0x01;
/// CD was set (RFC 4035, section 3.2.2): nobody may have checked the entry.
const CHECKING_DISABLED: u8 = 0x02;
/// The name does not exist, whatever type is asked for.
const NO_NAME: u8 = 0x04;
/// Upstream failed.
const FAILURE: u8 = 0x08;

/// A question to upstream, of class IN.
#[derive(Debug, Clone, Copy)]
pub struct Question<'n> {
    /// The name.
    pub name: &'n Name,
    /// The type.
    pub rtype: u16,
    /// Whether the client wants signatures.
    pub dnssec_ok: bool,
    /// Whether the client wants what fails validation as well.
    pub checking_disabled: bool,
}

/// What an entry is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The question's type.
    Type,
    /// All types of the question's name (RFC 2308, section 5), but no other name: what is below a name that does
    /// not exist upstream may be ours, so nothing is concluded from it (no RFC 8020).
    Name,
    /// The question, as long as upstream is not asked again (RFC 9520, section 3.2).
    Failure,
}

/// A key, on the stack: the name in lower-case wire form, the type, the marks.
pub struct Room {
    octets: [u8; MAX_NAME + TRAILER],
    name: usize,
    marks: u8,
    rtype: u16,
}

impl Room {
    /// The room for the keys of a question.
    #[inline]
    pub fn new(question: Question<'_>) -> Self {
        let mut octets = [0; MAX_NAME + TRAILER];
        let name = question.name.wire();
        if let Some(place) = octets.get_mut(..name.len()) {
            place.copy_from_slice(name);
        }
        let marks = if question.dnssec_ok { DNSSEC_OK } else { 0 }
            | if question.checking_disabled { CHECKING_DISABLED } else { 0 };
        Self { octets, name: name.len(), marks, rtype: question.rtype }
    }

    /// The key of an entry of a scope.
    #[inline]
    pub fn key(&mut self, scope: Scope) -> Sought<'_> {
        let (rtype, mark) = match scope {
            Scope::Type => (self.rtype, 0),
            Scope::Name => (0, NO_NAME),
            Scope::Failure => (self.rtype, FAILURE),
        };
        let [high, low] = rtype.to_be_bytes();
        let end = self.name + TRAILER;
        if let Some(place) = self.octets.get_mut(self.name..end) {
            place.copy_from_slice(&[high, low, self.marks | mark]);
        }
        Sought::new(self.octets.get(..end).unwrap_or_default())
    }
}

/// The name in a key.
pub fn name_of(key: &[u8]) -> &[u8] {
    key.get(..key.len().saturating_sub(TRAILER)).unwrap_or_default()
}
