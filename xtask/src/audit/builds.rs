//! What cargo resolves for each build, without building anything.

use crate::workspace::{Metadata, Reach, Workspace};

use super::copied;
use super::exceptions::Ceilings;
use super::tree::Text;

/// One platform, so that counts are the same on every machine.
const PLATFORM: &str = "x86_64-unknown-linux-gnu";

/// The packages of one build.
pub struct Build {
    /// The cargo command that lists them; findings name it.
    pub command: String,
    pub features: FeatureSet,
    pub scope: Scope,
    pub packages: Vec<Resolved>,
    /// The most packages allowed.
    pub ceiling: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeatureSet {
    Default,
    Asupersync,
    Both,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The whole `annals` program, build scripts included.
    Program,
    /// One crate and what is linked into it.
    Crate,
}

/// A package with the features that the build turns on; `line` counts in the output of the command.
pub struct Resolved {
    pub name: String,
    pub features: Vec<String>,
    pub line: usize,
}

/// A package and the licence it declares.
pub struct Licensed {
    pub features: FeatureSet,
    pub name: String,
    pub version: String,
    pub licence: String,
    /// Where this was read, for findings.
    pub source: String,
    pub line: usize,
}

/// What was resolved, and what could not be.
pub struct Answers {
    pub builds: Vec<Build>,
    pub licensed: Vec<Licensed>,
    /// The files of asupersync, where its licence was read.
    pub foreign: Vec<Text>,
    pub skipped: Vec<String>,
}

/// Asks cargo. The sets with asupersync need that package on this machine; they are fetched only if `reach` says so,
/// because nobody should get it unasked (docs/licensing.md).
pub fn resolve(workspace: &Workspace, ceilings: Ceilings, reach: Reach) -> anyhow::Result<Answers> {
    let metadata = workspace.metadata()?;
    let mut answers = Answers {
        builds: Vec::new(),
        licensed: licences(&metadata, FeatureSet::Default),
        foreign: Vec::new(),
        skipped: Vec::new(),
    };
    for (features, ceiling) in [
        (FeatureSet::Default, ceilings.default),
        (FeatureSet::Asupersync, ceilings.asupersync),
        (FeatureSet::Both, ceilings.both),
    ] {
        let mut build = tree(workspace, "annals-cli", features, Scope::Program, reach);
        if let Ok(build) = &mut build {
            build.ceiling = Some(ceiling);
        }
        answers.take(features, "annals-cli", build)?;
    }
    for package in metadata.members().filter(|package| is_production(&package.name)) {
        let build = tree(workspace, &package.name, FeatureSet::Asupersync, Scope::Crate, reach);
        answers.take(FeatureSet::Asupersync, &package.name, build)?;
    }
    let full = [
        "metadata",
        "--format-version",
        "1",
        "--features",
        "annals-cli/asupersync",
    ];
    match workspace.cargo_output(&full, reach) {
        Ok(text) => {
            let metadata = Metadata::parse(&text)?;
            answers.licensed.extend(licences(&metadata, FeatureSet::Both));
            if reach == Reach::Network {
                answers.foreign = foreign(&metadata)?;
            }
        }
        Err(error) => answers.skip("licences of the full feature set", &error)?,
    }
    Ok(answers)
}

impl Answers {
    fn take(&mut self, features: FeatureSet, package: &str, build: anyhow::Result<Build>) -> anyhow::Result<()> {
        match build {
            Ok(build) => self.builds.push(build),
            Err(error) if features == FeatureSet::Default => return Err(error),
            Err(error) => self.skip(&format!("{package} on {features:?}"), &error)?,
        }
        Ok(())
    }

