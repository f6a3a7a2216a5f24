//! Entities beside their newest revision: what is shown must be what was recorded.

use annals_core::{EntityKind, Iid, ProjectId};
use rusqlite::{Connection, params};
use serde_json::Value;

use super::Defect;
use crate::Error;
use crate::content::blob::{self, Hash};
use crate::ids::entity_table;

/// A stretch of entities that was looked at.
#[derive(Debug, Default)]
pub struct Checked {
    /// How many.
    pub entities: u64,
    /// The row of the last of them; none when there are no more.
    pub last: Option<i64>,
    /// What is wrong.
    pub defects: Vec<Defect>,
}

/// Compares title, text, state and the marks of the next `limit` entities behind row `after`.
///
/// # Errors
/// A failure of the file.
pub fn page(conn: &Connection, kind: EntityKind, after: i64, limit: usize) -> Result<Checked, Error> {
    let table = entity_table(kind);
    let mut select = conn.prepare_cached(&format!(
        "SELECT t.id, t.project_id, t.iid, t.title, t.body, t.state, t.confidential, t.locked, r.state_hash
         FROM {table} t JOIN revisions r ON r.id = t.revision_id WHERE t.id > ?1 ORDER BY t.id LIMIT ?2"
    ))?;
    let mut rows = select.query(params![after, i64::try_from(limit).unwrap_or(i64::MAX)])?;
    let mut checked = Checked::default();
    while let Some(row) = rows.next()? {
        checked.entities += 1;
        checked.last = Some(row.get(0)?);
        let hash: Hash = row.get(8)?;
        let state = match blob::get(conn, &hash) {
            Ok(bytes) => serde_json::from_slice::<Value>(&bytes).unwrap_or_default(),
            // The check of blobs names it.
            Err(Error::Corrupt { .. }) => continue,
            Err(error) => return Err(error),
        };
        let shown = [
            ("title", Value::from(row.get::<_, String>(3)?)),
            ("body", Value::from(row.get::<_, String>(4)?)),
            ("state", Value::from(row.get::<_, String>(5)?)),
            ("confidential", Value::from(row.get::<_, bool>(6)?)),
            ("locked", Value::from(row.get::<_, bool>(7)?)),
        ];
        let other: Vec<_> = shown
            .iter()
            .filter(|(name, value)| state.get(*name) != Some(value))
            .map(|(name, _)| *name)
            .collect();
        if !other.is_empty() {
            let what = format!("{} of the row and of its newest revision differ", other.join(", "));
            checked.defects.push(Defect {
                entity: Some((kind, Iid(row.get(2)?))),
                ..Defect::drift(what).of(Some(ProjectId(row.get(1)?)))
            });
        }
    }
    Ok(checked)
}
