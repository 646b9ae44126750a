//! A query's bytes, read strictly: what is not a query as it should be is answered with an error or dropped.
//!
//! Network input: nothing here may panic, and every loop is bounded by the message's length.

use std::net::SocketAddr;

use super::Transport;
use super::edns::{Carried, Edns};
use crate::view::wire::{self, Name};
use crate::view::zones::types;

/// Octets of a header (RFC 1035, section 4.1.1).
pub const HEADER: usize = 12;
/// Records beside the question that a query may have: OPT, TSIG, an SOA, and room for what is to come.
const MAX_RECORDS: u16 = 16;
/// UDP ports that send something back whatever they get: answering them would start a loop (RFC 5358's kin:
/// echo, discard, daytime, chargen, time), and 0, which nobody can be answered at.
const REFLECTING_PORTS: [u16; 6] = [0, 7, 9, 13, 19, 37];

/// Class IN (RFC 1035, section 3.2.4).
pub const CLASS_IN: u16 = 1;
const OPCODE_QUERY: u8 = 0;

/// The second octet of a query's header has CD (RFC 4035, section 3.2.2).
const CD: u8 = 0x10;
/// It may have AD (RFC 6840, section 5.7).
const AD: u8 = 0x20;
/// The first octet of a header: QR, the opcode, AA, TC, RD.
const QR: u8 = 0x80;
const OPCODE: u8 = 0x78;
const RD: u8 = 0x01;

/// What was read of a query.
#[derive(Debug)]
pub struct Query<'q> {
    /// The id.
    pub id: [u8; 2],
    /// The opcode and RD where they stand in the header's third octet.
    pub opcode_rd: u8,
    /// CD where it stands in the header's fourth octet.
    pub cd: u8,
    /// Whether the client wants to be told what was validated: AD, or DO (RFC 6840, section 5.8).
    pub wants_ad: bool,
    /// The question, if it could be read. None without a problem: only a cookie is asked for.
    pub question: Option<Question<'q>>,
    /// The OPT record, if there is one.
    pub edns: Option<Edns>,
    /// What the reply's OPT record is to carry: nothing, until somebody has looked at what this one asks for.
    pub carried: Carried<'q>,
    /// What is wrong with the query, if so.
    pub problem: Option<Problem>,
}

impl Query<'_> {
    /// Whether the client wants names to be followed that are not ours (RD; RFC 1035, section 4.1.1).
    #[inline]
    pub fn wants_recursion(&self) -> bool {
        self.opcode_rd & RD != 0
    }
}

/// A question.
#[derive(Debug)]
pub struct Question<'q> {
    /// As it stands in the query: the reply repeats it in its letters' case.
    pub verbatim: &'q [u8],
    /// The name.
    pub name: &'q Name,
    /// The type.
    pub rtype: u16,
    /// The class.
    pub class: u16,
}

/// Why a query gets an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Problem {
    /// It is not formed as a query is.
    FormErr,
    /// It asks for something other than an answer.
    NotImp,
    /// It speaks a later EDNS than we do (RFC 6891, section 6.1.3).
    BadVers,
}

/// Reads a query, whose question's name is `name` (`None`: that could not be read). `None`: it is none, or nobody who
/// asks, and gets no reply.
#[inline]
pub fn parse<'q>(
    message: &'q [u8],
    peer: SocketAddr,
    transport: Transport,
    name: Option<&'q Name>,
) -> Option<Query<'q>> {
    let &[id0, id1, flags, more_flags, ref counts @ ..] = message.first_chunk::<HEADER>()?;
    if flags & QR != 0 || (transport == Transport::Udp && !can_be_answered(peer)) {
        return None;
    }
    let mut query = Query {
        id: [id0, id1],
        opcode_rd: flags & (OPCODE | RD),
        cd: more_flags & CD,
        wants_ad: more_flags & AD != 0,
        question: None,
        edns: None,
        carried: Carried::default(),
        problem: None,
    };
    let &[q0, q1, an0, an1, ns0, ns1, ar0, ar1] = counts;
    let counts = Counts {
        questions: u16::from_be_bytes([q0, q1]),
        answers: u16::from_be_bytes([an0, an1]),
        authorities: u16::from_be_bytes([ns0, ns1]),
        additionals: u16::from_be_bytes([ar0, ar1]),
    };
    query.problem = query.read_body(message, &counts, name).err();
    if flags & OPCODE != OPCODE_QUERY {
        query.problem = Some(Problem::NotImp);
    }
    Some(query)
}

