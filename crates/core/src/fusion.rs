//! Putting ranked lists together by rank alone, so that scores that cannot be compared need not be.

use std::collections::BTreeMap;

/// How flat the ranks count: a first place is worth little more than a tenth.
pub const RRF_K: u32 = 60;

/// Reciprocal rank fusion: each list gives its item of rank r (from 1) `1 / (k + r)`, and an item has the sum over all
/// lists. Of an item that a list has twice the better rank counts. The items come in their own order.
pub fn reciprocal_ranks<T: Ord>(lists: impl IntoIterator<Item = impl IntoIterator<Item = T>>) -> BTreeMap<T, f64> {
    let mut scores = BTreeMap::new();
    for list in lists {
        let mut ranks: BTreeMap<T, u32> = BTreeMap::new();
        for (item, rank) in list.into_iter().zip(1..) {
            ranks.entry(item).or_insert(rank);
        }
        for (item, rank) in ranks {
            *scores.entry(item).or_insert(0.0) += 1.0 / (f64::from(RRF_K) + f64::from(rank));
        }
    }
    scores
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rrf_hand_computed() {
        let lexical = ["a", "b", "c"];
        let vectors = ["c", "d", "a", "c"];
        let scores = reciprocal_ranks([lexical.to_vec(), vectors.to_vec()]);
        let by_hand = [
            ("a", 1.0 / 61.0 + 1.0 / 63.0),
            ("b", 1.0 / 62.0),
            ("c", 1.0 / 63.0 + 1.0 / 61.0),
            ("d", 1.0 / 62.0),
        ];
        assert_eq!(scores.len(), by_hand.len());
        for ((item, score), (expected, sum)) in scores.iter().zip(by_hand) {
            assert_eq!(*item, expected);
            assert!((score - sum).abs() < 1e-15, "{item}: {score} {sum}");
        }
        // 0.016393442… + 0.015873015…, worked out on paper.
        assert!((scores["a"] - 0.032_266_458_495_966_7).abs() < 1e-15);
    }

    #[test]
    fn no_list_gives_nothing() {
        assert!(reciprocal_ranks::<u8>([[0_u8; 0]; 2]).is_empty());
    }
}
