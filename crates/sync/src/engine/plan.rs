//! What a run would do, told from the file alone: nothing is asked of a forge and nothing is written.

use annals_core::ProjectId;
use annals_db::control::sweep::{self, SweepOf};
use annals_db::ids::{JobType, Pass};
use annals_db::work::{cursor, dirty, job};
use annals_db::{Db, Error as DbError, ReadConn};
use annals_net_adapter::Cx;
use serde::Serialize;

use super::options::{Reading, SyncOptions, Target};
use super::resolve::{self, Resolved};
use super::result::cursor_text;
use super::sweep::{Due, judge};
use super::writer::Events;
use crate::error::Error;
use crate::forge::{Catalogue, Stream};

/// What a run would do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// Each project, in the order asked for.
    pub projects: Vec<ProjectPlan>,
    /// Sources whose documents are owed.
    pub dirty: u64,
    /// Requests that this takes at least, without those of projects that are new.
    pub requests: u64,
}

/// What a run would do for a project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProjectPlan {
    /// Its path.
    pub path: String,
    /// Whether the file has it; of a new one nothing else is known.
    pub known: bool,
    /// Its streams, in the order in which they are read.
    pub streams: Vec<StreamPlan>,
    /// Dependent jobs that are due.
    pub jobs: u64,
    /// Whether everything there is would be compared with what is here.
    pub sweep: bool,
    /// Requests that this takes at least.
    pub requests: Option<u64>,
}

/// Where a run would read a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StreamPlan {
    /// Its name.
    pub stream: String,
    /// Where it is read to.
    pub cursor: Option<String>,
    /// Where a full pass under way is.
    pub full_cursor: Option<String>,
    /// Before when nothing is mirrored.
    pub floor: Option<String>,
}

/// Says what [`sync`](super::sync) would do with the same arguments.
///
/// # Errors
/// [`Error::Target`], [`Error::UnknownProject`], [`Error::AmbiguousProject`], or a failure of the
/// file.
///
/// # Cancel safety
/// It only reads.
pub async fn plan(cx: &Cx, db: &Db, targets: &[Target], options: &SyncOptions) -> Result<Plan, Error> {
    let resolved = resolve::resolve(cx, db, options, targets).await?;
    let (now, options) = (cx.unix_ms().0, options.clone());
    let plan = db.read(cx, move |conn| {
        let mut plan = Plan {
            dirty: dirty::count(conn)?,
            ..Plan::default()
        };
        for project in resolved {
            let planned = match project {
                Resolved::Known { known, .. } => of_known(conn, known.id, known.path, &options, now)?,
                Resolved::New(url) => ProjectPlan::new_at(url.path),
            };
            plan.requests += planned.requests.unwrap_or_default();
            plan.projects.push(planned);
        }
        Ok(plan)
    });
    Ok(plan.await?)
}

/// The same where there is no file yet: every address is new, and nothing else is known.
///
/// # Errors
/// [`Error::Target`] or [`Error::UnknownProject`].
pub fn plan_anew(targets: &[Target], options: &SyncOptions) -> Result<Plan, Error> {
    let mut plan = Plan::default();
    let mut addresses = Vec::new();
    for target in targets {
        let address = match target {
            Target::Url(text) => options.project_url(text, &[])?,
            Target::Path(path) => return Err(Error::UnknownProject { path: path.clone() }),
            Target::Id(id) => {
                return Err(Error::UnknownProject {
                    path: format!("with row {id}"),
                });
            }
        };
        if !addresses.contains(&address) {
            plan.projects.push(ProjectPlan::new_at(address.path.clone()));
            addresses.push(address);
        }
    }
    Ok(plan)
}

impl ProjectPlan {
    /// The plan for a project that the file does not have.
    fn new_at(path: String) -> Self {
        Self {
            path,
            known: false,
            streams: Vec::new(),
            jobs: 0,
            sweep: true,
            requests: None,
        }
    }
}

fn of_known(
    conn: &ReadConn<'_>,
    project: ProjectId,
    path: String,
    options: &SyncOptions,
    now: i64,
) -> Result<ProjectPlan, DbError> {
    let page = u64::try_from(options.settings.page_size).unwrap_or(1).max(1);
    let events = if options.settings.events {
        Events::Mirror
    } else {
        Events::Leave
    };
    // The project and its catalogues.
    let mut requests = 1 + u64::try_from(Catalogue::ALL.len()).unwrap_or_default();
    let (mut streams, mut is_swept) = (Vec::new(), false);
    for stream in Stream::ALL {
        let everyday = cursor::get(conn, project, stream.as_str(), Pass::Incremental)?;
        let full = cursor::get(conn, project, stream.as_str(), Pass::Full)?;
        let of = SweepOf {
            project,
            kind: stream.kind(),
        };
        let pages = sweep::living(conn, of)?.div_ceil(page).max(1);
        let point = everyday.as_ref().and_then(|cursor| cursor.point.as_ref());
        let again_from = options
            .since
            .filter(|since| point.is_some_and(|point| *since < point.at));
        requests += match (options.reading, again_from) {
            (Reading::New, None) => 1,
            (Reading::New, Some(since)) => sweep::living_since(conn, of, since)?.div_ceil(page).max(1),
            (Reading::Full, _) => pages,
        };
        if is_due(conn, of, options, now)? {
            is_swept = true;
            requests += pages;
        }
        let text = |cursor: &cursor::Cursor| cursor.point.as_ref().map(cursor_text);
        streams.push(StreamPlan {
            stream: stream.as_str().to_owned(),
            cursor: everyday.as_ref().and_then(text),
            full_cursor: full.as_ref().and_then(text),
            floor: everyday.and_then(|cursor| cursor.floor_at).map(|at| at.rfc3339()),
        });
    }
    let mut jobs = 0;
    for job_type in events.jobs() {
        let owed = job::owed(conn, project, &[job_type])?;
        // Events come in three lists, everything else in one.
        requests += owed * if job_type == JobType::Events { 3 } else { 1 };
        jobs += owed;
    }
    Ok(ProjectPlan {
        path,
        known: true,
        streams,
        jobs,
        sweep: is_swept,
        requests: Some(requests),
    })
}

fn is_due(conn: &ReadConn<'_>, of: SweepOf, options: &SyncOptions, now: i64) -> Result<bool, DbError> {
    let every = i64::try_from(options.settings.sweep_every.as_millis()).unwrap_or(i64::MAX);
    let known = sweep::get(conn, of)?;
    Ok(judge(known.as_ref(), now, every, options.sweep) != Due::No)
}