    fn skip(&mut self, what: &str, error: &anyhow::Error) -> anyhow::Result<()> {
        anyhow::ensure!(is_not_here(error), "{error:#}");
        self.skipped.push(what.to_owned());
        Ok(())
    }
}

/// Whether cargo failed because a package would have to be fetched first.
pub fn is_not_here(error: &anyhow::Error) -> bool {
    format!("{error:#}").contains("--offline was specified")
}

/// The files of asupersync.
fn foreign(metadata: &Metadata) -> anyhow::Result<Vec<Text>> {
    let package = metadata.packages.iter().find(|package| package.name == "asupersync");
    let folder = package.and_then(|package| package.manifest_path.parent());
    folder.map_or_else(|| Ok(Vec::new()), copied::files)
}

/// Whether users run code of this package.
pub fn is_production(package: &str) -> bool {
    !matches!(package, "xtask" | "annals-tests")
}

/// The packages of one build.
pub fn tree(
    workspace: &Workspace,
    package: &str,
    features: FeatureSet,
    scope: Scope,
    reach: Reach,
) -> anyhow::Result<Build> {
    let edges = match scope {
        Scope::Program => "normal,build",
        Scope::Crate => "normal",
    };
    let mut args = vec!["tree", "-p", package, "-e", edges, "--target", PLATFORM];
    // `annals-core` has no runtime to choose.
    let choose: &[&str] = match features {
        _ if package == "annals-core" => &[],
        FeatureSet::Default => &[],
        FeatureSet::Asupersync => &["--no-default-features", "--features", "asupersync"],
        FeatureSet::Both => &["--features", "asupersync"],
    };
    args.extend(choose);
    let command = format!("cargo {}", args.join(" "));
    args.extend(["--prefix", "none", "--format", "{p}|{f}"]);
    let output = match (features, reach) {
        (FeatureSet::Default, _) | (_, Reach::Network) => workspace.cargo_output_fetching(&args)?,
        (FeatureSet::Asupersync | FeatureSet::Both, Reach::Offline) => workspace.cargo_output(&args, reach)?,
    };
    Ok(Build {
        command,
        features,
        scope,
        packages: packages(&output),
        ceiling: None,
    })
}

/// Reads lines of `name vVERSION …|feature,feature`; a package that stands there twice counts once.
pub fn packages(output: &str) -> Vec<Resolved> {
    let mut seen = std::collections::HashSet::new();
    let mut packages = Vec::new();
    for (index, line) in output.lines().enumerate() {
        let (package, features) = line.split_once('|').unwrap_or((line, ""));
        let mut words = package.split_whitespace();
        let (Some(name), Some(version)) = (words.next(), words.next()) else {
            continue;
        };
        if seen.insert((name, version)) {
            let features = features.trim_end_matches(" (*)").split(',').map(str::trim);
            packages.push(Resolved {
                name: name.to_owned(),
                features: features
                    .filter(|feature| !feature.is_empty())
                    .map(str::to_owned)
                    .collect(),
                line: index + 1,
            });
        }
    }
    packages
}

fn licences(metadata: &Metadata, features: FeatureSet) -> Vec<Licensed> {
    let licensed = metadata.packages.iter().enumerate().map(|(index, package)| Licensed {
        features,
        name: package.name.clone(),
        version: package.version.clone(),
        licence: package.license.clone().unwrap_or_default(),
        source: match features {
            FeatureSet::Default => "cargo metadata".to_owned(),
            FeatureSet::Asupersync | FeatureSet::Both => "cargo metadata --features annals-cli/asupersync".to_owned(),
        },
        line: index + 1,
    });
    licensed.collect()
}

#[cfg(test)]
mod tests {
    use super::packages;

    #[test]
    fn a_package_counts_once_per_version() {
        let output = "annals-cli v0.1.0 (/x)|default,tokio\nsyn v2.0.1|full\nsyn v3.0.0|\nsyn v2.0.1|full (*)\n\n";
        let found: Vec<_> = packages(output)
            .into_iter()
            .map(|found| (found.name, found.features.len()))
            .collect();
        assert_eq!(
            found,
            [
                ("annals-cli".to_owned(), 2),
                ("syn".to_owned(), 1),
                ("syn".to_owned(), 0)
            ]
        );
    }
}
