//! Whose the names of services are, as rows. Names that are nobody's have none.

use rusqlite::{Connection, params};

use super::{Batch, Store, StoreError, row};
use crate::registry::{Claim, Owner, ServiceName};

const UPSERT: &str = "INSERT INTO claims (service, owner, released_unix_ms) VALUES (?1, ?2, ?3)
    ON CONFLICT (service) DO UPDATE SET owner = excluded.owner, released_unix_ms = excluded.released_unix_ms";

/// A service and whose its name is.
pub type StoredClaim = (ServiceName, Claim);

/// Writes what became of claims, and lets those go whose time is over: nothing if no claim has changed.
pub(super) fn write(conn: &Connection, batch: &Batch<'_>) -> rusqlite::Result<()> {
    let mut changed = false;
    for change in batch.changes {
        let Some(claim) = &change.claim else { continue };
        changed = true;
        let service = change.instance().service.as_str();
        match claim.after {
            Some(Claim { owner, released_unix_ms }) => conn
                .prepare_cached(UPSERT)?
                .execute(params![service, owner.name(), released_unix_ms.map(row::integer)])?,
            None => conn
                .prepare_cached("DELETE FROM claims WHERE service = ?1")?
                .execute(params![service])?,
        };
    }
    if changed {
        conn.prepare_cached("DELETE FROM claims WHERE released_unix_ms <= ?1")?
            .execute(params![row::integer(batch.free_since_unix_ms)])?;
    }
    Ok(())
}

impl Store {
    /// All claims, those that were released in the order of that, and what could not be read: service, column, reason.
    pub fn claims(&self) -> Result<(Vec<StoredClaim>, Vec<String>), StoreError> {
        self.read_claims().map_err(|error| StoreError::sqlite(&self.path, &error))
    }

    fn read_claims(&self) -> rusqlite::Result<(Vec<StoredClaim>, Vec<String>)> {
        let (mut claims, mut skipped) = (Vec::new(), Vec::new());
        let select =
            "SELECT service, owner, released_unix_ms FROM claims ORDER BY released_unix_ms";
        let mut statement = self.conn.prepare(select)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let service: String = row.get(0)?;
            let owner: String = row.get(1)?;
            let released: Option<i64> = row.get(2)?;
            match ServiceName::parse(&service) {
                Ok(service) => claims.push((
                    service,
                    Claim {
                        owner: Owner::named(&owner),
                        released_unix_ms: released.map(i64::unsigned_abs),
                    },
                )),
                Err(invalid) => {
                    let shown = service.escape_debug();
                    skipped.push(format!("table claims, service `{shown}`: {}", invalid.reason));
                }
            }
        }
        Ok((claims, skipped))
    }
}
