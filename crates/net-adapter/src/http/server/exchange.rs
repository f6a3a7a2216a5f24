//! One request in the hands of its handler.
//!
//! The handler runs in a region of its own. It is never dropped between two polls because its client left or its time is up:
//! its context is cancelled, and it is polled on for at most the cleanup time.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use annals_core::{CancelKind, CancelReason, PanicMsg};
use axum::extract::{DefaultBodyLimit, Request};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use tower_service::Service;

use super::control::{BodyError, Control, RequestBody};
use super::extract::{ControlHandle, PeerAddr, ReqCx};
use super::head::{Persistence, RequestHead};
use super::leftovers::WeakLeftovers;
use super::refusal::plain;
use super::shared::Connected;
use super::sse::EndsWithDrain;
use crate::backend::BoxFuture;
use crate::{Budget, Cx, Region, RegionSpec};

type Handler = BoxFuture<'static, Response>;

/// A handler at work.
pub(crate) struct Exchange {
    handler: Option<Handler>,
    region: Option<RequestRegion>,
    control: Arc<Control>,
    connected: Arc<Connected>,
}

/// What to send, and what becomes of the connection.
pub(crate) struct Answer {
    pub(crate) response: Response,
    pub(crate) persistence: Persistence,
    pub(crate) region: Option<RequestRegion>,
}

impl Exchange {
    /// Open the request's region and hand the request to the router. Nothing of the handler has run yet.
    pub(crate) fn start(connected: &Arc<Connected>, head: RequestHead, control: Arc<Control>) -> Self {
        let limits = &connected.shared.limits;
        let spec = RegionSpec {
            cleanup: limits.cleanup,
            ..RegionSpec::collect_all("http-request")
        };
        let mut exchange = Self {
            handler: None,
            region: None,
            control,
            connected: connected.clone(),
        };
        // A region that cannot be opened leaves the exchange without a handler, which answers 503.
        let Ok(region) = connected.cx.open_region(spec) else {
            return exchange;
        };
        let mut request: Request = head.into_request(axum::body::Body::new(RequestBody(exchange.control.clone())));
        // Our limit stands; axum's own would cut below it.
        DefaultBodyLimit::disable().apply(&mut request);
        let extensions = request.extensions_mut();
        extensions.insert(ReqCx(region.cx().clone()));
        extensions.insert(PeerAddr(connected.peer));
        extensions.insert(ControlHandle(exchange.control.clone()));
        let mut app = connected.shared.app.clone();
        exchange.handler = Some(Box::pin(async move {
            match app.call(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            }
        }));
        exchange.region = Some(RequestRegion {
            region: Some(region),
            leftovers: connected.leftovers.downgrade(),
            cx: connected.cx.clone(),
            cleanup: limits.cleanup,
        });
        exchange
    }

