//! What only shows from inside: where the lock is, and what a close frame holds.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::task::Wake;

use futures_io::{AsyncRead, AsyncWrite};

use super::*;
use crate::net::Io;

/// A peer that never stops talking, and takes whatever is said to it.
struct Flood;

impl AsyncRead for Flood {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let pongs = [0x8a, 0].repeat(buffer.len() / 2);
        buffer[..pongs.len()].copy_from_slice(&pongs);
        Poll::Ready(Ok(pongs.len()))
    }
}

impl AsyncWrite for Flood {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Io for Flood {
    fn reset_on_close(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Notes, each time it is called, whether the connection could be asked something.
struct Curious {
    link: Arc<Link>,
    free: Mutex<Vec<bool>>,
}

impl Wake for Curious {
    fn wake(self: Arc<Self>) {
        lock(&self.free).push(self.link.state.try_lock().is_ok());
    }
}

#[test]
fn a_poll_that_stops_for_others_wakes_where_no_lock_is_held() {
    let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let stream = Stream::new(Flood, nowhere, nowhere);
    let link = Arc::new(Link::new(stream, &[], Role::Client, 1000));
    let curious = Arc::new(Curious {
        link: link.clone(),
        free: Mutex::default(),
    });
    let waker = Waker::from(curious.clone());
    let context = Context::from_waker(&waker);
    // Once for the goodbye that changes what the others may do; then for each piece of the flood.
    for polls in 1..4 {
        assert!(link.poll_close(&context, 1000, "").is_pending());
        assert_eq!(*lock(&curious.free), vec![true; polls]);
    }
}

#[test]
fn a_reason_is_cut_between_characters() {
    assert_eq!(cut("short"), "short");
    let long = "é".repeat(100);
    assert_eq!(cut(&long).len(), 122);
}

#[test]
fn a_code_that_may_not_be_sent_is_an_ordinary_goodbye() {
    for code in [0, 999, 1004, 1005, 1006, 1015] {
        assert_eq!(u16::from(sendable(code)), 1000, "{code}");
    }
    for code in [1000, 1001, 1011, 3000, 4999] {
        assert_eq!(u16::from(sendable(code)), code);
    }
}
