//! `annals file-history PATH`: which merge requests touched a file, newest first, across its renames.

use annals_core::files::{ChainBounds, repository_path};
use annals_core::{Code, Report, UnixMs};
use annals_db::ReadConn;
use annals_db::read::{
    self, FileCommit, FileFinding, FileHistory, FileHistoryQuery, FileNote, FileRequest, Part, ProjectName, Requests,
    Visibility,
};
use annals_net_adapter::Cx;
use serde::Serialize;

use super::{AsOf, Run, Tool, list, place};
use crate::error::Error;
use crate::output::page::counted;
use crate::output::{Meta, Reply, Shape};
use crate::session::Session;

/// How many merge requests unless something else is said.
const LIMIT: u16 = 50;

/// How many renames are followed unless something else is said.
const HOPS: u32 = 10;

/// Show which merge requests touched a file, across its renames
#[derive(Debug, clap::Args)]
#[command(
    after_help = "PATH is written from the top of the repository; a name that the file once had will do. The \
                        project may be left out where only one has the path."
)]
pub struct Args {
    /// The file
    #[arg(value_name = "PATH")]
    path: String,
    /// With what reviewers wrote on its lines
    #[arg(long)]
    discussions: bool,
    /// With the indexed commits that touch it
    #[arg(long)]
    commits: bool,
    /// Only merge requests that were merged
    #[arg(long)]
    merged: bool,
    /// Only under this very name
    #[arg(long)]
    no_follow_renames: bool,
    /// How many renames away a name may be
    #[arg(long, default_value_t = HOPS, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=10_000))]
    max_hops: u32,
    /// How many merge requests
    #[arg(short = 'n', long, default_value_t = LIMIT, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=500))]
    limit: u16,
}

/// The history of a file; parts that were not asked for are null.
#[derive(Debug, Serialize)]
pub struct Data {
    pub path: String,
    /// Null where no project has the path and there are several.
    pub project: Option<String>,
    pub rename_chain: Vec<String>,
    pub renames_followed: bool,
    pub merge_requests: Vec<FileRequest>,
    pub discussions: Option<Vec<FileNote>>,
    pub commits: Option<Vec<FileCommit>>,
    #[serde(skip)]
    pub beside: Beside,
}

/// What is said beside the answer.
#[derive(Debug, Default, Serialize)]
pub struct Beside {
    pub total_mrs: u64,
    pub returned: usize,
    pub truncated: bool,
    pub chain_truncated: bool,
    pub diagnostics: Vec<Diagnostic>,
    #[serde(skip)]
    pub standing: Option<list::Standing>,
}

/// Why an answer is empty or may be short, and what helps.
#[derive(Debug, Serialize)]
pub struct Diagnostic {
    pub code: &'static str,
    pub message: String,
    /// Known paths like the one asked for.
    pub nearest: Vec<String>,
    pub actions: Vec<String>,
}

#[rustfmt::skip]
pub const SHAPE: Shape = Shape {
    fields: &[
        "path", "project", "rename_chain", "renames_followed",
        "merge_requests.iid", "merge_requests.title", "merge_requests.state", "merge_requests.author",
        "merge_requests.change_type", "merge_requests.paths", "merge_requests.merged_at",
        "merge_requests.merge_commit_oid", "merge_requests.url",
        "discussions.iid", "discussions.discussion_id", "discussions.author", "discussions.created_at",
        "discussions.path", "discussions.line", "discussions.resolved", "discussions.snippet",
        "commits.oid", "commits.title", "commits.author", "commits.committed_at", "commits.change_type",
        "commits.paths",
    ],
    list: None,
    minimal: &["path", "project", "merge_requests.iid", "merge_requests.title", "merge_requests.merged_at"],
};

