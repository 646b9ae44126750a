//! A question as an upstream is asked it, and which replies are replies to it.
//!
//! What comes from the network is only read as far as it has to be known that it belongs to the query and is a
//! message: header, question, and the lengths of its records. What the records say is judged by whoever asks.

use std::io;

use ring::rand::{SecureRandom, SystemRandom};

use crate::view::wire::{MAX_LABELS, MAX_NAME, Name};
use crate::view::zones::types;

/// Octets of a header (RFC 1035, section 4.1.1).
pub const HEADER: usize = 12;
/// What a datagram may hold that is sent to us: no path has a smaller MTU with IPv6, and so no fragment is needed,
/// which could be forged (RFC 9715, section 3.2).
pub const UDP_PAYLOAD: u16 = 1232;

/// Response codes (RFC 1035, section 4.1.1).
pub const NOERROR: u8 = 0;
/// The query could not be read.
pub const FORMERR: u8 = 1;
/// The name does not exist.
pub const NXDOMAIN: u8 = 3;
/// There is no such thing here as was asked for.
pub const NOTIMP: u8 = 4;

const CLASS_IN: [u8; 2] = [0, 1];
/// Octets after the name: type and class.
pub(super) const TYPE_AND_CLASS: usize = 4;
/// Octets of a record after its name: type, class, TTL and the length of its data (RFC 1035, section 4.1.3).
pub(super) const RECORD_FIXED: usize = 10;

/// The first octet of the flags: QR, the opcode, TC, RD.
const QR: u8 = 0x80;
const OPCODE: u8 = 0x78;
const TC: u8 = 0x02;
const RD: u8 = 0x01;
/// The second octet of the flags has RA, AD and CD (RFC 4035, section 3.2) and the response code.
const RA: u8 = 0x80;
const AD: u8 = 0x20;
const CD: u8 = 0x10;
const RCODE: u8 = 0x0f;
/// The option that fills a message up (RFC 7830, section 3), and the octets of its code and length.
const PADDING: u16 = 12;
const OPTION_FIXED: usize = 4;
/// Octets of which a query is a multiple where nobody else can read it, so that its length says little of the name
/// (RFC 8467, section 4.1).
const PADDED_TO: usize = 128;
/// DO, in the upper octet of the OPT record's flags (RFC 3225, section 3).
const DO: u8 = 0x80;

/// What is asked of an upstream, in class IN. Those that are equal are asked once.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Question {
    name: Box<[u8]>,
    /// The type.
    pub rtype: u16,
    /// RD: without it an upstream says what it has.
    pub recursion_desired: bool,
    /// DO: signatures are wanted.
    pub dnssec_ok: bool,
    /// CD: who asks validates by itself.
    pub checking_disabled: bool,
}

impl Question {
    /// A question for the records of `rtype` at `name`, with RD and neither DO nor CD.
    pub fn new(name: &Name, rtype: u16) -> Self {
        Self {
            name: name.wire().into(),
            rtype,
            recursion_desired: true,
            dnssec_ok: false,
            checking_disabled: false,
        }
    }

    /// The name, in lower-case wire form with the root.
    pub fn name(&self) -> &[u8] {
        &self.name
    }
}

/// The case of a name's letters in a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Letters {
    /// Each by chance (draft-vixie-dnsext-dns0x20): one more bit that a forger has to guess.
    Random,
    /// All lower: for an upstream that does not keep them.
    Lower,
}

/// A question as it is sent, with its id and letters.
#[derive(Debug, Clone)]
pub struct Query {
    octets: Vec<u8>,
    /// Where the question ends.
    question_end: usize,
}

/// How a reply belongs to a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Matched {
    /// The name's letters are as they were sent.
    pub letters_kept: bool,
    /// TC: there is more than the datagram had room for.
    pub truncated: bool,
}

