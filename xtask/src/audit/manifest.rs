//! A TOML file with the line of each key.

use std::ops::Range;

use anyhow::{Context, anyhow};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// `Cargo.toml`, or any other TOML file of the repository.
pub struct Manifest {
    pub path: String,
    /// As it is written.
    pub text: String,
    /// Every value that is not a table, with its place.
    pub entries: Vec<Entry>,
    pub dependencies: Vec<Dependency>,
}

/// A value and how to get to it: `profile.release.panic`.
pub struct Entry {
    pub key: Vec<String>,
    pub value: String,
    pub line: usize,
}

/// One line of a dependency table.
pub struct Dependency {
    /// The package, also where the table renames it.
    pub package: String,
    pub section: Section,
    pub line: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    Normal,
    Dev,
    Build,
    /// `[workspace.dependencies]`: not yet an edge.
    Shared,
}

impl Manifest {
    pub fn parse(path: &str, text: &str) -> anyhow::Result<Self> {
        let table = DeTable::parse(text)
            .map_err(|error| anyhow!("{error}"))
            .with_context(|| path.to_owned())?;
        let mut manifest = Self {
            path: path.to_owned(),
            text: text.to_owned(),
            entries: Vec::new(),
            dependencies: Vec::new(),
        };
        manifest.read_table(text, &mut Vec::new(), table.get_ref());
        Ok(manifest)
    }

    fn read_table(&mut self, text: &str, key: &mut Vec<String>, table: &DeTable<'_>) {
        if let Some(section) = section(key) {
            self.read_dependencies(text, section, table);
        }
        for (name, value) in table {
            key.push(name.get_ref().to_string());
            self.read_value(text, key, value);
            key.pop();
        }
    }

    fn read_value(&mut self, text: &str, key: &mut Vec<String>, value: &Spanned<DeValue<'_>>) {
        match value.get_ref() {
            DeValue::Table(table) => self.read_table(text, key, table),
            DeValue::Array(items) => {
                for item in items {
                    self.read_value(text, key, item);
                }
            }
            other => self.entries.push(Entry {
                key: key.clone(),
                value: plain(other),
                line: line(text, value.span()),
            }),
        }
    }

    fn read_dependencies(&mut self, text: &str, section: Section, table: &DeTable<'_>) {
        for (name, spec) in table {
            let renamed = spec
                .get_ref()
                .get("package")
                .and_then(|name| name.get_ref().as_str().map(str::to_owned));
            self.dependencies.push(Dependency {
                package: renamed.unwrap_or_else(|| name.get_ref().to_string()),
                section,
                line: line(text, name.span()),
            });
        }
    }

    /// The values at a path, in file order; several where an array stands there.
    pub fn values(&self, key: &[&str]) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(move |entry| entry.key == key)
    }

    pub fn value(&self, key: &[&str]) -> Option<&str> {
        self.values(key).next().map(|entry| entry.value.as_str())
    }

    pub fn is_cargo_manifest(&self) -> bool {
        self.path.rsplit('/').next() == Some("Cargo.toml")
    }

    /// The folder under `crates/`, or `xtask`, `tests`; nothing for the top manifest.
    pub fn crate_folder(&self) -> Option<&str> {
        let folder = self.path.strip_suffix("/Cargo.toml")?;
        Some(folder.strip_prefix("crates/").unwrap_or(folder))
    }
}

fn section(key: &[String]) -> Option<Section> {
    let key: Vec<&str> = key.iter().map(String::as_str).collect();
    match key.as_slice() {
        ["workspace", "dependencies"] => Some(Section::Shared),
        ["dependencies"] | ["target", _, "dependencies"] => Some(Section::Normal),
        ["dev-dependencies"] | ["target", _, "dev-dependencies"] => Some(Section::Dev),
        ["build-dependencies"] | ["target", _, "build-dependencies"] => Some(Section::Build),
        _ => None,
    }
}

fn plain(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => text.to_string(),
        DeValue::Integer(number) => number.as_str().to_owned(),
        DeValue::Float(number) => number.as_str().to_owned(),
        DeValue::Boolean(fact) => fact.to_string(),
        DeValue::Datetime(time) => time.to_string(),
        DeValue::Array(_) | DeValue::Table(_) => String::new(),
    }
}

/// The line that a place in a text is on, counted from 1.
pub fn line(text: &str, span: Range<usize>) -> usize {
    let before = text.as_bytes().iter().take(span.start);
    1 + before.filter(|byte| **byte == b'\n').count()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn dependencies_have_lines_sections_and_real_names() {
        let text = "[dependencies]\na.workspace = true\nb = { version = \"1\", package = \"c\" }\n\n\
                    [dev-dependencies]\nd = \"1\"\n[target.'cfg(unix)'.dependencies.e]\nversion = \"=2\"\n";
        let manifest = Manifest::parse("crates/db/Cargo.toml", text).unwrap();
        let mut found: Vec<_> = manifest
            .dependencies
            .iter()
            .map(|dep| (dep.package.as_str(), dep.section, dep.line))
            .collect();
        found.sort_by_key(|found| found.2);
        use Section::{Dev, Normal};
        assert_eq!(
            found,
            [("a", Normal, 2), ("c", Normal, 3), ("d", Dev, 6), ("e", Normal, 7)]
        );
        assert_eq!(
            manifest.value(&["target", "cfg(unix)", "dependencies", "e", "version"]),
            Some("=2")
        );
        assert_eq!(manifest.crate_folder(), Some("db"));
    }
}
