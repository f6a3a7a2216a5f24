//! `annals notes`: what was said, wherever it was said.

use annals_core::{Code, EntityKind, Iid, Report, UnixMs};
use annals_db::ReadConn;
use annals_db::ids::DiscussionKind;
use annals_db::read::{
    self, Certainty, Discussion, Listed, NoteList, NoteOrigin, NotesQuery, PathPattern, Resolved, Slice, Visibility,
};
use annals_net_adapter::Cx;
use serde::Serialize;

use super::{AsOf, Run, Tool, list, place, show_page};
use crate::error::Error;
use crate::output::page::{one_line, title};
use crate::output::{Meta, Page, Reply, Shape, Show, Style};
use crate::session::Session;

/// List notes, of all discussions or of one issue or merge request
#[derive(Debug, clap::Args)]
#[command(
    after_help = "State, assignee, label and milestone are those of the issue or merge request a note is under; author \
                  and times are its own. A path is a file, a folder with / at its end, or has * and ?."
)]
pub struct Args {
    /// Only of the issue with this number
    #[arg(long, value_name = "N", conflicts_with = "mr", value_parser = clap::value_parser!(i64).range(1..))]
    issue: Option<i64>,
    /// Only of the merge request with this number
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..))]
    mr: Option<i64>,
    /// Only on a file of a diff, by its old or new name
    #[arg(long, value_name = "PATH")]
    path: Option<String>,
    /// Only in discussions that are resolved
    #[arg(long, conflicts_with = "unresolved")]
    resolved: bool,
    /// Only in discussions that are yet to be resolved
    #[arg(long)]
    unresolved: bool,
    /// With what the forge wrote itself
    #[arg(long)]
    system: bool,
    #[command(flatten)]
    filters: list::Filters,
}

/// A page of notes.
#[derive(Debug, Serialize)]
pub struct Data {
    notes: Vec<Listed>,
    #[serde(skip)]
    total: u64,
    #[serde(skip)]
    as_of: Option<UnixMs>,
}

#[rustfmt::skip]
const SHAPE: Shape = Shape {
    fields: &[
        "notes.id", "notes.ref", "notes.project", "notes.project_id", "notes.title", "notes.discussion",
        "notes.resolvable", "notes.resolved", "notes.author", "notes.author_kind", "notes.body", "notes.kind",
        "notes.system", "notes.internal", "notes.created_at", "notes.updated_at", "notes.gone_at", "notes.certainty",
        "notes.position.old_path", "notes.position.new_path", "notes.position.old_line", "notes.position.new_line",
        "notes.position.start_line", "notes.position.side", "notes.position.head_oid", "notes.position.outdated",
        "notes.url",
    ],
    list: Some("notes"),
    minimal: &["ref", "author", "body", "created_at"],
};

impl Run for Args {
    type Data = Data;
    const NAME: &'static str = "notes";
    const TOOL: Tool = Tool::Reads;
    const EXAMPLES: &'static [&'static str] = &[
        "annals notes --mr 42 --unresolved",
        "annals notes --author dev-three --after 7d --as-of 2024-06-01",
    ];
    const ALIASES: &'static [&'static str] = &["note", "comments"];
    const AS_OF: AsOf = AsOf::Taken;

    fn shape(&self) -> Shape {
        SHAPE
    }

    async fn run(self, cx: &Cx, session: &Session) -> Result<Reply<Data>, Error> {
        let query = self.query(session.ages_from(cx)?, session)?;
        let db = session.mirror(cx).await?;
        let called = session.global.project.clone();
        let (as_of, flags) = (session.as_of(cx)?, self.flags() + &session.as_of_flag());
        let offset = query.offset;
        let found = db.read(cx, move |conn| {
            let mut query = query;
            // A number alone names nothing in a mirror of several projects.
            if called.is_some() || query.under.is_some() {
                match place::project(conn, called.as_deref())? {
                    Ok(project) => query.projects = vec![project.id],
                    Err(report) => {
                        let say = |project: &str| format!("annals notes -p {project}{flags}");
                        return Ok(Err(place::with_actions(report, say)));
                    }
                }
            }
            read(conn, &query, as_of)
        });
        let NoteList { notes, total } = found.await.map_err(|error| session.about_mirror(&error))??;
        let end = offset.saturating_add(notes.len());
        let meta = Meta {
            total: Some(total),
            next_offset: (!notes.is_empty() && (end as u64) < total).then_some(end),
            ..Meta::default()
        };
        Ok(Reply::Data(Data { notes, total, as_of }, meta))
    }
}

