//! A server of bytes, and the client under test.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use annals_core::NetworkErrorKind;
use annals_net_adapter::http::{
    HttpClient, HttpConfig, HttpError, ProxyConfig, ReqBody, ReqOpts, Request, Response, http_client,
};
use annals_net_adapter::net::{TlsClient, TlsRoots};
use annals_net_adapter::sync::Notify;
use annals_net_adapter::{Cancelled, Cx, NetError, Region, RegionSpec, Stream};
use futures_rustls::TlsAcceptor;
use futures_rustls::server::TlsStream;
use futures_util::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// A request as a server saw it.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Which connection it came on, counted from 0.
    pub connection: usize,
    pub method: String,
    pub target: String,
    /// Names in lower case, in order.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Asked {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }
}

/// What a server has seen so far.
#[derive(Debug, Default, Clone)]
pub struct Seen {
    pub asked: Vec<Asked>,
    pub connections: usize,
    /// Connections that are open now.
    pub open: usize,
    /// Bytes the server has sent.
    pub sent: u64,
}

#[derive(Clone)]
struct Log(Arc<(Mutex<Seen>, Notify)>);

impl Log {
    fn change<T>(&self, f: impl FnOnce(&mut Seen) -> T) -> T {
        let result = f(&mut self.0.0.lock().unwrap());
        self.0.1.notify_one();
        result
    }
}

/// A listening server. It stops when this is dropped.
pub struct Site {
    pub addr: SocketAddr,
    log: Log,
    _region: Region,
}

impl Site {
    /// Serves every connection with `serve`.
    pub async fn open<F, Fut>(cx: &Cx, serve: F) -> Self
    where
        F: Fn(Conn) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        Self::try_open(cx, serve).await.unwrap()
    }

    /// The same where being cancelled is not the test's failure.
    pub async fn try_open<F, Fut>(cx: &Cx, serve: F) -> Result<Self, NetError>
    where
        F: Fn(Conn) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let mut listener = cx.net().listen(cx, "127.0.0.1:0".parse().unwrap()).await?;
        let addr = listener.local_addr();
        let log = Log(Arc::new((Mutex::default(), Notify::default())));
        let region = cx.open_region(RegionSpec::collect_all("site")).unwrap();
        let accepted = log.clone();
        let accept = move |cx: Cx| async move {
            loop {
                let Ok((stream, _)) = listener.accept(&cx).await else {
                    return Err::<(), _>(Cancelled(cx.cancelled().await));
                };
                let index = accepted.change(|seen| {
                    seen.connections += 1;
                    seen.open += 1;
                    seen.connections - 1
                });
                let log = accepted.clone();
                let conn = Conn {
                    cx: cx.clone(),
                    index,
                    stream: Some(Pipe::Plain(stream)),
                    input: Vec::new(),
                    log,
                    server_name: None,
                    alpn: None,
                };
                let serving = serve(conn);
                if cx
                    .spawn("connection", move |cx| async move { cx.or_cancel(serving).await })
                    .is_err()
                {
                    return Err::<(), _>(Cancelled(cx.cancelled().await));
                }
            }
        };
        let accepting = region.cx().spawn("accept", accept);
        drop(accepting.unwrap());
        Ok(Self {
            addr,
            log,
            _region: region,
        })
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    pub fn seen(&self) -> Seen {
        self.log.0.0.lock().unwrap().clone()
    }

    /// Waits until what the server has seen satisfies `condition`. One waiter at a time.
    pub async fn until(&self, cx: &Cx, condition: impl Fn(&Seen) -> bool) -> Seen {
        loop {
            let seen = self.seen();
            if condition(&seen) {
                return seen;
            }
            self.log.0.1.notified(cx).await.unwrap();
        }
    }
}

/// One accepted connection.
pub struct Conn {
    pub cx: Cx,
    pub index: usize,
    stream: Option<Pipe>,
    input: Vec<u8>,
    log: Log,
    /// What the client asked for in its TLS handshake.
    pub server_name: Option<String>,
    pub alpn: Option<String>,
}

