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
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, getpgid, kill_process, kill_process_group, waitid};

use super::shared::{Reading, Shared, Stop, WINDOW};
use super::spec::{CommandSpec, ProcError, ProcStatus};
use crate::Cx;
use crate::region::Live;
use crate::sync::SemPermit;

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
        let child = spawn(&spec);
        let ended = child.and_then(|child| {
            let ended = supervise(cx.clone(), spec, &shared, ear, child);
            ended.map_err(ProcError::Io)
        });
        let outcome = match &ended {
            Ok((_, None)) => OutcomeKind::Ok,
            Ok((_, Some(Stop::Cancelled(_) | Stop::Dropped(_)))) => OutcomeKind::Cancelled,
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

fn spawn(spec: &CommandSpec) -> Result<Child, ProcError> {
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
        ending: None,
        cx,
        spec,
    };
    let supervised = supervisor.prepare().and_then(|()| {
        shared.tell(|state| state.started = Some(child.id()));
        supervisor.run()
    });
    // What is left of the group has no reason to be: its leader is over, or is to be.
    supervisor.signal(Signal::KILL);
    let status = child.wait()?;
    supervised?;
    let status = match (status.code(), status.signal()) {
        (Some(code), _) => ProcStatus::Code(code),
        (None, signal) => ProcStatus::Signal(signal.unwrap_or(0)),
    };
    // A stop that nobody obeyed came too late.
    let stopped = shared.lock().stop.clone().filter(|_| supervisor.ending.is_some());
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
    ending: Option<Ending>,
}

/// It was asked to end.
#[derive(Clone, Copy)]
enum Ending {
    /// And has until then.
    Asked(MonoTime),
    Killed,
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

    fn signal(&self, signal: Signal) {
        let has_left = getpgid(Some(self.pid)).is_ok_and(|group| group != self.pid);
        // Nobody there is no error.
        let (Ok(()) | Err(_)) = kill_process_group(self.pid, signal);
        // One that has left its group, by its own number; never twice kindly, for the second time often means at once.
        if has_left || signal == Signal::KILL {
            let (Ok(()) | Err(_)) = kill_process(self.pid, signal);
        }
    }

    /// Until the process is over and everything it wrote was read, or nobody wants it any more.
    fn run(&mut self) -> io::Result<()> {
        loop {
            self.obey();
            let read = self.stdout.is_none() && self.stderr.is_none();
            if self.shared.lock().exited && (read || self.ending.is_some()) {
                return Ok(());
            }
            self.move_bytes()?;
        }
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
        let stop = self.shared.lock().stop.is_some();
        match self.ending {
            None if stop => {
                self.signal(Signal::TERM);
                self.ending = Some(Ending::Asked(now.after(self.spec.grace)));
                self.stdin = None;
                self.shared.tell(|state| state.input_refused = true);
            }
            Some(Ending::Asked(until)) if now >= until => {
                self.signal(Signal::KILL);
                self.ending = Some(Ending::Killed);
            }
            None | Some(_) => {}
        }
    }

    /// How long nothing has to be looked at unless a pipe says so.
    fn patience(&self) -> Option<Duration> {
        let until = match self.ending {
            Some(Ending::Killed) => return None,
            Some(Ending::Asked(until)) => until,
            None => self
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
            if let Some(stdout) = self.stdout.as_ref().filter(|_| !full || self.ending.is_some()) {
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
                } else if self.ending.is_none() {
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
