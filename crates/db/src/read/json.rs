//! How values leave: ids as text.

use annals_core::{ProjectId, UnixMs};
use rusqlite::Row;
use serde::Serializer;

/// A row id as text: ids are names, not numbers to count with.
pub(super) fn project_id<S: Serializer>(id: &ProjectId, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(id)
}

/// A time from a column.
pub(super) fn time(row: &Row<'_>, at: usize) -> rusqlite::Result<Option<UnixMs>> {
    Ok(row.get::<_, Option<i64>>(at)?.map(UnixMs))
}

/// Names from a column that holds a JSON array of texts.
pub(super) fn names(row: &Row<'_>, at: usize) -> rusqlite::Result<Vec<String>> {
    let text: String = row.get(at)?;
    serde_json::from_str(&text)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(at, rusqlite::types::Type::Text, error.into()))
}

/// A JSON value from a column.
pub(super) fn value(row: &Row<'_>, at: usize) -> rusqlite::Result<serde_json::Value> {
    let text: Option<String> = row.get(at)?;
    text.map_or(Ok(serde_json::Value::Null), |text| {
        serde_json::from_str(&text)
            .map_err(|error| rusqlite::Error::FromSqlConversionFailure(at, rusqlite::types::Type::Text, error.into()))
    })
}
