//! A ceiling on the number of packages of each build: a new dependency is a decision, not an accident.

use super::finding::Finding;
use super::tree::Tree;

pub const NAME: &str = "packages";

pub fn check(tree: &Tree) -> Vec<Finding> {
    let found = tree.builds.iter().filter_map(|build| {
        let (ceiling, last) = (build.ceiling?, build.packages.last()?);
        let count = build.packages.len();
        let why =
            format!("{count} packages, and the ceiling in xtask/audit.toml is {ceiling}; raise it only for a reason");
        (count > ceiling).then(|| Finding::new(NAME, &build.command, last.line, count.to_string(), why))
    });
    found.collect()
}
