//! Projects: known by the forge's own id, found by path, old paths kept.

use annals_core::{NativeId, ProjectId, UnixMs};
use rusqlite::{OptionalExtension, params};

use super::Change;
use super::blob::Payload;
use super::revision::{self, Newest, Subject};
use super::state::{self, State};
use crate::ids::{ForgeId, ProjectState, RevisionOp, SubjectKind};
use crate::text::{clean, clean_opt, fold_path};
use crate::{Error, WriteTx};

/// A project as its payload tells it.
#[derive(Debug, Clone)]
pub struct ProjectIn {
    /// The forge's own id.
    pub native_id: NativeId,
    /// `group/subgroup/name`.
    pub path: String,
    /// Its name.
    pub title: String,
    /// What it says about itself.
    pub description: Option<String>,
    /// The branch that is checked out by default.
    pub default_branch: Option<String>,
    /// Who may see it, in the forge's word.
    pub visibility: Option<String>,
    /// Whether it is closed to changes.
    pub archived: bool,
    /// Its page.
    pub web_url: Option<String>,
    /// When it was made.
    pub created_at: Option<UnixMs>,
    /// When it last changed.
    pub updated_at: Option<UnixMs>,
    /// What the forge sent.
    pub payload: Option<Payload>,
}

/// Writes a project that answered, and tracks it if it is new. A new path keeps the old one as a
/// name that still resolves; another project that had the path is missing from now on.
///
/// # Errors
/// A failure of the file.
pub fn upsert_project(tx: &WriteTx<'_>, forge: ForgeId, project: &ProjectIn) -> Result<(ProjectId, Change), Error> {
    let path_folded = fold_path(&project.path);
    displace_namesake(tx, forge, &project.native_id, &path_folded)?;
    let next = Columns::of(project);
    let state = next.state()?;
    let Some(known) = find(tx, forge, &project.native_id)? else {
        let id = insert(tx, forge, project, &next, &path_folded)?;
        let subject = Subject {
            kind: SubjectKind::Project,
            row: id.0,
        };
        let newest = revision::write(
            tx,
            subject,
            RevisionOp::First,
            None,
            &state,
            project.updated_at,
            project.payload.as_ref(),
        )?;
        tx.prepare_cached("UPDATE projects SET revision_id = ?2 WHERE id = ?1")?
            .execute(params![id.0, newest])?;
        return Ok((id, Change::New));
    };
    let back = known.state != ProjectState::Active;
    let same_state = known
        .newest
        .as_ref()
        .is_some_and(|newest| newest.state_hash == state.hash);
    if same_state && !back && known.columns == next {
        return Ok((known.id, Change::Unchanged));
    }
    let seq = tx.content_seq()?;
    let mut newest = known.newest.as_ref().map(|newest| newest.id);
    if !same_state || back {
        let op = if back { RevisionOp::Back } else { RevisionOp::Changed };
        let moved = project
            .updated_at
            .filter(|_| project.updated_at != known.columns.updated_at);
        let subject = Subject {
            kind: SubjectKind::Project,
            row: known.id.0,
        };
        newest = Some(revision::write(
            tx,
            subject,
            op,
            known.newest.as_ref(),
            &state,
            moved,
            project.payload.as_ref(),
        )?);
    }
    let old_path = fold_path(&known.columns.path);
    if old_path != path_folded {
        tx.prepare_cached(
            "INSERT INTO project_paths (project_id, path_folded, until_at) VALUES (?1, ?2, ?3)
             ON CONFLICT DO UPDATE SET until_at = excluded.until_at",
        )?
        .execute(params![known.id.0, old_path, tx.now().0])?;
    }
    tx.prepare_cached(
        "UPDATE projects SET path = ?2, path_folded = ?3, title = ?4, description = ?5, default_branch = ?6,
             visibility = ?7, archived = ?8, web_url = ?9, created_at = ?10, updated_at = ?11, state = 'active',
             moved_to_id = NULL, revision_id = ?12, changed_seq = ?13
         WHERE id = ?1",
    )?
    .execute(params![
        known.id.0,
        next.path,
        path_folded,
        next.title,
        next.description,
        next.default_branch,
        next.visibility,
        next.archived,
        next.web_url,
        next.created_at.map(|at| at.0),
        next.updated_at.map(|at| at.0),
        newest,
        seq
    ])?;
    Ok((
        known.id,
        if same_state && !back {
            Change::Touched
        } else {
            Change::Changed
        },
    ))
}

/// Writes that a project no longer answers, and how. Its entities stay as they are.
///
/// # Errors
/// [`Error::NotFound`] if there is no such project.
pub fn mark_project(tx: &WriteTx<'_>, project: ProjectId, state: ProjectState) -> Result<Change, Error> {
    let (known, newest) = tx
        .prepare_cached(&format!(
            "SELECT p.state, {} FROM projects p LEFT JOIN revisions r ON r.id = p.revision_id WHERE p.id = ?1",
            Newest::COLUMNS
        ))?
        .query_row(params![project.0], |row| {
            Ok((row.get::<_, ProjectState>(0)?, Newest::at(row, 1)?))
        })
        .optional()?
        .ok_or_else(|| Error::missing(format!("project {project}")))?;
    if known == state {
        return Ok(Change::Unchanged);
    }
    let seq = tx.content_seq()?;
    let mut revision = newest.as_ref().map(|newest| newest.id);
    if known == ProjectState::Active {
        let subject = Subject {
            kind: SubjectKind::Project,
            row: project.0,
        };
        revision = Some(revision::write_gone(tx, subject, newest.as_ref())?);
    }
    tx.prepare_cached("UPDATE projects SET state = ?2, revision_id = ?3, changed_seq = ?4 WHERE id = ?1")?
        .execute(params![project.0, state, revision, seq])?;
    Ok(Change::Changed)
}