impl Run for Args {
    type Data = Data;
    const NAME: &'static str = "file-history";
    const TOOL: Tool = Tool::Reads;
    const EXAMPLES: &'static [&'static str] = &[
        "annals file-history src/cutover.rs",
        "annals file-history src/cutover.rs -p group/project --merged --discussions --commits",
    ];
    const ALIASES: &'static [&'static str] = &["filehistory", "blame"];
    const AS_OF: AsOf = AsOf::Taken;

    fn shape(&self) -> Shape {
        SHAPE
    }

    async fn run(self, cx: &Cx, session: &Session) -> Result<Reply<Data>, Error> {
        let path = path_of(&self.path)?;
        let called = session.global.project.clone();
        let (as_of, as_of_flag) = (session.as_of(cx)?, session.as_of_flag());
        let db = session.mirror(cx).await?;
        let found = db.read(cx, move |conn| {
            let typed = self.typed(as_of_flag);
            match owner(conn, called.as_deref(), &path, as_of)? {
                Owner::One(project) => {
                    let query = self.query(&project, &path, as_of);
                    Ok(Ok(load(conn, &project, &query, &typed)?))
                }
                Owner::None => {
                    let query = |project: &ProjectName| self.query(project, &path, as_of);
                    Ok(Ok(nowhere(conn, &path, &typed, query)?))
                }
                Owner::Refused(report) => Ok(Err(place::with_actions(report, |project| {
                    format!("{} -p {project}{}", command(&path), typed.all())
                }))),
            }
        });
        let mut data: Data = found.await.map_err(|error| session.about_mirror(&error))??;
        for diagnostic in &mut data.beside.diagnostics {
            for action in &mut diagnostic.actions {
                *action = session.given.command(action);
            }
        }
        let meta = data.meta()?;
        Ok(Reply::Data(data, meta))
    }
}

impl Args {
    fn query(&self, project: &ProjectName, path: &str, as_of: Option<UnixMs>) -> FileHistoryQuery {
        let part = |wanted| if wanted { Part::Included } else { Part::LeftOut };
        FileHistoryQuery {
            bounds: ChainBounds {
                max_hops: if self.no_follow_renames { 0 } else { self.max_hops },
                ..ChainBounds::default()
            },
            requests: if self.merged { Requests::Merged } else { Requests::All },
            discussions: part(self.discussions),
            commits: part(self.commits),
            limit: usize::from(self.limit),
            as_of,
            ..FileHistoryQuery::of(project.id, path)
        }
    }

    /// The flags as they could be typed again.
    fn typed(&self, as_of: String) -> Typed {
        let switches = [
            (self.discussions, " --discussions"),
            (self.commits, " --commits"),
            (self.no_follow_renames, " --no-follow-renames"),
        ];
        let switches: String = switches
            .into_iter()
            .filter_map(|(set, flag)| set.then_some(flag))
            .collect();
        let mut values = Vec::new();
        values.extend((self.max_hops != HOPS).then(|| ("--max-hops", self.max_hops.to_string())));
        values.extend((self.limit != LIMIT).then(|| ("-n", self.limit.to_string())));
        Typed {
            merged: if self.merged { " --merged" } else { "" },
            others: switches + &place::flags(values),
            as_of,
        }
    }
}

/// The flags of a command, for the next one.
#[derive(Debug, Default)]
pub struct Typed {
    merged: &'static str,
    others: String,
    as_of: String,
}

impl Typed {
    fn all(&self) -> String {
        format!("{}{}{}", self.merged, self.others, self.as_of)
    }

    fn without_merged(&self) -> String {
        format!("{}{}", self.others, self.as_of)
    }

    fn without_as_of(&self) -> String {
        format!("{}{}", self.merged, self.others)
    }
}

/// A path as it was typed.
///
/// # Errors
/// `usage` for one that cannot lie in a repository.
pub fn path_of(typed: &str) -> Result<String, Report> {
    repository_path(typed).map_err(|error| {
        Report::new(Code::Usage, error.to_string())
            .with_suggestion("write it from the top of the repository, as in src/main.rs")
    })
}

/// The command for a path. One that begins with a dash is no flag behind `./`.
fn command(path: &str) -> String {
    let dot = if path.starts_with('-') { "./" } else { "" };
    format!("annals file-history {}", place::shell_word(&format!("{dot}{path}")))
}

/// Which project is meant.
pub enum Owner {
    One(ProjectName),
    /// None of several has the path.
    None,
    Refused(Report),
}

