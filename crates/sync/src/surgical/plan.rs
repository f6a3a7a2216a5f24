//! What a surgical run would do, said without the network and without writing a byte.

use annals_core::{EntityKind, Iid, ProjectId, UnixMs};
use annals_db::{Db, ReadConn};
use annals_net_adapter::Cx;
use rusqlite::OptionalExtension;
use serde::Serialize;

use super::request::Request;
use super::run::known;
use crate::engine::{Documents, EntityRef, SyncOptions};
use crate::error::Error;

/// What would be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// The project's path.
    pub project: String,
    /// Each target.
    pub targets: Vec<PlannedTarget>,
    /// The requests that takes if every list comes in one page.
    pub requests: u64,
    /// Whether documents would be made.
    pub documents: bool,
}

/// A target, and what the file has of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlannedTarget {
    /// Issue or merge request.
    pub entity_type: EntityKind,
    /// Its number.
    pub iid: Iid,
    /// Whether the file has it.
    pub known: bool,
    /// Its update time in the file.
    #[serde(with = "annals_core::time::rfc3339_option")]
    pub updated_at: Option<UnixMs>,
    /// Lists that would be fetched with it.
    pub sets: u64,
}

/// Says what a request would do. It reads the file only.
///
/// # Errors
/// [`Error::UnknownProject`], [`Error::AmbiguousProject`], or a failure of the file.
///
/// # Cancel safety
/// It only reads.
pub async fn plan(cx: &Cx, db: &Db, request: &Request, options: &SyncOptions) -> Result<Plan, Error> {
    let known = known(cx, db, options, request.project.clone()).await?;
    let (project, asked, events) = (known.id, request.targets.clone(), options.settings.events);
    let targets = db.read(cx, move |conn| {
        let targets = asked.into_iter().map(|of| target(conn, project, of, events));
        targets.collect::<Result<Vec<_>, _>>()
    });
    let targets = targets.await?;
    let lists: u64 = targets.iter().map(|target| requests_of(target, events)).sum();
    Ok(Plan {
        project: known.path,
        requests: lists,
        documents: options.documents == Documents::Make,
        targets,
    })
}

/// The entity itself, and its lists: state, label and milestone events are three.
fn requests_of(target: &PlannedTarget, events: bool) -> u64 {
    1 + target.sets + if events { 2 } else { 0 }
}

fn target(
    conn: &ReadConn<'_>,
    project: ProjectId,
    EntityRef { entity_type, iid }: EntityRef,
    events: bool,
) -> Result<PlannedTarget, annals_db::Error> {
    let sql = match entity_type {
        EntityKind::Issue => "SELECT updated_at FROM issues WHERE project_id = ?1 AND iid = ?2",
        EntityKind::MergeRequest => "SELECT updated_at FROM merge_requests WHERE project_id = ?1 AND iid = ?2",
    };
    let found: Option<Option<i64>> = conn
        .prepare_cached(sql)?
        .query_row((project.0, iid.0), |row| row.get(0))
        .optional()?;
    let own = match entity_type {
        EntityKind::Issue => 1,
        // Discussions, files, commits, and what it closes.
        EntityKind::MergeRequest => 4,
    };
    Ok(PlannedTarget {
        entity_type,
        iid,
        known: found.is_some(),
        updated_at: found.flatten().map(UnixMs),
        sets: own + u64::from(events),
    })
}
