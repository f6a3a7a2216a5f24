//! A search by vectors beside a plain loop over the same rows of the same file. Both are in annals-search's bench `semantic`,
//! which takes turns between them; here it is built and started.

use anyhow::ensure;

use super::command::Options;
use crate::{Verdict, Workspace};

pub fn command(here: &Workspace, options: &Options) -> anyhow::Result<Verdict> {
    let mut cargo = here.cargo();
    cargo.args([
        "bench",
        "--locked",
        "--quiet",
        "-p",
        "annals-search",
        "--bench",
        "semantic",
    ]);
    cargo.args(options.features.iter().flat_map(|name| ["--features", name.as_str()]));
    cargo.args(["--", &options.rounds_or(10).to_string()]);
    ensure!(cargo.status()?.success(), "the bench failed");
    Ok(Verdict::Holds)
}
