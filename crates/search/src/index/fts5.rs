//! SQLite's FTS5 as the text index: `documents_fts`, a contentless table in the same file.
//!
//! What is written and what is asked are tokens already, so FTS5's own tokenizer and query parser never see what a
//! person wrote. FTS5 would cut some tokens again, at the vowel signs of Hindi or at letters younger than its tables:
//! a token that is not plain ASCII is written as [`MARK`] and the hexadecimal digits of its bytes, so that the index
//! holds exactly our tokens, one for one. A plain beginning may go on either way, and is asked for both ways.

use std::fmt::Write;

use annals_core::text;
use annals_db::WriteTx;
use rusqlite::{Connection, Row, ToSql, params};

use super::{Found, Scope, TextIndex, WEIGHTS, round};
use crate::documents::Text;
use crate::query::{Sign, Term};

/// In front of an encoded token; not ASCII, so that no plain token begins with it.
const MARK: char = 'λ';

/// The table `documents_fts`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Fts5;

impl Fts5 {
    /// The rows of documents that have no entry, but for those whose text was removed on purpose.
    ///
    /// # Errors
    /// A failure of the file.
    pub(crate) fn unindexed(conn: &Connection) -> Result<Vec<i64>, annals_db::Error> {
        ids(
            conn,
            "SELECT id FROM documents WHERE flags & 2 = 0 AND id NOT IN (SELECT rowid FROM documents_fts) ORDER BY id",
        )
    }

    /// Entries that belong to no document.
    ///
    /// # Errors
    /// A failure of the file.
    pub(crate) fn strays(conn: &Connection) -> Result<Vec<i64>, annals_db::Error> {
        ids(
            conn,
            "SELECT rowid FROM documents_fts WHERE rowid NOT IN (SELECT id FROM documents) ORDER BY rowid",
        )
    }
}

fn ids(conn: &Connection, sql: &str) -> Result<Vec<i64>, annals_db::Error> {
    let mut select = conn.prepare_cached(sql)?;
    let ids = select.query_map((), |row| row.get(0))?;
    Ok(ids.collect::<Result<_, _>>()?)
}

impl TextIndex for Fts5 {
    fn put(&self, tx: &WriteTx<'_>, id: i64, text: &Text) -> Result<(), annals_db::Error> {
        self.remove(tx, id)?;
        let [title, body, meta] =
            [&text.title, &text.body, &text.meta].map(|field| words(text::tokens(field).map(|token| token.text)));
        tx.prepare_cached("INSERT INTO documents_fts (rowid, title, body, meta) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![id, title, body, meta])?;
        Ok(())
    }

    fn remove(&self, tx: &WriteTx<'_>, id: i64) -> Result<(), annals_db::Error> {
        tx.prepare_cached("DELETE FROM documents_fts WHERE rowid = ?1")?
            .execute(params![id])?;
        Ok(())
    }

    fn clear(&self, tx: &WriteTx<'_>) -> Result<(), annals_db::Error> {
        tx.execute("INSERT INTO documents_fts (documents_fts) VALUES ('delete-all')", [])?;
        Ok(())
    }

    fn find(
        &self,
        conn: &Connection,
        terms: &[Term],
        scope: &Scope,
        found: &mut dyn FnMut(&Found<'_>) -> Result<(), annals_db::Error>,
    ) -> Result<(), annals_db::Error> {
        let (required, excluded) = (expression(terms, Sign::Require), expression(terms, Sign::Exclude));
        let [title, body, meta] = WEIGHTS;
        let (score, from, words) = match (required, excluded) {
            (Some(required), excluded) => {
                let words = match excluded {
                    Some(excluded) => format!("({required}) NOT ({excluded})"),
                    None => required,
                };
                let score = format!("bm25(documents_fts, {title:?}, {body:?}, {meta:?})");
                (
                    score,
                    "documents_fts JOIN documents d ON d.id = documents_fts.rowid WHERE documents_fts MATCH ?1 AND",
                    words,
                )
            }
            (None, Some(excluded)) => {
                let without =
                    "documents d WHERE d.id NOT IN (SELECT rowid FROM documents_fts WHERE documents_fts MATCH ?1) AND";
                ("NULL".to_owned(), without, excluded)
            }
            (None, None) => ("NULL".to_owned(), "documents d WHERE ?1 = '' AND", String::new()),
        };
        let sql = format!(
            "SELECT d.id, {score}, d.updated_at, d.doc_key, d.project_id, d.kind, d.source_id, d.author_id, d.state
               FROM {from} {}",
            scope.condition()
        );
        let mut statement = conn.prepare_cached(&sql)?;
        let values =
            std::iter::once(&words as &dyn ToSql).chain(scope.values().iter().map(|value| value as &dyn ToSql));
        let mut rows = statement.query(rusqlite::params_from_iter(values))?;
        while let Some(row) = rows.next()? {
            found(&read(row)?)?;
        }
        Ok(())
    }
}

fn read<'r>(row: &'r Row<'_>) -> Result<Found<'r>, rusqlite::Error> {
    Ok(Found {
        id: row.get(0)?,
        // FTS5 gives the better match the lower number.
        score: row.get::<_, Option<f64>>(1)?.map(|score| round(-score)),
        updated_at: row.get(2)?,
        doc_key: row.get_ref(3)?.as_str()?,
        project_id: row.get(4)?,
        kind: row.get(5)?,
        source_id: row.get(6)?,
        author_id: row.get(7)?,
        state: row.get_ref(8)?.as_str_or_null()?,
    })
}

/// The terms with `sign` in FTS5's language: all of the required, any of the excluded.
fn expression(terms: &[Term], sign: Sign) -> Option<String> {
    let between = match sign {
        Sign::Require => " AND ",
        Sign::Exclude => " OR ",
    };
    let phrases: Vec<String> = terms.iter().filter(|term| term.sign == sign).map(phrase).collect();
    (!phrases.is_empty()).then(|| phrases.join(between))
}

fn phrase(term: &Term) -> String {
    let whole = words(term.text.words());
    let Some((last, others)) = term.text.words().split_last().filter(|_| term.text.is_prefix()) else {
        return format!("\"{whole}\"");
    };
    if !last.is_ascii() {
        return format!("\"{whole}\" *");
    }
    // `10*` begins `100`, which is plain, and `10μs`, which is not.
    let mut encoded = words(others);
    separate(&mut encoded);
    encode(last, &mut encoded);
    format!("(\"{whole}\" * OR \"{encoded}\" *)")
}

fn words(tokens: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let mut words = String::new();
    for token in tokens {
        let token = token.as_ref();
        separate(&mut words);
        if token.is_ascii() {
            words.push_str(token);
        } else {
            encode(token, &mut words);
        }
    }
    words
}

fn separate(words: &mut String) {
    if !words.is_empty() {
        words.push(' ');
    }
}

fn encode(token: &str, words: &mut String) {
    words.push(MARK);
    for byte in token.bytes() {
        let written = write!(words, "{byte:02x}");
        debug_assert!(written.is_ok(), "writing to a string does not fail");
    }
}
