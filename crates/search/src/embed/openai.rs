//! Servers with the API of OpenAI: `POST {base}/embeddings`.

use annals_net_adapter::Cx;
use serde::Deserialize;
use serde_json::json;

use super::http::Service;
use super::{BoxFuture, EmbedError, Embedder, EmbedderId};

/// A server with the API of OpenAI.
#[derive(Debug)]
pub struct OpenAi {
    id: EmbedderId,
    service: Service,
    /// Numbers to ask for; a model may give fewer than all of its own.
    asked: Option<usize>,
}

#[derive(Deserialize)]
struct Answer {
    data: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    index: Option<usize>,
    embedding: Vec<Option<f32>>,
}

impl OpenAi {
    pub(super) const fn new(id: EmbedderId, service: Service, asked: Option<usize>) -> Self {
        Self { id, service, asked }
    }

    async fn ask(&self, cx: &Cx, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError> {
        let mut body = json!({ "model": self.id.model, "input": texts, "encoding_format": "float" });
        if let (Some(dims), Some(members)) = (self.asked, body.as_object_mut()) {
            members.insert("dimensions".to_owned(), dims.into());
        }
        let answer = self.service.post(cx, &self.id.model, texts.len(), &body).await?;
        let answer: Answer = serde_json::from_slice(&answer).map_err(|_| not_vectors())?;
        in_order(answer.data, texts.len())
    }
}

/// The vectors by their `index`: nothing says that a server keeps the order.
fn in_order(items: Vec<Item>, texts: usize) -> Result<Vec<Vec<f32>>, EmbedError> {
    if items.len() != texts {
        return Err(wrong_count());
    }
    let mut slots: Vec<Option<Vec<f32>>> = vec![None; texts];
    for (place, item) in items.into_iter().enumerate() {
        let slot = slots.get_mut(item.index.unwrap_or(place)).filter(|slot| slot.is_none());
        *slot.ok_or_else(wrong_count)? = Some(numbers(item.embedding));
    }
    slots.into_iter().collect::<Option<_>>().ok_or_else(wrong_count)
}

/// What is no number in JSON is none here either; whoever uses the vector sees it.
pub(super) fn numbers(vector: Vec<Option<f32>>) -> Vec<f32> {
    vector.into_iter().map(|number| number.unwrap_or(f32::NAN)).collect()
}

pub(super) const fn wrong_count() -> EmbedError {
    EmbedError::Malformed {
        what: "it does not have one vector for each text",
    }
}

pub(super) const fn not_vectors() -> EmbedError {
    EmbedError::Malformed {
        what: "it is not JSON with vectors",
    }
}

impl Embedder for OpenAi {
    fn identity(&self) -> &EmbedderId {
        &self.id
    }

    fn embed<'a>(&'a self, cx: &'a Cx, texts: &'a [&'a str]) -> BoxFuture<'a, Result<Vec<Vec<f32>>, EmbedError>> {
        Box::pin(self.ask(cx, texts))
    }
}
