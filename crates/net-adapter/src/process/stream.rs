//! A running process as its caller holds it.

use std::future::poll_fn;
use std::io::ErrorKind;
use std::sync::Arc;
use std::task::Poll;

use annals_core::{CancelKind, CancelReason, Cancelled};
use bytes::{Bytes, BytesMut};

use super::shared::{Reading, Shared, Stop, WINDOW};
use super::spec::{CommandSpec, ProcError, ProcOutput};
use super::supervisor::{self, Duties};
use crate::Cx;
use crate::task::{Owner, SpawnError, TaskKind};
use crate::token::CancelHook;

impl Cx {
    /// Runs a process to its end.
    ///
    /// # Errors
    /// [`ProcError`]. A process that ends with a code other than zero is no error here.
    ///
    /// # Cancel safety
    /// Cancelled or dropped, the process and its group are ended; this context's region waits for that.
    pub async fn process(&self, spec: CommandSpec) -> Result<ProcOutput, ProcError> {
        let process = start(self, spec, Reading::AtTheEnd).await?;
        process.finish(self).await
    }

    /// Starts a process to talk with. At most 64 run at once; more wait.
    ///
    /// # Errors
    /// [`ProcError`].
    ///
    /// # Cancel safety
    /// As [`Self::process`]. Cancelling this context ends the process, whoever holds the stream then.
    pub async fn process_stream(&self, spec: CommandSpec) -> Result<ProcStream, ProcError> {
        start(self, spec, Reading::Pieces).await
    }
}

async fn start(cx: &Cx, mut spec: CommandSpec, reading: Reading) -> Result<ProcStream, ProcError> {
    if cx.rt().pool().is_none() {
        return Err(ProcError::Denied);
    }
    let cancelled = |Cancelled(reason)| ProcError::Cancelled(reason);
    let place = cx.rt().children().acquire_uncounted(cx, 1).await.map_err(cancelled)?;
    let live = cx.region_inner().begin("process", TaskKind::Process, Owner::Caller);
    let live = live.map_err(|error| match error {
        SpawnError::TaskLimit { .. } => ProcError::Spawn(std::io::Error::other(error)),
        SpawnError::Denied => ProcError::Denied,
        SpawnError::RegionClosing { .. } | SpawnError::RegionClosed { .. } | SpawnError::RuntimeGone => {
            ProcError::Cancelled(CancelReason {
                note: Some(error.to_string()),
                ..CancelReason::new(CancelKind::Shutdown, "process", cx.now())
            })
        }
    })?;
    let input = std::mem::take(&mut spec.stdin);
    let (shared, ear) = Shared::new(input, reading).map_err(ProcError::Spawn)?;
    let shared = Arc::new(shared);
    // From here on, leaving ends the process.
    let mut output = ProcOut::new(cx, shared.clone());
    let input = ProcIn { shared: shared.clone() };
    supervisor::start(cx.clone(), spec, shared, ear, Duties { live, place })?;
    output.pid = output.started(cx).await?;
    Ok(ProcStream { input, output })
}

/// A running process, both directions. Dropped before its end, it is killed.
#[derive(Debug)]
#[must_use = "dropping it kills the process"]
pub struct ProcStream {
    input: ProcIn,
    output: ProcOut,
}

impl ProcStream {
    /// Its number.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.output.pid
    }

    /// Writes to the process; waits while it has not read what was written before.
    ///
    /// # Errors
    /// [`ProcError`]; `Io` when it reads no more.
    ///
    /// # Cancel safety
    /// Cancelled, nothing of these bytes is written.
    pub async fn write(&mut self, cx: &Cx, bytes: Bytes) -> Result<(), ProcError> {
        self.input.write(cx, bytes).await
    }

    /// The next piece of its output; `None` at its end.
    ///
    /// # Errors
    /// [`ProcError`], once, when it was ended before its time.
    ///
    /// # Cancel safety
    /// A piece that was not returned is returned by the next call.
    pub async fn chunk(&mut self, cx: &Cx) -> Option<Result<Bytes, ProcError>> {
        self.output.chunk(cx).await
    }

    /// Both directions apart, for tasks that write and read at the same time.
    #[must_use = "dropping the output kills the process"]
    pub fn split(self) -> (ProcIn, ProcOut) {
        (self.input, self.output)
    }

    /// Ends its input, takes what it still writes and waits for its end.
    ///
    /// # Errors
    /// [`ProcError`].
    ///
    /// # Cancel safety
    /// As [`Cx::process`].
    pub async fn finish(self, cx: &Cx) -> Result<ProcOutput, ProcError> {
        drop(self.input);
        self.output.finish(cx).await
    }
}

/// The input of a process. Dropping it ends the input.
pub struct ProcIn {
    shared: Arc<Shared>,
}

