//! What a correct mirror of the simulated project contains, exactly.
//!
//! [`rows`] gives it row by row in natural keys (numbers, forge ids, names; never local ids), with
//! the values that the database stores. [`expected_dump`] writes it as text, and [`sql`] holds one
//! query per section that writes the same text from a database, so that
//! `sql::dump(…) == expected_dump(…)` says a mirror is whole and right. Neither side uses code of
//! the product: a mistake there cannot hide here.
//!
//! A line is a JSON array. Rows that a mirror keeps although the forge shows them no more
//! (`gone_at`, `missing_since`, closed intervals) are not in the dump.
//!
//! Decisions a mirror of GitLab has to share with this model:
//! - a description of `null` is an empty body; a due date is midnight UTC of its day;
//! - an account is a bot if its name is `project_<id>_bot…` or `group_<id>_bot…`, a ghost if it is
//!   `ghost`, else human;
//! - a discussion is a `comment` when GitLab calls it an individual note, else a `thread`;
//! - a state event's action is the state it names; its subject is free;
//! - a file that GitLab does not show (`too_large`) has no counts, and the list is `truncated`;
//! - additions and deletions are counted in the shown text.

mod fields;
mod rows;
pub mod sql;

pub use rows::{Row, Section, rows, rows_of};

use std::collections::BTreeMap;

use super::state::{State, Viewer};

/// The canonical text of a whole and right mirror, as a member of the project sees it.
#[must_use]
pub fn expected_dump(state: &State) -> String {
    expected_dump_for(state, Viewer::Member)
}

/// The same for any viewer.
#[must_use]
pub fn expected_dump_for(state: &State, viewer: Viewer) -> String {
    let mut sections: BTreeMap<Section, Vec<String>> = BTreeMap::new();
    rows(state, viewer, &mut |row| {
        sections.entry(row.section).or_default().push(row.line())
    });
    let mut text = String::new();
    for section in Section::ALL {
        let lines = sections.remove(&section).unwrap_or_default();
        write_section(&mut text, section, lines);
    }
    text
}

/// How many rows of each section a whole mirror has.
#[must_use]
pub fn expected_counts(state: &State, viewer: Viewer) -> BTreeMap<Section, usize> {
    let mut counts: BTreeMap<Section, usize> = Section::ALL.into_iter().map(|section| (section, 0)).collect();
    rows(state, viewer, &mut |row| *counts.entry(row.section).or_default() += 1);
    counts
}

/// The first line in which two dumps differ, with what stands there in each; what a failing test prints.
#[must_use]
pub fn first_difference(expected: &str, actual: &str) -> Option<String> {
    let (mut left, mut right) = (expected.lines(), actual.lines());
    let mut section = "";
    loop {
        match (left.next(), right.next()) {
            (None, None) => return None,
            (one, other) if one == other => {
                if let Some(title) = one.filter(|line| line.starts_with("== ")) {
                    section = title;
                }
            }
            (one, other) => {
                let (one, other) = (one.unwrap_or("(nothing)"), other.unwrap_or("(nothing)"));
                return Some(format!("in {section}\nexpected: {one}\nfound:    {other}"));
            }
        }
    }
}

fn write_section(text: &mut String, section: Section, mut lines: Vec<String>) {
    lines.sort_unstable();
    text.push_str(&format!("== {} ({})\n", section.name(), lines.len()));
    for line in lines {
        text.push_str(&line);
        text.push('\n');
    }
}
