//! A record's words to its data as it stands in messages, names uncompressed.
//!
//! The types that nearly every zone has are read here, because hickory-proto reads `\DDD` as octal, keeps no
//! binary text and knows no `@` in data. All others are its work. `\#` is RFC 3597's form for any type.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use hickory_proto::rr::rdata::{HTTPS, SVCB};
use hickory_proto::rr::{RData, RecordType};
use hickory_proto::serialize::binary::{BinEncodable, BinEncoder, NameEncoding};
use hickory_proto::serialize::txt::parse_ttl;

use super::lex::Token;
use crate::view::wire::{self, Octet};
use crate::view::zones::types;

/// Octets of a text string at most: its length has one octet (RFC 1035, section 3.3).
const MAX_STRING: usize = 255;

/// The number of a type's name, such as `A` or `TYPE65280` (RFC 3597, section 5).
pub(in crate::dns) fn type_number(name: &str) -> Option<u16> {
    let upper = name.to_ascii_uppercase();
    match upper.as_str() {
        "SPF" => return Some(types::SPF),
        "DNAME" => return Some(types::DNAME),
        _ => {}
    }
    if let Some(number) = upper.strip_prefix("TYPE") {
        return number.parse().ok();
    }
    RecordType::from_str(&upper).ok().map(u16::from)
}

/// The data of a record of type `rtype`, whose name in the file is `type_name`.
pub(super) fn rdata(
    rtype: u16,
    type_name: &str,
    tokens: &[Token],
    origin: &[u8],
) -> Result<Box<[u8]>, String> {
    let mut words = Words { tokens: tokens.iter(), origin, out: Vec::new() };
    if tokens.first().is_some_and(|first| first.raw == "\\#" && !first.quoted) {
        words.generic()?;
        return Ok(words.out.into());
    }
    match rtype {
        types::A => {
            let address: Ipv4Addr = words.parse("an IPv4 address")?;
            words.out.extend(address.octets());
        }
        types::AAAA => {
            let address: Ipv6Addr = words.parse("an IPv6 address")?;
            words.out.extend(address.octets());
        }
        types::NS | types::CNAME | types::PTR => words.name()?,
        types::MX => {
            words.u16("the preference")?;
            words.name()?;
        }
        types::SRV => {
            words.u16("the priority")?;
            words.u16("the weight")?;
            words.u16("the port")?;
            words.name()?;
        }
        types::SOA => {
            words.name()?;
            words.name()?;
            words.u32("the serial")?;
            for timer in ["the refresh", "the retry", "the expiry", "the minimum"] {
                words.seconds(timer)?;
            }
        }
        types::TXT | types::SPF => words.strings()?,
        types::HINFO => {
            words.string("the CPU")?;
            words.string("the system")?;
        }
        types::NAPTR => {
            words.u16("the order")?;
            words.u16("the preference")?;
            for field in ["the flags", "the services", "the expression"] {
                words.string(field)?;
            }
            words.name()?;
        }
        types::DS => {
            words.u16("the key tag")?;
            words.u8("the algorithm")?;
            words.u8("the digest type")?;
            words.hex()?;
        }
        types::DNAME => return Err("DNAME records are not supported".into()),
        _ => return by_hickory(rtype, type_name, tokens, origin),
    }
    words.end()?;
    Ok(words.out.into())
}

/// What is still to be read of a record, and its data so far.
struct Words<'t> {
    tokens: std::slice::Iter<'t, Token>,
    origin: &'t [u8],
    out: Vec<u8>,
}

