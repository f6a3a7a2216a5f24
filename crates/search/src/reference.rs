//! How an entity is called: by the path of its project, with the forge's host in front where that path is mirrored from
//! another forge too.

use annals_core::ProjectId;
use annals_db::read::ListItem;
use rusqlite::{Connection, OptionalExtension, params};

/// What a project `p` of a forge `f` is called, in SQL.
pub(crate) const CALLED: &str = "
    CASE WHEN EXISTS (SELECT 1 FROM projects o WHERE o.path_folded = p.path_folded AND o.forge_id <> p.forge_id)
         THEN substr(f.base_url, instr(f.base_url, '://') + 3) || '/' || p.path ELSE p.path END";

/// What a project is called: its path, or `host/path`.
///
/// # Errors
/// A failure of the file.
pub fn called(conn: &Connection, project: ProjectId) -> Result<Option<String>, annals_db::Error> {
    let sql = format!("SELECT {CALLED} FROM projects p JOIN forges f ON f.id = p.forge_id WHERE p.id = ?1");
    let mut select = conn.prepare_cached(&sql)?;
    Ok(select.query_row(params![project.0], |row| row.get(0)).optional()?)
}

/// Puts the host into one reference of a project, if it needs it.
///
/// # Errors
/// A failure of the file.
pub fn name(conn: &Connection, project: ProjectId, reference: &mut String) -> Result<(), annals_db::Error> {
    if let (Some(at), Some(called)) = (reference.rfind(['#', '!']), called(conn, project)?) {
        reference.replace_range(..at, &called);
    }
    Ok(())
}

/// Puts the host into the references of those that need it.
///
/// # Errors
/// A failure of the file.
pub fn qualify(conn: &Connection, items: &mut [ListItem]) -> Result<(), annals_db::Error> {
    for item in items {
        let number = item.reference.strip_prefix(item.project.as_str());
        if let (Some(number), Some(called)) = (number, called(conn, item.project_id)?) {
            item.reference = format!("{called}{number}");
        }
    }
    Ok(())
}