    /// The handler's answer, or the one that stands in for it.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Answer> {
        let Some(handler) = &mut self.handler else {
            return Poll::Ready(self.own_answer(StatusCode::SERVICE_UNAVAILABLE, "the server is closing"));
        };
        let polled = catch_unwind(AssertUnwindSafe(|| handler.as_mut().poll(context)));
        match polled {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(mut response)) => {
                self.handler = None;
                EndsWithDrain::tell(&mut response, &self.connected.shared.drain);
                if self.control.failure() == Some(BodyError::Idle) {
                    return Poll::Ready(
                        self.own_answer(StatusCode::REQUEST_TIMEOUT, "the request body did not arrive in time"),
                    );
                }
                Poll::Ready(Answer {
                    response,
                    persistence: Persistence::Keep,
                    region: self.region.take(),
                })
            }
            Err(payload) => {
                self.drop_handler();
                let panic = PanicMsg::from_payload("http-request", &*payload);
                tracing::error!(%panic, "a handler panicked");
                self.connected.shared.counters.panicked.add();
                Poll::Ready(self.own_answer(StatusCode::INTERNAL_SERVER_ERROR, "the request failed"))
            }
        }
    }

    /// The handler's time is up: cancel it, and answer for it.
    pub(crate) fn expire(&mut self) -> Answer {
        self.connected.shared.counters.timed_out.add();
        self.abandon(CancelKind::Deadline);
        self.own_answer(StatusCode::GATEWAY_TIMEOUT, "the request took too long")
    }

    /// Cancel the handler and let it finish beside the connection.
    fn abandon(&mut self, kind: CancelKind) {
        let (Some(mut handler), Some(region)) = (self.handler.take(), self.region.take()) else {
            return;
        };
        region.cancel(kind);
        let (cx, cleanup) = (self.connected.cx.clone(), self.connected.shared.limits.cleanup);
        self.connected.leftovers.push(async move {
            let cleaned = cx
                .masked(cleanup, |_| crate::cx::caught("http-request", handler.as_mut()))
                .await;
            match cleaned {
                Ok(Ok(_)) => {}
                Ok(Err(panic)) => tracing::error!(%panic, "a cancelled handler panicked"),
                Err(exceeded) => tracing::warn!(%exceeded, "a cancelled handler was cut short"),
            }
            drop(handler);
            region.close_cancelled().await;
        });
    }

    fn own_answer(&mut self, status: StatusCode, why: &str) -> Answer {
        let response = plain(status, why).into_response();
        Answer {
            response,
            persistence: Persistence::Close,
            region: self.region.take(),
        }
    }

    /// Dropping what panicked may panic again.
    fn drop_handler(&mut self) {
        let handler = self.handler.take();
        if catch_unwind(AssertUnwindSafe(|| drop(handler))).is_err() {
            tracing::error!("a handler panicked while it was dropped");
        }
    }
}

impl Drop for Exchange {
    /// Nobody waits for the answer any more: the client is gone, or the server is.
    fn drop(&mut self) {
        self.abandon(CancelKind::ClientGone);
    }
}

/// The region of a request, until the answer was sent or given up.
pub(crate) struct RequestRegion {
    region: Option<Region>,
    leftovers: WeakLeftovers,
    cx: Cx,
    cleanup: Duration,
}

impl RequestRegion {
    fn cancel(&self, kind: CancelKind) {
        self.cancel_for(CancelReason::new(kind, "http-request", self.cx.now()));
    }

    /// The context of the region, unless it is over.
    pub(crate) fn cx(&self) -> Option<Cx> {
        self.region.as_ref().map(|region| region.cx().clone())
    }

    pub(crate) fn cancel_for(&self, reason: CancelReason) {
        if let Some(region) = &self.region {
            region.cancel(reason);
        }
    }

    /// The answer was sent. Tasks the handler started may go on for the cleanup time; then they are cancelled.
    pub(crate) fn finish(mut self) {
        // Nearly every handler leaves nothing behind.
        if let Some(Err(region)) = self.region.take().map(Region::close_if_over) {
            let (cx, cleanup) = (self.cx.clone(), self.cleanup);
            self.leave(async move {
                let patient = cx.with_budget(Budget::until(cx.now().after(cleanup)));
                region.close(&patient).await;
            });
        }
    }

    /// Without its connection the future is dropped, and the region goes to its parent.
    fn leave(&self, closing: impl Future<Output = ()> + Send + 'static) {
        if let Some(leftovers) = self.leftovers.upgrade() {
            leftovers.push(closing);
        }
    }

    async fn close_cancelled(mut self) {
        if let Some(region) = self.region.take() {
            region.close_within(self.cleanup).await;
        }
    }
}

impl Drop for RequestRegion {
    fn drop(&mut self) {
        self.cancel(CancelKind::ClientGone);
        if let Some(region) = self.region.take() {
            let cleanup = self.cleanup;
            self.leave(async move {
                region.close_within(cleanup).await;
            });
        }
    }
}
