//! On asupersync no production crate links tokio.

use super::builds::FeatureSet;
use super::finding::Finding;
use super::tree::Tree;

pub const NAME: &str = "tokio-free";

pub fn check(tree: &Tree) -> Vec<Finding> {
    let builds = tree
        .builds
        .iter()
        .filter(|build| build.features == FeatureSet::Asupersync);
    let found = builds.flat_map(|build| {
        let named = |name: &str| name == "tokio" || name.starts_with("tokio-") || name == "hyper";
        let packages = build.packages.iter().filter(move |package| named(&package.name));
        packages.map(|package| {
            let why = "the asupersync build must not need tokio; `cargo tree -i` says who brings it";
            Finding::new(NAME, &build.command, package.line, &package.name, why)
        })
    });
    found.collect()
}
