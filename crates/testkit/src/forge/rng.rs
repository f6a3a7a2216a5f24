//! A seeded stream of numbers that never changes.
//!
//! SplitMix64, written out here so that a seed names the same project on every machine and after
//! every upgrade. Each entity draws from a stream of its own, keyed by what it is, so any one of
//! a hundred thousand can be made without making the others.

/// A stream of pseudo-random numbers.
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// The stream of `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A stream of its own for each list of `keys` under one seed.
    #[must_use]
    pub fn keyed(seed: u64, keys: &[u64]) -> Self {
        let mut state = seed;
        for key in keys {
            state = mix(state ^ key.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        }
        Self(state)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number in `0..n`; 0 when `n` is 0.
    pub fn below(&mut self, n: u64) -> u64 {
        // The bias of a plain remainder is far below what any test could see.
        if n == 0 { 0 } else { self.bits() % n }
    }

    /// A number in `low..=high`.
    pub fn within(&mut self, low: i64, high: i64) -> i64 {
        let width = u64::try_from(high.saturating_sub(low)).unwrap_or(0);
        low + i64::try_from(self.below(width.saturating_add(1))).unwrap_or(0)
    }

    /// True `n` times in a thousand.
    pub fn permille(&mut self, n: u64) -> bool {
        self.below(1000) < n
    }

    /// An index into something of `len` parts.
    pub fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap_or(0)
    }

    /// One of `choices`, which must not be empty.
    pub fn pick<'a, T: ?Sized>(&mut self, choices: &[&'a T]) -> &'a T {
        choices[self.index(choices.len())]
    }

    /// `count` different numbers below `n`, fewer if there are not so many.
    pub fn some_of(&mut self, n: usize, count: usize) -> Vec<u32> {
        let mut chosen = Vec::new();
        for _ in 0..count {
            let one = u32::try_from(self.index(n)).unwrap_or(0);
            if n > 0 && !chosen.contains(&one) {
                chosen.push(one);
            }
        }
        chosen
    }
}

/// Forty hex digits that name `keys`; what git would call an object id.
#[must_use]
pub fn oid(seed: u64, keys: &[u64]) -> String {
    let mut stream = Rng::keyed(seed, keys);
    let mut text = format!("{:016x}{:016x}{:016x}", stream.bits(), stream.bits(), stream.bits());
    text.truncate(40);
    text
}

/// A 64-bit number that names `bytes` (FNV-1a, then mixed).
#[must_use]
pub fn fingerprint(bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in bytes {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    mix(hash)
}

const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_names_the_same_numbers_for_ever() {
        let mut stream = Rng::new(7);
        assert_eq!(
            [stream.bits(), stream.bits()],
            [7_191_089_600_892_374_487, 309_689_372_594_955_804]
        );
        assert_eq!(oid(1, &[2, 3]), oid(1, &[2, 3]));
        assert_ne!(oid(1, &[2, 3]), oid(1, &[3, 2]));
    }

    #[test]
    fn bounds_are_kept() {
        let mut stream = Rng::new(1);
        for _ in 0..1000 {
            assert!(stream.below(3) < 3);
            assert!((-2..=2).contains(&stream.within(-2, 2)));
        }
        assert_eq!(stream.below(0), 0);
        assert!(stream.some_of(0, 3).is_empty());
    }
}
