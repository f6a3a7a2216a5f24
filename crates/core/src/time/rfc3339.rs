//! `#[serde(with = "annals_core::time::rfc3339")]`: a [`UnixMs`] as text, as every JSON that leaves
//! the program has it.

use serde::{Deserialize, Deserializer, Serializer, de::Error};

use super::{UnixMs, parse_time};

/// Writes the text.
///
/// # Errors
/// The serializer's own.
pub fn serialize<S: Serializer>(at: &UnixMs, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&at.rfc3339())
}

/// Reads the text.
///
/// # Errors
/// The text is no time.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<UnixMs, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_time(&text).map_err(D::Error::custom)
}
