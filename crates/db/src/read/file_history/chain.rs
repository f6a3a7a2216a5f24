//! The names of a file in a project, by indexed look-ups.

use annals_core::files::{Chain, ChainBounds, rename_chain};
use rusqlite::{Connection, params};

use super::Scope;
use crate::Error;

/// What a name was renamed to and from: by a merge request at any of its versions, or by a commit.
///
/// The indexes are named: left to itself SQLite finds the old names by reading every rename of the
/// project, because that index has both columns.
pub(super) const NEIGHBOURS: &str = "
    SELECT c.new_path FROM mr_file_changes c INDEXED BY mr_file_changes_renames
           CROSS JOIN merge_requests m ON m.id = c.mr_id
     WHERE c.project_id = ?1 AND c.old_path = ?2 AND c.change = 'renamed' AND c.from_at <= ?3 AND m.confidential <= ?4
    UNION
    SELECT c.old_path FROM mr_file_changes c INDEXED BY mr_file_changes_by_new_path
           CROSS JOIN merge_requests m ON m.id = c.mr_id
     WHERE c.project_id = ?1 AND c.new_path = ?2 AND c.change = 'renamed' AND c.from_at <= ?3 AND m.confidential <= ?4
    UNION
    SELECT c.new_path FROM commit_file_changes c INDEXED BY commit_file_changes_renames
           CROSS JOIN commits k ON k.id = c.commit_id
     WHERE c.project_id = ?1 AND c.old_path = ?2 AND c.change = 'renamed'
       AND coalesce(k.committer_at, k.author_at, 0) <= ?3
    UNION
    SELECT c.old_path FROM commit_file_changes c INDEXED BY commit_file_changes_by_new_path
           CROSS JOIN commits k ON k.id = c.commit_id
     WHERE c.project_id = ?1 AND c.new_path = ?2 AND c.change = 'renamed'
       AND coalesce(k.committer_at, k.author_at, 0) <= ?3";

/// Every name the file has had by the moment of `scope`.
pub(in crate::read) fn chain(
    conn: &Connection,
    scope: &Scope,
    path: &str,
    bounds: ChainBounds,
) -> Result<Chain, Error> {
    let mut select = conn.prepare_cached(NEIGHBOURS)?;
    rename_chain(path, bounds, |name| {
        let found = select.query_map(params![scope.project.0, name, scope.at, scope.highest], |row| {
            row.get(0)
        })?;
        Ok(found.collect::<Result<Vec<String>, _>>()?)
    })
}
