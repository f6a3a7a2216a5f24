//! The steps of `cargo xtask kpi`.

use anyhow::bail;

use super::inputs::Inputs;
use super::page;
use super::report::Report;
use crate::evidence::{Shelf, short};
use crate::{Verdict, Workspace};

const HELP: &str = "\
cargo xtask kpi [--features asupersync]

Writes target/kpi/COMMIT.md and .json; exit 1 while a figure is missed or not measured. It measures determinism, cancellation and
which packages are free of tokio, and reads what these left for the same commit and Cargo.lock:

  cargo xtask test --lane tokio | asupersync | both       compatibility
  cargo xtask bench runtime --features asupersync         performance, adapter cost
  cargo xtask drill rollback --features asupersync        rollback time
  cargo xtask bench idle, cargo xtask bench build, each with and without --features asupersync

The feature builds the second runtime: read docs/licensing.md first.";

pub fn command(here: &Workspace, args: &[String]) -> anyhow::Result<Verdict> {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let features = match args.as_slice() {
        [] => None,
        ["--features", "asupersync"] => Some("asupersync"),
        ["--help" | "-h", ..] => {
            println!("{HELP}");
            return Ok(Verdict::Holds);
        }
        other => bail!("{:?} is not understood; `cargo xtask kpi --help`", other.join(" ")),
    };
    let shelf = Shelf::of(here)?;
    let inputs = Inputs::collect(here, &shelf, features)?;
    let report = Report::of(&inputs);
    let page = page::markdown(&report);

    let folder = here.metadata()?.target_directory.join("kpi");
    std::fs::create_dir_all(&folder)?;
    let file = folder.join(short(&report.stamp.commit));
    std::fs::write(file.with_extension("md"), &page)?;
    std::fs::write(file.with_extension("json"), serde_json::to_vec_pretty(&report)?)?;
    shelf.put("kpi", &report.stamp, &report)?;
    print!("{page}");
    println!("\nwritten to {} and .json", file.with_extension("md").display());
    Ok(if report.is_met() {
        Verdict::Holds
    } else {
        Verdict::Broken
    })
}
