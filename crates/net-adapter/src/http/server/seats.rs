//! Who sits where: how many connections there are, in all and from one address.

use std::collections::HashMap;
use std::future::poll_fn;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

use crate::token::lock;

#[derive(Debug, Default)]
struct State {
    taken: usize,
    by_peer: HashMap<IpAddr, usize>,
    waiting: Option<Waker>,
}

/// Room for connections.
#[derive(Clone, Debug)]
pub(crate) struct Seats {
    state: Arc<Mutex<State>>,
    total: usize,
    per_peer: usize,
}

/// Room for one connection, until it is dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    state: Arc<Mutex<State>>,
    peer: IpAddr,
    /// The address already had all it may have.
    pub(crate) over: bool,
}

impl Seats {
    /// `per_peer` 0 = as many as there are.
    pub(crate) fn new(total: usize, per_peer: usize) -> Self {
        Self {
            state: Arc::default(),
            total,
            per_peer,
        }
    }

    /// Waits until there is room for one more. One waiter at a time: the accept loop.
    pub(crate) async fn free(&self) {
        poll_fn(|context| {
            let mut state = lock(&self.state);
            if state.taken < self.total {
                return Poll::Ready(());
            }
            state.waiting = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Takes a seat; one that is `over` is for a refusal only.
    pub(crate) fn take(&self, peer: IpAddr) -> Seat {
        let peer = peer.to_canonical();
        let mut state = lock(&self.state);
        state.taken += 1;
        let count = state.by_peer.entry(peer).or_default();
        *count += 1;
        Seat {
            state: self.state.clone(),
            peer,
            over: self.per_peer > 0 && *count > self.per_peer,
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let waiting = {
            let mut state = lock(&self.state);
            state.taken -= 1;
            if let Some(count) = state.by_peer.get_mut(&self.peer) {
                *count -= 1;
                if *count == 0 {
                    state.by_peer.remove(&self.peer);
                }
            }
            state.waiting.take()
        };
        if let Some(waiting) = waiting {
            waiting.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn seats_come_back_and_peers_are_counted_apart() {
        let (a, b): (IpAddr, IpAddr) = ("10.0.0.1".parse().unwrap(), "::1".parse().unwrap());
        let mapped: IpAddr = "::ffff:10.0.0.1".parse().unwrap();
        let seats = Seats::new(4, 2);
        let first = seats.take(a);
        let second = seats.take(mapped);
        let third = seats.take(a);
        let other = seats.take(b);
        assert_eq!(
            [first.over, second.over, third.over, other.over],
            [false, false, true, false]
        );
        assert!(seats.free().now_or_never().is_none());
        drop((first, second));
        assert!(seats.free().now_or_never().is_some());
        assert!(!seats.take(a).over);
        drop((third, other));
        assert!(lock(&seats.state).by_peer.is_empty());
    }

    #[test]
    fn without_a_limit_per_peer_nobody_is_over() {
        let seats = Seats::new(9, 0);
        let peer: IpAddr = "10.0.0.1".parse().unwrap();
        let taken: Vec<_> = (0..5).map(|_| seats.take(peer)).collect();
        assert!(taken.iter().all(|seat| !seat.over));
    }
}
