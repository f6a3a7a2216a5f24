//! `annals demo`: everything that Annals does, in a minute, on this machine alone.
//!
//! A forge with a sample project starts inside the process; it is mirrored over real HTTP into a file of its own, by
//! the same code that mirrors any forge; then the mirror is searched, a thread and the history of a file are shown, and
//! the page is served.

use annals_core::{Code, Report};
use annals_db::Db;
use annals_db::read::{self, Discussion, ProjectCounts, Visibility};
use annals_net_adapter::{Cx, Outcome, Slice};
use annals_search::answer::{Hit, SearchRequest};
use annals_server::AppState;
use annals_sync::SyncResult;
use annals_testkit::forge::SAMPLE_PATH;
use serde::Serialize;

use super::demo_forge::SampleForge;
use super::{Conduct, Run, file_history, serve, sync};
use crate::error::Error;
use crate::output::{Meta, Mode, Reply, Shape};
use crate::session::Session;

/// Mirror a sample project from a forge inside this process, search it and serve it
#[derive(Debug, clap::Args)]
#[command(after_help = "It works offline and leaves one file behind, ./annals-demo.db unless --db names another.")]
pub struct Args {
    /// End when everything was shown, instead of serving the page
    #[arg(long, visible_alias = "no-serve")]
    exit: bool,
}

/// What the demo searches for.
pub const QUERY: &str = "cutover race label:bug";

/// The file that the demo tells the history of; it was renamed twice.
pub const FILE: &str = "src/cutover.rs";

#[derive(Debug, Serialize)]
pub struct Data {
    /// The file.
    pub db: String,
    /// The address of the sample project while the demo runs.
    pub project: String,
    pub sync: SyncResult,
    pub search: Found,
    pub thread: Option<Thread>,
    pub file_history: Option<file_history::Data>,
    /// Where the page is, or would be.
    pub address: String,
    #[serde(skip)]
    pub counts: ProjectCounts,
    #[serde(skip)]
    pub took_ms: u64,
}

#[derive(Debug, Serialize)]
pub struct Found {
    pub query: &'static str,
    pub total: u64,
    pub hits: Vec<Hit>,
}

#[derive(Debug, Serialize)]
pub struct Thread {
    #[serde(rename = "ref")]
    pub reference: String,
    pub discussion: Discussion,
}

impl Run for Args {
    type Data = Data;
    const NAME: &'static str = "demo";
    const EXAMPLES: &'static [&'static str] = &["annals demo", "annals demo --exit --db demo.db"];
    const SLICE: Option<Slice> = Some(Slice::Ingest);
    const CONDUCT: Conduct = Conduct::Serves;

    fn shape(&self) -> Shape {
        Shape {
            fields: &[
                "db",
                "project",
                "sync.*",
                "search.query",
                "search.total",
                "search.hits.*",
                "thread.*",
                "file_history.*",
                "address",
            ],
            list: None,
            minimal: &["db", "search.total", "address"],
        }
    }

    fn overrides(&self) -> Vec<(String, String)> {
        vec![("db.path".to_owned(), "./annals-demo.db".to_owned())]
    }

    async fn run(self, cx: &Cx, session: &Session) -> Result<Reply<Data>, Error> {
        let forge = SampleForge::start(cx, session).await?;
        let human = session.out.mode == Mode::Human;
        if human {
            session
                .out
                .page(cx, |page| super::demo_page::begin(&forge, &session.given, page))?;
        }
        let data = mirror(cx, session, &forge).await;
        forge.stop(cx).await;
        let data = data?;
        if self.exit {
            if human {
                session
                    .out
                    .page(cx, |page| super::demo_page::would_serve(&data, page))?;
                return Ok(Reply::Printed);
            }
            return Ok(data.into());
        }
        serve_page(cx, session, data).await?;
        Ok(Reply::Printed)
    }
}

/// Mirrors, searches and reads. The writer stays open until the end, so that the log is merged into the file by then.
async fn mirror(cx: &Cx, session: &Session, forge: &SampleForge) -> Result<Data, Error> {
    let db = session.mirror_to_write(cx, session.auto_migrate()).await?;
    let told = tell(cx, session, forge, &db).await;
    let closed = db.close(cx).await;
    let data = told?;
    closed.map_err(|error| session.about_mirror(&error))?;
    if session.out.mode == Mode::Human {
        session.out.page(cx, |page| super::demo_page::mirrored(&data, page))?;
    }
    Ok(data)
}

