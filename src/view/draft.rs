//! A name while it is changed: what its node was, and what was put in or taken out since.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use super::cell::Cell;
use super::leaves::Leaves;
use super::made::Made;
use super::node::Node;
use super::record::{Address, Record, SHARERS_TOLD, Sharers, Srv};
use super::roster::AnswerSettings;
use super::rrset::RRset;
use crate::registry::InstanceId;

/// Who shares an address beyond those that its record tells apart, by address and priority. Only the roster knows.
pub(super) type Crowds = HashMap<(IpAddr, u16), BTreeMap<InstanceId, Arc<Cell>>>;

/// One name of a service, open for changes.
#[derive(Debug)]
pub(super) struct Draft {
    /// How many want the name to exist: members in every state, labels that linger.
    wanted: u32,
    /// How many members that answer are held by the brake.
    held: u32,
    a: Leaves<super::A>,
    aaaa: Leaves<super::Aaaa>,
    srv: Leaves<Srv>,
    crowds: Crowds,
}

/// What of an instance a name answers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part<'a> {
    /// The instance.
    pub(super) cell: &'a Arc<Cell>,
    /// The port that SRV gives.
    pub(super) port: u16,
    /// Whether its addresses are the name's.
    pub(super) addresses: bool,
}

/// In or out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Move {
    In,
    Out,
}

impl Move {
    /// Counts one in or out.
    fn count(self, figure: &mut u32) {
        *figure = match self {
            Move::In => figure.saturating_add(1),
            Move::Out => figure.saturating_sub(1),
        };
    }
}

impl Draft {
    /// What there is at a name, and who shares its addresses beyond those told.
    pub(super) fn of(node: Option<&Node>, crowds: Crowds) -> Self {
        Self {
            wanted: node.map_or(0, |node| node.wanted),
            held: node.map_or(0, |node| node.held),
            a: Leaves::of(node.and_then(|node| node.a.as_ref())),
            aaaa: Leaves::of(node.and_then(|node| node.aaaa.as_ref())),
            srv: Leaves::of(node.and_then(|node| node.srv.as_ref())),
            crowds,
        }
    }

    /// Somebody wants the name to exist, or no longer does.
    pub(super) fn want(&mut self, way: Move) {
        way.count(&mut self.wanted);
    }

    /// A member that answers is held by the brake, or no longer is.
    pub(super) fn hold(&mut self, way: Move) {
        way.count(&mut self.held);
    }

    /// Makes everything anew: the settings have changed.
    pub(super) fn open_all(&mut self) {
        self.a.open_all();
        self.aaaa.open_all();
        self.srv.open_all();
    }

    /// Puts a member into the answers, or takes it out.
    pub(super) fn answer(&mut self, part: Part<'_>, way: Move) {
        let srv = Srv::new(part.cell.clone(), part.port);
        self.srv.change(&srv, |_| (way == Move::In).then(|| srv.clone()));
        if part.addresses {
            for v4 in part.cell.v4() {
                share(&mut self.a, &mut self.crowds, v4, part.cell, way);
            }
            for v6 in part.cell.v6() {
                share(&mut self.aaaa, &mut self.crowds, v6, part.cell, way);
            }
        }
    }

    /// The node, if the name is to exist, and what only the roster knows. Turns go on where `before` is now, so that
    /// a change does not favour the first.
    pub(super) fn close(
        mut self,
        settings: AnswerSettings,
        before: Option<&Node>,
        made: &mut Made,
    ) -> (Option<Node>, Crowds) {
        let ttl = settings.ttl_secs;
        if before.is_some_and(|node| node.settings.ttl_secs != ttl) {
            self.open_all(); // its octets have the TTL that was
        }
        let turns = |turns: Option<u64>| turns.unwrap_or(0);
        let a_turns = turns(before.and_then(|node| node.a.as_ref()).map(RRset::turns));
        let aaaa_turns = turns(before.and_then(|node| node.aaaa.as_ref()).map(RRset::turns));
        let srv_turns = turns(before.and_then(|node| node.srv.as_ref()).map(RRset::turns));
        let node = (self.wanted > 0).then(|| Node {
            wanted: self.wanted,
            held: self.held,
            settings,
            a: self.a.close(ttl, a_turns, &mut made.a),
            aaaa: self.aaaa.close(ttl, aaaa_turns, &mut made.aaaa),
            srv: self.srv.close(ttl, srv_turns, &mut made.srv),
        });
        (node, self.crowds)
    }
}

