//! One connection: heads in, answers out, byte by byte where a fault wants it so.

use std::io;
use std::sync::Arc;

use annals_core::Cancelled;
use annals_net_adapter::{Cx, Listener, Stream};
use futures_util::{AsyncReadExt, AsyncWriteExt};

use super::super::faults::{Answer, Delivery, Fault};
use super::super::gitlab::{Reply, Request};
use super::{Error, Shared, bomb, control, lock};

/// The largest head that is read.
const HEAD_LIMIT: usize = 64 * 1024;

/// Accepts connections until it is cancelled.
pub(super) async fn accept(cx: Cx, mut listener: Listener, shared: Arc<Shared>) -> Result<(), Error> {
    loop {
        let (stream, _) = match listener.accept(&cx).await {
            Ok(accepted) => accepted,
            Err(error) => {
                cx.checkpoint()?;
                // Out of descriptors, or a peer that left at once: neither ends a forge.
                if cx.sleep(std::time::Duration::from_millis(20)).await.is_err() {
                    return Err(error.into());
                }
                continue;
            }
        };
        lock(&shared.log).connected();
        let shared = shared.clone();
        cx.spawn("forge-sim connection", |cx| serve(cx, stream, shared))?;
    }
}

/// Why a connection is over.
enum Over {
    /// The peer left, or a fault closed it.
    Closed,
    Cancelled(Cancelled),
}

impl From<Cancelled> for Over {
    fn from(cancelled: Cancelled) -> Self {
        Self::Cancelled(cancelled)
    }
}

impl From<io::Error> for Over {
    fn from(_: io::Error) -> Self {
        Self::Closed
    }
}

async fn serve(cx: Cx, stream: Stream, shared: Arc<Shared>) -> Result<(), Error> {
    let mut connection = Connection {
        stream: Some(stream),
        read: Vec::new(),
    };
    loop {
        match connection.turn(&cx, &shared).await {
            Ok(()) => {}
            Err(Over::Closed) => return Ok(()),
            Err(Over::Cancelled(cancelled)) => return Err(cancelled.into()),
        }
    }
}

struct Connection {
    stream: Option<Stream>,
    /// Bytes that came after the last head.
    read: Vec<u8>,
}

/// One request less in flight, however its answer ends.
struct InFlight<'a>(&'a Shared);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        lock(&self.0.log).end();
    }
}

impl Connection {
    /// Reads one request and answers it.
    async fn turn(&mut self, cx: &Cx, shared: &Shared) -> Result<(), Over> {
        let request = self.head(cx).await?;
        if let Some(reply) = control::answer(shared, &request) {
            return self.send(cx, shared, &request, reply.into()).await;
        }
        let number = lock(&shared.log).begin();
        let _in_flight = InFlight(shared);
        let latency = shared.latency.of(number, &request.target);
        if !latency.is_zero() {
            cx.sleep(latency).await?;
        }
        let (answer, fault) = shared.answer(&request);
        lock(&shared.log).answered(number, &request, answer.reply.status, answer.reply.body.len(), fault);
        // Whoever waits for half a body waits for what was sent.
        if answer.delivery != Delivery::StallBody {
            fault.into_iter().for_each(|name| lock(&shared.log).struck(name));
        }
        let then = answer.then;
        let sent = self.send(cx, shared, &request, answer).await;
        if let Some(then) = then {
            shared.after(then);
        }
        sent
    }

    async fn head(&mut self, cx: &Cx) -> Result<Request, Over> {
        loop {
            if let Some((mut request, length)) = parse(&self.read)? {
                let body = body_length(&request)?;
                if let Some(bytes) = self.read.get(length..length + body) {
                    request.body = bytes.to_vec();
                    self.read.drain(..length + body);
                    return Ok(request);
                }
            } else if self.read.len() > HEAD_LIMIT {
                return Err(Over::Closed);
            }
            let mut buffer = [0; 4096];
            let stream = self.stream.as_mut().ok_or(Over::Closed)?;
            match cx.or_cancel(stream.read(&mut buffer)).await?? {
                0 => return Err(Over::Closed),
                count => self.read.extend_from_slice(buffer.get(..count).unwrap_or_default()),
            }
        }
    }

