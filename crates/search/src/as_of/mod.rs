//! Searching what was: the same query over the documents as they were at a time.
//!
//! A mirror of that time is made in memory: the rows of the projects that the query asks for, as the
//! store [reads them as of then](annals_db::read::as_of), in the store's own schema. Its documents are
//! made and asked by the code that makes and asks those of today, so the answer is the one that was
//! given then. Nothing is written to the file. What was gone by then is not there: `is:gone` finds
//! nothing, and its words do not weigh in scores as they do in a mirror that hides it.
//!
//! `copy` fills that mirror, `people` finds whom its names mean.

mod copy;
mod people;

use annals_core::{ProjectId, UnixMs};
use annals_db::{Db, WriteTx};
use annals_net_adapter::Cx;
use rusqlite::{Connection, params, params_from_iter, types::Value};

use crate::Error;
use crate::answer::{SearchRequest, SearchResults, answer};
use crate::documents::{drain_page, owe_everything};
use crate::index::{Fts5, Scope};
use crate::query::{self, Condition, Query};

/// The most documents that are made for one search.
pub const MOST_DOCUMENTS: u64 = 50_000;

/// Answers `request` as of `at`, by words alone. Ages in the query count back from `at`.
///
/// # Errors
/// [`Error::Query`] for a filter with a value it cannot have; [`Error::TooMany`] where the projects asked
/// for had more than [`MOST_DOCUMENTS`]; [`Error::Db`] for a failure of the file or a cancelled `cx`.
///
/// # Cancel safety
/// Nothing is written. A search that is cancelled is interrupted within the time of a database read.
pub async fn run_as_of(cx: &Cx, db: &Db, request: &SearchRequest, at: UnixMs) -> Result<SearchResults, Error> {
    let mut query = query::parse(&request.query, at)?;
    query.filters.extend(request.filters.iter().cloned());
    let request = SearchRequest {
        now: at,
        ..request.clone()
    };
    db.read(cx, move |conn| Ok(answer_as_of(conn, &query, &request, at)))
        .await?
}

/// Answers a parsed query as of `at`.
///
/// # Errors
/// As [`run_as_of`].
pub fn answer_as_of(
    conn: &Connection,
    query: &Query,
    request: &SearchRequest,
    at: UnixMs,
) -> Result<SearchResults, Error> {
    let projects = projects(conn, query, request)?;
    let documents = count(conn, &projects, at)?;
    if documents > MOST_DOCUMENTS {
        return Err(Error::TooMany { documents });
    }
    let mirror = copy::mirror_at(conn, &request.visibility, &projects, at)?;
    WriteTx::run(&mirror, at, |tx| {
        owe_everything(tx, &Fts5)?;
        while drain_page(tx, &Fts5)?.sources > 0 {}
        Ok(())
    })?;
    Ok(answer(&mirror, &Fts5, query, request)?)
}

/// The projects that the query asks for and its reader may see.
fn projects(conn: &Connection, query: &Query, request: &SearchRequest) -> Result<Vec<ProjectId>, annals_db::Error> {
    let mut of_projects = Query::default();
    of_projects.filters.extend(
        query
            .filters
            .iter()
            .filter(|filter| matches!(filter.condition, Condition::Project(_) | Condition::Forge(_)))
            .cloned(),
    );
    let scope = Scope::new(conn, &of_projects, &request.visibility)?.of(&request.projects);
    // A project stands for its documents: these filters look at nothing else of them.
    let sql = format!(
        "SELECT d.project_id FROM (SELECT id AS project_id, 0 AS flags, '' AS kind, 0 AS source_id FROM projects) d
          WHERE ?1 = '' AND {} ORDER BY d.project_id",
        scope.condition()
    );
    let values = std::iter::once(Value::Text(String::new())).chain(scope.values().iter().cloned());
    let mut select = conn.prepare(&sql)?;
    let rows = select.query_map(params_from_iter(values), |row| Ok(ProjectId(row.get(0)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// How many documents there were at most: what is known to have begun by then.
fn count(conn: &Connection, projects: &[ProjectId], at: UnixMs) -> Result<u64, annals_db::Error> {
    let sql = format!(
        "SELECT (SELECT count(*) FROM issues WHERE project_id = ?1 AND created_at <= ?2)
              + (SELECT count(*) FROM merge_requests WHERE project_id = ?1 AND created_at <= ?2)
              + (SELECT count(*) FROM discussions WHERE project_id = ?1 AND first_note_at <= ?2)
              + (SELECT count(*) FROM commits WHERE {})",
        copy::COMMITS
    );
    let mut select = conn.prepare_cached(&sql)?;
    let mut documents = 0;
    for project in projects {
        documents += select.query_row(params![project.0, at.0], |row| row.get::<_, u64>(0))?;
    }
    Ok(documents)
}
