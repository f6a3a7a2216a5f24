//! The nearest documents by looking at every vector, in the order of the file and with no more of them in memory than one.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashSet};

use rusqlite::{CachedStatement, Connection, OptionalExtension, ToSql, params};

use super::{Ask, Near, VectorIndex, dot};
use crate::index::{Scope, round};

/// How many documents that came near are found out of scope one by one, before all that are in it are listed at once.
const PATIENCE: usize = 1_000;

/// Every vector is compared.
#[derive(Debug, Clone, Copy, Default)]
pub struct Exact;

impl VectorIndex for Exact {
    fn nearest(&self, conn: &Connection, ask: &Ask<'_>) -> Result<Vec<Near>, annals_db::Error> {
        let mut nearest = Nearest {
            wanted: ask.wanted,
            heap: BinaryHeap::new(),
            gate: Gate::new(conn, ask)?,
        };
        // Going by the index of sets would jump from row to row through the whole file.
        let mut vectors = conn
            .prepare_cached("SELECT document_id, vector FROM embeddings NOT INDEXED WHERE set_id = ?1 ORDER BY id")?;
        let mut rows = vectors.query(params![ask.set.id])?;
        // The parts of a document stand together.
        let (mut document, mut best) = (None, 0.0_f64);
        while let Some(row) = rows.next()? {
            let (id, vector) = (row.get(0)?, row.get_ref(1)?.as_blob().unwrap_or_default());
            let score = if vector.len() == ask.vector.len() * 4 {
                dot(ask.vector, vector)
            } else {
                // Damage, which is for a check to report and no reason to find nothing.
                0.0
            };
            if document == Some(id) {
                best = best.max(score);
            } else {
                nearest.offer(document, best)?;
                (document, best) = (Some(id), score);
            }
        }
        nearest.offer(document, best)?;
        Ok(nearest
            .heap
            .into_sorted_vec()
            .into_iter()
            .map(|place| place.0)
            .collect())
    }
}

/// The first so many of all documents that were offered.
struct Nearest<'c> {
    wanted: usize,
    /// The last of them on top.
    heap: BinaryHeap<Place>,
    gate: Gate<'c>,
}

impl Nearest<'_> {
    fn offer(&mut self, document: Option<i64>, score: f64) -> Result<(), annals_db::Error> {
        let Some(id) = document else { return Ok(()) };
        let score = round(score);
        let is_far = || self.heap.peek().is_some_and(|last| score < last.0.score);
        if score <= 0.0 || self.wanted == 0 || (self.heap.len() >= self.wanted && is_far()) {
            return Ok(());
        }
        let Some((updated_at, doc_key)) = self.gate.pass(id)? else {
            return Ok(());
        };
        self.heap.push(Place(Near {
            id,
            score,
            updated_at,
            doc_key,
        }));
        if self.heap.len() > self.wanted {
            self.heap.pop();
        }
        Ok(())
    }
}

/// Lets those documents through that are in scope. Most vectors are far, so most documents are never looked at.
struct Gate<'c> {
    conn: &'c Connection,
    one: CachedStatement<'c>,
    scope: &'c Scope,
    except: &'c std::collections::BTreeSet<i64>,
    refused: usize,
    all: Option<HashSet<i64>>,
}

impl<'c> Gate<'c> {
    fn new(conn: &'c Connection, ask: &Ask<'c>) -> Result<Self, annals_db::Error> {
        let sql = format!(
            "SELECT d.updated_at, d.doc_key FROM documents d WHERE d.id = ?1 AND {}",
            ask.scope.condition()
        );
        Ok(Self {
            conn,
            one: conn.prepare_cached(&sql)?,
            scope: ask.scope,
            except: ask.except,
            refused: 0,
            all: None,
        })
    }

    fn pass(&mut self, id: i64) -> Result<Option<(Option<i64>, String)>, annals_db::Error> {
        if self.except.contains(&id) || self.all.as_ref().is_some_and(|all| !all.contains(&id)) {
            return Ok(None);
        }
        let values =
            std::iter::once(&id as &dyn ToSql).chain(self.scope.values().iter().map(|value| value as &dyn ToSql));
        let found = self
            .one
            .query_row(rusqlite::params_from_iter(values), |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        if found.is_none() {
            self.refused += 1;
            if self.refused == PATIENCE {
                self.all = Some(self.list()?);
            }
        }
        Ok(found)
    }

    fn list(&self) -> Result<HashSet<i64>, annals_db::Error> {
        let sql = format!(
            "SELECT d.id FROM documents d WHERE ?1 IS NULL AND {}",
            self.scope.condition()
        );
        let none = rusqlite::types::Null;
        let values =
            std::iter::once(&none as &dyn ToSql).chain(self.scope.values().iter().map(|value| value as &dyn ToSql));
        let mut statement = self.conn.prepare_cached(&sql)?;
        let ids = statement.query_map(rusqlite::params_from_iter(values), |row| row.get(0))?;
        Ok(ids.collect::<Result<_, _>>()?)
    }
}

/// `Less` is nearer.
#[derive(Debug, PartialEq)]
struct Place(Near);

impl Eq for Place {}

impl Ord for Place {
    fn cmp(&self, other: &Self) -> Ordering {
        let (a, b) = (&self.0, &other.0);
        b.score
            .total_cmp(&a.score)
            .then_with(|| b.updated_at.cmp(&a.updated_at))
            .then_with(|| a.doc_key.cmp(&b.doc_key))
    }
}

impl PartialOrd for Place {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
