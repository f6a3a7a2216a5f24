//! What was measured, with the circumstances under which it was: JSON files under `target/xtask/evidence/`.
//!
//! `test`, `bench`, `drill` and `kpi` write them, `kpi` and `gate` read them. Nobody writes one by hand, so a figure in a
//! report has always been measured, on the commit and with the lock file that stand beside it.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Workspace;

/// The circumstances of a measurement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// With `-dirty` behind it when the tree was not as committed.
    pub commit: String,
    /// The blob id of `Cargo.lock`.
    pub lock: String,
    pub toolchain: String,
    pub machine: String,
}

/// A file of evidence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    pub schema: u32,
    pub stamp: Stamp,
    pub found: Value,
}

const SCHEMA: u32 = 1;

impl Stamp {
    pub fn now(here: &Workspace) -> anyhow::Result<Self> {
        Ok(Self {
            commit: said(
                here,
                "git",
                &["describe", "--always", "--abbrev=40", "--dirty", "--exclude", "*"],
            )?,
            lock: said(here, "git", &["hash-object", "Cargo.lock"])?,
            toolchain: said(here, "rustc", &["--version"])?,
            machine: machine(),
        })
    }

    /// Why evidence with this stamp says nothing about `now`.
    pub fn differs(&self, now: &Self) -> Option<String> {
        if self.commit != now.commit {
            Some(format!("of another commit, {}", short(&self.commit)))
        } else if self.lock != now.lock {
            Some("of another Cargo.lock".to_owned())
        } else if self.toolchain != now.toolchain {
            Some(format!("of another toolchain, {}", self.toolchain))
        } else {
            None
        }
    }

    pub fn is_dirty(&self) -> bool {
        self.commit.ends_with("-dirty")
    }
}

/// A commit as people write it.
pub fn short(commit: &str) -> String {
    let (hash, dirty) = commit.split_once('-').unwrap_or((commit, ""));
    let hash: String = hash.chars().take(12).collect();
    if dirty.is_empty() {
        hash
    } else {
        format!("{hash}-{dirty}")
    }
}

fn said(here: &Workspace, program: &str, args: &[&str]) -> anyhow::Result<String> {
    let output = Command::new(program)
        .args(args)
        .current_dir(&here.root)
        .output()
        .with_context(|| format!("{program} does not start"))?;
    ensure!(output.status.success(), "`{program} {}` failed", args.join(" "));
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

fn machine() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let model = model.map_or(std::env::consts::ARCH, |(_, name)| name.trim());
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{cores} cores, {model}, {}", std::env::consts::OS)
}

/// The folder of a checkout's evidence.
pub struct Shelf(PathBuf);

impl Shelf {
    pub fn of(here: &Workspace) -> anyhow::Result<Self> {
        let folder = here.metadata()?.target_directory.join("xtask/evidence");
        std::fs::create_dir_all(&folder)?;
        Ok(Self(folder))
    }

    #[cfg(test)]
    pub fn at(folder: PathBuf) -> Self {
        Self(folder)
    }

    /// Puts what was found now in the place of what was found before.
    pub fn put(&self, name: &str, stamp: &Stamp, found: &impl Serialize) -> anyhow::Result<()> {
        let evidence = Evidence {
            schema: SCHEMA,
            stamp: stamp.clone(),
            found: serde_json::to_value(found)?,
        };
        let file = self.0.join(format!("{name}.json"));
        std::fs::write(&file, serde_json::to_vec_pretty(&evidence)?)
            .with_context(|| format!("failed to write {}", file.display()))
    }

    /// Nothing where nothing was measured; a file that cannot be read counts as such.
    pub fn get(&self, name: &str) -> Option<Evidence> {
        let text = std::fs::read(self.0.join(format!("{name}.json"))).ok()?;
        let evidence: Evidence = serde_json::from_slice(&text).ok()?;
        (evidence.schema == SCHEMA).then_some(evidence)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_is_got_and_rubbish_is_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::at(folder.path().to_owned());
        let stamp = Stamp::now(&Workspace::find().unwrap()).unwrap();
        assert_eq!(shelf.get("idle"), None);
        shelf.put("idle", &stamp, &serde_json::json!({"ns": 3})).unwrap();
        let got = shelf.get("idle").unwrap();
        assert_eq!((got.found["ns"].as_u64(), got.stamp.differs(&stamp)), (Some(3), None));
        std::fs::write(folder.path().join("idle.json"), "{}").unwrap();
        assert_eq!(shelf.get("idle"), None);
    }

    #[test]
    fn a_stamp_tells_what_differs() {
        let now = Stamp {
            commit: "a".repeat(40),
            lock: "l".to_owned(),
            toolchain: "t".to_owned(),
            machine: "m".to_owned(),
        };
        let with = |change: fn(&mut Stamp)| {
            let mut other = now.clone();
            change(&mut other);
            other.differs(&now)
        };
        assert_eq!(with(|other| other.machine.clear()), None, "ratios hold on any machine");
        assert_eq!(
            with(|other| other.commit.push_str("-dirty")).unwrap(),
            "of another commit, aaaaaaaaaaaa-dirty"
        );
        assert_eq!(with(|other| other.lock.clear()).unwrap(), "of another Cargo.lock");
        assert!(with(|other| other.toolchain.clear()).is_some());
    }
}
