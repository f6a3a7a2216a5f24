//! An issue or merge request as it was, as far as a list shows it.

use annals_core::{EntityKind, Iid, ProjectId, UnixMs};
use rusqlite::{Connection, Row, params};

use super::Certainty;
use super::fold::Record;
use super::pick::{self, Picked};
use super::state::{Head, in_order};
use crate::Error;
use crate::content::blob::Unpack;
use crate::ids::{Detail, EntityId, Files, State, entity_table};
use crate::read::ListItem;
use crate::text::{clean, clean_opt};

/// Selects every entity of a kind that was there at `?1`, as [`Was::read`] reads them.
pub(super) fn select(kind: EntityKind) -> String {
    let own = match kind {
        EntityKind::Issue => "'complete', 'none'",
        EntityKind::MergeRequest => "e.detail, e.files",
    };
    format!(
        "SELECT p.path, p.id, f.name, e.iid, e.created_at, e.updated_at, e.closed_at, e.web_url, e.moved_to, e.flags,
                e.id, e.changed_seq, e.revision_id, c.username, {own}, {}
         FROM {} e JOIN projects p ON p.id = e.project_id JOIN forges f ON f.id = p.forge_id
         LEFT JOIN users c ON c.id = e.closed_by_id
         {}",
        pick::columns("r", "b"),
        entity_table(kind),
        pick::join(kind.into(), "e.id", "e.created_at", "r", "b"),
    )
}

const PICKED: usize = 16;

/// What a row was, if it was there at `at` and the caller, who sees flags up to `highest`, may see it.
pub(super) fn by_row(
    conn: &Connection,
    id: EntityId,
    at: UnixMs,
    highest: i64,
    unpack: &mut Unpack,
) -> Result<Option<Was>, Error> {
    let sql = format!("{} WHERE e.id = ?2 AND e.confidential <= ?3", select(id.kind));
    let mut select = conn.prepare_cached(&sql)?;
    let mut rows = select.query(params![at.0, id.row, highest])?;
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    let was = Was::read(conn, row, id.kind, at, unpack)?;
    Ok(Some(was).filter(|was| i64::from(was.item.confidential) <= highest))
}

/// A row and what it was.
pub(super) struct Was {
    pub item: ListItem,
    pub picked: Picked,
    pub closed_by: Option<String>,
    pub moved_to: Option<String>,
    pub flags: i64,
    pub detail: Detail,
    pub files: Files,
}

impl Was {
    /// Reads a row of [`select`].
    pub fn read(
        conn: &Connection,
        row: &Row<'_>,
        kind: EntityKind,
        at: UnixMs,
        unpack: &mut Unpack,
    ) -> Result<Self, Error> {
        let picked = Picked::read(row, PICKED, at, unpack)?;
        let mut head: Head = picked.state()?;
        let id = EntityId {
            kind,
            row: row.get(10)?,
        };
        let mut record = None;
        if picked.certainty == Certainty::Derived {
            let record = record.insert(Record::of(conn, id, at)?);
            record.fold_back(&mut head, row.get(6)?, at);
        }
        let is_newest = row.get::<_, Option<i64>>(12)? == Some(picked.revision);
        let is_still_so = is_newest && picked.certainty == Certainty::Recorded;
        let column = row.get::<_, Option<i64>>(6)?.filter(|closed| *closed <= at.0);
        let (closed_at, closed_by) = match (head.state(), column) {
            (State::Open, _) => (None, None),
            (_, Some(column)) => (Some(UnixMs(column)), row.get(13)?),
            (State::Closed, None) if !is_still_so => {
                let record = match record {
                    Some(record) => record,
                    None => Record::of(conn, id, at)?,
                };
                record.closed(at).map_or((None, None), |(at, by)| (Some(at), Some(by)))
            }
            (State::Closed | State::Merged | State::Other, None) => (None, None),
        };
        let (project, iid): (String, i64) = (row.get(0)?, row.get(3)?);
        let created_at: Option<i64> = row.get(4)?;
        let item = ListItem {
            reference: format!("{project}{}{iid}", kind.sigil()),
            kind,
            project,
            project_id: ProjectId(row.get(1)?),
            forge: row.get(2)?,
            iid: Iid(iid),
            state: head.state(),
            title: head.title,
            state_reason: head.state_reason,
            draft: head.draft,
            confidential: head.confidential,
            author: head.author,
            assignees: in_order(head.assignees),
            labels: in_order(head.labels),
            milestone: head.milestone.map(|title| clean(&title).into_owned()),
            created_at: created_at.map(UnixMs),
            updated_at: picked.updated_at(row.get(5)?, created_at, at),
            closed_at,
            merged_at: head.merged_at.map(UnixMs),
            url: row.get(7)?,
            gone_at: None,
            gone_reason: None,
            certainty: Some(picked.certainty),
            row: id.row,
            changed_seq: row.get(11)?,
        };
        Ok(Self {
            item,
            // Where it went is in no state: it is known of what is still so.
            moved_to: row.get::<_, Option<String>>(8)?.filter(|_| is_still_so),
            closed_by: clean_opt(closed_by.as_deref()),
            flags: row.get(9)?,
            detail: row.get(14)?,
            files: row.get(15)?,
            picked,
        })
    }
}