impl ProcIn {
    /// As [`ProcStream::write`].
    ///
    /// # Errors
    /// [`ProcError`].
    ///
    /// # Cancel safety
    /// As [`ProcStream::write`].
    pub async fn write(&mut self, cx: &Cx, bytes: Bytes) -> Result<(), ProcError> {
        if bytes.is_empty() {
            return Ok(());
        }
        let mut bytes = Some(bytes);
        let put = poll_fn(|context| {
            let mut state = self.shared.lock();
            if let Some(stop) = &state.stop {
                return Poll::Ready(Err(stop.error()));
            }
            if state.input_refused || state.exited {
                return Poll::Ready(Err(ProcError::Io(ErrorKind::BrokenPipe.into())));
            }
            if state.queued() >= WINDOW {
                state.writer = Some(context.waker().clone());
                return Poll::Pending;
            }
            state.input.extend(bytes.take());
            Poll::Ready(Ok(()))
        });
        match cx.or_cancel(put).await {
            Ok(put) => put?,
            Err(Cancelled(reason)) => return Err(ProcError::Cancelled(reason)),
        }
        self.shared.ring();
        Ok(())
    }
}

impl Drop for ProcIn {
    fn drop(&mut self) {
        self.shared.lock().input_open = false;
        self.shared.ring();
    }
}

impl std::fmt::Debug for ProcIn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ProcIn")
    }
}

/// The output of a process and its end. Dropped before that, the process is killed.
#[must_use = "dropping it kills the process"]
pub struct ProcOut {
    shared: Arc<Shared>,
    cx: Cx,
    pid: u32,
    failed: bool,
    _hook: CancelHook,
}

impl ProcOut {
    fn new(cx: &Cx, shared: Arc<Shared>) -> Self {
        let (asked, whose) = (shared.clone(), cx.clone());
        let hook = cx.token().on_raise(move || {
            if let Some(reason) = whose.cancel_reason() {
                asked.stop(Stop::Cancelled(reason));
            }
        });
        Self {
            shared,
            cx: cx.clone(),
            pid: 0,
            failed: false,
            _hook: hook,
        }
    }

    async fn started(&self, cx: &Cx) -> Result<u32, ProcError> {
        let started = poll_fn(|context| {
            let mut state = self.shared.lock();
            if let Some(pid) = state.started {
                return Poll::Ready(Ok(pid));
            }
            match state.ended.take() {
                Some(Err(error)) => Poll::Ready(Err(error)),
                Some(Ok(_)) => Poll::Ready(Err(ProcError::Io(ErrorKind::Other.into()))),
                None => {
                    state.reader = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        });
        match cx.or_cancel(started).await {
            Ok(started) => started,
            Err(Cancelled(reason)) => Err(ProcError::Cancelled(reason)),
        }
    }

    /// As [`ProcStream::chunk`].
    ///
    /// # Errors
    /// [`ProcError`], once.
    ///
    /// # Cancel safety
    /// As [`ProcStream::chunk`].
    pub async fn chunk(&mut self, cx: &Cx) -> Option<Result<Bytes, ProcError>> {
        if self.failed {
            return None;
        }
        let next = poll_fn(|context| {
            let mut state = self.shared.lock();
            if let Some(bytes) = state.output.pop_front() {
                return Poll::Ready(Some(Ok(bytes)));
            }
            match (&state.stop, &state.ended) {
                (Some(stop), Some(Err(_))) => return Poll::Ready(Some(Err(stop.error()))),
                (Some(stop), _) if !state.output_ended => return Poll::Ready(Some(Err(stop.error()))),
                // Whether the stop was obeyed or came too late is known in a moment.
                (Some(_), None) => {}
                _ if state.output_ended || state.ended.is_some() => return Poll::Ready(None),
                _ => {}
            }
            state.reader = Some(context.waker().clone());
            Poll::Pending
        });
        let next = match cx.or_cancel(next).await {
            Ok(next) => next,
            Err(Cancelled(reason)) => Some(Err(ProcError::Cancelled(reason))),
        };
        // There is room now.
        self.shared.ring();
        self.failed = matches!(&next, Some(Err(error)) if !matches!(error, ProcError::Cancelled(_)));
        next
    }

    /// As [`ProcStream::finish`]; the input has to be dropped by whoever has it.
    ///
    /// # Errors
    /// [`ProcError`].
    ///
    /// # Cancel safety
    /// As [`Cx::process`].
    pub async fn finish(self, cx: &Cx) -> Result<ProcOutput, ProcError> {
        self.shared.lock().reading = Reading::AtTheEnd;
        self.shared.ring();
        let ended = poll_fn(|context| {
            let mut state = self.shared.lock();
            if let Some(ended) = state.ended.take() {
                return Poll::Ready(ended);
            }
            state.reader = Some(context.waker().clone());
            Poll::Pending
        });
        let (status, elapsed) = match cx.or_cancel(ended).await {
            Ok(ended) => ended?,
            Err(Cancelled(reason)) => {
                self.shared.stop(Stop::Cancelled(reason.clone()));
                return Err(ProcError::Cancelled(reason));
            }
        };
        let mut state = self.shared.lock();
        let mut stdout = BytesMut::with_capacity(state.unread());
        for bytes in std::mem::take(&mut state.output) {
            stdout.extend_from_slice(&bytes);
        }
        let errors = Vec::from(std::mem::take(&mut state.errors));
        Ok(ProcOutput {
            status,
            stdout: stdout.freeze(),
            stderr: errors.into(),
            elapsed,
        })
    }
}

impl Drop for ProcOut {
    fn drop(&mut self) {
        // After the end nobody looks any more.
        self.shared.stop(Stop::Dropped(self.cx.now()));
    }
}

impl std::fmt::Debug for ProcOut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProcOut").field("pid", &self.pid).finish()
    }
}
