//! Records while they are changed: the chunks of one RRset, of which those that changed are open.
//!
//! Chunks are the leaves of a tree of two levels. A change opens one or two of them, closing makes those anew; the
//! others are the very chunks that readers see.

use std::sync::Arc;

use super::chunk::{CHUNK_RECORDS, Chunk};
use super::made::MadeOf;
use super::record::Record;
use super::rrset::RRset;

/// A leaf with fewer records than that joins its neighbour, if both fit into half a chunk.
const FEW_RECORDS: usize = CHUNK_RECORDS / 8;

/// The records of an RRset by priority, best first.
#[derive(Debug)]
pub(super) struct Leaves<R>(Vec<Priority<R>>);

#[derive(Debug)]
struct Priority<R> {
    priority: u16,
    /// In the order of their records; none is empty, and there is one at least.
    leaves: Vec<Leaf<R>>,
}

#[derive(Debug)]
enum Leaf<R> {
    Closed(Arc<Chunk<R>>),
    /// Its records, and the chunk that had most of them.
    Open(Vec<R>, Option<Arc<Chunk<R>>>),
}

impl<R: Record> Leaf<R> {
    fn records(&self) -> &[R] {
        match self {
            Leaf::Closed(chunk) => chunk.records(),
            Leaf::Open(records, _) => records,
        }
    }

    fn open(&mut self) -> &mut Vec<R> {
        if let Leaf::Closed(chunk) = self {
            *self = Leaf::Open(chunk.records().to_vec(), Some(chunk.clone()));
        }
        match self {
            Leaf::Open(records, _) => records,
            Leaf::Closed(_) => unreachable!("it was opened above"),
        }
    }

    /// The chunk that had most of its records.
    fn base(&self) -> Option<Arc<Chunk<R>>> {
        match self {
            Leaf::Closed(chunk) => Some(chunk.clone()),
            Leaf::Open(_, base) => base.clone(),
        }
    }

    fn close(self, ttl: u32, made: &mut MadeOf<R>) -> Arc<Chunk<R>> {
        match self {
            Leaf::Closed(chunk) => chunk,
            Leaf::Open(records, base) => made.chunk(records, ttl, base.as_deref()),
        }
    }
}

impl<R: Record> Leaves<R> {
    /// The records of an RRset; none if there is no RRset.
    pub(super) fn of(rrset: Option<&RRset<R>>) -> Self {
        let priorities = rrset.into_iter().flat_map(RRset::priorities).filter_map(|chunks| {
            let priority = chunks.first()?.records().first()?.priority();
            Some(Priority { priority, leaves: chunks.iter().cloned().map(Leaf::Closed).collect() })
        });
        Self(priorities.collect())
    }

    /// Opens everything: all octets are to be made anew.
    pub(super) fn open_all(&mut self) {
        self.0.iter_mut().flat_map(|priority| &mut priority.leaves).for_each(|leaf| {
            leaf.open();
        });
    }

    /// Changes the record that is as `record` in the RRset's order: `change` is given it, or nothing if there is none,
    /// and gives what is to be there.
    pub(super) fn change(&mut self, record: &R, change: impl FnOnce(Option<R>) -> Option<R>) {
        let priority = record.priority();
        let at = self.0.partition_point(|other| other.priority < priority);
        if self.0.get(at).is_none_or(|other| other.priority != priority) {
            let leaves = vec![Leaf::Open(Vec::new(), None)];
            self.0.insert(at, Priority { priority, leaves });
        }
        let Some(priority) = self.0.get_mut(at) else { return };
        priority.change(record, change);
        if priority.leaves.is_empty() {
            self.0.remove(at);
        }
    }

    /// The RRset of these records, which goes on counting `turns`; `None` without records.
    pub(super) fn close(self, ttl: u32, turns: u64, made: &mut MadeOf<R>) -> Option<RRset<R>> {
        let close = |priority: Priority<R>| {
            priority.leaves.into_iter().map(|leaf| leaf.close(ttl, made)).collect()
        };
        RRset::new(self.0.into_iter().map(close).collect(), turns)
    }
}

impl<R: Record> Priority<R> {
    fn change(&mut self, record: &R, change: impl FnOnce(Option<R>) -> Option<R>) {
        let goes_before = |leaf: &Leaf<R>| {
            leaf.records().first().is_some_and(|first| first.order(record).is_le())
        };
        let at = match self.leaves.len() {
            1 => 0,
            _ => self.leaves.partition_point(goes_before).saturating_sub(1),
        };
        let Some(leaf) = self.leaves.get_mut(at) else { return };
        let place = match leaf.records().last() {
            // While everything is loaded it is always so, and comparing reads the cells.
            Some(last) if last.order(record).is_lt() => Err(leaf.records().len()),
            _ => leaf.records().binary_search_by(|other| other.order(record)),
        };
        let old = place.ok().and_then(|place| leaf.records().get(place).cloned());
        let records = leaf.open();
        match (place, change(old)) {
            (Ok(place), Some(new)) => records[place] = new,
            (Ok(place), None) => drop(records.remove(place)),
            (Err(place), Some(new)) => records.insert(place, new),
            (Err(_), None) => {}
        }
        if records.len() > CHUNK_RECORDS {
            let second = records.split_off(records.len() / 2);
            let base = leaf.base();
            self.leaves.insert(at + 1, Leaf::Open(second, base));
        } else if records.is_empty() {
            self.leaves.remove(at);
        } else if records.len() < FEW_RECORDS {
            self.join(at);
        }
    }

