//! What happened, in the order in which it did: to one entity, in a project, or everywhere.

use annals_core::text::{cut_chars, snippet};
use annals_core::{EntityKind, ProjectId, UnixMs};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};
use serde::Serialize;

use super::clause::{Clause, count, json_list};
use super::moment::{Moment, not_gone, text};
use super::{Certainty, ListQuery, Visibility, as_of, json};
use crate::Error;
use crate::ids::{EntityId, SubjectKind, entity_table, kind_at};

macro_rules! kinds {
    ($($(#[$doc:meta])+ $kind:ident = $word:literal),+ $(,)?) => {
        /// What sort of thing happened.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum TimelineKind { $($(#[$doc])+ $kind),+ }

        impl TimelineKind {
            /// Every kind, in the order in which those of one moment are told.
            pub const ALL: &'static [Self] = &[$(Self::$kind),+];

            /// Its word.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$kind => $word),+ }
            }

            fn parse(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$kind),)+ _ => None }
            }
        }
    };
}

kinds! {
    /// An issue or merge request was opened.
    Opened = "opened",
    /// The branch of a merge request moved.
    Push = "push",
    /// A new title.
    Title = "title",
    /// A label added or removed.
    Label = "label",
    /// A milestone set or removed.
    Milestone = "milestone",
    /// Assigned or unassigned.
    Assignee = "assignee",
    /// A reviewer asked for or removed.
    Reviewer = "reviewer",
    /// A mention from elsewhere.
    Reference = "reference",
    /// A remark on a line of a diff.
    DiffNote = "diff_note",
    /// Any other remark.
    Comment = "comment",
    /// A remark of the forge itself.
    System = "system",
    /// Something this version does not know.
    Other = "other",
    /// A merge, where the forge tells it apart from the new state.
    Merge = "merge",
    /// Closed, reopened or merged.
    State = "state",
    /// The forge no longer shows it.
    Gone = "gone",
}

impl Serialize for TimelineKind {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// What is asked.
#[derive(Debug, Clone, Default)]
pub struct TimelineQuery {
    /// In these projects; in all if empty.
    pub projects: Vec<ProjectId>,
    /// Of this entity alone, now even if it is gone; of all that are not gone without it.
    pub entity: Option<EntityId>,
    /// At or after.
    pub after: Option<UnixMs>,
    /// Before.
    pub before: Option<UnixMs>,
    /// Of these kinds; of all if empty.
    pub kinds: Vec<TimelineKind>,
    /// How many of the newest.
    pub limit: usize,
    /// When, if not now.
    pub as_of: Option<UnixMs>,
}

/// The newest of what happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeline {
    /// Oldest first.
    pub events: Vec<TimelineEvent>,
    /// How many there are in all.
    pub total: u64,
    /// How many of `events` have a text that nobody had seen yet at the time that is asked about; none of now.
    pub derived: u64,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TimelineEvent {
    /// When.
    #[serde(with = "annals_core::time::rfc3339_option")]
    pub at: Option<UnixMs>,
    /// What sort.
    pub kind: TimelineKind,
    /// Who did it, where that is known.
    pub actor: Option<String>,
    /// To what: `group/project#12`.
    #[serde(rename = "ref")]
    pub reference: String,
    /// In words, on one line.
    pub text: String,
    /// The project of `reference`.
    #[serde(skip)]
    pub project_id: ProjectId,
}

/// Reads what happened.
///
/// # Errors
/// A failure of the file; [`Error::Corrupt`] if a state cannot be read.
pub fn timeline(conn: &Connection, visibility: &Visibility, query: &TimelineQuery) -> Result<Timeline, Error> {
    let at = Moment::of(query.as_of);
    let mut clause = Clause::default();
    // What has no time is older than everything: now it is told, but of no time that has passed.
    if query.as_of.is_some() {
        clause.when("v.at <= ?1");
    }
    if let Some(after) = query.after {
        clause.with("v.at >= ?", [after.0.into()]);
    }
    if let Some(before) = query.before {
        clause.with("v.at < ?", [before.0.into()]);
    }
    if !query.kinds.is_empty() {
        let words: Vec<&str> = query.kinds.iter().map(|kind| kind.as_str()).collect();
        clause.with("v.kind IN (SELECT value FROM json_each(?))", [json_list(&words)]);
    }
    let (parts, bound) = parts(conn, visibility, query, at)?;
    let values = |more: Vec<Value>| {
        let first = std::iter::once(at.value()).chain(bound.iter().cloned());
        first.chain(clause.values([])).chain(more)
    };
    // The moment is named first, so that the parameters without a number are counted from the second.
    let moment = "WITH moment AS (SELECT ?1)";
    let sql = format!("{moment} SELECT count(*) FROM ({parts}) v WHERE {}", clause.sql());
    let total = conn
        .prepare_cached(&sql)?
        .query_row(params_from_iter(values(Vec::new())), |row| row.get(0))?;
    let ranks: String = (0..)
        .zip(TimelineKind::ALL)
        .map(|(rank, kind)| format!(" WHEN '{}' THEN {rank}", kind.as_str()))
        .collect();
    let sql = format!(
        "{moment} SELECT v.at, v.kind, u.username, v.entity, p.path, v.iid, p.id, v.action, v.subject, v.row
         FROM ({parts}) v JOIN projects p ON p.id = v.project_id LEFT JOIN users u ON u.id = v.actor_id
         WHERE {} ORDER BY v.at DESC, CASE v.kind{ranks} END DESC, v.row DESC LIMIT ?",
        clause.sql()
    );
    let mut select = conn.prepare_cached(&sql)?;
    let mut rows = select.query(params_from_iter(values(vec![count(query.limit)])))?;
    let (mut events, mut derived) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let (event, certainty) = event(conn, row, at)?;
        events.push(event);
        derived += u64::from(certainty == Certainty::Derived);
    }
    events.reverse();
    Ok(Timeline { events, total, derived })
}

