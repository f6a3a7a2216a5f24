//! From the configuration to an embedder.

use std::num::NonZeroUsize;
use std::sync::Arc;

use annals_core::Secret;
use annals_core::config::{BaseUrl, EMBED_TOKEN_VARIABLE, EmbedProvider, EmbedSettings};
use annals_net_adapter::Cx;

use super::chunks::CHUNK_BYTES;
use super::http::{Patience, Service};
use super::{EmbedError, Embedder, EmbedderId, Hashing, Ollama, OpenAi};
use crate::vector::EmbeddingSet;

/// Whether an embedder is configured that knows what words mean, so that searching with it is worth being the default.
#[must_use]
pub const fn is_configured(settings: &EmbedSettings) -> bool {
    match settings.provider {
        EmbedProvider::OpenAi | EmbedProvider::Ollama => true,
        EmbedProvider::Hashing | EmbedProvider::None => false,
    }
}

/// The embedder that `settings` name; none if they name none. Nothing is sent yet.
///
/// # Errors
/// [`EmbedError::Unusable`] for settings, or a key, that cannot work.
pub fn embedder(
    cx: &Cx,
    settings: &EmbedSettings,
    patience: Patience,
) -> Result<Option<Arc<dyn Embedder>>, EmbedError> {
    let model = settings.model.clone().unwrap_or_default();
    Ok(match settings.provider {
        EmbedProvider::None => None,
        EmbedProvider::Hashing => Some(Arc::new(Hashing::new())),
        EmbedProvider::OpenAi => {
            let service = service(cx, settings, "https://api.openai.com/v1", "/embeddings", patience)?;
            Some(Arc::new(OpenAi::new(identity(settings, model), service, settings.dims)))
        }
        EmbedProvider::Ollama => {
            let service = service(cx, settings, "http://127.0.0.1:11434", "/api/embed", patience)?;
            Some(Arc::new(Ollama::new(identity(settings, model), service)))
        }
    })
}

/// The embedder that made a set, to make the vector of a query with; none if `settings` do not tell how to reach it.
///
/// # Errors
/// As [`embedder`].
pub fn embedder_for(
    cx: &Cx,
    settings: &EmbedSettings,
    set: &EmbeddingSet,
    patience: Patience,
) -> Result<Option<Arc<dyn Embedder>>, EmbedError> {
    let wanted = EmbedSettings {
        model: Some(set.model.clone()),
        dims: settings.dims.map(|_| set.dims),
        ..settings.clone()
    };
    let made = match set.provider {
        EmbedProvider::Hashing => Some(Arc::new(Hashing::new()) as Arc<dyn Embedder>),
        provider if provider == settings.provider => embedder(cx, &wanted, patience)?,
        EmbedProvider::OpenAi | EmbedProvider::Ollama | EmbedProvider::None => None,
    };
    Ok(made.filter(|embedder| set.is_of(embedder.identity())))
}

fn identity(settings: &EmbedSettings, model: String) -> EmbedderId {
    let at_least_one = |number| NonZeroUsize::new(number).unwrap_or(NonZeroUsize::MIN);
    EmbedderId {
        provider: settings.provider,
        model,
        dims: settings.dims,
        max_input: CHUNK_BYTES,
        batch: at_least_one(settings.batch),
        concurrency: at_least_one(settings.concurrency),
    }
}

fn service(
    cx: &Cx,
    settings: &EmbedSettings,
    usual: &str,
    path: &str,
    patience: Patience,
) -> Result<Service, EmbedError> {
    let base: BaseUrl = match &settings.base_url {
        Some(base) => base.clone(),
        None => usual.parse().map_err(|_| EmbedError::Unusable {
            key: "embed.base_url".to_owned(),
            why: "it must be set".to_owned(),
        })?,
    };
    Service::new(cx, settings, &base, path, key(cx, settings), patience)
}

/// The key, and the variable that it comes from or is looked for in.
fn key(cx: &Cx, settings: &EmbedSettings) -> (Option<Secret>, String) {
    let named = settings.token_env.as_deref();
    for variable in named.into_iter().chain([EMBED_TOKEN_VARIABLE]) {
        if let Some(key) = cx.env(variable).map(str::trim).filter(|key| !key.is_empty()) {
            return (Some(Secret::new(key)), variable.to_owned());
        }
    }
    (None, named.unwrap_or(EMBED_TOKEN_VARIABLE).to_owned())
}
