//! Lists of notes: what was said, wherever it was said.

use annals_core::{EntityKind, Iid, ProjectId, UnixMs};
use rusqlite::{Connection, Row, params_from_iter};
use serde::Serialize;

use super::clause::{Clause, count, json_list};
use super::thread::position;
use super::{Direction, ListQuery, NameFilter, Note, Sort, Visibility, json, list};
use crate::Error;
use crate::ids::{ForgeKind, State};
use crate::text::fold;

/// Which notes to list: filters on the note, and on the issue or merge request it is under.
#[derive(Debug, Clone)]
pub struct NotesQuery {
    /// Of these projects; of all if empty.
    pub projects: Vec<ProjectId>,
    /// Under one with this number.
    pub under: Option<(EntityKind, Iid)>,
    /// On a file of a diff.
    pub path: Option<PathPattern>,
    /// In discussions that can be resolved and are, or are not.
    pub resolved: Option<Resolved>,
    /// Who speaks in them.
    pub origin: NoteOrigin,
    /// By author.
    pub author: Option<NameFilter>,
    /// Changed at or after.
    pub after: Option<UnixMs>,
    /// Changed before.
    pub before: Option<UnixMs>,
    /// Under one in one of these states; in any if empty.
    pub states: Vec<State>,
    /// Under one assigned so.
    pub assignee: Option<NameFilter>,
    /// Under one labelled so; every filter must hold.
    pub labels: Vec<NameFilter>,
    /// Under one planned so.
    pub milestone: Option<NameFilter>,
    /// The order; [`Sort::Iid`] is by the number of what it is under.
    pub sort: Sort,
    /// Its direction.
    pub direction: Direction,
    /// How many to skip.
    pub offset: usize,
    /// How many to return.
    pub limit: usize,
}

impl Default for NotesQuery {
    /// The newest 20 that people wrote.
    fn default() -> Self {
        Self {
            projects: Vec::new(),
            under: None,
            path: None,
            resolved: None,
            origin: NoteOrigin::People,
            author: None,
            after: None,
            before: None,
            states: Vec::new(),
            assignee: None,
            labels: Vec::new(),
            milestone: None,
            sort: Sort::default(),
            direction: Direction::default(),
            offset: 0,
            limit: 20,
        }
    }
}

impl NotesQuery {
    /// What they must be under, of one kind.
    pub(super) fn parents(&self, kind: EntityKind) -> ListQuery {
        ListQuery {
            projects: self.projects.clone(),
            states: self.states.clone(),
            assignee: self.assignee.clone(),
            labels: self.labels.clone(),
            milestone: self.milestone.clone(),
            ..ListQuery::of(kind)
        }
    }
}

/// Whether a discussion is resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolved {
    /// It is.
    Yes,
    /// It can be, and is not.
    No,
}

/// Who speaks in a note.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NoteOrigin {
    /// A person or a program.
    #[default]
    People,
    /// The forge too, on somebody's behalf.
    Anybody,
}

/// Paths of files: one, those in a folder, or those that fit `*` and `?`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathPattern {
    /// This one.
    Exact(String),
    /// Everything that begins so; it ends with `/`.
    Under(String),
    /// Everything that fits; `*` also goes over `/`.
    Glob(String),
}

impl PathPattern {
    /// Reads `src/lib.rs`, `src/` or `src/*.rs`.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        if text.contains(['*', '?']) {
            Self::Glob(text.to_owned())
        } else if text.ends_with('/') {
            Self::Under(text.to_owned())
        } else {
            Self::Exact(text.to_owned())
        }
    }

    /// Whether a path fits.
    #[must_use]
    pub fn fits(&self, path: &str) -> bool {
        match self {
            Self::Exact(exact) => path == exact,
            Self::Under(folder) => path.starts_with(folder),
            Self::Glob(glob) => glob_fits(glob, path),
        }
    }

    /// The same for SQLite's `GLOB`, where a bracket would open a set.
    fn sql(&self) -> String {
        let literally = |text: &str| text.replace('[', "[[]");
        match self {
            Self::Exact(path) => literally(path),
            Self::Under(folder) => literally(folder) + "*",
            Self::Glob(glob) => literally(glob),
        }
    }
}

