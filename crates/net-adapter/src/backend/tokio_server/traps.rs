//! What hyper does today, and why the gate stands before it (runtime.md §14). When one of these fails after an upgrade, its cure
//! may be needless, or another one needed.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::rt::{Sleep, Timer};
use hyper::service::service_fn;

use super::*;

/// What a client sends, piece by piece; then silence, or the end.
struct Script {
    input: VecDeque<&'static str>,
    ends: bool,
    output: Arc<Mutex<Vec<u8>>>,
}

impl Script {
    fn new(input: &[&'static str], ends: bool) -> (Self, Arc<Mutex<Vec<u8>>>) {
        let output = Arc::default();
        (
            Self {
                input: input.iter().copied().collect(),
                ends,
                output: Arc::clone(&output),
            },
            output,
        )
    }
}

impl Read for Script {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, mut buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        match self.input.pop_front() {
            Some(piece) => buffer.put_slice(piece.as_bytes()),
            None if self.ends => {}
            None => return Poll::Pending,
        }
        Poll::Ready(Ok(()))
    }
}

impl Write for Script {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.output.lock().unwrap().extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

type Answer = Result<http::Response<Full<Bytes>>, Infallible>;

fn ok() -> Answer {
    Ok(http::Response::new(Full::new(Bytes::from_static(b"ok"))))
}

struct CountDrop(Arc<AtomicUsize>);

impl Drop for CountDrop {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn trap_hyper_drops_the_handler_when_the_client_leaves() {
    let dropped = Arc::new(AtomicUsize::new(0));
    let (script, output) = Script::new(&[GET], true);
    let service = service_fn(|_: http::Request<Incoming>| {
        let guard = CountDrop(dropped.clone());
        async move {
            std::future::pending::<()>().await;
            drop(guard);
            ok()
        }
    });
    let mut hyper = Box::pin(http1::Builder::new().serve_connection(script, service));
    assert!(hyper.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
    drop(hyper);
    assert_eq!(dropped.load(Ordering::Relaxed), 1);
    assert!(output.lock().unwrap().is_empty());
}

#[test]
fn trap_hyper_answers_a_request_with_two_framings_and_hides_one() {
    let both = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (script, output) = Script::new(&[both], false);
    let service = service_fn(|request: http::Request<Incoming>| {
        seen.lock()
            .unwrap()
            .push(request.headers().contains_key("content-length"));
        std::future::ready(ok())
    });
    let mut hyper = Box::pin(http1::Builder::new().serve_connection(script, service));
    drop(hyper.as_mut().poll(&mut Context::from_waker(Waker::noop())));
    assert_eq!(*seen.lock().unwrap(), [false], "accepted, and the length is hidden");
    assert!(output.lock().unwrap().starts_with(b"HTTP/1.1 200 OK\r\n"));
}

/// Time is always up.
struct Impatient;

struct Up;

impl Future for Up {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
}

impl Sleep for Up {}

impl Timer for Impatient {
    fn sleep(&self, _: Duration) -> Pin<Box<dyn Sleep>> {
        Box::pin(Up)
    }

    fn sleep_until(&self, _: Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(Up)
    }
}

#[test]
fn trap_hyper_closes_without_an_answer_when_a_head_is_late() {
    let (script, output) = Script::new(&["GET / HT"], false);
    let mut builder = http1::Builder::new();
    builder.timer(Impatient).header_read_timeout(Duration::from_secs(1));
    let mut hyper = Box::pin(builder.serve_connection(
        script,
        service_fn(|_: http::Request<Incoming>| std::future::ready(ok())),
    ));
    assert!(hyper.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
    assert!(output.lock().unwrap().is_empty());
}

#[test]
fn trap_hyper_panics_on_a_head_time_without_a_timer() {
    let (script, _) = Script::new(&[GET], false);
    let served = catch_unwind(AssertUnwindSafe(|| {
        let mut builder = http1::Builder::new();
        builder.header_read_timeout(Duration::from_secs(1));
        let service = service_fn(|_: http::Request<Incoming>| std::future::ready(ok()));
        let mut hyper = Box::pin(builder.serve_connection(script, service));
        hyper.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }));
    assert!(served.is_err());
}

#[test]
fn trap_hyper_waits_to_be_told_that_it_can_read_on() {
    // It looked for more while the answer was being made and found nothing. Although there is more now, one poll later
    // it has not looked again: the gate has to say so.
    struct Late(Script, Arc<AtomicUsize>);
    impl Read for Late {
        fn poll_read(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
            buffer: ReadBufCursor<'_>,
        ) -> Poll<io::Result<()>> {
            if self.1.fetch_add(1, Ordering::Relaxed) == 1 {
                return Poll::Pending;
            }
            Pin::new(&mut self.0).poll_read(context, buffer)
        }
    }
    impl Write for Late {
        fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            Pin::new(&mut self.0).poll_write(context, bytes)
        }
        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }
    let (script, output) = Script::new(&[GET, GET], false);
    let reads = Arc::new(AtomicUsize::new(0));
    let service = service_fn(|_: http::Request<Incoming>| std::future::ready(ok()));
    let mut hyper = Box::pin(http1::Builder::new().serve_connection(Late(script, reads.clone()), service));
    let answers = || {
        String::from_utf8_lossy(&output.lock().unwrap())
            .matches("HTTP/1.1 200")
            .count()
    };
    let mut context = Context::from_waker(Waker::noop());
    assert!(hyper.as_mut().poll(&mut context).is_pending());
    assert_eq!((answers(), reads.load(Ordering::Relaxed)), (1, 2));
    assert!(hyper.as_mut().poll(&mut context).is_pending());
    assert_eq!(answers(), 2);
}
