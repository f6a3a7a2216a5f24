//! What a verification is given.

use std::str::FromStr;

use annals_core::EntityKind;

use crate::engine::SyncOptions;

/// How far a verification looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// At the file alone; no network.
    Local,
    /// At the file and at the forge.
    Forge,
}

/// How much is compared of an entity that is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Itself.
    Entity,
    /// Itself and its sets.
    Sets,
}

/// What becomes of findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repair {
    /// They are named.
    Leave,
    /// Those that can be mended are.
    Mend,
}

/// How many entities of a project are fetched and compared whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SampleSize {
    /// So many.
    Count(u64),
    /// So many of a hundred, at least one.
    Percent(u8),
    /// Every one.
    All,
}

impl Default for SampleSize {
    fn default() -> Self {
        Self::Count(200)
    }
}

impl SampleSize {
    /// How many of `all`.
    #[must_use]
    pub fn of(self, all: u64) -> u64 {
        match self {
            Self::Count(count) => count.min(all),
            Self::Percent(percent) => (all.saturating_mul(u64::from(percent)).div_ceil(100)).min(all),
            Self::All => all,
        }
    }
}

/// A size that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a number, a percentage such as 5%, or all")]
pub struct BadSampleSize;

impl FromStr for SampleSize {
    type Err = BadSampleSize;

    fn from_str(text: &str) -> Result<Self, BadSampleSize> {
        if text == "all" {
            return Ok(Self::All);
        }
        match text.strip_suffix('%') {
            Some(percent) => match percent.parse() {
                Ok(percent @ 1..=100) => Ok(Self::Percent(percent)),
                _ => Err(BadSampleSize),
            },
            None => text.parse().map(Self::Count).map_err(|_| BadSampleSize),
        }
    }
}

/// How a verification goes about it.
#[derive(Debug, Clone)]
pub struct VerifyOptions {
    /// Forges, tokens, hosts, limits; and for a repair, how to sync.
    pub sync: SyncOptions,
    /// How far to look.
    pub reach: Reach,
    /// How many entities of each project to fetch.
    pub sample: SampleSize,
    /// Of which kinds; all if empty.
    pub kinds: Vec<EntityKind>,
    /// Whether to compare their sets.
    pub depth: Depth,
    /// Which sample: the same number, the same entities.
    pub seed: u64,
    /// What becomes of findings.
    pub repair: Repair,
}

impl VerifyOptions {
    /// The kinds that are compared.
    pub(super) fn kinds(&self) -> impl Iterator<Item = EntityKind> + '_ {
        [EntityKind::Issue, EntityKind::MergeRequest]
            .into_iter()
            .filter(|kind| self.kinds.is_empty() || self.kinds.contains(kind))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_a_number_a_part_or_everything() {
        let of = |text: &str, all| text.parse::<SampleSize>().map(|size| size.of(all));
        assert_eq!(of("200", 1000), Ok(200));
        assert_eq!(of("200", 7), Ok(7));
        assert_eq!(of("5%", 1000), Ok(50));
        assert_eq!(of("1%", 3), Ok(1));
        assert_eq!(of("all", 3), Ok(3));
        for bad in ["", "-1", "0%", "101%", "5 %", "many"] {
            assert_eq!(of(bad, 3), Err(BadSampleSize), "{bad}");
        }
    }
}
