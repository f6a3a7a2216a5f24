//! The accept loop: who gets a connection, and how a server ends.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use annals_core::{CancelReason, Cancelled, NetworkErrorKind};
use axum::Router;
use axum::body::Body;

use super::farewell::{End, part};
use super::head::Persistence;
use super::limits::ServerLimits;
use super::link::Link;
use super::own;
use super::refusal::Refusal;
use super::response::{Asked, prepare, write_head};
use super::seats::Seats;
use super::shared::{Connection, Counters, Shared};
use crate::token::Token;
use crate::{Budget, Cx, DrainReport, Listener, MonoTime, NetError, RegionSpec, Stop, Stream, TimeoutError};

/// The wait after an accept error such as too many open files, doubled up to the longest.
const SHORTEST_BACK_OFF: Duration = Duration::from_millis(50);
const LONGEST_BACK_OFF: Duration = Duration::from_secs(1);

/// An HTTP/1.1 server for one router.
pub struct HttpServer {
    app: Router,
    limits: ServerLimits,
    engine: Engine,
}

/// Which code answers on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Engine {
    /// Whatever the backend prefers.
    Backend,
    /// Our own loop.
    Own,
}

/// What a server did.
#[derive(Clone, Debug, Default)]
pub struct ServeReport {
    /// Answers that handlers gave, or that stood in for one.
    pub served: u64,
    /// Heads and connections that were refused.
    pub refused: u64,
    /// Connections closed while no request was on them.
    pub idle_closed: u64,
    /// Requests that were in flight when the drain began and were answered.
    pub finished_in_drain: u64,
    /// Requests that were cancelled because the drain was over.
    pub cancelled: u64,
    /// Handlers that panicked.
    pub panicked: u64,
    /// Handlers whose time was up.
    pub timed_out: u64,
    /// Errors of the listening socket.
    pub accept_errors: u64,
    /// How the region of the connections closed.
    pub drain: DrainReport,
}

impl HttpServer {
    /// A server that will answer with `app`.
    #[must_use]
    pub fn new(app: Router, limits: ServerLimits) -> Self {
        // Without state, so that the router is not prepared anew for every request.
        Self {
            app: app.with_state(()),
            limits,
            engine: Engine::Backend,
        }
    }

    /// Use the adapter's own loop even where the backend has a server: for tests that compare the two.
    #[doc(hidden)]
    #[must_use]
    pub fn with_own_loop(mut self) -> Self {
        self.engine = Engine::Own;
        self
    }

    /// Accept and answer until the process drains (and `notice` has passed) or `cx` is cancelled. Then the listener is closed,
    /// idle connections end, and requests in flight have `drain` to finish.
    ///
    /// # Errors
    /// [`NetError`] of kind `Cancelled` if `cx`'s region is closing already and nothing can be served.
    ///
    /// # Cancel safety
    /// If the future is dropped, every connection is cancelled and the region of `cx` waits for them.
    pub async fn serve(self, cx: &Cx, listener: Listener) -> Result<ServeReport, NetError> {
        let Self { app, limits, engine } = self;
        let at = listener.local_addr();
        let shared = Arc::new(Shared {
            app,
            limits,
            counters: Counters::default(),
            drain: Token::root(),
        });
        let limits = &shared.limits;
        let spec = RegionSpec {
            cleanup: limits.cleanup,
            keep_reports: 0,
            ..RegionSpec::collect_all("http-server")
        };
        let region = cx
            .open_region(spec)
            .map_err(|error| NetError::new(NetworkErrorKind::Cancelled, at, error))?;
        let accepting = Accepting {
            listener,
            seats: Seats::new(limits.connections, limits.per_peer),
            back_off: SHORTEST_BACK_OFF,
            connections: region.cx().clone(),
            shared: shared.clone(),
            engine,
        };
        let reason = accepting.run(cx).await;
        shared.drain.raise(reason);
        let patient = cx.with_budget(Budget::until(cx.now().after(limits.drain)));
        let drain = region.close(&patient).await.drain;
        let counters = &shared.counters;
        Ok(ServeReport {
            served: counters.served.get(),
            refused: counters.refused.get(),
            idle_closed: counters.idle_closed.get(),
            finished_in_drain: counters.finished_in_drain.get(),
            cancelled: counters.cancelled.get(),
            panicked: counters.panicked.get(),
            timed_out: counters.timed_out.get(),
            accept_errors: counters.accept_errors.get(),
            drain,
        })
    }
}

struct Accepting {
    listener: Listener,
    seats: Seats,
    back_off: Duration,
    connections: Cx,
    shared: Arc<Shared>,
    engine: Engine,
}

impl Accepting {
    /// Until the server is to end; says why. The listener is closed on return.
    async fn run(mut self, cx: &Cx) -> CancelReason {
        let (reason, notice) = loop {
            match cx.or_stop(self.next(cx)).await {
                Ok(Ok(())) => {}
                Ok(Err(Cancelled(reason))) | Err(Stop::Cancelled(reason)) => return reason,
                Err(Stop::Draining(reason)) => break (reason, cx.now().after(self.shared.limits.notice)),
            }
        };
        self.until(cx, notice).await;
        reason
    }