/// Everything that happened by the moment `?1`, as a SELECT, and the values of its other parameters in order.
fn parts(
    conn: &Connection,
    visibility: &Visibility,
    query: &TimelineQuery,
    at: Moment,
) -> Result<(String, Vec<Value>), Error> {
    let kinds = match query.entity {
        Some(entity) => vec![entity.kind],
        None => vec![EntityKind::Issue, EntityKind::MergeRequest],
    };
    let (mut parts, mut bound) = (Vec::new(), Vec::new());
    for kind in kinds {
        let mut clause = Clause::default();
        clause.visible(visibility, "e.project_id", Some("e.confidential"));
        if !query.projects.is_empty() {
            let ids: Vec<_> = query.projects.iter().map(|project| project.0).collect();
            clause.with("e.project_id IN (SELECT value FROM json_each(?))", [json_list(&ids)]);
        }
        if let Some(entity) = query.entity {
            clause.with("e.id = ?", [entity.row.into()]);
        }
        if query.entity.is_none() || at.past().is_some() {
            clause.when(at.there(SubjectKind::from(kind), "e", "?1"));
        }
        if let Some(at) = at.past().filter(|_| !visibility.shows_confidential()) {
            let hidden = json_list(&confidential(conn, query, kind, at)?);
            clause.with("e.id NOT IN (SELECT value FROM json_each(?))", [hidden]);
        }
        for part in of_entities(kind, at) {
            parts.push(format!("{} AND {}", part.sql, clause.sql()));
            if part.has_notes {
                bound.push(visibility.highest_flag().into());
            }
            bound.extend(clause.values([]));
        }
    }
    Ok((parts.join(" UNION ALL "), bound))
}

/// What was confidential then, whether it is now or not.
fn confidential(conn: &Connection, query: &TimelineQuery, kind: EntityKind, at: UnixMs) -> Result<Vec<i64>, Error> {
    let list = ListQuery {
        projects: query.projects.clone(),
        ..ListQuery::of(kind)
    };
    let mut rows = Vec::new();
    as_of::fitting(conn, &Visibility::all(), &list, at, &mut |item| {
        if item.confidential {
            rows.push(item.row);
        }
    })?;
    Ok(rows)
}

/// One source of events, up to its condition on the entity `e`.
struct Part {
    sql: String,
    /// Whether it is bound to the highest flag.
    has_notes: bool,
}

