//! How a connection ends.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use futures_io::AsyncWrite as _;

use super::link::{Flush, Link};
use super::seats::Seat;

/// The way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Send what is queued and close.
    Close,
    /// The answer is incomplete: close so that the client can tell.
    Cut,
    /// The client does not read, or could not tell otherwise that the answer is incomplete.
    Reset,
}

/// End the connection, then wait for what its requests left.
pub(crate) async fn part(mut link: Link, seat: Seat, end: End) {
    let leftovers = link.connected.leftovers.clone();
    let end = if end == End::Close { flush(&mut link).await } else { end };
    match end {
        End::Close if link.has_unread() => linger(&mut link).await,
        End::Close | End::Cut => {}
        End::Reset => {
            if let Err(error) = link.io.reset_on_close() {
                tracing::debug!(%error, "cannot reset a connection");
            }
        }
    }
    // The socket is closed before the wait for what it cannot hear any more.
    drop(link);
    poll_fn(|context| leftovers.poll(context)).await;
    drop(seat);
}

/// Send what is queued; a client that does not take it is cut off.
async fn flush(link: &mut Link) -> End {
    poll_fn(|context| {
        link.connected.leftovers.tend(context);
        match link.poll_flush(context) {
            Poll::Ready(Flush::Done) => Poll::Ready(End::Close),
            Poll::Ready(Flush::Broken) => Poll::Ready(End::Cut),
            Poll::Pending => link.poll_stall(context).map(|_| End::Reset),
        }
    })
    .await
}

/// Let the client read the last answer before the connection is gone.
async fn linger(link: &mut Link) {
    let until = link.connected.cx.now().after(link.linger());
    let mut closed = false;
    poll_fn(|context| {
        link.connected.leftovers.tend(context);
        closed = closed || Pin::new(&mut link.io).poll_close(context).is_ready();
        link.poll_discard(context, until)
    })
    .await;
}
