//! Lists of issues and merge requests: the same filters for commands and API.

use annals_core::{EntityKind, Iid, ProjectId, UnixMs};
use rusqlite::types::Value;
use rusqlite::{Connection, Row, params_from_iter};
use serde::Serialize;

use super::clause::{Clause, count, json_list};
use super::{Certainty, Visibility, json};
use crate::Error;
use crate::ids::{GoneReason, State, entity_table};
use crate::text::fold;

/// A filter on a name, compared without case and accents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NameFilter {
    /// It has none.
    None,
    /// It has one, whichever.
    Any,
    /// It is, or has, one of these.
    OneOf(Vec<String>),
}

impl NameFilter {
    /// Reads `none`, `any` or names separated by commas.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text {
            "none" => Self::None,
            "any" => Self::Any,
            names => Self::OneOf(names.split(',').map(|name| name.trim().to_owned()).collect()),
        }
    }
}

/// What a list is sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sort {
    /// When it last changed.
    #[default]
    Updated,
    /// When it was written.
    Created,
    /// Its number.
    Iid,
}

/// Which end of the order comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Direction {
    /// The newest or highest.
    #[default]
    Descending,
    /// The oldest or lowest.
    Ascending,
}

/// Whether what the forge no longer shows is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum GoneRows {
    /// It is not.
    #[default]
    Hidden,
    /// It is.
    Shown,
}

/// Which part of the matches to return.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Slice {
    /// So many after skipping so many.
    Offset {
        /// How many to skip.
        offset: usize,
        /// How many to return.
        limit: usize,
    },
    /// So many after a place, of the rows that have not changed since a commit.
    Walk {
        /// The commit the walk began at.
        seq: i64,
        /// The last row of the page before.
        after: Option<Place>,
        /// How many to return.
        limit: usize,
    },
}

/// A row's place in the order: its sort value and its row id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// What it is sorted by; some times are unknown.
    pub key: Option<i64>,
    /// Its row id.
    pub row: i64,
}

/// What to list.
#[derive(Debug, Clone)]
pub struct ListQuery {
    /// Issues or merge requests.
    pub kind: EntityKind,
    /// Of these projects; of all if empty.
    pub projects: Vec<ProjectId>,
    /// In one of these states; in any if empty.
    pub states: Vec<State>,
    /// By author.
    pub author: Option<NameFilter>,
    /// By assignee.
    pub assignee: Option<NameFilter>,
    /// By label; every filter must hold.
    pub labels: Vec<NameFilter>,
    /// By milestone.
    pub milestone: Option<NameFilter>,
    /// Changed at or after.
    pub after: Option<UnixMs>,
    /// Changed before.
    pub before: Option<UnixMs>,
    /// The order.
    pub sort: Sort,
    /// Its direction.
    pub direction: Direction,
    /// Whether rows that are gone are included.
    pub gone: GoneRows,
    /// Which part.
    pub slice: Slice,
}

