//! A WHERE clause made of parts, each with its values in order.

use rusqlite::types::Value;

use super::Visibility;

#[derive(Default)]
pub(super) struct Clause {
    parts: Vec<String>,
    values: Vec<Value>,
}

impl Clause {
    /// Adds a condition without values.
    pub fn when(&mut self, sql: impl Into<String>) {
        self.parts.push(sql.into());
    }

    /// Adds a condition with one value for each `?`.
    pub fn with<const N: usize>(&mut self, sql: impl Into<String>, values: [Value; N]) {
        self.parts.push(sql.into());
        self.values.extend(values);
    }

    /// Adds rows of which one of these queries must hold: each an SQL with `{}` where its clause goes.
    pub fn either<const N: usize>(&mut self, queries: [(&str, Self); N]) {
        let mut parts = Vec::with_capacity(N);
        for (sql, clause) in queries {
            parts.push(sql.replace("{}", &clause.sql()));
            self.values.extend(clause.values);
        }
        self.parts.push(format!("({})", parts.join(" OR ")));
    }

    /// Adds what the caller may see: `project` and `flag` are the columns to look at.
    pub fn visible(&mut self, visibility: &Visibility, project: &str, flag: Option<&str>) {
        if let Some(ids) = visibility.project_ids() {
            self.with(format!("{project} IN (SELECT value FROM json_each(?))"), [ids.into()]);
        }
        if let Some(flag) = flag.filter(|_| !visibility.shows_confidential()) {
            self.when(format!("{flag} = 0"));
        }
    }

    /// The conditions, joined; true if there is none.
    pub fn sql(&self) -> String {
        if self.parts.is_empty() {
            "1".to_owned()
        } else {
            self.parts.join(" AND ")
        }
    }

    /// The values, and those that follow in the statement.
    pub fn values<const N: usize>(&self, more: [Value; N]) -> impl Iterator<Item = Value> {
        self.values.clone().into_iter().chain(more)
    }

    /// The value of `?1`, which stands before the clause in the statement, and the values.
    pub fn values_after(&self, first: Value) -> impl Iterator<Item = Value> {
        std::iter::once(first).chain(self.values.clone())
    }
}

/// A list of numbers or texts for `json_each`.
pub(super) fn json_list<T: serde::Serialize>(items: &[T]) -> Value {
    // Numbers and texts always serialise.
    serde_json::to_string(items).unwrap_or_else(|_| "[]".to_owned()).into()
}

/// A count for LIMIT and OFFSET.
pub(super) fn count(n: usize) -> Value {
    i64::try_from(n).unwrap_or(i64::MAX).into()
}
