//! Messages as a client sees them: a query to octets, and a reply to text, line by line as a zone file has it.
//!
//! hickory-proto takes replies apart; `text.rs` writes their records.

mod signed;
mod text;

use std::fmt;
use std::net::IpAddr;

use hickory_proto::op::{Message, MessageType};
use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};

use super::zone_file::type_number;
use crate::answer::rule::{self, Rule};
use crate::view::wire;
use crate::view::zones::types;

pub use text::rcode;

/// Octets of a reply over UDP that are asked for: what crosses nearly every network in one piece.
const UDP_OCTETS: u16 = 1232;
/// The EDNS option with an Extended DNS Error (RFC 8914, section 2).
const EXTENDED_ERROR: u16 = 15;
/// The class IN (RFC 1035, section 3.2.4).
const IN: u16 = 1;
/// The root in wire form: what names without a final dot are relative to.
const ROOT: &[u8] = &[0];

/// What a query says besides its question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wishes {
    /// RD: others may be asked for the answer.
    pub recursion: bool,
    /// DO: signatures are wanted.
    pub dnssec: bool,
}

/// A question in a message, ready to be sent.
#[derive(Debug, Clone)]
pub struct Query {
    id: u16,
    name: Box<[u8]>,
    rtype: u16,
    bytes: Vec<u8>,
}

/// Why octets are not the reply to a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotTheReply {
    /// They belong to something else, or were sent by somebody else: the reply may still come.
    Foreign,
    /// They are meant to be it and cannot be read.
    Broken(String),
}

/// A reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Its code's name, such as `NOERROR`.
    pub rcode: String,
    /// The names of its flags that are set, in the order of the header.
    pub flags: Vec<&'static str>,
    /// Whether it is cut (TC): the whole is to be had over TCP.
    pub is_cut: bool,
    /// What was asked, as the reply repeats it.
    pub question: String,
    /// Records that answer.
    pub answer: Vec<Record>,
    /// Records that name authorities.
    pub authority: Vec<Record>,
    /// Records that may be of use.
    pub additional: Vec<Record>,
    /// Extended DNS Errors.
    pub errors: Vec<ExtendedError>,
    /// Which rules answered, if the server is one of ours and tells us.
    pub answered_by: Vec<&'static str>,
}

/// A record as a zone file has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its owner, with the final dot.
    pub name: String,
    /// Seconds that it may be kept.
    pub ttl: u32,
    /// Its class, such as `IN`.
    pub class: String,
    /// Its type, such as `A` or `TYPE65280`.
    pub rtype: String,
    /// Its data.
    pub data: String,
}

/// An Extended DNS Error (RFC 8914).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtendedError {
    /// Its number.
    pub code: u16,
    /// What the number means, if it is known here.
    pub meaning: Option<&'static str>,
    /// What the server says about it; may be empty.
    pub text: String,
}

impl Query {
    /// Asks for a name and a type as people write them. `id` should be one that nobody can guess.
    pub fn new(id: u16, name: &str, rtype: &str, wishes: Wishes) -> Result<Self, String> {
        let shown = wire::shown(rtype);
        let number = match rtype.to_ascii_uppercase().as_str() {
            "IXFR" => Some(types::IXFR),
            _ => type_number(rtype),
        };
        let number =
            number.ok_or_else(|| format!("`{shown}` is no type, such as A, SRV or TYPE65280"))?;
        match number {
            types::AXFR | types::IXFR => {
                return Err(format!("{shown} asks for a transfer, not a question"));
            }
            types::OPT | types::TSIG | types::TKEY | 0 => {
                return Err(format!("`{shown}` is no type that can be asked for"));
            }
            _ => {}
        }
        let name = wire::parse(name, ROOT)?;
        let bytes = encode(id, &name, number, wishes);
        Ok(Self { id, name, rtype: number, bytes })
    }

    /// The message's octets.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The question, as people write it.
    pub fn question(&self) -> String {
        format!("{} {}", wire::text(&self.name), text::rtype(self.rtype))
    }

    /// Reads what came back.
    pub fn read_reply(&self, bytes: &[u8]) -> Result<Reply, NotTheReply> {
        let [high, low, flags, ..] = *bytes else { return Err(NotTheReply::Foreign) };
        if u16::from_be_bytes([high, low]) != self.id || flags & 0x80 == 0 {
            return Err(NotTheReply::Foreign);
        }
        let message =
            Message::from_vec(bytes).map_err(|error| NotTheReply::Broken(error.to_string()))?;
        match &*message.queries {
            // A server that could not read the query may have nothing to repeat.
            [] if message.metadata.response_code != hickory_proto::op::ResponseCode::NoError => {}
            [asked] if self.is_about(asked) => {}
            _ => return Err(NotTheReply::Foreign),
        }
        if message.metadata.message_type != MessageType::Response {
            return Err(NotTheReply::Foreign);
        }
        Ok(reply(&message))
    }