impl Query {
    /// Whether a letter is not lower: only then does it say something that a reply has it as it was.
    pub fn has_upper_letters(&self) -> bool {
        let name = self.octets.get(HEADER..self.question_end - TYPE_AND_CLASS);
        // The octets with labels' lengths are at most 63, and no letters.
        name.unwrap_or_default().iter().any(u8::is_ascii_uppercase)
    }

    /// The question with a random id.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn new(question: &Question, letters: Letters) -> io::Result<Self> {
        let [id0, id1, coins @ ..] = random::<{ 2 + MAX_NAME.div_ceil(8) }>()?;
        let mut octets = Vec::with_capacity(HEADER + question.name.len() + 16);
        let flags = if question.recursion_desired { RD } else { 0 };
        // AD asks for AD (RFC 6840, section 5.7): who validates says so, and clients that wish are told.
        let more_flags = AD | if question.checking_disabled { CD } else { 0 };
        octets.extend_from_slice(&[id0, id1, flags, more_flags, 0, 1, 0, 0, 0, 0, 0, 1]);
        octets.extend_from_slice(&question.name);
        if letters == Letters::Random {
            toss(octets.get_mut(HEADER..).unwrap_or_default(), &coins);
        }
        octets.extend_from_slice(&question.rtype.to_be_bytes());
        octets.extend_from_slice(&CLASS_IN);
        let question_end = octets.len();
        // OPT (RFC 6891, section 6.1.2): root, type, payload, extended RCODE, version 0, DO, no options.
        octets.push(0);
        octets.extend_from_slice(&types::OPT.to_be_bytes());
        octets.extend_from_slice(&UDP_PAYLOAD.to_be_bytes());
        octets.extend_from_slice(&[0, 0, if question.dnssec_ok { DO } else { 0 }, 0, 0, 0]);
        Ok(Self { octets, question_end })
    }

    /// Fills the query up to a multiple of 128 octets (RFC 8467), for an encrypted connection. Once is enough.
    pub fn pad(&mut self) {
        let filled = (self.octets.len() + OPTION_FIXED).next_multiple_of(PADDED_TO);
        let fill = filled - self.octets.len() - OPTION_FIXED;
        let (Ok(length), Ok(data)) = (u16::try_from(fill), u16::try_from(fill + OPTION_FIXED))
        else {
            return;
        };
        // The OPT record is the last, and so is the length of its data, which was 0.
        self.octets.truncate(self.octets.len() - size_of::<u16>());
        self.octets.extend_from_slice(&data.to_be_bytes());
        self.octets.extend_from_slice(&PADDING.to_be_bytes());
        self.octets.extend_from_slice(&length.to_be_bytes());
        self.octets.resize(filled, 0);
    }

    /// The same query for an upstream that does not know EDNS (RFC 6891, section 7).
    #[must_use]
    pub fn without_edns(mut self) -> Self {
        self.octets.truncate(self.question_end);
        if let Some(additional) = self.octets.get_mut(HEADER - 1) {
            *additional = 0;
        }
        self
    }

    /// Whether an OPT record goes with it.
    pub fn has_edns(&self) -> bool {
        self.octets.len() > self.question_end
    }

    /// Whether `reply` says that the query was not understood, without saying what was asked: servers of before EDNS do
    /// so. It is no answer to anything, and nothing more may be concluded than that it may be asked again in plainer words.
    pub fn is_not_understood(&self, reply: &[u8]) -> bool {
        let Some(&[_, _, flags, more_flags, 0, 0, ..]) = reply.first_chunk::<HEADER>() else {
            return false;
        };
        let is_a_reply = flags & (QR | OPCODE) == QR && id(reply) == id(&self.octets);
        is_a_reply && matches!(more_flags & RCODE, FORMERR | NOTIMP)
    }

    /// The message.
    pub fn octets(&self) -> &[u8] {
        &self.octets
    }

    /// The id.
    pub fn id(&self) -> u16 {
        id(&self.octets).unwrap_or_default()
    }

    /// The same query with another id, for a connection that has the id under way already.
    pub fn set_id(&mut self, id: u16) {
        if let Some(place) = self.octets.first_chunk_mut() {
            *place = id.to_be_bytes();
        }
    }

    /// How `reply` belongs to this query; `None`: it does not, or it is no message (RFC 5452, section 9.1).
    pub fn matches(&self, reply: &[u8]) -> Option<Matched> {
        let &[_, _, flags, _, q0, q1, ref counts @ ..] = reply.first_chunk::<HEADER>()?;
        if id(reply) != id(&self.octets) || flags & (QR | OPCODE) != QR || [q0, q1] != [0, 1] {
            return None;
        }
        let asked = self.octets.get(HEADER..self.question_end)?;
        let told = reply.get(HEADER..self.question_end)?;
        let (name, kind) = asked.split_at_checked(asked.len().checked_sub(TYPE_AND_CLASS)?)?;
        let (told_name, told_kind) = told.split_at_checked(name.len())?;
        if kind != told_kind || !name.eq_ignore_ascii_case(told_name) {
            return None;
        }
        let truncated = flags & TC != 0;
        // A cut message may end anywhere.
        if !truncated {
            let records = counts
                .chunks_exact(2)
                .map(|n| n.iter().fold(0, |sum, &octet| sum * 256 + usize::from(octet)))
                .sum();
            skip_records(reply.get(self.question_end..)?, records)?;
        }
        Some(Matched { letters_kept: name == told_name, truncated })
    }

    /// Puts the question into a reply as it is without id and random letters: what was chance on the way to the upstream
    /// is nobody's business beyond it.
    pub fn restore(&self, reply: &mut [u8]) {
        if let Some(name) = reply.get_mut(HEADER..self.question_end.saturating_sub(TYPE_AND_CLASS))
        {
            name.make_ascii_lowercase();
        }
        if let Some(id) = reply.first_chunk_mut::<2>() {
            *id = [0, 0];
        }
    }
}

