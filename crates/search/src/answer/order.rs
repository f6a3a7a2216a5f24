//! The one order of hits: score, then newest, then key. It is total, so that equal files give equal answers.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use crate::index::Found;

/// A document and its place among others.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ranked {
    pub id: i64,
    pub score: Option<f64>,
    pub updated_at: Option<i64>,
    pub doc_key: String,
}

/// The first so many of all documents that were offered.
pub(super) struct Best {
    wanted: usize,
    /// The last of them on top.
    heap: BinaryHeap<Ranked>,
}

impl Best {
    pub fn new(wanted: usize) -> Self {
        Self {
            wanted,
            heap: BinaryHeap::new(),
        }
    }

    pub fn offer(&mut self, found: &Found<'_>) {
        if self.heap.len() >= self.wanted {
            let Some(last) = self.heap.peek() else { return };
            let last = (last.score, last.updated_at, last.doc_key.as_str());
            if place((found.score, found.updated_at, found.doc_key), last) != Ordering::Less {
                return;
            }
            self.heap.pop();
        }
        self.heap.push(Ranked {
            id: found.id,
            score: found.score,
            updated_at: found.updated_at,
            doc_key: found.doc_key.to_owned(),
        });
    }

    pub fn into_order(self) -> Vec<Ranked> {
        self.heap.into_sorted_vec()
    }
}

type Place<'a> = (Option<f64>, Option<i64>, &'a str);

/// `Less` is earlier. A document without a time is older than every other.
fn place(a: Place<'_>, b: Place<'_>) -> Ordering {
    let score = |place: Place<'_>| place.0.unwrap_or(0.0);
    score(b)
        .total_cmp(&score(a))
        .then_with(|| Reverse(a.1).cmp(&Reverse(b.1)))
        .then_with(|| a.2.cmp(b.2))
}

impl Eq for Ranked {}

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> Ordering {
        place(
            (self.score, self.updated_at, &self.doc_key),
            (other.score, other.updated_at, &other.doc_key),
        )
    }
}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