async fn tell(cx: &Cx, session: &Session, forge: &SampleForge, db: &Db) -> Result<Data, Error> {
    let before = cx.now();
    let (result, _) = sync::run(cx, session, db, vec![forge.target()], forge.options(cx, session)?).await?;
    let took = cx.now().since(before);
    let counts = db
        .read(cx, counts)
        .await
        .map_err(|error| session.about_mirror(&error))?;
    let request = SearchRequest {
        limit: 2,
        ..SearchRequest::new(QUERY, cx.unix_ms())
    };
    let found = annals_search::run(cx, db, &request)
        .await
        .map_err(|error| session.about_search(&error))?;
    let best = found.hits.first().map(|hit| hit.reference.clone());
    let thread = db
        .read(cx, move |conn| {
            best.map_or(Ok(None), |reference| thread(conn, &reference))
        })
        .await;
    let history = db.read(cx, history).await;
    Ok(Data {
        db: db.path().display().to_string(),
        project: forge.project_url(),
        sync: result,
        search: Found {
            query: QUERY,
            total: found.total,
            hits: found.hits,
        },
        thread: thread.map_err(|error| session.about_mirror(&error))?,
        file_history: history.map_err(|error| session.about_mirror(&error))?,
        address: serve::address(session.config().server.listen),
        counts,
        took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
    })
}

fn counts(conn: &annals_db::ReadConn<'_>) -> Result<ProjectCounts, annals_db::Error> {
    let projects = read::projects(conn, &Visibility::all())?;
    Ok(projects
        .into_iter()
        .find(|row| row.name.path == SAMPLE_PATH)
        .map(|row| row.counts)
        .unwrap_or_default())
}

/// The discussion with the most notes of what the search found first.
fn thread(conn: &annals_db::ReadConn<'_>, reference: &str) -> Result<Option<Thread>, annals_db::Error> {
    use super::place::{Reference, project};
    let Ok(parsed) = Reference::parse(&[reference.to_owned()]) else {
        return Ok(None);
    };
    let Ok(project) = project(conn, parsed.project.as_deref())? else {
        return Ok(None);
    };
    let Ok(data) = super::show::find(conn, &project, &parsed, super::show::Parts::DISCUSSIONS, None)? else {
        return Ok(None);
    };
    let discussions = data.discussions.unwrap_or_default().into_iter();
    let longest = discussions.max_by_key(|discussion| (discussion.notes.len(), std::cmp::Reverse(discussion.row)));
    Ok(longest.map(|discussion| Thread {
        reference: reference.to_owned(),
        discussion,
    }))
}

/// What touched [`FILE`].
fn history(conn: &annals_db::ReadConn<'_>) -> Result<Option<file_history::Data>, annals_db::Error> {
    let file_history::Owner::One(project) = file_history::owner(conn, Some(SAMPLE_PATH), FILE, None)? else {
        return Ok(None);
    };
    let query = read::FileHistoryQuery::of(project.id, FILE);
    file_history::load(conn, &project, &query, &file_history::Typed::default()).map(Some)
}

/// Serves the page until a signal, in the slice where every server runs.
async fn serve_page(cx: &Cx, session: &Session, mut data: Data) -> Result<(), Error> {
    let slice = session.runtimes.of(Slice::Server).open_slice("server");
    let region = slice.map_err(|error| Error::from(Report::new(Code::Internal, error.to_string())))?;
    let server_cx = region.cx().clone();
    let db = session.mirror(&server_cx).await?;
    let state = AppState::new(&server_cx, db, session.config().server.allowed_hosts.clone());
    let preferred = session.config().server.listen;
    let listener = match annals_server::listen(&server_cx, preferred).await {
        // Somebody else's server there is no reason to show nothing.
        Err(annals_server::Error::AddressInUse { .. }) => {
            annals_server::listen(&server_cx, std::net::SocketAddr::new(preferred.ip(), 0)).await
        }
        listening => listening,
    };
    let listener = listener.map_err(|error| Error::of(&error))?;
    data.address = serve::address(listener.local_addr());
    match session.out.mode {
        Mode::Human => session.out.page(cx, |page| super::demo_page::serves(&data, page))?,
        Mode::Robot => drop(session.out.print(cx, &data, &Meta::default())?),
    }
    let stop = serve::drain(session);
    let spawned = server_cx.spawn("demo.serve", move |cx| async move {
        annals_server::serve(&cx, state, listener, stop).await
    });
    let mut serving = spawned.map_err(|error| Error::from(Report::new(Code::Internal, error.to_string())))?;
    let ended = serving.join(cx).await;
    let report = region.close(cx).await;
    match ended? {
        Outcome::Ok(served) => serve::clean(&served)?,
        Outcome::Err(error) => return Err(Error::of(&error)),
        Outcome::Cancelled(reason) => return Err(annals_core::Cancelled(reason).into()),
        Outcome::Panicked(message) => return Err(Error::from(annals_core::Coded::report(&message))),
    }
    tracing::debug!(tasks = report.drain.completed, "the demo's server has ended");
    Ok(())
}
