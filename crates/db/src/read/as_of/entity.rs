//! One issue or merge request in full, as it was.

use annals_core::{EntityKind, Iid, ProjectId, UnixMs};
use rusqlite::{Connection, params_from_iter};

use super::item::{self, Was};
use super::state::{Rest, Reviewer};
use crate::Error;
use crate::content::blob::Unpack;
use crate::content::flag;
use crate::ids::{EntityId, State};
use crate::read::clause::Clause;
use crate::read::{self, Entity, MergeRequestPart, Visibility};
use crate::text::{clean, fold};

/// The entity with a number as it was at `at`, if it was there and the caller may see it.
///
/// # Errors
/// A failure of the file; [`Error::Corrupt`] if its state cannot be read.
pub fn entity(
    conn: &Connection,
    visibility: &Visibility,
    kind: EntityKind,
    project: ProjectId,
    iid: Iid,
    at: UnixMs,
) -> Result<Option<Entity>, Error> {
    let mut clause = Clause::default();
    clause.visible(visibility, "e.project_id", Some("e.confidential"));
    clause.with("e.project_id = ? AND e.iid = ?", [project.0.into(), iid.0.into()]);
    let sql = format!("{} WHERE {}", item::select(kind), clause.sql());
    let mut select = conn.prepare_cached(&sql)?;
    let mut rows = select.query(params_from_iter(clause.values_after(at.0.into())))?;
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    let was = Was::read(conn, row, kind, at, &mut Unpack::default())?;
    if was.item.confidential && !visibility.shows_confidential() {
        return Ok(None);
    }
    whole(was).map(Some)
}

/// Every issue or merge request of a project as it was at `at`, as far as the caller may see it, one by one
/// and in no particular order.
///
/// # Errors
/// A failure of the file; [`Error::Corrupt`] if a state cannot be read; what `found` failed with.
pub fn each(
    conn: &Connection,
    visibility: &Visibility,
    kind: EntityKind,
    project: ProjectId,
    at: UnixMs,
    found: &mut dyn FnMut(Entity) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut clause = Clause::default();
    clause.visible(visibility, "e.project_id", Some("e.confidential"));
    clause.with("e.project_id = ?", [project.0.into()]);
    let sql = format!("{} WHERE {}", item::select(kind), clause.sql());
    let mut select = conn.prepare_cached(&sql)?;
    let mut rows = select.query(params_from_iter(clause.values_after(at.0.into())))?;
    let mut unpack = Unpack::default();
    while let Some(row) = rows.next()? {
        let was = Was::read(conn, row, kind, at, &mut unpack)?;
        if visibility.shows_confidential() || !was.item.confidential {
            found(whole(was)?)?;
        }
    }
    Ok(())
}

/// What a row was, if it was there at `at` and the caller, who sees flags up to `highest`, may see it.
pub(in crate::read) fn by_row(
    conn: &Connection,
    id: EntityId,
    at: UnixMs,
    highest: i64,
    unpack: &mut Unpack,
) -> Result<Option<Entity>, Error> {
    item::by_row(conn, id, at, highest, unpack)?.map(whole).transpose()
}

/// What a row was, with what only its page shows.
fn whole(was: Was) -> Result<Entity, Error> {
    let rest: Rest = was.picked.state()?;
    let is_merged = was.item.state == State::Merged;
    let merge_request = (was.item.kind == EntityKind::MergeRequest).then(|| MergeRequestPart {
        source_branch: rest.source_branch,
        target_branch: rest.target_branch,
        source_project: rest.source_project,
        head_oid: rest.head_oid,
        base_oid: rest.base_oid,
        // What was not merged yet had neither, though the first state that was seen may.
        merge_commit_oid: rest.merge_commit_oid.filter(|_| is_merged),
        squash_oid: rest.squash_oid.filter(|_| is_merged),
        merged_by: rest.merged_by.filter(|_| is_merged),
        reviewers: reviewers(rest.reviewers),
        detail: was.detail,
        files: was.files,
    });
    Ok(Entity {
        item: was.item,
        body: rest.body,
        locked: rest.locked,
        issue_type: rest.issue_type,
        closed_by: was.closed_by,
        due_at: rest.due_at.map(UnixMs),
        moved_to: was.moved_to,
        time_suspect: was.flags & flag::TIME_SUSPECT != 0,
        body_truncated: was.flags & flag::BODY_TRUNCATED != 0,
        merge_request,
    })
}

fn reviewers(mut reviewers: Vec<Reviewer>) -> Vec<read::Reviewer> {
    reviewers.sort_by_cached_key(|reviewer| (fold(&reviewer.name), reviewer.name.clone()));
    let shown = reviewers.into_iter().map(|reviewer| read::Reviewer {
        user: clean(&reviewer.name).into_owned(),
        state: reviewer.state,
    });
    shown.collect()
}
