//! How many issues and merge requests there are, and of what.
//!
//! `now` lets SQLite count; `then` goes through the list as of a time, because no column remembers.

mod now;
mod then;

use std::cmp::Reverse;
use std::collections::BTreeMap;

use annals_core::{ProjectId, UnixMs};
use rusqlite::Connection;
use serde::Serialize;

use super::{ListQuery, Visibility};
use crate::Error;

/// What to count by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CountBy {
    /// Issue or merge request.
    Kind,
    /// The project.
    Project,
    /// The state.
    State,
    /// Who wrote it.
    Author,
    /// Who it is assigned to; one assigned to two counts for both.
    Assignee,
    /// Its labels; one with two counts for both.
    Label,
    /// What it is planned for.
    Milestone,
    /// The month it was written in.
    Created,
    /// The month it last changed in.
    Updated,
    /// The month it was closed or merged in.
    Closed,
}

/// What is counted: everything that one of the lists would show, whatever part of it they ask for.
#[derive(Debug, Clone)]
pub struct CountQuery {
    /// The lists, each of another kind.
    pub lists: Vec<ListQuery>,
    /// By what, if not only in all.
    pub by: Option<CountBy>,
    /// When, if not now.
    pub as_of: Option<UnixMs>,
}

/// How many there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Count {
    /// In all.
    pub total: u64,
    /// By value, the most frequent first.
    pub groups: Vec<Group>,
    /// How many of them nobody had seen yet at the time that is asked about; none of now.
    pub derived: u64,
}

/// How many there are of one value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Group {
    /// The value; `None` are those that have none.
    pub value: Option<String>,
    /// How many.
    pub count: u64,
    /// The project that the value names, if it names one.
    #[serde(skip)]
    pub project_id: Option<ProjectId>,
}

/// Counts.
///
/// # Errors
/// A failure of the file; [`Error::Corrupt`] if a state cannot be read.
pub fn count(conn: &Connection, visibility: &Visibility, query: &CountQuery) -> Result<Count, Error> {
    let mut tally = Tally::default();
    for list in &query.lists {
        match query.as_of {
            None => now::count(conn, visibility, list, query.by, &mut tally)?,
            Some(at) => then::count(conn, visibility, list, query.by, at, &mut tally)?,
        }
    }
    Ok(tally.into_count())
}

/// A value to count by: its text, and its project where it is one.
type Value = (Option<String>, Option<ProjectId>);

#[derive(Default)]
struct Tally {
    total: u64,
    derived: u64,
    groups: BTreeMap<Value, u64>,
}

impl Tally {
    fn add(&mut self, value: Value, count: u64) {
        *self.groups.entry(value).or_default() += count;
    }

    fn into_count(self) -> Count {
        let groups = self.groups.into_iter().map(|((value, project_id), count)| Group {
            value,
            count,
            project_id,
        });
        let mut groups: Vec<Group> = groups.collect();
        // Of equals those without a value come last.
        groups.sort_by(|a, b| {
            let key = |group: &Group| (Reverse(group.count), group.value.is_none());
            key(a)
                .cmp(&key(b))
                .then_with(|| (&a.value, a.project_id).cmp(&(&b.value, b.project_id)))
        });
        Count {
            total: self.total,
            groups,
            derived: self.derived,
        }
    }
}

#[cfg(test)]
mod tests;
