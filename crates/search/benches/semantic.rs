//! Searching among vectors beside a plain loop over the same rows of the same file, taking turns: P5.
//!
//! Both read every vector through one statement and multiply it with the same one. The subject also keeps the best, looks
//! at the documents that come near, and says which they are. A target holds on the ratio, never on the time: at most 1.5.
//! The argument is the number of rounds.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    missing_docs,
    reason = "a program for developers that prints, looks at the clock and may panic"
)]

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Instant;

use annals_core::UnixMs;
use annals_db::{Visibility, WriteTx};
use annals_search::index::Scope;
use annals_search::query::Query;
use annals_search::vector::{Ask, EmbeddingSet, Exact, VectorIndex, to_bytes, unit};
use rusqlite::{Connection, params};

const VECTORS: u32 = 100_000;
const DIMS: usize = 256;
const WANTED: usize = 200;

fn main() {
    let rounds: usize = std::env::args()
        .skip(1)
        .find_map(|word| word.parse().ok())
        .unwrap_or(10);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vectors.db");
    fill(&path);
    let conn = Connection::open(&path).unwrap();
    conn.execute_batch("PRAGMA cache_size = -16384; PRAGMA query_only = ON;")
        .unwrap();
    let mut numbers = Numbers(99);
    let (mut ours, mut plains, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    // The first round warms both up.
    for round in 0..=rounds {
        let vector = numbers.vector();
        let began = Instant::now();
        let best = plain(&conn, &vector);
        let plain = began.elapsed().as_secs_f64();
        let began = Instant::now();
        let nearest = search(&conn, &vector);
        let our = began.elapsed().as_secs_f64();
        assert!((best - nearest).abs() < 1e-4, "both find the same: {best} {nearest}");
        if round > 0 {
            ours.push(our * 1e3);
            plains.push(plain * 1e3);
            ratios.push(our / plain);
        }
    }
    println!("\nsemantic search, {VECTORS} vectors of {DIMS} numbers, {rounds} rounds, median (least to most)");
    println!("  search      {}", spread(&mut ours, " ms"));
    println!("  plain loop  {}", spread(&mut plains, " ms"));
    println!("  ratio       {}   (target: at most 1.5)", spread(&mut ratios, ""));
}

/// The best product, by the loop that anybody would write first.
fn plain(conn: &Connection, vector: &[f32]) -> f64 {
    let mut select = conn
        .prepare_cached("SELECT document_id, vector FROM embeddings")
        .unwrap();
    let mut rows = select.query([]).unwrap();
    let mut best = (0_i64, f32::MIN);
    while let Some(row) = rows.next().unwrap() {
        let bytes = row.get_ref(1).unwrap().as_blob().unwrap();
        let mut product = 0.0;
        for (a, b) in vector.iter().zip(bytes.as_chunks::<4>().0) {
            product += a * f32::from_le_bytes(*b);
        }
        if product > best.1 {
            best = (row.get(0).unwrap(), product);
        }
    }
    f64::from(best.1)
}

fn search(conn: &Connection, vector: &[f32]) -> f64 {
    let set = EmbeddingSet::active(conn).unwrap().unwrap();
    let scope = Scope::new(conn, &Query::default(), &Visibility::all()).unwrap();
    let ask = Ask {
        set: &set,
        vector,
        scope: &scope,
        except: &BTreeSet::new(),
        wanted: WANTED,
    };
    let found = Exact.nearest(conn, &ask).unwrap();
    assert_eq!(found.len(), WANTED);
    found[0].score
}

/// A file with one vector for each document, of a thousand characters each.
fn fill(path: &Path) {
    let conn = Connection::open(path).unwrap();
    for step in annals_db::migrate::embedded() {
        conn.execute_batch(step.sql).unwrap();
    }
    // The documents are of no project.
    conn.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
    let filled = WriteTx::run(&conn, UnixMs(0), |tx| {
        tx.execute_batch(
            "INSERT INTO embedding_sets (provider, model, dims, chunking, active) VALUES ('openai', 'm', 256, 'x', 1)",
        )?;
        let body = "A sentence about something or other. ".repeat(27);
        let mut document = tx.prepare(
            "INSERT INTO documents (doc_key, project_id, kind, source_id, title, body, meta, updated_at, content_hash, flags,
                                    changed_seq) VALUES (?1, 1, 'issue', ?2, 'Title', ?3, '', ?2, x'00', 0, 1)",
        )?;
        let mut embedding = tx.prepare(
            "INSERT INTO embeddings (document_id, set_id, chunk, content_hash, vector) VALUES (?1, 1, 0, x'00', ?2)",
        )?;
        let mut numbers = Numbers(1);
        for n in 1..=VECTORS {
            document.execute(params![format!("f:1:issue:{n}"), n, body])?;
            embedding.execute(params![n, to_bytes(&numbers.vector())])?;
        }
        Ok(())
    });
    filled.unwrap();
}

/// Numbers that look random and are the same every time.
struct Numbers(u64);

impl Numbers {
    fn vector(&mut self) -> Vec<f32> {
        let numbers = (0..DIMS).map(|_| {
            self.0 = self
                .0
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            f32::from(u16::try_from(self.0 >> 48).unwrap_or(0)) / 32_768.0 - 1.0
        });
        unit(&numbers.collect::<Vec<_>>()).unwrap()
    }
}

/// `1.20 (1.10 to 1.30)`.
fn spread(values: &mut [f64], unit: &str) -> String {
    values.sort_by(f64::total_cmp);
    let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
    format!(
        "{:.2}{unit} ({:.2} to {:.2})",
        at(values.len() / 2),
        at(0),
        at(values.len().saturating_sub(1))
    )
}
