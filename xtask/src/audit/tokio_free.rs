//! On asupersync no production crate links tokio.

use serde::{Deserialize, Serialize};

use super::builds::{self, FeatureSet, Resolved, Scope};
use super::finding::Finding;
use super::tree::Tree;
use crate::workspace::{Reach, Workspace};

pub const NAME: &str = "tokio-free";

pub fn check(tree: &Tree) -> Vec<Finding> {
    let builds = tree
        .builds
        .iter()
        .filter(|build| build.features == FeatureSet::Asupersync);
    let found = builds.flat_map(|build| {
        let packages = build.packages.iter().filter(|package| is_of_tokio(package));
        packages.map(|package| {
            let why = "the asupersync build must not need tokio; `cargo tree -i` says who brings it";
            Finding::new(NAME, &build.command, package.line, &package.name, why)
        })
    });
    found.collect()
}

fn is_of_tokio(package: &Resolved) -> bool {
    package.name == "tokio" || package.name.starts_with("tokio-") || package.name == "hyper"
}

/// Each production package, and what it links of tokio when it is built for asupersync alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    pub packages: Vec<(String, Vec<String>)>,
}

/// Nothing where the package asupersync is not on this machine; nobody gets it unasked.
pub fn coverage(workspace: &Workspace) -> anyhow::Result<Option<Coverage>> {
    let metadata = workspace.metadata()?;
    let mut packages = Vec::new();
    for package in metadata
        .members()
        .filter(|package| builds::is_production(&package.name))
    {
        match builds::tree(
            workspace,
            &package.name,
            FeatureSet::Asupersync,
            Scope::Crate,
            Reach::Offline,
        ) {
            Ok(build) => {
                let brought = build.packages.iter().filter(|package| is_of_tokio(package));
                packages.push((
                    package.name.clone(),
                    brought.map(|package| package.name.clone()).collect(),
                ));
            }
            Err(error) if builds::is_not_here(&error) => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    Ok(Some(Coverage { packages }))
}
