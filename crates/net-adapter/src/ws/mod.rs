//! WebSocket (RFC 6455), client and server, over the adapter's own streams.
//!
//! Promises: a message is received whole or not at all; a cancelled [`recv`](WebSocket::recv) loses none, a cancelled
//! [`send`](WebSocket::send) has queued the whole frame or nothing; a connection that was lost never looks like one that was
//! closed; pings are answered while somebody receives; a message that is too large, is not UTF-8 or breaks the protocol is
//! answered with the code that says so before the error is returned; and a goodbye goes out behind all that was queued, ends in
//! time, and leaves no socket behind.
//!
//! `tungstenite` does the frames and nothing else: `shim` lends it the stream for one poll, `link` is the connection that both
//! halves share, `socket` what callers hold. The handshakes are our own HTTP: `client` asks for one, `server` grants it.

mod client;
mod handshake;
mod link;
mod message;
mod server;
mod shim;
mod socket;

pub use message::{WsEnd, WsError, WsMsg, WsOpts};
pub use server::{WsRefusal, WsUpgrade};
pub use socket::{WebSocket, WsRx, WsTx};
