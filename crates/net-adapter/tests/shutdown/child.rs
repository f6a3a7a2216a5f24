//! This program once more, as a child that plays a role and says where it is.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child as Process, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use annals_net_adapter::{BackendKind, RuntimeSection, Runtimes, ShutdownBudget, Stage};
use rustix::process::{Pid, Signal, kill_process};

/// No child may need longer for anything; one that does hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// Longer than any test: a stage that nobody waits for.
pub const FOR_EVER: Duration = Duration::from_secs(3600);

const ROLE: &str = "ANNALS_TEST_ROLE";

/// What marks a line of the child's own among those of the test harness.
const MARK: &str = "> ";

/// A running child. It is killed if the test ends first.
pub struct Child {
    process: Process,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Child {
    /// Runs the test of that name with a role, which it takes from [`role`].
    pub fn start(test: &str, kind: BackendKind, role: &str) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env(ROLE, format!("{kind} {role}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (process.stdin.take(), process.stdout.take().unwrap());
        let (send, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if let Some(said) = line.strip_prefix(MARK)
                    && send.send(said.to_owned()).is_err()
                {
                    return;
                }
            }
        });
        Self { process, input, lines }
    }

    /// Waits until it says exactly this.
    #[track_caller]
    pub fn hear(&self, expected: &str) {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(said) => assert_eq!(said, expected),
            Err(RecvTimeoutError::Timeout) => panic!("it never says {expected:?}"),
            Err(RecvTimeoutError::Disconnected) => panic!("it ended before {expected:?}"),
        }
    }

    /// Waits until it has said all of these, in whatever order.
    #[track_caller]
    pub fn hear_all(&self, expected: &[&str]) {
        let mut said: Vec<_> = expected
            .iter()
            .map(|word| {
                self.lines
                    .recv_timeout(PATIENCE)
                    .unwrap_or_else(|error| panic!("it never says one of {expected:?}, such as {word:?}: {error}"))
            })
            .collect();
        let mut expected = expected.to_vec();
        said.sort_unstable();
        expected.sort_unstable();
        assert_eq!(said, expected);
    }

    /// Has [`told`] return.
    pub fn tell(&mut self, word: &str) {
        writeln!(self.input.as_mut().unwrap(), "{word}").unwrap();
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).unwrap();
    }

    /// Waits for its end; its exit code, and what it had still to say.
    #[track_caller]
    pub fn end(mut self) -> (Option<i32>, Vec<String>) {
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                break status;
            }
            assert!(begun.elapsed() < PATIENCE, "it never ends");
            thread::sleep(Duration::from_millis(1));
        };
        (status.code(), self.lines.iter().collect())
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // It may have ended meanwhile; then there is nothing to kill.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// The role this process is to play, if it is a child.
pub fn role() -> Option<(BackendKind, String)> {
    let asked = std::env::var(ROLE).ok()?;
    let (kind, role) = asked.split_once(' ').unwrap();
    Some((kind.parse().unwrap(), role.to_owned()))
}

/// In a child: says a line to the test.
pub fn say(what: impl std::fmt::Display) {
    let mut out = std::io::stdout().lock();
    // The harness may stand in the middle of a line.
    writeln!(out, "\n{MARK}{what}").unwrap();
    out.flush().unwrap();
}

/// In a child: waits for the next word of the test. Blocks.
pub fn told() -> String {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    line.trim_end().to_owned()
}

/// In a child: its runtimes, with two workers and two blocking threads, and signals that end it in these stages.
pub fn runtimes(kind: BackendKind, shutdown: ShutdownBudget) -> Runtimes {
    let section = RuntimeSection {
        default: kind,
        workers: 2,
        max_blocking: 2,
        shutdown,
        ..RuntimeSection::default()
    };
    let runtimes = Runtimes::start(&section).unwrap();
    runtimes.handle_signals().unwrap();
    runtimes
}

/// In a child: has a thread of no runtime say when the drain has begun.
pub fn say_when_draining(runtimes: &Runtimes) -> JoinHandle<()> {
    let shutdown = runtimes.shutdown_signal().clone();
    thread::spawn(move || {
        while shutdown.stage() == Stage::Running {
            thread::sleep(Duration::from_millis(1));
        }
        say(format!("draining {:?}", shutdown.signal().unwrap()));
    })
}