    async fn send(&mut self, cx: &Cx, shared: &Shared, request: &Request, answer: Answer) -> Result<(), Over> {
        let reply = answer.reply;
        let closes = reply
            .header("connection")
            .is_some_and(|value| value.eq_ignore_ascii_case("close"))
            || request
                .header("connection")
                .is_some_and(|value| value.eq_ignore_ascii_case("close"));
        let length = reply.hidden_length.unwrap_or(reply.body.len());
        match answer.delivery {
            Delivery::Whole => {
                let mut bytes = head(&reply, &framing(&reply, length));
                bytes.extend_from_slice(&reply.body);
                self.write(cx, &bytes).await?;
            }
            Delivery::CloseBefore => return Err(Over::Closed),
            Delivery::ResetBefore => return self.reset(),
            Delivery::CutHead => {
                let bytes = head(&reply, &framing(&reply, length));
                self.write(cx, bytes.get(..bytes.len() / 2).unwrap_or_default()).await?;
                return Err(Over::Closed);
            }
            Delivery::CutBody | Delivery::ResetBody | Delivery::StallBody => {
                self.write(cx, &head(&reply, &framing(&reply, length.max(2)))).await?;
                self.write(cx, reply.body.get(..reply.body.len() / 2).unwrap_or_default())
                    .await?;
                return match answer.delivery {
                    Delivery::CutBody => Err(Over::Closed),
                    Delivery::StallBody => {
                        lock(&shared.log).struck(Fault::StallInBody.name());
                        self.stall(cx).await
                    }
                    _ => self.reset(),
                };
            }
            Delivery::CutChunks => {
                self.write(cx, &head(&reply, CHUNKED)).await?;
                self.chunks(cx, reply.body.get(..reply.body.len() / 2).unwrap_or_default(), 1024)
                    .await?;
                return Err(Over::Closed);
            }
            Delivery::Length(wrong) => {
                let mut bytes = head(&reply, &framing(&reply, wrong));
                bytes.extend_from_slice(&reply.body);
                self.write(cx, &bytes).await?;
                return Err(Over::Closed);
            }
            Delivery::Slow => {
                let mut bytes = head(&reply, &framing(&reply, length));
                bytes.extend_from_slice(&reply.body);
                // About a hundred pieces whatever the size.
                for piece in bytes.chunks(bytes.len().div_ceil(100).max(1)) {
                    self.write(cx, piece).await?;
                    cx.sleep(shared.slow).await?;
                }
            }
            Delivery::Stall => return self.stall(cx).await,
            Delivery::Chunked => {
                self.write(cx, &head(&reply, CHUNKED)).await?;
                self.chunks(cx, &reply.body, 37).await?;
                self.write(cx, b"0\r\n\r\n").await?;
            }
            Delivery::Blanks(size) => {
                self.write(cx, &head(&reply, &format!("Content-Length: {size}\r\n")))
                    .await?;
                return self.flood(cx, size, |blanks| blanks.to_vec()).await;
            }
            Delivery::Endless => {
                self.write(cx, &head(&reply, CHUNKED)).await?;
                return self.flood(cx, u64::MAX, chunk).await;
            }
            Delivery::Zeros(size) => {
                let bomb = bomb::zeros(size);
                let framing = format!("Content-Encoding: gzip\r\nContent-Length: {}\r\n", bomb.len());
                self.write(cx, &head(&reply, &framing)).await?;
                self.write(cx, &bomb).await?;
            }
        }
        if closes { Err(Over::Closed) } else { Ok(()) }
    }

    async fn write(&mut self, cx: &Cx, bytes: &[u8]) -> Result<(), Over> {
        let stream = self.stream.as_mut().ok_or(Over::Closed)?;
        cx.or_cancel(async {
            stream.write_all(bytes).await?;
            stream.flush().await
        })
        .await??;
        Ok(())
    }

    async fn chunks(&mut self, cx: &Cx, body: &[u8], size: usize) -> Result<(), Over> {
        for piece in body.chunks(size) {
            self.write(cx, &chunk(piece)).await?;
        }
        Ok(())
    }

    /// Sends blanks until there were enough or the reader has had enough.
    async fn flood(&mut self, cx: &Cx, size: u64, frame: impl Fn(&[u8]) -> Vec<u8>) -> Result<(), Over> {
        let blanks = vec![b' '; 64 * 1024];
        let piece = frame(&blanks);
        for _ in 0..size / blanks.len() as u64 {
            self.write(cx, &piece).await?;
        }
        Ok(())
    }

    fn reset(&mut self) -> Result<(), Over> {
        match self.stream.take() {
            Some(stream) => stream.reset()?,
            None => return Err(Over::Closed),
        }
        Err(Over::Closed)
    }

    /// Waits until the reader gives up.
    async fn stall(&mut self, cx: &Cx) -> Result<(), Over> {
        let stream = self.stream.as_mut().ok_or(Over::Closed)?;
        let mut ignored = [0; 1024];
        while cx.or_cancel(stream.read(&mut ignored)).await?? > 0 {}
        Err(Over::Closed)
    }
}

const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";

fn framing(reply: &Reply, length: usize) -> String {
    // A 304 has no body whatever it says; saying nothing leaves no doubt.
    if reply.status == 304 {
        String::new()
    } else {
        format!("Content-Length: {length}\r\n")
    }
}

fn head(reply: &Reply, framing: &str) -> Vec<u8> {
    let reason = http::StatusCode::from_u16(reply.status)
        .ok()
        .and_then(|status| status.canonical_reason());
    let mut text = format!("HTTP/1.1 {} {}\r\n", reply.status, reason.unwrap_or("Unknown"));
    for (name, value) in &reply.headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str(framing);
    text.push_str("\r\n");
    text.into_bytes()
}

fn chunk(bytes: &[u8]) -> Vec<u8> {
    let mut framed = format!("{:x}\r\n", bytes.len()).into_bytes();
    framed.extend_from_slice(bytes);
    framed.extend_from_slice(b"\r\n");
    framed
}

/// How many bytes come after a head. No reader sends more than a query.
fn body_length(request: &Request) -> Result<usize, Over> {
    let announced = request.header("content-length").map(str::parse::<usize>);
    match announced {
        None => Ok(0),
        Some(Ok(length)) if length <= HEAD_LIMIT => Ok(length),
        Some(_) => Err(Over::Closed),
    }
}

/// The first head in `bytes` with its length, if it is there whole.
fn parse(bytes: &[u8]) -> Result<Option<(Request, usize)>, Over> {
    let mut headers = [httparse::EMPTY_HEADER; 100];
    let mut parsed = httparse::Request::new(&mut headers);
    match parsed.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => {
            let headers = parsed.headers.iter().map(|header| {
                (
                    header.name.to_owned(),
                    String::from_utf8_lossy(header.value).into_owned(),
                )
            });
            let request = Request {
                method: parsed.method.unwrap_or_default().to_owned(),
                target: parsed.path.unwrap_or_default().to_owned(),
                headers: headers.collect(),
                body: Vec::new(),
            };
            Ok(Some((request, length)))
        }
        Ok(httparse::Status::Partial) => Ok(None),
        Err(_) => Err(Over::Closed),
    }
}
