//! What the caller of a process and the thread beside it tell each other.

use std::collections::VecDeque;
use std::io::{PipeReader, PipeWriter, Write};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Wake, Waker};
use std::time::Duration;

use annals_core::{CancelKind, CancelReason, MonoTime};
use bytes::Bytes;
use rustix::process::{Pid, Signal, getpgid, kill_process, kill_process_group};

use super::spec::{ProcError, ProcStatus};
use crate::time::process_now;
use crate::token::lock;

/// Bytes on the way per direction before whoever produces them has to wait.
pub(super) const WINDOW: usize = 256 << 10;

pub(super) struct Shared {
    state: Mutex<State>,
    /// A byte in it has the thread look at the state.
    bell: PipeWriter,
}

pub(super) struct State {
    /// Its number, once it runs.
    pub(super) started: Option<u32>,
    /// Its number from its start until it is reaped: as long as it is nobody else's.
    pub(super) unreaped: Option<Pid>,
    /// Its region waits no longer.
    pub(super) killed: bool,
    pub(super) input: VecDeque<Bytes>,
    /// The caller may still write.
    pub(super) input_open: bool,
    /// The process reads no more.
    pub(super) input_refused: bool,
    pub(super) output: VecDeque<Bytes>,
    pub(super) output_ended: bool,
    pub(super) reading: Reading,
    pub(super) errors: VecDeque<u8>,
    /// Why it is to end before its time; the first reason stays.
    pub(super) stop: Option<Stop>,
    /// The process is over, and waits to be reaped.
    pub(super) exited: bool,
    pub(super) ended: Option<Result<(ProcStatus, Duration), ProcError>>,
    pub(super) writer: Option<Waker>,
    pub(super) reader: Option<Waker>,
}

/// Who takes the output.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// The caller, piece by piece: the process waits for it.
    Pieces,
    /// The caller, at the end: all of it is kept.
    AtTheEnd,
}

#[derive(Clone)]
pub(super) enum Stop {
    Cancelled(CancelReason),
    Dropped(MonoTime),
    Timeout(Duration),
    TooLarge(u64),
}

impl Stop {
    pub(super) fn error(&self) -> ProcError {
        match self {
            Self::Cancelled(reason) => ProcError::Cancelled(reason.clone()),
            Self::Dropped(at) => {
                let kind = CancelKind::GuardDropped;
                ProcError::Cancelled(CancelReason::new(kind, "process", *at))
            }
            Self::Timeout(limit) => ProcError::Timeout(*limit),
            Self::TooLarge(limit) => ProcError::OutputTooLarge { limit: *limit },
        }
    }
}

impl Shared {
    pub(super) fn new(input: Bytes, reading: Reading) -> std::io::Result<(Self, PipeReader)> {
        let (ear, bell) = std::io::pipe()?;
        rustix::io::ioctl_fionbio(&ear, true)?;
        rustix::io::ioctl_fionbio(&bell, true)?;
        let state = State {
            started: None,
            unreaped: None,
            killed: false,
            input: if input.is_empty() {
                VecDeque::new()
            } else {
                [input].into()
            },
            input_open: reading == Reading::Pieces,
            input_refused: false,
            output: VecDeque::new(),
            output_ended: false,
            reading,
            errors: VecDeque::new(),
            stop: None,
            exited: false,
            ended: None,
            writer: None,
            reader: None,
        };
        let state = Mutex::new(state);
        Ok((Self { state, bell }, ear))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Has the thread look. A full pipe rings already.
    pub(super) fn ring(&self) {
        let (Ok(_) | Err(_)) = (&self.bell).write(&[0]);
    }

    pub(super) fn stop(&self, why: Stop) {
        self.lock().stop.get_or_insert(why);
        self.ring();
    }

    /// Changes the state and wakes the caller, wherever it waits.
    pub(super) fn tell(&self, change: impl FnOnce(&mut State)) {
        let woken = {
            let mut state = self.lock();
            change(&mut state);
            [state.writer.take(), state.reader.take()]
        };
        woken.into_iter().flatten().for_each(Waker::wake);
    }
}

/// The region's bound is spent: there and then the process is killed, whatever grace it had.
impl Wake for Shared {
    fn wake(self: Arc<Self>) {
        {
            let mut state = self.lock();
            state.killed = true;
            let reason = || CancelReason::new(CancelKind::Straggler, "process", process_now());
            state.stop.get_or_insert_with(|| Stop::Cancelled(reason()));
            if let Some(pid) = state.unreaped {
                signal(pid, Signal::KILL);
            }
        }
        self.ring();
    }
}

/// Sends a signal to a process that is not reaped yet, and to its group.
pub(super) fn signal(pid: Pid, signal: Signal) {
    let has_left = getpgid(Some(pid)).is_ok_and(|group| group != pid);
    // Nobody there is no error.
    let (Ok(()) | Err(_)) = kill_process_group(pid, signal);
    // One that has left its group, by its own number; never twice kindly, for the second time often means at once.
    if has_left || signal == Signal::KILL {
        let (Ok(()) | Err(_)) = kill_process(pid, signal);
    }
}

impl State {
    pub(super) fn queued(&self) -> usize {
        self.input.iter().map(Bytes::len).sum()
    }

    pub(super) fn unread(&self) -> usize {
        self.output.iter().map(Bytes::len).sum()
    }
}
