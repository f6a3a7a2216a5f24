//! A request and a response, free of any connection.

use serde::Serialize;

/// One request as the forge reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `GET`.
    pub method: String,
    /// Path and query as sent.
    pub target: String,
    /// Names and values as sent.
    pub headers: Vec<(String, String)>,
    /// What came after the head.
    pub body: Vec<u8>,
}

impl Request {
    /// A GET with no more than a `Host`.
    #[must_use]
    pub fn get(target: &str) -> Self {
        Self {
            method: "GET".to_owned(),
            target: target.to_owned(),
            headers: vec![("Host".to_owned(), "forge.example".to_owned())],
            body: Vec::new(),
        }
    }

    /// A POST of this body.
    #[must_use]
    pub fn post(target: &str, body: &str) -> Self {
        Self {
            method: "POST".to_owned(),
            body: body.as_bytes().to_vec(),
            ..Self::get(target)
        }
    }

    /// The same with one more header.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The first header of this name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The part before the `?`, still percent-encoded.
    #[must_use]
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// The pairs after the `?`, decoded, in order.
    #[must_use]
    pub fn query(&self) -> Vec<(String, String)> {
        let Some((_, query)) = self.target.split_once('?') else {
            return Vec::new();
        };
        query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                (decode(&name.replace('+', " ")), decode(&value.replace('+', " ")))
            })
            .collect()
    }

    /// The last value of a parameter.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<String> {
        self.query()
            .into_iter()
            .rev()
            .find(|(other, _)| other == name)
            .map(|(_, value)| value)
    }
}

/// One response as the forge means it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// Names and values, without those of the framing.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// The length to announce when the body is not sent.
    pub hidden_length: Option<usize>,
}

impl Reply {
    /// 200 with a value as JSON.
    pub(super) fn json(value: &impl Serialize) -> Self {
        match serde_json::to_vec(value) {
            Ok(body) => Self::new(200, "application/json", body),
            Err(error) => Self::error(500, "message", &format!("500 Internal Server Error: {error}")),
        }
    }

    /// A refusal in GitLab's shape: `{"message": …}`, or `{"error": …}` for a bad parameter.
    #[must_use]
    pub fn error(status: u16, field: &str, text: &str) -> Self {
        Self::new(
            status,
            "application/json",
            serde_json::json!({ field: text }).to_string().into_bytes(),
        )
    }

    pub(super) fn not_found(what: &str) -> Self {
        Self::error(404, "message", &format!("404 {what}Not Found"))
    }

    /// A response of any kind.
    #[must_use]
    pub fn new(status: u16, content_type: &str, body: Vec<u8>) -> Self {
        Self {
            status,
            headers: vec![("Content-Type".to_owned(), content_type.to_owned())],
            body,
            hidden_length: None,
        }
    }

    /// The same with one more header.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.set(name, value.to_owned());
        self
    }

    /// The first header of this name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// Puts a header in place of any of that name.
    pub fn set(&mut self, name: &str, value: String) {
        self.remove(name);
        self.headers.push((name.to_owned(), value));
    }

    /// Takes a header away.
    pub fn remove(&mut self, name: &str) {
        self.headers.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
    }

    pub(super) fn hide_body(&mut self) {
        self.hidden_length = Some(self.body.len());
        self.body = Vec::new();
    }
}

/// Percent-decoding; what is not valid stays as it is.
pub(super) fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let hex = bytes
            .get(at + 1..at + 3)
            .and_then(|pair| std::str::from_utf8(pair).ok());
        match (byte, hex.and_then(|pair| u8::from_str_radix(pair, 16).ok())) {
            (b'%', Some(value)) => {
                decoded.push(value);
                at += 3;
            }
            _ => {
                decoded.push(*byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// Percent-encoding of everything but unreserved characters.
pub(super) fn encode(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}
