//! Ollama and servers like it: `POST {base}/api/embed`.

use annals_net_adapter::Cx;
use serde::Deserialize;
use serde_json::json;

use super::http::Service;
use super::openai::{not_vectors, numbers, wrong_count};
use super::{BoxFuture, EmbedError, Embedder, EmbedderId};

/// A server with the API of Ollama.
#[derive(Debug)]
pub struct Ollama {
    id: EmbedderId,
    service: Service,
}

#[derive(Deserialize)]
struct Answer {
    embeddings: Vec<Vec<Option<f32>>>,
}

impl Ollama {
    pub(super) const fn new(id: EmbedderId, service: Service) -> Self {
        Self { id, service }
    }

    async fn ask(&self, cx: &Cx, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError> {
        // A text that is cut in silence would get the vector of its beginning.
        let body = json!({ "model": self.id.model, "input": texts, "truncate": false });
        let answer = self.service.post(cx, &self.id.model, texts.len(), &body).await;
        let answer = answer.map_err(|error| match error {
            EmbedError::ModelMissing { at, model, .. } => EmbedError::ModelMissing {
                at,
                fetch: Some(format!("ollama pull {model}")),
                model,
            },
            other => other,
        })?;
        let answer: Answer = serde_json::from_slice(&answer).map_err(|_| not_vectors())?;
        if answer.embeddings.len() == texts.len() {
            Ok(answer.embeddings.into_iter().map(numbers).collect())
        } else {
            Err(wrong_count())
        }
    }
}

impl Embedder for Ollama {
    fn identity(&self) -> &EmbedderId {
        &self.id
    }

    fn embed<'a>(&'a self, cx: &'a Cx, texts: &'a [&'a str]) -> BoxFuture<'a, Result<Vec<Vec<f32>>, EmbedError>> {
        Box::pin(self.ask(cx, texts))
    }
}
