//! Figures with their uncertainty: percentiles, medians, and the ratio of two sides that took turns.
//!
//! What is resampled are rounds: what one round has in common, such as a busy moment of the machine, is not counted as
//! many independent observations. The resampling is seeded, so that the same figures always give the same interval.

use serde::{Deserialize, Serialize};

/// How often rounds are drawn anew for an interval.
const RESAMPLES: usize = 1000;

/// Ours to theirs, with the interval in which 95 % of the resampled ratios are.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Ratio {
    pub point: f64,
    pub low: f64,
    pub high: f64,
    pub rounds: usize,
}

/// What one side did in one round; both sides have as many.
pub type Round = Vec<f64>;

impl Ratio {
    /// The median over the rounds of the ratio within a round. Both sides of a round met the same moment of the machine,
    /// and a moment that was bad for one of them moves one ratio of many.
    pub fn of(ours: &[Round], theirs: &[Round], statistic: fn(&mut [f64]) -> f64) -> Self {
        let pairs = ours.iter().zip(theirs);
        let ratios: Vec<f64> = pairs
            .map(|(ours, theirs)| statistic(&mut ours.clone()) / statistic(&mut theirs.clone()))
            .collect();
        let mut rng = SplitMix(0x5eed);
        let mut drawn: Vec<f64> = (0..RESAMPLES)
            .map(|_| {
                let draw = |_| ratios.get(rng.below(ratios.len())).copied();
                median(&mut (0..ratios.len()).filter_map(draw).collect::<Vec<_>>())
            })
            .collect();
        drawn.sort_by(f64::total_cmp);
        Self {
            point: median(&mut ratios.clone()),
            low: at(&drawn, 0.025),
            high: at(&drawn, 0.975),
            rounds: ratios.len(),
        }
    }

    /// Whether the interval leaves open on which side of a bound the ratio is.
    pub fn straddles(&self, bound: f64) -> bool {
        self.low < bound && bound < self.high
    }
}

impl std::fmt::Display for Ratio {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            point,
            low,
            high,
            rounds,
        } = self;
        write!(f, "{point:.3} (95 %: {low:.3} to {high:.3}; {rounds} rounds)")
    }
}

pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    at(values, 0.5)
}

pub fn p95(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    at(values, 0.95)
}

/// The value below which this share of the sorted values is.
fn at(sorted: &[f64], share: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of an index"
    )]
    let index = (last as f64 * share).round() as usize;
    sorted.get(index).copied().unwrap_or(f64::NAN)
}

/// SplitMix64 (Steele, Lea and Flood 2014).
struct SplitMix(u64);

impl SplitMix {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let bound = bound.max(1) as u64;
        usize::try_from((mixed ^ (mixed >> 31)) % bound).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_seen() {
        let mut values: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!((median(&mut values), p95(&mut values)), (51.0, 95.0));
        assert_eq!(median(&mut [7.0]), 7.0);
        assert!(p95(&mut []).is_nan());
    }

    #[test]
    fn equal_rounds_have_no_spread_and_unequal_ones_do() {
        let rounds = |values: &[f64]| values.iter().map(|value| vec![*value]).collect::<Vec<_>>();
        let exact = Ratio::of(&rounds(&[2.0; 10]), &rounds(&[1.0; 10]), median);
        assert_eq!((exact.point, exact.low, exact.high, exact.rounds), (2.0, 2.0, 2.0, 10));
        let ours = rounds(&[1.0, 1.2, 0.9, 1.1, 1.0, 1.3, 0.8, 1.0, 1.1, 0.9]);
        let loose = Ratio::of(&ours, &rounds(&[1.0; 10]), median);
        assert!(loose.low < loose.point + 1e-9 && loose.point < loose.high + 1e-9 && loose.low < loose.high);
        assert!(loose.straddles(1.0) && !loose.straddles(1.5));
        assert_eq!(loose, Ratio::of(&ours, &rounds(&[1.0; 10]), median), "seeded");
    }

    #[test]
    fn one_bad_moment_of_the_machine_decides_nothing() {
        let mut ours = vec![vec![1.0; 200]; 10];
        let mut theirs = ours.clone();
        let bad = |round: Option<&mut Round>| round.into_iter().flatten().for_each(|value| *value = 90.0);
        bad(ours.get_mut(3));
        bad(theirs.get_mut(7));
        let ratio = Ratio::of(&ours, &theirs, p95);
        assert_eq!((ratio.point, ratio.low, ratio.high), (1.0, 1.0, 1.0));
    }
}
