//! What a program left when it ended.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use serde_json::Value;

/// A program that ended.
#[derive(Debug)]
pub struct Ended {
    /// How it was started, for messages.
    pub what: String,
    /// How it ended.
    pub status: ExitStatus,
    /// What it answered.
    pub stdout: String,
    /// What else it said.
    pub stderr: String,
}

impl Ended {
    /// Its exit code; what a shell makes of one that a signal ended.
    #[must_use]
    pub fn code(&self) -> i32 {
        let signal = || self.status.signal().map(|signal| 128 + signal);
        self.status.code().or_else(signal).expect("it has ended")
    }

    /// The envelope of a command that did what it was asked to.
    pub fn envelope(&self) -> Value {
        assert_eq!(self.code(), 0, "it failed: {self}");
        let mut lines = self.stdout.lines();
        let line = lines.next().unwrap_or_else(|| panic!("it answered nothing: {self}"));
        assert_eq!(lines.next(), None, "one line is one answer: {self}");
        let envelope = json(line, self);
        assert_eq!(envelope["ok"], true, "{self}");
        assert_eq!(envelope["meta"]["schema"], 1, "{self}");
        envelope
    }

    /// The `data` of that envelope.
    pub fn data(&self) -> Value {
        self.envelope()["data"].take()
    }

    /// The `error` of a command that ended with this exit code and this error code.
    pub fn failure(&self, exit: i32, code: &str) -> Value {
        let error = self.error();
        assert_eq!((self.code(), error["code"].as_str()), (exit, Some(code)), "{self}");
        error
    }

    /// The `error` of a command that failed, whatever it was; it is told as every error is.
    pub fn error(&self) -> Value {
        assert_ne!(self.code(), 0, "it did not fail: {self}");
        assert_eq!(self.stdout, "", "a failure answers nothing: {self}");
        let line = self.stderr.lines().last();
        let mut envelope = json(line.unwrap_or_else(|| panic!("it said nothing: {self}")), self);
        assert_eq!(envelope["ok"], false, "{self}");
        let error = envelope["error"].take();
        assert_eq!(error["exit_code"], self.code(), "{self}");
        error
    }
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            what,
            status,
            stdout,
            stderr,
        } = self;
        write!(f, "{what}\n{status}\n-- stdout\n{stdout}\n-- stderr\n{stderr}")
    }
}

fn json(line: &str, ended: &Ended) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{line:?} is no JSON ({error}): {ended}"))
}