impl ListQuery {
    /// The newest 20 of a kind.
    #[must_use]
    pub fn of(kind: EntityKind) -> Self {
        Self {
            kind,
            projects: Vec::new(),
            states: Vec::new(),
            author: None,
            assignee: None,
            labels: Vec::new(),
            milestone: None,
            after: None,
            before: None,
            sort: Sort::default(),
            direction: Direction::default(),
            gone: GoneRows::default(),
            slice: Slice::Offset { offset: 0, limit: 20 },
        }
    }
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List {
    /// The rows.
    pub items: Vec<ListItem>,
    /// How many match in all.
    pub total: u64,
    /// Of a walk: how many that match changed since it began, and so are left out.
    pub changed_during_walk: u64,
    /// Where the next page of a walk begins, if there may be one.
    pub next: Option<Place>,
}

/// An issue or merge request as it is listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ListItem {
    /// `group/project#12` or `group/project!12`.
    #[serde(rename = "ref")]
    pub reference: String,
    /// Its kind.
    #[serde(serialize_with = "kind")]
    pub kind: EntityKind,
    /// The path of its project.
    pub project: String,
    /// The row of its project.
    #[serde(serialize_with = "json::project_id")]
    pub project_id: ProjectId,
    /// The name of its forge.
    pub forge: String,
    /// Its number.
    pub iid: Iid,
    /// Its title.
    pub title: String,
    /// Its state.
    pub state: State,
    /// Why it is closed.
    pub state_reason: Option<String>,
    /// Whether its author says it is not ready; issues never do.
    pub draft: bool,
    /// Whether only members may see it.
    pub confidential: bool,
    /// Who wrote it.
    pub author: String,
    /// Who it is assigned to.
    pub assignees: Vec<String>,
    /// Its labels.
    pub labels: Vec<String>,
    /// What it is planned for.
    pub milestone: Option<String>,
    /// When it was written.
    #[serde(with = "annals_core::time::rfc3339_option")]
    pub created_at: Option<UnixMs>,
    /// When it last changed.
    #[serde(with = "annals_core::time::rfc3339_option")]
    pub updated_at: Option<UnixMs>,
    /// When it was closed.
    #[serde(with = "annals_core::time::rfc3339_option")]
    pub closed_at: Option<UnixMs>,
    /// When it was merged; issues never are.
    #[serde(with = "annals_core::time::rfc3339_option")]
    pub merged_at: Option<UnixMs>,
    /// Its page.
    pub url: Option<String>,
    /// Since when the forge no longer shows it.
    #[serde(with = "annals_core::time::rfc3339_option")]
    pub gone_at: Option<UnixMs>,
    /// Why not.
    pub gone_reason: Option<GoneReason>,
    /// Of a reading [as of](super::as_of) a time: how sure it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certainty: Option<Certainty>,
    /// Its row.
    #[serde(skip)]
    pub row: i64,
    /// The commit that last changed it.
    #[serde(skip)]
    pub changed_seq: i64,
}

fn kind<S: serde::Serializer>(kind: &EntityKind, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(kind.as_str())
}

/// Lists issues or merge requests.
///
/// # Errors
/// A failure of the file.
pub fn list(conn: &Connection, visibility: &Visibility, query: &ListQuery) -> Result<List, Error> {
    let clause = conditions(conn, visibility, query)?;
    let table = entity_table(query.kind);
    let total_sql = format!("SELECT count(*) FROM {table} e WHERE {}", clause.sql());
    let total = conn
        .prepare_cached(&total_sql)?
        .query_row(params_from_iter(clause.values([])), |row| row.get(0))?;
    let (column, up) = order(query);
    let direction = if up { "ASC" } else { "DESC" };
    let (mut page, mut changed_during_walk) = (clause, 0);
    let (limit, offset) = match &query.slice {
        Slice::Offset { offset, limit } => (*limit, *offset),
        Slice::Walk { seq, after, limit } => {
            let mut changed = conditions(conn, visibility, query)?;
            changed.with("e.changed_seq > ?", [(*seq).into()]);
            let sql = format!("SELECT count(*) FROM {table} e WHERE {}", changed.sql());
            changed_during_walk = conn
                .prepare_cached(&sql)?
                .query_row(params_from_iter(changed.values([])), |row| row.get(0))?;
            page.with("e.changed_seq <= ?", [(*seq).into()]);
            if let Some(after) = after {
                beyond(&mut page, column, up, *after);
            }
            (*limit, 0)
        }
    };
    let sql = format!(
        "{} WHERE {} ORDER BY e.{column} {direction}, e.id {direction} LIMIT ? OFFSET ?",
        columns(query.kind),
        page.sql()
    );
    let mut select = conn.prepare_cached(&sql)?;
    let rows = select.query_map(params_from_iter(page.values([count(limit), count(offset)])), |row| {
        Ok((read(row, query.kind)?, row.get::<_, Option<i64>>(column)?))
    })?;
    let rows = rows.collect::<Result<Vec<_>, _>>()?;
    let next = rows.last().filter(|_| rows.len() == limit).map(|(item, key)| Place {
        key: *key,
        row: item.row,
    });
    Ok(List {
        items: rows.into_iter().map(|(item, _)| item).collect(),
        total,
        changed_during_walk,
        next,
    })
}

