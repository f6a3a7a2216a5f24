//! The text index: which documents hold which words, and how well they fit.
//!
//! An index holds the tokens of `core::text::tokens` and nothing else, never more or less than the documents beside
//! it, and is never believed: what it finds is joined with `documents`, so that nothing gone, removed or invisible is
//! returned or counted whatever the index still holds. It can be thrown away; `documents` makes it again.
//!
//! [`TextIndex`] is what an engine must do, [`Scope`] is what a document must be besides matching words, and
//! [`Fts5`] is the engine: a table in the same file, written in the documents' own transactions.

mod fts5;
mod scope;

use annals_db::WriteTx;
use annals_db::ids::SourceKind;
use rusqlite::Connection;

pub use fts5::Fts5;
pub use scope::Scope;

use crate::documents::Text;
use crate::query::Term;

/// How much a word in the title, in the body or among the names counts.
pub const WEIGHTS: [f64; 3] = [4.0, 1.0, 2.0];

/// An engine that finds documents by their words.
pub trait TextIndex: Send + Sync {
    /// Makes the entry of document `id` hold exactly the tokens of `text`.
    ///
    /// # Errors
    /// A failure of the file.
    fn put(&self, tx: &WriteTx<'_>, id: i64, text: &Text) -> Result<(), annals_db::Error>;

    /// Takes the entry of document `id` away, if there is one.
    ///
    /// # Errors
    /// A failure of the file.
    fn remove(&self, tx: &WriteTx<'_>, id: i64) -> Result<(), annals_db::Error>;

    /// Takes every entry away.
    ///
    /// # Errors
    /// A failure of the file.
    fn clear(&self, tx: &WriteTx<'_>) -> Result<(), annals_db::Error>;

    /// Calls `found` once for each document in `scope` that has every required term and no excluded one, in no
    /// particular order. Without a required term the documents have no score.
    ///
    /// # Errors
    /// A failure of the file, or what `found` failed with.
    fn find(
        &self,
        conn: &Connection,
        terms: &[Term],
        scope: &Scope,
        found: &mut dyn FnMut(&Found<'_>) -> Result<(), annals_db::Error>,
    ) -> Result<(), annals_db::Error>;
}

/// A document that matches, as its row is now.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Found<'r> {
    /// Its row.
    pub id: i64,
    /// How well it fits, at [six significant digits](round); higher is better.
    pub score: Option<f64>,
    /// When it last changed at the forge.
    pub updated_at: Option<i64>,
    /// Its key, unique over the file.
    pub doc_key: &'r str,
    /// Its project's row.
    pub project_id: i64,
    /// What it is made from.
    pub kind: SourceKind,
    /// The row it comes from.
    pub source_id: i64,
    /// Who wrote it.
    pub author_id: Option<i64>,
    /// Its state.
    pub state: Option<&'r str>,
}

/// A score at six significant digits, so that the order of hits does not hang on the last bits of a sum.
#[must_use]
pub fn round(score: f64) -> f64 {
    if score == 0.0 || !score.is_finite() {
        return 0.0;
    }
    // Dividing two exact integers gives the float nearest to the decimal fraction, the one that prints short.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a float's exponent is between -324 and 308"
    )]
    let digits = 5 - score.abs().log10().floor() as i32;
    if digits >= 0 {
        let scale = 10f64.powi(digits);
        (score * scale).round() / scale
    } else {
        let scale = 10f64.powi(-digits);
        (score / scale).round() * scale
    }
}

#[cfg(test)]
mod tests {
    use super::round;

    #[test]
    fn scores_have_six_significant_digits() {
        for (score, rounded) in [
            (1.234_567_89, 1.234_57),
            (0.000_123_456_789, 0.000_123_457),
            (9.999_999_9, 10.0),
            (123_456_789.0, 123_457_000.0),
            (-2.500_000_4, -2.5),
            (0.0, 0.0),
            (f64::NAN, 0.0),
        ] {
            assert!(
                (round(score) - rounded).abs() < f64::EPSILON * rounded.abs().max(1.0),
                "{score} {}",
                round(score)
            );
        }
        assert_eq!(round(0.000_001_687_654_321).to_string(), "0.00000168765");
    }
}
