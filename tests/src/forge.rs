//! A forge to mirror, in a process of its own.

use std::path::PathBuf;
use std::process::Command;

use annals_testkit::forge::{GenSpec, State};
use serde_json::Value;

use crate::http::{self, Connection};
use crate::program::forge_sim_bin;
use crate::running::Running;

/// A forge that listens; it is gone when this is.
pub struct Forge {
    url: String,
    path: String,
    _process: Running,
}

/// The seed of every generated project; with this one an early issue is confidential.
const SEED: u64 = 8;

impl Forge {
    /// A generated project of this size; [`Self::state`] knows every byte of it.
    #[must_use]
    pub fn generated(issues: u32, merge_requests: u32, more: &[&str]) -> Self {
        let mut command = Command::new(forge_sim_bin());
        command.args(["--seed", &SEED.to_string(), "--issues", &issues.to_string()]);
        command.args(["--mrs", &merge_requests.to_string()]).args(more);
        let path = GenSpec::new(SEED).path;
        Self::started(&mut command, &path)
    }

    /// What a generated project holds when nobody has changed it.
    #[must_use]
    pub fn state(issues: u32, merge_requests: u32) -> State {
        State::generated(GenSpec::new(SEED).sized(issues, merge_requests))
    }

    /// The forge's id of a generated project, as the mirror keeps it.
    #[must_use]
    pub fn native_id() -> String {
        GenSpec::new(SEED).project_id.to_string()
    }

    /// The forge that answers with payloads recorded from a real project; none where the recording is not at hand, and
    /// why.
    ///
    /// # Errors
    /// What is missing, and how to get it.
    pub fn recorded() -> Result<Self, [&'static str; 2]> {
        let script = PathBuf::from(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../shared/tools/recorded-forge.py"
        ));
        if !script.is_file() {
            return Err([
                "no ../shared/tools/recorded-forge.py",
                "put the recorded forge beside the checkout",
            ]);
        }
        if Command::new("python3").arg("--version").output().is_err() {
            return Err(["no python3", "apt-get install python3"]);
        }
        let mut command = Command::new("python3");
        command.arg(script).args(["--port", "0"]);
        Ok(Self::started(&mut command, "fdroid/fdroiddata"))
    }

    fn started(command: &mut Command, path: &str) -> Self {
        let mut process = Running::start(command.stdin(std::process::Stdio::null()));
        let line = process.line();
        let url = line
            .trim_end()
            .strip_prefix("listening on ")
            .expect("a forge says where it listens");
        Self {
            url: url.to_owned(),
            path: path.to_owned(),
            _process: process,
        }
    }

    /// Where it listens, `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The path of its project.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The address of its project, as a person would paste it.
    #[must_use]
    pub fn project_url(&self) -> String {
        format!("{}/{}", self.url, self.path)
    }

    /// The forge in `annals.toml`, with no more politeness than a test has time for.
    #[must_use]
    pub fn config(&self) -> String {
        format!(
            "[forges.sim]\nkind = \"gitlab\"\nbase_url = \"{}\"\nwindow = \"100000/s\"\n",
            self.url
        )
    }

    /// What it was asked so far.
    #[must_use]
    pub fn stats(&self) -> Value {
        http::get(&self.url, "/-/stats").json()
    }

    /// From now on, and instead of what went wrong before, these requests go wrong: `stall`, `*/issues?*`, `nth:3`. Several
    /// faults are separated by commas.
    pub fn go_wrong(&self, fault: &str, target: &str, when: &str) {
        let target = target.replace('?', "%3F");
        let asked = http::get(
            &self.url,
            &format!("/-/faults?fault={fault}&target={target}&when={when}"),
        );
        assert_eq!(asked.status, 200, "{fault} {target} {when}: {}", asked.text());
    }

    /// From now on nothing goes wrong.
    pub fn behave(&self) {
        assert_eq!(http::get(&self.url, "/-/faults").status, 200);
    }

    /// How often a fault has happened.
    #[must_use]
    pub fn struck(&self, fault: &str) -> u64 {
        self.stats()["faults"][fault].as_u64().unwrap_or(0)
    }

    /// How often the paths that end so were asked for.
    #[must_use]
    pub fn asked(&self, end: &str) -> u64 {
        let stats = self.stats();
        let paths = stats["by_path"].as_object().expect("paths").iter();
        paths
            .filter(|(path, _)| path.ends_with(end))
            .filter_map(|(_, count)| count.as_u64())
            .sum()
    }

    /// Those who edit the project.
    #[must_use]
    pub fn people(&self) -> People {
        People(Connection::open(&self.url))
    }

    /// What a whole mirror of it holds now, as [`crate::Mirror::model`] tells it.
    #[must_use]
    pub fn model(&self) -> String {
        http::get(&self.url, "/-/model").text()
    }

    /// A connection to watch it by.
    #[must_use]
    pub fn watch(&self) -> Watch {
        Watch(Connection::open(&self.url))
    }
}

/// Somebody who looks at what the forge is asked.
pub struct Watch(Connection);

impl Watch {
    /// How many requests it has got.
    pub fn requests(&mut self) -> u64 {
        self.0.get("/-/stats", &[]).json()["requests"]
            .as_u64()
            .expect("a count")
    }
}

/// People at work on the project of a forge.
pub struct People(Connection);

impl People {
    /// Makes so many edits. Returns how many were ever made.
    pub fn churn(&mut self, edits: u64) -> u64 {
        let done = self.0.get(&format!("/-/churn?edits={edits}"), &[]);
        done.text().parse().expect("a count")
    }
}
