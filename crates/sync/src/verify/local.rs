//! The level without a network: the file and what is derived inside it.

use std::collections::{BTreeMap, BTreeSet};

use annals_core::{EntityKind, Iid, ProjectId};
use annals_db::check::vectors::Misfit;
use annals_db::check::{self, Defect};
use annals_db::ids::SourceKind;
use annals_db::{Db, Error as DbError, ReadConn};
use annals_net_adapter::Cx;
use annals_search::documents::{Source, check_index, check_page};
use rusqlite::OptionalExtension;

use super::finding::{Level, LevelResult, Named};
use crate::error::Error;

/// How many rows one snapshot looks at: a reader that stays long keeps the log from being emptied.
const PAGE: usize = 500;

/// A check that is one reading.
type Check = fn(&rusqlite::Connection) -> Result<Vec<Defect>, DbError>;

const WHOLE: [(&str, Check); 5] = [
    ("the pages", check::file::integrity),
    ("the foreign keys", check::file::foreign_keys),
    ("the revisions", check::revisions::chains),
    ("the newest revisions", check::revisions::newest),
    ("what is owed", check::owed::all),
];

/// What the level found.
pub struct Local {
    pub level: LevelResult,
    pub findings: Vec<Named>,
    pub derived: Derived,
}

/// Derived data that is to be made again.
#[derive(Debug, Default)]
pub struct Derived {
    /// Sources whose document, or its entry of the text index, is not what it should be.
    pub documents: BTreeSet<Source>,
    /// Whether the text index has entries of no document.
    pub has_strays: bool,
    /// Documents with vectors of another length than their set's.
    pub vectors: Vec<Misfit>,
}

/// Looks at the whole file.
///
/// # Errors
/// A failure of the file other than being damaged, which is a finding.
///
/// # Cancel safety
/// It only reads; a drain ends it before the next page.
pub async fn look(cx: &Cx, db: &Db) -> Result<Local, Error> {
    let mut seen = Seen::default();
    for (name, whole) in WHOLE {
        let found = seen.read(cx, db, name, move |conn| whole(conn)).await?;
        seen.defects.extend(found.into_iter().flatten());
    }
    blobs(cx, db, &mut seen).await?;
    for kind in [EntityKind::Issue, EntityKind::MergeRequest] {
        rows(cx, db, kind, &mut seen).await?;
    }
    for kind in SourceKind::ALL {
        documents(cx, db, *kind, &mut seen).await?;
    }
    index(cx, db, &mut seen).await?;
    vectors(cx, db, &mut seen).await?;
    let paths = seen.read(cx, db, "the projects", paths).await?.unwrap_or_default();
    let path = |id: ProjectId| paths.get(&id).cloned();
    let findings: Vec<_> = seen
        .defects
        .into_iter()
        .map(|defect| Named::of_defect(defect, path))
        .collect();
    let level = LevelResult {
        checked: seen.checked,
        findings: findings.len() as u64,
        ..LevelResult::new(Level::Local)
    };
    Ok(Local {
        level,
        findings,
        derived: seen.derived,
    })
}

#[derive(Default)]
struct Seen {
    checked: u64,
    defects: Vec<Defect>,
    derived: Derived,
}

