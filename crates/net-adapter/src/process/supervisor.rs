//! The thread beside a child process: starts it, moves its bytes, ends it when it has to, reaps it.
//!
//! The kernel ties the signal that a child gets when its parent dies to the *thread* that started it, so the thread that
//! waits is the one that starts. A second thread only waits for the exit and leaves the child unreaped: until then its
//! number, which is also the group's, belongs to nobody else.

use std::io::{self, ErrorKind, PipeReader, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use annals_core::{MonoTime, OutcomeKind};
use bytes::Bytes;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, waitid};

use super::shared::{Reading, Shared, Stop, WINDOW, signal};
use super::spec::{CommandSpec, ProcError, ProcStatus};
use crate::Cx;
use crate::region::Live;
use crate::sync::SemPermit;

/// How long somebody may take to let go of the pipes of a process that is over.
const REST: Duration = Duration::from_millis(500);

/// The most a pipe holds (pipe(7)).
const FULLEST_PIPE: usize = 1 << 20;

/// What holds until the child is reaped.
pub(super) struct Duties {
    pub(super) live: Live,
    pub(super) place: SemPermit,
}

/// Starts the thread.
pub(super) fn start(
    cx: Cx,
    spec: CommandSpec,
    shared: Arc<Shared>,
    ear: PipeReader,
    duties: Duties,
) -> Result<(), ProcError> {
    let thread = thread::Builder::new().name("annals-child".into());
    let work = move || {
        let begun = cx.now();
        duties.live.record.wake_on_kill(shared.clone().into());
        let child = spawn(&spec, &shared);
        let ended = child.and_then(|child| {
            let ended = supervise(cx.clone(), spec, &shared, ear, child);
            ended.map_err(ProcError::Io)
        });
        let outcome = match &ended {
            Ok((_, None)) => OutcomeKind::Ok,
            Ok((_, Some(Stop::Cancelled(_) | Stop::Dropped(_)))) | Err(ProcError::Cancelled(_)) => {
                OutcomeKind::Cancelled
            }
            Ok((_, Some(Stop::Timeout(_) | Stop::TooLarge(_)))) | Err(_) => OutcomeKind::Err,
        };
        let elapsed = cx.now().since(begun);
        drop(duties.place);
        duties.live.finish(outcome, None);
        let ended = ended.and_then(|(status, stopped)| match stopped {
            None => Ok((status, elapsed)),
            Some(why) => Err(why.error()),
        });
        shared.tell(|state| state.ended = Some(ended));
    };
    thread.spawn(work).map(drop).map_err(ProcError::Spawn)
}

fn spawn(spec: &CommandSpec, shared: &Shared) -> Result<Child, ProcError> {
    // Nobody wants it any more.
    if let Some(stop) = &shared.lock().stop {
        return Err(stop.error());
    }
    let mut command = Command::new(&spec.program);
    command.args(&spec.args).env_clear();
    command.envs(spec.env.iter().map(|(name, value)| (name, value)));
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command.process_group(0);
    if let Some(cwd) = &spec.cwd {
        command.current_dir(cwd);
    }
    die_with_parent(&mut command);
    command.spawn().map_err(|error| {
        // A missing directory looks the same.
        let misplaced = spec.cwd.as_ref().is_some_and(|cwd| !cwd.is_dir());
        if error.kind() == ErrorKind::NotFound && !misplaced {
            ProcError::NotFound(spec.program.to_string_lossy().into_owned())
        } else {
            ProcError::Spawn(error)
        }
    })
}

#[cfg(target_os = "linux")]
#[expect(
    unsafe_code,
    reason = "the death signal can only be set in the child, between fork and exec"
)]
fn die_with_parent(command: &mut Command) {
    let parent = rustix::process::getpid();
    let set = move || {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        // It may have died before the signal was asked for.
        if rustix::process::getppid() == Some(parent) {
            Ok(())
        } else {
            Err(io::Error::from(rustix::io::Errno::SRCH))
        }
    };
    // SAFETY: between fork and exec only async-signal-safe things may be done; the closure makes two system calls and
    // neither allocates nor locks.
    unsafe { command.pre_exec(set) };
}

#[cfg(not(target_os = "linux"))]
fn die_with_parent(_: &mut Command) {}

fn supervise(
    cx: Cx,
    spec: CommandSpec,
    shared: &Arc<Shared>,
    ear: PipeReader,
    mut child: Child,
) -> io::Result<(ProcStatus, Option<Stop>)> {
    let pid = Pid::from_child(&child);
    shared.lock().unreaped = Some(pid);
    let now = cx.now();
    let mut supervisor = Supervisor {
        stdin: child.stdin.take(),
        stdout: child.stdout.take(),
        stderr: child.stderr.take(),
        pid,
        ear,
        shared,
        written: 0,
        timeout_at: now.after(spec.timeout),
        phase: Phase::Running,
        cx,
        spec,
    };
    let supervised = supervisor.prepare().and_then(|()| {
        shared.tell(|state| state.started = Some(child.id()));
        supervisor.run()
    });
    // What is left of the group has no reason to be: its leader is over, or is to be.
    signal(pid, Signal::KILL);
    // Reaped, its number may be another's: from here on nobody sends it anything.
    shared.lock().unreaped = None;
    let status = child.wait()?;
    supervised?;
    let status = match (status.code(), status.signal()) {
        (Some(code), _) => ProcStatus::Code(code),
        (None, signal) => ProcStatus::Signal(signal.unwrap_or(0)),
    };
    // A stop that nobody obeyed came too late.
    let stopped = {
        let state = shared.lock();
        let obeyed = supervisor.is_ending() || state.killed;
        state.stop.clone().filter(|_| obeyed)
    };
    Ok((status, stopped))
}