fn of_entities(kind: EntityKind, at: Moment) -> Vec<Part> {
    let (table, parent) = (entity_table(kind), EntityId { kind, row: 0 }.parent_column());
    let part = |what: &str, from: &str, has_notes| Part {
        sql: format!(
            "SELECT {what}, '{}' AS entity, e.iid, e.project_id FROM {from}",
            kind.as_str()
        ),
        has_notes,
    };
    // The forge's own event tells more, where it keeps any.
    let untold = |action: &str| {
        format!(
            "NOT EXISTS (SELECT 1 FROM resource_events s WHERE s.{parent} = e.id AND s.kind = 'state'
                           AND s.action = '{action}' AND {})",
            not_gone("s", "?1")
        )
    };
    let mut parts = vec![
        part(
            "e.created_at AS at, 'opened' AS kind, e.author_id AS actor_id, NULL AS action, e.title AS subject, e.id AS row",
            &format!("{table} e WHERE 1"),
            false,
        ),
        part(
            "e.closed_at, 'state', e.closed_by_id, 'closed', NULL, e.id",
            &format!("{table} e WHERE e.closed_at IS NOT NULL AND e.state = 'closed' AND {}", untold("closed")),
            false,
        ),
        part(
            "e.gone_at, 'gone', NULL, e.gone_reason, NULL, e.id",
            &format!("{table} e WHERE e.gone_at IS NOT NULL"),
            false,
        ),
        part(
            "r.created_at, r.kind, r.actor_id, r.action, r.subject, r.id",
            &format!(
                "resource_events r JOIN {table} e ON e.id = r.{parent} WHERE {}",
                not_gone("r", "?1")
            ),
            false,
        ),
        part(
            "n.created_at, CASE WHEN n.system THEN 'system' WHEN n.kind = 'diff_note' THEN 'diff_note' ELSE 'comment' END,
             n.author_id, NULL, NULL, n.id",
            &format!(
                "discussions d JOIN {table} e ON e.id = d.{parent} JOIN notes n ON n.discussion_id = d.id
                 WHERE {} AND {} AND n.internal <= ?",
                at.there(SubjectKind::Discussion, "d", "?1"),
                at.there(SubjectKind::Note, "n", "?1")
            ),
            true,
        ),
    ];
    if kind == EntityKind::MergeRequest {
        parts.push(part(
            "e.merged_at, 'state', e.merged_by_id, 'merged', NULL, e.id",
            &format!("{table} e WHERE e.merged_at IS NOT NULL AND {}", untold("merged")),
            false,
        ));
        parts.push(part(
            "x.seen_at, 'push', NULL, x.head_oid, x.version, x.id",
            // The first version is what was opened.
            &format!("mr_versions x JOIN {table} e ON e.id = x.mr_id WHERE x.version > 1"),
            false,
        ));
    }
    parts
}

/// An event, and whether its text had been seen at the moment.
fn event(conn: &Connection, row: &Row<'_>, at: Moment) -> Result<(TimelineEvent, Certainty), Error> {
    let word: String = row.get(1)?;
    let kind = TimelineKind::parse(&word).unwrap_or(TimelineKind::Other);
    let entity = kind_at(row, 3)?;
    let (path, iid): (String, i64) = (row.get(4)?, row.get(5)?);
    let action: Option<String> = row.get(7)?;
    // A version is a number.
    let subject = row.get::<_, Value>(8)?;
    let subject = match subject {
        Value::Text(text) => Some(text),
        Value::Integer(number) => Some(number.to_string()),
        Value::Null | Value::Real(_) | Value::Blob(_) => None,
    };
    let mut certainty = Certainty::Recorded;
    let mut known = |kind, name| -> Result<Option<String>, Error> {
        let Some((state, how)) = at.state(conn, kind, row.get(9)?)? else {
            return Ok(None);
        };
        certainty = how;
        Ok(text(&state, name))
    };
    let text = match kind {
        TimelineKind::Comment | TimelineKind::DiffNote | TimelineKind::System => {
            let body = match known(SubjectKind::Note, "body")? {
                Some(body) => body,
                None => body(conn, row.get(9)?)?,
            };
            snippet(&body, &[]).text
        }
        TimelineKind::Opened => known(SubjectKind::from(entity), "title")?
            .or(subject)
            .unwrap_or_default(),
        TimelineKind::Push => format!(
            "version {} at {}",
            subject.unwrap_or_default(),
            cut_chars(action.as_deref().unwrap_or_default(), 12)
        ),
        TimelineKind::Label => changed("label", action.as_deref(), subject.as_deref()),
        TimelineKind::Milestone => changed("milestone", action.as_deref(), subject.as_deref()),
        TimelineKind::State | TimelineKind::Gone => action.unwrap_or_default(),
        TimelineKind::Title
        | TimelineKind::Assignee
        | TimelineKind::Reviewer
        | TimelineKind::Reference
        | TimelineKind::Merge
        | TimelineKind::Other => [action, subject].into_iter().flatten().collect::<Vec<_>>().join(" "),
    };
    let event = TimelineEvent {
        at: json::time(row, 0)?,
        kind,
        actor: row.get(2)?,
        reference: format!("{path}{}{iid}", entity.sigil()),
        text,
        project_id: ProjectId(row.get(6)?),
    };
    Ok((event, certainty))
}

fn changed(what: &str, action: Option<&str>, subject: Option<&str>) -> String {
    let verb = match action {
        Some("add") => "added",
        Some("remove") => "removed",
        Some(other) => other,
        None => "changed",
    };
    format!("{verb} {what} {}", subject.unwrap_or_default())
        .trim_end()
        .to_owned()
}

/// The body of a note as it is.
fn body(conn: &Connection, row: i64) -> Result<String, Error> {
    let body = conn
        .prepare_cached("SELECT body FROM notes WHERE id = ?1")?
        .query_row(params![row], |row| row.get(0))
        .optional()?;
    Ok(body.unwrap_or_default())
}

#[cfg(test)]
#[path = "timeline_tests.rs"]
mod tests;
