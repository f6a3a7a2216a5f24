//! The columns of `issues` and `merge_requests`, read and written whole so that "is anything
//! different" is one comparison.

use std::sync::LazyLock;

use annals_core::{EntityKind, NativeId, ProjectId};
use rusqlite::{OptionalExtension, Row, ToSql, params};

use super::revision::Newest;
use crate::ids::{Detail, EntityId, Files, MilestoneId, RevisionId, State, UserId, entity_table};
use crate::text::clean;
use crate::{Error, WriteTx};

/// The columns that both tables have.
#[derive(Debug, PartialEq)]
pub(super) struct Columns {
    pub iid: i64,
    pub title: String,
    pub body: String,
    pub state: State,
    pub state_reason: Option<String>,
    pub issue_type: Option<String>,
    pub confidential: bool,
    pub locked: bool,
    pub author_id: UserId,
    pub milestone_id: Option<MilestoneId>,
    pub closed_by_id: Option<UserId>,
    pub created_at: Option<i64>,
    pub updated_at: Option<i64>,
    pub closed_at: Option<i64>,
    pub due_at: Option<i64>,
    pub web_url: Option<String>,
    pub moved_to: Option<String>,
    pub flags: i64,
}

const SHARED: [&str; 18] = [
    "iid",
    "title",
    "body",
    "state",
    "state_reason",
    "issue_type",
    "confidential",
    "locked",
    "author_id",
    "milestone_id",
    "closed_by_id",
    "created_at",
    "updated_at",
    "closed_at",
    "due_at",
    "web_url",
    "moved_to",
    "flags",
];

impl Columns {
    fn read(row: &Row<'_>, at: usize) -> rusqlite::Result<Self> {
        Ok(Self {
            iid: row.get(at)?,
            title: row.get(at + 1)?,
            body: row.get(at + 2)?,
            state: row.get(at + 3)?,
            state_reason: row.get(at + 4)?,
            issue_type: row.get(at + 5)?,
            confidential: row.get(at + 6)?,
            locked: row.get(at + 7)?,
            author_id: row.get(at + 8)?,
            milestone_id: row.get(at + 9)?,
            closed_by_id: row.get(at + 10)?,
            created_at: row.get(at + 11)?,
            updated_at: row.get(at + 12)?,
            closed_at: row.get(at + 13)?,
            due_at: row.get(at + 14)?,
            web_url: row.get(at + 15)?,
            moved_to: row.get(at + 16)?,
            flags: row.get(at + 17)?,
        })
    }

    fn values(&self) -> [&dyn ToSql; 18] {
        [
            &self.iid,
            &self.title,
            &self.body,
            &self.state,
            &self.state_reason,
            &self.issue_type,
            &self.confidential,
            &self.locked,
            &self.author_id,
            &self.milestone_id,
            &self.closed_by_id,
            &self.created_at,
            &self.updated_at,
            &self.closed_at,
            &self.due_at,
            &self.web_url,
            &self.moved_to,
            &self.flags,
        ]
    }

    /// What the documents of its discussions show of it.
    pub fn shown_below(&self) -> (&str, State, bool) {
        (&self.title, self.state, self.confidential)
    }
}

/// The columns that only `merge_requests` has.
#[derive(Debug, PartialEq)]
pub(super) struct MrColumns {
    pub draft: bool,
    pub source_branch: Option<String>,
    pub target_branch: Option<String>,
    pub source_project: Option<String>,
    pub head_oid: Option<String>,
    pub base_oid: Option<String>,
    pub start_oid: Option<String>,
    pub merge_commit_oid: Option<String>,
    pub squash_oid: Option<String>,
    pub merged_at: Option<i64>,
    pub merged_by_id: Option<UserId>,
    pub detail: Detail,
    pub files: Files,
}

const MR_ONLY: [&str; 13] = [
    "draft",
    "source_branch",
    "target_branch",
    "source_project",
    "head_oid",
    "base_oid",
    "start_oid",
    "merge_commit_oid",
    "squash_oid",
    "merged_at",
    "merged_by_id",
    "detail",
    "files",
];

impl MrColumns {
    fn read(row: &Row<'_>, at: usize) -> rusqlite::Result<Self> {
        Ok(Self {
            draft: row.get(at)?,
            source_branch: row.get(at + 1)?,
            target_branch: row.get(at + 2)?,
            source_project: row.get(at + 3)?,
            head_oid: row.get(at + 4)?,
            base_oid: row.get(at + 5)?,
            start_oid: row.get(at + 6)?,
            merge_commit_oid: row.get(at + 7)?,
            squash_oid: row.get(at + 8)?,
            merged_at: row.get(at + 9)?,
            merged_by_id: row.get(at + 10)?,
            detail: row.get(at + 11)?,
            files: row.get(at + 12)?,
        })
    }

    fn values(&self) -> [&dyn ToSql; 13] {
        [
            &self.draft,
            &self.source_branch,
            &self.target_branch,
            &self.source_project,
            &self.head_oid,
            &self.base_oid,
            &self.start_oid,
            &self.merge_commit_oid,
            &self.squash_oid,
            &self.merged_at,
            &self.merged_by_id,
            &self.detail,
            &self.files,
        ]
    }
}

