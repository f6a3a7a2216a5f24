//! The exact index beside a naive twin, and whatever else holds for any index of vectors.

use std::collections::BTreeSet;

use crate::support::{DAY, Mirror, NOW, issue};
use annals_core::UnixMs;
use annals_db::Visibility;
use annals_search::index::{Scope, round};
use annals_search::query;
use annals_search::vector::{Ask, EmbeddingSet, Exact, VectorIndex, dot, to_bytes, unit};
use rusqlite::params;

const DIMS: usize = 12;

/// Numbers that look random and are the same every time.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> f32 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        f32::from(i16::try_from(self.0 >> 48 & 0x7fff).unwrap()) / 16_384.0 - 1.0
    }

    fn vector(&mut self) -> Vec<f32> {
        unit(&(0..DIMS).map(|_| self.next()).collect::<Vec<_>>()).unwrap()
    }
}

/// `count` issues, each with one to three vectors; every seventh is confidential and every fifth is closed.
fn mirror(count: i64) -> Mirror {
    let mirror = Mirror::new();
    for iid in 1..=count {
        let mut issue = issue(iid, &format!("Title {iid}"), "");
        issue.confidential = iid % 7 == 0;
        // Many of one time, so that keys decide too.
        issue.updated_at = Some(UnixMs(NOW.0 - iid % 3 * DAY));
        if iid % 5 == 0 {
            issue.state = annals_db::ids::State::Closed;
        }
        mirror.issue(&issue);
    }
    mirror.drain();
    mirror.write(|tx| {
        tx.execute(
            "INSERT INTO embedding_sets (provider, model, dims, chunking, active) VALUES ('openai', 'm', ?1, 'x', 1),
                    ('openai', 'other', ?1, 'x', 0)",
            params![DIMS],
        )?;
        let mut numbers = Numbers(7);
        for document in 1..=count {
            for chunk in 0..=document % 3 {
                // Some vectors are equal.
                let vector = if document % 11 == 0 {
                    Numbers(5).vector()
                } else {
                    numbers.vector()
                };
                for set in [1, 2] {
                    tx.execute(
                        "INSERT INTO embeddings (document_id, set_id, chunk, content_hash, vector)
                         VALUES (?1, ?2, ?3, x'00', ?4)",
                        params![document, set, chunk, to_bytes(&vector)],
                    )?;
                }
            }
        }
        Ok(())
    });
    mirror
}

/// Everything, sorted.
fn naive(mirror: &Mirror, vector: &[f32], condition: &str, except: &BTreeSet<i64>) -> Vec<(String, f64)> {
    let sql = format!(
        "SELECT d.id, d.doc_key, d.updated_at, e.vector FROM documents d JOIN embeddings e ON e.document_id = d.id
          WHERE e.set_id = 1 AND {condition}"
    );
    let mut best: std::collections::BTreeMap<(i64, String, i64), f64> = std::collections::BTreeMap::new();
    let mut select = mirror.conn.prepare(&sql).unwrap();
    let mut rows = select.query([]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        let key = (row.get(0).unwrap(), row.get(1).unwrap(), row.get(2).unwrap());
        let score = dot(vector, row.get_ref(3).unwrap().as_blob().unwrap());
        let known = best.entry(key).or_insert(f64::MIN);
        *known = known.max(score);
    }
    let mut all: Vec<_> = best
        .into_iter()
        .map(|((id, key, at), score)| (id, key, at, round(score)))
        .collect();
    all.retain(|(id, _, _, score)| *score > 0.0 && !except.contains(id));
    all.sort_by(|a, b| b.3.total_cmp(&a.3).then(b.2.cmp(&a.2)).then(a.1.cmp(&b.1)));
    all.into_iter().map(|(_, key, _, score)| (key, score)).collect()
}

#[test]
fn the_exact_index_finds_what_a_naive_one_finds() {
    // More documents are out of some scope than are looked at one by one.
    let mirror = mirror(2_600);
    let set = EmbeddingSet::active(&mirror.conn).unwrap().unwrap();
    let visible = Visibility::all();
    let hidden = Visibility::without_confidential();
    for (query, visibility, condition) in [
        ("", &visible, "TRUE"),
        ("", &hidden, "d.flags & 4 = 0"),
        ("state:closed", &visible, "d.state = 'closed'"),
        (
            "is:confidential state:closed",
            &visible,
            "d.flags & 4 <> 0 AND d.state = 'closed'",
        ),
        ("label:none kind:mr", &visible, "FALSE"),
    ] {
        let query = query::parse(query, NOW).unwrap();
        let scope = Scope::new(&mirror.conn, &query, visibility).unwrap();
        for (seed, wanted) in [(1, 10), (2, 200), (5, 1), (3, 0), (4, 10_000)] {
            let vector = Numbers(seed).vector();
            let mut expected = naive(&mirror, &vector, condition, &BTreeSet::new());
            let except: BTreeSet<i64> = (0..=seed.cast_signed()).collect();
            let all = naive(&mirror, &vector, condition, &except);
            expected.truncate(wanted);
            for (except, expected) in [
                (BTreeSet::new(), expected),
                (except, all.into_iter().take(wanted).collect()),
            ] {
                let ask = Ask {
                    set: &set,
                    vector: &vector,
                    scope: &scope,
                    except: &except,
                    wanted,
                };
                let found = Exact.nearest(&mirror.conn, &ask).unwrap();
                let found: Vec<_> = found.into_iter().map(|near| (near.doc_key, near.score)).collect();
                assert_eq!(found, expected, "{condition}, {wanted}");
            }
        }
    }
}

#[test]
fn whatever_writes_documents_what_changed_is_owed() {
    let mirror = Mirror::new();
    mirror.issue(&issue(1, "One", "body"));
    mirror.drain();
    let owed = || mirror.number("SELECT count(*) FROM embedding_owed", &[]);
    assert_eq!(owed(), 0, "there is no set to make");
    mirror.write(|tx| {
        tx.execute_batch(
            "INSERT INTO embedding_sets (provider, model, dims, chunking, active) VALUES ('hashing', 'm', 8, 'x', 1)",
        )?;
        Ok(())
    });
    mirror.issue(&issue(2, "Two", "body"));
    mirror.drain();
    assert_eq!(owed(), 1);
    mirror.issue(&issue(1, "One", "another body"));
    mirror.drain();
    assert_eq!(owed(), 2);
    mirror.write(|tx| {
        Ok(tx.execute_batch(
            "UPDATE embedding_owed SET attempts = 3; DELETE FROM embedding_owed WHERE document_id = 2",
        )?)
    });
    let mut closed = issue(2, "Two", "body");
    closed.state = annals_db::ids::State::Closed;
    mirror.issue(&closed);
    mirror.issue(&issue(1, "One", "a third body"));
    mirror.drain();
    assert_eq!(owed(), 1, "a filter column is no text");
    assert_eq!(
        mirror.number("SELECT sum(attempts) FROM embedding_owed", &[]),
        0,
        "another text may go better"
    );
}