impl Conn {
    /// Reads the next request, body included; `None` when the client is gone.
    pub async fn ask(&mut self) -> Option<Asked> {
        let head = loop {
            if let Some(end) = self.input.windows(4).position(|w| w == b"\r\n\r\n") {
                break self.input.drain(..end + 4).collect::<Vec<u8>>();
            }
            self.more().await?;
        };
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.split("\r\n").filter(|line| !line.is_empty());
        let mut first = lines.next().unwrap().split(' ').map(str::to_owned);
        let (method, target) = (first.next().unwrap(), first.next().unwrap());
        let headers: Vec<(String, String)> = lines
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let mut asked = Asked {
            connection: self.index,
            method,
            target,
            headers,
            body: Vec::new(),
        };
        if asked.header("transfer-encoding") == Some("chunked") {
            loop {
                let size = self.line().await?;
                let size = usize::from_str_radix(&size, 16).unwrap();
                asked.body.extend(self.exactly(size).await?);
                assert_eq!(self.line().await?, "");
                if size == 0 {
                    break;
                }
            }
        } else if let Some(length) = asked.header("content-length") {
            let length = length.parse().unwrap();
            asked.body = self.exactly(length).await?;
        }
        self.log.change(|seen| seen.asked.push(asked.clone()));
        Some(asked)
    }

    async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.input.windows(2).position(|w| w == b"\r\n") {
                let line = self.input.drain(..end + 2).take(end).collect();
                return Some(String::from_utf8(line).unwrap());
            }
            self.more().await?;
        }
    }

    async fn exactly(&mut self, count: usize) -> Option<Vec<u8>> {
        while self.input.len() < count {
            self.more().await?;
        }
        Some(self.input.drain(..count).collect())
    }

    async fn more(&mut self) -> Option<()> {
        let mut piece = [0; 4096];
        match self.stream.as_mut()?.io().read(&mut piece).await {
            Ok(0) | Err(_) => None,
            Ok(count) => {
                self.input.extend_from_slice(&piece[..count]);
                Some(())
            }
        }
    }

    /// Reads something, whatever it is.
    pub async fn read_some(&mut self) {
        self.more().await;
    }

    /// Sends bytes; false when the client is gone.
    pub async fn say(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        let Some(stream) = &mut self.stream else { return false };
        let sent = async {
            stream.io().write_all(bytes.as_ref()).await?;
            stream.io().flush().await
        };
        let sent = sent.await.is_ok();
        self.log
            .change(|seen| seen.sent += if sent { bytes.as_ref().len() as u64 } else { 0 });
        sent
    }

    /// Waits until the client closes the connection.
    pub async fn gone(&mut self) {
        while self.more().await.is_some() {}
    }

    pub fn local_addr(&self) -> SocketAddr {
        self.plain().local_addr()
    }

    pub fn peer_addr(&self) -> SocketAddr {
        self.plain().peer_addr()
    }

    fn plain(&self) -> &Stream {
        match &self.stream {
            Some(Pipe::Plain(stream)) => stream,
            Some(Pipe::Tls(_)) | None => panic!("no plain connection"),
        }
    }

    /// Closes with a reset.
    pub fn reset(mut self) {
        if let Some(Pipe::Plain(stream)) = self.stream.take() {
            stream.reset().unwrap();
        }
    }

    /// Closes as TLS wants it: after a word of farewell.
    pub async fn close(mut self) {
        if let Some(stream) = &mut self.stream {
            drop(stream.io().close().await);
        }
    }

    /// Goes on in TLS; false when the client does not like it.
    pub async fn shake_hands(&mut self, acceptor: &TlsAcceptor) -> bool {
        let Some(Pipe::Plain(stream)) = self.stream.take() else {
            return false;
        };
        match acceptor.accept(stream).await {
            Ok(session) => {
                let tls = session.get_ref().1;
                self.server_name = tls.server_name().map(str::to_owned);
                self.alpn = tls
                    .alpn_protocol()
                    .map(|name| String::from_utf8(name.to_vec()).unwrap());
                self.stream = Some(Pipe::Tls(Box::new(session)));
                true
            }
            Err(_) => false,
        }
    }
}

