//! Peers of bytes: a server that shakes hands and then does as told, and a client that does.

use std::net::SocketAddr;
use std::time::Duration;

use annals_net_adapter::{Cx, HostPort, NetError, Stream, TaskHandle};
use futures_util::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

/// One connection, its bytes as they are.
pub struct Raw<S = Stream> {
    pub stream: S,
    input: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Raw<S> {
    pub fn new(stream: S) -> Self {
        Self {
            stream,
            input: Vec::new(),
        }
    }

    pub async fn say(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        let said = async {
            self.stream.write_all(bytes.as_ref()).await?;
            self.stream.flush().await
        };
        said.await.is_ok()
    }

    async fn more(&mut self) -> Option<()> {
        let mut piece = [0; 4096];
        match self.stream.read(&mut piece).await {
            Ok(0) | Err(_) => None,
            Ok(count) => {
                self.input.extend_from_slice(&piece[..count]);
                Some(())
            }
        }
    }

    pub async fn take(&mut self, count: usize) -> Option<Vec<u8>> {
        while self.input.len() < count {
            self.more().await?;
        }
        Some(self.input.drain(..count).collect())
    }

    pub async fn head(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.input.windows(4).position(|window| window == b"\r\n\r\n") {
                return Some(String::from_utf8(self.input.drain(..end + 4).collect()).unwrap());
            }
            self.more().await?;
        }
    }

    /// Until the peer closes; what it still sent.
    pub async fn rest(&mut self) -> Vec<u8> {
        while self.more().await.is_some() {}
        std::mem::take(&mut self.input)
    }

    /// A frame, unmasked: its first byte and its payload.
    pub async fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let head = self.take(2).await?;
        let masked = head[1] & 0x80 != 0;
        let length = match head[1] & 0x7f {
            126 => u64::from(u16::from_be_bytes(self.take(2).await?.try_into().unwrap())),
            127 => u64::from_be_bytes(self.take(8).await?.try_into().unwrap()),
            short => u64::from(short),
        };
        let mask = if masked { self.take(4).await? } else { vec![0; 4] };
        let mut payload = self.take(usize::try_from(length).unwrap()).await?;
        for (at, byte) in payload.iter_mut().enumerate() {
            *byte ^= mask[at % 4];
        }
        Some((head[0], payload))
    }

    /// Reads a client's request and grants it; the request.
    pub async fn grant(&mut self) -> Option<String> {
        let request = self.head().await?;
        let key = field(&request, "sec-websocket-key")?;
        let accept = accept(&key);
        let granted = self
            .say(format!(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Accept: {accept}\r\n\r\n"
            ))
            .await;
        granted.then_some(request)
    }
}

pub fn field(head: &str, name: &str) -> Option<String> {
    head.lines()
        .filter_map(|line| line.split_once(": "))
        .find(|(found, _)| found.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.to_owned())
}

pub fn accept(key: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let whole = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, whole.as_bytes());
    // 20 bytes: 27 digits and one sign of padding.
    let bits: Vec<u8> = hash
        .as_ref()
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1))
        .chain([0, 0])
        .collect();
    let digits = bits.chunks(6).map(|six| six.iter().fold(0, |sum, bit| sum << 1 | bit));
    digits
        .map(|digit: u8| char::from(DIGITS[usize::from(digit)]))
        .collect::<String>()
        + "="
}

/// A frame of a server, or with `mask` one of a client, masked with zeros.
pub fn frame(first: u8, payload: &[u8], mask: bool) -> Vec<u8> {
    let bit = if mask { 0x80 } else { 0 };
    let mut out = vec![first];
    match payload.len() {
        short @ 0..126 => out.push(bit | u8::try_from(short).unwrap()),
        long => {
            out.push(bit | 126);
            out.extend(u16::try_from(long).unwrap().to_be_bytes());
        }
    }
    if mask {
        out.extend([0; 4]);
    }
    out.extend_from_slice(payload);
    out
}

/// A server of one connection, which does what it is told. It must end by itself.
pub async fn site<F, Fut>(cx: &Cx, serve: F) -> (SocketAddr, TaskHandle<(), NetError>)
where
    F: FnOnce(Cx, Raw) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let mut listener = cx.net().listen(cx, "127.0.0.1:0".parse().unwrap()).await.unwrap();
    let at = listener.local_addr();
    let task = cx
        .spawn("site", move |cx| async move {
            let (stream, _) = listener.accept(&cx).await?;
            serve(cx, Raw::new(stream)).await;
            Ok(())
        })
        .unwrap();
    (at, task)
}

/// A client of bytes whose handshake is over.
pub async fn raw_client(cx: &Cx, at: SocketAddr, path: &str) -> Raw {
    let to = HostPort::new(&at.ip().to_string(), at.port());
    let stream = cx.net().connect(cx, &to, Duration::from_secs(20), None).await.unwrap();
    let mut raw = Raw::new(stream);
    let asked = format!(
        "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    assert!(raw.say(asked).await);
    let head = raw.head().await.unwrap();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    raw
}
