//! Filters by who or what belongs to an entity. A discussion has its parent's.

use rusqlite::Connection;

use super::values::Values;
use crate::query::{Name, Role};

/// Where the people, labels or milestone of an entity are found: table and column of the entity's row, for issues and
/// for merge requests, and the column that names the other side.
struct Relation {
    issues: Option<(&'static str, &'static str)>,
    merge_requests: (&'static str, &'static str),
    other: &'static str,
}

const ASSIGNEES: Relation = Relation {
    issues: Some(("issue_assignees", "issue_id")),
    merge_requests: ("mr_assignees", "mr_id"),
    other: "user_id",
};
const REVIEWERS: Relation = Relation {
    issues: None,
    merge_requests: ("mr_reviewers", "mr_id"),
    other: "user_id",
};
const LABELS: Relation = Relation {
    issues: Some(("issue_labels", "issue_id")),
    merge_requests: ("mr_labels", "mr_id"),
    other: "label_id",
};
const MILESTONES: Relation = Relation {
    issues: Some(("issues", "id")),
    merge_requests: ("merge_requests", "id"),
    other: "milestone_id",
};

/// Documents whose author, assignee or reviewer has one of these user names.
pub(super) fn person(values: &mut Values, role: Role, names: &[Name]) -> Vec<String> {
    let given = given(names);
    let users = (!given.is_empty()).then(|| {
        let folded = values.words(given);
        // The index of user names begins with the forge.
        format!("SELECT id FROM users WHERE forge_id IN (SELECT id FROM forges) AND username_folded IN {folded}")
    });
    let relation = match role {
        Role::Author => return author(names, users.as_deref()),
        Role::Assignee => ASSIGNEES,
        Role::Reviewer => REVIEWERS,
    };
    relation.conditions(names, users.as_deref())
}

/// Documents with one of these labels, of whichever project.
pub(super) fn label(values: &mut Values, names: &[Name]) -> Vec<String> {
    let given = given(names);
    let labels = (!given.is_empty()).then(|| {
        let folded = values.words(given);
        // The index of label names begins with the project.
        format!("SELECT id FROM labels WHERE project_id IN (SELECT id FROM projects) AND name_folded IN {folded}")
    });
    LABELS.conditions(names, labels.as_deref())
}

/// Documents with one of these milestones, of whichever project.
pub(super) fn milestone(conn: &Connection, values: &mut Values, names: &[Name]) -> rusqlite::Result<Vec<String>> {
    let given = given(names);
    let milestones = match given.is_empty() {
        true => None,
        false => Some(values.numbers(folded(conn, "SELECT id, title FROM milestones", &given)?)),
    };
    Ok(MILESTONES.conditions(names, milestones.as_deref()))
}

/// The ids of the rows whose name folds to one of `names`, for tables that are short and keep no folded name.
pub(super) fn folded<N: AsRef<str>>(conn: &Connection, sql: &str, names: &[N]) -> rusqlite::Result<Vec<i64>> {
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query([])?;
    let mut ids = Vec::new();
    while let Some(row) = rows.next()? {
        let name = annals_core::text::fold(row.get_ref(1)?.as_str()?);
        if names.iter().any(|wanted| wanted.as_ref() == name) {
            ids.push(row.get(0)?);
        }
    }
    Ok(ids)
}

fn given(names: &[Name]) -> Vec<&str> {
    let mut given = Vec::new();
    for name in names {
        if let Name::Is(name) = name {
            given.push(name.as_str());
        }
    }
    given
}

/// A deleted account is nobody: forges give its texts to one ghost.
const NOBODY: &str = "d.author_id IS NULL OR d.author_id IN (SELECT id FROM users WHERE kind = 'ghost')";

fn author(names: &[Name], users: Option<&str>) -> Vec<String> {
    let mut any: Vec<String> = users.map(|ids| format!("d.author_id IN ({ids})")).into_iter().collect();
    if names.contains(&Name::Nothing) {
        any.push(NOBODY.to_owned());
    }
    if names.contains(&Name::Anything) {
        any.push(format!("({NOBODY}) IS NOT TRUE"));
    }
    any
}

impl Relation {
    fn conditions(&self, names: &[Name], ids: Option<&str>) -> Vec<String> {
        let related = |test: &str| format!("IN ({})", self.documents(test));
        let mut any = Vec::new();
        if let Some(ids) = ids {
            any.push(format!("d.id {}", related(&format!("IN ({ids})"))));
        }
        if names.contains(&Name::Nothing) {
            any.push(format!("{} AND d.id NOT {}", self.could(), related("IS NOT NULL")));
        }
        if names.contains(&Name::Anything) {
            any.push(format!("d.id {}", related("IS NOT NULL")));
        }
        any
    }

    /// The documents of entities whose other side passes `test`, and of their discussions.
    fn documents(&self, test: &str) -> String {
        let of = |(table, entity): (&str, &str), kind: &str, parent: &str| {
            let other = self.other;
            format!(
                "SELECT e.id FROM {table} r JOIN documents e ON e.kind = '{kind}' AND e.source_id = r.{entity}
                  WHERE r.{other} {test}
                 UNION ALL
                 SELECT e.id FROM {table} r JOIN discussions x ON x.{parent} = r.{entity}
                   JOIN documents e ON e.kind = 'discussion' AND e.source_id = x.id
                  WHERE r.{other} {test}"
            )
        };
        let merge_requests = of(self.merge_requests, "merge_request", "mr_id");
        match self.issues {
            Some(issues) => format!("{} UNION ALL {merge_requests}", of(issues, "issue", "issue_id")),
            None => merge_requests,
        }
    }

    /// The documents that could have the relation: nobody reviews an issue.
    fn could(&self) -> &'static str {
        match self.issues {
            Some(_) => "d.kind <> 'commit'",
            None => {
                "(d.kind = 'merge_request' OR
                  d.source_id IN (SELECT id FROM discussions WHERE mr_id IS NOT NULL) AND d.kind = 'discussion')"
            }
        }
    }
}