/// The project of `-p`, the one that has the path, or had it by a moment, or the only one.
pub fn owner(
    conn: &ReadConn<'_>,
    called: Option<&str>,
    path: &str,
    as_of: Option<UnixMs>,
) -> Result<Owner, annals_db::Error> {
    if called.is_some() {
        return Ok(place::project(conn, called)?.map_or_else(Owner::Refused, Owner::One));
    }
    let mut found = read::projects_with_path(conn, &Visibility::all(), path, as_of)?;
    if found.len() > 1 {
        let message = format!(
            "{} have `{path}`: say which with -p",
            counted(found.len() as u64, "project")
        );
        return Ok(Owner::Refused(place::ambiguous(&message, &found)));
    }
    Ok(match found.pop() {
        Some(one) => Owner::One(one),
        None => match place::project(conn, None)? {
            Ok(only) => Owner::One(only),
            Err(report) if report.code == Code::Ambiguous => Owner::None,
            Err(report) => Owner::Refused(report),
        },
    })
}

/// The history of a file of a project.
pub fn load(
    conn: &ReadConn<'_>,
    project: &ProjectName,
    query: &FileHistoryQuery,
    typed: &Typed,
) -> Result<Data, annals_db::Error> {
    let found = read::file_history(conn, &Visibility::all(), query)?;
    // Whoever reads the file here sees everything in it.
    let found = found.unwrap_or_else(|| unseen(query));
    let called = annals_search::reference::called(conn, project.id)?.unwrap_or_else(|| project.path.clone());
    let diagnostics = found
        .findings
        .iter()
        .map(|finding| Diagnostic::of(finding, &called, &query.path, typed))
        .collect();
    Ok(Data {
        path: query.path.clone(),
        project: Some(called),
        rename_chain: found.rename_chain,
        renames_followed: query.bounds.max_hops > 0,
        beside: Beside {
            returned: found.merge_requests.len(),
            truncated: (found.merge_requests.len() as u64) < found.total_mrs,
            total_mrs: found.total_mrs,
            chain_truncated: found.chain_truncated,
            diagnostics,
            standing: query.as_of.map(|at| list::Standing {
                at,
                derived: found.derived,
            }),
        },
        merge_requests: found.merge_requests,
        discussions: found.discussions,
        commits: found.commits,
    })
}

fn unseen(query: &FileHistoryQuery) -> FileHistory {
    FileHistory {
        rename_chain: vec![query.path.clone()],
        chain_truncated: false,
        merge_requests: Vec::new(),
        total_mrs: 0,
        discussions: None,
        commits: None,
        findings: Vec::new(),
        derived: 0,
    }
}

/// None of several projects has the path: what they have instead.
fn nowhere(
    conn: &ReadConn<'_>,
    path: &str,
    typed: &Typed,
    query: impl Fn(&ProjectName) -> FileHistoryQuery,
) -> Result<Data, annals_db::Error> {
    let mut diagnostic = Diagnostic {
        code: PATH_NOT_FOUND,
        message: format!("no mirrored project has `{path}`"),
        nearest: Vec::new(),
        actions: Vec::new(),
    };
    let (mut last, mut is_unknown, mut others) = (None, false, Vec::new());
    for row in read::projects(conn, &Visibility::all())? {
        let mut data = load(conn, &row.name, &query(&row.name), typed)?;
        for found in std::mem::take(&mut data.beside.diagnostics) {
            if found.code == PATH_NOT_FOUND {
                is_unknown = true;
                diagnostic.nearest.extend(found.nearest);
                diagnostic.actions.extend(found.actions);
            } else {
                others.push(found);
            }
        }
        last = Some(data);
    }
    diagnostic.nearest.truncate(NEAREST);
    diagnostic.actions.truncate(NEAREST);
    if diagnostic.actions.is_empty() {
        diagnostic.actions.push("annals projects".to_owned());
    }
    let is_later = others.iter().any(|other| other.code == RECORDED_LATER);
    let diagnostics = if is_later {
        others.retain(|other| other.code == RECORDED_LATER);
        others
    } else if !diagnostic.nearest.is_empty() {
        vec![diagnostic]
    } else if is_unknown || others.is_empty() {
        let unknown = std::iter::once(diagnostic);
        unknown.chain(others).collect()
    } else {
        // Not one of them could know the path.
        others
    };
    let standing = last.as_ref().and_then(|data: &Data| data.beside.standing);
    Ok(Data {
        path: path.to_owned(),
        project: None,
        rename_chain: vec![path.to_owned()],
        renames_followed: last.as_ref().is_some_and(|data| data.renames_followed),
        merge_requests: Vec::new(),
        discussions: last
            .as_ref()
            .and_then(|data| data.discussions.as_ref().map(|_| Vec::new())),
        commits: last.as_ref().and_then(|data| data.commits.as_ref().map(|_| Vec::new())),
        beside: Beside {
            diagnostics,
            standing,
            ..Beside::default()
        },
    })
}

