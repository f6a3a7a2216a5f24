//! A connection in memory: two directions, each with what its link does to bytes.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use annals_core::MonoTime;
use futures_io::{AsyncRead, AsyncWrite};

use super::link::{Cut, Faults, Link};
use crate::backend::{Backend, BoxFuture};
use crate::net::{Io, Stream};
use crate::token::lock;

/// Bytes in flight per direction before a writer has to wait.
const WINDOW: usize = 64 * 1024;

/// The way a connection takes.
pub(super) struct Path {
    pub(super) link: Arc<Link>,
    /// As they were when the connection was made.
    pub(super) faults: Faults,
    pub(super) backend: Arc<dyn Backend>,
    pub(super) rng: Mutex<fastrand::Rng>,
}

impl Path {
    /// When bytes that are sent now arrive, on a line that is free at `free`; and when it is free again.
    fn arrival(&self, free: MonoTime, bytes: usize) -> (MonoTime, MonoTime) {
        let mut sent = free.max(self.backend.now());
        if let Some(rate) = self.faults.bandwidth {
            let nanos = (bytes as u64).saturating_mul(1_000_000_000) / rate;
            sent = sent.after(Duration::from_nanos(nanos));
        }
        let latency = self.faults.latency.as_ref().map(|range| pick(&self.rng, range));
        (sent.after(latency.unwrap_or_default()), sent)
    }
}

/// A time from the range, in the whole milliseconds that every lab can count.
pub(super) fn pick(rng: &Mutex<fastrand::Rng>, range: &std::ops::Range<Duration>) -> Duration {
    let millis = |d: Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
    let (low, high) = (millis(range.start), millis(range.end));
    Duration::from_millis(lock(rng).u64(low..high.max(low.saturating_add(1))))
}

/// One direction of a connection.
#[derive(Default)]
struct Half {
    segments: VecDeque<(MonoTime, VecDeque<u8>)>,
    queued: usize,
    /// Bytes it has carried so far.
    carried: u64,
    free: MonoTime,
    /// The writer has finished.
    ended: bool,
    /// What is written is lost.
    lossy: bool,
    /// The connection was reset.
    reset: bool,
    /// And will be when what was sent before has been read.
    reset_at_end: bool,
    /// The reader is gone.
    abandoned: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

type Shared = Arc<Mutex<Half>>;

struct Pipe {
    incoming: Shared,
    outgoing: Shared,
    /// `None` where nothing is wrong.
    path: Option<Arc<Path>>,
    timer: Option<(MonoTime, BoxFuture<'static, ()>)>,
}

pub(super) fn pipe(near: SocketAddr, far: SocketAddr, path: Option<Arc<Path>>) -> (Stream, Stream) {
    let (up, down) = (Shared::default(), Shared::default());
    let end = |incoming: &Shared, outgoing: &Shared| Pipe {
        incoming: incoming.clone(),
        outgoing: outgoing.clone(),
        path: path.clone(),
        timer: None,
    };
    let (client, server) = (end(&down, &up), end(&up, &down));
    (Stream::new(client, far, near), Stream::new(server, near, far))
}

fn change(half: &Shared, f: impl FnOnce(&mut Half)) {
    let wakers = {
        let mut half = lock(half);
        f(&mut half);
        [half.reader.take(), half.writer.take()]
    };
    wakers.into_iter().flatten().for_each(Waker::wake);
}

impl Pipe {
    /// When the reader may see what there is, if that is later than now.
    fn not_before(&self, half: &Half, context: &Context<'_>) -> Option<MonoTime> {
        let path = self.path.as_ref()?;
        let now = path.backend.now();
        let arrives = half.segments.front().map_or(now, |(at, _)| *at);
        let open = path.link.closed_until(now, context.waker()).unwrap_or(now);
        Some(arrives.max(open)).filter(|at| *at > now)
    }

