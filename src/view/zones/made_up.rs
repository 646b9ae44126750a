//! What a zone beside the registry must say and its zone file does not: SOA, NS, and the addresses of `ns`.

use std::net::IpAddr;

use super::{
    FileZone, IN_CONFIG, Kind, Place, Text, TextValue, ZoneFileError, ZoneSettings, types,
};
use crate::view::wire;

/// TTL of the made-up NS and its addresses, in seconds: they change with the configuration only.
const TTL_SECS: u32 = 300;
/// SOA timers for secondary servers, in seconds (RFC 1035, section 3.3.13).
const REFRESH_SECS: u32 = 3600;
const RETRY_SECS: u32 = 600;
const EXPIRE_SECS: u32 = 86_400;
/// The first label of the made-up name server.
const NS: &[u8] = b"\x02ns";
/// The made-up mailbox of who runs the zone.
const HOSTMASTER: &[u8] = b"\x0ahostmaster";

/// Completes a zone. `host` is the zone in which `ns` is: the first of the registry, or the zone itself.
pub(super) fn complete(
    data: &mut FileZone,
    kind: Kind,
    host: Box<[u8]>,
    settings: &ZoneSettings<'_>,
) {
    let host = if kind == Kind::Registry { data.origin().into() } else { host };
    let ns = [NS, &*host].concat();
    let apex_has =
        |data: &FileZone, rtype| data.node(&[]).is_some_and(|n| n.rrset(rtype).is_some());
    if !apex_has(data, types::SOA) {
        let mut soa = [&*ns, HOSTMASTER, &*host].concat();
        let minimum = settings.negative_ttl_secs;
        for number in [1, REFRESH_SECS, RETRY_SECS, EXPIRE_SECS, minimum] {
            soa.extend_from_slice(&number.to_be_bytes());
        }
        data.make_up(&[], types::SOA, settings.negative_ttl_secs, soa.into());
    }
    if apex_has(data, types::NS) {
        return;
    }
    data.make_up(&[], types::NS, TTL_SECS, ns.into());
    if *host == *data.origin() && data.node(NS).is_none() {
        for address in settings.ns_addresses.iter().filter(|address| !address.is_unspecified()) {
            match address {
                IpAddr::V4(v4) => data.make_up(NS, types::A, TTL_SECS, Box::new(v4.octets())),
                IpAddr::V6(v6) => data.make_up(NS, types::AAAA, TTL_SECS, Box::new(v6.octets())),
            }
        }
    }
}

/// Adds the configuration's texts where the zone file has nothing; whether there were any.
pub(super) fn add_texts(
    data: &mut FileZone,
    texts: &[Text],
    errors: &mut Vec<ZoneFileError>,
) -> bool {
    let zone = wire::text(data.origin());
    let mut any = false;
    for text in texts {
        let place = Place { file: IN_CONFIG.into(), line: text.line };
        let owner = match wire::parse(&format!("{}.{zone}", text.name), &[0]) {
            Ok(owner) => owner,
            Err(reason) => {
                let reason = format!("`{}` is no name in `{zone}`: {reason}", text.name);
                errors.push(ZoneFileError { file: IN_CONFIG.into(), line: text.line, reason });
                continue;
            }
        };
        // What the zone file says of a name goes before.
        let relative = owner.strip_suffix(data.origin()).unwrap_or(&owner);
        if data.node(relative).is_some_and(|node| !node.is_empty()) {
            continue;
        }
        let rdata = rdata(&text.values, zone.trim_end_matches('.'));
        if let Err(reason) = data.add(&owner, types::TXT, TTL_SECS, rdata.into(), Some(place)) {
            errors.push(ZoneFileError { file: IN_CONFIG.into(), line: text.line, reason });
        }
        any = true;
    }
    any
}

/// Character-strings one after the other (RFC 1035, section 3.3.14); what is too long for one is cut.
fn rdata(values: &[TextValue], zone: &str) -> Vec<u8> {
    let mut rdata = Vec::new();
    for value in values {
        let text = match value {
            TextValue::NameInZone(name) => format!("{name}.{zone}"),
            TextValue::Plain(text) => text.clone(),
        };
        let octets = text.as_bytes();
        let length = u8::try_from(octets.len()).unwrap_or(u8::MAX);
        rdata.push(length);
        rdata.extend(octets.iter().take(usize::from(length)));
    }
    rdata
}
