//! Answering a query: hits in their one order, exact totals and facets, and what a reader should know about them.
//!
//! Everything is read in one snapshot. [`run`] is the door; `order` keeps the best of what the index finds, `hits`
//! shows them, `facet` counts the whole match set, `stale` what is not searchable yet. [`run_as`] is the door for readers
//! who may also search by likeness: it decides the way, and `modes` goes it.

mod asked;
mod facet;
mod hits;
mod modes;
mod order;
mod stale;

use annals_core::{ProjectId, UnixMs};
use annals_db::{Db, Visibility};
use annals_net_adapter::Cx;
use rusqlite::Connection;

pub use asked::{Way, run_as};
pub use facet::{Facet, FacetCounts, FacetValue, Facets};
pub use hits::Hit;
pub use modes::{DEPTH, Semantics, answer_semantically};
pub use stale::Stale;

use crate::Error;
use crate::index::{Fts5, Scope, TextIndex};
use crate::query::{self, Filter, Query};

/// What is asked.
#[derive(Debug, Clone)]
pub struct SearchRequest {
    /// A text in the [query language](crate::query).
    pub query: String,
    /// Filters beside the text; see [`query::filter`].
    pub filters: Vec<Filter>,
    /// Only in these projects; in all if empty. A path alone may be that of several.
    pub projects: Vec<ProjectId>,
    /// How many hits to return.
    pub limit: usize,
    /// How many hits to leave out before them.
    pub offset: usize,
    /// What to count over all hits.
    pub facets: Vec<Facet>,
    /// What the reader may see.
    pub visibility: Visibility,
    /// What `after:7d` counts back from.
    pub now: UnixMs,
}

impl SearchRequest {
    /// The first 20 hits of `query`, for a reader who may see everything.
    #[must_use]
    pub fn new(query: impl Into<String>, now: UnixMs) -> Self {
        Self {
            query: query.into(),
            filters: Vec::new(),
            projects: Vec::new(),
            limit: 20,
            offset: 0,
            facets: Vec::new(),
            visibility: Visibility::all(),
            now,
        }
    }
}

/// The answer. It serialises to the `data` of robot output and of the API; what belongs into `meta` is beside it.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct SearchResults {
    /// The hits asked for, best first; without words in the query, newest first.
    pub hits: Vec<Hit>,
    /// What was counted.
    pub facets: Facets,
    /// How many documents match.
    #[serde(skip)]
    pub total: u64,
    /// How they were found.
    #[serde(skip)]
    pub mode: Mode,
    /// What the answer may not have yet.
    #[serde(skip)]
    pub stale: Stale,
    /// What a reader should know.
    #[serde(skip)]
    pub warnings: Vec<String>,
    /// Where the hits after these begin, if there are any.
    #[serde(skip)]
    pub next_offset: Option<usize>,
}

/// How hits were found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// By their words.
    Lexical,
    /// By likeness of vectors.
    Semantic,
    /// By both, their ranks put together.
    Hybrid,
}

/// Answers `request`.
///
/// # Errors
/// [`Error::Query`] for a filter with a value it cannot have; [`Error::Db`] for a failure of the file or a cancelled
/// `cx`.
///
/// # Cancel safety
/// Nothing is written. A search that is cancelled is interrupted within the time of a database read.
pub async fn run(cx: &Cx, db: &Db, request: &SearchRequest) -> Result<SearchResults, Error> {
    let mut query = query::parse(&request.query, request.now)?;
    query.filters.extend(request.filters.iter().cloned());
    let request = request.clone();
    Ok(db.read(cx, move |conn| answer(conn, &Fts5, &query, &request)).await?)
}

/// Answers a parsed query from one snapshot of the file.
///
/// # Errors
/// A failure of the file.
pub fn answer(
    conn: &Connection,
    index: &dyn TextIndex,
    query: &Query,
    request: &SearchRequest,
) -> Result<SearchResults, annals_db::Error> {
    let scope = Scope::new(conn, query, &request.visibility)?.of(&request.projects);
    let mut best = order::Best::new(request.offset.saturating_add(request.limit));
    let mut tally = facet::Tally::new(&request.facets);
    let mut total = 0_u64;
    index.find(conn, &query.terms, &scope, &mut |found| {
        total += 1;
        best.offer(found);
        tally.count(found);
        Ok(())
    })?;
    let ranked: Vec<_> = best.into_order().into_iter().skip(request.offset).collect();
    let end = request.offset.saturating_add(ranked.len());
    Ok(SearchResults {
        hits: hits::show(conn, &ranked, query)?,
        facets: tally.name(conn)?,
        total,
        mode: Mode::Lexical,
        stale: Stale::count(conn, &request.visibility)?,
        warnings: query.warnings.clone(),
        next_offset: (!ranked.is_empty() && (end as u64) < total).then_some(end),
    })
}
