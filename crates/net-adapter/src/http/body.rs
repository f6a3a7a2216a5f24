//! The body of a response: decoded, counted, and read in bounded time.

use std::fmt;
use std::future::poll_fn;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use annals_core::{MonoTime, NetworkErrorKind};
use bytes::Bytes;
use serde::de::DeserializeOwned;

use super::decode::{Gunzip, Step};
use super::error::{HttpError, Phase};
use super::pool::Lease;
use crate::{Cx, TimeoutError};

/// The body of a response. It holds its connection until it has ended or is dropped.
#[derive(Default)]
pub struct Body(State);

#[derive(Default)]
enum State {
    #[default]
    Ended,
    Whole(Bytes),
    Reading(Box<Reading>),
}

pub(super) struct Reading {
    pub(super) lease: Lease,
    pub(super) origin: String,
    pub(super) idle_read: Duration,
    pub(super) total: Option<MonoTime>,
    pub(super) limit: u64,
    pub(super) gunzip: Option<Gunzip>,
    /// Decoded bytes given out so far.
    pub(super) taken: u64,
    /// Bytes the head promised; a hint only.
    pub(super) promised: u64,
}

impl Body {
    /// A body without a byte.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    pub(super) fn reading(reading: Reading) -> Self {
        Self(State::Reading(Box::new(reading)))
    }

    /// The next piece, never empty; `None` at the end, and after an error.
    ///
    /// # Errors
    /// [`HttpError`]: the connection failed, was too slow, the body is too large or damaged, or
    /// `cx` was cancelled. The connection is then closed.
    ///
    /// # Cancel safety
    /// Dropping the future loses no byte; cancelling `cx` ends the body.
    pub async fn chunk(&mut self, cx: &Cx) -> Option<Result<Bytes, HttpError>> {
        match &mut self.0 {
            State::Ended => None,
            State::Whole(bytes) => {
                let bytes = std::mem::take(bytes);
                self.0 = State::Ended;
                (!bytes.is_empty()).then_some(Ok(bytes))
            }
            State::Reading(reading) => {
                let next = reading.next(cx).await;
                if !matches!(next, Some(Ok(_)))
                    && let State::Reading(reading) = std::mem::take(&mut self.0)
                    && next.is_none()
                {
                    reading.lease.finish(cx.now());
                }
                next
            }
        }
    }

    /// The whole body, at most as large as the request allowed.
    ///
    /// # Errors
    /// As [`Self::chunk`].
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection.
    pub async fn bytes(mut self, cx: &Cx) -> Result<Bytes, HttpError> {
        let promised = self.promised();
        let Some(first) = self.chunk(cx).await.transpose()? else {
            return Ok(Bytes::new());
        };
        if first.len() == promised {
            return match self.chunk(cx).await.transpose()? {
                None => Ok(first),
                Some(more) => self.collect(cx, [first, more].concat()).await,
            };
        }
        // The promise is the peer's word only, so it is trusted for a megabyte.
        let mut all = Vec::with_capacity(promised.min(1024 * 1024).max(first.len()));
        all.extend_from_slice(&first);
        self.collect(cx, all).await
    }

    async fn collect(mut self, cx: &Cx, mut all: Vec<u8>) -> Result<Bytes, HttpError> {
        while let Some(piece) = self.chunk(cx).await.transpose()? {
            all.extend_from_slice(&piece);
        }
        Ok(all.into())
    }

    /// The whole body, read as JSON.
    ///
    /// # Errors
    /// As [`Self::chunk`], and kind `Protocol` when it is not the JSON of a `T`.
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection.
    pub async fn json<T: DeserializeOwned>(self, cx: &Cx) -> Result<T, HttpError> {
        let origin = match &self.0 {
            State::Reading(reading) => reading.origin.clone(),
            State::Ended | State::Whole(_) => String::new(),
        };
        let bytes = self.bytes(cx).await?;
        serde_json::from_slice(&bytes).map_err(|error| {
            // serde_json's own text repeats values, and a value can be a secret.
            let at = (error.classify(), error.line(), error.column());
            let what = format!("unexpected JSON ({:?} error at line {}, column {})", at.0, at.1, at.2);
            HttpError::new(NetworkErrorKind::Protocol, &origin, Phase::Body, what)
        })
    }

    fn promised(&self) -> usize {
        match &self.0 {
            State::Reading(reading) if reading.gunzip.is_none() => usize::try_from(reading.promised).unwrap_or(0),
            State::Ended | State::Whole(_) | State::Reading(_) => 0,
        }
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self(State::Whole(bytes))
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            State::Ended => f.write_str("Body(ended)"),
            State::Whole(bytes) => write!(f, "Body({} bytes)", bytes.len()),
            State::Reading(reading) => write!(f, "Body({} bytes so far)", reading.taken),
        }
    }
}

