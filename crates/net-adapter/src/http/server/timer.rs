//! One timer per connection, and watches on cancellation: both cheap enough to be asked on every poll.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::backend::BoxFuture;
use crate::token::{Raised, Token};
use crate::{Cx, MonoTime};

/// A timer for deadlines that mostly move later. A backend timer is made only when the one that runs would fire too late;
/// one that fires too early is set again. So a request costs no timer of the backend.
#[derive(Default)]
pub(crate) struct Timer {
    armed: Option<Armed>,
}

struct Armed {
    at: MonoTime,
    sleep: BoxFuture<'static, ()>,
    waker: Waker,
}

impl Timer {
    /// Ready once `at` is reached; never, if there is no deadline.
    pub(crate) fn poll(&mut self, cx: &Cx, context: &mut Context<'_>, at: Option<MonoTime>) -> Poll<()> {
        let Some(at) = at else { return Poll::Pending };
        loop {
            let now = cx.now();
            if now >= at {
                return Poll::Ready(());
            }
            match &mut self.armed {
                Some(armed) if armed.at <= at => {
                    if now < armed.at && armed.waker.will_wake(context.waker()) {
                        return Poll::Pending;
                    }
                    armed.waker = context.waker().clone();
                    if armed.sleep.as_mut().poll(context).is_pending() {
                        return Poll::Pending;
                    }
                    self.armed = None;
                }
                _ => {
                    let mut sleep = cx.backend().sleep_until(at);
                    let waker = context.waker().clone();
                    if sleep.as_mut().poll(context).is_pending() {
                        self.armed = Some(Armed { at, sleep, waker });
                        return Poll::Pending;
                    }
                }
            }
        }
    }
}

/// Whether a token was raised; the task is woken when it is.
pub(crate) struct Watch {
    token: Arc<Token>,
    raised: Raised,
    waker: Option<Waker>,
}

impl Watch {
    pub(crate) fn new(token: &Arc<Token>) -> Self {
        Self {
            token: token.clone(),
            raised: token.raised(),
            waker: None,
        }
    }

    pub(crate) fn is_raised(&self) -> bool {
        self.token.is_raised()
    }

    /// As [`Self::is_raised`], and the task of `context` will be polled again when it changes.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> bool {
        if self.token.is_raised() {
            return true;
        }
        // The token keeps the waker until it is raised; all connections share it, so it is asked once, not on every poll.
        if self
            .waker
            .as_ref()
            .is_some_and(|known| known.will_wake(context.waker()))
        {
            return false;
        }
        self.waker = Some(context.waker().clone());
        Pin::new(&mut self.raised).poll(context).is_ready()
    }
}
