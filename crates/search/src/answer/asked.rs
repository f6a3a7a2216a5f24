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

/// Answers `request` the way that was asked for. Where there are no vectors it is done by words, with a warning; where they
/// are and the embedder is away, too, unless likeness alone was asked for by name.
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
        Ok(Found::Vector(set, vector)) => (set, vector),
        Ok(Found::NoSet) => {
            let warning = "searched by words only: no document has a vector yet; `annals embed` makes them";
            return by_words(cx, db, request, warning).await;
        }
        Ok(Found::NotOurs(set)) => {
            let warning = format!(
                "searched by words only: the vectors here are those of {} {}, which is not configured; `annals embed` \
                 makes new ones",
                set.provider, set.model
            );
            return by_words(cx, db, request, &warning).await;
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
    let mut results = found.await?;
    if mode == Mode::Semantic
        && let Some(owed) = results.stale.unembedded.filter(|owed| *owed > 0)
    {
        results.warnings.push(format!(
            "{owed} documents have no vectors yet, or older ones, and were searched as such; `annals embed` makes them"
        ));
    }
    Ok(results)
}

async fn by_words(cx: &Cx, db: &Db, request: &SearchRequest, warning: &str) -> Result<SearchResults, Error> {
    let mut results = run(cx, db, request).await?;
    results.warnings.push(warning.to_owned());
    Ok(results)
}

/// What there is to compare with.
enum Found {
    /// The vector of the text, and the set of those it can be compared with.
    Vector(EmbeddingSet, Vec<f32>),
    /// No document has a vector.
    NoSet,
    /// The documents have vectors of an embedder that cannot be asked.
    NotOurs(EmbeddingSet),
}

/// The vector of a text, made by whoever made those of the documents.
async fn vector_of(cx: &Cx, db: &Db, settings: &EmbedSettings, text: &str) -> Result<Found, Error> {
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
    let Some(active) = active else {
        return Ok(Found::NoSet);
    };
    // While another set is being made, the old one answers, if what made it can still be asked.
    if let Some(old) = embedder_for(cx, settings, &active, Patience::Interactive)? {
        let mut made = one(cx, &old, &active, text).await;
        // The same model gives another width now, because `dims` was taken away: it still gives the old one to who asks.
        if settings.dims.is_none()
            && active.provider == EmbedProvider::OpenAi
            && matches!(&made, Err(EmbedError::Malformed { what }) if *what == UNLIKE)
        {
            let as_then = EmbedSettings {
                dims: Some(active.dims),
                ..settings.clone()
            };
            if let Some(old) = embedder_for(cx, &as_then, &active, Patience::Interactive)? {
                made = one(cx, &old, &active, text).await;
            }
        }
        match (made, &own) {
            (Err(_), Some(own)) if own.id != active.id => {}
            (made, _) => return Ok(Found::Vector(active, made?)),
        }
    }
    let Some(own) = own else {
        return Ok(Found::NotOurs(active));
    };
    let vector = one(cx, &configured, &own, text).await?;
    Ok(Found::Vector(own, vector))
}

/// What is wrong with a vector that cannot be compared with those of the documents.
const UNLIKE: &str = "it is no vector like those of the documents";

async fn one(cx: &Cx, embedder: &Arc<dyn Embedder>, set: &EmbeddingSet, text: &str) -> Result<Vec<f32>, EmbedError> {
    let made = embedder.embed(cx, &[text]).await?;
    let vector = made.first().filter(|vector| vector.len() == set.dims);
    vector
        .and_then(|vector| unit(vector))
        .ok_or(EmbedError::Malformed { what: UNLIKE })
}