/// Goes back to the last `*` only, so that no pattern takes more than the product of the lengths.
fn glob_fits(glob: &str, path: &str) -> bool {
    let (glob, path): (Vec<char>, Vec<char>) = (glob.chars().collect(), path.chars().collect());
    let (mut at_glob, mut at_path) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while let Some(here) = path.get(at_path) {
        match glob.get(at_glob) {
            Some('*') => {
                star = Some((at_glob, at_path));
                at_glob += 1;
            }
            Some(wanted) if *wanted == '?' || wanted == here => {
                at_glob += 1;
                at_path += 1;
            }
            _ => {
                let Some((star_glob, star_path)) = star else {
                    return false;
                };
                star = Some((star_glob, star_path + 1));
                at_glob = star_glob + 1;
                at_path = star_path + 1;
            }
        }
    }
    glob.iter().skip(at_glob).all(|left| *left == '*')
}

/// A page of notes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteList {
    /// The notes.
    pub notes: Vec<Listed>,
    /// How many match in all.
    pub total: u64,
}

/// A note, and where it was said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// The note.
    #[serde(flatten)]
    pub note: Note,
    /// What it is under: `group/project#12` or `group/project!12`.
    #[serde(rename = "ref")]
    pub reference: String,
    /// The path of the project.
    pub project: String,
    /// The row of the project.
    #[serde(serialize_with = "json::project_id")]
    pub project_id: ProjectId,
    /// The title of what it is under.
    pub title: String,
    /// The discussion it is part of.
    pub discussion: String,
    /// Whether that can be resolved.
    pub resolvable: bool,
    /// Whether it is.
    pub resolved: bool,
    /// Its page.
    pub url: Option<String>,
    /// The row of the discussion.
    #[serde(skip)]
    pub discussion_row: i64,
    /// The place of the note in it.
    #[serde(skip)]
    pub place: i64,
}

/// The page of a note, from that of what it is under.
pub(super) fn page_of(forge: ForgeKind, parent: Option<String>, note: &str) -> Option<String> {
    parent.map(|url| match forge {
        ForgeKind::Gitlab => format!("{url}#note_{note}"),
        ForgeKind::Github | ForgeKind::Gitea | ForgeKind::Forgejo | ForgeKind::Nip34 => url,
    })
}

/// Lists notes that are not gone, nor what they are under.
///
/// # Errors
/// A failure of the file.
pub fn notes(conn: &Connection, visibility: &Visibility, query: &NotesQuery) -> Result<NoteList, Error> {
    let clause = conditions(conn, visibility, query)?;
    let from = "FROM notes n JOIN discussions d ON d.id = n.discussion_id
         JOIN projects pr ON pr.id = n.project_id JOIN forges f ON f.id = pr.forge_id JOIN users u ON u.id = n.author_id
         LEFT JOIN issues i ON i.id = d.issue_id LEFT JOIN merge_requests m ON m.id = d.mr_id
         LEFT JOIN diff_note_positions p ON p.note_id = n.id";
    let total = conn
        .prepare_cached(&format!("SELECT count(*) {from} WHERE {}", clause.sql()))?
        .query_row(params_from_iter(clause.values([])), |row| row.get(0))?;
    let column = match query.sort {
        Sort::Updated => "coalesce(n.updated_at, n.created_at)",
        Sort::Created => "n.created_at",
        Sort::Iid => "coalesce(i.iid, m.iid)",
    };
    let direction = match query.direction {
        Direction::Ascending => "ASC",
        Direction::Descending => "DESC",
    };
    let sql = format!(
        "SELECT n.native_id, u.username, u.kind, n.body, n.kind, n.system, n.internal, n.created_at, n.updated_at,
                p.note_id, p.old_path, p.new_path, p.old_line, p.new_line, p.start_line, p.side, p.head_oid, p.outdated,
                pr.path, pr.id, f.kind, d.issue_id IS NULL, coalesce(i.iid, m.iid), coalesce(i.title, m.title),
                coalesce(i.web_url, m.web_url), d.native_id, d.resolvable, d.resolved, d.id, n.position
         {from} WHERE {} ORDER BY {column} {direction}, n.id {direction} LIMIT ? OFFSET ?",
        clause.sql()
    );
    let mut select = conn.prepare_cached(&sql)?;
    let values = clause.values([count(query.limit), count(query.offset)]);
    let notes = select
        .query_map(params_from_iter(values), read)?
        .collect::<Result<_, _>>()?;
    Ok(NoteList { notes, total })
}

