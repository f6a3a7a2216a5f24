//! Everything that is wrong with a configuration, told at once.

use std::fmt;
use std::path::PathBuf;

use serde_json::{Map, Value};

use crate::code::Code;
use crate::report::{Coded, Report};
use crate::text::visible_line;

/// A place in the file, both numbers from 1, the column in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The character in it.
    pub column: usize,
}

/// Which layer a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The file.
    File(PathBuf),
    /// An environment variable.
    Variable(String),
    /// The command line.
    CommandLine,
    /// No single layer: something is missing, or two keys disagree.
    Together,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Variable(name) => f.write_str(name),
            Self::CommandLine => f.write_str("command line"),
            Self::Together => f.write_str("configuration"),
        }
    }
}

/// One broken rule. It never holds the value of a key that could be a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The key, such as `sync.jobs`; empty where the file cannot be read as TOML.
    pub key: String,
    /// What was found, where it may be shown.
    pub value: Option<String>,
    /// What it must be, as a phrase after "must be".
    pub must_be: String,
    /// The key or word that was probably meant.
    pub suggestion: Option<String>,
    /// Where it stands in the file.
    pub position: Option<Position>,
    /// The layer it came from.
    pub origin: Origin,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.origin)?;
        if let Some(Position { line, column }) = self.position {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": ")?;
        if !self.key.is_empty() {
            write!(f, "{} ", visible_line(&self.key))?;
        }
        if let Some(value) = &self.value {
            write!(f, "is `{}` but ", visible_line(value))?;
        }
        write!(f, "must be {}", self.must_be)?;
        self.suggestion
            .as_ref()
            .map_or(Ok(()), |meant| write!(f, " (did you mean `{meant}`?)"))
    }
}

impl ConfigError {
    fn to_json(&self) -> Value {
        let mut members = Map::new();
        let mut put = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                members.insert(name.to_owned(), value);
            }
        };
        put("key", Some(self.key.clone().into()));
        put("value", self.value.clone().map(Value::from));
        put("must_be", Some(self.must_be.clone().into()));
        put("suggestion", self.suggestion.clone().map(Value::from));
        put("origin", Some(self.origin.to_string().into()));
        put("line", self.position.map(|at| at.line.into()));
        put("column", self.position.map(|at| at.column.into()));
        Value::Object(members)
    }
}

/// All broken rules, in the order of the layers; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [one] => write!(f, "the configuration is wrong: {one}"),
            all => {
                write!(f, "the configuration is wrong in {} places", all.len())?;
                all.iter().try_for_each(|error| write!(f, "\n  {error}"))
            }
        }
    }
}

impl std::error::Error for ConfigErrors {}

impl Coded for ConfigErrors {
    fn code(&self) -> Code {
        Code::ConfigInvalid
    }

    fn report(&self) -> Report {
        let errors: Vec<Value> = self.0.iter().map(ConfigError::to_json).collect();
        let mut report = Report::new(self.code(), self.to_string()).with_detail("errors", errors);
        report.suggestion = self.0.iter().find_map(|error| error.suggestion.clone());
        report
    }
}
