//! `--fields`: which parts of `data` a caller wants, and which there are.

use std::collections::BTreeMap;

use annals_core::text::nearest;
use annals_core::{Code, Report};
use serde_json::{Map, Value};

/// What the `data` of a command looks like. A test holds it against what the command answers.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Names in `data` that can be asked for, dotted where they lie deeper. `name.*` has names of its own that are not
    /// known beforehand.
    pub fields: &'static [&'static str],
    /// The member that is a list, where `data` is mainly one: its items' fields are asked for by their own names.
    pub list: Option<&'static str>,
    /// What `minimal` means.
    pub minimal: &'static [&'static str],
}

/// What to keep of a value.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    Everything,
    Parts(BTreeMap<String, Wanted>),
}

/// A selection that fits a shape.
#[derive(Debug)]
pub struct Selection {
    wanted: Wanted,
    /// The full paths, in the order they were asked for.
    paths: Vec<String>,
}

impl Selection {
    /// Reads `a,b.c`, `minimal` or `full`; `None` is everything.
    ///
    /// # Errors
    /// `usage` for a field that is not there, with those that are.
    pub fn parse(asked: &str, shape: &Shape) -> Result<Option<Self>, Report> {
        let names: Vec<&str> = asked
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .collect();
        let names = match names.as_slice() {
            ["full"] => return Ok(None),
            ["minimal"] => shape.minimal.to_vec(),
            [] => return Err(unknown("", shape)),
            _ => names,
        };
        let mut wanted = Wanted::Parts(BTreeMap::new());
        let mut paths = Vec::new();
        for name in names {
            let path = shape.path_of(name).ok_or_else(|| unknown(name, shape))?;
            wanted.add(path.split('.'));
            paths.push(path);
        }
        Ok(Some(Self { wanted, paths }))
    }

    /// The parts of `data` that were asked for.
    pub fn of(&self, data: Value) -> Value {
        self.wanted.keep(data)
    }

    /// The paths inside `list` that were asked for, and nothing else was; `None` if something else was too.
    pub fn columns(&self, list: &str) -> Option<Vec<&str>> {
        self.paths
            .iter()
            .map(|path| path.strip_prefix(list)?.strip_prefix('.'))
            .collect()
    }
}

impl Shape {
    /// The full path of a name that was asked for.
    fn path_of(&self, name: &str) -> Option<String> {
        let in_items = self.list.map(|list| format!("{list}.{name}"));
        in_items
            .into_iter()
            .chain([name.to_owned()])
            .find(|path| self.has(path))
    }

    fn has(&self, path: &str) -> bool {
        self.fields.iter().any(|field| match field.strip_suffix(".*") {
            Some(open) => path == open || below(path, open),
            None => *field == path || below(field, path),
        })
    }

    /// The names a caller would use.
    fn names(&self) -> Vec<&'static str> {
        let strip = |field: &'static str| {
            let item = self.list.and_then(|list| field.strip_prefix(list)?.strip_prefix('.'));
            item.unwrap_or(field)
        };
        self.fields.iter().copied().map(strip).collect()
    }
}

/// Whether `path` lies inside `parent`.
fn below(path: &str, parent: &str) -> bool {
    path.strip_prefix(parent).is_some_and(|rest| rest.starts_with('.'))
}

fn unknown(name: &str, shape: &Shape) -> Report {
    let valid = shape.names();
    let shown: String = name.chars().take(60).collect();
    let message = format!(
        "`{shown}` is not a field of this answer; there are {}",
        valid.join(", ")
    );
    let mut report = Report::new(Code::Usage, message)
        .with_detail("field", shown)
        .with_detail("valid", valid.clone());
    report.suggestion = nearest(name, valid.iter().copied()).map(str::to_owned);
    report
}

impl Wanted {
    /// One more path. Whoever asked for all of something has it, whatever else was asked for inside.
    fn add<'a>(&mut self, mut path: impl Iterator<Item = &'a str>) {
        match (path.next(), &mut *self) {
            (None, _) => *self = Self::Everything,
            (Some(_), Self::Everything) => {}
            (Some(head), Self::Parts(parts)) => {
                parts
                    .entry(head.to_owned())
                    .or_insert_with(|| Self::Parts(BTreeMap::new()))
                    .add(path);
            }
        }
    }

    fn keep(&self, value: Value) -> Value {
        let Self::Parts(parts) = self else {
            return value;
        };
        match value {
            Value::Array(items) => Value::Array(items.into_iter().map(|item| self.keep(item)).collect()),
            Value::Object(members) => {
                let kept = members.into_iter().filter_map(|(name, member)| {
                    let wanted = parts.get(&name)?;
                    Some((name, wanted.keep(member)))
                });
                Value::Object(kept.collect::<Map<_, _>>())
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use serde_json::json;

    const SHAPE: Shape = Shape {
        fields: &[
            "hits.title",
            "hits.author.name",
            "hits.author.id",
            "hits.highlights",
            "facets.*",
        ],
        list: Some("hits"),
        minimal: &["title"],
    };

    fn select(asked: &str) -> Value {
        let data = json!({
            "hits": [{"title": "a", "author": {"name": "n", "id": 1}, "highlights": [[0, 1]]}],
            "facets": {"label": {"values": [1]}},
        });
        Selection::parse(asked, &SHAPE)
            .unwrap()
            .map_or(data.clone(), |selection| selection.of(data))
    }

    #[test]
    fn fields_select_from_items_and_members() {
        assert_eq!(select("title"), json!({"hits": [{"title": "a"}]}));
        assert_eq!(select("minimal"), json!({"hits": [{"title": "a"}]}));
        assert_eq!(
            select("hits.title, author.name"),
            json!({"hits": [{"title": "a", "author": {"name": "n"}}]})
        );
        assert_eq!(
            select("author,author.id"),
            json!({"hits": [{"author": {"name": "n", "id": 1}}]})
        );
        assert_eq!(select("facets.label"), json!({"facets": {"label": {"values": [1]}}}));
        assert_eq!(select("full").as_object().unwrap().len(), 2);
    }

    #[test]
    fn fields_unknown_names_valid() {
        for asked in [
            "titel",
            "author.email",
            "highlights.x",
            "",
            "title,nothing",
            "minimal,title",
        ] {
            let report = Selection::parse(asked, &SHAPE).unwrap_err();
            assert_eq!(report.code, Code::Usage, "{asked}");
            assert_eq!(
                report.details["valid"],
                json!(["title", "author.name", "author.id", "highlights", "facets.*"])
            );
        }
        assert_eq!(
            Selection::parse("titel", &SHAPE).unwrap_err().suggestion.as_deref(),
            Some("title")
        );
    }
}
