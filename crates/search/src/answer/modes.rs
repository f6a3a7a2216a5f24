//! Answers that go by vectors: alone, or together with the words.
//!
//! Both take the best [`DEPTH`] and no more, because every document is near to something: totals, facets and further
//! pages are of those. Everything the query demands beside its words holds here too: filters, what the reader may see, and
//! words that must not be there.

use std::collections::BTreeSet;

use annals_core::fusion::reciprocal_ranks;
use rusqlite::{Connection, params};

use super::order::{Best, Ranked};
use super::{Mode, SearchRequest, SearchResults, Stale, facet, hits};
use crate::index::{Found, Scope, TextIndex, round};
use crate::query::{Query, Sign, Term};
use crate::vector::{Ask, EmbeddingSet, VectorIndex};

/// How many of the best by words, and by vectors, are looked at.
pub const DEPTH: usize = 200;

/// What an answer by vectors is made from.
#[derive(Clone, Copy)]
pub struct Semantics<'a> {
    /// Whether words count too.
    pub mode: Mode,
    /// Finds by words.
    pub text: &'a dyn TextIndex,
    /// Finds by likeness.
    pub vectors: &'a dyn VectorIndex,
    /// Among these vectors.
    pub set: &'a EmbeddingSet,
    /// What the query means, as a vector of unit length.
    pub vector: &'a [f32],
}

/// Answers a parsed query from one snapshot of the file, by likeness.
///
/// # Errors
/// A failure of the file.
pub fn answer_semantically(
    conn: &Connection,
    with: Semantics<'_>,
    query: &Query,
    request: &SearchRequest,
) -> Result<SearchResults, annals_db::Error> {
    let scope = Scope::new(conn, query, &request.visibility)?.of(&request.projects);
    let except = excluded(conn, with.text, query, &scope)?;
    let near = with.vectors.nearest(
        conn,
        &Ask {
            set: with.set,
            vector: with.vector,
            scope: &scope,
            except: &except,
            wanted: DEPTH,
        },
    )?;
    let near = near.into_iter().map(|near| Ranked {
        id: near.id,
        score: Some(near.score),
        updated_at: near.updated_at,
        doc_key: near.doc_key,
    });
    let all = match with.mode {
        Mode::Semantic | Mode::Lexical => near.collect(),
        Mode::Hybrid => {
            let mut best = Best::new(DEPTH);
            with.text.find(conn, &query.terms, &scope, &mut |found| {
                best.offer(found);
                Ok(())
            })?;
            fused(best.into_order(), near.collect())
        }
    };
    let mut tally = facet::Tally::new(&request.facets);
    if !request.facets.is_empty() {
        for ranked in &all {
            count(conn, &mut tally, ranked)?;
        }
    }
    let total = all.len() as u64;
    let page: Vec<_> = all.into_iter().skip(request.offset).take(request.limit).collect();
    let end = request.offset.saturating_add(page.len());
    Ok(SearchResults {
        hits: hits::show(conn, &page, query)?,
        facets: tally.name(conn)?,
        total,
        mode: with.mode,
        stale: Stale::count(conn, &request.visibility)?.with_vectors(conn, with.set, &request.visibility)?,
        warnings: query.warnings.clone(),
        next_offset: (!page.is_empty() && (end as u64) < total).then_some(end),
    })
}

/// Documents that have a word which must not be there.
fn excluded(
    conn: &Connection,
    text: &dyn TextIndex,
    query: &Query,
    scope: &Scope,
) -> Result<BTreeSet<i64>, annals_db::Error> {
    let mut except = BTreeSet::new();
    for term in query.terms.iter().filter(|term| term.sign == Sign::Exclude) {
        let wanted = Term {
            sign: Sign::Require,
            ..term.clone()
        };
        text.find(conn, &[wanted], scope, &mut |found| {
            except.insert(found.id);
            Ok(())
        })?;
    }
    Ok(except)
}

/// Both lists as one, by their ranks.
fn fused(by_words: Vec<Ranked>, by_vectors: Vec<Ranked>) -> Vec<Ranked> {
    let ids = |list: &[Ranked]| list.iter().map(|ranked| ranked.id).collect::<Vec<_>>();
    let scores = reciprocal_ranks([ids(&by_words), ids(&by_vectors)]);
    let mut all: Vec<Ranked> = by_words.into_iter().chain(by_vectors).collect();
    for ranked in &mut all {
        ranked.score = scores.get(&ranked.id).copied().map(round);
    }
    all.sort();
    // Both copies of a document are equal by now, so they stand next to each other.
    all.dedup_by_key(|ranked| ranked.id);
    all
}

fn count(conn: &Connection, tally: &mut facet::Tally, ranked: &Ranked) -> Result<(), annals_db::Error> {
    let sql = "SELECT project_id, kind, source_id, author_id, state FROM documents WHERE id = ?1";
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query(params![ranked.id])?;
    if let Some(row) = rows.next()? {
        tally.count(&Found {
            id: ranked.id,
            score: ranked.score,
            updated_at: ranked.updated_at,
            doc_key: &ranked.doc_key,
            project_id: row.get(0)?,
            kind: row.get(1)?,
            source_id: row.get(2)?,
            author_id: row.get(3)?,
            state: row.get_ref(4)?.as_str_or_null().map_err(rusqlite::Error::from)?,
        });
    }
    Ok(())
}
