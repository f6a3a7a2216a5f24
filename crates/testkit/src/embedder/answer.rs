//! From a request's body to an answer's.

use serde_json::{Map, Value, json};

use super::{Asked, Fault, Manners, vector};

/// A status, headers beside the usual ones, and a body.
pub(super) struct Answer {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
}

impl Answer {
    fn new(status: u16, body: impl Into<String>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.into(),
        }
    }
}

/// Which API a path is of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Api {
    OpenAi,
    Ollama,
}

/// What is asked, if it can be read.
pub(super) fn read(path: &str, body: &[u8]) -> Option<Asked> {
    let Value::Object(mut members) = serde_json::from_slice(body).ok()? else {
        return None;
    };
    let texts = match members.remove("input")? {
        Value::String(text) => vec![text],
        Value::Array(list) => list
            .into_iter()
            .map(|text| text.as_str().map(str::to_owned))
            .collect::<Option<_>>()?,
        _ => return None,
    };
    let model = members.remove("model")?.as_str()?.to_owned();
    Some(Asked {
        path: path.to_owned(),
        model,
        texts,
        others: members,
    })
}

pub(super) fn answer(asked: Option<&Asked>, key: Option<&str>, manners: &Manners, fault: Option<&Fault>) -> Answer {
    if manners.key.is_some() && key != manners.key.as_deref() {
        return Answer::new(401, r#"{"error":{"message":"Incorrect API key provided"}}"#);
    }
    let Some(asked) = asked else {
        return Answer::new(400, r#"{"error":"invalid request"}"#);
    };
    let api = match asked.path.as_str() {
        "/v1/embeddings" => Api::OpenAi,
        "/api/embed" => Api::Ollama,
        _ => return Answer::new(404, "404 page not found"),
    };
    match fault {
        Some(Fault::Status(status)) => return Answer::new(*status, ""),
        Some(Fault::RateLimited(wait)) => {
            return Answer {
                headers: vec![("Retry-After", (*wait).to_owned())],
                ..Answer::new(429, r#"{"error":{"message":"Rate limit reached"}}"#)
            };
        }
        _ => {}
    }
    if !manners.models.contains(&asked.model) {
        return Answer::new(404, missing(api, &asked.model));
    }
    if asked.texts.iter().any(|text| text.len() > manners.longest) {
        return Answer::new(400, too_long(api));
    }
    let mut vectors: Vec<Vec<Value>> = asked.texts.iter().map(|text| numbers(text, manners)).collect();
    match fault {
        Some(Fault::OneTooFew) => {
            vectors.pop();
        }
        Some(Fault::Nulls) => replace_last(&mut vectors, &Value::Null),
        Some(Fault::Zeros) => replace_last(&mut vectors, &json!(0.0)),
        Some(Fault::OtherDimensions) => vectors.iter_mut().for_each(|vector| vector.push(json!(1.0))),
        _ => {}
    }
    let mut body = match api {
        Api::OpenAi => openai(vectors, fault == Some(&Fault::Reversed), &asked.model),
        Api::Ollama => json!({ "model": asked.model, "embeddings": vectors }),
    }
    .to_string();
    if fault == Some(&Fault::NotANumber) {
        body = body.replacen("0.0", "NaN", 1);
    }
    Answer::new(200, body)
}

fn numbers(text: &str, manners: &Manners) -> Vec<Value> {
    let poisoned = manners
        .poison
        .as_ref()
        .is_some_and(|poison| text.contains(poison.as_str()));
    vector(text)
        .into_iter()
        .map(|number| if poisoned { Value::Null } else { json!(number) })
        .collect()
}

fn replace_last(vectors: &mut [Vec<Value>], value: &Value) {
    if let Some(last) = vectors.last_mut() {
        last.fill(value.clone());
    }
}

fn openai(vectors: Vec<Vec<Value>>, reversed: bool, model: &str) -> Value {
    let mut data: Vec<Value> = vectors
        .into_iter()
        .enumerate()
        .map(|(index, vector)| json!({ "object": "embedding", "index": index, "embedding": vector }))
        .collect();
    if reversed {
        data.reverse();
    }
    let mut body = Map::new();
    body.insert("object".to_owned(), json!("list"));
    body.insert("data".to_owned(), Value::Array(data));
    body.insert("model".to_owned(), json!(model));
    Value::Object(body)
}

fn missing(api: Api, model: &str) -> String {
    match api {
        Api::OpenAi => {
            json!({ "error": { "message": format!("The model `{model}` does not exist"), "code": "model_not_found" } })
        }
        Api::Ollama => json!({ "error": format!("model \"{model}\" not found, try pulling it first") }),
    }
    .to_string()
}

fn too_long(api: Api) -> String {
    match api {
        Api::OpenAi => json!({ "error": { "message": "This model's maximum context length is 8192 tokens", "code": "context_length_exceeded" } }),
        Api::Ollama => json!({ "error": "the input length exceeds the context length" }),
    }
    .to_string()
}
