//! The lab on asupersync: its deterministic runtime, with virtual time that advances by itself.

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use annals_core::{MonoTime, UnixMs};
use asupersync::Cx as Ambient;
use asupersync::lab::{LabConfig, LabRuntime};
use asupersync::time::timeout;
use asupersync::types::{Budget, Time};

use super::{Backend, BoxFuture, LabEnd, RawListener};
use crate::lab::{LabRoot, LabState};
use crate::net::Stream;
use crate::token::lock;

pub(super) fn run(lab: &Arc<LabState>, root: LabRoot) -> LabEnd {
    let mut config = LabConfig::new(lab.seed());
    config.worker_count = 4;
    config.max_steps = Some(lab.max_steps().saturating_mul(4));
    // Its panicking checks would end the test process; the adapter judges the report instead.
    config.panic_on_obligation_leak = false;
    config.panic_on_futurelock = false;
    config.panic_on_cancellation_violation = false;
    let mut runtime = LabRuntime::new(config);
    let region = runtime.state.create_root_region(Budget::INFINITE);
    let backend: Arc<dyn Backend> = Arc::new(AsupersyncLab {
        epoch: lab.epoch(),
        last: Mutex::new(MonoTime(0)),
    });
    let future = root(backend);
    let finished = Arc::new(AtomicBool::new(false));
    let ended = finished.clone();
    let task = async move {
        future.await;
        ended.store(true, Ordering::Release);
    };
    let Ok((id, _handle)) = runtime.state.create_task(region, Budget::INFINITE, task) else {
        return LabEnd::unfinished();
    };
    runtime.scheduler.lock().schedule(id, Budget::INFINITE.priority);
    runtime.run_with_auto_advance();
    if !finished.load(Ordering::Acquire) {
        return LabEnd::unfinished();
    }
    LabEnd {
        finished: true,
        violations: violations(&mut runtime),
    }
}

/// What is left of tasks and obligations, as the runtime itself counts them. Its oracles are not asked: they judge
/// regions and protocols of its own, which the adapter does not use (`traps.rs` proves it).
fn violations(runtime: &mut LabRuntime) -> Vec<String> {
    let found = runtime.check_invariants();
    found.iter().map(ToString::to_string).collect()
}

struct AsupersyncLab {
    epoch: UnixMs,
    /// What the clock said last, for callers outside a task.
    last: Mutex<MonoTime>,
}

impl Backend for AsupersyncLab {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        if let Some(ambient) = Ambient::current() {
            drop(ambient.spawn(|_| task));
        }
    }

    fn block_on(&self, _: Pin<&mut dyn Future<Output = ()>>) {
        // The lab drives itself; `run_main` and `shutdown` are not reachable inside it.
    }

    fn now(&self) -> MonoTime {
        let mut last = lock(&self.last);
        if let Some(timer) = Ambient::current().and_then(|cx| cx.timer_driver()) {
            *last = MonoTime(timer.now().as_nanos());
        }
        *last
    }

    fn unix_ms(&self) -> UnixMs {
        UnixMs(self.epoch.0 + i64::try_from(self.now().0 / 1_000_000).unwrap_or(i64::MAX))
    }

    fn sleep_until(&self, at: MonoTime) -> BoxFuture<'static, ()> {
        let now = self.now();
        Box::pin(async move {
            let left = at.since(now);
            if !left.is_zero() {
                let (Ok(()) | Err(_)) = timeout(Time::from_nanos(now.0), left, pending::<()>()).await;
            }
        })
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
