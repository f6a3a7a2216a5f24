//! `annals show REF`: one issue or merge request with what hangs on it.

use annals_core::{Code, EntityKind, Report};
use annals_db::ReadConn;
use annals_db::ids::EntityId;
use annals_db::read::{self, Discussion, Entity, Event, File, NotePage, ProjectName, Revision, Visibility};
use annals_net_adapter::Cx;
use serde::Serialize;

use super::Run;
use super::place::{self, Reference};
use crate::error::Error;
use crate::output::{Reply, Shape};
use crate::session::Session;

/// Show an issue or merge request
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Ways to write REF: issue 12, mr 42, '#12', '!42', group/project#12, group/project!42, or the \
                        address at the forge. Without a project it is the one of -p, or the only one."
)]
pub struct Args {
    /// Which one
    #[arg(value_name = "REF", required = true, num_args = 1..=2)]
    reference: Vec<String>,
    #[command(flatten)]
    parts: Parts,
}

/// What to show beside the entity itself.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
#[command(next_help_heading = "What else to show of one")]
pub struct Parts {
    /// With its discussions
    #[arg(long)]
    discussions: bool,
    /// With its state, label and milestone events
    #[arg(long)]
    events: bool,
    /// With the files it changes
    #[arg(long)]
    files: bool,
    /// With what was recorded of it, and when
    #[arg(long)]
    revisions: bool,
}

/// An entity; parts that were not asked for are null.
#[derive(Debug, Serialize)]
pub struct Data {
    pub entity: Entity,
    pub discussions: Option<Vec<Discussion>>,
    pub events: Option<Vec<Event>>,
    pub files: Option<Vec<File>>,
    pub revisions: Option<Vec<Revision>>,
    /// How much there is, whether it was asked for or not.
    #[serde(skip)]
    pub notes: u64,
}

#[rustfmt::skip]
pub const SHAPE: Shape = Shape {
    fields: &[
        "entity.ref", "entity.kind", "entity.project", "entity.project_id", "entity.forge", "entity.iid",
        "entity.title", "entity.state", "entity.state_reason", "entity.draft", "entity.confidential", "entity.author",
        "entity.assignees", "entity.labels", "entity.milestone", "entity.created_at", "entity.updated_at",
        "entity.closed_at", "entity.merged_at", "entity.url", "entity.gone_at", "entity.gone_reason", "entity.body",
        "entity.locked", "entity.issue_type", "entity.closed_by", "entity.due_at", "entity.moved_to",
        "entity.time_suspect", "entity.body_truncated",
        "entity.merge_request.source_branch", "entity.merge_request.target_branch",
        "entity.merge_request.source_project", "entity.merge_request.head_oid", "entity.merge_request.base_oid",
        "entity.merge_request.merge_commit_oid", "entity.merge_request.squash_oid", "entity.merge_request.merged_by",
        "entity.merge_request.reviewers.user", "entity.merge_request.reviewers.state",
        "entity.merge_request.detail", "entity.merge_request.files",
        "discussions.id", "discussions.kind", "discussions.resolvable", "discussions.resolved",
        "discussions.resolved_by", "discussions.resolved_at", "discussions.gone_at", "discussions.notes.id",
        "discussions.notes.author", "discussions.notes.author_kind", "discussions.notes.body",
        "discussions.notes.kind", "discussions.notes.system", "discussions.notes.internal",
        "discussions.notes.created_at", "discussions.notes.updated_at", "discussions.notes.gone_at",
        "discussions.notes.position.old_path", "discussions.notes.position.new_path",
        "discussions.notes.position.old_line", "discussions.notes.position.new_line",
        "discussions.notes.position.start_line", "discussions.notes.position.side",
        "discussions.notes.position.head_oid", "discussions.notes.position.outdated",
        "events.at", "events.kind", "events.action", "events.subject", "events.actor", "events.origin",
        "events.gone_at",
        "files.old_path", "files.new_path", "files.change", "files.additions", "files.deletions", "files.binary",
        "files.too_large",
        "revisions.seq", "revisions.op", "revisions.valid_from", "revisions.observed_at", "revisions.changed",
    ],
    list: None,
    minimal: &["entity.ref", "entity.title", "entity.state", "entity.author", "entity.updated_at", "entity.url"],
};

impl Run for Args {
    type Data = Data;
    const NAME: &'static str = "show";

    fn shape(&self) -> Shape {
        SHAPE
    }

    async fn run(self, cx: &Cx, session: &Session) -> Result<Reply<Data>, Error> {
        let reference = Reference::parse(&self.reference)?;
        load(cx, session, reference, self.parts).await
    }
}

/// One entity, by words.
pub async fn one(cx: &Cx, session: &Session, words: &[String], parts: Parts) -> Result<Reply<Data>, Error> {
    load(cx, session, Reference::parse(words)?, parts).await
}

