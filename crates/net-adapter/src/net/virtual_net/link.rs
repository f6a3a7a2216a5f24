//! What is wrong with the way from one task to one host.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::time::Duration;

use annals_core::MonoTime;

use crate::token::lock;

/// Stands for every task, or every host.
const ANY: &str = "*";

/// The links somebody has spoken about.
#[derive(Default)]
pub(super) struct Links(BTreeMap<(String, String), Arc<Link>>);

impl Links {
    pub(super) fn entry(&mut self, from: &str, to: &str) -> Arc<Link> {
        self.0.entry((from.to_owned(), to.to_owned())).or_default().clone()
    }

    /// The one that fits best; the host says more than the task.
    pub(super) fn of(&self, from: &str, to: &str) -> Option<Arc<Link>> {
        let fits = [(from, to), (ANY, to), (from, ANY), (ANY, ANY)];
        let mut found = fits
            .iter()
            .filter_map(|(from, to)| self.0.get(&((*from).to_owned(), (*to).to_owned())));
        found.next().cloned()
    }
}

/// One link: what happens to connections that are made over it, and to bytes on them.
#[derive(Default)]
pub(super) struct Link(Mutex<State>);

#[derive(Default)]
struct State {
    faults: Faults,
    /// Who waits for the link to heal.
    blocked: Vec<Waker>,
}

#[derive(Clone, Default)]
pub(super) struct Faults {
    pub(super) latency: Option<Range<Duration>>,
    pub(super) bandwidth: Option<u64>,
    pub(super) dial: Dial,
    pub(super) no_dns: bool,
    pub(super) reorder: bool,
    pub(super) cut: Option<Cut>,
    pub(super) partition: Option<Range<MonoTime>>,
}

/// What happens to a connection attempt.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Dial {
    #[default]
    Answered,
    Refused,
    Unanswered,
}

/// What ends a connection after so many bytes in either direction.
#[derive(Clone, Copy)]
pub(super) enum Cut {
    Reset(u64),
    Truncate(u64),
}

impl Link {
    pub(super) fn faults(&self) -> Faults {
        lock(&self.0).faults.clone()
    }

    /// Until when nothing passes, if nothing passes now. The waker is woken when the link heals before.
    pub(super) fn closed_until(&self, now: MonoTime, waker: &Waker) -> Option<MonoTime> {
        let mut state = lock(&self.0);
        let until = state.faults.partition.as_ref().filter(|p| p.contains(&now))?.end;
        state.blocked.push(waker.clone());
        Some(until)
    }

    fn change(&self, change: impl FnOnce(&mut Faults)) {
        let woken = {
            let mut state = lock(&self.0);
            change(&mut state.faults);
            std::mem::take(&mut state.blocked)
        };
        woken.into_iter().for_each(Waker::wake);
    }
}

/// The faults of one link, to be set. They hold for connections made from then on; partitions hold for all.
#[derive(Clone)]
pub struct LinkFaults(pub(super) Arc<Link>);

impl LinkFaults {
    /// Connections and bytes take a time from this range, seeded, each way.
    pub fn latency(&self, range: Range<Duration>) -> &Self {
        self.0.change(|faults| faults.latency = Some(range));
        self
    }

    /// Each direction carries so many bytes a second.
    pub fn bandwidth(&self, bytes_per_second: u64) -> &Self {
        self.0.change(|faults| faults.bandwidth = Some(bytes_per_second.max(1)));
        self
    }

    /// Connections are refused.
    pub fn refuse(&self) -> &Self {
        self.0.change(|faults| faults.dial = Dial::Refused);
        self
    }

    /// Connections are never answered.
    pub fn hang(&self) -> &Self {
        self.0.change(|faults| faults.dial = Dial::Unanswered);
        self
    }

    /// The host's name does not resolve.
    pub fn no_dns(&self) -> &Self {
        self.0.change(|faults| faults.no_dns = true);
        self
    }

    /// The connection is reset when more than so many bytes went in one direction.
    pub fn reset_after(&self, bytes: u64) -> &Self {
        self.0.change(|faults| faults.cut = Some(Cut::Reset(bytes)));
        self
    }

    /// What comes after so many bytes in one direction is lost, and the receiver sees the end of the stream.
    pub fn truncate_after(&self, bytes: u64) -> &Self {
        self.0.change(|faults| faults.cut = Some(Cut::Truncate(bytes)));
        self
    }

    /// Connections that are made at the same time are answered in a seeded order.
    pub fn reorder_connects(&self) -> &Self {
        self.0.change(|faults| faults.reorder = true);
        self
    }

    /// Between these times nothing passes; nothing is closed, and nothing is lost.
    pub fn partition(&self, from: MonoTime, to: MonoTime) -> &Self {
        self.0.change(|faults| faults.partition = Some(from..to));
        self
    }

    /// Nothing is wrong any more.
    pub fn heal(&self) {
        self.0.change(|faults| *faults = Faults::default());
    }
}

impl std::fmt::Debug for LinkFaults {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LinkFaults")
    }
}