/// One entity as it would be listed, gone or not.
pub(super) fn one(
    conn: &Connection,
    visibility: &Visibility,
    kind: EntityKind,
    project: ProjectId,
    iid: Iid,
) -> Result<Option<ListItem>, Error> {
    let mut clause = Clause::default();
    clause.visible(visibility, "e.project_id", Some("e.confidential"));
    clause.with("e.project_id = ? AND e.iid = ?", [project.0.into(), iid.0.into()]);
    let sql = format!("{} WHERE {}", columns(kind), clause.sql());
    let mut select = conn.prepare_cached(&sql)?;
    let mut rows = select.query_map(params_from_iter(clause.values([])), |row| read(row, kind))?;
    Ok(rows.next().transpose()?)
}

/// What an entity `e` must be to be listed.
pub(super) fn conditions(conn: &Connection, visibility: &Visibility, query: &ListQuery) -> Result<Clause, Error> {
    let (parent, labels, assignees) = match query.kind {
        EntityKind::Issue => ("issue_id", "issue_labels", "issue_assignees"),
        EntityKind::MergeRequest => ("mr_id", "mr_labels", "mr_assignees"),
    };
    let mut clause = Clause::default();
    clause.visible(visibility, "e.project_id", Some("e.confidential"));
    if !query.projects.is_empty() {
        let ids: Vec<_> = query.projects.iter().map(|project| project.0).collect();
        clause.with("e.project_id IN (SELECT value FROM json_each(?))", [json_list(&ids)]);
    }
    if !query.states.is_empty() {
        clause.with(
            "e.state IN (SELECT value FROM json_each(?))",
            [json_list(&query.states)],
        );
    }
    if query.gone == GoneRows::Hidden {
        clause.when("e.gone_at IS NULL");
    }
    if let Some(after) = query.after {
        clause.with("e.updated_at >= ?", [after.0.into()]);
    }
    if let Some(before) = query.before {
        clause.with("e.updated_at < ?", [before.0.into()]);
    }
    let users = "SELECT id FROM users WHERE username_folded IN (SELECT value FROM json_each(?))";
    match &query.author {
        None => {}
        Some(NameFilter::None) => clause.when("e.author_id IN (SELECT id FROM users WHERE kind = 'ghost')"),
        Some(NameFilter::Any) => clause.when("e.author_id NOT IN (SELECT id FROM users WHERE kind = 'ghost')"),
        Some(NameFilter::OneOf(names)) => clause.with(format!("e.author_id IN ({users})"), [folded(names)]),
    }
    let links = |table: &str, named: &str| format!("EXISTS (SELECT 1 FROM {table} l WHERE l.{parent} = e.id{named})");
    for (filter, table, named) in query
        .assignee
        .iter()
        .map(|filter| (filter, assignees, format!(" AND l.user_id IN ({users})")))
        .chain(query.labels.iter().map(|filter| {
            let ids = "SELECT id FROM labels WHERE name_folded IN (SELECT value FROM json_each(?))";
            (filter, labels, format!(" AND l.label_id IN ({ids})"))
        }))
    {
        match filter {
            NameFilter::None => clause.when(format!("NOT {}", links(table, ""))),
            NameFilter::Any => clause.when(links(table, "")),
            NameFilter::OneOf(names) => clause.with(links(table, &named), [folded(names)]),
        }
    }
    match &query.milestone {
        None => {}
        Some(NameFilter::None) => clause.when("e.milestone_id IS NULL"),
        Some(NameFilter::Any) => clause.when("e.milestone_id IS NOT NULL"),
        Some(NameFilter::OneOf(titles)) => {
            let ids = milestones(conn, titles)?;
            clause.with("e.milestone_id IN (SELECT value FROM json_each(?))", [json_list(&ids)]);
        }
    }
    Ok(clause)
}

fn folded(names: &[String]) -> Value {
    json_list(&names.iter().map(|name| fold(name)).collect::<Vec<_>>())
}

