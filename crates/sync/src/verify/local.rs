//! The level without a network: the file and what is derived inside it.

use std::collections::BTreeMap;

use annals_core::{EntityKind, Iid, ProjectId};
use annals_db::check::{self, Defect};
use annals_db::ids::SourceKind;
use annals_db::{Db, Error as DbError, ReadConn};
use annals_net_adapter::Cx;
use annals_search::documents::{Source, check_page};
use rusqlite::OptionalExtension;

use super::finding::{Level, LevelResult, Named};
use crate::error::Error;

/// How many rows one snapshot looks at: a reader that stays long keeps the log from being emptied.
const PAGE: usize = 500;

/// What the level found.
pub struct Local {
    pub level: LevelResult,
    pub findings: Vec<Named>,
    /// Sources whose document is to be made again.
    pub drifted: Vec<Source>,
}

/// Looks at the whole file.
///
/// # Errors
/// A failure of the file other than being damaged, which is a finding.
///
/// # Cancel safety
/// It only reads; a drain ends it before the next page.
pub async fn look(cx: &Cx, db: &Db) -> Result<Local, Error> {
    let mut seen = Seen {
        checked: 0,
        defects: Vec::new(),
        drifted: Vec::new(),
    };
    for whole in [
        check::file::integrity as fn(&rusqlite::Connection) -> Result<Vec<Defect>, DbError>,
        check::file::foreign_keys,
        check::revisions::chains,
        check::revisions::newest,
        check::owed::all,
    ] {
        let _started = cx.may_start()?;
        seen.defects.extend(db.read(cx, move |conn| whole(conn)).await?);
    }
    blobs(cx, db, &mut seen).await?;
    for kind in [EntityKind::Issue, EntityKind::MergeRequest] {
        rows(cx, db, kind, &mut seen).await?;
    }
    for kind in SourceKind::ALL {
        documents(cx, db, *kind, &mut seen).await?;
    }
    let paths = db.read(cx, paths).await?;
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
        drifted: seen.drifted,
    })
}

struct Seen {
    checked: u64,
    defects: Vec<Defect>,
    drifted: Vec<Source>,
}

async fn blobs(cx: &Cx, db: &Db, seen: &mut Seen) -> Result<(), Error> {
    let mut after = None;
    loop {
        let _started = cx.may_start()?;
        let page = db.read(cx, move |conn| check::blobs::page(conn, after, PAGE)).await?;
        seen.checked += page.blobs;
        seen.defects.extend(page.defects);
        match page.last {
            Some(last) => after = Some(last),
            None => return Ok(()),
        }
    }
}

async fn rows(cx: &Cx, db: &Db, kind: EntityKind, seen: &mut Seen) -> Result<(), Error> {
    let mut after = 0;
    loop {
        let _started = cx.may_start()?;
        let page = db
            .read(cx, move |conn| check::rows::page(conn, kind, after, PAGE))
            .await?;
        seen.checked += page.entities;
        seen.defects.extend(page.defects);
        match page.last {
            Some(last) => after = last,
            None => return Ok(()),
        }
    }
}

async fn documents(cx: &Cx, db: &Db, kind: SourceKind, seen: &mut Seen) -> Result<(), Error> {
    let mut after = 0;
    loop {
        let _started = cx.may_start()?;
        let (page, defects) = db
            .read(cx, move |conn| {
                let page = check_page(conn, kind, after, PAGE)?;
                let defects = page.drifted.iter().map(|source| stale_document(conn, *source));
                let defects = defects.collect::<Result<Vec<_>, _>>()?;
                Ok((page, defects))
            })
            .await?;
        seen.checked += page.sources;
        seen.defects.extend(defects);
        seen.drifted.extend(page.drifted);
        match page.last {
            Some(last) => after = last,
            None => return Ok(()),
        }
    }
}

/// A document that is not what its source gives, under the name of the entity it is found by.
fn stale_document(conn: &ReadConn<'_>, source: Source) -> Result<Defect, DbError> {
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
        finding: annals_db::ids::Finding::Drift,
        project: owner.map(|(project, _)| project),
        entity: owner.and_then(|(_, entity)| entity),
        what: format!(
            "the document of {} {} is not what its rows give",
            source.kind, source.id
        ),
    })
}

fn paths(conn: &ReadConn<'_>) -> Result<BTreeMap<ProjectId, String>, DbError> {
    let mut select = conn.prepare_cached("SELECT id, path FROM projects")?;
    let rows = select.query_map((), |row| Ok((ProjectId(row.get(0)?), row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}
