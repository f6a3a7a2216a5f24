//! What a handler can ask of its request: the context, the peer, other limits.

use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::extract::{FromRequestParts, Request};
use axum::response::{IntoResponse, Response};
use futures_util::future::{Either, Ready, ready};
use http::StatusCode;
use http::request::Parts;
use tower_layer::Layer;
use tower_service::Service;

use super::control::Control;
use super::limits::RouteLimits;
use super::refusal::plain;
use crate::Cx;

/// The context of the request's region: the first argument of every handler that can wait.
///
/// It is cancelled when the client leaves, when the handler's time is up, and when the server's drain is over. Tasks spawned
/// with it may outlive the answer by the server's cleanup time at most.
#[derive(Clone, Debug)]
pub struct ReqCx(pub Cx);

/// The address the request came from: the last hop's, not what a header claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddr(pub SocketAddr);

/// The request did not come through an [`HttpServer`](super::HttpServer): a bug of the caller.
#[derive(Clone, Copy, Debug)]
pub struct NotServed;

impl IntoResponse for NotServed {
    fn into_response(self) -> Response {
        tracing::error!("a request without a context reached a handler");
        plain(StatusCode::INTERNAL_SERVER_ERROR, "the request has no context").into_response()
    }
}

impl<S: Sync> FromRequestParts<S> for ReqCx {
    type Rejection = NotServed;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, NotServed> {
        parts.extensions.get::<Self>().cloned().ok_or(NotServed)
    }
}

impl<S: Sync> FromRequestParts<S> for PeerAddr {
    type Rejection = NotServed;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, NotServed> {
        parts.extensions.get::<Self>().copied().ok_or(NotServed)
    }
}

/// The request's side of its [`Control`], in the request's extensions.
#[derive(Clone, Debug)]
pub(super) struct ControlHandle(pub(super) Arc<Control>);

impl<S> Layer<S> for RouteLimits {
    type Service = RouteLimited<S>;

    fn layer(&self, inner: S) -> RouteLimited<S> {
        RouteLimited { inner, limits: *self }
    }
}

/// A route with limits of its own.
#[derive(Clone, Debug)]
pub struct RouteLimited<S> {
    inner: S,
    limits: RouteLimits,
}

impl<S: Service<Request, Response = Response>> Service<Request> for RouteLimited<S> {
    type Response = Response;
    type Error = S::Error;
    type Future = Either<S::Future, Ready<Result<Response, S::Error>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let fits = request
            .extensions()
            .get::<ControlHandle>()
            .is_none_or(|control| control.0.apply(&self.limits));
        if fits {
            Either::Left(self.inner.call(request))
        } else {
            let answer = plain(
                StatusCode::PAYLOAD_TOO_LARGE,
                "the request body is too large for this route",
            );
            Either::Right(ready(Ok(answer.into_response())))
        }
    }
}