    /// Joins a leaf of few records with the one after it, or else before it, if they fit into half a chunk.
    fn join(&mut self, at: usize) {
        let fit = |first: usize| {
            let both = self.leaves.get(first..first + 2)?;
            let records: usize = both.iter().map(|leaf| leaf.records().len()).sum();
            (records <= CHUNK_RECORDS / 2).then_some(first)
        };
        let before = at.checked_sub(1);
        if let Some(first) = fit(at).or_else(|| before.and_then(fit)) {
            let mut second = self.leaves.remove(first + 1);
            self.leaves[first].open().append(second.open());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::super::record::Srv;
    use super::super::testing::cell;
    use super::*;

    fn srv(id: u16, priority: u16) -> Srv {
        // Most are as long as each other and weigh as much.
        let cell = cell("web", &format!("web-{:03}", id + 700), &["10.0.0.1"], None, |body| {
            body.priority = priority;
            body.weight = if id.is_multiple_of(50) { 2 } else { 1 };
        });
        Srv::new(cell, 1)
    }

    fn listed(rrset: Option<&RRset<Srv>>) -> Vec<(u16, String)> {
        let runs = rrset.into_iter().flat_map(RRset::in_order);
        let records = runs.flat_map(|run| &run.chunk.records()[run.range]);
        records.map(|r| (r.priority(), r.cell.instance.id.to_string())).collect()
    }

    proptest! {
        /// Whatever is put in and taken out, in whichever order and however often it is published meanwhile, the RRset
        /// holds what a sorted map would, and its chunks are within their bounds.
        #[test]
        fn records_are_as_in_a_sorted_map(
            changes in prop::collection::vec((0_u16..600, 0_u16..2, prop::bool::weighted(0.7)), 1..900),
            publish_every in 1_usize..50,
        ) {
            let mut model = BTreeMap::new();
            let mut rrset = None;
            for (nth, changes) in changes.chunks(publish_every).enumerate() {
                let mut leaves = Leaves::of(rrset.as_ref());
                let ttl = if nth / 5 % 2 == 0 { 5 } else { 6 };
                if nth % 5 == 0 {
                    leaves.open_all();
                }
                for (id, priority, add) in changes {
                    let record = srv(*id, *priority);
                    let key = (*priority, record.cell.instance.id.to_string());
                    leaves.change(&record, |_| add.then(|| record.clone()));
                    if *add { model.insert(key, ()); } else { model.remove(&key); }
                }
                rrset = leaves.close(ttl, 0, &mut MadeOf::default());
                prop_assert_eq!(listed(rrset.as_ref()), model.keys().cloned().collect::<Vec<_>>());
                for chunk in rrset.iter().flat_map(RRset::priorities).flatten() {
                    prop_assert!((1..=CHUNK_RECORDS).contains(&chunk.len()));
                    let anew = Chunk::new(chunk.records().to_vec(), ttl, None);
                    prop_assert_eq!(chunk.all_octets(), anew.all_octets());
                    prop_assert_eq!(chunk.weight(), anew.weight());
                    for at in 0..chunk.len() {
                        prop_assert_eq!(chunk.octets(at..at + 1), anew.octets(at..at + 1));
                    }
                }
            }
        }
    }

    #[test]
    fn a_change_leaves_the_other_chunks_as_they_are() {
        let mut leaves = Leaves::of(None);
        for id in 0..1000 {
            leaves.change(&srv(id, 0), |_| Some(srv(id, 0)));
        }
        let before = leaves.close(5, 0, &mut MadeOf::default()).unwrap();
        let mut leaves = Leaves::of(Some(&before));
        leaves.change(&srv(500, 0), |_| None);
        let after = leaves.close(5, 0, &mut MadeOf::default()).unwrap();
        let chunks = |rrset: &RRset<Srv>| -> Vec<_> {
            rrset.priorities().flatten().map(Arc::as_ptr).collect()
        };
        let (before, after) = (chunks(&before), chunks(&after));
        assert!(before.len() >= 8);
        assert_eq!(before.iter().filter(|chunk| !after.contains(chunk)).count(), 1);
    }
}
