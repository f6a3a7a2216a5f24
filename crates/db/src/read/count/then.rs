//! Counts of what was there at a time: of everything that the list as of then shows.

use annals_core::UnixMs;
use annals_core::text::cut;
use rusqlite::Connection;

use super::{CountBy, Tally, Value};
use crate::Error;
use crate::read::{Certainty, ListItem, ListQuery, Visibility, as_of};

pub(super) fn count(
    conn: &Connection,
    visibility: &Visibility,
    list: &ListQuery,
    by: Option<CountBy>,
    at: UnixMs,
    tally: &mut Tally,
) -> Result<(), Error> {
    as_of::fitting(conn, visibility, list, at, &mut |item| {
        tally.total += 1;
        tally.derived += u64::from(item.certainty == Some(Certainty::Derived));
        if let Some(by) = by {
            values(item, by).into_iter().for_each(|value| tally.add(value, 1));
        }
    })
}

fn values(item: ListItem, by: CountBy) -> Vec<Value> {
    let one = |value: Option<String>| vec![(value, None)];
    let all = |mut names: Vec<String>| {
        // In order, so what is named twice stands side by side.
        names.dedup();
        if names.is_empty() {
            one(None)
        } else {
            names.into_iter().map(|name| (Some(name), None)).collect()
        }
    };
    let month = |time: Option<UnixMs>| one(time.map(|at| cut(&at.date_text(), 7).to_owned()));
    match by {
        CountBy::Kind => one(Some(item.kind.as_str().to_owned())),
        CountBy::Project => vec![(Some(item.project), Some(item.project_id))],
        CountBy::State => one(Some(item.state.as_str().to_owned())),
        CountBy::Author => one(Some(item.author)),
        CountBy::Assignee => all(item.assignees),
        CountBy::Label => all(item.labels),
        CountBy::Milestone => one(item.milestone),
        CountBy::Created => month(item.created_at),
        CountBy::Updated => month(item.updated_at),
        CountBy::Closed => month(item.merged_at.or(item.closed_at)),
    }
}
