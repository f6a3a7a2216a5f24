//! A program while it runs.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::ended::Ended;

/// Nothing that these tests start may take longer; one that does hangs.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// A program that was started and is still running. It is killed if the test ends first.
pub struct Running {
    what: String,
    child: Child,
    lines: Receiver<String>,
    stdout: String,
    stderr: Option<JoinHandle<String>>,
    ended: bool,
}

impl Running {
    /// Starts a program with its streams read.
    #[must_use]
    pub fn start(command: &mut Command) -> Self {
        let what = format!("{command:?}");
        let spawned = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = spawned.unwrap_or_else(|error| panic!("{what} does not start: {error}"));
        let stdout = child.stdout.take().unwrap();
        let mut stderr = child.stderr.take().unwrap();
        let (send, lines) = channel();
        std::thread::spawn(move || {
            let mut stdout = BufReader::new(stdout);
            let mut line = Vec::new();
            while stdout.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
                if send.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                    return;
                }
                line.clear();
            }
        });
        let stderr = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            stderr.read_to_end(&mut bytes).unwrap();
            String::from_utf8_lossy(&bytes).into_owned()
        });
        Self {
            what,
            child,
            lines,
            stdout: String::new(),
            stderr: Some(stderr),
            ended: false,
        }
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next line of its standard output.
    pub fn line(&mut self) -> String {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => {
                self.stdout.push_str(&line);
                line
            }
            Err(RecvTimeoutError::Timeout) => panic!("{} says nothing", self.what),
            Err(RecvTimeoutError::Disconnected) => {
                self.child.wait().unwrap();
                let said = self.said();
                panic!("{} ended: {said}", self.what);
            }
        }
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Sends a signal, as a terminal, a service manager or an impatient person does.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits until a signal would be handled: before that it ends a program as it ends any other. Elsewhere than on
    /// Linux nobody can tell.
    pub fn wait_for_handler(&mut self) {
        let status = format!("/proc/{}/status", self.pid());
        while !self.has_ended() {
            let Ok(text) = std::fs::read_to_string(&status) else {
                return;
            };
            let caught = text.lines().find_map(|line| line.strip_prefix("SigCgt:"));
            let caught = caught
                .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
                .unwrap_or_default();
            if caught & (1 << (Signal::INT.as_raw() - 1)) != 0 {
                return;
            }
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    /// Kills it at once and waits for its end.
    #[must_use]
    pub fn kill(self) -> Ended {
        self.signal(Signal::KILL);
        self.wait()
    }

    /// Waits for its end.
    #[must_use]
    pub fn wait(self) -> Ended {
        self.wait_within(PATIENCE)
    }

    /// Waits for its end no longer than this.
    ///
    /// # Panics
    /// When it still runs then, or says that it left something running behind.
    #[must_use]
    pub fn wait_within(mut self, patience: Duration) -> Ended {
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if start.elapsed() > patience {
                self.child.kill().unwrap();
                self.child.wait().unwrap();
                let said = self.said();
                panic!("still running after {patience:?}: {}\n{said}", self.what);
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        self.ended = true;
        let stderr = self.said();
        while let Ok(line) = self.lines.recv() {
            self.stdout.push_str(&line);
        }
        let (what, stdout) = (std::mem::take(&mut self.what), std::mem::take(&mut self.stdout));
        // What a runtime could not end it names: an error of a failure, a warning of a success.
        for said in [&stderr, &stdout] {
            let line = said
                .lines()
                .find(|line| line.contains("ended without waiting any longer for"));
            assert_eq!(line, None, "left behind by {what}");
        }
        Ended {
            what,
            status,
            stdout,
            stderr,
        }
    }

    /// What it said on standard error; it must have ended.
    fn said(&mut self) -> String {
        self.ended = true;
        self.stderr
            .take()
            .map(|stderr| stderr.join().unwrap())
            .unwrap_or_default()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.ended {
            // It may have ended meanwhile; then there is nothing to kill.
            self.child.kill().ok();
            self.child.wait().ok();
        }
    }
}

/// Waits until something holds.
///
/// # Panics
/// When it does not within [`PATIENCE`].
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "never: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