impl<'t> Words<'t> {
    fn next(&mut self, what: &str) -> Result<&'t Token, String> {
        self.tokens.next().ok_or_else(|| format!("{what} is missing"))
    }

    fn parse<T: FromStr>(&mut self, what: &str) -> Result<T, String> {
        let raw = &self.next(what)?.raw;
        raw.parse().map_err(|_| format!("`{}` is not {what}", wire::shown(raw)))
    }

    fn number<T: FromStr>(&mut self, what: &str) -> Result<T, String> {
        let raw = &self.next(what)?.raw;
        let plain = raw.bytes().all(|octet| octet.is_ascii_digit());
        raw.parse()
            .ok()
            .filter(|_| plain)
            .ok_or_else(|| format!("{what} `{}` is no number, or is too great", wire::shown(raw)))
    }

    fn u8(&mut self, what: &str) -> Result<(), String> {
        let number: u8 = self.number(what)?;
        self.out.push(number);
        Ok(())
    }

    fn u16(&mut self, what: &str) -> Result<(), String> {
        let number: u16 = self.number(what)?;
        self.out.extend(number.to_be_bytes());
        Ok(())
    }

    fn u32(&mut self, what: &str) -> Result<(), String> {
        let number: u32 = self.number(what)?;
        self.out.extend(number.to_be_bytes());
        Ok(())
    }

    fn seconds(&mut self, what: &str) -> Result<(), String> {
        let raw = &self.next(what)?.raw;
        let seconds = parse_ttl(raw)
            .map_err(|_| format!("{what} `{}` is no time such as 3600 or 1h", wire::shown(raw)))?;
        self.out.extend(seconds.to_be_bytes());
        Ok(())
    }

    fn name(&mut self) -> Result<(), String> {
        let raw = &self.next("a name")?.raw;
        self.out.extend_from_slice(&wire::parse(raw, self.origin)?);
        Ok(())
    }

    fn string(&mut self, what: &str) -> Result<(), String> {
        let text = octets(&self.next(what)?.raw)?;
        match u8::try_from(text.len()) {
            Ok(length) => self.out.push(length),
            Err(_) => {
                let length = text.len();
                return Err(format!(
                    "a text of {length} octets; split it into strings of at most {MAX_STRING}"
                ));
            }
        }
        self.out.extend(text);
        Ok(())
    }

    fn strings(&mut self) -> Result<(), String> {
        self.string("the text")?;
        while !self.tokens.as_slice().is_empty() {
            self.string("the text")?;
        }
        Ok(())
    }

    fn hex(&mut self) -> Result<(), String> {
        let digits: String = self.tokens.by_ref().map(|token| token.raw.as_str()).collect();
        let nibble = |digit: u8| char::from(digit).to_digit(16).and_then(|n| u8::try_from(n).ok());
        let octet = |pair: &[u8]| match *pair {
            [high, low] => Some(nibble(high)? << 4 | nibble(low)?),
            _ => None,
        };
        let octets: Option<Vec<u8>> = digits.as_bytes().chunks(2).map(octet).collect();
        let octets = octets.ok_or("the digits are not pairs of hexadecimal ones")?;
        self.out.extend(octets);
        Ok(())
    }

    fn generic(&mut self) -> Result<(), String> {
        self.next("\\#")?;
        let length: usize = self.number("the length")?;
        self.hex()?;
        if self.out.len() != length {
            let found = self.out.len();
            return Err(format!("the length is given as {length}, and there are {found} octets"));
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), String> {
        match self.tokens.next() {
            Some(more) => Err(format!("`{}` is one word too many", wire::shown(&more.raw))),
            None => Ok(()),
        }
    }
}

fn octets(raw: &str) -> Result<Vec<u8>, String> {
    let mut octets = Vec::with_capacity(raw.len());
    let mut rest = raw.as_bytes();
    let wrong = |e| format!("`{}` {e}", wire::shown(raw));
    while let Some(Octet::Plain(octet) | Octet::Escaped(octet)) =
        wire::next_octet(&mut rest).map_err(wrong)?
    {
        octets.push(octet);
    }
    Ok(octets)
}

/// Every other type that hickory-proto can read. It gets each word in quotes, in which it changes nothing.
fn by_hickory(
    rtype: u16,
    type_name: &str,
    tokens: &[Token],
    origin: &[u8],
) -> Result<Box<[u8]>, String> {
    let wrong = |reason: String| format!("{type_name}: {reason}");
    let is_service = matches!(rtype, types::SVCB | types::HTTPS);
    let mut text = String::new();
    for (place, token) in tokens.iter().enumerate() {
        let word = match place {
            1 if is_service => wire::text(&wire::parse(&token.raw, origin)?),
            _ => String::from_utf8(octets(&token.raw)?)
                .map_err(|_| wrong("the data must be UTF-8; `\\#` takes any octets".into()))?,
        };
        if word.contains('\n') {
            return Err(wrong("a line break in the data; `\\#` takes any octets".into()));
        }
        text.push('"');
        text.push_str(&word.replace('\\', "\\\\").replace('"', "\\\""));
        text.push_str("\" ");
    }
    let data = RData::try_from_str(RecordType::from(rtype), &text)
        .map_err(|e| wrong(format!("{e}; `\\#` takes the data of any type")))?;
    let mut out = Vec::new();
    let mut encoder = BinEncoder::new(&mut out);
    encoder.set_name_encoding(NameEncoding::Uncompressed);
    in_order(data).emit(&mut encoder).map_err(|e| wrong(e.to_string()))?;
    Ok(out.into())
}

/// Parameters of SVCB and HTTPS may be written in any order, and stand in messages by number (RFC 9460,
/// section 2.2).
fn in_order(data: RData) -> RData {
    let sorted = |mut data: SVCB| {
        data.svc_params.sort_by_key(|(key, _)| u16::from(*key));
        data
    };
    match data {
        RData::SVCB(data) => RData::SVCB(sorted(data)),
        RData::HTTPS(HTTPS(data)) => RData::HTTPS(HTTPS(sorted(data))),
        other => other,
    }
}
