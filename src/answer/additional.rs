//! Additional records: addresses of the hosts that an answer names, so that nobody has to ask again.
//!
//! Each address RRset is added whole or not at all. They help; only the glue of a referral is needed.

use super::encode::Context;
use super::registered::{self, For};
use super::writer::{Full, Section, Writer};
use crate::view::Sought;
use crate::view::wire::Name;
use crate::view::zones::{FileNode, FileRecord, Kind, Zone, types};

/// Adds the addresses that we know of the hosts that the records from `start` on name, once each.
pub(super) fn of_targets<'r>(
    writer: &mut Writer<'_>,
    context: &Context<'_>,
    start: usize,
    records: impl Iterator<Item = &'r FileRecord>,
) {
    let mut at = start;
    for record in records {
        let Some(rdata) = writer.rdata_of(at) else { return };
        at = rdata.end;
        let Some(offset) = record.target else { continue };
        let Some(host) = record.rdata.get(offset..).and_then(Name::read) else { continue };
        if of_host(writer, context, rdata.start + offset, &host).is_err() {
            return;
        }
    }
}

/// Adds what the registry or a zone file has as addresses of `host`, whose name stands at `owner`.
fn of_host(
    writer: &mut Writer<'_>,
    context: &Context<'_>,
    owner: usize,
    host: &Name,
) -> Result<(), Full> {
    let Some(zone) = context.sources.zones.find(host) else { return Ok(()) };
    let relative = host.relative(host.labels(), zone.name().len());
    if zone.kind() == Kind::Registry {
        let Context { now, taking, .. } = *context;
        let reader = context.sources.reader;
        let relative = Sought::new(relative);
        if let Some(node) = reader.name(relative) {
            let what = For { owner, settings: node.settings, now, taking };
            registered::additional(writer, what, node.a.as_ref())?;
            return registered::additional(writer, what, node.aaaa.as_ref());
        }
        if let Some(labelled) = reader.label(relative) {
            let cell = &*labelled.cell;
            let what = For { owner, settings: labelled.settings, now, taking };
            let ttl = what.ttl(cell.lease.deadline());
            return registered::own_addresses(writer, owner, ttl, cell);
        }
    }
    zone.data().node(relative).map_or(Ok(()), |node| of_node(writer, owner, node))
}

fn of_node(writer: &mut Writer<'_>, owner: usize, node: &FileNode) -> Result<(), Full> {
    for rtype in [types::A, types::AAAA] {
        let Some(rrset) = node.rrset(rtype) else { continue };
        whole(writer, &rrset.records, |writer, record| {
            writer.record(Section::Additional, owner, rtype, rrset.ttl, &[&record.rdata])
        })?;
    }
    Ok(())
}

/// Adds the glue of a referral. Name servers at or below the delegated name cannot be found without it, so an
/// error says that some of it did not fit (RFC 9471, section 3.1); that of others helps.
pub(super) fn glue<'r>(
    writer: &mut Writer<'_>,
    zone: &Zone,
    delegated: &[u8],
    start: usize,
    servers: &(impl Iterator<Item = &'r FileRecord> + Clone),
) -> Result<(), Full> {
    for needed in [true, false] {
        let mut at = start;
        for server in servers.clone() {
            let Some(rdata) = writer.rdata_of(at) else { break };
            at = rdata.end;
            let Some(host) = Name::read(&server.rdata) else { continue };
            if !host.is_in(zone.name()) || host.is_in(delegated) != needed {
                continue;
            }
            let relative = host.relative(host.labels(), zone.name().len());
            let Some(node) = zone.data().node(relative) else { continue };
            match of_node(writer, rdata.start, node) {
                Err(Full) if needed => return Err(Full),
                Err(Full) => return Ok(()),
                Ok(()) => {}
            }
        }
    }
    Ok(())
}

/// Writes all of an RRset's records, or none.
pub(super) fn whole<T>(
    writer: &mut Writer<'_>,
    records: impl IntoIterator<Item = T>,
    mut write: impl FnMut(&mut Writer<'_>, T) -> Result<usize, Full>,
) -> Result<(), Full> {
    let mark = writer.mark();
    for record in records {
        if write(writer, record).is_err() {
            writer.go_back(mark);
            return Err(Full);
        }
    }
    Ok(())
}
