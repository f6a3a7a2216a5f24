//! What SQLite itself can tell: pages, indexes, constraints, foreign keys.

use rusqlite::Connection;

use super::{Defect, NAMED, first_of};
use crate::Error;

/// Checks every page, index and constraint.
///
/// # Errors
/// A failure of the file. A file too damaged to be checked is a defect, not an error.
pub fn integrity(conn: &Connection) -> Result<Vec<Defect>, Error> {
    let said = conn
        .prepare(&format!("PRAGMA integrity_check({NAMED})"))
        .and_then(|mut check| {
            check
                .query_map([], |row| row.get::<_, String>(0))?
                .collect::<Result<Vec<_>, _>>()
        });
    match said.map_err(Error::from) {
        Ok(lines) => Ok(lines
            .into_iter()
            .filter(|line| line != "ok")
            .map(Defect::corrupt)
            .collect()),
        Err(Error::Corrupt { what, .. }) => Ok(vec![Defect::corrupt(what)]),
        Err(error) => Err(error),
    }
}

/// Finds rows that refer to rows that are not there.
///
/// # Errors
/// A failure of the file.
pub fn foreign_keys(conn: &Connection) -> Result<Vec<Defect>, Error> {
    let mut check = conn.prepare("PRAGMA foreign_key_check")?;
    let rows = check.query_map([], |row| {
        let (table, row, parent): (String, Option<i64>, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let row = row.map_or_else(String::new, |row| format!(" {row}"));
        Ok(Defect::corrupt(format!(
            "row{row} of {table} refers to a row of {parent} that is not there"
        )))
    })?;
    first_of("rows without their parent", rows)
}
