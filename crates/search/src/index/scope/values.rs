//! The values of one statement.

use rusqlite::types::Value;

/// Values to bind, `?2` first.
pub(super) struct Values(pub Vec<Value>);

impl Values {
    /// Binds one more and says how SQL names it.
    pub(super) fn bind(&mut self, value: impl Into<Value>) -> String {
        self.0.push(value.into());
        format!("?{}", self.0.len() + 1)
    }

    /// A set of words.
    pub(super) fn words<'a>(&mut self, words: impl IntoIterator<Item = &'a str>) -> String {
        self.list(words.into_iter().map(serde_json::Value::from).collect())
    }

    /// A set of numbers.
    pub(super) fn numbers(&mut self, numbers: impl IntoIterator<Item = i64>) -> String {
        self.list(numbers.into_iter().map(serde_json::Value::from).collect())
    }

    /// One parameter for any number of values, so that queries of one shape are one statement.
    fn list(&mut self, values: Vec<serde_json::Value>) -> String {
        self.listed(serde_json::Value::Array(values).to_string())
    }

    /// The same for a list that is JSON already.
    pub(super) fn listed(&mut self, json: String) -> String {
        let list = self.bind(json);
        format!("(SELECT value FROM json_each({list}))")
    }
}
