//! What is in a reply, as text: names, types, codes and data.
//!
//! The types that nearly every zone has are written here, because hickory-proto writes octets that are not text in its
//! own way. Types that it has no words for are written in RFC 3597's form, which every zone file may have.

use std::fmt::Write;

use hickory_proto::rr::{self, RData, RecordType};
use hickory_proto::serialize::binary::{BinEncodable, BinEncoder, NameEncoding};

use super::{Record, signed};
use crate::view::wire;

/// The codes of replies by number (IANA, DNS RCODEs).
const RCODES: [&str; 12] = [
    "NOERROR",
    "FORMERR",
    "SERVFAIL",
    "NXDOMAIN",
    "NOTIMP",
    "REFUSED",
    "YXDOMAIN",
    "YXRRSET",
    "NXRRSET",
    "NOTAUTH",
    "NOTZONE",
    "DSOTYPENI",
];

/// What Extended DNS Errors mean by number (RFC 8914, section 4).
const ERROR_MEANINGS: [&str; 25] = [
    "other error",
    "unsupported DNSKEY algorithm",
    "unsupported DS digest type",
    "stale answer",
    "forged answer",
    "DNSSEC indeterminate",
    "DNSSEC bogus",
    "signature expired",
    "signature not yet valid",
    "DNSKEY missing",
    "RRSIGs missing",
    "no zone key bit set",
    "NSEC missing",
    "cached error",
    "not ready",
    "blocked",
    "censored",
    "filtered",
    "prohibited",
    "stale NXDOMAIN answer",
    "not authoritative",
    "not supported",
    "no reachable authority",
    "network error",
    "invalid data",
];

/// A response code's name, such as `NOERROR`.
pub fn rcode(number: u16) -> String {
    match (RCODES.get(usize::from(number)), number) {
        (Some(name), _) => (*name).to_owned(),
        (None, 16) => "BADVERS".to_owned(),
        (None, 23) => "BADCOOKIE".to_owned(),
        (None, _) => format!("RCODE{number}"),
    }
}

/// What an Extended DNS Error means.
pub(super) fn error_meaning(code: u16) -> Option<&'static str> {
    ERROR_MEANINGS.get(usize::from(code)).copied()
}

/// A type's name; those without a name have RFC 3597's.
pub(super) fn rtype(number: u16) -> String {
    match RecordType::from(number) {
        RecordType::Unknown(_) | RecordType::ANAME | RecordType::ZERO => match number {
            crate::view::zones::types::SPF => "SPF".to_owned(),
            _ => format!("TYPE{number}"),
        },
        known => known.to_string(),
    }
}

/// A name in wire form with the root.
pub(super) fn wire_name(name: &rr::Name) -> Vec<u8> {
    let mut wire = Vec::with_capacity(wire::MAX_NAME);
    for label in name.iter() {
        // A label that hickory-proto read has at most 63 octets.
        wire.push(u8::try_from(label.len()).unwrap_or_default());
        wire.extend(label);
    }
    wire.push(0);
    wire
}

/// A name as people write it, with the final dot.
pub(super) fn name(name: &rr::Name) -> String {
    wire::text(&wire_name(name))
}

/// A record's parts.
pub(super) fn record(record: &rr::Record) -> Record {
    let class = match u16::from(record.dns_class) {
        1 => "IN".to_owned(),
        3 => "CH".to_owned(),
        4 => "HS".to_owned(),
        number => format!("CLASS{number}"),
    };
    Record {
        name: name(&record.name),
        ttl: record.ttl,
        class,
        rtype: rtype(record.record_type().into()),
        data: data(&record.data),
    }
}

fn data(data: &RData) -> String {
    match data {
        RData::CNAME(target) => name(&target.0),
        RData::NS(target) => name(&target.0),
        RData::PTR(target) => name(&target.0),
        RData::MX(mx) => format!("{} {}", mx.preference, name(&mx.exchange)),
        RData::SRV(srv) => {
            format!("{} {} {} {}", srv.priority, srv.weight, srv.port, name(&srv.target))
        }
        RData::SOA(soa) => format!(
            "{} {} {} {} {} {} {}",
            name(&soa.mname),
            name(&soa.rname),
            soa.serial,
            soa.refresh,
            soa.retry,
            soa.expire,
            soa.minimum
        ),
        RData::TXT(txt) => strings(&txt.txt_data),
        RData::HINFO(hinfo) => strings(&[&hinfo.cpu, &hinfo.os]),
        RData::NAPTR(naptr) => format!(
            "{} {} {} {}",
            naptr.order,
            naptr.preference,
            strings(&[&naptr.flags, &naptr.services, &naptr.regexp]),
            name(&naptr.replacement)
        ),
        RData::Update0(_) => generic(&[]),
        RData::NULL(null) => generic(&null.anything),
        RData::Unknown { code, rdata } => {
            let signed = signed::text((*code).into(), &rdata.anything);
            signed.unwrap_or_else(|| generic(&rdata.anything))
        }
        RData::A(_)
        | RData::AAAA(_)
        | RData::CAA(_)
        | RData::HTTPS(_)
        | RData::SVCB(_)
        | RData::SSHFP(_)
        | RData::TLSA(_) => wire::shown(&data.to_string()),
        other => encoded(other).map_or_else(String::new, |octets| generic(&octets)),
    }
}

/// Texts in quotes (RFC 1035, section 5.1).
fn strings(texts: &[impl AsRef<[u8]>]) -> String {
    let mut line = String::new();
    for text in texts {
        line.push_str(if line.is_empty() { "\"" } else { " \"" });
        for octet in text.as_ref() {
            match octet {
                b'"' | b'\\' => line.extend(['\\', char::from(*octet)]),
                0x20..=0x7e => line.push(char::from(*octet)),
                _ => {
                    let _ = write!(line, "\\{octet:03}");
                }
            }
        }
        line.push('"');
    }
    line
}

/// Data of any type (RFC 3597, section 5).
fn generic(octets: &[u8]) -> String {
    let mut line = format!("\\# {}", octets.len());
    for (at, octet) in octets.iter().enumerate() {
        let _ = write!(line, "{}{octet:02x}", if at == 0 { " " } else { "" });
    }
    line
}

fn encoded(data: &RData) -> Option<Vec<u8>> {
    let mut octets = Vec::new();
    let mut encoder = BinEncoder::new(&mut octets);
    encoder.set_name_encoding(NameEncoding::Uncompressed);
    data.emit(&mut encoder).ok()?;
    Some(octets)
}
