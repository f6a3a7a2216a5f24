//! What a verification found, kept with its run.

use annals_core::{EntityKind, Iid, ProjectId, RunId};
use rusqlite::params;

use crate::content::blob::Hash;
use crate::ids::Finding;
use crate::{Error, WriteTx};

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FindingRow {
    /// Whose, where it belongs to a project.
    pub project: Option<ProjectId>,
    /// Which entity, where it belongs to one.
    pub entity: Option<(EntityKind, Iid)>,
    /// What kind.
    pub finding: Finding,
    /// The field or set that differs.
    pub field: Option<String>,
    /// In words.
    pub detail: String,
    /// The hash of the state here.
    pub local: Option<Hash>,
    /// The hash of the state there.
    pub remote: Option<Hash>,
    /// Whether this run mended it.
    pub repaired: bool,
}

/// Keeps the findings of a run, instead of those kept for it before.
///
/// # Errors
/// A failure of the file.
pub fn put_findings(tx: &WriteTx<'_>, run_id: &RunId, findings: &[FindingRow]) -> Result<(), Error> {
    tx.prepare_cached("DELETE FROM verify_findings WHERE run_id = ?1")?
        .execute(params![run_id.as_str()])?;
    let mut insert = tx.prepare_cached(
        "INSERT INTO verify_findings (run_id, project_id, entity_type, iid, finding, field, detail, local_hash,
                                      remote_hash, repaired)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?;
    for row in findings {
        insert.execute(params![
            run_id.as_str(),
            row.project.map(|project| project.0),
            row.entity.map(|(kind, _)| kind.to_string()),
            row.entity.map(|(_, iid)| iid.0),
            row.finding,
            row.field,
            row.detail,
            row.local,
            row.remote,
            row.repaired
        ])?;
    }
    Ok(())
}
