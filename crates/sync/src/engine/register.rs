//! A project that is new to the file: asked for once by its path, known by its id from then on.

use annals_core::ProjectId;
use annals_db::Db;
use annals_db::content::{self, ForgeIn};
use annals_db::ids::ForgeKind;
use annals_net_adapter::{Cx, Started};

use super::options::SyncOptions;
use super::project::GoneProject;
use super::resolve::{self, KnownProject};
use super::run::Run;
use crate::error::Error;
use crate::forge::budget::ByteBudget;
use crate::forge::gitlab::api_url;
use crate::forge::meter::Meter;
use crate::forge::{Answer, ForgeError, ProjectAnswer, ProjectRef, Via};
use crate::progress::Progress;
use crate::target::ProjectUrl;

/// What adding a project came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Added {
    /// Its row.
    pub project: ProjectId,
    /// Its path, as the forge writes it.
    pub path: String,
    /// The name of its forge.
    pub forge: String,
    /// Whether the file had it before.
    pub was_known: bool,
}

/// Adds the project at `url` to the file, without reading its contents: the next sync does that.
///
/// # Errors
/// [`Error::Target`] for an address that is none; [`Error::Forge`] when the forge has no such
/// project or cannot be asked; a failure of the file.
///
/// # Cancel safety
/// The project is in the file or not.
pub async fn add(cx: &Cx, db: &Db, url: &str, options: &SyncOptions) -> Result<Added, Error> {
    let found = resolve::resolve(cx, db, options, &[super::Target::Url(url.to_owned())]).await?;
    match found.into_iter().next() {
        Some(resolve::Resolved::Known { known, .. }) => {
            let id = known.id;
            db.write(cx, move |tx| content::set_tracked(tx, id, content::Tracking::On))
                .await?;
            Ok(Added {
                project: id,
                path: known.path,
                forge: known.forge_name,
                was_known: true,
            })
        }
        Some(resolve::Resolved::New(url)) => {
            let started = cx.may_start()?;
            let (meter, budget) = (Meter::new(Progress::silent()), ByteBudget::new(options.max_bytes));
            let known = register(cx, started, db, &url, options, &meter, &budget).await?;
            Ok(Added {
                project: known.id,
                path: known.path,
                forge: known.forge_name,
                was_known: false,
            })
        }
        None => Err(Error::UnknownProject { path: url.to_owned() }),
    }
}

/// Asks the forge for the project and gives it a row.
///
/// # Errors
/// As [`add`].
///
/// # Cancel safety
/// The project is in the file or not.
pub(super) async fn register(
    cx: &Cx,
    started: Started,
    db: &Db,
    url: &ProjectUrl,
    options: &SyncOptions,
    meter: &Meter,
    budget: &ByteBudget,
) -> Result<KnownProject, Error> {
    let answer = ask(cx, started, url, options, meter, budget).await?;
    enrol(cx, db, url, options, answer, None).await
}

/// Whoever has the address of a project whose id is gone: another project, made anew or moved there.
/// It gets a row of its own, and runs leave the old one out from now on; nothing is merged by name.
/// `None` if nobody has the address.
///
/// # Errors
/// As [`add`], but for an address that nobody has or shows.
///
/// # Cancel safety
/// The project is in the file or not.
pub(super) async fn successor(
    cx: &Cx,
    started: Started,
    run: &Run,
    url: &ProjectUrl,
    gone: &GoneProject,
) -> Result<Option<KnownProject>, Error> {
    let answer = match ask(cx, started, url, &run.options, &run.meter, &run.budget).await {
        Ok(answer) if answer.project.native_id.as_str() == gone.native => return Ok(None),
        Ok(answer) => answer,
        Err(Error::Forge(ForgeError::NotFound { .. } | ForgeError::Forbidden { .. })) => return Ok(None),
        Err(error) => return Err(error),
    };
    enrol(cx, &run.db, url, &run.options, answer, Some(gone.id))
        .await
        .map(Some)
}

async fn ask(
    cx: &Cx,
    _started: Started,
    url: &ProjectUrl,
    options: &SyncOptions,
    meter: &Meter,
    budget: &ByteBudget,
) -> Result<ProjectAnswer, Error> {
    let forge = resolve::client(cx, options, &url.base_url, serde_json::json!({}))?;
    let flight = budget.flight();
    let via = Via { flight: &flight, meter };
    let (host, what) = (forge.host().to_owned(), format!("project {}", url.path));
    Err(match forge
        .project(cx, via, &ProjectRef::Path(url.path.clone()), None)
        .await?
    {
        Answer::New(answer) => return Ok(answer),
        Answer::Gone(_) | Answer::Moved(_) => ForgeError::NotFound { host, what },
        Answer::Hidden => ForgeError::Forbidden { host, what },
        Answer::NotModified => ForgeError::NotFound {
            host,
            what: "answer to an unconditional request".to_owned(),
        },
    }
    .into())
}

async fn enrol(
    cx: &Cx,
    db: &Db,
    url: &ProjectUrl,
    options: &SyncOptions,
    answer: ProjectAnswer,
    instead_of: Option<ProjectId>,
) -> Result<KnownProject, Error> {
    let (name, _) = options.forge(&url.base_url);
    let base_url = url.base_url.as_str().to_owned();
    let forge_in = ForgeIn {
        name,
        kind: ForgeKind::Gitlab,
        api_url: api_url(&base_url),
        base_url,
    };
    let id = db.write(cx, move |tx| {
        let (forge, _) = content::upsert_forge(tx, &forge_in)?;
        let (project, _) = content::upsert_project(tx, forge, &answer.project)?;
        content::set_tracked(tx, project, content::Tracking::On)?;
        if let Some(gone) = instead_of {
            content::set_tracked(tx, gone, content::Tracking::Off)?;
        }
        Ok(project)
    });
    let id = id.await?;
    let known = db.read(cx, move |conn| resolve::by_id(conn, id)).await?;
    known.ok_or_else(|| Error::UnknownProject { path: url.path.clone() })
}
