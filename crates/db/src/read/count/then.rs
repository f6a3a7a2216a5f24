//! Counts of what was there at a time: every entity by what was recorded of it then.
//!
//! Before its first record an entity had the texts of that record; its state, labels and milestone are
//! what they were after the last event until then.

use std::collections::BTreeSet;

use annals_core::text::{cut, fold};
use annals_core::{EntityKind, ProjectId, UnixMs};
use rusqlite::{Connection, OptionalExtension, params, params_from_iter};
use serde_json::Value as Json;

use super::{CountBy, Tally};
use crate::Error;
use crate::content::blob;
use crate::ids::{EntityId, EventKind, State, SubjectKind, entity_table};
use crate::read::clause::{Clause, json_list};
use crate::read::entity::state;
use crate::read::moment::{Moment, there};
use crate::read::{ListQuery, NameFilter, Visibility};

pub(super) fn count(
    conn: &Connection,
    visibility: &Visibility,
    list: &ListQuery,
    by: Option<CountBy>,
    at: UnixMs,
    tally: &mut Tally,
) -> Result<(), Error> {
    let mut clause = Clause::default();
    let moment = Moment::of(Some(at));
    // What is confidential now is kept from those who may not see it, whatever it was then.
    clause.visible(visibility, "e.project_id", Some("e.confidential"));
    clause.with(there("e", "?"), [moment.value(), moment.value()]);
    if !list.projects.is_empty() {
        let ids: Vec<_> = list.projects.iter().map(|project| project.0).collect();
        clause.with("e.project_id IN (SELECT value FROM json_each(?))", [json_list(&ids)]);
    }
    let merged = match list.kind {
        EntityKind::Issue => "NULL",
        EntityKind::MergeRequest => "e.merged_at",
    };
    let sql = format!(
        "SELECT e.id, p.path, p.id, u.kind = 'ghost', e.created_at, e.closed_at, {merged}
           FROM {} e JOIN projects p ON p.id = e.project_id JOIN users u ON u.id = e.author_id WHERE {} ORDER BY e.id",
        entity_table(list.kind),
        clause.sql()
    );
    let mut select = conn.prepare_cached(&sql)?;
    let mut rows = select.query(params_from_iter(clause.values([])))?;
    while let Some(row) = rows.next()? {
        let by_then = |index| -> Result<Option<i64>, Error> {
            Ok(row.get::<_, Option<i64>>(index)?.filter(|time| *time <= at.0))
        };
        let found = Found {
            id: EntityId {
                kind: list.kind,
                row: row.get(0)?,
            },
            project: (row.get(1)?, ProjectId(row.get(2)?)),
            by_ghost: row.get(3)?,
            created_at: row.get(4)?,
            closed_at: by_then(5)?,
            merged_at: by_then(6)?,
        };
        let entity = Then::of(conn, found, at)?;
        if entity.is_in(list) {
            tally.total += 1;
            if let Some(by) = by {
                entity.values(by).into_iter().for_each(|value| tally.add(value, 1));
            }
        }
    }
    Ok(())
}

/// What no record is needed for.
struct Found {
    id: EntityId,
    project: (String, ProjectId),
    by_ghost: bool,
    created_at: Option<i64>,
    /// Known only as far as it had happened.
    closed_at: Option<i64>,
    merged_at: Option<i64>,
}

/// An entity as it was.
struct Then {
    found: Found,
    state: State,
    author: String,
    assignees: BTreeSet<String>,
    labels: BTreeSet<String>,
    milestone: Option<String>,
    updated_at: Option<i64>,
}