/// Whether runs include a project.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tracking {
    /// They do.
    On,
    /// They do not; what was mirrored stays.
    Off,
}

/// Includes a project in runs, or leaves it out.
///
/// # Errors
/// A failure of the file.
pub fn set_tracked(tx: &WriteTx<'_>, project: ProjectId, tracking: Tracking) -> Result<Change, Error> {
    let tracked = tracking == Tracking::On;
    let differs = tx
        .prepare_cached("SELECT 1 FROM projects WHERE id = ?1 AND tracked <> ?2")?
        .exists(params![project.0, tracked])?;
    if !differs {
        return Ok(Change::Unchanged);
    }
    let seq = tx.content_seq()?;
    tx.prepare_cached("UPDATE projects SET tracked = ?2, changed_seq = ?3 WHERE id = ?1")?
        .execute(params![project.0, tracked, seq])?;
    Ok(Change::Touched)
}

#[derive(PartialEq)]
struct Columns {
    path: String,
    title: String,
    description: Option<String>,
    default_branch: Option<String>,
    visibility: Option<String>,
    archived: bool,
    web_url: Option<String>,
    created_at: Option<UnixMs>,
    updated_at: Option<UnixMs>,
}

impl Columns {
    fn of(project: &ProjectIn) -> Self {
        let opt = |text: &Option<String>| clean_opt(text.as_deref());
        Self {
            path: clean(&project.path).into_owned(),
            title: clean(&project.title).into_owned(),
            description: opt(&project.description),
            default_branch: opt(&project.default_branch),
            visibility: opt(&project.visibility),
            archived: project.archived,
            web_url: opt(&project.web_url),
            created_at: project.created_at,
            updated_at: project.updated_at,
        }
    }

    fn state(&self) -> Result<State, Error> {
        State::of(&state::ProjectState {
            archived: self.archived,
            default_branch: self.default_branch.as_deref(),
            description: self.description.as_deref(),
            path: &self.path,
            title: &self.title,
            visibility: self.visibility.as_deref(),
        })
    }
}

struct Known {
    id: ProjectId,
    state: ProjectState,
    columns: Columns,
    newest: Option<Newest>,
}

fn find(tx: &WriteTx<'_>, forge: ForgeId, native_id: &NativeId) -> Result<Option<Known>, Error> {
    let found = tx
        .prepare_cached(&format!(
            "SELECT p.id, p.state, p.path, p.title, p.description, p.default_branch, p.visibility, p.archived,
                    p.web_url, p.created_at, p.updated_at, {}
             FROM projects p LEFT JOIN revisions r ON r.id = p.revision_id
             WHERE p.forge_id = ?1 AND p.native_id = ?2",
            Newest::COLUMNS
        ))?
        .query_row(params![forge, clean(native_id.as_str())], |row| {
            let time = |at| row.get::<_, Option<i64>>(at).map(|ms| ms.map(UnixMs));
            Ok(Known {
                id: ProjectId(row.get(0)?),
                state: row.get(1)?,
                columns: Columns {
                    path: row.get(2)?,
                    title: row.get(3)?,
                    description: row.get(4)?,
                    default_branch: row.get(5)?,
                    visibility: row.get(6)?,
                    archived: row.get(7)?,
                    web_url: row.get(8)?,
                    created_at: time(9)?,
                    updated_at: time(10)?,
                },
                newest: Newest::at(row, 11)?,
            })
        })
        .optional()?;
    Ok(found)
}

fn insert(
    tx: &WriteTx<'_>,
    forge: ForgeId,
    project: &ProjectIn,
    next: &Columns,
    path_folded: &str,
) -> Result<ProjectId, Error> {
    let seq = tx.content_seq()?;
    tx.prepare_cached(
        "INSERT INTO projects (forge_id, native_id, path, path_folded, title, description, default_branch, visibility,
                               archived, web_url, tracked, state, created_at, updated_at, changed_seq)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 1, 'active', ?11, ?12, ?13)",
    )?
    .execute(params![
        forge,
        clean(project.native_id.as_str()),
        next.path,
        path_folded,
        next.title,
        next.description,
        next.default_branch,
        next.visibility,
        next.archived,
        next.web_url,
        next.created_at.map(|at| at.0),
        next.updated_at.map(|at| at.0),
        seq
    ])?;
    Ok(ProjectId(tx.last_insert_rowid()))
}

/// A project of another identity that still has this path is not there any more: the forge would not
/// have given the path away. Nothing is merged by name.
fn displace_namesake(tx: &WriteTx<'_>, forge: ForgeId, native_id: &NativeId, path_folded: &str) -> Result<(), Error> {
    let namesake: Option<i64> = tx
        .prepare_cached(
            "SELECT id FROM projects WHERE forge_id = ?1 AND path_folded = ?2 AND state = 'active' AND native_id <> ?3",
        )?
        .query_row(params![forge, path_folded, clean(native_id.as_str())], |row| row.get(0))
        .optional()?;
    if let Some(namesake) = namesake {
        mark_project(tx, ProjectId(namesake), ProjectState::Missing)?;
    }
    Ok(())
}
