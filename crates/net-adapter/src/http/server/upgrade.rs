//! From HTTP to another protocol on the same connection.
//!
//! A handler answers 101 and leaves a closure in its response. Once the answer was sent, the closure gets the stream and
//! the bytes that came behind the request; the connection stays a connection of the server until it ends: it holds its seat,
//! is counted in flight, is asked to end when the server drains and is cut off when the drain is over.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::task::Poll;

use annals_core::PanicMsg;
use axum::response::Response;
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, DATE, TRANSFER_ENCODING};
use http::response::Parts;
use http::{HeaderValue, StatusCode, Version};

use super::exchange::RequestRegion;
use super::farewell::End;
use super::link::{Flush, Link};
use super::timer::Timer;
use crate::backend::BoxFuture;
use crate::token::lock;
use crate::{Cx, MonoTime, Stream};

/// A connection that left HTTP.
pub(crate) struct Upgraded {
    pub(crate) stream: Stream,
    /// What the client had sent behind its request.
    pub(crate) early: Bytes,
}

/// What goes on with the stream; a panic in it is told, not thrown.
pub(crate) type Run = Box<dyn FnOnce(Cx, Upgraded) -> BoxFuture<'static, Result<(), PanicMsg>> + Send>;

/// The closure in a response's extensions, which have to be clonable.
#[derive(Clone)]
struct Switch(Arc<Mutex<Option<Run>>>);

/// What is left of a request when its handler wants to speak `protocol` from here on.
pub(crate) fn switching(protocol: &'static str, run: Run) -> Response {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response
        .headers_mut()
        .insert(http::header::UPGRADE, HeaderValue::from_static(protocol));
    response
        .extensions_mut()
        .insert(Switch(Arc::new(Mutex::new(Some(run)))));
    response
}

/// The closure, if the response is one that [`switching`] made.
pub(crate) fn take(response: &mut Response) -> Option<Run> {
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return None;
    }
    let switch = response.extensions_mut().remove::<Switch>()?;
    lock(&switch.0).take()
}

/// The head of a 101: no framing, because nothing of HTTP follows.
pub(crate) fn head(response: Response, date: HeaderValue) -> Parts {
    let mut parts = response.into_parts().0;
    for name in [CONTENT_LENGTH, TRANSFER_ENCODING] {
        parts.headers.remove(name);
    }
    parts.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    parts.headers.insert(DATE, date);
    parts.version = Version::HTTP_11;
    parts
}

/// Speak the other protocol to its end. The 101 is queued or sent.
pub(crate) async fn speak(link: &mut Link, run: Run, region: Option<RequestRegion>) -> End {
    let Some(region) = region else { return End::Cut };
    let sent = poll_fn(|context| {
        link.connected.leftovers.tend(context);
        match link.poll_flush(context) {
            Poll::Ready(Flush::Done) => Poll::Ready(Ok(())),
            Poll::Ready(Flush::Broken) => Poll::Ready(Err(End::Cut)),
            Poll::Pending => link.poll_stall(context).map(|_| Err(End::Reset)),
        }
    });
    if let Err(end) = sent.await {
        return end;
    }
    let Some(cx) = region.cx() else { return End::Cut };
    let upgraded = link.leave();
    let connected = link.connected.clone();
    let cleanup = connected.shared.limits.cleanup;
    let mut work = Some(run(cx, upgraded));
    let (mut asked, mut end) = (false, None::<MonoTime>);
    let mut timer = Timer::default();
    poll_fn(|context| {
        connected.leftovers.tend(context);
        if !asked && let Some(reason) = link.poll_drain(context) {
            asked = true;
            region.cancel_for(reason);
        }
        if end.is_none() && link.poll_cancel(context) {
            end = Some(connected.cx.now().after(cleanup));
        }
        let Some(future) = &mut work else {
            return Poll::Ready(());
        };
        // The closure tells its panics itself; this one is about what panics while it is built or dropped.
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
            Ok(Poll::Pending) => {}
            Ok(Poll::Ready(Ok(()))) => return Poll::Ready(()),
            Ok(Poll::Ready(Err(panic))) => {
                tracing::error!(%panic, "an upgraded connection panicked");
                connected.shared.counters.panicked.add();
                return Poll::Ready(());
            }
            Err(_) => {
                tracing::error!("an upgraded connection panicked");
                connected.shared.counters.panicked.add();
                return Poll::Ready(());
            }
        }
        timer.poll(&connected.cx, context, end).map(|()| {
            tracing::warn!(limit = ?cleanup, "an upgraded connection was cut short");
        })
    })
    .await;
    if catch_unwind(AssertUnwindSafe(|| work = None)).is_err() {
        tracing::error!("an upgraded connection panicked while it was dropped");
    }
    link.answer_ended();
    region.finish();
    End::Close
}
