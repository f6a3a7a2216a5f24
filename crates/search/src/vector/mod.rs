//! Vectors of documents: where they are kept and how the nearest are found.
//!
//! A [set](EmbeddingSet) is what one embedder made of the documents; one set is active and answers searches. A document's
//! vectors are replaced whole (`store`), what is still to be made is owed row by row, and [`VectorIndex`] finds the
//! documents nearest to a vector: [`Exact`] by looking at every one of them.

mod exact;
mod set;
mod store;

use std::collections::BTreeSet;

use rusqlite::Connection;

pub use exact::Exact;
pub use set::{EmbeddingSet, SWITCH_PERCENT};
pub(crate) use store::{Made, Outcome, of_document, record};

use crate::index::Scope;

/// What is asked of a [`VectorIndex`].
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// Among whose vectors.
    pub set: &'a EmbeddingSet,
    /// Near what; of unit length.
    pub vector: &'a [f32],
    /// What a document must be. What is not in it takes no place and is not counted.
    pub scope: &'a Scope,
    /// Documents that are left out all the same.
    pub except: &'a BTreeSet<i64>,
    /// How many documents.
    pub wanted: usize,
}

/// A document near a vector.
#[derive(Debug, Clone, PartialEq)]
pub struct Near {
    /// Its row.
    pub id: i64,
    /// The cosine of its nearest part, at [six significant digits](crate::index::round), above zero.
    pub score: f64,
    /// When it last changed at the forge.
    pub updated_at: Option<i64>,
    /// Its key.
    pub doc_key: String,
}

/// Finds documents by likeness.
pub trait VectorIndex: Send + Sync {
    /// The nearest documents, nearest first; of equals the newest, then by key. A document counts with its nearest part,
    /// and one that is not like the vector at all is not near.
    ///
    /// # Errors
    /// A failure of the file.
    fn nearest(&self, conn: &Connection, ask: &Ask<'_>) -> Result<Vec<Near>, annals_db::Error>;
}

/// The vector with unit length; none for one that has no direction.
#[must_use]
pub fn unit(vector: &[f32]) -> Option<Vec<f32>> {
    let squares: f64 = vector
        .iter()
        .map(|number| f64::from(*number) * f64::from(*number))
        .sum();
    let length = squares.sqrt();
    if !length.is_finite() || length == 0.0 {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "an f32 is what is kept")]
    let scaled = vector.iter().map(|number| (f64::from(*number) / length) as f32);
    Some(scaled.collect())
}

/// As it is kept: little-endian on every machine.
#[must_use]
pub fn to_bytes(vector: &[f32]) -> Vec<u8> {
    vector.iter().flat_map(|number| number.to_le_bytes()).collect()
}

/// As it was before it was kept.
#[must_use]
pub fn from_bytes(bytes: &[u8]) -> Vec<f32> {
    let (numbers, _) = bytes.as_chunks::<4>();
    numbers.iter().map(|number| f32::from_le_bytes(*number)).collect()
}

/// The product of a vector and one that is kept. The sums run in eight lanes, always the same, so that the result does not
/// depend on the machine.
#[must_use]
pub fn dot(vector: &[f32], kept: &[u8]) -> f64 {
    const LANES: usize = 8;
    let (wide, rest) = vector.as_chunks::<LANES>();
    let (kept, _) = kept.as_chunks::<4>();
    let (kept_wide, kept_rest) = kept.as_chunks::<LANES>();
    let mut lanes = [0.0_f32; LANES];
    for (a, b) in wide.iter().zip(kept_wide) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += a * f32::from_le_bytes(*b);
        }
    }
    let rest = rest
        .iter()
        .zip(kept_rest)
        .map(|(a, b)| f64::from(a * f32::from_le_bytes(*b)));
    lanes.iter().map(|lane| f64::from(*lane)).sum::<f64>() + rest.sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_vector_without_direction_has_no_unit() {
        for bad in [
            vec![],
            vec![0.0; 3],
            vec![f32::NAN, 1.0],
            vec![f32::INFINITY],
            vec![1.0, f32::NEG_INFINITY],
        ] {
            assert_eq!(unit(&bad), None, "{bad:?}");
        }
        assert_eq!(unit(&[0.0, -3.0, 4.0]), Some(vec![0.0, -0.6, 0.8]));
        assert!(unit(&[1e-30; 4]).is_some(), "small is not nothing");
    }

    proptest! {
        #[test]
        fn a_kept_vector_is_the_same(vector in proptest::collection::vec(-1e3_f32..1e3, 0..40)) {
            prop_assert_eq!(from_bytes(&to_bytes(&vector)), vector);
        }

        #[test]
        fn the_product_is_that_of_the_plain_loop(
            pairs in proptest::collection::vec((-1_f32..1.0, -1_f32..1.0), 0..300),
        ) {
            let (a, b): (Vec<f32>, Vec<f32>) = pairs.into_iter().unzip();
            let plain: f64 = a.iter().zip(&b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            prop_assert!((dot(&a, &to_bytes(&b)) - plain).abs() < 1e-4);
        }
    }
}