const PATH_NOT_FOUND: &str = "path_not_found";

const RECORDED_LATER: &str = "recorded_later";

/// How many paths of all projects are offered for one that none has.
const NEAREST: usize = 5;

impl Diagnostic {
    fn of(finding: &FileFinding, project: &str, path: &str, typed: &Typed) -> Self {
        let word = place::shell_word(project);
        let sync = || vec![format!("annals sync {word}")];
        let (code, message, nearest, actions) = match finding {
            FileFinding::NothingSynced => (
                "no_file_changes_synced",
                format!("no changed file of {project} is in the mirror yet"),
                Vec::new(),
                sync(),
            ),
            FileFinding::PathUnknown { nearest } => (
                PATH_NOT_FOUND,
                format!("no change and no note of {project} names `{path}`"),
                nearest.clone(),
                nearest
                    .iter()
                    .map(|path| format!("{} -p {word}{}", command(path), typed.all()))
                    .collect(),
            ),
            FileFinding::RecordedLater { since } => (
                RECORDED_LATER,
                format!(
                    "nothing recorded in {project} by then names `{path}`; the first that does is of {}",
                    since.utc_text()
                ),
                Vec::new(),
                vec![format!("{} -p {word}{}", command(path), typed.without_as_of())],
            ),
            FileFinding::OnlyNamed {
                commits,
                notes,
                merge_requests,
            } => {
                let named = [
                    (*merge_requests, "merge request that no longer does or is gone", ""),
                    (*commits, "commit", " --commits"),
                    (*notes, "note", " --discussions"),
                ];
                let named = named.into_iter().filter(|(n, ..)| *n > 0);
                let (by, flags): (Vec<_>, String) = named.map(|(n, noun, flag)| (format!("{noun}: {n}"), flag)).unzip();
                let again = format!("{} -p {word}{}{flags}", command(path), typed.without_merged());
                // What named it may be gone, or not for everybody.
                let named_by = if by.is_empty() {
                    String::new()
                } else {
                    format!("; named by {}", by.join(", "))
                };
                (
                    "no_merge_request",
                    format!("no merge request of {project} touches `{path}`{named_by}"),
                    Vec::new(),
                    Some(again).filter(|_| !flags.is_empty()).into_iter().collect(),
                )
            }
            FileFinding::FilesIncomplete { merge_requests } => (
                "files_incomplete",
                format!(
                    "the changed files of {} are not all here: they are still owed, or the forge cut the list",
                    counted(*merge_requests, "merge request")
                ),
                Vec::new(),
                sync(),
            ),
            FileFinding::NoneMerged { merge_requests } => (
                "none_merged",
                format!(
                    "{} touched it, and none was merged",
                    counted(*merge_requests, "merge request")
                ),
                Vec::new(),
                vec![format!("{} -p {word}{}", command(path), typed.without_merged())],
            ),
        };
        Self {
            code,
            message,
            nearest,
            actions,
        }
    }
}

impl Data {
    fn meta(&self) -> Result<Meta, Error> {
        let beside = serde_json::to_value(&self.beside)
            .map_err(|error| Report::new(Code::Internal, format!("the answer is not JSON: {error}")))?;
        let mut meta = Meta::default();
        if let serde_json::Value::Object(members) = beside {
            meta.more = members;
        }
        meta.more.extend(list::derived(self.beside.standing));
        if self.commits.as_ref().is_some_and(Vec::is_empty) {
            meta.warnings.push(
                "no indexed commit touches it; commits are indexed with their files only where git data is".to_owned(),
            );
        }
        Ok(meta)
    }
}

#[cfg(test)]
#[path = "file_history_tests.rs"]
mod tests;