    fn is_about(&self, asked: &hickory_proto::op::Query) -> bool {
        u16::from(asked.query_type()) == self.rtype
            && u16::from(asked.query_class()) == IN
            && text::wire_name(asked.name()).eq_ignore_ascii_case(&self.name)
    }
}

/// The name under which an address is asked for its name (RFC 1035, section 3.5; RFC 3596, section 2.5).
pub fn reverse_name(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, c, d] = ip.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa.")
        }
        IpAddr::V6(ip) => {
            let octets = ip.octets().into_iter().rev();
            let nibbles = octets.map(|octet| format!("{:x}.{:x}.", octet & 15, octet >> 4));
            nibbles.collect::<String>() + "ip6.arpa."
        }
    }
}

/// The header (RFC 1035, section 4.1.1), one question and an OPT record (RFC 6891, section 6.1.2).
fn encode(id: u16, name: &[u8], rtype: u16, wishes: Wishes) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(12 + name.len() + 4 + 15);
    bytes.extend(id.to_be_bytes());
    bytes.extend([u8::from(wishes.recursion), 0]);
    for count in [1_u16, 0, 0, 1] {
        bytes.extend(count.to_be_bytes());
    }
    bytes.extend(name);
    bytes.extend(rtype.to_be_bytes());
    bytes.extend(IN.to_be_bytes());
    bytes.extend(ROOT);
    bytes.extend(types::OPT.to_be_bytes());
    bytes.extend(UDP_OCTETS.to_be_bytes());
    // One option, empty: which rule answers.
    bytes.extend([0, 0, u8::from(wishes.dnssec) << 7, 0, 0, 4]);
    bytes.extend(rule::OPTION.to_be_bytes());
    bytes.extend([0, 0]);
    bytes
}

fn reply(message: &Message) -> Reply {
    let header = &message.metadata;
    let flags = [
        (true, "qr"),
        (header.authoritative, "aa"),
        (header.truncation, "tc"),
        (header.recursion_desired, "rd"),
        (header.recursion_available, "ra"),
        (header.authentic_data, "ad"),
        (header.checking_disabled, "cd"),
    ];
    let records =
        |records: &[hickory_proto::rr::Record]| records.iter().map(text::record).collect();
    let question = message.queries.first().map(|asked| {
        format!("{} {}", text::name(asked.name()), text::rtype(asked.query_type().into()))
    });
    Reply {
        rcode: text::rcode(header.response_code.into()),
        flags: flags.into_iter().filter(|(set, _)| *set).map(|(_, name)| name).collect(),
        is_cut: header.truncation,
        question: question.unwrap_or_default(),
        answer: records(&message.answers),
        authority: records(&message.authorities),
        additional: records(&message.additionals),
        errors: extended_errors(message),
        answered_by: answered_by(message),
    }
}

fn extended_errors(message: &Message) -> Vec<ExtendedError> {
    let Some(edns) = &message.edns else { return Vec::new() };
    let options = edns.options().as_ref().iter();
    let wanted = EdnsCode::from(EXTENDED_ERROR);
    let errors = options.filter(|(code, _)| *code == wanted).filter_map(|(_, option)| {
        let EdnsOption::Unknown(_, data) = option else { return None };
        let (code, words) = data.split_first_chunk()?;
        let code = u16::from_be_bytes(*code);
        let text = wire::shown(String::from_utf8_lossy(words).trim_end_matches('\0'));
        Some(ExtendedError { code, meaning: text::error_meaning(code), text })
    });
    errors.collect()
}

fn answered_by(message: &Message) -> Vec<&'static str> {
    let options = message.edns.iter().flat_map(|edns| edns.options().as_ref());
    let ours = options.filter_map(|(_, option)| match option {
        EdnsOption::Unknown(rule::OPTION, data) => Some(data),
        _ => None,
    });
    ours.flatten().filter_map(|octet| Rule::of(*octet)).map(Rule::name).collect()
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, ttl, class, rtype, data } = self;
        write!(f, "{name}\t{ttl}\t{class}\t{rtype}\t{data}")
    }
}

impl fmt::Display for ExtendedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if let Some(meaning) = self.meaning {
            write!(f, " ({meaning})")?;
        }
        match &*self.text {
            "" => Ok(()),
            text => write!(f, ": {text}"),
        }
    }
}

#[cfg(test)]
mod tests;