/// The id of a message.
pub fn id(message: &[u8]) -> Option<u16> {
    message.first_chunk().map(|id| u16::from_be_bytes(*id))
}

/// The response code in a message's header; one that has no header failed.
pub fn rcode(message: &[u8]) -> u8 {
    message.get(3).map_or(RCODE, |flags| flags & RCODE)
}

/// Whether who replied asks others (RA).
pub fn has_ra(message: &[u8]) -> bool {
    message.get(3).is_some_and(|flags| flags & RA != 0)
}

/// Turns each letter's case by a coin of its own. A length octet is at most 63 and so never a letter.
fn toss(name: &mut [u8], coins: &[u8]) {
    for (n, octet) in name.iter_mut().enumerate() {
        let coin = coins.get(n / 8).is_some_and(|coins| coins >> (n % 8) & 1 == 1);
        if coin {
            octet.make_ascii_uppercase();
        }
    }
}

/// Octets that nobody can guess.
pub fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut octets = [0; N];
    let none = |_| io::Error::other("the system has no random numbers");
    SystemRandom::new().fill(&mut octets).map_err(none)?;
    Ok(octets)
}

/// Whether `rest` begins with so many records. Each takes eleven octets or more, so the message's length is the bound.
fn skip_records(mut rest: &[u8], records: usize) -> Option<()> {
    for _ in 0..records {
        let fixed = skip_name(rest)?;
        let data = fixed.get(RECORD_FIXED..)?;
        let &[high, low] = fixed.get(RECORD_FIXED - 2..)?.first_chunk()?;
        rest = data.get(usize::from(u16::from_be_bytes([high, low]))..)?;
    }
    Some(())
}

