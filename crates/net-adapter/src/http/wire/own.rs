//! Our own HTTP/1.1 connection, for the backends without one and for the lab.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use annals_core::NetworkErrorKind;
use bytes::{Buf, Bytes, BytesMut};
use futures_io::{AsyncRead, AsyncWrite};

use super::head::{After, HeadReader, ResponseBody, ResponseHead, write_head};
use super::{Outgoing, Wire};
use crate::http::error::WireFault;
use crate::http::request::{BodyStream, ReqBody};
use crate::http::server::framing::{Decoded, Decoder, Encoder, FramingError};

/// Bodies up to this size leave in one write with their head.
const JOINED: usize = 16 * 1024;
const READ: usize = 32 * 1024;

/// A connection over any byte stream.
pub(crate) struct OwnWire<S> {
    stream: S,
    sending: Sending,
    /// Bytes to send before the rest of `sending`.
    out: BytesMut,
    receiving: Receiving,
    input: BytesMut,
    answered: bool,
    /// The peer closed its side, or reading failed.
    ended: bool,
    after: After,
    /// Sending failed; the answer, if one still comes, is worth more than this.
    unsent: Option<WireFault>,
}

enum Sending {
    Bytes(Bytes),
    Stream(BodyStream, Encoder),
    Flush,
    Done,
}

enum Receiving {
    Head(HeadReader),
    Framed(Decoder),
    UntilClose,
    Done,
    Failed,
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> OwnWire<S> {
    /// A connection over a stream that has just been opened.
    pub(crate) fn new(stream: S) -> Self {
        Self {
            stream,
            sending: Sending::Done,
            out: BytesMut::new(),
            receiving: Receiving::Done,
            input: BytesMut::new(),
            answered: false,
            ended: false,
            after: After::Keep,
            unsent: None,
        }
    }

    /// Sends as much as the peer takes. A failure of the connection is kept for later: a server that
    /// refuses a request may answer and close before it has read all of it. A failure of the
    /// caller's own body ends the exchange.
    fn drive_sending(&mut self, context: &mut Context<'_>) -> Result<(), WireFault> {
        if self.unsent.is_none()
            && let Poll::Ready(Err(fault)) = self.poll_send(context)
        {
            self.after = After::Close;
            if fault.kind == NetworkErrorKind::Other {
                self.receiving = Receiving::Failed;
                return Err(fault);
            }
            self.unsent = Some(fault);
        }
        Ok(())
    }

    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<Result<(), WireFault>> {
        loop {
            while !self.out.is_empty() {
                let sent = ready!(Pin::new(&mut self.stream).poll_write(context, &self.out)).map_err(WireFault::io)?;
                self.out.advance(nonzero(sent)?);
            }
            match &mut self.sending {
                Sending::Done => return Poll::Ready(Ok(())),
                Sending::Flush => {
                    ready!(Pin::new(&mut self.stream).poll_flush(context)).map_err(WireFault::io)?;
                    self.sending = Sending::Done;
                }
                Sending::Bytes(bytes) if bytes.is_empty() => self.sending = Sending::Flush,
                Sending::Bytes(bytes) => {
                    let sent = ready!(Pin::new(&mut self.stream).poll_write(context, bytes)).map_err(WireFault::io)?;
                    bytes.advance(nonzero(sent)?);
                }
                Sending::Stream(stream, encoder) => {
                    let encoded = match stream.as_mut().poll_next(context) {
                        Poll::Pending => {
                            // What was sent so far must not sit in a buffer while the source is slow.
                            ready!(Pin::new(&mut self.stream).poll_flush(context)).map_err(WireFault::io)?;
                            return Poll::Pending;
                        }
                        Poll::Ready(Some(Ok(data))) if data.is_empty() => continue,
                        Poll::Ready(Some(Ok(data))) => encoder.before_data(data.len(), &mut self.out).map(|()| {
                            self.out.extend_from_slice(&data);
                            encoder.after_data(&mut self.out);
                            false
                        }),
                        Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(WireFault::caller(error))),
                        Poll::Ready(None) => encoder.finish(&mut self.out).map(|()| true),
                    };
                    if encoded.map_err(WireFault::caller)? {
                        self.sending = Sending::Flush;
                    }
                }
            }
        }
    }

    /// Reads once into `input`; `Ok(false)` at the end of the stream.
    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<Result<bool, WireFault>> {
        if self.ended {
            return Poll::Ready(Ok(false));
        }
        let filled = self.input.len();
        self.input.resize(filled + READ, 0);
        let room = self.input.get_mut(filled..).unwrap_or_default();
        let read = Pin::new(&mut self.stream).poll_read(context, room);
        let arrived = if let Poll::Ready(Ok(count)) = &read { *count } else { 0 };
        self.input.truncate(filled + arrived);
        match ready!(read) {
            Ok(0) => {
                self.ended = true;
                Poll::Ready(Ok(false))
            }
            Ok(_) => {
                self.answered = true;
                Poll::Ready(Ok(true))
            }
            Err(error) => {
                self.ended = true;
                Poll::Ready(Err(WireFault::io(error)))
            }
        }
    }

