//! HTTP, client and server, above both runtimes.
//!
//! The client promises: a request ends in an answer or in an error that says what failed and whether
//! trying again can help; it takes no longer and reads no more than its options say; it can be
//! cancelled at any await and then leaves no socket and no permit behind; and no secret travels to
//! another origin or into an error. A backend supplies only how bytes of one connection become an
//! answer; everything else is written here, once.
//!
//! Read in this order: [`Request`] and its options; `client`, one exchange from word to answer;
//! `redirect`, `pool`, `connect` and `proxy`, its steps; `wire`, one connection; [`Body`] with
//! `decode`; [`HttpError`]. Beside them [`get_if_changed`], [`RateLimiter`] and
//! [`append_query_params`]; below, [`server`].

pub(crate) mod address;
mod body;
mod client;
pub(crate) mod connect;
mod decode;
mod error;
mod limiter;
mod pool;
pub(crate) mod proxy;
mod query;
mod redirect;
mod request;
pub mod server;
mod validators;
pub(crate) mod wire;

pub use address::FinalUrl;
pub use body::Body;
pub use client::{HttpClient, Response, http_client};
#[cfg(feature = "tokio")]
pub(crate) use error::BoxError;
pub use error::{HttpError, Phase};
pub(crate) use error::{WireFault, kind_of_stream_error};
pub use limiter::RateLimiter;
pub use proxy::ProxyConfig;
pub(crate) use proxy::base64;
pub use query::append_query_params;
pub use request::{BodyStream, HttpConfig, ReqBody, ReqOpts, Request};
pub use validators::{Fetched, Validators, get_if_changed};