/// Milestones are few and have no folded column: they are compared here.
fn milestones(conn: &Connection, titles: &[String]) -> Result<Vec<i64>, Error> {
    let wanted: Vec<_> = titles.iter().map(|title| fold(title)).collect();
    let mut select = conn.prepare_cached("SELECT id, title FROM milestones ORDER BY id")?;
    let mut rows = select.query([])?;
    let mut ids = Vec::new();
    while let Some(row) = rows.next()? {
        if wanted.contains(&fold(row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?)) {
            ids.push(row.get(0)?);
        }
    }
    Ok(ids)
}

fn order(query: &ListQuery) -> (&'static str, bool) {
    let column = match query.sort {
        Sort::Updated => "updated_at",
        Sort::Created => "created_at",
        Sort::Iid => "iid",
    };
    (column, query.direction == Direction::Ascending)
}

/// Rows after a place; those whose time is unknown come first going up and last going down.
fn beyond(clause: &mut Clause, column: &str, up: bool, after: Place) {
    let row = after.row.into();
    match (after.key, up) {
        (Some(key), true) => clause.with(format!("(e.{column}, e.id) > (?, ?)"), [key.into(), row]),
        (Some(key), false) => {
            clause.with(
                format!("((e.{column}, e.id) < (?, ?) OR e.{column} IS NULL)"),
                [key.into(), row],
            );
        }
        (None, true) => clause.with(format!("(e.{column} IS NOT NULL OR e.id > ?)"), [row]),
        (None, false) => clause.with(format!("e.{column} IS NULL AND e.id < ?"), [row]),
    }
}

fn columns(kind: EntityKind) -> String {
    let (parent, labels, assignees, own) = match kind {
        EntityKind::Issue => ("issue_id", "issue_labels", "issue_assignees", "0, NULL"),
        EntityKind::MergeRequest => ("mr_id", "mr_labels", "mr_assignees", "e.draft, e.merged_at"),
    };
    format!(
        "SELECT p.path, p.id, f.name, e.iid AS iid, e.title, e.state, e.state_reason, {own}, e.confidential, u.username,
                (SELECT json_group_array(username ORDER BY username_folded, username) FROM {assignees} l
                 JOIN users ON users.id = l.user_id WHERE l.{parent} = e.id),
                (SELECT json_group_array(name ORDER BY name_folded, name) FROM {labels} l
                 JOIN labels ON labels.id = l.label_id WHERE l.{parent} = e.id),
                m.title, e.created_at AS created_at, e.updated_at AS updated_at, e.closed_at, e.web_url, e.gone_at,
                e.gone_reason, e.id, e.changed_seq
         FROM {} e JOIN projects p ON p.id = e.project_id JOIN forges f ON f.id = p.forge_id
         JOIN users u ON u.id = e.author_id LEFT JOIN milestones m ON m.id = e.milestone_id",
        entity_table(kind)
    )
}

fn read(row: &Row<'_>, kind: EntityKind) -> rusqlite::Result<ListItem> {
    let (project, iid): (String, i64) = (row.get(0)?, row.get(3)?);
    Ok(ListItem {
        reference: format!("{project}{}{iid}", kind.sigil()),
        kind,
        project,
        project_id: ProjectId(row.get(1)?),
        forge: row.get(2)?,
        iid: Iid(iid),
        title: row.get(4)?,
        state: row.get(5)?,
        state_reason: row.get(6)?,
        draft: row.get(7)?,
        merged_at: json::time(row, 8)?,
        confidential: row.get(9)?,
        author: row.get(10)?,
        assignees: json::names(row, 11)?,
        labels: json::names(row, 12)?,
        milestone: row.get(13)?,
        created_at: json::time(row, 14)?,
        updated_at: json::time(row, 15)?,
        closed_at: json::time(row, 16)?,
        url: row.get(17)?,
        gone_at: json::time(row, 18)?,
        gone_reason: row.get(19)?,
        certainty: None,
        row: row.get(20)?,
        changed_seq: row.get(21)?,
    })
}
