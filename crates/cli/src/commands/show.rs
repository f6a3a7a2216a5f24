//! `annals show REF`: one issue or merge request with what hangs on it.

use annals_core::{Code, EntityKind, Report, UnixMs};
use annals_db::ReadConn;
use annals_db::ids::EntityId;
use annals_db::read::{
    self, Certainty, Discussion, Entity, Event, File, NotePage, ProjectName, Revision, StateDiff, Visibility,
};
use annals_net_adapter::Cx;
use serde::Serialize;
use serde_json::Value;

use super::place::{self, Reference};
use super::{AsOf, Run, Tool};
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
    /// With what differs between two of its revisions, by their numbers
    #[arg(long, value_name = "A..B", value_parser = Span::parse)]
    diff: Option<Span>,
    /// With what the forge sent
    #[arg(long)]
    raw: bool,
}

/// Two revisions, by their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    from: i64,
    to: i64,
}

impl Span {
    fn parse(text: &str) -> Result<Self, &'static str> {
        let number = |text: &str| text.parse().ok().filter(|number| *number > 0);
        let (from, to) = text.split_once("..").ok_or(Self::EXAMPLE)?;
        match (number(from), number(to)) {
            (Some(from), Some(to)) => Ok(Self { from, to }),
            _ => Err(Self::EXAMPLE),
        }
    }

    const EXAMPLE: &'static str = "write two numbers of revisions such as 1..3; --revisions lists them";
}

/// An entity; parts that were not asked for are null.
#[derive(Debug, Serialize)]
pub struct Data {
    pub entity: Entity,
    pub discussions: Option<Vec<Discussion>>,
    pub events: Option<Vec<Event>>,
    pub files: Option<Vec<File>>,
    pub revisions: Option<Vec<Revision>>,
    pub diff: Option<StateDiff>,
    /// What the forge sent.
    pub raw: Option<Value>,
    /// The moment it is as of, if not now.
    pub as_of: Option<Standing>,
    /// How much there is, whether it was asked for or not.
    #[serde(skip)]
    pub notes: u64,
}

/// As of when something is shown, and how sure that is.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Standing {
    #[serde(with = "annals_core::time::rfc3339")]
    pub at: UnixMs,
    pub certainty: Certainty,
    /// Whether the text was seen then; otherwise it is that of the first time it was.
    pub text_recorded: bool,
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
        "discussions.notes.certainty",
        "discussions.notes.position.old_path", "discussions.notes.position.new_path",
        "discussions.notes.position.old_line", "discussions.notes.position.new_line",
        "discussions.notes.position.start_line", "discussions.notes.position.side",
        "discussions.notes.position.head_oid", "discussions.notes.position.outdated",
        "events.at", "events.kind", "events.action", "events.subject", "events.actor", "events.origin",
        "events.gone_at",
        "files.old_path", "files.new_path", "files.change", "files.additions", "files.deletions", "files.binary",
        "files.too_large",
        "revisions.seq", "revisions.op", "revisions.valid_from", "revisions.observed_at", "revisions.changed",
        "diff.from", "diff.to", "diff.changes.field", "diff.changes.before.*", "diff.changes.after.*",
        "raw.*", "as_of.at", "as_of.certainty", "as_of.text_recorded",
    ],
    list: None,
    minimal: &["entity.ref", "entity.title", "entity.state", "entity.author", "entity.updated_at", "entity.url"],
};

