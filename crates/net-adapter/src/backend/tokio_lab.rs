//! The lab on tokio: one thread, a paused clock that jumps to the next timer when nobody can run.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use annals_core::{MonoTime, UnixMs};
use tokio::runtime::{Builder, Handle};
use tokio::time::Instant;

use super::{Backend, BoxFuture, LabEnd, RawListener};
use crate::lab::{LabRoot, LabState};
use crate::net::Stream;

pub(super) fn run(lab: &Arc<LabState>, root: LabRoot) -> LabEnd {
    let Ok(runtime) = Builder::new_current_thread().enable_time().start_paused(true).build() else {
        return LabEnd::unfinished();
    };
    let start = {
        let _entered = runtime.enter();
        Instant::now()
    };
    let backend: Arc<dyn Backend> = Arc::new(TokioLab {
        handle: runtime.handle().clone(),
        start,
        epoch: lab.epoch(),
        last: Mutex::new(MonoTime(0)),
    });
    let future = root(backend);
    // Without a timer a stuck scenario would wait for ever: virtual time has an end.
    let finished = runtime.block_on(async { tokio::time::timeout(lab.max_virtual(), future).await.is_ok() });
    runtime.shutdown_background();
    LabEnd {
        finished,
        violations: Vec::new(),
    }
}

struct TokioLab {
    handle: Handle,
    start: Instant,
    epoch: UnixMs,
    /// What the clock said last, for callers after the run.
    last: Mutex<MonoTime>,
}

impl Backend for TokioLab {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        drop(self.handle.spawn(task));
    }

    fn block_on(&self, _: Pin<&mut dyn Future<Output = ()>>) {
        // The lab drives itself; `run_main` and `shutdown` are not reachable inside it.
    }

    fn now(&self) -> MonoTime {
        let mut last = crate::token::lock(&self.last);
        if Handle::try_current().is_ok() {
            *last = MonoTime(0).after(self.start.elapsed());
        }
        *last
    }

    fn unix_ms(&self) -> UnixMs {
        UnixMs(self.epoch.0 + i64::try_from(self.now().0 / 1_000_000).unwrap_or(i64::MAX))
    }

    fn sleep_until(&self, at: MonoTime) -> BoxFuture<'static, ()> {
        let _entered = self.handle.enter();
        let deadline = self.start + Duration::from_nanos(at.0).min(Duration::from_secs(10 * 365 * 86_400));
        Box::pin(tokio::time::sleep_until(deadline))
    }

    fn connect(&self, _: SocketAddr) -> BoxFuture<'static, io::Result<Stream>> {
        Box::pin(async { Err(denied()) })
    }

    fn listen(&self, _: std::net::TcpListener) -> io::Result<Box<dyn RawListener>> {
        Err(denied())
    }

    fn shutdown(&self, _: Duration) {}
}

fn denied() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "the lab has no real sockets")
}