/// What a connection is made of.
enum Pipe {
    Plain(Stream),
    Tls(Box<TlsStream<Stream>>),
}

trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Duplex for T {}

impl Pipe {
    fn io(&mut self) -> &mut dyn Duplex {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(session) => session,
        }
    }
}

impl Drop for Conn {
    fn drop(&mut self) {
        self.stream = None;
        self.log.change(|seen| seen.open -= 1);
    }
}

/// A plain 200 with this body.
pub fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// Answers every request on every connection with the same bytes.
pub async fn always(cx: &Cx, answer: impl Into<Vec<u8>>) -> Site {
    let answer = answer.into();
    Site::open(cx, move |mut conn| {
        let answer = answer.clone();
        async move {
            while conn.ask().await.is_some() {
                if !conn.say(&answer).await {
                    return;
                }
            }
        }
    })
    .await
}

/// Answers the first request of every connection and closes it.
pub async fn once(cx: &Cx, answer: impl Into<Vec<u8>>) -> Site {
    let answer = answer.into();
    Site::open(cx, move |mut conn| {
        let answer = answer.clone();
        async move {
            if conn.ask().await.is_some() {
                conn.say(&answer).await;
            }
        }
    })
    .await
}

pub type Client = Arc<dyn HttpClient>;

/// A client that talks to nobody but the servers of the test.
pub fn client(cx: &Cx) -> Client {
    client_with(cx, |_| {})
}

pub fn client_with(cx: &Cx, change: impl FnOnce(&mut HttpConfig)) -> Client {
    let mut config = HttpConfig::new(TlsClient::new(TlsRoots::Bundled, &[]).unwrap());
    config.proxy = ProxyConfig::Direct;
    change(&mut config);
    http_client(cx, config).unwrap()
}

pub fn request(method: &str, url: &str) -> Request {
    Request::new(ReqBody::Empty).with(method, url)
}

/// Building requests in one expression.
pub trait With {
    fn with(self, method: &str, url: &str) -> Self;
    fn header(self, name: &'static str, value: &str) -> Self;
    fn body(self, body: impl Into<ReqBody>) -> Self;
}

impl With for Request {
    fn with(mut self, method: &str, url: &str) -> Self {
        *self.method_mut() = method.parse().unwrap();
        *self.uri_mut() = url.parse().unwrap();
        self
    }

    fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers_mut().append(name, value.parse().unwrap());
        self
    }

    fn body(mut self, body: impl Into<ReqBody>) -> Self {
        *self.body_mut() = body.into();
        self
    }
}

pub async fn get(cx: &Cx, client: &Client, url: &str) -> Result<Response, HttpError> {
    client.send(cx, request("GET", url), &ReqOpts::default()).await
}

/// A GET and its whole body as text.
pub async fn get_text(cx: &Cx, client: &Client, url: &str) -> Result<String, HttpError> {
    let body = get(cx, client, url).await?.into_body().bytes(cx).await?;
    Ok(String::from_utf8(body.to_vec()).unwrap())
}

/// The kind of failure, wherever in the exchange it comes.
pub async fn kind_of(cx: &Cx, client: &Client, request: Request, opts: &ReqOpts) -> Result<usize, NetworkErrorKind> {
    let response = client.send(cx, request, opts).await.map_err(|error| error.kind)?;
    response
        .into_body()
        .bytes(cx)
        .await
        .map(|body| body.len())
        .map_err(|error| error.kind)
}

/// Options whose limits end a test soon: on a real host nothing but the limit itself is waited for.
pub fn impatient() -> ReqOpts {
    ReqOpts {
        head: Duration::from_millis(100),
        idle_read: Duration::from_millis(100),
        ..ReqOpts::default()
    }
}