fn conditions(conn: &Connection, visibility: &Visibility, query: &NotesQuery) -> Result<Clause, Error> {
    let mut clause = Clause::default();
    clause.when("n.gone_at IS NULL AND d.gone_at IS NULL");
    clause.visible(visibility, "n.project_id", Some("n.internal"));
    clause.either([
        (
            "d.issue_id IN (SELECT e.id FROM issues e WHERE {})",
            list::conditions(conn, visibility, &query.parents(EntityKind::Issue))?,
        ),
        (
            "d.mr_id IN (SELECT e.id FROM merge_requests e WHERE {})",
            list::conditions(conn, visibility, &query.parents(EntityKind::MergeRequest))?,
        ),
    ]);
    match query.under {
        None => {}
        Some((EntityKind::Issue, iid)) => clause.with("i.iid = ?", [iid.0.into()]),
        Some((EntityKind::MergeRequest, iid)) => clause.with("m.iid = ?", [iid.0.into()]),
    }
    if let Some(pattern) = &query.path {
        let pattern = pattern.sql();
        clause.with(
            "(p.new_path GLOB ? OR p.old_path GLOB ?)",
            [pattern.clone().into(), pattern.into()],
        );
    }
    match query.resolved {
        None => {}
        Some(Resolved::Yes) => clause.when("d.resolved"),
        Some(Resolved::No) => clause.when("d.resolvable AND NOT d.resolved"),
    }
    if query.origin == NoteOrigin::People {
        clause.when("NOT n.system");
    }
    match &query.author {
        None => {}
        Some(NameFilter::None) => clause.when("u.kind = 'ghost'"),
        Some(NameFilter::Any) => clause.when("u.kind <> 'ghost'"),
        Some(NameFilter::OneOf(names)) => {
            let names: Vec<_> = names.iter().map(|name| fold(name)).collect();
            clause.with(
                "u.username_folded IN (SELECT value FROM json_each(?))",
                [json_list(&names)],
            );
        }
    }
    let changed = "coalesce(n.updated_at, n.created_at)";
    if let Some(after) = query.after {
        clause.with(format!("{changed} >= ?"), [after.0.into()]);
    }
    if let Some(before) = query.before {
        clause.with(format!("{changed} < ?"), [before.0.into()]);
    }
    Ok(clause)
}

fn read(row: &Row<'_>) -> rusqlite::Result<Listed> {
    let note = Note {
        id: row.get(0)?,
        author: row.get(1)?,
        author_kind: row.get(2)?,
        body: row.get(3)?,
        kind: row.get(4)?,
        system: row.get(5)?,
        internal: row.get(6)?,
        created_at: json::time(row, 7)?,
        updated_at: json::time(row, 8)?,
        gone_at: None,
        certainty: None,
        position: position(row, 9)?,
    };
    let project: String = row.get(18)?;
    let kind = if row.get(21)? {
        EntityKind::MergeRequest
    } else {
        EntityKind::Issue
    };
    let iid: i64 = row.get(22)?;
    Ok(Listed {
        reference: format!("{project}{}{iid}", kind.sigil()),
        project,
        project_id: ProjectId(row.get(19)?),
        title: row.get(23)?,
        discussion: row.get(25)?,
        resolvable: row.get(26)?,
        resolved: row.get(27)?,
        url: page_of(row.get(20)?, row.get(24)?, &note.id),
        discussion_row: row.get(28)?,
        place: row.get(29)?,
        note,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_pattern_is_a_path_a_folder_or_a_glob() {
        for (pattern, path, fits) in [
            ("src/lib.rs", "src/lib.rs", true),
            ("src/lib.rs", "src/lib.rs.bak", false),
            ("src/", "src/a/b.rs", true),
            ("src/", "src", false),
            ("src/*.rs", "src/a/b.rs", true),
            ("src/?.rs", "src/ab.rs", false),
            ("*é?", "aéé", true),
            ("pages/[id].*", "pages/[id].tsx", true),
            ("**", "", true),
            ("*a*b", "xaxbx", false),
        ] {
            assert_eq!(PathPattern::parse(pattern).fits(path), fits, "{pattern} {path}");
        }
    }

    proptest! {
        /// Notes as they are are filtered by SQLite, notes as they were by us.
        #[test]
        fn a_pattern_fits_what_it_fits_in_sql(pattern in "[a\\[é/*?]{0,6}", path in "[a\\[é/]{0,6}") {
            let pattern = PathPattern::parse(&pattern);
            let conn = Connection::open_in_memory().map_err(|error| TestCaseError::fail(error.to_string()))?;
            let fits = conn
                .query_row("SELECT ?2 GLOB ?1", [pattern.sql(), path.clone()], |row| row.get::<_, bool>(0))
                .map_err(|error| TestCaseError::fail(error.to_string()))?;
            prop_assert_eq!(pattern.fits(&path), fits, "{:?}", pattern);
        }
    }
}
