//! Vectors for pieces of text, whatever single pieces do: one that cannot be embedded fails alone, and one that is too
//! long is cut in halves until it is not.

use std::collections::VecDeque;

use annals_net_adapter::Cx;

use super::chunks::halves;
use super::{EmbedError, Embedder};
use crate::vector::unit;

/// What became of one piece: its vectors in the order of its parts, or why it has none.
pub(super) type Settled = Result<Vec<Vec<f32>>, EmbedError>;

/// One outcome for each piece, in their order; vectors have `dims` numbers and unit length.
pub(super) async fn settle(
    cx: &Cx,
    embedder: &dyn Embedder,
    dims: usize,
    pieces: &[&str],
) -> Result<Vec<Settled>, EmbedError> {
    let mut settled = Vec::with_capacity(pieces.len());
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
            // What it cannot do in time it may do with less at once.
            Err(EmbedError::TimedOut { .. }) if batch.len() > 1 => {
                let (first, second) = batch.split_at(batch.len() / 2);
                batches.push_front(second);
                batches.push_front(first);
            }
            // Who of them it was, only asking one by one can tell.
            Err(error) if !error.is_about_texts() => return Err(error),
            Ok(_) | Err(_) => {
                for piece in batch {
                    settled.push(alone(cx, embedder, dims, piece).await?);
                }
            }
        }
    }
    Ok(settled)
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
            Err(error) if error.is_about_texts() => return Ok(Err(error)),
            Err(error) => return Err(error),
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
