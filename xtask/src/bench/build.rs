//! How long a clean release build takes, and how large the program is.

use std::time::Instant;

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};

use super::command::Options;
use crate::evidence::{Shelf, Stamp};
use crate::{Verdict, Workspace};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Build {
    pub features: String,
    pub seconds: f64,
    pub bytes: u64,
}

pub fn command(here: &Workspace, options: &Options) -> anyhow::Result<Verdict> {
    let features = options.features.as_deref();
    let target = here.metadata()?.target_directory;
    let folder = target.join("xtask/clean-build");
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    // What is compiled is measured, not what is downloaded.
    ensure!(
        here.cargo().args(["fetch", "--locked"]).status()?.success(),
        "cargo fetch failed"
    );
    let start = Instant::now();
    let mut cargo = here.cargo();
    cargo.args([
        "build",
        "--locked",
        "--offline",
        "--release",
        "-p",
        "annals-cli",
        "--bin",
        "annals",
    ]);
    cargo.args(features.iter().flat_map(|name| ["--features", name]));
    let status = cargo
        .arg("--target-dir")
        .arg(&folder)
        .status()
        .context("cargo does not start")?;
    ensure!(status.success(), "the program does not build");
    let build = Build {
        features: features.unwrap_or("default").to_owned(),
        seconds: start.elapsed().as_secs_f64(),
        bytes: std::fs::metadata(folder.join("release/annals"))?.len(),
    };
    std::fs::remove_dir_all(&folder)?;
    println!(
        "\nclean release build, features {}: {:.0} s, {:.1} MiB",
        build.features,
        build.seconds,
        build.bytes as f64 / 1_048_576.0
    );
    Shelf::of(here)?.put(&format!("build-{}", build.features), &Stamp::now(here)?, &build)?;
    Ok(Verdict::Holds)
}
