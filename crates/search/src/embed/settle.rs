//! Vectors for pieces of text, whatever single pieces do: one that cannot be embedded fails alone, and one that is too
//! long is cut in halves until it is not.

use std::collections::VecDeque;

use annals_net_adapter::Cx;

use super::chunks::halves;
use super::{EmbedError, Embedder};
use crate::vector::unit;

/// What became of one piece: its vectors in the order of its parts, or why it has none.
pub(super) type Settled = Result<Vec<Vec<f32>>, EmbedError>;

/// After so many texts for which the embedder was too slow or broke, and not one that went well, it is not asked for
/// others: each of them costs all the patience there is.
const HOPELESS: usize = 2;

/// A text that no embedder finds hard.
const PROBE: &str = "annals";

/// One outcome for each piece, in their order, as far as it went, and what ended it early; vectors have `dims` numbers and
/// unit length.
pub(super) async fn settle(
    cx: &Cx,
    embedder: &dyn Embedder,
    dims: usize,
    pieces: &[&str],
) -> (Vec<Settled>, Option<EmbedError>) {
    let mut settled = Vec::with_capacity(pieces.len());
    let ended = all(cx, embedder, dims, pieces, &mut settled).await.err();
    (settled, ended)
}

async fn all(
    cx: &Cx,
    embedder: &dyn Embedder,
    dims: usize,
    pieces: &[&str],
    settled: &mut Vec<Settled>,
) -> Result<(), EmbedError> {
    let mut batches: VecDeque<&[&str]> = pieces.chunks(embedder.identity().batch.get()).collect();
    while let Some(batch) = batches.pop_front() {
        match embedder.embed(cx, batch).await {
            Ok(vectors) if vectors.len() == batch.len() => {
                settled.extend(
                    vectors
                        .iter()
                        .map(|vector| usable(vector, dims).map(|vector| vec![vector])),
                );
            }
            // What it does not manage at once it may manage with less.
            Err(error) if error.may_be_about_texts() && batch.len() > 1 => {
                let (first, second) = batch.split_at(batch.len() / 2);
                batches.push_front(second);
                batches.push_front(first);
            }
            Err(error) if !error.is_about_texts() => {
                let error = of_text(cx, embedder, error).await?;
                settled.push(Err(error.clone()));
                if settled.len() >= HOPELESS && settled.iter().all(Result::is_err) {
                    return Err(error);
                }
            }
            // Who of them it was, only asking one by one can tell.
            Ok(_) | Err(_) => {
                for piece in batch {
                    settled.push(alone(cx, embedder, dims, piece).await?);
                }
            }
        }
    }
    Ok(())
}

/// The failure of a single text, if it is that text's: the embedder itself may be away, or slow with everything.
///
/// # Errors
/// The failure, if it is the embedder's.
async fn of_text(cx: &Cx, embedder: &dyn Embedder, error: EmbedError) -> Result<EmbedError, EmbedError> {
    if error.is_about_texts() {
        return Ok(error);
    }
    if !error.may_be_about_texts() {
        return Err(error);
    }
    match embedder.embed(cx, &[PROBE]).await {
        Ok(_) => Ok(error),
        Err(stopped @ EmbedError::Stopped(_)) => Err(stopped),
        Err(_) => Err(error),
    }
}

async fn alone(cx: &Cx, embedder: &dyn Embedder, dims: usize, piece: &str) -> Result<Settled, EmbedError> {
    let mut vectors = Vec::new();
    let mut parts = VecDeque::from([piece]);
    while let Some(part) = parts.pop_front() {
        match embedder.embed(cx, &[part]).await {
            Ok(answer) => match answer.as_slice() {
                [vector] => match usable(vector, dims) {
                    Ok(vector) => vectors.push(vector),
                    Err(error) => return Ok(Err(error)),
                },
                _ => return Ok(Err(super::openai::wrong_count())),
            },
            Err(EmbedError::TooLong) => match halves(part) {
                Some([left, right]) => {
                    for half in [right, left] {
                        if !half.trim().is_empty() {
                            parts.push_front(half);
                        }
                    }
                }
                None => return Ok(Err(EmbedError::TooLong)),
            },
            Err(error) => return of_text(cx, embedder, error).await.map(Err),
        }
    }
    Ok(Ok(vectors))
}

/// What is wrong with a vector that does not fit to those of its set.
pub(super) const OTHER_WIDTH: &str = "a vector has another number of dimensions than the others";

fn usable(vector: &[f32], dims: usize) -> Result<Vec<f32>, EmbedError> {
    let what = if vector.len() != dims {
        OTHER_WIDTH
    } else if let Some(vector) = unit(vector) {
        return Ok(vector);
    } else {
        "a vector has no direction"
    };
    Err(EmbedError::Malformed { what })
}
