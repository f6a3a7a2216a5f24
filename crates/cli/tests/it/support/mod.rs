//! What the tests of the command share: a desk with an empty home, and a mirror of the sample project to read from.

pub mod forge;
pub mod transcript;

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::TempDir;

/// A folder to work in, which is home too.
pub struct Desk {
    pub folder: TempDir,
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Desk {
    /// With nothing in it.
    pub fn empty() -> Self {
        Self {
            folder: TempDir::new().unwrap(),
        }
    }

    /// With a mirror of the sample project in `annals.db`, and a configuration that names it.
    pub fn with_mirror() -> Self {
        let desk = Self::empty();
        std::fs::copy(sample(), desk.path("annals.db")).unwrap();
        std::fs::write(desk.path("annals.toml"), "[db]\npath = \"annals.db\"\n").unwrap();
        desk
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `annals` with these arguments, the same on every machine.
    pub fn annals<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_annals"));
        command.env_clear();
        // Where a program may find its libraries, and the runtime that this run is about.
        for (name, value) in std::env::vars_os() {
            let name_text = name.to_string_lossy();
            let kept = ["PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "LLVM_PROFILE_FILE"].contains(&&*name_text);
            if kept || name_text.starts_with("ANNALS_RUNTIME__") {
                command.env(&name, value);
            }
        }
        command
            .env("HOME", self.folder.path())
            .current_dir(self.folder.path())
            .args(args)
            .stdin(Stdio::null());
        command
    }

    /// Runs the words of a line.
    pub fn run(&self, line: &str) -> Ended {
        self.run_words(line.split_whitespace())
    }

    pub fn run_words<S: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = S>) -> Ended {
        Ended::of(self.annals(words).output().unwrap())
    }

    /// The file of the mirror, for a test that puts something special into it.
    pub fn sql(&self, sql: &str) {
        let conn = rusqlite::Connection::open(self.path("annals.db")).unwrap();
        conn.execute_batch(sql).unwrap();
        conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
            .unwrap();
    }
}

impl Ended {
    pub fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// The envelope of a success: the one line of standard output.
    pub fn envelope(&self) -> Value {
        assert_eq!(self.code, 0, "{self:?}");
        assert_eq!(self.stdout.matches('\n').count(), 1, "{self:?}");
        let envelope: Value = serde_json::from_str(&self.stdout).unwrap();
        assert_eq!(envelope["ok"], true);
        envelope
    }

    /// The data of a success.
    pub fn data(&self) -> Value {
        self.envelope()["data"].clone()
    }

    /// The envelope of a failure: nothing on standard output, the last line of standard error.
    pub fn failure(&self) -> Value {
        assert_eq!(self.stdout, "", "{self:?}");
        let line = self
            .stderr
            .lines()
            .last()
            .unwrap_or_else(|| panic!("nothing was said: {self:?}"));
        let envelope: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {self:?}"));
        assert_eq!(envelope["ok"], false);
        assert_eq!(envelope["error"]["exit_code"], self.code, "{self:?}");
        envelope
    }

    /// The error of a failure.
    pub fn error(&self) -> Value {
        self.failure()["error"].clone()
    }

    /// Its code.
    pub fn code_of_error(&self) -> String {
        self.error()["code"].as_str().unwrap().to_owned()
    }
}

/// The mirror of the sample project, made once per run of the tests.
fn sample() -> &'static Path {
    static SAMPLE: OnceLock<(Desk, PathBuf)> = OnceLock::new();
    let (_, file) = SAMPLE.get_or_init(|| {
        let desk = Desk::empty();
        let ended = desk.run("demo --exit --db sample.db");
        assert_eq!(ended.code, 0, "{ended:?}");
        let file = desk.path("sample.db");
        (desk, file)
    });
    file
}

/// Says that a test cannot run here, and how it could; `cargo xtask test` collects that.
pub fn skip(test: &str, reason: &str, how: &str) {
    let line = format!("{test}\t{reason}\t{how}\n");
    std::io::stderr()
        .write_all(format!("SKIPPED {line}").as_bytes())
        .unwrap();
    if let Some(file) = std::env::var_os("ANNALS_SKIP_LOG") {
        let mut file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(file)
            .unwrap();
        file.write_all(line.as_bytes()).unwrap();
    }
}

/// Every leaf of a value by its dotted name, passing through lists.
pub fn leaves(value: &Value, name: &str, all: &mut std::collections::BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (member, value) in members {
                let name = if name.is_empty() {
                    member.clone()
                } else {
                    format!("{name}.{member}")
                };
                leaves(value, &name, all);
            }
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            items.iter().for_each(|item| leaves(item, name, all));
        }
        _ => {
            all.insert(name.to_owned());
        }
    }
}