    /// Go on accepting while load balancers learn that the server is about to end.
    async fn until(&mut self, cx: &Cx, end: MonoTime) {
        loop {
            let left = end.since(cx.now());
            if left.is_zero() {
                return;
            }
            match cx.timeout(left, self.next(cx)).await {
                Ok(Ok(())) => {}
                Ok(Err(Cancelled(_))) | Err(TimeoutError::Elapsed | TimeoutError::Cancelled(_)) => return,
            }
        }
    }

    /// One connection, or one error and the wait after it.
    async fn next(&mut self, cx: &Cx) -> Result<(), Cancelled> {
        cx.or_cancel(self.seats.free()).await?;
        match self.listener.accept(cx).await {
            Ok((stream, _)) => {
                self.back_off = SHORTEST_BACK_OFF;
                self.start(stream);
                Ok(())
            }
            Err(error) if error.kind == NetworkErrorKind::Cancelled => cx.checkpoint(),
            Err(error) => {
                self.shared.counters.accept_errors.add();
                if concerns_one_client(&error) {
                    return Ok(());
                }
                tracing::warn!(%error, wait = ?self.back_off, "cannot accept connections");
                let wait = self.back_off;
                self.back_off = (wait * 2).min(LONGEST_BACK_OFF);
                cx.sleep(wait).await
            }
        }
    }

    fn start(&self, stream: Stream) {
        let seat = self.seats.take(stream.peer_addr().ip());
        let (shared, engine) = (self.shared.clone(), self.engine);
        let spawned = self.connections.spawn("http-connection", move |cx| async move {
            let over = seat.over;
            let connection = Connection {
                stream,
                shared,
                cx,
                seat,
            };
            match engine {
                _ if over => turn_away(connection).await,
                Engine::Own => own::serve(connection).await,
                Engine::Backend => {
                    let backend = connection.cx.backend().clone();
                    backend.serve_conn(connection).await;
                }
            }
            Ok::<(), Cancelled>(())
        });
        if let Err(error) = spawned {
            self.shared.counters.refused.add();
            tracing::warn!(%error, "cannot serve a connection");
        }
    }
}

/// An error about the connection that was to be accepted says nothing about the next one.
fn concerns_one_client(error: &NetError) -> bool {
    error.source.downcast_ref::<io::Error>().is_some_and(|error| {
        matches!(
            error.kind(),
            io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::NotConnected
        )
    })
}

/// The fixed answer to a peer that has all the connections it may have. Its request is not read.
async fn turn_away(connection: Connection) {
    connection.shared.counters.refused.add();
    let (mut link, seat) = Link::new(connection);
    let refusal = Refusal::TooManyConnections;
    let date = link.date();
    let prepared = prepare(
        refusal.response().map(Body::from),
        Asked::NOTHING,
        Persistence::Close,
        date,
    );
    write_head(&prepared.parts, link.out.tail());
    let mut body = prepared.body;
    let text = poll_fn(|context| body.poll_chunk(context)).await;
    if let Some(Ok(text)) = text {
        link.out.push(text);
    }
    link.turn_away();
    part(link, seat, End::Close).await;
}

#[cfg(all(test, feature = "lab"))]
mod tests {
    use std::collections::VecDeque;
    use std::task::{Context, Poll};

    use super::*;
    use crate::backend::RawListener;

    /// Fails in these ways, then has nothing more.
    struct Failing(VecDeque<io::Error>);

    impl RawListener for Failing {
        fn poll_accept(&mut self, _: &mut Context<'_>) -> Poll<io::Result<Stream>> {
            self.0
                .pop_front()
                .map_or(Poll::Pending, |error| Poll::Ready(Err(error)))
        }
    }

    #[test]
    fn a_failing_listener_is_asked_again_later() {
        let too_many_files = || io::Error::from_raw_os_error(24);
        let errors = [
            too_many_files(),
            io::ErrorKind::ConnectionAborted.into(),
            too_many_files(),
            too_many_files(),
            too_many_files(),
            too_many_files(),
            too_many_files(),
        ];
        let report = crate::lab::run(1, |cx| async move {
            let at = "127.0.0.1:1".parse().unwrap();
            let listener = Listener::new(Box::new(Failing(errors.into())), at);
            let server = HttpServer::new(Router::new(), ServerLimits::default());
            let begun = cx.now();
            let mut serving = cx
                .spawn("server", move |cx| async move { server.serve(&cx, listener).await })
                .unwrap();
            // 50 + 100 + 200 + 400 + 800 + 1000 ms, and nothing for the client that left.
            cx.sleep(Duration::from_millis(2_549)).await.unwrap();
            let reason = CancelReason::new(annals_core::CancelKind::User, "test", cx.now());
            cx.sleep(Duration::from_millis(2)).await.unwrap();
            cx.shutdown().begin(reason);
            let served = serving.join(&cx).await.unwrap().ok().unwrap();
            (served.accept_errors, cx.now().since(begun))
        });
        report.clean().unwrap();
        let (errors, time) = report.outcome.ok().unwrap();
        assert_eq!(errors, 7);
        assert!(time < Duration::from_secs(3), "{time:?}");
    }
}