/// Adds or takes away one who has an address: its record tells a few of them, the crowd has the rest.
fn share<T: Copy + Into<IpAddr>>(
    leaves: &mut Leaves<Address<T>>,
    crowds: &mut Crowds,
    address: T,
    cell: &Arc<Cell>,
    way: Move,
) where
    Address<T>: Record,
{
    let body = &cell.instance.body;
    let weight = u32::from(body.weight);
    let alone = Address { address, weight, sharers: Sharers::One(cell.clone()) };
    let key = (address.into(), body.priority);
    leaves.change(&alone, |record| match (record, way) {
        (None, Move::In) => Some(alone.clone()),
        (None, Move::Out) => None,
        (Some(record), Move::In) => Some(join(record, crowds, key, cell)),
        (Some(record), Move::Out) => leave(record, crowds, key, cell),
    });
}

fn join<T>(
    record: Address<T>,
    crowds: &mut Crowds,
    key: (IpAddr, u16),
    cell: &Arc<Cell>,
) -> Address<T> {
    let weight = record.weight.saturating_add(cell.instance.body.weight.into());
    let mut told = record.sharers.cells().to_vec();
    if told.len() < SHARERS_TOLD {
        told.push(cell.clone());
    } else {
        let crowd = crowds.entry(key).or_default();
        crowd.insert(cell.instance.id.clone(), cell.clone());
    }
    let sharers = Sharers::of(told).unwrap_or(record.sharers);
    Address { weight, sharers, ..record }
}

fn leave<T>(
    record: Address<T>,
    crowds: &mut Crowds,
    key: (IpAddr, u16),
    cell: &Arc<Cell>,
) -> Option<Address<T>> {
    let mut told = record.sharers.cells().to_vec();
    let mut crowd = crowds.remove(&key).unwrap_or_default();
    match told.iter().position(|other| Arc::ptr_eq(other, cell)) {
        Some(place) => {
            told.remove(place);
            told.extend(crowd.pop_first().map(|(_, next)| next));
        }
        None => drop(crowd.remove(&cell.instance.id)),
    }
    if !crowd.is_empty() {
        crowds.insert(key, crowd);
    }
    let weight = record.weight.saturating_sub(cell.instance.body.weight.into());
    Some(Address { weight, sharers: Sharers::of(told)?, ..record })
}

#[cfg(test)]
mod tests {
    use super::super::testing::cell;
    use super::*;

    #[test]
    fn a_name_that_changes_under_another_ttl_has_that_in_all_its_chunks() {
        let cell = |n| cell("web", &format!("web-{n}"), &["10.0.0.1"], None, |_| {});
        let close = |node: Option<&Node>, cells: &[Arc<Cell>], ttl_secs| {
            let mut draft = Draft::of(node, Crowds::new());
            for cell in cells {
                draft.want(Move::In);
                draft.answer(Part { cell, port: 80, addresses: true }, Move::In);
            }
            let settings = AnswerSettings { ttl_secs, ..AnswerSettings::default() };
            draft.close(settings, node, &mut Made::default()).0.unwrap()
        };
        let many: Vec<_> = (0..500).map(cell).collect();
        let before = close(None, &many, 60);
        let after = close(Some(&before), &[cell(999)], 1);
        let chunks: Vec<_> = after.srv.iter().flat_map(RRset::priorities).flatten().collect();
        assert!(chunks.len() > 3);
        assert!(chunks.iter().all(|chunk| chunk.ttl() == Some(1)));
    }
}
