//! `cargo xtask audit [--fetch] [NAME…]`.

use anyhow::{anyhow, bail};

use super::builds;
use super::exceptions::{self, Settings};
use super::finding::Finding;
use super::licence;
use super::rules::{AUDITS, Audit, Needs};
use super::tree::Tree;
use crate::workspace::{Reach, Workspace};
use crate::{Verdict, workspace};

struct Options {
    selected: Vec<&'static Audit>,
    reach: Reach,
}

/// Runs the audits and prints what they find.
pub fn command(workspace: &Workspace, args: &[String]) -> anyhow::Result<Verdict> {
    if args.iter().any(|arg| arg == "--help" || arg == "-h") {
        help();
        return Ok(Verdict::Holds);
    }
    let options = parse(args)?;
    let settings_text = std::fs::read_to_string(workspace.root.join(exceptions::PATH))?;
    let settings = Settings::parse(&settings_text)?;
    let unknown = settings.unknown_audits(&|name| AUDITS.iter().any(|audit| audit.name == name));
    if !unknown.is_empty() {
        bail!(
            "{} excepts from audits that do not exist: {}",
            exceptions::PATH,
            unknown.join(", ")
        );
    }

    let Look {
        tree,
        findings,
        skipped,
    } = look(workspace, &options, &settings)?;
    let names: Vec<&'static str> = options.selected.iter().map(|audit| audit.name).collect();
    let mut findings = settings.apply(&settings_text, &names, findings);
    findings.sort();
    findings.dedup();

    for finding in &findings {
        println!("{finding}");
    }
    if !skipped.is_empty() {
        println!(
            "skipped, because the package asupersync is not on this machine: {}",
            skipped.join(", ")
        );
        println!("to check these too, read docs/licensing.md, then `cargo xtask audit --fetch`");
    }
    if options.reach == Reach::Offline && options.selected.iter().any(|audit| audit.name == licence::NAME) {
        println!("our files were not compared with those of asupersync, which only `--fetch` opens");
    }
    for build in &tree.builds {
        if let Some(ceiling) = build.ceiling {
            println!("{} of {ceiling} packages: {}", build.packages.len(), build.command);
        }
    }
    println!(
        "audit: {} rules over {} Rust files, {} manifests, {} builds: {}",
        options.selected.len(),
        tree.sources.len(),
        tree.manifests.len(),
        tree.builds.len(),
        match findings.len() {
            0 => "nothing found".to_owned(),
            1 => "1 finding".to_owned(),
            n => format!("{n} findings"),
        }
    );
    Ok(if findings.is_empty() {
        Verdict::Holds
    } else {
        Verdict::Broken
    })
}

/// What was looked at, and what came of it.
struct Look {
    tree: Tree,
    findings: Vec<Finding>,
    /// What could not be resolved on this machine.
    skipped: Vec<String>,
}

/// Reads and judges the files while cargo, on another thread, resolves the builds.
fn look(workspace: &Workspace, options: &Options, settings: &Settings) -> anyhow::Result<Look> {
    let judge = |needs: Needs, tree: &Tree| -> Vec<Finding> {
        let audits = options.selected.iter().filter(|audit| audit.needs == needs);
        audits.flat_map(|audit| (audit.check)(tree)).collect()
    };
    let asks_cargo = options.selected.iter().any(|audit| audit.needs == Needs::Builds);
    std::thread::scope(|scope| {
        let resolving =
            asks_cargo.then(|| scope.spawn(|| builds::resolve(workspace, settings.ceilings, options.reach)));
        let mut tree = Tree::read(workspace)?;
        let mut findings = judge(Needs::Files, &tree);
        let mut skipped = Vec::new();
        if let Some(resolving) = resolving {
            let answers = resolving.join().map_err(|_| anyhow!("cargo could not be asked"))??;
            tree.builds = answers.builds;
            tree.licensed = answers.licensed;
            tree.foreign = answers.foreign;
            skipped = answers.skipped;
            skipped.sort();
            skipped.dedup();
            findings.extend(judge(Needs::Builds, &tree));
        }
        Ok(Look {
            tree,
            findings,
            skipped,
        })
    })
}

fn parse(args: &[String]) -> anyhow::Result<Options> {
    let mut options = Options {
        selected: Vec::new(),
        reach: workspace::Reach::Offline,
    };
    for arg in args {
        if arg == "--fetch" {
            options.reach = Reach::Network;
        } else if let Some(audit) = AUDITS.iter().find(|audit| audit.name == arg) {
            options.selected.push(audit);
        } else {
            bail!("no audit {arg:?}; `cargo xtask audit --help` lists them");
        }
    }
    if options.selected.is_empty() {
        options.selected = AUDITS.iter().collect();
    }
    Ok(options)
}

fn help() {
    println!("cargo xtask audit [--fetch] [NAME...]      all of them when none is named\n");
    for audit in AUDITS {
        println!("  {:<11} {}", audit.name, audit.promises);
    }
    println!(
        "\n--fetch also resolves the builds with asupersync, downloading that package and reading its files: docs/licensing.md"
    );
}
