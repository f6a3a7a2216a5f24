//! hyper's HTTP/1 server connection, behind the adapter's [`Gate`].
//!
//! hyper writes the answers and knows when one follows another. It reads nothing of the client: the gate hands it a fixed head
//! per request, so its own head timer, its body decoding and its view of `Connection` never meet untrusted bytes.

#[cfg(test)]
mod traps;

use std::convert::Infallible;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use hyper::body::Incoming;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::server::conn::http1;

use crate::http::server::gate::{AnswerBody, Answering, End, Gate};
use crate::http::server::shared::Connection;

/// Serve a connection to its end.
pub(super) async fn serve(connection: Connection) {
    let (gate, seat) = Gate::new(connection);
    let leftovers = gate.leftovers();
    let mut hyper = Box::pin(
        http1::Builder::new()
            // The date is ours: in the lab, and in the answers of our own loop, it is the context's.
            .auto_date_header(false)
            .serve_connection(Socket(gate.clone()), Service(gate.clone())),
    );
    let end = poll_fn(|context| {
        let done = loop {
            let done = hyper.as_mut().poll(context);
            if done.is_ready() || !gate.take_readable() {
                break done;
            }
        };
        leftovers.tend(context);
        match done {
            Poll::Ready(Ok(())) => Poll::Ready(End::Close),
            Poll::Ready(Err(error)) => {
                tracing::debug!(%error, "an HTTP connection ended early");
                Poll::Ready(gate.cut())
            }
            Poll::Pending => gate.poll_beside(context),
        }
    })
    .await;
    // A handler at work moves to what is left, and is finished there.
    drop(hyper);
    gate.part(seat, end).await;
}

struct Service(Gate);

impl hyper::service::Service<http::Request<Incoming>> for Service {
    type Response = http::Response<AnswerBody>;
    type Error = Infallible;
    type Future = Answering;

    fn call(&self, _fixed: http::Request<Incoming>) -> Answering {
        self.0.answer()
    }
}

/// The gate as hyper's socket.
struct Socket(Gate);

impl Read for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let bytes = ready!(self.0.poll_read(context, buffer.remaining()));
        buffer.put_slice(bytes);
        Poll::Ready(Ok(()))
    }
}

impl Write for Socket {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.poll_write(context, &[IoSlice::new(bytes)])
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.0.poll_write(context, slices)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_shutdown(context)
    }
}
