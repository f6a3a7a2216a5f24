//! Filters by path: of a project, and of the files that were changed or commented on.

use super::values::Values;
use crate::query::Pattern;

/// How a column is compared with a bound pattern.
enum Test {
    Same(String),
    Glob(String),
    Between(String, String),
}

impl Test {
    fn new(values: &mut Values, pattern: &Pattern) -> Self {
        match pattern {
            Pattern::Exact(path) => Self::Same(values.bind(path.clone())),
            // In `GLOB` a bracket opens a set; here it is a character like any other, as in `pages/[id].tsx`.
            Pattern::Glob(glob) => Self::Glob(values.bind(glob.replace('[', "[[]"))),
            Pattern::Under(folder) => {
                // `0` is the character after `/`.
                let end = format!("{}0", folder.trim_end_matches('/'));
                Self::Between(values.bind(folder.clone()), values.bind(end))
            }
        }
    }

    fn of(&self, column: &str) -> String {
        match self {
            Self::Same(value) => format!("{column} = {value}"),
            Self::Glob(value) => format!("{column} GLOB {value}"),
            Self::Between(from, to) => format!("{column} >= {from} AND {column} < {to}"),
        }
    }
}

/// A project by the path it has; by one it had, if no other has it now.
pub(super) fn project(values: &mut Values, pattern: &Pattern) -> String {
    let test = Test::new(values, pattern);
    let now = format!("SELECT id FROM projects WHERE {}", test.of("path_folded"));
    let then = match pattern {
        Pattern::Exact(_) => format!(
            " UNION SELECT o.project_id FROM project_paths o
               WHERE {} AND NOT EXISTS (SELECT 1 FROM projects n WHERE n.path_folded = o.path_folded)",
            test.of("o.path_folded")
        ),
        Pattern::Under(_) | Pattern::Glob(_) => String::new(),
    };
    format!("d.project_id IN ({now}{then})")
}

/// Merge requests and commits that change a file, and discussions with a note on one, by its old or new name.
pub(super) fn changed(values: &mut Values, pattern: &Pattern) -> String {
    let test = Test::new(values, pattern);
    let rows = |column: &str, from: &str, current: &str| {
        // The project is named because the indexes of paths begin with it.
        let by = |path: &str| {
            let fits = test.of(path);
            format!("SELECT {column} FROM {from} WHERE c.project_id IN (SELECT id FROM projects) AND {fits} {current}")
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
