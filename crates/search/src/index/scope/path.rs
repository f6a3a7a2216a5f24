//! Filters by path: of a project, and of the files that were changed or commented on.
//!
//! All patterns of a filter are one bound list, so that a filter of a thousand paths is no longer a statement, and
//! takes no longer to plan, than a filter of one.

use super::values::Values;
use crate::query::Pattern;

/// The patterns of one filter, bound.
struct Test {
    /// SQL for a list of `[from, to, glob]`: what fits lies from `from` to before `to`, which an index finds.
    ranges: String,
}

impl Test {
    fn new(values: &mut Values, patterns: &[Pattern]) -> Self {
        let ranges = serde_json::Value::Array(patterns.iter().map(range).collect());
        Self {
            ranges: format!("json_each({})", values.bind(ranges.to_string())),
        }
    }

    /// A `SELECT` of what is `wanted` from `table` where `column` fits.
    fn rows(&self, wanted: &str, table: &str, column: &str) -> String {
        let Self { ranges } = self;
        // No text is as great as a blob.
        format!(
            "SELECT {wanted} FROM {ranges} t CROSS JOIN {table}
              WHERE {column} >= t.value ->> 0 AND {column} < coalesce(t.value ->> 1, x'') AND {column} GLOB t.value ->> 2"
        )
    }
}

fn range(pattern: &Pattern) -> serde_json::Value {
    // In `GLOB` a bracket opens a set; here it is a character like any other, as in `pages/[id].tsx`.
    let literally = |text: &str| text.replace('[', "[[]");
    match pattern {
        Pattern::Exact(path) => serde_json::json!([path, format!("{path}\u{1}"), literally(path)]),
        Pattern::Under(folder) => serde_json::json!([folder, after(folder), format!("{}*", literally(folder))]),
        Pattern::Glob(glob) => {
            let start = glob.split(['*', '?']).next().unwrap_or_default();
            serde_json::json!([start, after(start), literally(glob)])
        }
    }
}

/// The least text that is greater than every one beginning with `start`.
fn after(start: &str) -> Option<String> {
    let mut chars: Vec<char> = start.chars().collect();
    while let Some(last) = chars.pop() {
        // The step of a range goes over the surrogates.
        if let Some(next) = (last..=char::MAX).nth(1) {
            chars.push(next);
            return Some(chars.into_iter().collect());
        }
    }
    None
}

/// A project by the path it has; by one it had, if no other has it now.
pub(super) fn project(values: &mut Values, patterns: &[Pattern]) -> String {
    let now = Test::new(values, patterns).rows("p.id", "projects p", "p.path_folded");
    let exact = patterns.iter().filter_map(|pattern| match pattern {
        Pattern::Exact(path) => Some(path.as_str()),
        Pattern::Under(_) | Pattern::Glob(_) => None,
    });
    let exact = values.words(exact);
    format!(
        "d.project_id IN (
           {now} UNION
           SELECT o.project_id FROM project_paths o
            WHERE o.path_folded IN {exact} AND NOT EXISTS (SELECT 1 FROM projects n WHERE n.path_folded = o.path_folded))"
    )
}

/// Merge requests and commits that change a file, and discussions with a note on one, by its old or new name.
pub(super) fn changed(values: &mut Values, patterns: &[Pattern]) -> String {
    let test = Test::new(values, patterns);
    let rows = |wanted: &str, table: &str, current: &str| {
        // The project is named because the indexes of paths begin with it.
        let by = |column: &str| {
            let fits = test.rows(wanted, table, column);
            format!("{fits} AND c.project_id IN (SELECT id FROM projects) {current}")
        };
        format!("{} UNION {}", by("c.new_path"), by("c.old_path"))
    };
    format!(
        "(d.kind = 'merge_request' AND d.source_id IN ({}))
         OR (d.kind = 'discussion' AND d.source_id IN ({}))
         OR (d.kind = 'commit' AND d.source_id IN ({}))",
        rows("c.mr_id", "mr_file_changes c", "AND c.to_at IS NULL"),
        rows(
            "n.discussion_id",
            "diff_note_positions c JOIN notes n ON n.id = c.note_id",
            "AND n.gone_at IS NULL"
        ),
        rows("c.commit_id", "commit_file_changes c", ""),
    )
}

#[cfg(test)]
mod tests {
    use super::after;

    #[test]
    fn what_comes_after_is_greater_than_all_that_begins_so() {
        for (start, end) in [
            ("src/", Some("src0")),
            ("a\u{d7ff}", Some("a\u{e000}")),
            ("a\u{10ffff}", Some("b")),
            ("\u{10ffff}", None),
            ("", None),
        ] {
            assert_eq!(after(start).as_deref(), end, "{start:?}");
        }
    }
}
