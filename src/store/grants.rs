//! Principals with their tokens and keys, as rows. A row that cannot be read grants nothing, and is told of.

use std::path::Path;

use rusqlite::{Connection, Row, params};

use super::backup::open_source;
use super::{Store, StoreError, row};
use crate::access::{Edit, Grants, Kept, Kind, SECRET_OCTETS, Scope, ScopeWords};

const PUT_PRINCIPAL: &str = "
    INSERT INTO principals (name, verbs, services, networks, max_instances, max_lease_secs)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
const PUT_CREDENTIAL: &str = "
    INSERT INTO credentials (id, kind, principal, secret, created_unix_ms, expires_unix_ms)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6)";

/// What the store of a data directory grants, without touching it, also while a server has it. Nothing, if there is none.
pub fn grants_of(data_dir: &Path) -> Result<Grants, StoreError> {
    let path = data_dir.join(super::FILE_NAME);
    if !path.exists() {
        return Ok(Grants::default());
    }
    let conn = open_source(&path)?;
    let read = || -> rusqlite::Result<Grants> {
        // An older version granted nothing.
        if !conn.table_exists(None, "credentials")? {
            return Ok(Grants::default());
        }
        Ok(read(&conn)?.0)
    };
    read().map_err(|error| StoreError::sqlite(&path, &error))
}

impl Store {
    /// All that is granted, and what could not be read: table, key and reason.
    pub fn grants(&self) -> Result<(Grants, Vec<String>), StoreError> {
        read(&self.conn).map_err(|error| StoreError::sqlite(&self.path, &error))
    }

    /// Makes a change of what is granted durable.
    pub fn edit_grants(&mut self, edit: &Edit) -> Result<(), StoreError> {
        self.check_in_place()?;
        let written = self.roll_back().and_then(|()| self.write_edit(edit));
        if let Err(error) = written {
            let told = StoreError::sqlite(&self.path, &error);
            let _ = self.roll_back();
            return Err(told);
        }
        Ok(())
    }

    fn write_edit(&self, edit: &Edit) -> rusqlite::Result<()> {
        let conn = &self.conn;
        conn.execute("BEGIN IMMEDIATE", [])?;
        for id in &edit.remove {
            conn.execute("DELETE FROM credentials WHERE id = ?1", params![&**id])?;
        }
        if let Some(name) = &edit.remove_principal {
            conn.execute("DELETE FROM principals WHERE name = ?1", params![&**name])?;
        }
        if let Some((name, scope)) = &edit.principal {
            let verbs: Vec<_> = scope.verbs.named().map(|verb| verb.as_str()).collect();
            conn.execute(
                PUT_PRINCIPAL,
                params![
                    &**name,
                    verbs.join(" "),
                    row::joined(" ", &*scope.services),
                    row::joined(" ", &*scope.networks),
                    scope.max_instances,
                    scope.max_lease_secs
                ],
            )?;
        }
        if let Some(kept) = &edit.put {
            conn.execute(
                PUT_CREDENTIAL,
                params![
                    &*kept.id,
                    kept.kind.as_str(),
                    &*kept.principal,
                    kept.secret,
                    row::integer(kept.created_unix_ms),
                    kept.expires_unix_ms.map(row::integer)
                ],
            )?;
        }
        conn.execute("COMMIT", [])?;
        Ok(())
    }
}

fn read(conn: &Connection) -> rusqlite::Result<(Grants, Vec<String>)> {
    let (mut grants, mut skipped) = (Grants::default(), Vec::new());
    let select =
        "SELECT name, verbs, services, networks, max_instances, max_lease_secs FROM principals";
    let mut statement = conn.prepare(select)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let name: String = row.get(0)?;
        match scope(row).unwrap_or_else(|error| Err(error.to_string())) {
            Ok(scope) => drop(grants.principals.insert(name.into(), scope)),
            Err(reason) => {
                skipped.push(format!("table principals, name `{}`: {reason}", name.escape_debug()));
            }
        }
    }
    let select =
        "SELECT id, kind, principal, secret, created_unix_ms, expires_unix_ms FROM credentials";
    let mut statement = conn.prepare(select)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let id: String = row.get(0)?;
        match kept(row, &id).unwrap_or_else(|error| Err(error.to_string())) {
            Ok(kept) => drop(grants.kept.insert(id.into(), kept)),
            Err(reason) => {
                skipped.push(format!("table credentials, id `{}`: {reason}", id.escape_debug()));
            }
        }
    }
    grants.is_damaged = !skipped.is_empty();
    Ok((grants, skipped))
}

fn scope(row: &Row<'_>) -> rusqlite::Result<Result<Scope, String>> {
    let texts: [String; 3] = [row.get(1)?, row.get(2)?, row.get(3)?];
    let [verbs, services, networks] =
        texts.each_ref().map(|text| text.split_whitespace().collect());
    let words = ScopeWords {
        verbs,
        services,
        networks,
        max_instances: row.get(4)?,
        max_lease_secs: row.get(5)?,
    };
    Ok(Scope::parse(&words).map_err(|(field, reason)| format!("column {field}: {reason}")))
}

fn kept(row: &Row<'_>, id: &str) -> rusqlite::Result<Result<Kept, String>> {
    let word: String = row.get(1)?;
    let kind = [Kind::Token, Kind::Key].into_iter().find(|kind| kind.as_str() == word);
    let Some(kind) = kind else {
        return Ok(Err(format!("column kind: `{}` is neither token nor key", word.escape_debug())));
    };
    let secret: Vec<u8> = row.get(3)?;
    let Ok(secret) = <[u8; SECRET_OCTETS]>::try_from(secret) else {
        return Ok(Err(format!("column secret: does not have {SECRET_OCTETS} octets")));
    };
    let principal: String = row.get(2)?;
    let (created, expires): (i64, Option<i64>) = (row.get(4)?, row.get(5)?);
    Ok(Ok(Kept {
        id: id.into(),
        kind,
        principal: principal.into(),
        secret,
        created_unix_ms: created.unsigned_abs(),
        expires_unix_ms: expires.map(i64::unsigned_abs),
    }))
}
