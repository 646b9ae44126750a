//! One instance as a row: how it is written, and how it is read back, strictly.
//!
//! Lists are text in one column, because they are only ever read and written whole: a row is one record in
//! one B-tree, without joins. No name, tag or value may hold a control character, so lines keep them apart.

use std::fmt::{self, Write};

use rusqlite::types::ValueRef;
use rusqlite::{CachedStatement, Row, params};

use super::Stored;
use crate::registry::{
    Body, Declared, Instance, InstanceId, Invalid, Label, LeaseTerm, Origin, Override, Owner,
    PortName, Protocol, ServiceName, State, Texts,
};

/// The columns of [`SELECT`], in its order.
#[derive(Debug, Clone, Copy)]
enum Column {
    Service,
    Id,
    Label,
    Addresses,
    Port,
    Protocol,
    Ports,
    LeaseSecs,
    RemainingMs,
    Tags,
    Version,
    Weight,
    Priority,
    Meta,
    State,
    StateReason,
    OverrideState,
    OverrideReason,
    RegisteredUnixMs,
    ChangedUnixMs,
    Revision,
    Owner,
    Origin,
    OverrideUntil,
}

/// Their names, in the same order.
const NAMES: [&str; 24] = [
    "service",
    "id",
    "label",
    "addresses",
    "port",
    "protocol",
    "ports",
    "lease_secs",
    "remaining_ms",
    "tags",
    "version",
    "weight",
    "priority",
    "meta",
    "state",
    "state_reason",
    "override_state",
    "override_reason",
    "registered_unix_ms",
    "changed_unix_ms",
    "revision",
    "owner",
    "origin",
    "override_until_unix_ms",
];

/// In the order of the primary key, which is the order on disk.
pub(super) const SELECT: &str = "
    SELECT service, id, label, addresses, port, protocol, ports, lease_secs, remaining_ms, tags, version, weight,
        priority, meta, state, state_reason, override_state, override_reason, registered_unix_ms, changed_unix_ms,
        revision, owner, origin, override_until_unix_ms
    FROM instances ORDER BY service, id";

/// The 21st parameter says whether a flushed remaining time still holds.
pub(super) const UPSERT: &str = "
    INSERT INTO instances (service, id, label, addresses, port, protocol, ports, lease_secs, tags, version, weight,
        priority, meta, state, state_reason, override_state, override_reason, registered_unix_ms, changed_unix_ms,
        revision, owner, origin, override_until_unix_ms)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?22, ?23, ?24)
    ON CONFLICT (service, id) DO UPDATE SET
        label = excluded.label, addresses = excluded.addresses, port = excluded.port,
        protocol = excluded.protocol, ports = excluded.ports, lease_secs = excluded.lease_secs,
        remaining_ms = iif(?21, remaining_ms, NULL), tags = excluded.tags, version = excluded.version,
        weight = excluded.weight, priority = excluded.priority, meta = excluded.meta,
        state = excluded.state, state_reason = excluded.state_reason,
        override_state = excluded.override_state, override_reason = excluded.override_reason,
        registered_unix_ms = excluded.registered_unix_ms, changed_unix_ms = excluded.changed_unix_ms,
        revision = excluded.revision, owner = excluded.owner, origin = excluded.origin,
        override_until_unix_ms = excluded.override_until_unix_ms";

pub(super) const DELETE: &str = "DELETE FROM instances WHERE service = ?1 AND id = ?2";

pub(super) const FLUSH_REMAINING: &str =
    "UPDATE instances SET remaining_ms = ?3 WHERE service = ?1 AND id = ?2";

/// Binds and runs [`UPSERT`].
pub(super) fn upsert(
    statement: &mut CachedStatement<'_>,
    instance: &Instance,
    keep_remaining: bool,
) -> rusqlite::Result<()> {
    let body = &instance.body;
    let override_ = instance.override_.as_deref();
    statement.execute(params![
        instance.service.as_str(),
        instance.id.as_str(),
        instance.label.as_str(),
        joined(" ", &*body.addresses),
        body.port,
        body.protocol.as_str(),
        joined("\n", body.ports.iter().map(|(name, port)| format!("{name}={port}"))),
        body.lease.secs(),
        body.texts.tag_lines(),
        body.texts.version(),
        body.weight,
        body.priority,
        body.texts.meta_lines(),
        instance.declared.state.as_str(),
        &*instance.declared.reason,
        override_.map(|set| set.declared.state.as_str()),
        override_.map(|set| &*set.declared.reason),
        integer(instance.registered_unix_ms),
        integer(instance.changed_unix_ms),
        integer(instance.revision),
        keep_remaining,
        instance.owner.name(),
        body.origin.as_str(),
        override_.and_then(|set| set.until_unix_ms).map(integer),
    ])?;
    Ok(())
}

/// As SQLite stores it. No revision or time of day gets to the bound.
pub(super) fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn joined<T: fmt::Display>(
    separator: &str,
    items: impl IntoIterator<Item = T>,
) -> String {
    let mut text = String::new();
    for (at, item) in items.into_iter().enumerate() {
        if at > 0 {
            text.push_str(separator);
        }
        // Writing to a String cannot fail.
        let _ = write!(text, "{item}");
    }
    text
}