/// An entity as the file has it.
pub(super) struct Known {
    pub row: i64,
    pub gone: bool,
    pub newest: Option<Newest>,
    pub columns: Columns,
    pub mr: Option<MrColumns>,
}

/// The entity with a native id.
pub(super) fn find(
    tx: &WriteTx<'_>,
    kind: EntityKind,
    project: ProjectId,
    native_id: &NativeId,
) -> Result<Option<Known>, Error> {
    let found = tx
        .prepare_cached(&sql_of(kind).find)?
        .query_row(params![project.0, clean(native_id.as_str())], |row| {
            Ok(Known {
                row: row.get(0)?,
                gone: row.get(1)?,
                newest: Newest::at(row, 2)?,
                columns: Columns::read(row, 7)?,
                mr: match kind {
                    EntityKind::Issue => None,
                    EntityKind::MergeRequest => Some(MrColumns::read(row, 7 + SHARED.len())?),
                },
            })
        })
        .optional()?;
    Ok(found)
}

/// Inserts an entity, without its first revision.
pub(super) fn insert(
    tx: &WriteTx<'_>,
    project: ProjectId,
    native_id: &NativeId,
    columns: &Columns,
    mr: Option<&MrColumns>,
    seq: i64,
) -> Result<i64, Error> {
    let native_id = clean(native_id.as_str());
    let mut values: Vec<&dyn ToSql> = vec![&project.0, &native_id, &seq];
    values.extend(columns.values());
    values.extend(mr.iter().flat_map(|mr| mr.values()));
    tx.prepare_cached(&sql_of(kind_of(mr)).insert)?
        .execute(values.as_slice())?;
    Ok(tx.last_insert_rowid())
}

/// Updates every column; what was updated is not gone.
pub(super) fn update(
    tx: &WriteTx<'_>,
    id: EntityId,
    columns: &Columns,
    mr: Option<&MrColumns>,
    revision: Option<RevisionId>,
    seq: i64,
) -> Result<(), Error> {
    let mut values: Vec<&dyn ToSql> = vec![&id.row, &revision, &seq];
    values.extend(columns.values());
    values.extend(mr.iter().flat_map(|mr| mr.values()));
    tx.prepare_cached(&sql_of(id.kind).update)?.execute(values.as_slice())?;
    Ok(())
}

/// Names the newest revision of an entity that was just inserted.
pub(super) fn set_revision(tx: &WriteTx<'_>, id: EntityId, revision: RevisionId) -> Result<(), Error> {
    let sql = format!("UPDATE {} SET revision_id = ?2 WHERE id = ?1", entity_table(id.kind));
    tx.prepare_cached(&sql)?.execute(params![id.row, revision])?;
    Ok(())
}

/// The statements for one of the tables.
struct Sql {
    find: String,
    insert: String,
    update: String,
}

fn sql_of(kind: EntityKind) -> &'static Sql {
    static ISSUES: LazyLock<Sql> = LazyLock::new(|| Sql::of(EntityKind::Issue));
    static MERGE_REQUESTS: LazyLock<Sql> = LazyLock::new(|| Sql::of(EntityKind::MergeRequest));
    match kind {
        EntityKind::Issue => &ISSUES,
        EntityKind::MergeRequest => &MERGE_REQUESTS,
    }
}

impl Sql {
    fn of(kind: EntityKind) -> Self {
        let table = entity_table(kind);
        let list = |each: &dyn Fn(usize, &str) -> String| {
            let columns: Vec<_> = columns_of(kind)
                .enumerate()
                .map(|(n, column)| each(n + 4, column))
                .collect();
            columns.join(", ")
        };
        Self {
            find: format!(
                "SELECT e.id, e.gone_at IS NOT NULL, {}, {} FROM {table} e LEFT JOIN revisions r ON r.id = e.revision_id
                 WHERE e.project_id = ?1 AND e.native_id = ?2",
                Newest::COLUMNS,
                list(&|_, column| format!("e.{column}")),
            ),
            insert: format!(
                "INSERT INTO {table} (project_id, native_id, changed_seq, {}) VALUES (?1, ?2, ?3, {})",
                list(&|_, column| column.to_owned()),
                list(&|n, _| format!("?{n}")),
            ),
            update: format!(
                "UPDATE {table} SET gone_at = NULL, gone_reason = NULL, revision_id = ?2, changed_seq = ?3, {}
                 WHERE id = ?1",
                list(&|n, column| format!("{column} = ?{n}")),
            ),
        }
    }
}

fn columns_of(kind: EntityKind) -> impl Iterator<Item = &'static str> {
    let own: &[&str] = match kind {
        EntityKind::Issue => &[],
        EntityKind::MergeRequest => &MR_ONLY,
    };
    SHARED.into_iter().chain(own.iter().copied())
}

const fn kind_of(mr: Option<&MrColumns>) -> EntityKind {
    match mr {
        None => EntityKind::Issue,
        Some(_) => EntityKind::MergeRequest,
    }
}
