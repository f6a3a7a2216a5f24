//! Which way a search goes: what was asked for, what is configured and what is there decide together.

use std::sync::Arc;

use annals_core::Coded;
use annals_core::config::{EmbedProvider, EmbedSettings, SearchMode};
use annals_db::Db;
use annals_net_adapter::Cx;

use super::modes::{Semantics, answer_semantically};
use super::{Mode, SearchRequest, SearchResults, run};
use crate::Error;
use crate::embed::{EmbedError, Embedder, Patience, embedder, embedder_for, is_configured};
use crate::index::Fts5;
use crate::query::{self, wording};
use crate::vector::{EmbeddingSet, Exact, unit};

/// How to search, as it was asked for.
#[derive(Debug, Clone)]
pub struct Way {
    /// By what.
    pub mode: SearchMode,
    /// With what.
    pub embed: EmbedSettings,
}

/// Answers `request` the way that was asked for. What needs vectors and was not asked for by name is done by words where
/// there are none, with a warning.
///
/// # Errors
/// As [`run`]; and [`Error::Embed`] where semantic search was asked for by name and the embedder is away.
///
/// # Cancel safety
/// As [`run`]; a request to the embedder may have been sent.
pub async fn run_as(cx: &Cx, db: &Db, request: &SearchRequest, way: &Way) -> Result<SearchResults, Error> {
    let mode = match way.mode {
        SearchMode::Lexical => Mode::Lexical,
        SearchMode::Semantic => Mode::Semantic,
        SearchMode::Hybrid => Mode::Hybrid,
        SearchMode::Auto if is_configured(&way.embed) => Mode::Hybrid,
        SearchMode::Auto => Mode::Lexical,
    };
    if mode == Mode::Lexical {
        return run(cx, db, request).await;
    }
    let mut parsed = query::parse(&request.query, request.now)?;
    let text = wording(&request.query);
    if text.is_empty() {
        // There is nothing to be like.
        return run(cx, db, request).await;
    }
    let (set, vector) = match vector_of(cx, db, &way.embed, &text).await {
        Ok(Some(found)) => found,
        Ok(None) => {
            return by_words(
                cx,
                db,
                request,
                "no document has a vector yet: `annals embed` makes them",
            )
            .await;
        }
        Err(Error::Embed(error)) if mode == Mode::Hybrid && error.stop().is_none() => {
            let report = error.report();
            let help = report.suggestion.map(|help| format!("; {help}")).unwrap_or_default();
            let warning = format!("searched by words only: {}{help}", report.message);
            return by_words(cx, db, request, &warning).await;
        }
        Err(error) => return Err(error),
    };
    parsed.filters.extend(request.filters.iter().cloned());
    let request = request.clone();
    let found = db.read(cx, move |conn| {
        let with = Semantics {
            mode,
            text: &Fts5,
            vectors: &Exact,
            set: &set,
            vector: &vector,
        };
        answer_semantically(conn, with, &parsed, &request)
    });
    Ok(found.await?)
}

async fn by_words(cx: &Cx, db: &Db, request: &SearchRequest, warning: &str) -> Result<SearchResults, Error> {
    let mut results = run(cx, db, request).await?;
    results.warnings.push(warning.to_owned());
    Ok(results)
}

/// The vector of a text and the set that it can be compared with; none while no document has a vector.
async fn vector_of(
    cx: &Cx,
    db: &Db,
    settings: &EmbedSettings,
    text: &str,
) -> Result<Option<(EmbeddingSet, Vec<f32>)>, Error> {
    if settings.provider == EmbedProvider::None {
        return Err(EmbedError::Off.into());
    }
    let Some(configured) = embedder(cx, settings, Patience::Interactive)? else {
        return Err(EmbedError::Off.into());
    };
    let id = configured.identity().clone();
    let (active, own) = db
        .read(cx, move |conn| {
            Ok((EmbeddingSet::active(conn)?, EmbeddingSet::of(conn, &id)?))
        })
        .await?;
    let Some(active) = active else { return Ok(None) };
    // While another set is being made, the old one answers, if what made it can still be asked.
    if let Some(old) = embedder_for(cx, settings, &active, Patience::Interactive)? {
        match (one(cx, &old, &active, text).await, &own) {
            (Err(_), Some(own)) if own.id != active.id => {}
            (made, _) => return Ok(Some((active, made?))),
        }
    }
    let Some(own) = own else { return Ok(None) };
    let vector = one(cx, &configured, &own, text).await?;
    Ok(Some((own, vector)))
}

async fn one(cx: &Cx, embedder: &Arc<dyn Embedder>, set: &EmbeddingSet, text: &str) -> Result<Vec<f32>, EmbedError> {
    let made = embedder.embed(cx, &[text]).await?;
    let vector = made.first().filter(|vector| vector.len() == set.dims);
    vector.and_then(|vector| unit(vector)).ok_or(EmbedError::Malformed {
        what: "it is no vector like those of the documents",
    })
}
