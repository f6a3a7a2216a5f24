//! Raw values: what a layer wrote, before a key says what it must be.

use toml::de::{DeArray, DeValue};

use super::errors::Position;

/// A value as a layer wrote it.
#[derive(Clone, Copy)]
pub(super) enum Raw<'a> {
    /// From the file.
    Toml(&'a DeValue<'a>),
    /// From a variable or the command line: text that the key's type reads.
    Text(&'a str),
}

impl Raw<'_> {
    pub fn flag(self) -> Option<bool> {
        match self {
            Self::Toml(value) => value.as_bool(),
            Self::Text(text) => text.trim().parse().ok(),
        }
    }

    pub fn integer(self) -> Option<u64> {
        match self {
            Self::Toml(value) => {
                let written = value.as_integer()?;
                u64::from_str_radix(&written.as_str().replace('_', ""), written.radix()).ok()
            }
            Self::Text(text) => text.trim().parse().ok(),
        }
    }

    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Toml(value) => value.as_str(),
            Self::Text(text) => Some(text),
        }
    }

    pub fn list(self) -> Option<Vec<String>> {
        match self {
            Self::Toml(value) => strings(value.as_array()?),
            Self::Text(text) => Some(
                text.split(',')
                    .map(|part| part.trim().to_owned())
                    .filter(|part| !part.is_empty())
                    .collect(),
            ),
        }
    }

    /// How it is told in an error.
    pub fn shown(self) -> String {
        let text = match self {
            Self::Text(text) => text.to_owned(),
            Self::Toml(value) => match value {
                DeValue::String(text) => format!("\"{text}\""),
                DeValue::Integer(number) => number.to_string(),
                DeValue::Float(number) => number.to_string(),
                DeValue::Boolean(flag) => flag.to_string(),
                DeValue::Datetime(time) => time.to_string(),
                DeValue::Array(_) => "an array".to_owned(),
                DeValue::Table(_) => "a table".to_owned(),
            },
        };
        text.chars().take(80).collect()
    }

    /// Whether it asks for a variable to be put in, which nothing does.
    pub fn wants_interpolation(self) -> bool {
        let asks = |text: &str| text.contains("${");
        match self {
            Self::Text(text) => asks(text),
            Self::Toml(DeValue::Array(array)) => strings(array).is_some_and(|all| all.iter().any(|text| asks(text))),
            Self::Toml(value) => value.as_str().is_some_and(asks),
        }
    }
}

fn strings(array: &DeArray<'_>) -> Option<Vec<String>> {
    array
        .iter()
        .map(|item| item.get_ref().as_str().map(str::to_owned))
        .collect()
}

/// Line and column of a byte.
pub(super) fn position(text: &str, byte: usize) -> Position {
    let before = text.get(..text.floor_char_boundary(byte)).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |end| end + 1);
    Position {
        line: before.matches('\n').count() + 1,
        column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
    }
}