impl Then {
    fn of(conn: &Connection, found: Found, at: UnixMs) -> Result<Self, Error> {
        let subject = SubjectKind::from(found.id.kind);
        let newest: Option<(i64, blob::Hash)> = conn
            .prepare_cached(
                "SELECT valid_from, state_hash FROM revisions
                  WHERE subject_kind = ?1 AND subject_id = ?2 AND valid_from <= ?3 ORDER BY valid_from DESC, seq DESC LIMIT 1",
            )?
            .query_row(params![subject, found.id.row, at.0], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        if let Some((valid_from, hash)) = newest {
            let mut then = Self::read(found, &state(conn, &hash)?);
            then.updated_at = Some(valid_from);
            return Ok(then);
        }
        let first: Option<blob::Hash> = conn
            .prepare_cached(
                "SELECT state_hash FROM revisions WHERE subject_kind = ?1 AND subject_id = ?2 ORDER BY seq LIMIT 1",
            )?
            .query_row(params![subject, found.id.row], |row| row.get(0))
            .optional()?;
        let known = first.map(|hash| state(conn, &hash)).transpose()?.unwrap_or_default();
        let mut then = Self::read(found, &known);
        then.fold_back(conn, at)?;
        Ok(then)
    }

    fn read(found: Found, known: &Json) -> Self {
        let text = |name: &str| known.get(name).and_then(Json::as_str).map(str::to_owned);
        let names = |name: &str| {
            let names = known.get(name).and_then(Json::as_array).into_iter().flatten();
            names.filter_map(Json::as_str).map(str::to_owned).collect()
        };
        Self {
            state: text("state")
                .and_then(|word| State::parse(&word))
                .unwrap_or(State::Other),
            author: text("author").unwrap_or_default(),
            assignees: names("assignees"),
            labels: names("labels"),
            milestone: text("milestone"),
            updated_at: found.created_at,
            found,
        }
    }

    /// Undoes what happened between the time and the first record, the last thing first.
    fn fold_back(&mut self, conn: &Connection, at: UnixMs) -> Result<(), Error> {
        let sql = format!(
            "SELECT kind, action, subject, created_at <= ?2 FROM resource_events
              WHERE {} = ?1 AND gone_at IS NULL AND kind IN ('state', 'label', 'milestone')
              ORDER BY created_at DESC, id DESC",
            self.found.id.parent_column()
        );
        let mut told = None;
        let mut select = conn.prepare_cached(&sql)?;
        let mut rows = select.query(params![self.found.id.row, at.0])?;
        while let Some(row) = rows.next()? {
            let kind: EventKind = row.get(0)?;
            let (action, subject): (String, Option<String>) = (row.get(1)?, row.get(2)?);
            let happened: bool = row.get::<_, Option<bool>>(3)?.unwrap_or(true);
            match (kind, happened) {
                (EventKind::State, true) => {
                    told = told.or(match action.as_str() {
                        "closed" => Some(State::Closed),
                        "merged" => Some(State::Merged),
                        _ => Some(State::Open),
                    });
                }
                (EventKind::Label, false) => {
                    let name = subject.unwrap_or_default();
                    if action == "add" {
                        self.labels.remove(&name);
                    } else {
                        self.labels.insert(name);
                    }
                }
                (EventKind::Milestone, false) => self.milestone = subject.filter(|_| action != "add"),
                _ => {}
            }
        }
        self.state = told.unwrap_or(match (self.found.merged_at, self.found.closed_at) {
            (Some(_), _) => State::Merged,
            (None, Some(_)) => State::Closed,
            (None, None) => State::Open,
        });
        Ok(())
    }

    /// Whether the list would have shown it.
    fn is_in(&self, list: &ListQuery) -> bool {
        let author = || (!self.found.by_ghost).then_some(&self.author);
        (list.states.is_empty() || list.states.contains(&self.state))
            && list.author.as_ref().is_none_or(|filter| match filter {
                NameFilter::OneOf(_) => named(filter, std::iter::once(&self.author)),
                NameFilter::None | NameFilter::Any => named(filter, author().into_iter()),
            })
            && list
                .assignee
                .as_ref()
                .is_none_or(|filter| named(filter, self.assignees.iter()))
            && list.labels.iter().all(|filter| named(filter, self.labels.iter()))
            && list
                .milestone
                .as_ref()
                .is_none_or(|filter| named(filter, self.milestone.iter()))
            && list
                .after
                .is_none_or(|after| self.updated_at.is_some_and(|at| at >= after.0))
            && list
                .before
                .is_none_or(|before| self.updated_at.is_some_and(|at| at < before.0))
    }

    fn values(&self, by: CountBy) -> Vec<super::Value> {
        let one = |value: Option<String>| vec![(value, None)];
        let all = |names: &BTreeSet<String>| {
            if names.is_empty() {
                one(None)
            } else {
                names.iter().map(|name| (Some(name.clone()), None)).collect()
            }
        };
        let month = |time: Option<i64>| one(time.map(|at| cut(&UnixMs(at).date_text(), 7).to_owned()));
        match by {
            CountBy::Kind => one(Some(self.found.id.kind.as_str().to_owned())),
            CountBy::Project => vec![(Some(self.found.project.0.clone()), Some(self.found.project.1))],
            CountBy::State => one(Some(self.state.as_str().to_owned())),
            CountBy::Author => one(Some(self.author.clone())),
            CountBy::Assignee => all(&self.assignees),
            CountBy::Label => all(&self.labels),
            CountBy::Milestone => one(self.milestone.clone()),
            CountBy::Created => month(self.found.created_at),
            CountBy::Updated => month(self.updated_at),
            CountBy::Closed => month(match self.state {
                State::Closed | State::Merged => self.found.merged_at.or(self.found.closed_at),
                State::Open | State::Other => None,
            }),
        }
    }
}

/// Whether names are what a filter asks for.
fn named<'n>(filter: &NameFilter, mut names: impl Iterator<Item = &'n String>) -> bool {
    match filter {
        NameFilter::None => names.next().is_none(),
        NameFilter::Any => names.next().is_some(),
        NameFilter::OneOf(wanted) => names.any(|name| wanted.iter().any(|one| fold(one) == fold(name))),
    }
}
