//! One route, served by the adapter on tokio and by hyper alone.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use annals_net_adapter::http::server::{HttpServer, ReqCx, ServerLimits};
use annals_net_adapter::{BackendKind, Runtime, RuntimeConfig};
use axum::Router;
use axum::body::Body;
use axum::routing::get;
use hyper::body::Incoming;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::server::conn::http1;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tower_service::Service as _;

/// Everything that a handler of the product gets: the gate, the limits, a region and a context of its own.
pub fn adapter() {
    let runtime = Runtime::build(BackendKind::Tokio, &RuntimeConfig::default()).unwrap();
    let served = runtime.run_main(|cx| async move {
        let listener = cx.net().listen(&cx, "127.0.0.1:0".parse().unwrap()).await?;
        println!("listening on {}", listener.local_addr());
        let app = Router::new().route("/", get(|_: ReqCx| async { "hello" }));
        HttpServer::new(app, ServerLimits::default()).serve(&cx, listener).await
    });
    assert!(served.outcome.is_ok());
}

/// The same route on hyper and tokio alone, as `axum::serve` does it.
pub fn bare() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("listening on {}", listener.local_addr().unwrap());
        let app = Router::new().route("/", get(|| async { "hello" })).with_state(());
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            let socket = Socket {
                stream,
                buffer: vec![0; 16 * 1024],
            };
            let serving = http1::Builder::new().serve_connection(socket, Service(app.clone()));
            // A client may leave whenever it likes.
            tokio::spawn(async { serving.await.ok() });
        }
    });
}

struct Service(Router);

impl hyper::service::Service<http::Request<Incoming>> for Service {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = <Router as tower_service::Service<http::Request<Body>>>::Future;

    fn call(&self, request: http::Request<Incoming>) -> Self::Future {
        self.0.clone().call(request.map(Body::new))
    }
}

/// hyper reads into memory that is not initialised, which needs unsafe code; a head is copied once more instead.
struct Socket {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Read for Socket {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, mut into: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let Self { stream, buffer } = self.get_mut();
        let room = buffer.len().min(into.remaining());
        let mut read = ReadBuf::new(&mut buffer[..room]);
        ready!(Pin::new(stream).poll_read(context, &mut read))?;
        into.put_slice(read.filled());
        Poll::Ready(Ok(()))
    }
}

impl Write for Socket {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