/// Reads the notes; those of one issue or merge request only if it is there.
fn read(
    conn: &ReadConn<'_>,
    query: &NotesQuery,
    as_of: Option<UnixMs>,
) -> Result<Result<NoteList, Report>, annals_db::Error> {
    let all = Visibility::all();
    if let (Some((kind, iid)), Some(project)) = (query.under, query.projects.first()) {
        let parent = match as_of {
            None => read::entity(conn, &all, kind, *project, iid)?,
            Some(at) => read::as_of::entity(conn, &all, kind, *project, iid, at)?,
        };
        if parent.is_none() {
            let noun = match kind {
                EntityKind::Issue => "issue",
                EntityKind::MergeRequest => "merge request",
            };
            let then = as_of.map_or_else(String::new, |at| format!(" as of {}", at.utc_text()));
            let message = format!("there is no {noun} {iid} in the mirror{then}");
            return Ok(Err(Report::new(Code::NotFound, message)));
        }
    }
    let mut list = match as_of {
        None => read::notes(conn, &all, query)?,
        Some(at) => read::as_of::notes(conn, &all, query, at)?,
    };
    for listed in &mut list.notes {
        let number = listed.reference.strip_prefix(listed.project.as_str());
        if let (Some(number), Some(called)) = (number, annals_search::reference::called(conn, listed.project_id)?) {
            listed.reference = format!("{called}{number}");
        }
    }
    Ok(Ok(list))
}

impl Args {
    fn query(&self, now: UnixMs, session: &Session) -> Result<NotesQuery, Report> {
        let list = self.filters.query(EntityKind::MergeRequest, now, session)?;
        let (offset, limit) = match list.slice {
            Slice::Offset { offset, limit } => (offset, limit),
            Slice::Walk { limit, .. } => (0, limit),
        };
        let issue = self.issue.map(|iid| (EntityKind::Issue, Iid(iid)));
        let mr = self.mr.map(|iid| (EntityKind::MergeRequest, Iid(iid)));
        Ok(NotesQuery {
            projects: Vec::new(),
            under: issue.or(mr),
            path: self.path.as_deref().map(PathPattern::parse),
            resolved: match (self.resolved, self.unresolved) {
                (true, _) => Some(Resolved::Yes),
                (false, true) => Some(Resolved::No),
                (false, false) => None,
            },
            origin: if self.system {
                NoteOrigin::Anybody
            } else {
                NoteOrigin::People
            },
            author: list.author,
            after: list.after,
            before: list.before,
            states: list.states,
            assignee: list.assignee,
            labels: list.labels,
            milestone: list.milestone,
            sort: list.sort,
            direction: list.direction,
            offset,
            limit,
        })
    }

    /// The flags as they could be typed again.
    fn flags(&self) -> String {
        let mut flags = Vec::new();
        flags.extend(self.issue.map(|iid| ("--issue", iid.to_string())));
        flags.extend(self.mr.map(|iid| ("--mr", iid.to_string())));
        flags.extend(self.path.clone().map(|path| ("--path", path)));
        let set = [
            (self.resolved, " --resolved"),
            (self.unresolved, " --unresolved"),
            (self.system, " --system"),
        ];
        let set = set.into_iter().filter_map(|(set, flag)| set.then_some(flag));
        place::flags(flags) + &set.collect::<String>() + &self.filters.flags()
    }
}

impl Show for Data {
    fn show(&self, page: &mut Page) {
        for (index, under) in threads(&self.notes).into_iter().enumerate() {
            if index > 0 {
                page.blank();
            }
            let reference = page.paint(Style::Link, &one_line(&under.reference));
            let name = page.paint(Style::Strong, &title(&under.title));
            page.line(format!("{reference}  {name}"));
            for discussion in &under.discussions {
                show_page::thread(discussion, page);
            }
        }
        page.count(self.notes.len(), self.total, "note", "-n and --offset for more");
        if let Some(at) = self.as_of {
            let derived = |listed: &&Listed| listed.note.certainty == Some(Certainty::Derived);
            list::as_of_line(at, self.notes.iter().filter(derived).count() as u64, page);
        }
    }
}

/// The notes under one issue or merge request.
struct Under {
    reference: String,
    title: String,
    discussions: Vec<Discussion>,
}

/// The notes of a page as people read them: what they are under in the order of the list, and each discussion whole,
/// as far as the page has it, in the order in which it went.
fn threads(notes: &[Listed]) -> Vec<Under> {
    let mut all: Vec<Under> = Vec::new();
    let mut in_order: Vec<&Listed> = notes.iter().collect();
    in_order.sort_by_key(|listed| listed.place);
    for listed in notes {
        let index = all.iter().position(|under| under.reference == listed.reference);
        let index = index.unwrap_or_else(|| {
            all.push(Under {
                reference: listed.reference.clone(),
                title: listed.title.clone(),
                discussions: Vec::new(),
            });
            all.len() - 1
        });
        let Some(under) = all.get_mut(index) else { continue };
        if under.discussions.iter().any(|known| known.row == listed.discussion_row) {
            continue;
        }
        let of_it = in_order
            .iter()
            .filter(|other| other.discussion_row == listed.discussion_row);
        under.discussions.push(Discussion {
            id: listed.discussion.clone(),
            kind: DiscussionKind::Thread,
            resolvable: listed.resolvable,
            resolved: listed.resolved,
            resolved_by: None,
            resolved_at: None,
            gone_at: None,
            notes: of_it.map(|listed| listed.note.clone()).collect(),
            row: listed.discussion_row,
        });
    }
    all
}
