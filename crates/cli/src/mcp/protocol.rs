//! Lines of JSON-RPC 2.0, and what the revisions of the protocol ask of them.

use serde_json::{Map, Value, json};

/// Revisions that begin with a handshake, the newest first.
pub const WITH_HANDSHAKE: &[&str] = &["2025-11-25", "2025-06-18"];

/// The revision in which every request stands for itself.
pub const STATELESS: &str = "2026-07-28";

/// All that are spoken, the newest first.
fn all_revisions() -> Vec<&'static str> {
    [STATELESS].into_iter().chain(WITH_HANDSHAKE.iter().copied()).collect()
}

/// Where a request of the stateless revision says which one it is of.
const VERSION: &str = "io.modelcontextprotocol/protocolVersion";
const CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
const SERVER: &str = "io.modelcontextprotocol/serverInfo";

/// Numbers of JSON-RPC, and one of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    Parse,
    Request,
    Method,
    Params,
    Internal,
    Version,
}

impl Fault {
    const fn number(self) -> i32 {
        match self {
            Self::Parse => -32700,
            Self::Request => -32600,
            Self::Method => -32601,
            Self::Params => -32602,
            Self::Internal => -32603,
            Self::Version => -32022,
        }
    }
}

/// Why a request has no result.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    pub fault: Fault,
    pub message: String,
    pub data: Option<Value>,
}

impl Refusal {
    pub fn new(fault: Fault, message: impl Into<String>) -> Self {
        Self {
            fault,
            message: message.into(),
            data: None,
        }
    }

    /// The answer to the request with this id; `Null` where it is not known.
    pub fn answer(&self, id: &Value) -> Value {
        let mut error = json!({"code": self.fault.number(), "message": self.message});
        if let (Some(data), Some(members)) = (&self.data, error.as_object_mut()) {
            members.insert("data".to_owned(), data.clone());
        }
        json!({"jsonrpc": "2.0", "id": id, "error": error})
    }
}

/// What a line is.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    Request(Request),
    /// Nobody waits for an answer.
    Notification {
        method: String,
        params: Map<String, Value>,
    },
    /// An answer to something that was never asked.
    Answer,
}

/// Something that is answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    pub id: Value,
    pub method: String,
    pub params: Map<String, Value>,
}

/// Which kind of revision a request is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Era {
    Handshake,
    Stateless,
}

/// Takes a line apart.
///
/// # Errors
/// The refusal, with the id as far as it could be read.
pub fn read(line: &[u8]) -> Result<Message, (Value, Refusal)> {
    let nobody = |fault, message: &str| (Value::Null, Refusal::new(fault, message));
    let value: Value = serde_json::from_slice(line).map_err(|_| nobody(Fault::Parse, "this line is not JSON"))?;
    let Value::Object(mut members) = value else {
        return Err(nobody(Fault::Request, "a message is a JSON object"));
    };
    let id = members.remove("id");
    let known = id.clone().filter(|id| id.is_string() || id.is_number());
    let wrong = |message: &str| {
        let id = known.clone().unwrap_or(Value::Null);
        (id, Refusal::new(Fault::Request, message))
    };
    if members.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
        return Err(wrong("`jsonrpc` must be \"2.0\""));
    }
    let method = match members.remove("method") {
        Some(Value::String(method)) => method,
        Some(_) => return Err(wrong("`method` must be text")),
        None if members.contains_key("result") || members.contains_key("error") => return Ok(Message::Answer),
        None => return Err(wrong("`method` is missing")),
    };
    let params = match members.remove("params") {
        None => Map::new(),
        Some(Value::Object(params)) => params,
        Some(_) if id.is_none() => Map::new(),
        Some(_) => {
            let id = known.unwrap_or(Value::Null);
            return Err((id, Refusal::new(Fault::Params, "`params` must be an object")));
        }
    };
    match (id, known) {
        (None, _) => Ok(Message::Notification { method, params }),
        (Some(_), Some(id)) => Ok(Message::Request(Request { id, method, params })),
        (Some(_), None) => Err(nobody(Fault::Request, "`id` must be text or a number")),
    }
}

impl Request {
    /// Of which era the request is.
    ///
    /// # Errors
    /// A revision that is not spoken here, with those that are; `_meta` without what it must have.
    pub fn era(&self) -> Result<Era, Refusal> {
        let meta = self.params.get("_meta");
        let asked = meta.and_then(|meta| meta.get(VERSION));
        if self.method == "initialize" || asked.is_none() && self.method != "server/discover" {
            return Ok(Era::Handshake);
        }
        let asked = asked.and_then(Value::as_str);
        let asked = asked.ok_or_else(|| Refusal::new(Fault::Params, format!("`_meta` needs `{VERSION}`")))?;
        if asked != STATELESS {
            return Err(Refusal {
                data: Some(json!({"supported": all_revisions(), "requested": asked})),
                ..Refusal::new(Fault::Version, "this revision needs no `_meta`, or is not spoken here")
            });
        }
        if !meta
            .and_then(|meta| meta.get(CAPABILITIES))
            .is_some_and(Value::is_object)
        {
            return Err(Refusal::new(Fault::Params, format!("`_meta` needs `{CAPABILITIES}`")));
        }
        Ok(Era::Stateless)
    }

    /// The answer with a result of its era.
    pub fn answer(&self, era: Era, mut result: Value) -> Value {
        if let (Era::Stateless, Some(members)) = (era, result.as_object_mut()) {
            members.insert("resultType".to_owned(), "complete".into());
            let meta = members.entry("_meta").or_insert_with(|| json!({}));
            if let Some(meta) = meta.as_object_mut() {
                meta.insert(SERVER.to_owned(), server());
            }
        }
        json!({"jsonrpc": "2.0", "id": self.id, "result": result})
    }
}

/// Who answers.
pub fn server() -> Value {
    json!({"name": "annals", "title": "Annals", "version": env!("CARGO_PKG_VERSION")})
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_line_is_taken_apart() {
        let number = |line: &str| {
            read(line.as_bytes())
                .err()
                .map(|(id, refusal)| (id, refusal.fault.number()))
        };
        for (line, id, fault) in [
            ("", Value::Null, -32700),
            ("{", Value::Null, -32700),
            ("[]", Value::Null, -32600),
            ("7", Value::Null, -32600),
            (r#"{"id":1,"method":"ping"}"#, 1.into(), -32600),
            (r#"{"jsonrpc":"2.0","id":1}"#, 1.into(), -32600),
            (r#"{"jsonrpc":"2.0","id":"a","method":7}"#, "a".into(), -32600),
            (r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, Value::Null, -32600),
            (r#"{"jsonrpc":"2.0","id":[1],"method":"ping"}"#, Value::Null, -32600),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":[1]}"#,
                1.into(),
                -32602,
            ),
        ] {
            assert_eq!(number(line), Some((id, fault)), "{line}");
        }
        let request = read(br#"{"jsonrpc":"2.0","id":"x","method":"ping"}"#).unwrap();
        assert!(
            matches!(request, Message::Request(Request { ref method, .. }) if method == "ping"),
            "{request:?}"
        );
        let note = read(br#"{"jsonrpc":"2.0","method":"notifications/initialized","params":null}"#).unwrap();
        assert!(matches!(note, Message::Notification { .. }));
        assert_eq!(read(br#"{"jsonrpc":"2.0","id":1,"result":{}}"#), Ok(Message::Answer));
    }

    proptest! {
        #[test]
        fn no_line_panics(line in proptest::collection::vec(any::<u8>(), 0..80)) {
            drop(read(&line));
        }
    }
}
