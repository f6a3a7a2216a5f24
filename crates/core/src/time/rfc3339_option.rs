//! `#[serde(with = "annals_core::time::rfc3339_option")]`: a [`UnixMs`] as text, or null.

use serde::{Deserialize, Deserializer, Serializer, de::Error};

use super::{UnixMs, parse_time};

/// Writes the text or null.
///
/// # Errors
/// The serializer's own.
pub fn serialize<S: Serializer>(at: &Option<UnixMs>, serializer: S) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => serializer.serialize_str(&at.rfc3339()),
        None => serializer.serialize_none(),
    }
}

/// Reads the text or null.
///
/// # Errors
/// The text is no time.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<UnixMs>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    text.map(|text| parse_time(&text).map_err(D::Error::custom)).transpose()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use crate::time::UnixMs;

    #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    struct Row {
        #[serde(with = "crate::time::rfc3339")]
        created_at: UnixMs,
        #[serde(with = "crate::time::rfc3339_option")]
        closed_at: Option<UnixMs>,
    }

    #[test]
    fn times_leave_as_text_and_come_back() {
        let row = Row {
            created_at: UnixMs(0),
            closed_at: None,
        };
        let json = serde_json::to_string(&row).unwrap();
        assert_eq!(json, r#"{"created_at":"1970-01-01T00:00:00.000Z","closed_at":null}"#);
        assert_eq!(serde_json::from_str::<Row>(&json).unwrap(), row);
        let closed = Row {
            closed_at: Some(UnixMs(1)),
            ..row
        };
        let json = serde_json::to_string(&closed).unwrap();
        assert_eq!(serde_json::from_str::<Row>(&json).unwrap(), closed);
        assert!(serde_json::from_str::<Row>(r#"{"created_at":"soon","closed_at":null}"#).is_err());
    }
}