    fn poll_answer(&mut self, context: &mut Context<'_>) -> Poll<Result<ResponseHead, WireFault>> {
        loop {
            let Receiving::Head(reader) = &mut self.receiving else {
                return Poll::Ready(Err(WireFault::protocol("no exchange is under way")));
            };
            if !self.input.is_empty()
                && let Some(found) = reader.read(&mut self.input).map_err(WireFault::protocol)?
            {
                self.receiving = match found.head.body {
                    body if body.is_empty() => Receiving::Done,
                    ResponseBody::Framed(length) => Receiving::Framed(Decoder::new(length)),
                    ResponseBody::UntilClose => Receiving::UntilClose,
                };
                if found.head.after == After::Close {
                    self.after = After::Close;
                }
                return Poll::Ready(Ok(found.head));
            }
            if !ready!(self.poll_fill(context))? {
                return Poll::Ready(Err(WireFault::closed_early(
                    "the connection ended before the response head",
                )));
            }
        }
    }

    fn poll_body(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, WireFault>>> {
        loop {
            match &mut self.receiving {
                Receiving::Done | Receiving::Failed => return Poll::Ready(None),
                Receiving::Head(_) => return Poll::Ready(Some(Err(WireFault::protocol("no answer yet")))),
                Receiving::UntilClose => {
                    if !self.input.is_empty() {
                        return Poll::Ready(Some(Ok(self.input.split().freeze())));
                    }
                    if !ready!(self.poll_fill(context))? {
                        self.receiving = Receiving::Done;
                    }
                }
                Receiving::Framed(decoder) => match decoder.decode(&mut self.input) {
                    Ok(Decoded::Data(data)) => return Poll::Ready(Some(Ok(data))),
                    Ok(Decoded::End) => self.receiving = Receiving::Done,
                    Ok(Decoded::More) => {
                        if !ready!(self.poll_fill(context))? {
                            return Poll::Ready(Some(Err(WireFault::closed_early(
                                "the connection ended before the response body",
                            ))));
                        }
                    }
                    Err(error) => return Poll::Ready(Some(Err(framing(error)))),
                },
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Wire for OwnWire<S> {
    fn start(&mut self, request: Outgoing) {
        let Outgoing {
            method,
            target,
            headers,
            body,
        } = request;
        write_head(&method, &target, &headers, &mut self.out);
        self.sending = match body {
            ReqBody::Empty => Sending::Flush,
            ReqBody::Bytes(bytes) if bytes.len() <= JOINED => {
                self.out.extend_from_slice(&bytes);
                Sending::Flush
            }
            ReqBody::Bytes(bytes) => Sending::Bytes(bytes),
            ReqBody::Stream(stream) => Sending::Stream(stream, Encoder::Chunked),
        };
        self.receiving = Receiving::Head(HeadReader::new(&method));
        self.answered = false;
    }

    fn poll_head(&mut self, context: &mut Context<'_>) -> Poll<Result<ResponseHead, WireFault>> {
        self.drive_sending(context)?;
        let answer = ready!(self.poll_answer(context)).map_err(|fault| {
            self.receiving = Receiving::Failed;
            // Without any answer, what went wrong first is the better explanation.
            if self.answered {
                fault
            } else {
                self.unsent.take().unwrap_or(fault)
            }
        });
        Poll::Ready(answer)
    }

    fn poll_data(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, WireFault>>> {
        self.drive_sending(context)?;
        let data = ready!(self.poll_body(context));
        if matches!(data, Some(Err(_))) {
            self.receiving = Receiving::Failed;
        }
        Poll::Ready(data)
    }

    fn was_answered(&self) -> bool {
        self.answered
    }

    fn is_reusable(&mut self) -> bool {
        let over = matches!(self.receiving, Receiving::Done)
            && matches!(self.sending, Sending::Done)
            && self.out.is_empty()
            && self.input.is_empty()
            && self.after == After::Keep
            && !self.ended;
        let mut byte = [0];
        over && Pin::new(&mut self.stream)
            .poll_read(&mut Context::from_waker(Waker::noop()), &mut byte)
            .is_pending()
    }
}

fn nonzero(sent: usize) -> Result<usize, WireFault> {
    if sent == 0 {
        Err(WireFault::io(io::ErrorKind::WriteZero.into()))
    } else {
        Ok(sent)
    }
}

fn framing(error: FramingError) -> WireFault {
    match error {
        FramingError::Early => WireFault::closed_early("the connection ended before the response body"),
        other => WireFault::protocol(other),
    }
}
