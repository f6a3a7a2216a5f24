//! What a lab run decides and remembers: the schedule, the injection, the trace.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
#[cfg(feature = "tokio")]
use std::time::Duration;

use annals_core::{CancelKind, CancelReason, MonoTime, OutcomeKind, UnixMs};

use super::LabConfig;
use crate::Cx;
use crate::net::VirtualNet;
use crate::task::{TaskInfo, TaskRecord};
use crate::token::{Token, lock};

/// What the driver does instead of, or before, a poll.
pub(crate) enum Step {
    Poll,
    Yield,
    Drop,
}

/// How a task is ended at its chosen poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Injection {
    /// It is asked to stop.
    Request,
    /// Its future is dropped there.
    Drop,
}

pub(crate) struct LabState {
    config: LabConfig,
    schedule: Mutex<fastrand::Rng>,
    trace: Mutex<Fnv>,
    choices: AtomicU64,
    steps: AtomicU64,
    events: AtomicU64,
    polls: Mutex<BTreeMap<u64, u64>>,
    /// Tasks that panicked and whose outcome nobody has taken.
    lost: Mutex<BTreeMap<u64, TaskInfo>>,
    /// Panics of tasks whose outcome somebody took.
    observed: AtomicU64,
    net: Arc<VirtualNet>,
}

/// FNV-1a, 64 bits (http://www.isthe.com/chongo/tech/comp/fnv/).
struct Fnv(u64);

impl Fnv {
    fn add(&mut self, value: u64) {
        for byte in value.to_le_bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

/// What a trace is made of.
#[derive(Clone, Copy)]
pub(crate) enum Event {
    Spawn = 1,
    Poll = 2,
    Yield = 3,
    Inject = 4,
    End = 5,
    /// With the time it is set for.
    Timer = 6,
    /// A place in a channel, or a permit of a semaphore, was taken.
    Permit = 7,
    Received = 8,
    /// With the port of the other side.
    Connected = 9,
    /// A region was asked to end.
    Cancel = 10,
}

impl LabState {
    pub(crate) fn new(config: LabConfig) -> Self {
        Self {
            net: Arc::new(VirtualNet::new(config.seed)),
            schedule: Mutex::new(fastrand::Rng::with_seed(config.seed ^ 0x5eed)),
            config,
            trace: Mutex::new(Fnv(0xcbf2_9ce4_8422_2325)),
            choices: AtomicU64::new(0),
            steps: AtomicU64::new(0),
            events: AtomicU64::new(0),
            polls: Mutex::default(),
            lost: Mutex::default(),
            observed: AtomicU64::new(0),
        }
    }

    pub(crate) fn net(&self) -> Arc<VirtualNet> {
        self.net.clone()
    }

    #[cfg(feature = "asupersync")]
    pub(crate) fn seed(&self) -> u64 {
        self.config.seed
    }

    pub(crate) fn epoch(&self) -> UnixMs {
        self.config.epoch
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn max_virtual(&self) -> Duration {
        self.config.max_virtual
    }

    #[cfg(feature = "asupersync")]
    pub(crate) fn max_steps(&self) -> u64 {
        self.config.max_steps
    }

    pub(crate) fn steps(&self) -> u64 {
        self.steps.load(Ordering::Relaxed)
    }

    pub(crate) fn choices(&self) -> u64 {
        self.choices.load(Ordering::Relaxed)
    }

    pub(crate) fn events(&self) -> u64 {
        self.events.load(Ordering::Relaxed)
    }

    pub(crate) fn hash(&self) -> u64 {
        lock(&self.trace).0
    }

    /// How often each task was polled.
    pub(crate) fn polls(&self) -> BTreeMap<u64, u64> {
        lock(&self.polls).clone()
    }

    pub(crate) fn split_rng(&self, task: u64) -> fastrand::Rng {
        fastrand::Rng::with_seed(self.config.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(task))
    }

    fn record(&self, now: MonoTime, task: u64, event: Event, argument: u64) {
        self.events.fetch_add(1, Ordering::Relaxed);
        let mut trace = lock(&self.trace);
        for value in [now.0, task, event as u64, argument] {
            trace.add(value);
        }
    }

    /// What a task did between two polls.
    pub(crate) fn noted(&self, cx: &Cx, event: Event, argument: u64) {
        self.record(cx.now(), cx.record().id, event, argument);
    }

    pub(crate) fn spawned(&self, record: &TaskRecord) {
        self.record(record.started, record.id, Event::Spawn, record.index);
    }

    /// Called by the task driver when a task is over.
    pub(crate) fn ended(&self, record: &TaskRecord, region: String, now: MonoTime, outcome: OutcomeKind) {
        self.record(now, record.id, Event::End, outcome as u64);
        if outcome == OutcomeKind::Panicked {
            lock(&self.lost).insert(record.id, record.info(region, now));
        }
    }

    /// Somebody took the outcome of a task that panicked.
    pub(crate) fn observed(&self, task: u64) {
        if lock(&self.lost).remove(&task).is_some() {
            self.observed.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn observed_panics(&self) -> u64 {
        self.observed.load(Ordering::Relaxed)
    }

    pub(crate) fn lost_panics(&self) -> Vec<TaskInfo> {
        lock(&self.lost).values().cloned().collect()
    }

    /// Called by the task driver before every poll; `poll` counts from one.
    pub(crate) fn before_poll(&self, record: &TaskRecord, now: MonoTime, poll: u64, token: &Token) -> Step {
        if self.steps.fetch_add(1, Ordering::Relaxed) >= self.config.max_steps {
            return Step::Drop;
        }
        let suspended = {
            let mut polls = lock(&self.polls);
            let count = polls.entry(record.id).or_default();
            *count += 1;
            *count
        };
        if let Some(point) = self.config.cancel_at
            && point.task == record.id
            && point.poll == suspended
        {
            self.record(now, record.id, Event::Inject, poll);
            match point.injection {
                Injection::Request => token.raise(CancelReason::new(CancelKind::Lab, record.name, now)),
                Injection::Drop => return Step::Drop,
            }
        }
        // Every second decision at most may be a yield, or a task would never be polled.
        let roll = lock(&self.schedule).u8(0..100);
        self.choices.fetch_add(1, Ordering::Relaxed);
        if roll < self.config.yield_pct.min(50) {
            self.record(now, record.id, Event::Yield, poll);
            return Step::Yield;
        }
        self.record(now, record.id, Event::Poll, poll);
        Step::Poll
    }
}
