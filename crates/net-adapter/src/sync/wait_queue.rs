//! Who waits, in the order of arrival: the one place where channels and locks keep wakers.
//!
//! A queue lives inside its owner's mutex. It hands wakers out and never wakes: waking is done when the lock is gone.

use std::collections::VecDeque;
use std::task::Waker;

/// Names one waiter for as long as it waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket(u64);

/// Waiters with what each of them waits for.
pub(crate) struct WaitQueue<D> {
    /// Ordered by ticket.
    waiting: VecDeque<Waiter<D>>,
    next: u64,
}

pub(crate) struct Waiter<D> {
    ticket: Ticket,
    waker: Waker,
    pub(crate) data: D,
}

impl<D> Waiter<D> {
    pub(crate) fn waker(&self) -> Waker {
        self.waker.clone()
    }
}

impl<D> WaitQueue<D> {
    pub(crate) const fn new() -> Self {
        Self {
            waiting: VecDeque::new(),
            next: 0,
        }
    }

    /// Queues behind everybody else.
    pub(crate) fn join(&mut self, waker: &Waker, data: D) -> Ticket {
        let ticket = Ticket(self.next);
        self.next += 1;
        self.waiting.push_back(Waiter {
            ticket,
            waker: waker.clone(),
            data,
        });
        ticket
    }

    fn at(&self, ticket: Ticket) -> Option<usize> {
        self.waiting.binary_search_by_key(&ticket, |w| w.ticket).ok()
    }

    pub(crate) fn get(&self, ticket: Ticket) -> Option<&Waiter<D>> {
        self.waiting.get(self.at(ticket)?)
    }

    /// Keeps the place and takes the waker of the latest poll.
    pub(crate) fn stay(&mut self, ticket: Ticket, waker: &Waker) {
        if let Some(at) = self.at(ticket)
            && let Some(waiter) = self.waiting.get_mut(at)
        {
            waiter.waker.clone_from(waker);
        }
    }

    pub(crate) fn leave(&mut self, ticket: Ticket) -> Option<Waiter<D>> {
        self.waiting.remove(self.at(ticket)?)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Waiter<D>> {
        self.waiting.iter_mut()
    }

    pub(crate) fn last(&self) -> Option<&Waiter<D>> {
        self.waiting.back()
    }

    /// Everybody's waker; they keep their places.
    pub(crate) fn wakers(&self) -> Vec<Waker> {
        self.waiting.iter().map(Waiter::waker).collect()
    }
}

impl WaitQueue<()> {
    /// Joins, or stays: for waits on a state that each waiter looks at by itself.
    pub(crate) fn enter(&mut self, ticket: &mut Option<Ticket>, waker: &Waker) {
        match *ticket {
            Some(ticket) => self.stay(ticket, waker),
            None => *ticket = Some(self.join(waker, ())),
        }
    }
}
