//! What the documents show is what the commands print.
//!
//! A block of a document that begins with ```` ```console ```` and `$ ` is a transcript. The transcripts of one document are run
//! in their order, in one folder, against one forge with the sample project, as its reader runs them; what is printed on
//! either stream must be what is shown. [`Transcript`] says what may differ, and what a cut looks like.
//!
//! To write what the commands print now into the documents: `ANNALS_WRITE_DOCS=1 cargo test -p annals-cli transcripts`.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use annals_testkit::forge::SimOptions;

use crate::support::forge::sample_forge;
use crate::support::transcript::{Document, Transcript, lasting};
use crate::support::{Desk, skip};

/// For whom a document is, and so for whom its commands answer where they are not told.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reader {
    /// Sits at a terminal.
    Person,
    /// Reads what commands print.
    Program,
}

/// The address at which the forge of the documents listens. That of a test listens elsewhere.
const SHOWN_FORGE: &str = "127.0.0.1:18473";

/// What shows signals and both runtimes, by hand: a build has one, and what a signal interrupts is not the same twice.
const NOT_RUN: &str = "docs/runtime.md";

/// What the documents show for the folder in which the commands run.
const SHOWN_FOLDER: &str = "/home/you";

#[test]
fn transcripts_of_the_readme_are_what_the_commands_print() {
    check("README.md", Reader::Person);
}

#[test]
fn transcripts_of_the_guide_are_what_the_commands_print() {
    check("docs/guide.md", Reader::Person);
}

#[test]
fn transcripts_of_the_agent_guide_are_what_the_commands_print() {
    check("docs/agents.md", Reader::Program);
}

#[test]
fn every_document_with_transcripts_is_checked() {
    let mut with: Vec<String> = Vec::new();
    for folder in ["", "docs", "docs/contributing", "docs/adr"] {
        for entry in std::fs::read_dir(root().join(folder)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if name.ends_with(".md") {
                let name = Path::new(folder).join(name).display().to_string();
                if !Document::read(&root().join(&name)).transcripts().is_empty() {
                    with.push(name);
                }
            }
        }
    }
    with.sort();
    assert_eq!(with, ["README.md", "docs/agents.md", "docs/guide.md", NOT_RUN]);
}

#[test]
fn the_demo_shows_the_search_of_the_readme() {
    let desk = Desk::empty();
    let ended = desk.run("demo --exit --human");
    assert_eq!(ended.code, 0, "{ended:?}");
    let readme = Document::read(&root().join("README.md"));
    let search = readme
        .transcripts()
        .into_iter()
        .find(|shown| shown.command.contains("search"));
    let Transcript { command, shown, .. } = search.expect("a search in the README");
    let demo = lasting(&ended.stdout);
    assert!(demo.contains(&lasting(&command)), "{demo}");
    let first = shown.lines().take(3).collect::<Vec<_>>().join("\n");
    assert!(demo.contains(&lasting(&first)), "{first} is not in {demo}");
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Runs the transcripts of a document, or writes them anew.
fn check(name: &str, reader: Reader) {
    let mut document = Document::read(&root().join(name));
    let transcripts = document.transcripts();
    assert!(!transcripts.is_empty(), "{name} has no transcript");
    let mut shell = Shell {
        desk: Desk::empty(),
        forge: sample_forge(SimOptions::default()).replace("http://", ""),
        reader,
        exported: String::new(),
    };
    let (mut last, mut wrong, mut printed) = (0, Vec::new(), Vec::new());
    for transcript in &transcripts {
        let Some((code, said)) = shell.run(&transcript.command, last) else {
            printed.push(transcript.shown.clone());
            continue;
        };
        last = code;
        let said = transcript.cut_as_shown(&said);
        if lasting(&said) != lasting(&transcript.shown) {
            let (line, shown) = (transcript.line, &transcript.shown);
            wrong.push(format!(
                "{name}:{line}: $ {}\n--- shown\n{shown}\n--- printed\n{said}",
                transcript.command
            ));
            printed.push(said);
        } else {
            printed.push(transcript.shown.clone());
        }
    }
    if std::env::var_os("ANNALS_WRITE_DOCS").is_some() {
        return document.write(&printed);
    }
    assert!(
        wrong.is_empty(),
        "ANNALS_WRITE_DOCS=1 cargo test -p annals-cli transcripts, if this is as it should be:\n\n{}",
        wrong.join("\n\n")
    );
}

/// Where the commands of a document are run.
struct Shell {
    desk: Desk,
    /// Where the forge really is.
    forge: String,
    reader: Reader,
    /// The `export` lines so far: each command has a shell of its own.
    exported: String,
}

impl Shell {
    /// Runs a command after one that ended with `last`: its exit code and what it printed; none where a tool is missing.
    fn run(&mut self, command: &str, last: i32) -> Option<(i32, String)> {
        let real = self.real(command);
        if let Some(address) = real.strip_prefix("curl -s ") {
            return Some((0, get(address.trim_matches('\''))));
        }
        if command.contains("| jq ") && Command::new("jq").arg("--version").output().is_err() {
            skip("transcripts", "no jq", "apt-get install jq");
            return None;
        }
        let script = format!("exec 2>&1\n{}(exit {last})\n{real}\n", self.exported);
        if command.starts_with("export ") {
            self.exported.push_str(&real);
            self.exported.push('\n');
        }
        let like = self.desk.annals(["version"]);
        let annals = PathBuf::from(like.get_program());
        let folders = [annals.parent().unwrap().to_owned()].into_iter();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths(folders.chain(std::env::split_paths(&path))).unwrap();
        let mut command = Command::new("sh");
        command.env_clear();
        for (name, value) in like.get_envs() {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        command.env("PATH", path);
        if self.reader == Reader::Person {
            command.env("ANNALS_ROBOT", "0");
        }
        let output = command
            .args(["-c", &script])
            .current_dir(self.desk.folder.path())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        Some((output.status.code().unwrap_or(-1), self.shown(&said)))
    }

    /// What a reader types, as it has to be here.
    fn real(&self, text: &str) -> String {
        renamed(text, SHOWN_FORGE, &self.forge)
    }

    /// What was printed here, as a reader sees it.
    fn shown(&self, text: &str) -> String {
        let folder = self.desk.folder.path().display().to_string();
        renamed(text, &self.forge, SHOWN_FORGE).replace(&folder, SHOWN_FOLDER)
    }
}

/// With another address, also in the names that are made of one.
fn renamed(text: &str, from: &str, to: &str) -> String {
    let name = |address: &str, sign: &str| address.replace(['.', ':'], sign);
    text.replace(from, to)
        .replace(&name(from, "-"), &name(to, "-"))
        .replace(&name(from, "_"), &name(to, "_"))
}

/// The body of what is at an address of the forge that only a simulated one has.
fn get(address: &str) -> String {
    let (host, path) = address.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    write!(
        stream,
        "GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{address}: {head}");
    body.to_owned()
}
