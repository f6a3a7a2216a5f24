//! The programs that the black-box tests start, built as users build them.
//!
//! `cargo test` builds them too, but with the features of the tests; so they are built first and copied to where that
//! build does not reach.

use std::path::PathBuf;

use anyhow::{Context, ensure};

use super::options::Lane;
use crate::workspace::{self, Metadata, Workspace};

/// Programs and the variables that name them for `annals_tests`.
const PROGRAMS: &[(&str, &str)] = &[("annals", "ANNALS_BIN"), ("forge-sim", "ANNALS_FORGE_SIM")];

/// Builds the programs that this repository has and says where they are.
pub fn build(workspace: &Workspace, metadata: &Metadata, lane: Lane) -> anyhow::Result<Vec<(&'static str, PathBuf)>> {
    let programs: Vec<_> = PROGRAMS.iter().filter(|(name, _)| metadata.has_bin(name)).collect();
    let mut cargo = workspace.cargo();
    // The selection of the tests: with another one, cargo would choose other features for some dependencies, and build
    // everything above them twice, minutes long.
    cargo
        .args(["build", "--locked"])
        .args(lane.packages())
        .args(programs.iter().flat_map(|(name, _)| ["--bin", name]))
        .args(lane.features());
    let status = cargo.status().context("cargo does not start")?;
    ensure!(status.success(), "the programs do not build");

    let folder = metadata.target_directory.join("xtask/programs").join(lane.as_str());
    std::fs::create_dir_all(&folder)?;
    let mut built = Vec::new();
    for (name, variable) in programs {
        let (from, to) = (metadata.target_directory.join("debug").join(name), folder.join(name));
        // A program that still runs cannot be overwritten, but its name can be taken away.
        workspace::remove(&to)?;
        std::fs::copy(&from, &to).with_context(|| format!("failed to copy {}", from.display()))?;
        built.push((*variable, to));
    }
    Ok(built)
}