impl Reading {
    async fn next(&mut self, cx: &Cx) -> Option<Result<Bytes, HttpError>> {
        loop {
            let data = match &mut self.gunzip {
                None => self.wire_data(cx).await,
                Some(gunzip) => match gunzip.step() {
                    Ok(Step::Data(data)) => Some(Ok(data)),
                    Ok(Step::End) => self.rest(cx).await,
                    Ok(Step::More) => {
                        match self.wire_data(cx).await {
                            Some(Ok(data)) => self.feed(data),
                            None => self.end(),
                            failed @ Some(Err(_)) => return failed,
                        }
                        continue;
                    }
                    Err(fault) => Some(Err(HttpError::wire(&self.origin, Phase::Body, fault))),
                },
            };
            return match data {
                Some(Ok(data)) => Some(self.count(data)),
                other => other,
            };
        }
    }

    fn feed(&mut self, data: Bytes) {
        if let Some(gunzip) = &mut self.gunzip {
            gunzip.feed(data);
        }
    }

    fn end(&mut self) {
        if let Some(gunzip) = &mut self.gunzip {
            gunzip.end();
        }
    }

    /// The decoder is satisfied; the connection's own end of the body has to be seen too.
    async fn rest(&mut self, cx: &Cx) -> Option<Result<Bytes, HttpError>> {
        match self.wire_data(cx).await? {
            Ok(_) => {
                let what = "bytes after the end of the compressed body";
                Some(Err(HttpError::new(
                    NetworkErrorKind::Protocol,
                    &self.origin,
                    Phase::Body,
                    what,
                )))
            }
            Err(error) => Some(Err(error)),
        }
    }

    fn count(&mut self, data: Bytes) -> Result<Bytes, HttpError> {
        self.taken = self.taken.saturating_add(data.len() as u64);
        if self.taken > self.limit {
            return Err(too_large(&self.origin, self.limit));
        }
        Ok(data)
    }

    async fn wire_data(&mut self, cx: &Cx) -> Option<Result<Bytes, HttpError>> {
        let failed = |kind, what: String| Some(Err(HttpError::new(kind, &self.origin, Phase::Body, what)));
        if let Err(cancelled) = cx.checkpoint() {
            return Some(Err(HttpError::cancelled(&self.origin, Phase::Body, cancelled)));
        }
        // Data that is already here needs no timer.
        let wire = &mut self.lease.wire;
        let mut data = wire.poll_data(&mut Context::from_waker(Waker::noop()));
        let rest = self.total.map(|total| total.since(cx.now()));
        if rest == Some(Duration::ZERO) {
            return failed(
                NetworkErrorKind::TotalTimeout,
                "the time for the whole exchange is over".to_owned(),
            );
        }
        if data.is_pending() {
            let (limit, kind) = match rest {
                Some(rest) if rest < self.idle_read => (rest, NetworkErrorKind::TotalTimeout),
                _ => (self.idle_read, NetworkErrorKind::ReadTimeout),
            };
            match cx.timeout(limit, poll_fn(|context| wire.poll_data(context))).await {
                Ok(ready) => data = Poll::Ready(ready),
                Err(TimeoutError::Elapsed) => return failed(kind, format!("nothing more arrived within {limit:?}")),
                Err(TimeoutError::Cancelled(reason)) => {
                    let cancelled = annals_core::Cancelled(reason);
                    return Some(Err(HttpError::cancelled(&self.origin, Phase::Body, cancelled)));
                }
            }
        }
        match data {
            Poll::Ready(Some(Ok(data))) => Some(Ok(data)),
            Poll::Ready(Some(Err(fault))) => Some(Err(HttpError::wire(&self.origin, Phase::Body, fault))),
            Poll::Ready(None) | Poll::Pending => None,
        }
    }
}

pub(super) fn too_large(origin: &str, limit: u64) -> HttpError {
    let what = format!("more than {limit} bytes");
    HttpError::new(NetworkErrorKind::BodyTooLarge, origin, Phase::Body, what)
}