async fn load(cx: &Cx, session: &Session, reference: Reference, parts: Parts) -> Result<Reply<Data>, Error> {
    let db = session.mirror(cx).await?;
    let flag = session.global.project.clone();
    let found = db.read(cx, move |conn| match project_of(conn, &reference, flag.as_deref())? {
        Ok(project) => find(conn, &project, &reference, parts),
        Err(report) => Ok(Err(place::with_actions(report, |project| {
            reference.command(project) + &parts.flags()
        }))),
    });
    Ok(found.await.map_err(|error| session.about_mirror(&error))??.into())
}

/// The project of a reference, which `-p` may name too.
fn project_of(
    conn: &ReadConn<'_>,
    reference: &Reference,
    flag: Option<&str>,
) -> Result<Result<ProjectName, Report>, annals_db::Error> {
    match (reference.project.as_deref(), flag) {
        (Some(named), Some(flag)) => place::both(conn, named, flag),
        (one, other) => place::project(conn, one.or(other)),
    }
}

/// The row that a reference means.
pub fn entity_of(
    conn: &ReadConn<'_>,
    reference: &Reference,
    flag: Option<&str>,
) -> Result<Result<EntityId, Report>, annals_db::Error> {
    let project = match project_of(conn, reference, flag)? {
        Ok(project) => project,
        Err(report) => return Ok(Err(report)),
    };
    let kind = reference.kind.unwrap_or(EntityKind::Issue);
    Ok(match read::entity_updated_at(conn, project.id, kind, reference.iid)? {
        Some((entity, _)) => Ok(entity),
        None => Err(missing(conn, &project, reference)?),
    })
}

/// Reads an entity of a project.
pub fn find(
    conn: &ReadConn<'_>,
    project: &ProjectName,
    reference: &Reference,
    parts: Parts,
) -> Result<Result<Data, Report>, annals_db::Error> {
    let all = Visibility::all();
    let kind = reference.kind.unwrap_or(EntityKind::Issue);
    let Some(mut entity) = read::entity(conn, &all, kind, project.id, reference.iid)? else {
        return Ok(Err(missing(conn, project, reference)?));
    };
    annals_search::reference::qualify(conn, std::slice::from_mut(&mut entity.item))?;
    let id = entity.id();
    let threads = read::threads(
        conn,
        &all,
        id,
        if parts.discussions {
            NotePage::ALL
        } else {
            NotePage { offset: 0, limit: 0 }
        },
    )?;
    Ok(Ok(Data {
        notes: threads.total_notes,
        discussions: parts.discussions.then_some(threads.discussions),
        events: parts.events.then(|| read::events(conn, id)).transpose()?,
        files: parts.files.then(|| read::files(conn, id)).transpose()?,
        revisions: parts.revisions.then(|| read::revisions(conn, id)).transpose()?,
        entity,
    }))
}

/// Says that it is not there; and where the number is one of the other kind, how to ask for that.
fn missing(conn: &ReadConn<'_>, project: &ProjectName, reference: &Reference) -> Result<Report, annals_db::Error> {
    let kind = reference.kind.unwrap_or(EntityKind::Issue);
    let (noun, other, other_word) = match kind {
        EntityKind::Issue => ("issue", EntityKind::MergeRequest, "mr"),
        EntityKind::MergeRequest => ("merge request", EntityKind::Issue, "issue"),
    };
    let message = format!("{} has no {noun} {} in the mirror", project.path, reference.iid);
    let url = format!("{}/{}", project.forge_url, project.path);
    let report = Report::new(Code::NotFound, message).with_values(&[("URL", &url)]);
    let exists = read::entity(conn, &Visibility::all(), other, project.id, reference.iid)?.is_some();
    Ok(if exists {
        report.with_action(format!("annals show {other_word} {}", reference.iid))
    } else {
        report
    })
}

impl Parts {
    /// The discussions and nothing else.
    pub const DISCUSSIONS: Self = Self {
        discussions: true,
        events: false,
        files: false,
        revisions: false,
    };

    /// Whether anything was asked for.
    pub const fn any(self) -> bool {
        self.discussions || self.events || self.files || self.revisions
    }

    /// The flags as they could be typed again.
    fn flags(self) -> String {
        let all = [
            (self.discussions, " --discussions"),
            (self.events, " --events"),
            (self.files, " --files"),
            (self.revisions, " --revisions"),
        ];
        all.into_iter().filter_map(|(set, flag)| set.then_some(flag)).collect()
    }

    /// A list has no parts.
    pub fn without_one(kind: &str) -> Report {
        let message = "--discussions, --events, --files and --revisions are for one of them, not for a list";
        Report::new(Code::Usage, message).with_suggestion(format!("annals show {kind} NUMBER --discussions"))
    }
}