struct Supervisor<'a> {
    cx: Cx,
    spec: CommandSpec,
    shared: &'a Arc<Shared>,
    pid: Pid,
    ear: PipeReader,
    stdin: Option<ChildStdin>,
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
    written: u64,
    timeout_at: MonoTime,
    phase: Phase,
}

#[derive(Clone, Copy)]
enum Phase {
    Running,
    /// It was asked to end, and has until then.
    Asked(MonoTime),
    Killed,
    /// It ended by itself; its pipes are read until then.
    Over(MonoTime),
}

impl Supervisor<'_> {
    fn prepare(&self) -> io::Result<()> {
        for end in [
            self.stdin.as_ref().map(std::os::fd::AsFd::as_fd),
            self.stdout.as_ref().map(std::os::fd::AsFd::as_fd),
            self.stderr.as_ref().map(std::os::fd::AsFd::as_fd),
        ] {
            end.map_or(Ok(()), |end| rustix::io::ioctl_fionbio(end, true))?;
        }
        let (shared, pid) = (self.shared.clone(), self.pid);
        let wait = move || {
            let over = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            while matches!(waitid(WaitId::Pid(pid), over), Err(rustix::io::Errno::INTR)) {}
            shared.lock().exited = true;
            shared.ring();
        };
        thread::Builder::new()
            .name("annals-child-exit".into())
            .spawn(wait)
            .map(drop)
    }

    fn is_ending(&self) -> bool {
        matches!(self.phase, Phase::Asked(_) | Phase::Killed)
    }

    /// Until the process is over and everything it wrote was read, or nobody wants it any more.
    fn run(&mut self) -> io::Result<()> {
        loop {
            self.obey();
            if self.shared.lock().exited {
                break;
            }
            self.move_bytes()?;
        }
        if self.is_ending() {
            return Ok(());
        }
        self.read_the_rest()
    }

    /// The process has ended by itself: what it wrote is in the pipes, whether or not its caller has room for it. Who is
    /// left of its group and still holds them is killed; who has left the group may hold them as long as he likes.
    fn read_the_rest(&mut self) -> io::Result<()> {
        signal(self.pid, Signal::KILL);
        self.stdin = None;
        self.shared.tell(|state| state.input_refused = true);
        let until = self.cx.now().after(REST);
        self.phase = Phase::Over(until);
        let mut buffer = vec![0; 64 << 10];
        for _ in 0..FULLEST_PIPE / buffer.len() {
            self.hear(&mut buffer);
            self.hear_errors(&mut buffer);
        }
        let is_wanted = || {
            let state = self.shared.lock();
            !state.killed && state.stop.is_none()
        };
        while (self.stdout.is_some() || self.stderr.is_some()) && self.cx.now() < until && is_wanted() {
            self.move_bytes()?;
        }
        if matches!(self.shared.lock().stop, Some(Stop::TooLarge(_))) {
            self.phase = Phase::Killed;
        }
        Ok(())
    }

    /// Ends the process when it has to end, first kindly.
    fn obey(&mut self) {
        let now = self.cx.now();
        // A deadline raises the cancellation of whoever looks, and the caller may not look.
        if let Some(reason) = self.cx.cancel_reason() {
            self.shared.lock().stop.get_or_insert(Stop::Cancelled(reason));
        }
        if now >= self.timeout_at {
            let timeout = Stop::Timeout(self.spec.timeout);
            self.shared.lock().stop.get_or_insert(timeout);
        }
        let (stop, killed) = {
            let state = self.shared.lock();
            (state.stop.is_some(), state.killed)
        };
        match self.phase {
            Phase::Running | Phase::Asked(_) if killed => self.end(Signal::KILL, Phase::Killed),
            Phase::Running if stop => {
                // Half of what a shutdown still has: its regions wait longer than that, and see it reaped.
                let shutdown = self.cx.shutdown();
                let grace = shutdown.clamp(self.spec.grace.saturating_mul(2), now) / 2;
                self.end(Signal::TERM, Phase::Asked(now.after(grace)));
            }
            Phase::Asked(until) if now >= until => self.end(Signal::KILL, Phase::Killed),
            Phase::Running | Phase::Asked(_) | Phase::Killed | Phase::Over(_) => {}
        }
    }

    fn end(&mut self, how: Signal, next: Phase) {
        signal(self.pid, how);
        self.phase = next;
        self.stdin = None;
        self.shared.tell(|state| state.input_refused = true);
    }

    /// How long nothing has to be looked at unless a pipe says so.
    fn patience(&self) -> Option<Duration> {
        let until = match self.phase {
            Phase::Killed => return None,
            Phase::Asked(until) | Phase::Over(until) => until,
            Phase::Running => self
                .cx
                .budget()
                .deadline
                .map_or(self.timeout_at, |d| d.min(self.timeout_at)),
        };
        // A millisecond more, so that the time has come when it is over.
        Some(until.since(self.cx.now()) + Duration::from_millis(1))
    }

    fn move_bytes(&mut self) -> io::Result<()> {
        let (has_input, input_open, full) = {
            let state = self.shared.lock();
            let full = state.reading == Reading::Pieces && state.unread() >= WINDOW;
            (!state.input.is_empty(), state.input_open, full)
        };
        let is_running = matches!(self.phase, Phase::Running);
        if !has_input && !input_open {
            self.stdin = None;
        }
        let ready = {
            let mut ends = vec![(End::Bell, PollFd::new(&self.ear, PollFlags::IN))];
            if let Some(stdin) = &self.stdin {
                // Without input it is still told when the process reads no more.
                let when = if has_input { PollFlags::OUT } else { PollFlags::empty() };
                ends.push((End::Input, PollFd::new(stdin, when)));
            }
            if let Some(stdout) = self.stdout.as_ref().filter(|_| !full || !is_running) {
                ends.push((End::Output, PollFd::new(stdout, PollFlags::IN)));
            }
            if let Some(stderr) = &self.stderr {
                ends.push((End::Errors, PollFd::new(stderr, PollFlags::IN)));
            }
            let (which, mut fds): (Vec<_>, Vec<_>) = ends.into_iter().unzip();
            let patience = self.patience().map(timespec);
            match poll(&mut fds, patience.as_ref()) {
                Ok(_) => {}
                Err(rustix::io::Errno::INTR) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
            let answered = which.into_iter().zip(&fds).filter(|(_, fd)| !fd.revents().is_empty());
            answered.map(|(end, _)| end).collect::<Vec<_>>()
        };
        let mut buffer = vec![0; 64 << 10];
        for end in ready {
            match end {
                End::Bell => drop(self.ear.read(&mut buffer)),
                End::Input => self.feed(),
                End::Output => self.hear(&mut buffer),
                End::Errors => self.hear_errors(&mut buffer),
            }
        }
        Ok(())
    }

    /// Gives the process what it can take.
    fn feed(&mut self) {
        let next = self.shared.lock().input.front().cloned();
        // Nothing to write, and yet the pipe has something to say: nobody reads it any more.
        let written = match (&mut self.stdin, &next) {
            (Some(stdin), Some(bytes)) => stdin.write(bytes),
            _ => Err(ErrorKind::BrokenPipe.into()),
        };
        match written {
            Ok(n) => self.shared.tell(|state| {
                if let Some(mut bytes) = state.input.pop_front().filter(|bytes| n < bytes.len()) {
                    state.input.push_front(bytes.split_off(n));
                }
            }),
            Err(error) if is_passing(&error) => {}
            Err(_) => {
                self.stdin = None;
                self.shared.tell(|state| {
                    state.input_refused = true;
                    state.input.clear();
                });
            }
        }
    }

    fn hear(&mut self, buffer: &mut [u8]) {
        let Some(stdout) = &mut self.stdout else { return };
        match stdout.read(buffer) {
            Ok(n) if n > 0 => {
                self.written += n as u64;
                if self.written > self.spec.max_stdout {
                    let limit = self.spec.max_stdout;
                    self.shared.lock().stop.get_or_insert(Stop::TooLarge(limit));
                } else if !self.is_ending() {
                    let bytes = Bytes::copy_from_slice(buffer.get(..n).unwrap_or_default());
                    self.shared.tell(|state| state.output.push_back(bytes));
                }
            }
            Err(error) if is_passing(&error) => {}
            Ok(_) | Err(_) => {
                self.stdout = None;
                self.shared.tell(|state| state.output_ended = true);
            }
        }
    }

    fn hear_errors(&mut self, buffer: &mut [u8]) {
        let Some(stderr) = &mut self.stderr else { return };
        match stderr.read(buffer) {
            Ok(n) if n > 0 => {
                let mut state = self.shared.lock();
                state.errors.extend(buffer.iter().take(n));
                let over = state.errors.len().saturating_sub(self.spec.stderr_tail);
                state.errors.drain(..over);
            }
            Err(error) if is_passing(&error) => {}
            Ok(_) | Err(_) => self.stderr = None,
        }
    }
}

/// One of the pipes.
#[derive(Clone, Copy)]
enum End {
    Bell,
    Input,
    Output,
    Errors,
}

fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: duration.subsec_nanos().into(),
    }
}