impl Run for Args {
    type Data = Data;
    const NAME: &'static str = "show";
    const AS_OF: AsOf = AsOf::Taken;
    const EXAMPLES: &'static [&'static str] = &[
        "annals show 'group/project!42' --discussions --files",
        "annals show issue 12 -p group/project --events --revisions",
        "annals show https://gitlab.com/group/project/-/issues/12 --fields entity.title,entity.body",
    ];
    const ALIASES: &'static [&'static str] = &["view", "get", "cat"];
    const TOOL: Tool = Tool::Reads;

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
    let (as_of, as_of_flag) = (session.as_of(cx)?, session.as_of_flag());
    let found = db.read(cx, move |conn| match project_of(conn, &reference, flag.as_deref())? {
        Ok(project) => find(conn, &project, &reference, parts, as_of),
        Err(report) => Ok(Err(place::with_actions(report, |project| {
            reference.command(project) + &parts.flags() + &as_of_flag
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

/// The row that a reference means, if it is there, or was at a moment.
pub fn entity_of(
    conn: &ReadConn<'_>,
    reference: &Reference,
    flag: Option<&str>,
    as_of: Option<UnixMs>,
) -> Result<Result<EntityId, Report>, annals_db::Error> {
    let project = match project_of(conn, reference, flag)? {
        Ok(project) => project,
        Err(report) => return Ok(Err(report)),
    };
    let kind = reference.kind.unwrap_or(EntityKind::Issue);
    let known = match as_of {
        None => read::entity_updated_at(conn, project.id, kind, reference.iid)?.map(|(entity, _)| entity),
        Some(at) => read::as_of::entity(conn, &Visibility::all(), kind, project.id, reference.iid, at)?
            .map(|entity| entity.id()),
    };
    Ok(match known {
        Some(entity) => Ok(entity),
        None => Err(missing(conn, &project, reference, as_of)?),
    })
}

/// Reads an entity of a project, as it is or as of a moment.
pub fn find(
    conn: &ReadConn<'_>,
    project: &ProjectName,
    reference: &Reference,
    parts: Parts,
    as_of: Option<UnixMs>,
) -> Result<Result<Data, Report>, annals_db::Error> {
    let all = Visibility::all();
    let (kind, iid) = (reference.kind.unwrap_or(EntityKind::Issue), reference.iid);
    let found = match as_of {
        None => read::entity(conn, &all, kind, project.id, iid)?,
        Some(at) => read::as_of::entity(conn, &all, kind, project.id, iid, at)?,
    };
    let Some(mut entity) = found else {
        return Ok(Err(missing(conn, project, reference, as_of)?));
    };
    annals_search::reference::qualify(conn, std::slice::from_mut(&mut entity.item))?;
    // It is said once, beside the moment.
    let certainty = entity.item.certainty.take();
    let standing = as_of.zip(certainty).map(|(at, certainty)| Standing {
        at,
        certainty,
        text_recorded: certainty.text_is_recorded(),
    });
    let id = entity.id();
    let notes = if parts.discussions {
        NotePage::ALL
    } else {
        NotePage { offset: 0, limit: 0 }
    };
    let threads = match as_of {
        None => read::threads(conn, &all, id, notes)?,
        Some(at) => read::as_of::threads(conn, &all, id, notes, at)?,
    };
    let events = || as_of.map_or_else(|| read::events(conn, id), |at| read::as_of::events(conn, id, at));
    let files = || as_of.map_or_else(|| read::files(conn, id), |at| read::as_of::files(conn, id, at));
    let revisions = || as_of.map_or_else(|| read::revisions(conn, id), |at| read::as_of::revisions(conn, id, at));
    let diff = match parts.diff {
        None => None,
        Some(span) => match diff(conn, id, span, &revisions()?)? {
            Ok(diff) => Some(diff),
            Err(report) => return Ok(Err(report)),
        },
    };
    let raw = match as_of {
        _ if !parts.raw => None,
        None => read::raw(conn, id)?,
        Some(at) => read::as_of::raw(conn, id, at)?,
    };
    Ok(Ok(Data {
        notes: threads.total_notes,
        discussions: parts.discussions.then_some(threads.discussions),
        events: parts.events.then(events).transpose()?,
        files: parts.files.then(files).transpose()?,
        revisions: parts.revisions.then(revisions).transpose()?,
        diff,
        raw,
        as_of: standing,
        entity,
    }))
}

fn diff(
    conn: &ReadConn<'_>,
    id: EntityId,
    span: Span,
    known: &[Revision],
) -> Result<Result<StateDiff, Report>, annals_db::Error> {
    let is_known = |seq: i64| known.iter().any(|revision| revision.seq == seq);
    if is_known(span.from)
        && is_known(span.to)
        && let Some(diff) = read::diff(conn, id, span.from, span.to)?
    {
        return Ok(Ok(diff));
    }
    let last = known.last().map_or(0, |revision| revision.seq);
    let message = format!("there is no revision {}..{}: the newest is {last}", span.from, span.to);
    Ok(Err(
        Report::new(Code::NotFound, message).with_suggestion("`--revisions` lists them with their numbers")
    ))
}

/// Says that it is not there, or was not then; and where the number is one of the other kind, how to ask for that.
pub fn missing(
    conn: &ReadConn<'_>,
    project: &ProjectName,
    reference: &Reference,
    as_of: Option<UnixMs>,
) -> Result<Report, annals_db::Error> {
    let all = Visibility::all();
    let (kind, iid) = (reference.kind.unwrap_or(EntityKind::Issue), reference.iid);
    let (noun, other, word, other_word) = match kind {
        EntityKind::Issue => ("issue", EntityKind::MergeRequest, "issue", "mr"),
        EntityKind::MergeRequest => ("merge request", EntityKind::Issue, "mr", "issue"),
    };
    if let Some(at) = as_of
        && let Some(now) = read::entity(conn, &all, kind, project.id, iid)?
    {
        let when = |at: Option<UnixMs>| at.map(UnixMs::utc_text);
        let why = match (when(now.item.created_at), when(now.item.gone_at)) {
            (Some(created), _) if now.item.created_at > Some(at) => format!("it was opened {created}"),
            (_, Some(gone)) if now.item.gone_at <= Some(at) => format!("it was gone by {gone}"),
            _ => "it was gone, or not seen yet".to_owned(),
        };
        let message = format!("{} had no {noun} {iid} as of {}: {why}", project.path, at.utc_text());
        // The table's own step, to mirror it, would not help.
        let mut report = Report::new(Code::NotFound, message);
        report.actions = vec![format!(
            "annals show {word} {iid} -p {}",
            place::shell_word(&project.path)
        )];
        return Ok(report);
    }
    let message = format!("{} has no {noun} {iid} in the mirror", project.path);
    let url = format!("{}/{}", project.forge_url, project.path);
    let report = Report::new(Code::NotFound, message).with_values(&[("URL", &url)]);
    let exists = read::entity(conn, &all, other, project.id, iid)?.is_some();
    Ok(if exists {
        let when = place::flags(as_of.map(|at| ("--as-of", at.rfc3339())));
        let of = place::shell_word(&project.path);
        report.with_action(format!("annals show {other_word} {iid} -p {of}{when}"))
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
        diff: None,
        raw: false,
    };

    /// Whether anything was asked for.
    pub const fn any(self) -> bool {
        let one = self.discussions || self.events || self.files || self.revisions || self.raw;
        one || self.diff.is_some()
    }

    /// The flags as they could be typed again.
    fn flags(self) -> String {
        let all = [
            (self.discussions, " --discussions"),
            (self.events, " --events"),
            (self.files, " --files"),
            (self.revisions, " --revisions"),
            (self.raw, " --raw"),
        ];
        let diff = self
            .diff
            .map_or_else(String::new, |span| format!(" --diff {}..{}", span.from, span.to));
        let set = all.into_iter().filter_map(|(set, flag)| set.then_some(flag));
        set.collect::<String>() + &diff
    }

    /// A list has no parts.
    pub fn without_one(kind: &str) -> Report {
        let message =
            "--discussions, --events, --files, --revisions, --diff and --raw are for one of them, not for a list";
        Report::new(Code::Usage, message).with_suggestion(format!("annals show {kind} NUMBER --discussions"))
    }
}