fn can_be_answered(peer: SocketAddr) -> bool {
    let ip = peer.ip();
    let broadcast = matches!(ip, std::net::IpAddr::V4(v4) if v4.is_broadcast());
    !(REFLECTING_PORTS.contains(&peer.port())
        || ip.is_unspecified()
        || ip.is_multicast()
        || broadcast)
}

/// How many records each section has, if the header tells the truth.
struct Counts {
    questions: u16,
    answers: u16,
    authorities: u16,
    additionals: u16,
}

impl<'q> Query<'q> {
    fn read_body(
        &mut self,
        message: &'q [u8],
        counts: &Counts,
        name: Option<&'q Name>,
    ) -> Result<(), Problem> {
        let mut rest = Rest(message.get(HEADER..).unwrap_or_default());
        // One question (RFC 9619), or none and a cookie.
        let rtype = match counts.questions {
            0 => None,
            1 => {
                let question = name.and_then(|name| rest.question(name)).ok_or(Problem::FormErr)?;
                let rtype = question.rtype;
                self.question = Some(question);
                Some(rtype)
            }
            _ => return Err(Problem::FormErr),
        };
        // Only a question for changes brings a record along (RFC 1995, section 3).
        let authorities_at_most = if rtype == Some(types::IXFR) { 1 } else { 0 };
        if counts.answers != 0
            || counts.authorities > authorities_at_most
            || counts.additionals > MAX_RECORDS
        {
            return Err(Problem::FormErr);
        }
        for _ in 0..counts.authorities {
            rest.record().ok_or(Problem::FormErr)?;
        }
        for _ in 0..counts.additionals {
            let record = rest.record().ok_or(Problem::FormErr)?;
            if record.rtype == types::OPT {
                self.read_opt(&record)?;
            }
        }
        let asks_nothing = match rtype {
            Some(rtype) => matches!(rtype, types::OPT | types::TSIG | types::TKEY),
            // Only who asks for a cookie need not have a question (RFC 7873, section 5.4).
            None => {
                self.edns.as_ref().is_none_or(|edns| edns.version == 0 && edns.cookie.is_none())
            }
        };
        match (rest.0, &self.edns) {
            ([_, ..], _) => Err(Problem::FormErr),
            ([], _) if asks_nothing => Err(Problem::FormErr),
            ([], Some(edns)) if edns.version > 0 => Err(Problem::BadVers),
            ([], _) => Ok(()),
        }
    }

    /// There is one OPT record at most, and it belongs to the root (RFC 6891, section 6.1.1).
    fn read_opt(&mut self, record: &OtherRecord<'_>) -> Result<(), Problem> {
        let edns = Edns::read(record.class, record.ttl, record.rdata);
        match (&self.edns, edns) {
            (None, Some(edns)) if record.owner_is_root => {
                self.wants_ad |= edns.dnssec_ok;
                self.edns = Some(edns);
            }
            _ => return Err(Problem::FormErr),
        }
        Ok(())
    }
}

/// What is still to be read of a message.
struct Rest<'q>(&'q [u8]);

/// A record beside the question.
struct OtherRecord<'q> {
    owner_is_root: bool,
    rtype: u16,
    class: u16,
    ttl: u32,
    rdata: &'q [u8],
}

impl<'q> Rest<'q> {
    fn take(&mut self, octets: usize) -> Option<&'q [u8]> {
        let (taken, rest) = self.0.split_at_checked(octets)?;
        self.0 = rest;
        Some(taken)
    }

    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(*self.take(2)?.first_chunk()?))
    }

    fn question(&mut self, name: &'q Name) -> Option<Question<'q>> {
        let all = self.0;
        self.take(name.wire().len())?;
        let (rtype, class) = (self.u16()?, self.u16()?);
        let verbatim = all.get(..name.wire().len() + 4)?;
        Some(Question { verbatim, name, rtype, class })
    }

    fn record(&mut self) -> Option<OtherRecord<'q>> {
        let owner_is_root = self.skip_name()?;
        let (rtype, class) = (self.u16()?, self.u16()?);
        let ttl = u32::from_be_bytes(*self.take(4)?.first_chunk()?);
        let length = self.u16()?;
        let rdata = self.take(length.into())?;
        Some(OtherRecord { owner_is_root, rtype, class, ttl, rdata })
    }

    /// Skips a name that may end in a compression pointer, and says whether it is the root.
    fn skip_name(&mut self) -> Option<bool> {
        let mut labels = 0;
        loop {
            let length = *self.take(1)?.first()?;
            match length {
                0 => return Some(labels == 0),
                1..=63 if labels < wire::MAX_LABELS => {
                    self.take(length.into())?;
                    labels += 1;
                }
                0xc0.. => return self.take(1).map(|_| false),
                _ => return None,
            }
        }
    }
}