/// Reads a row of [`SELECT`]; the error's field is a column.
pub(super) fn parse(row: &Row<'_>) -> Result<Stored, Invalid> {
    let columns = Columns(row);
    let body = Body {
        addresses: columns.list(Column::Addresses, ' ', |text| {
            text.parse().map_err(|_| Column::Addresses.invalid(not(text, "an IP address")))
        })?,
        port: columns.integer(Column::Port)?,
        protocol: Protocol::parse(columns.text(Column::Protocol)?)?,
        ports: columns.list(Column::Ports, '\n', |line| columns.port(line))?,
        lease: columns.lease()?,
        texts: Texts::stored(
            columns.optional_text(Column::Version)?,
            columns.text(Column::Tags)?,
            columns.text(Column::Meta)?,
        )?,
        weight: columns.integer(Column::Weight)?,
        priority: columns.integer(Column::Priority)?,
        origin: Origin::stored(columns.text(Column::Origin)?)?,
    };
    let id = InstanceId::parse(columns.text(Column::Id)?)?;
    let instance = Instance {
        service: ServiceName::parse(columns.text(Column::Service)?)?,
        label: Label::stored(&id, columns.text(Column::Label)?)?,
        id,
        body: body.checked()?,
        declared: declared(
            (Column::State, columns.text(Column::State)?),
            (Column::StateReason, columns.text(Column::StateReason)?),
        )?,
        override_: columns.override_()?.map(Box::new),
        registered_unix_ms: columns.integer(Column::RegisteredUnixMs)?,
        changed_unix_ms: columns.integer(Column::ChangedUnixMs)?,
        revision: columns.integer(Column::Revision)?,
        owner: Owner::named(columns.text(Column::Owner)?),
    };
    Ok(Stored { instance, remaining_ms: columns.optional_integer(Column::RemainingMs)? })
}

/// The primary key of a row that cannot be parsed, as far as it can be shown.
pub(super) fn shown_key(row: &Row<'_>) -> String {
    let shown = |at| match row.get_ref(at) {
        Ok(ValueRef::Text(text)) => String::from_utf8_lossy(text).escape_debug().to_string(),
        other => format!("{other:?}"),
    };
    format!("service `{}`, id `{}`", shown(0), shown(1))
}

fn declared(
    (state_column, state): (Column, &str),
    (reason_column, reason): (Column, &str),
) -> Result<Declared, Invalid> {
    let state = State::parse(state).map_err(|error| state_column.invalid(error.reason))?;
    Declared::parse(state, reason).map_err(|error| reason_column.invalid(error.reason))
}

fn not(text: &str, wanted: &str) -> String {
    format!("`{}` is not {wanted}", text.escape_debug())
}

impl Column {
    fn invalid(self, reason: impl Into<String>) -> Invalid {
        Invalid::new(NAMES[self as usize], reason)
    }
}

/// A row's columns by name, each of exactly one type.
struct Columns<'r>(&'r Row<'r>);

impl<'r> Columns<'r> {
    fn value(&self, column: Column) -> Result<ValueRef<'r>, Invalid> {
        self.0.get_ref(column as usize).map_err(|error| column.invalid(error.to_string()))
    }

    fn optional_text(&self, column: Column) -> Result<Option<&'r str>, Invalid> {
        let text = self.value(column)?.as_str_or_null();
        text.map_err(|_| column.invalid("is no text in UTF-8"))
    }

    fn text(&self, column: Column) -> Result<&'r str, Invalid> {
        self.optional_text(column)?.ok_or_else(|| column.invalid("is NULL"))
    }

    fn optional_integer<T: TryFrom<i64>>(&self, column: Column) -> Result<Option<T>, Invalid> {
        let number = self.value(column)?.as_i64_or_null();
        let Some(number) = number.map_err(|_| column.invalid("is no integer"))? else {
            return Ok(None);
        };
        match T::try_from(number) {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(column.invalid(format!("{number} is out of range"))),
        }
    }

    fn integer<T: TryFrom<i64>>(&self, column: Column) -> Result<T, Invalid> {
        self.optional_integer(column)?.ok_or_else(|| column.invalid("is NULL"))
    }

    fn list<T, L: Default + FromIterator<T>>(
        &self,
        column: Column,
        separator: char,
        item: impl Fn(&str) -> Result<T, Invalid>,
    ) -> Result<L, Invalid> {
        let text = self.text(column)?;
        if text.is_empty() {
            return Ok(L::default());
        }
        text.split(separator).map(item).collect()
    }

    fn lease(&self) -> Result<LeaseTerm, Invalid> {
        match self.optional_integer(Column::LeaseSecs)? {
            None => Ok(LeaseTerm::Endless),
            Some(0) => Err(Column::LeaseSecs.invalid("must be at least 1")),
            Some(secs) => Ok(LeaseTerm::Secs(secs)),
        }
    }

    fn port(&self, line: &str) -> Result<(PortName, u16), Invalid> {
        let parts = line.split_once('=').and_then(|(name, port)| Some((name, port.parse().ok()?)));
        let (name, port) = parts.ok_or_else(|| Column::Ports.invalid(not(line, "name=port")))?;
        Ok((PortName::parse("ports", name)?, port))
    }

    fn override_(&self) -> Result<Option<Override>, Invalid> {
        let (state, reason) = (Column::OverrideState, Column::OverrideReason);
        match (self.optional_text(state)?, self.optional_text(reason)?) {
            (None, None) => Ok(None),
            (Some(word), Some(text)) => Ok(Some(Override {
                declared: declared((state, word), (reason, text))?,
                until_unix_ms: self.optional_integer(Column::OverrideUntil)?,
            })),
            _ => Err(state.invalid("needs a reason, and a reason needs a state")),
        }
    }
}
