//! What one publication has made: a service's names mostly hold the same records, so that most chunks of a name are
//! those of another.

use std::collections::HashMap;
use std::sync::Arc;

use super::Hashing;
use super::cell::Cell;
use super::chunk::Chunk;
use super::record::{A, Aaaa, Record, Srv};

/// The chunks of one publication, of every type.
#[derive(Debug, Default)]
pub(super) struct Made {
    pub(super) a: MadeOf<A>,
    pub(super) aaaa: MadeOf<Aaaa>,
    pub(super) srv: MadeOf<Srv>,
}

/// The chunks of one type, by the instance with which they begin and how many records they have: the last one of each.
#[derive(Debug)]
pub(super) struct MadeOf<R>(HashMap<(*const Cell, usize), Arc<Chunk<R>>, Hashing>);

impl<R> Default for MadeOf<R> {
    fn default() -> Self {
        Self(HashMap::default())
    }
}

impl<R: Record> MadeOf<R> {
    /// The chunk of these records, of which there is one at least: another name's, if that has the same ones. All records
    /// of an instance have one TTL, for it is the service's. `base` had most of them.
    pub(super) fn chunk(
        &mut self,
        records: Vec<R>,
        ttl: u32,
        base: Option<&Chunk<R>>,
    ) -> Arc<Chunk<R>> {
        let first = records.first().and_then(Record::cell).map_or(std::ptr::null(), Arc::as_ptr);
        let key = (first, records.len());
        if let Some(chunk) = self.0.get(&key)
            && chunk.records().iter().zip(&records).all(|(there, here)| there.is(here))
        {
            return chunk.clone();
        }
        let chunk = Arc::new(Chunk::new(records, ttl, base));
        self.0.insert(key, chunk.clone());
        chunk
    }
}
