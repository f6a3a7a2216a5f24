//! The embedder that is always there: words and parts of words, hashed into 256 numbers.
//!
//! Texts are alike where they share words, or words that are spelt alike; what they mean it does not know. Everything up
//! to the last division is integer arithmetic, so that a text has the same bytes on every machine, for ever: a change
//! here needs another name for the [`MODEL`].

use std::num::NonZeroUsize;

use annals_core::config::EmbedProvider;
use annals_core::text;
use annals_net_adapter::{Cx, Stop};

use super::chunks::CHUNK_BYTES;
use super::{BoxFuture, EmbedError, Embedder, EmbedderId};

/// Numbers per vector.
const DIMS: usize = 256;

/// Which hashing it is.
const MODEL: &str = "words-trigrams-1";

/// How much more a word counts than one of its trigrams.
const WORD_WEIGHT: i64 = 3;

/// Hashes words and trigrams.
#[derive(Debug)]
pub struct Hashing(EmbedderId);

impl Hashing {
    /// The one there is.
    #[must_use]
    pub fn new() -> Self {
        Self(EmbedderId {
            provider: EmbedProvider::Hashing,
            model: MODEL.to_owned(),
            dims: Some(DIMS),
            max_input: CHUNK_BYTES,
            // One transaction is written for each batch.
            batch: NonZeroUsize::MIN.saturating_add(127),
            concurrency: NonZeroUsize::MIN,
        })
    }
}

impl Default for Hashing {
    fn default() -> Self {
        Self::new()
    }
}

impl Embedder for Hashing {
    fn identity(&self) -> &EmbedderId {
        &self.0
    }

    fn embed<'a>(&'a self, cx: &'a Cx, texts: &'a [&'a str]) -> BoxFuture<'a, Result<Vec<Vec<f32>>, EmbedError>> {
        Box::pin(async move {
            let mut vectors = Vec::with_capacity(texts.len());
            for text in texts {
                cx.checkpoint().map_err(|cancelled| Stop::Cancelled(cancelled.0))?;
                vectors.push(vector(text));
            }
            Ok(vectors)
        })
    }
}

/// The vector of a text, of unit length; of a text without a single character, zeros.
fn vector(text: &str) -> Vec<f32> {
    let mut features = features(text);
    features.sort_unstable();
    let mut buckets = [0_i64; DIMS];
    for equal in features.chunk_by(|a, b| a.hash == b.hash) {
        let Some(first) = equal.first() else { continue };
        // The tenth time a word says little that the first did not.
        let weight = first.weight * i64::from(1 + equal.len().ilog2());
        add(&mut buckets, first.hash, weight);
    }
    if buckets.iter().all(|sum| *sum == 0) && !text.trim().is_empty() {
        // Nothing that is a word, or features that cancel each other out.
        add(&mut buckets, hash(2, text.trim()), 1);
    }
    unit(&buckets)
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "sums of a few million are exact as f64; the quotient is what is kept"
)]
fn unit(buckets: &[i64; DIMS]) -> Vec<f32> {
    let squares: i64 = buckets.iter().map(|sum| sum * sum).sum();
    let length = (squares.max(1) as f64).sqrt();
    buckets.iter().map(|sum| (*sum as f64 / length) as f32).collect()
}

/// Adds to the bucket of a feature, or takes away: two features that share a bucket by chance do not look alike.
fn add(buckets: &mut [i64; DIMS], hash: u64, weight: i64) {
    let index = usize::try_from(hash % DIMS as u64).unwrap_or(0);
    let sign = if hash >> 63 == 0 { 1 } else { -1 };
    if let Some(sum) = buckets.get_mut(index) {
        *sum += sign * weight;
    }
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Feature {
    hash: u64,
    weight: i64,
}

fn features(text: &str) -> Vec<Feature> {
    let mut features = Vec::new();
    for token in text::tokens(text) {
        let word = token.text.as_ref();
        features.push(Feature {
            hash: hash(0, word),
            weight: WORD_WEIGHT,
        });
        // The ends of a word are part of its spelling.
        let chars: Vec<char> = std::iter::once(' ').chain(word.chars()).chain([' ']).collect();
        let mut trigram = String::new();
        for window in chars.windows(3) {
            trigram.clear();
            trigram.extend(window);
            features.push(Feature {
                hash: hash(1, &trigram),
                weight: 1,
            });
        }
    }
    features
}

/// FNV-1a over the kind of feature and its bytes, mixed at the end so that every bit depends on every byte.
fn hash(kind: u8, text: &str) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in std::iter::once(kind).chain(text.bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash ^= hash >> 30;
    hash = hash.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash ^= hash >> 27;
    hash = hash.wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use sha2::{Digest, Sha256};

    fn likeness(a: &str, b: &str) -> f32 {
        vector(a).iter().zip(vector(b)).map(|(a, b)| a * b).sum()
    }

    /// Vectors are kept in files: what this says may never change under the same name of the model.
    #[test]
    fn hashing_embedder_bytes_golden() {
        let texts = [
            "",
            "Cutover race in the metrics page",
            "数据库迁移失败",
            "Café société, CAFE SOCIETE!",
            "—…—",
            "the the the the the the the the the the",
            &"wörter und mehr Wörter; ".repeat(200),
        ];
        let mut hasher = Sha256::new();
        for text in texts {
            for number in vector(text) {
                hasher.update(number.to_le_bytes());
            }
        }
        let digest: String = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            digest,
            "8eaca43888573716af05b2be1d79a576d27fa9a0dfd0d4e971920bf4878de94c"
        );
        let first: Vec<String> = vector("race")
            .iter()
            .enumerate()
            .filter(|(_, number)| **number != 0.0)
            .map(|(index, number)| format!("{index}:{:08x}", number.to_bits()))
            .collect();
        assert_eq!(
            first.join(" "),
            "77:3e8e00d5 96:3e8e00d5 162:be8e00d5 189:3f550140 251:3e8e00d5"
        );
    }

    #[test]
    fn what_is_spelt_alike_is_alike() {
        let race = "the cutover races with the writer";
        assert!((likeness(race, race) - 1.0).abs() < 1e-6);
        assert!(likeness(race, "Cutover race: the writer") > 0.5);
        assert!(likeness(race, "cutovers raced while writing") > likeness(race, "snippets are cut at characters"));
        assert!(
            likeness("naïve café", "NAIVE CAFE") > 0.999,
            "case and accents do not count"
        );
    }

    proptest! {
        #[test]
        fn every_text_with_a_character_has_unit_length(text in "\\PC{0,200}") {
            let length: f64 = vector(&text).iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>().sqrt();
            let expected = if text.trim().is_empty() { 0.0 } else { 1.0 };
            prop_assert!((length - expected).abs() < 1e-5, "{length}");
        }
    }
}