/// What follows a name that may end in a compression pointer (RFC 1035, section 4.1.4).
pub(super) fn skip_name(mut rest: &[u8]) -> Option<&[u8]> {
    for _ in 0..=MAX_LABELS {
        let (length, after) = rest.split_first()?;
        match length {
            0 => return Some(after),
            1..=63 => rest = after.get(usize::from(*length)..)?,
            0xc0.. => return after.get(1..),
            _ => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::forward::testing::{good, question, reply};

    #[test]
    fn a_query_says_what_was_asked() {
        let mut asked = question("www.example.");
        let query = Query::new(&asked, Letters::Lower).unwrap();
        let opt = b"\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00";
        let mut expected =
            b"\x01\x20\x00\x01\x00\x00\x00\x00\x00\x01\x03www\x07example\x00\x00\x01\x00\x01"
                .to_vec();
        expected.extend(opt);
        assert_eq!(query.octets()[2..], expected);
        asked.recursion_desired = false;
        asked.dnssec_ok = true;
        asked.checking_disabled = true;
        let query = Query::new(&asked, Letters::Lower).unwrap();
        assert_eq!(query.octets()[2..4], [0, AD | CD]);
        assert_eq!(query.octets()[query.octets().len() - 4..], [DO, 0, 0, 0]);
    }

    #[test]
    fn without_edns_the_question_is_all_there_is() {
        let query = Query::new(&question("www.example."), Letters::Lower).unwrap();
        assert!(query.has_edns());
        let plain = query.clone().without_edns();
        assert_eq!(plain.octets()[..HEADER - 1], query.octets()[..HEADER - 1]);
        assert_eq!(
            plain.octets()[HEADER - 1..],
            query.octets()[HEADER - 1..query.question_end]
                .iter()
                .enumerate()
                .map(|(at, octet)| if at == 0 { 0 } else { *octet })
                .collect::<Vec<_>>()
        );
        assert!(!plain.has_edns() && plain.id() == query.id());
    }

    #[test]
    fn what_was_not_understood_needs_the_id_and_says_nothing_else() {
        let query = Query::new(&question("www.example."), Letters::Random).unwrap();
        let [high, low] = query.id().to_be_bytes();
        let told = |flags: u8, rcode: u8, questions: u8, id: u8| {
            let reply = [high, low ^ id, flags, rcode, 0, questions, 0, 0, 0, 0, 0, 0];
            query.is_not_understood(&reply)
        };
        assert!(told(QR, FORMERR, 0, 0) && told(QR | RD, RA | NOTIMP, 0, 0));
        assert!(!told(QR, FORMERR, 0, 1), "of another query");
        assert!(!told(0, FORMERR, 0, 0), "a query");
        assert!(!told(QR, 2, 0, 0) && !told(QR, NOERROR, 0, 0), "other codes");
        assert!(!told(QR, FORMERR, 1, 0), "with a question it must be the one that was asked");
        assert!(!query.is_not_understood(&[high, low, QR, FORMERR, 0, 0]), "cut");
    }

    #[test]
    fn a_padded_query_is_the_same_question_in_whole_blocks() {
        // One octet more of a name each time, past the end of a block.
        for length in 1..=63 {
            for second in ["", "x."] {
                let asked = question(&format!("{}.{second}example.", "a".repeat(length)));
                let mut query = Query::new(&asked, Letters::Lower).unwrap();
                let plain = query.octets().to_vec();
                query.pad();
                let padded = query.octets();
                assert_eq!((padded.len() % PADDED_TO, padded.len() - plain.len() >= 4), (0, true));
                let (head, option) = padded.split_at(plain.len());
                assert_eq!(head[..plain.len() - 2], plain[..plain.len() - 2]);
                let length = u16::from_be_bytes([head[plain.len() - 2], head[plain.len() - 1]]);
                assert_eq!(usize::from(length), option.len());
                let told = u16::from_be_bytes([option[2], option[3]]);
                assert_eq!((&option[..2], usize::from(told)), (&[0, 12][..], option.len() - 4));
                assert!(option[4..].iter().all(|octet| *octet == 0));
                assert_eq!(skip_records(&padded[query.question_end..], 1), Some(()));
            }
        }
    }

    #[test]
    fn ids_and_letters_are_by_chance() {
        let asked = question("abcdefghijklmnopqrstuvwxyz.example.");
        let queries: Vec<_> =
            (0..1000).map(|_| Query::new(&asked, Letters::Random).unwrap()).collect();
        let ids: std::collections::HashSet<_> = queries.iter().map(Query::id).collect();
        assert!(ids.len() > 950, "{} of 1000 ids", ids.len());
        let names: std::collections::HashSet<_> =
            queries.iter().map(|query| query.octets()[HEADER..].to_vec()).collect();
        assert_eq!(names.len(), 1000);
        // Each letter is upper in about half of them: 16 standard deviations off would be no chance.
        for at in (0..26).map(|n| HEADER + 1 + n) {
            let upper = queries.iter().filter(|q| q.octets()[at].is_ascii_uppercase()).count();
            assert!((250..750).contains(&upper), "{upper} at {at}");
        }
    }

    #[test]
    fn only_its_own_reply_matches() {
        let asked = question("web.example.");
        let query = Query::new(&asked, Letters::Random).unwrap();
        let good = reply(query.octets(), 0, &[[192, 0, 2, 1]]);
        let whole = Some(Matched { letters_kept: true, truncated: false });
        assert_eq!(query.matches(&good), whole);
        let turned = |at: usize, bits: u8| {
            let mut bad = good.clone();
            bad[at] ^= bits;
            query.matches(&bad)
        };
        // The id, QR, the opcode, the count of questions, a letter, the type, the class, the count of answers.
        for (at, bits) in
            [(0, 1), (1, 1), (2, QR), (2, 0x08), (5, 3), (13, 1), (26, 1), (28, 1), (7, 2)]
        {
            assert_eq!(turned(at, bits), None, "octet {at}");
        }
        assert_eq!(turned(13, 0x20), Some(Matched { letters_kept: false, truncated: false }));
        assert_eq!(turned(2, TC), Some(Matched { letters_kept: true, truncated: true }));
        for len in 0..good.len() {
            assert_eq!(query.matches(&good[..len]), None, "{len} octets");
        }
        let mut restored = good.clone();
        query.restore(&mut restored);
        assert_eq!(restored[HEADER..HEADER + 13], *b"\x03web\x07example\x00");
        assert_eq!(restored[..2], [0, 0]);
    }

    proptest::proptest! {
        #[test]
        fn whatever_comes_is_judged(rest in proptest::collection::vec(0_u8.., 0..300), cut in 0_usize..40) {
            let query = Query::new(&question("web.example."), Letters::Lower).unwrap();
            let reply = good(query.octets());
            let kept = &reply[..cut.min(reply.len())];
            let mut told = [kept, &rest].concat();
            let _ = query.matches(&told);
            query.restore(&mut told);
            // Even what has the header and the question right is a message only if its records are there.
            let records = [&reply[..HEADER + 17], &rest].concat();
            proptest::prop_assert!(query.matches(&records).is_none() || rest.len() >= 11);
        }
    }

    #[test]
    fn a_name_of_pointers_or_of_too_many_labels_ends() {
        assert_eq!(skip_name(b"\xc0\x0crest"), Some(&b"rest"[..]));
        assert_eq!(skip_name(b"\x01a\xc0\x0crest"), Some(&b"rest"[..]));
        assert_eq!(skip_name(b"\x41"), None);
        assert_eq!(skip_name(&b"\x01a".repeat(MAX_LABELS + 1)), None);
        assert_eq!(skip_records(b"\0\0\x01\0\x01\0\0\0\0\0\x05abcd", 1), None);
        assert_eq!(skip_records(b"", usize::from(u16::MAX) * 3), None);
    }
}
