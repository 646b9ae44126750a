//! What happened to instances, as rows: the last events, oldest first.

use rusqlite::{Connection, Row, params};

use super::{Batch, Store, StoreError, row};
use crate::access::Door;
use crate::history::{After, By, Event, Fields, Kind};
use crate::registry::{Addresses, InstanceId, ServiceName, State};
use crate::view::Standing;

const INSERT: &str =
    "INSERT OR REPLACE INTO history (revision, unix_ms, service, id, event, reason, changed, state,
        standing, addresses, port, principal, door, source)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";

const SELECT: &str = "SELECT revision, unix_ms, service, id, event, reason, changed, state, standing, addresses, port,
        principal, door, source
    FROM history ORDER BY revision";

/// What the store held of events.
#[derive(Debug, Default)]
pub struct StoredHistory {
    /// The events, oldest first.
    pub events: Vec<Event>,
    /// After this revision none is missing.
    pub gaps: u64,
    /// The revision that no event has reached, whatever was told before the server ended.
    pub reserved_revision: u64,
    /// How many rows could not be read.
    pub skipped: usize,
}

/// Writes the events of a batch, and lets go of those that are forgotten.
pub(super) fn write(conn: &Connection, batch: &Batch<'_>) -> rusqlite::Result<()> {
    let mut insert = conn.prepare_cached(INSERT)?;
    for event in batch.events {
        insert.execute(params![
            row::integer(event.revision),
            row::integer(event.unix_ms),
            event.service.as_str(),
            event.id.as_str(),
            event.kind.as_str(),
            &*event.reason,
            row::joined(" ", event.changed.names()),
            event.after.map(|after| after.state.as_str()),
            event.after.map(|after| after.standing.as_str()),
            row::joined(" ", &*event.addresses),
            event.port,
            event.by.principal.as_deref(),
            event.by.door.as_str(),
            &*event.by.source,
        ])?;
    }
    let mut delete = conn.prepare_cached("DELETE FROM history WHERE revision = ?1")?;
    for revision in batch.forgotten {
        delete.execute(params![row::integer(*revision)])?;
    }
    Ok(())
}

impl Store {
    /// What is stored of events.
    ///
    /// A row that cannot be read is left out, and counted: what happened is told from then on.
    pub fn history(&self) -> Result<StoredHistory, StoreError> {
        self.read_history().map_err(|error| StoreError::sqlite(&self.path, &error))
    }

    fn read_history(&self) -> rusqlite::Result<StoredHistory> {
        let select = "SELECT history_gaps, reserved_revision FROM registry";
        let (gaps, reserved): (i64, i64) =
            self.conn.query_row(select, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let mut stored = StoredHistory {
            gaps: gaps.unsigned_abs(),
            reserved_revision: reserved.unsigned_abs(),
            ..StoredHistory::default()
        };
        let mut statement = self.conn.prepare(SELECT)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            match parse(row) {
                Some(event) => stored.events.push(event),
                None => {
                    stored.skipped += 1;
                    let revision: i64 = row.get(0)?;
                    stored.gaps = stored.gaps.max(revision.unsigned_abs());
                }
            }
        }
        Ok(stored)
    }
}

fn parse(row: &Row<'_>) -> Option<Event> {
    let text = |at: usize| row.get_ref(at).ok()?.as_str().ok();
    let optional = |at: usize| row.get_ref(at).ok()?.as_str_or_null().ok();
    let number = |at: usize| row.get::<_, i64>(at).ok().map(i64::unsigned_abs);
    let after = match (optional(7)?, optional(8)?) {
        (Some(state), Some(standing)) => {
            let state = State::parse(state).ok()?;
            Some(After { state, standing: Standing::parse(standing)? })
        }
        _ => None,
    };
    let addresses = text(9)?.split(' ').map(|address| address.parse().ok());
    let addresses: Option<Vec<_>> = addresses.collect();
    Some(Event {
        revision: number(0)?,
        unix_ms: number(1)?,
        service: ServiceName::parse(text(2)?).ok()?,
        id: InstanceId::parse(text(3)?).ok()?,
        kind: Kind::parse(text(4)?)?,
        reason: text(5)?.into(),
        changed: Fields::parse(text(6)?)?,
        after,
        addresses: Addresses::from(addresses?),
        port: u16::try_from(number(10)?).ok()?,
        by: By {
            principal: optional(11)?.map(Into::into),
            door: Door::parse(text(12)?)?,
            source: text(13)?.into(),
        },
    })
}
