//! A stream, lent to blocking code for one poll: what would wait is `WouldBlock`.

use std::io::{self, Read, Write};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use futures_io::{AsyncRead, AsyncWrite};

use crate::Stream;
use crate::token::lock;

pub(super) struct Shim<'a, 'b> {
    pub(super) stream: &'a mut Stream,
    pub(super) context: &'a mut Context<'b>,
    /// Counts the bytes that came.
    pub(super) heard: &'a mut u64,
}

fn now<T>(polled: Poll<io::Result<T>>) -> io::Result<T> {
    match polled {
        Poll::Ready(result) => result,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

impl Read for Shim<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = now(Pin::new(&mut *self.stream).poll_read(self.context, buffer))?;
        *self.heard += count as u64;
        Ok(count)
    }
}

impl Write for Shim<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        now(Pin::new(&mut *self.stream).poll_write(self.context, bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        now(Pin::new(&mut *self.stream).poll_flush(self.context))
    }
}

/// Whoever waits for the connection. Both halves read and write (a receiver answers pings, TLS may do either), and a stream
/// keeps one waker per direction; so both are woken, whatever happens.
#[derive(Default)]
pub(super) struct Waiting {
    sender: Mutex<Option<Waker>>,
    receiver: Mutex<Option<Waker>>,
}

/// Which half waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Half {
    Sender,
    Receiver,
}

impl Waiting {
    pub(super) fn wait(&self, half: Half, waker: &Waker) {
        let slot = match half {
            Half::Sender => &self.sender,
            Half::Receiver => &self.receiver,
        };
        *lock(slot) = Some(waker.clone());
    }
}

impl Wake for Waiting {
    fn wake(self: Arc<Self>) {
        for slot in [&self.sender, &self.receiver] {
            let waker = lock(slot).take();
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
}
