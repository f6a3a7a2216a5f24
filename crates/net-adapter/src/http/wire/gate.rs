//! What stands between the stream and hyper.
//!
//! hyper reads some heads that two parsers could understand differently (bare line feeds, a length
//! beside a transfer coding), and its errors do not say whether the peer closed, reset or lied. The
//! gate reads every head itself before it lets it pass, and remembers what the stream did.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, Bytes, BytesMut};
use futures_io::{AsyncRead, AsyncWrite};
use http::Method;

use super::{HeadReader, ResponseHead};
use crate::http::error::WireFault;
use crate::net::Stream;
use crate::token::lock;

const READ: usize = 8 * 1024;

/// A stream whose response heads have been judged.
pub(crate) struct Gate {
    stream: Stream,
    watch: Watch,
}

/// The other end of a [`Gate`]: begins exchanges and asks what happened.
#[derive(Clone, Default)]
pub(crate) struct Watch(Arc<Mutex<Seen>>);

#[derive(Default)]
struct Seen {
    /// Set while a head is expected.
    reader: Option<HeadReader>,
    /// Whether anything of the request has left.
    asking: bool,
    /// Who wants to read before that.
    early: Option<Waker>,
    /// The part of the head that has arrived.
    partial: BytesMut,
    /// Judged bytes that hyper has not taken yet.
    passed: Bytes,
    head: Option<ResponseHead>,
    answered: bool,
    ended: bool,
    fault: Option<WireFault>,
}

impl Gate {
    pub(crate) fn new(stream: Stream) -> (Self, Watch) {
        let watch = Watch::default();
        (
            Self {
                stream,
                watch: watch.clone(),
            },
            watch,
        )
    }
}

impl Watch {
    /// The next bytes are the head of the answer to a request with this method.
    pub(crate) fn begin(&self, method: &Method) {
        let mut seen = lock(&self.0);
        seen.reader = Some(HeadReader::new(method));
        seen.asking = false;
        seen.answered = false;
        seen.head = None;
    }

    /// The head that was let pass.
    pub(crate) fn take_head(&self) -> Option<ResponseHead> {
        lock(&self.0).head.take()
    }

    pub(crate) fn was_answered(&self) -> bool {
        lock(&self.0).answered
    }

    /// What really happened when hyper reports `error`.
    pub(crate) fn explain(&self, error: impl Into<crate::http::error::BoxError>) -> WireFault {
        let mut seen = lock(&self.0);
        match seen.fault.take() {
            Some(fault) => fault,
            None if seen.ended => WireFault::closed_early("the connection ended before the response"),
            None => WireFault::protocol(error),
        }
    }
}

impl AsyncRead for Gate {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let mut seen = lock(&this.watch.0);
        loop {
            if !seen.passed.is_empty() {
                let count = buffer.len().min(seen.passed.len());
                seen.passed
                    .split_to(count)
                    .copy_to_slice(buffer.get_mut(..count).unwrap_or_default());
                return Poll::Ready(Ok(count));
            }
            if seen.reader.is_none() {
                let read = ready!(Pin::new(&mut this.stream).poll_read(context, buffer));
                return Poll::Ready(seen.note(read));
            }
            if !seen.asking {
                // A busy server may answer before it is asked. hyper takes that for noise on an idle
                // connection unless it has begun to send.
                seen.early = Some(context.waker().clone());
                return Poll::Pending;
            }
            let mut piece = [0; READ];
            let read = ready!(Pin::new(&mut this.stream).poll_read(context, &mut piece));
            let count = seen.note(read)?;
            if count == 0 {
                return Poll::Ready(Ok(0));
            }
            seen.partial.extend_from_slice(piece.get(..count).unwrap_or_default());
            seen.judge()?;
        }
    }
}

impl Seen {
    fn note(&mut self, read: io::Result<usize>) -> io::Result<usize> {
        match read {
            Ok(0) => self.ended = true,
            Ok(_) => self.answered = true,
            Err(error) => {
                let kind = error.kind();
                self.fault.get_or_insert(WireFault::io(error));
                return Err(kind.into());
            }
        }
        read
    }

    fn judge(&mut self) -> io::Result<()> {
        let Some(reader) = &mut self.reader else { return Ok(()) };
        match reader.read(&mut self.partial) {
            Ok(None) => {}
            Ok(Some(found)) => {
                self.reader = None;
                self.head = Some(found.head);
                let mut passed = BytesMut::from(&*found.raw);
                passed.unsplit(self.partial.split());
                self.passed = passed.freeze();
            }
            Err(fault) => {
                self.fault = Some(WireFault::protocol(fault));
                return Err(io::ErrorKind::InvalidData.into());
            }
        }
        Ok(())
    }
}

impl AsyncWrite for Gate {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.ask();
        let sent = ready!(Pin::new(&mut this.stream).poll_write(context, bytes));
        Poll::Ready(this.noted(sent))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.ask();
        let sent = ready!(Pin::new(&mut this.stream).poll_write_vectored(context, bytes));
        Poll::Ready(this.noted(sent))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = ready!(Pin::new(&mut this.stream).poll_flush(context));
        Poll::Ready(this.noted(flushed))
    }

    fn poll_close(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_close(context)
    }
}

impl Gate {
    fn ask(&self) {
        let early = {
            let mut seen = lock(&self.watch.0);
            seen.asking = true;
            seen.early.take()
        };
        if let Some(early) = early {
            early.wake();
        }
    }

    fn noted<T>(&self, result: io::Result<T>) -> io::Result<T> {
        result.map_err(|error| {
            let kind = error.kind();
            lock(&self.watch.0).fault.get_or_insert(WireFault::io(error));
            kind.into()
        })
    }
}
