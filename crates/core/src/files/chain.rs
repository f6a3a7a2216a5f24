//! All the names a file has had: breadth-first over renames, forwards and backwards.

use std::collections::{BTreeSet, VecDeque};

/// How far a chain is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChainBounds {
    /// Renames between the start and a name, at most; 0 is the start alone.
    pub max_hops: u32,
    /// Names in all, at most.
    pub max_paths: usize,
}

impl Default for ChainBounds {
    fn default() -> Self {
        Self {
            max_hops: 10,
            max_paths: 10_000,
        }
    }
}

/// The names of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// All of them with the one it began at, sorted.
    pub paths: Vec<String>,
    /// Whether there are more than the bound allows.
    pub truncated: bool,
}

/// Follows renames from `start`. `neighbours` returns what a name was renamed to and from; what it
/// fails with ends the walk. Each name is asked for once, and not at all at the last hop.
///
/// # Errors
/// What `neighbours` failed with.
pub fn rename_chain<E>(
    start: &str,
    bounds: ChainBounds,
    mut neighbours: impl FnMut(&str) -> Result<Vec<String>, E>,
) -> Result<Chain, E> {
    let mut seen = BTreeSet::from([start.to_owned()]);
    let mut queue = VecDeque::from([(start.to_owned(), 0)]);
    let mut truncated = false;
    while let Some((path, distance)) = queue.pop_front() {
        if distance >= bounds.max_hops {
            continue;
        }
        // In order, so that what a bound leaves out is the same every time.
        let next: BTreeSet<String> = neighbours(&path)?.into_iter().collect();
        for name in next {
            if seen.contains(&name) {
                continue;
            }
            if seen.len() >= bounds.max_paths.max(1) {
                truncated = true;
                queue.clear();
                break;
            }
            seen.insert(name.clone());
            queue.push_back((name, distance + 1));
        }
    }
    Ok(Chain {
        paths: seen.into_iter().collect(),
        truncated,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::collections::BTreeMap;
    use std::convert::Infallible;

    use super::*;
    use proptest::prelude::*;

    /// The chain over these renames, and how many names were asked for.
    fn follow(renames: &[(u8, u8)], start: u8, bounds: ChainBounds) -> (Vec<String>, bool, usize) {
        let mut edges: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (old, new) in renames {
            edges.entry(old.to_string()).or_default().push(new.to_string());
            edges.entry(new.to_string()).or_default().push(old.to_string());
        }
        let mut asked = 0;
        let found = rename_chain(&start.to_string(), bounds, |path| {
            asked += 1;
            Ok::<_, Infallible>(edges.get(path).cloned().unwrap_or_default())
        });
        let Ok(Chain { paths, truncated }) = found;
        (paths, truncated, asked)
    }

    #[test]
    fn the_bound_on_names_is_said_and_repeatable() {
        let star: Vec<(u8, u8)> = (1..9).map(|to| (0, to)).collect();
        let bounds = ChainBounds {
            max_hops: 10,
            max_paths: 4,
        };
        let (paths, truncated, asked) = follow(&star, 0, bounds);
        assert_eq!((paths.join(" "), truncated, asked), ("0 1 2 3".to_owned(), true, 1));
        let enough = ChainBounds { max_paths: 9, ..bounds };
        let (paths, truncated, _) = follow(&star, 0, enough);
        assert_eq!((paths.len(), truncated), (9, false));
    }

    #[test]
    fn a_failed_look_up_ends_the_walk() {
        let failed = rename_chain("a", ChainBounds::default(), |_| Err("gone"));
        assert_eq!(failed, Err("gone"));
    }

    proptest! {
        /// Exactly what a plain search of the same graph reaches in so many steps.
        #[test]
        fn a_chain_is_what_is_within_reach(
            renames in proptest::collection::vec((0_u8..12, 0_u8..12), 0..20),
            hops in 0_u32..6,
        ) {
            let bounds = ChainBounds { max_hops: hops, ..ChainBounds::default() };
            let (paths, truncated, asked) = follow(&renames, 0, bounds);
            let mut reached = BTreeSet::from([0_u8]);
            for _ in 0..hops {
                let more: Vec<u8> = renames
                    .iter()
                    .flat_map(|&(old, new)| [(old, new), (new, old)])
                    .filter(|(from, _)| reached.contains(from))
                    .map(|(_, to)| to)
                    .collect();
                reached.extend(more);
            }
            let expected: BTreeSet<String> = reached.iter().map(u8::to_string).collect();
            prop_assert_eq!(paths.into_iter().collect::<BTreeSet<_>>(), expected);
            prop_assert!(!truncated && asked <= reached.len());
        }
    }
}