    fn sleep_until(&mut self, at: MonoTime, context: &mut Context<'_>) -> Poll<()> {
        let Some(path) = &self.path else { return Poll::Ready(()) };
        if self.timer.as_ref().is_none_or(|(set, _)| *set != at) {
            self.timer = Some((at, path.backend.sleep_until(at)));
        }
        let slept = self
            .timer
            .as_mut()
            .map_or(Poll::Ready(()), |(_, timer)| timer.as_mut().poll(context));
        if slept.is_ready() {
            self.timer = None;
        }
        slept
    }
}

impl AsyncRead for Pipe {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        loop {
            let incoming = this.incoming.clone();
            let mut half = lock(&incoming);
            if half.reset {
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            }
            if half.segments.is_empty() && !half.ended && !half.reset_at_end {
                half.reader = Some(context.waker().clone());
                return Poll::Pending;
            }
            if let Some(at) = this.not_before(&half, context) {
                half.reader = Some(context.waker().clone());
                drop(half);
                if this.sleep_until(at, context).is_pending() {
                    return Poll::Pending;
                }
                continue;
            }
            let Some((_, bytes)) = half.segments.front_mut() else {
                let end = if half.reset_at_end {
                    Err(io::ErrorKind::ConnectionReset.into())
                } else {
                    Ok(0)
                };
                return Poll::Ready(end);
            };
            let n = buffer.len().min(bytes.len());
            for (slot, byte) in buffer.iter_mut().zip(bytes.drain(..n)) {
                *slot = byte;
            }
            if bytes.is_empty() {
                half.segments.pop_front();
            }
            half.queued -= n;
            let writer = half.writer.take();
            drop(half);
            if let Some(writer) = writer {
                writer.wake();
            }
            return Poll::Ready(Ok(n));
        }
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut half = lock(&self.outgoing);
        if half.reset || half.reset_at_end || half.abandoned {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if half.lossy {
            return Poll::Ready(Ok(bytes.len()));
        }
        if half.ended {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let room = WINDOW.saturating_sub(half.queued);
        if room == 0 {
            half.writer = Some(context.waker().clone());
            return Poll::Pending;
        }
        let n = room.min(bytes.len());
        let cut = self.path.as_ref().and_then(|path| path.faults.cut);
        let limit = match cut {
            Some(Cut::Reset(limit) | Cut::Truncate(limit)) => limit.saturating_sub(half.carried),
            None => u64::MAX,
        };
        let carried = n.min(usize::try_from(limit).unwrap_or(usize::MAX));
        if carried > 0 {
            let (at, free) = match &self.path {
                Some(path) => path.arrival(half.free, carried),
                None => (MonoTime(0), MonoTime(0)),
            };
            // Never before what was sent earlier.
            let at = half.segments.back().map_or(at, |(last, _)| at.max(*last));
            half.free = free;
            half.segments
                .push_back((at, bytes.iter().take(carried).copied().collect()));
            half.queued += carried;
            half.carried += carried as u64;
        }
        match cut.filter(|_| carried < n) {
            Some(Cut::Reset(_)) => half.reset_at_end = true,
            Some(Cut::Truncate(_)) => (half.lossy, half.ended) = (true, true),
            None => {}
        }
        let broken = half.reset_at_end;
        let reader = half.reader.take();
        drop(half);
        if broken {
            change(&self.incoming, |half| half.reset = true);
        }
        if let Some(reader) = reader {
            reader.wake();
        }
        Poll::Ready(Ok(n))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        change(&self.outgoing, |half| half.ended = true);
        Poll::Ready(Ok(()))
    }
}

impl Io for Pipe {
    fn reset_on_close(&mut self) -> io::Result<()> {
        for half in [&self.incoming, &self.outgoing] {
            change(half, |half| half.reset = true);
        }
        Ok(())
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        change(&self.outgoing, |half| half.ended = true);
        change(&self.incoming, |half| half.abandoned = true);
    }
}