impl Seen {
    /// Reads for one check. That the file is too damaged for it is what the check has found; the others go on.
    async fn read<T: Send + 'static>(
        &mut self,
        cx: &Cx,
        db: &Db,
        name: &str,
        check: impl FnOnce(&ReadConn<'_>) -> Result<T, DbError> + Send + 'static,
    ) -> Result<Option<T>, Error> {
        let _started = cx.may_start()?;
        match db.read(cx, check).await {
            Ok(found) => Ok(Some(found)),
            Err(DbError::Corrupt { what, .. }) => {
                self.defects
                    .push(Defect::corrupt(format!("{name} cannot be read to the end: {what}")));
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }
}

async fn blobs(cx: &Cx, db: &Db, seen: &mut Seen) -> Result<(), Error> {
    let mut after = None;
    loop {
        let read = move |conn: &ReadConn<'_>| check::blobs::page(conn, after, PAGE);
        let Some(page) = seen.read(cx, db, "the payloads", read).await? else {
            return Ok(());
        };
        seen.checked += page.blobs;
        seen.defects.extend(page.defects);
        match page.last {
            Some(last) => after = Some(last),
            None => return Ok(()),
        }
    }
}

async fn rows(cx: &Cx, db: &Db, kind: EntityKind, seen: &mut Seen) -> Result<(), Error> {
    let name = match kind {
        EntityKind::Issue => "the issues",
        EntityKind::MergeRequest => "the merge requests",
    };
    let mut after = 0;
    loop {
        let read = move |conn: &ReadConn<'_>| check::rows::page(conn, kind, after, PAGE);
        let Some(page) = seen.read(cx, db, name, read).await? else {
            return Ok(());
        };
        seen.checked += page.entities;
        seen.defects.extend(page.defects);
        match page.last {
            Some(last) => after = last,
            None => return Ok(()),
        }
    }
}

async fn documents(cx: &Cx, db: &Db, kind: SourceKind, seen: &mut Seen) -> Result<(), Error> {
    let name = format!("the documents of kind {kind}");
    let mut after = 0;
    loop {
        let read = move |conn: &ReadConn<'_>| -> Result<_, DbError> {
            let page = check_page(conn, kind, after, PAGE)?;
            let is = "is not what its rows give";
            let defects = page.drifted.iter().map(|source| about_document(conn, *source, is));
            let defects = defects.collect::<Result<Vec<_>, _>>()?;
            Ok((page, defects))
        };
        let Some((page, defects)) = seen.read(cx, db, &name, read).await? else {
            return Ok(());
        };
        seen.checked += page.sources;
        seen.defects.extend(defects);
        seen.derived.documents.extend(page.drifted);
        match page.last {
            Some(last) => after = last,
            None => return Ok(()),
        }
    }
}

/// Whether the text index has what there are documents of.
async fn index(cx: &Cx, db: &Db, seen: &mut Seen) -> Result<(), Error> {
    let read = |conn: &ReadConn<'_>| -> Result<_, DbError> {
        let index = check_index(conn)?;
        let is = "is not in the text index";
        let defects = index.unindexed.iter().map(|source| about_document(conn, *source, is));
        let defects = defects.collect::<Result<Vec<_>, _>>()?;
        Ok((index, defects))
    };
    let Some((index, defects)) = seen.read(cx, db, "the text index", read).await? else {
        return Ok(());
    };
    seen.checked += index.documents;
    seen.defects.extend(defects);
    if !index.strays.is_empty() {
        let what = format!("{} entries of the text index belong to no document", index.strays.len());
        seen.defects.push(Defect::drift(what));
    }
    seen.derived.has_strays = !index.strays.is_empty();
    seen.derived.documents.extend(index.unindexed);
    Ok(())
}

/// Whether vectors are as long as those they are compared with.
async fn vectors(cx: &Cx, db: &Db, seen: &mut Seen) -> Result<(), Error> {
    let read = |conn: &ReadConn<'_>| check::vectors::dims(conn);
    let Some(misfits) = seen.read(cx, db, "the vectors", read).await? else {
        return Ok(());
    };
    seen.defects.extend(misfits.iter().map(|misfit| misfit.defect.clone()));
    seen.derived.vectors = misfits;
    Ok(())
}

/// What is wrong with a document, under the name of the entity it is found by.
fn about_document(conn: &ReadConn<'_>, source: Source, is: &str) -> Result<Defect, DbError> {
    let owner = match source.kind {
        SourceKind::Issue => "SELECT project_id, 'issue', iid FROM issues WHERE id = ?1",
        SourceKind::MergeRequest => "SELECT project_id, 'merge_request', iid FROM merge_requests WHERE id = ?1",
        SourceKind::Discussion => {
            "SELECT d.project_id, CASE WHEN i.id IS NULL THEN 'merge_request' ELSE 'issue' END, coalesce(i.iid, m.iid)
             FROM discussions d LEFT JOIN issues i ON i.id = d.issue_id LEFT JOIN merge_requests m ON m.id = d.mr_id
             WHERE d.id = ?1"
        }
        SourceKind::Commit => "SELECT project_id, NULL, NULL FROM commits WHERE id = ?1",
    };
    let owner = conn
        .prepare_cached(owner)?
        .query_row((source.id,), |row| {
            let kind: Option<String> = row.get(1)?;
            let kind = kind.and_then(|kind| kind.parse::<EntityKind>().ok());
            let iid: Option<i64> = row.get(2)?;
            Ok((ProjectId(row.get(0)?), kind.zip(iid.map(Iid))))
        })
        .optional()?;
    Ok(Defect {
        project: owner.map(|(project, _)| project),
        entity: owner.and_then(|(_, entity)| entity),
        ..Defect::drift(format!("the document of {} {} {is}", source.kind, source.id))
    })
}

fn paths(conn: &ReadConn<'_>) -> Result<BTreeMap<ProjectId, String>, DbError> {
    let mut select = conn.prepare_cached("SELECT id, path FROM projects")?;
    let rows = select.query_map((), |row| Ok((ProjectId(row.get(0)?), row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}
