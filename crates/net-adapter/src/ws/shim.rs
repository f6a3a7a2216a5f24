//! A stream, lent to blocking code for one poll: what would wait is `WouldBlock`.

use std::io::{self, Read, Write};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use annals_core::NetworkErrorKind;
use futures_io::{AsyncRead, AsyncWrite};

use crate::Stream;
use crate::http::kind_of_stream_error;
use crate::token::lock;

/// Reads in one poll. A peer that sends faster than it is read must not keep the task from its timers, or from others.
const READS: u32 = 64;

/// The stream of a WebSocket, and what is known of it.
pub(super) struct Wire {
    /// `None` once the WebSocket has ended: a half that somebody still holds holds no socket.
    stream: Option<Stream>,
    heard: u64,
    unsent: Option<NetworkErrorKind>,
    reads: u32,
    again: bool,
}

impl Wire {
    pub(super) fn new(stream: Stream) -> Self {
        Self {
            stream: Some(stream),
            heard: 0,
            unsent: None,
            reads: READS,
            again: false,
        }
    }

    /// How many bytes have come.
    pub(super) fn heard(&self) -> u64 {
        self.heard
    }

    /// Why nothing can be sent any more. What came before can still be read.
    pub(super) fn unsent(&self) -> Option<NetworkErrorKind> {
        self.unsent
    }

    /// A poll begins.
    pub(super) fn begin(&mut self) {
        self.reads = READS;
    }

    /// Whether a poll stopped although there is more to read; it is to be woken for that. Asked once.
    pub(super) fn wants_again(&mut self) -> bool {
        std::mem::take(&mut self.again)
    }

    /// Says that nothing more will be sent.
    pub(super) fn poll_close(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Some(stream) => Pin::new(stream).poll_close(context),
            None => Poll::Ready(Ok(())),
        }
    }

    /// Lets go of the stream. To be dropped where no lock is held: that may wake others.
    pub(super) fn take(&mut self) -> Option<Stream> {
        self.stream.take()
    }
}

pub(super) struct Shim<'a, 'b> {
    pub(super) wire: &'a mut Wire,
    pub(super) context: &'a mut Context<'b>,
}

impl Shim<'_, '_> {
    /// A stream that takes nothing more may still hold what the peer said before, its goodbye above all. So what is written
    /// is taken for sent, and the end comes when there is nothing more to read.
    fn note_write(&mut self, written: Poll<io::Result<usize>>, all: usize) -> io::Result<usize> {
        let lost = match written {
            Poll::Pending => return Err(io::ErrorKind::WouldBlock.into()),
            Poll::Ready(Ok(0)) if all > 0 => NetworkErrorKind::ClosedEarly,
            Poll::Ready(Ok(count)) => return Ok(count),
            Poll::Ready(Err(error)) => kind_of_stream_error(&error),
        };
        self.wire.unsent = Some(lost);
        Ok(all)
    }
}

impl Read for Shim<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(stream) = &mut self.wire.stream else {
            return Ok(0);
        };
        if self.wire.reads == 0 {
            // Not woken here: the connection's lock is held.
            self.wire.again = true;
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.wire.reads -= 1;
        match Pin::new(stream).poll_read(self.context, buffer) {
            Poll::Ready(Ok(count)) => {
                self.wire.heard += count as u64;
                Ok(count)
            }
            Poll::Ready(Err(error)) => Err(error),
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

impl Write for Shim<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.wire.stream {
            Some(stream) if self.wire.unsent.is_none() => {
                let written = Pin::new(stream).poll_write(self.context, bytes);
                self.note_write(written, bytes.len())
            }
            _ => Ok(bytes.len()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.wire.stream {
            Some(stream) if self.wire.unsent.is_none() => {
                let flushed = Pin::new(stream).poll_flush(self.context);
                self.note_write(flushed.map_ok(|()| 0), 0).map(|_| ())
            }
            _ => Ok(()),
        }
    }
}

/// Whoever waits for the connection. All of them read and write (a receiver answers pings, TLS may do either), and a stream
/// keeps one waker per direction; so all are woken, whatever happens.
#[derive(Default)]
pub(super) struct Waiting {
    sender: Mutex<Option<Waker>>,
    receiver: Mutex<Option<Waker>>,
    /// More than one may wait for the goodbyes: who holds the sending half, and the server.
    closers: Mutex<Vec<Waker>>,
}

/// Which of those who share the connection waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Half {
    Sender,
    Receiver,
    /// Who says goodbye. A server does while others may still hold both halves, or say it themselves.
    Closer,
}

impl Waiting {
    pub(super) fn wait(&self, half: Half, waker: &Waker) {
        let waker = waker.clone();
        let displaced = match half {
            Half::Sender => lock(&self.sender).replace(waker),
            Half::Receiver => lock(&self.receiver).replace(waker),
            Half::Closer => {
                let mut closers = lock(&self.closers);
                if closers.iter().any(|known| known.will_wake(&waker)) {
                    Some(waker)
                } else {
                    closers.push(waker);
                    None
                }
            }
        };
        // Where no lock is held: it may be the last that keeps a task.
        drop(displaced);
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
        let closers = std::mem::take(&mut *lock(&self.closers));
        for closer in closers {
            closer.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Flag(Mutex<u32>);

    impl Wake for Flag {
        fn wake(self: Arc<Self>) {
            *lock(&self.0) += 1;
        }
    }

    #[test]
    fn every_closer_is_woken_once_however_often_it_waited() {
        let waiting = Arc::<Waiting>::default();
        let flags = [(); 3].map(|()| Arc::new(Flag(Mutex::new(0))));
        for _ in 0..2 {
            for flag in &flags {
                waiting.wait(Half::Closer, &flag.clone().into());
            }
        }
        waiting.clone().wake();
        waiting.wake();
        assert_eq!(flags.map(|flag| *lock(&flag.0)), [1; 3]);
    }
}
