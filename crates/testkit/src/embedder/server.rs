//! One connection: POSTs in, answers out.

use std::io;
use std::sync::Arc;

use annals_core::Cancelled;
use annals_net_adapter::{Cx, Listener, Stream};
use futures_util::{AsyncReadExt, AsyncWriteExt};

use super::answer::{Answer, answer, read};
use super::{Error, Fault, Shared};

/// The largest request that is read.
const LIMIT: usize = 16 * 1024 * 1024;

pub(super) async fn accept(cx: Cx, mut listener: Listener, shared: Arc<Shared>) -> Result<(), Error> {
    loop {
        let (stream, _) = match listener.accept(&cx).await {
            Ok(accepted) => accepted,
            Err(error) => {
                cx.checkpoint()?;
                return Err(error.into());
            }
        };
        let shared = shared.clone();
        cx.spawn("embedder-sim connection", |cx| serve(cx, stream, shared))?;
    }
}

/// Why a connection is over.
enum Over {
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

async fn serve(cx: Cx, mut stream: Stream, shared: Arc<Shared>) -> Result<(), Error> {
    let mut bytes = Vec::new();
    loop {
        match turn(&cx, &mut stream, &mut bytes, &shared).await {
            Ok(()) => {}
            Err(Over::Closed) => return Ok(()),
            Err(Over::Cancelled(cancelled)) => return Err(cancelled.into()),
        }
    }
}

/// The head of a request, as far as it matters.
struct Head {
    path: String,
    key: Option<String>,
    body_begins: usize,
    body_ends: usize,
}

/// Reads one request and answers it.
async fn turn(cx: &Cx, stream: &mut Stream, bytes: &mut Vec<u8>, shared: &Shared) -> Result<(), Over> {
    let head = loop {
        match parse(bytes)? {
            Some(head) if bytes.len() >= head.body_ends => break head,
            _ if bytes.len() > LIMIT => return Err(Over::Closed),
            _ => {}
        }
        let mut buffer = [0; 8192];
        match cx.or_cancel(stream.read(&mut buffer)).await?? {
            0 => return Err(Over::Closed),
            count => bytes.extend_from_slice(buffer.get(..count).unwrap_or_default()),
        }
    };
    let asked = read(
        &head.path,
        bytes.get(head.body_begins..head.body_ends).unwrap_or_default(),
    );
    bytes.drain(..head.body_ends);
    let (reply, fault) = {
        let mut state = shared.lock();
        let fault = state.faults.pop_front();
        let reply = answer(asked.as_ref(), head.key.as_deref(), &state.manners, fault.as_ref());
        state.asked.extend(asked);
        (reply, fault)
    };
    match fault {
        Some(Fault::Closed) => Err(Over::Closed),
        Some(Fault::Silence) => {
            let mut ignored = [0; 64];
            while cx.or_cancel(stream.read(&mut ignored)).await?? > 0 {}
            Err(Over::Closed)
        }
        _ => {
            let bytes = written(&reply);
            cx.or_cancel(async {
                stream.write_all(&bytes).await?;
                stream.flush().await
            })
            .await??;
            Ok(())
        }
    }
}

fn parse(bytes: &[u8]) -> Result<Option<Head>, Over> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut parsed = httparse::Request::new(&mut headers);
    let begins = match parsed.parse(bytes) {
        Ok(httparse::Status::Complete(begins)) => begins,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(Over::Closed),
    };
    let header = |name: &str| {
        let found = parsed
            .headers
            .iter()
            .find(|header| header.name.eq_ignore_ascii_case(name));
        found.map(|header| String::from_utf8_lossy(header.value).into_owned())
    };
    let length: usize = header("content-length")
        .and_then(|length| length.parse().ok())
        .unwrap_or(0);
    let bearer = |value: String| value.strip_prefix("Bearer ").map(str::to_owned);
    Ok(Some(Head {
        path: parsed.path.unwrap_or_default().to_owned(),
        key: header("authorization").and_then(bearer),
        body_begins: begins,
        body_ends: begins.saturating_add(length),
    }))
}

fn written(answer: &Answer) -> Vec<u8> {
    let reason = http::StatusCode::from_u16(answer.status)
        .ok()
        .and_then(|status| status.canonical_reason());
    let mut text = format!("HTTP/1.1 {} {}\r\n", answer.status, reason.unwrap_or("Unknown"));
    for (name, value) in &answer.headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str(&format!(
        "Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{}",
        answer.body.len(),
        answer.body
    ));
    text.into_bytes()
}
