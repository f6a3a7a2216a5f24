//! A project's own row and its catalogues.

use annals_db::content::{self, replace_labels, replace_milestones};
use annals_db::{Error, WriteTx};

use super::aside::{keep, settle};
use super::place::{Place, Wrote, fenced};
use crate::forge::{Bad, CatalogueRows, Kept};

/// Writes the project's own row.
pub fn write_project(
    tx: &WriteTx<'_>,
    place: &Place,
    forge: annals_db::ids::ForgeId,
    project: &content::ProjectIn,
    kept: Option<&Kept>,
) -> Result<Wrote, Error> {
    fenced(tx, place, |wrote| {
        let (_, change) = content::upsert_project(tx, forge, project)?;
        wrote.written += u64::from(change.is_written());
        keep(tx, place.project, PROJECT_SCOPE, kept)
    })
}

/// The validator scope of a project's own payload.
pub const PROJECT_SCOPE: &str = "project";

/// Writes a whole catalogue.
pub fn write_catalogue(
    tx: &WriteTx<'_>,
    place: &Place,
    scope: &str,
    rows: &CatalogueRows,
    shape: content::SetShape,
    bad: &[Bad],
    kept: Option<&Kept>,
) -> Result<Wrote, Error> {
    fenced(tx, place, |wrote| {
        // With an unreadable row among them the list does not prove that a row is gone.
        let shape = if bad.is_empty() {
            shape
        } else {
            content::SetShape::Unproven
        };
        let change = match rows {
            CatalogueRows::Labels(labels) => replace_labels(tx, place.project, labels, shape)?,
            CatalogueRows::Milestones(milestones) => replace_milestones(tx, place.project, milestones, shape)?,
        };
        wrote.written += change.written();
        settle(tx, place.project, scope, bad, wrote)?;
        keep(tx, place.project, scope, kept)
    })
}
