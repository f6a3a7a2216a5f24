//! Lists as they were: every entity that was there is read as it was, then filtered, counted and put
//! in order.
//!
//! An index knows no names of the past, so the filters are applied here. Of what matches only the page
//! is kept, so that memory follows the page and not the project.

use annals_core::UnixMs;
use rusqlite::{Connection, params_from_iter};

use super::item::{self, Was};
use super::page::Page;
use crate::Error;
use crate::content::blob::Unpack;
use crate::ids::State;
use crate::read::clause::{Clause, json_list};
use crate::read::{List, ListItem, ListQuery, NameFilter, Place, Slice, Sort, Visibility};
use crate::text::fold;

/// Lists issues or merge requests as they were at `at`. What was gone by then is never listed.
///
/// # Errors
/// A failure of the file; [`Error::Corrupt`] if a state cannot be read.
pub fn list(conn: &Connection, visibility: &Visibility, query: &ListQuery, at: UnixMs) -> Result<List, Error> {
    // What was does not change any more, so a walk misses nothing.
    let mut page = match query.slice {
        Slice::Offset { offset, limit } => Page::of(query.direction, offset, limit, None),
        Slice::Walk { after, limit, .. } => Page::of(query.direction, 0, limit, after),
    };
    fitting(conn, visibility, query, at, &mut |item| {
        let key = match query.sort {
            Sort::Updated => item.updated_at.map(|at| at.0),
            Sort::Created => item.created_at.map(|at| at.0),
            Sort::Iid => Some(item.iid.0),
        };
        page.offer(Place { key, row: item.row }, item);
    })?;
    let (total, page) = page.in_order();
    let next = page
        .last()
        .filter(|_| page.len() == limit(query))
        .map(|(place, _)| *place);
    Ok(List {
        items: page.into_iter().map(|(_, item)| item).collect(),
        total,
        changed_during_walk: 0,
        next,
    })
}

/// Everything that fits a list, whatever part of it is asked for, in no particular order.
pub(in crate::read) fn fitting(
    conn: &Connection,
    visibility: &Visibility,
    query: &ListQuery,
    at: UnixMs,
    found: &mut dyn FnMut(ListItem),
) -> Result<(), Error> {
    let mut clause = Clause::default();
    clause.visible(visibility, "e.project_id", Some("e.confidential"));
    if !query.projects.is_empty() {
        let ids: Vec<_> = query.projects.iter().map(|project| project.0).collect();
        clause.with("e.project_id IN (SELECT value FROM json_each(?))", [json_list(&ids)]);
    }
    let sql = format!("{} WHERE {}", item::select(query.kind), clause.sql());
    let mut select = conn.prepare_cached(&sql)?;
    let mut rows = select.query(params_from_iter(clause.values_after(at.0.into())))?;
    let (filters, mut unpack) = (Filters::of(query), Unpack::default());
    while let Some(row) = rows.next()? {
        let Was { item, .. } = Was::read(conn, row, query.kind, at, &mut unpack)?;
        let visible = visibility.shows_confidential() || !item.confidential;
        if visible && filters.fit(&item) {
            found(item);
        }
    }
    Ok(())
}

const fn limit(query: &ListQuery) -> usize {
    match query.slice {
        Slice::Offset { limit, .. } | Slice::Walk { limit, .. } => limit,
    }
}

/// The filters of a query, with the names folded.
pub(super) struct Filters<'q> {
    states: &'q [State],
    author: Option<Names>,
    assignee: Option<Names>,
    labels: Vec<Names>,
    milestone: Option<Names>,
    after: Option<UnixMs>,
    before: Option<UnixMs>,
}

/// A filter on a name, folded.
pub(super) enum Names {
    None,
    Any,
    OneOf(Vec<String>),
}

impl Names {
    pub fn of(filter: &NameFilter) -> Self {
        match filter {
            NameFilter::None => Self::None,
            NameFilter::Any => Self::Any,
            NameFilter::OneOf(names) => Self::OneOf(names.iter().map(|name| fold(name)).collect()),
        }
    }

    fn fit<'n>(&self, mut names: impl Iterator<Item = &'n String>) -> bool {
        match self {
            Self::None => names.next().is_none(),
            Self::Any => names.next().is_some(),
            Self::OneOf(wanted) => names.any(|name| wanted.contains(&fold(name))),
        }
    }

    /// Whether an author fits. The name of the ghost stands for nobody.
    pub fn fit_author(&self, author: &String) -> bool {
        self.fit(std::iter::once(author).filter(|author| matches!(self, Self::OneOf(_)) || author.as_str() != "ghost"))
    }
}

impl<'q> Filters<'q> {
    pub fn of(query: &'q ListQuery) -> Self {
        Self {
            states: &query.states,
            author: query.author.as_ref().map(Names::of),
            assignee: query.assignee.as_ref().map(Names::of),
            labels: query.labels.iter().map(Names::of).collect(),
            milestone: query.milestone.as_ref().map(Names::of),
            after: query.after,
            before: query.before,
        }
    }

    pub fn fit(&self, item: &ListItem) -> bool {
        let all = |filter: &Option<Names>, names: &[String]| filter.as_ref().is_none_or(|f| f.fit(names.iter()));
        (self.states.is_empty() || self.states.contains(&item.state))
            && self
                .author
                .as_ref()
                .is_none_or(|filter| filter.fit_author(&item.author))
            && all(&self.assignee, &item.assignees)
            && self.labels.iter().all(|filter| filter.fit(item.labels.iter()))
            && self
                .milestone
                .as_ref()
                .is_none_or(|filter| filter.fit(item.milestone.iter()))
            && self
                .after
                .is_none_or(|after| item.updated_at.is_some_and(|at| at >= after))
            && self
                .before
                .is_none_or(|before| item.updated_at.is_some_and(|at| at < before))
    }
}
