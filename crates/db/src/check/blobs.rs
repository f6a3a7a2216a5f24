//! Payloads and states: each must still have the hash it is kept under, and be wanted by somebody.

use rusqlite::{Connection, OptionalExtension, params};

use super::Defect;
use crate::Error;
use crate::content::blob::{self, Hash};

/// A stretch of blobs that was looked at.
#[derive(Debug, Default)]
pub struct Checked {
    /// How many.
    pub blobs: u64,
    /// The last of them; none when there are no more.
    pub last: Option<Hash>,
    /// What is wrong.
    pub defects: Vec<Defect>,
}

/// Hashes the next `limit` blobs behind `after` again.
///
/// # Errors
/// A failure of the file.
pub fn page(conn: &Connection, after: Option<Hash>, limit: usize) -> Result<Checked, Error> {
    let mut select = conn.prepare_cached("SELECT hash FROM blobs WHERE hash > ?1 ORDER BY hash LIMIT ?2")?;
    let after = after.map_or_else(Vec::new, |hash| hash.to_vec());
    let hashes: Vec<Hash> = select
        .query_map(params![after, i64::try_from(limit).unwrap_or(i64::MAX)], |row| {
            row.get(0)
        })?
        .collect::<Result<_, _>>()?;
    let mut checked = Checked::default();
    for hash in hashes {
        checked.blobs += 1;
        checked.last = Some(hash);
        match blob::get(conn, &hash) {
            Ok(_) => {}
            Err(Error::Corrupt { what, .. }) => checked.defects.push(Defect::corrupt(what)),
            Err(error) => return Err(error),
        }
        if !is_wanted(conn, &hash)? {
            let name = blob::hex(&hash);
            checked
                .defects
                .push(Defect::drift(format!("blob {name} is kept for nobody")));
        }
    }
    Ok(checked)
}

fn is_wanted(conn: &Connection, hash: &Hash) -> Result<bool, Error> {
    let wanted = conn
        .prepare_cached(
            "SELECT 1 WHERE EXISTS (SELECT 1 FROM revisions WHERE payload_hash = ?1)
                         OR EXISTS (SELECT 1 FROM revisions WHERE state_hash = ?1)
                         OR EXISTS (SELECT 1 FROM dependent_sets WHERE payload_hash = ?1)
                         OR EXISTS (SELECT 1 FROM quarantine WHERE payload_hash = ?1)",
        )?
        .query_row(params![hash], |_| Ok(()))
        .optional()?;
    Ok(wanted.is_some())
}
