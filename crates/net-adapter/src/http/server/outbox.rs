//! Bytes on their way to the client.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use futures_io::AsyncWrite;

/// Pieces from this size on are sent from where they are; smaller ones are copied together.
const COPY_BELOW: usize = 4 * 1024;
/// Slices given to the system at once.
const SLICES: usize = 16;

/// A queue of bytes that were promised to the client and not yet taken by the system.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    queue: VecDeque<Bytes>,
    tail: BytesMut,
    queued: usize,
}

impl Outbox {
    pub(crate) fn len(&self) -> usize {
        self.queued + self.tail.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where small things are written.
    pub(crate) fn tail(&mut self) -> &mut BytesMut {
        &mut self.tail
    }

    pub(crate) fn push(&mut self, data: Bytes) {
        if data.len() < COPY_BELOW {
            self.tail.extend_from_slice(&data);
            return;
        }
        if !self.tail.is_empty() {
            let tail = self.tail.split().freeze();
            self.queued += tail.len();
            self.queue.push_back(tail);
        }
        self.queued += data.len();
        self.queue.push_back(data);
    }

    /// Write as much as the system takes; `written` grows by what it took, also when the rest has to wait.
    ///
    /// # Errors
    /// The connection is broken.
    pub(crate) fn poll_flush(
        &mut self,
        io: &mut (impl AsyncWrite + Unpin),
        context: &mut Context<'_>,
        written: &mut usize,
    ) -> Poll<io::Result<()>> {
        while !self.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let mut used = 0;
            let pieces = self
                .queue
                .iter()
                .map(|piece| piece.as_ref())
                .chain([self.tail.as_ref()]);
            for (slice, piece) in slices.iter_mut().zip(pieces) {
                *slice = IoSlice::new(piece);
                used += 1;
            }
            let filled = slices.get(..used).unwrap_or_default();
            let taken = ready!(Pin::new(&mut *io).poll_write_vectored(context, filled))?;
            if taken == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            *written += taken;
            self.advance(taken);
        }
        Poll::Ready(Ok(()))
    }

    fn advance(&mut self, mut taken: usize) {
        while let Some(first) = self.queue.front_mut() {
            let now = taken.min(first.len());
            first.advance(now);
            taken -= now;
            self.queued -= now;
            if !first.is_empty() {
                return;
            }
            self.queue.pop_front();
        }
        if taken < self.tail.len() {
            self.tail.advance(taken);
        } else if self.tail.capacity() <= COPY_BELOW {
            self.tail.clear();
        } else {
            // An idle connection keeps no large buffer.
            self.tail = BytesMut::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    /// Takes `step` bytes, then is busy once.
    struct Slow {
        got: Vec<u8>,
        step: usize,
        busy: bool,
    }

    impl AsyncWrite for Slow {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            self.busy = !self.busy;
            if self.busy {
                return Poll::Pending;
            }
            let taken = self.step.min(bytes.len());
            self.got.extend_from_slice(&bytes[..taken]);
            Poll::Ready(Ok(taken))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn bytes_leave_in_order_whatever_the_socket_takes() {
        for step in [1, 7, 4096, 100_000] {
            let mut out = Outbox::default();
            let mut expected = Vec::new();
            for (number, size) in [3, 5000, 0, 10, 4096, 4095, 9000, 1].into_iter().enumerate() {
                let piece = vec![b'a' + u8::try_from(number).unwrap(); size];
                out.tail().extend_from_slice(b"[");
                out.push(Bytes::from(piece.clone()));
                expected.extend_from_slice(b"[");
                expected.extend_from_slice(&piece);
            }
            assert_eq!(out.len(), expected.len());
            let mut io = Slow {
                got: Vec::new(),
                step,
                busy: false,
            };
            let mut written = 0;
            let mut context = Context::from_waker(Waker::noop());
            while out.poll_flush(&mut io, &mut context, &mut written).is_pending() {}
            assert!(
                io.got == expected && out.is_empty() && written == expected.len(),
                "step {step}"
            );
        }
    }
}
