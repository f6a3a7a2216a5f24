//! hyper's connection-level client, driven by whoever polls it: no task, no timer, no pool of its own.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use futures_io::{AsyncRead, AsyncWrite};
use futures_util::FutureExt;
use http_body::{Frame, SizeHint};
use hyper::Uri;
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1::{Builder, Connection, SendRequest};

use super::BoxFuture;
use crate::http::WireFault;
use crate::http::wire::{After, Gate, Outgoing, ResponseHead, Watch, Wire};
use crate::http::{BoxError, ReqBody};
use crate::net::Stream;

/// A connection over a stream that has just been opened.
pub(super) fn wire(stream: Stream) -> Result<Box<dyn Wire>, WireFault> {
    let (gate, watch) = Gate::new(stream);
    // hyper's HTTP/1 handshake only builds its state: it is ready at the first poll.
    let handshake = Builder::new()
        .max_headers(MAX_FIELDS)
        .handshake(Socket(gate))
        .now_or_never();
    let (sender, connection) = match handshake {
        Some(Ok(pair)) => pair,
        Some(Err(error)) => return Err(WireFault::protocol(error)),
        None => return Err(WireFault::protocol("the connection's state could not be set up")),
    };
    Ok(Box::new(HyperWire {
        sender,
        connection: Some(Box::pin(connection)),
        exchange: Exchange::Over,
        after: After::Keep,
        watch,
    }))
}

/// The gate has counted before; hyper's own limit only has to be out of the way.
const MAX_FIELDS: usize = 128;
const READ: usize = 16 * 1024;

struct HyperWire {
    sender: SendRequest<Sent>,
    /// `None` once it has ended.
    connection: Option<Pin<Box<Connection<Socket, Sent>>>>,
    exchange: Exchange,
    after: After,
    watch: Watch,
}

enum Exchange {
    Asked(BoxFuture<'static, hyper::Result<hyper::Response<Incoming>>>),
    Answering(Incoming),
    Over,
    Failed,
}

impl HyperWire {
    /// Moves bytes in both directions. An error of the connection also ends its exchange, which is
    /// where it is reported.
    fn drive(&mut self, context: &mut Context<'_>) {
        if let Some(connection) = &mut self.connection
            && connection.as_mut().poll(context).is_ready()
        {
            self.connection = None;
        }
    }

    fn fail(&mut self, error: hyper::Error) -> WireFault {
        self.exchange = Exchange::Failed;
        if error.is_user() {
            return WireFault::caller(error);
        }
        self.watch.explain(error)
    }
}

impl Wire for HyperWire {
    fn start(&mut self, request: Outgoing) {
        let Outgoing {
            method,
            target,
            headers,
            body,
        } = request;
        self.watch.begin(&method);
        let mut request = hyper::Request::new(Sent(body));
        *request.method_mut() = method;
        *request.headers_mut() = headers;
        self.exchange = match Uri::try_from(target) {
            Ok(uri) => {
                *request.uri_mut() = uri;
                Exchange::Asked(Box::pin(self.sender.send_request(request)))
            }
            Err(_) => Exchange::Failed,
        };
    }

    fn poll_head(&mut self, context: &mut Context<'_>) -> Poll<Result<ResponseHead, WireFault>> {
        self.drive(context);
        let Exchange::Asked(response) = &mut self.exchange else {
            return Poll::Ready(Err(WireFault::protocol("no exchange is under way")));
        };
        let response = match ready!(response.as_mut().poll(context)) {
            Ok(response) => response,
            Err(error) => return Poll::Ready(Err(self.fail(error))),
        };
        let Some(head) = self.watch.take_head() else {
            self.exchange = Exchange::Failed;
            return Poll::Ready(Err(WireFault::protocol("a response without a head")));
        };
        if head.after == After::Close {
            self.after = After::Close;
        }
        self.exchange = if head.body.is_empty() {
            Exchange::Over
        } else {
            Exchange::Answering(response.into_body())
        };
        Poll::Ready(Ok(head))
    }

    fn poll_data(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, WireFault>>> {
        loop {
            self.drive(context);
            let Exchange::Answering(body) = &mut self.exchange else {
                return Poll::Ready(None);
            };
            match ready!(Pin::new(body).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if !data.is_empty() => return Poll::Ready(Some(Ok(data))),
                    // Trailer fields are not merged into anything.
                    Ok(_) | Err(_) => {}
                },
                Some(Err(error)) => return Poll::Ready(Some(Err(self.fail(error)))),
                None => {
                    self.exchange = Exchange::Over;
                    return Poll::Ready(None);
                }
            }
        }
    }

    fn was_answered(&self) -> bool {
        self.watch.was_answered()
    }

    fn is_reusable(&mut self) -> bool {
        if !matches!(self.exchange, Exchange::Over) || self.after == After::Close {
            return false;
        }
        // hyper looks at the socket and ends the connection if it is closed, or says something.
        self.drive(&mut Context::from_waker(Waker::noop()));
        self.connection.is_some() && self.sender.is_ready()
    }
}

/// A request body as hyper wants it.
struct Sent(ReqBody);

impl Body for Sent {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let body = &mut self.get_mut().0;
        match body {
            ReqBody::Empty => Poll::Ready(None),
            ReqBody::Bytes(bytes) => {
                let bytes = std::mem::take(bytes);
                *body = ReqBody::Empty;
                Poll::Ready((!bytes.is_empty()).then_some(Ok(Frame::data(bytes))))
            }
            ReqBody::Stream(stream) => loop {
                match ready!(stream.as_mut().poll_next(context)) {
                    Some(Ok(data)) if data.is_empty() => {}
                    other => return Poll::Ready(other.map(|data| data.map(Frame::data))),
                }
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            ReqBody::Empty => true,
            ReqBody::Bytes(bytes) => bytes.is_empty(),
            ReqBody::Stream(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            ReqBody::Empty => SizeHint::with_exact(0),
            ReqBody::Bytes(bytes) => SizeHint::with_exact(bytes.len() as u64),
            ReqBody::Stream(_) => SizeHint::default(),
        }
    }
}

/// The gate as hyper's kind of socket.
struct Socket(Gate);

impl hyper::rt::Read for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut buffer: hyper::rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        // Filling hyper's buffer in place takes `unsafe`; copying is cheap beside the system call.
        let mut piece = [0; READ];
        let room = piece.get_mut(..buffer.remaining().min(READ)).unwrap_or_default();
        let count = ready!(Pin::new(&mut self.get_mut().0).poll_read(context, room))?;
        buffer.put_slice(piece.get(..count).unwrap_or_default());
        Poll::Ready(Ok(()))
    }
}

impl hyper::rt::Write for Socket {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write_vectored(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_close(context)
    }
}
