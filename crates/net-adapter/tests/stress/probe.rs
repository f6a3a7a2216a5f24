//! What a scenario tells of itself: units of work that begin and end, and events, at one of which it is stopped.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use annals_net_adapter::{CancelKind, CancelReason, Cx, Region};

/// How much of it there is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// Run a few hundred times on threads.
    Full,
    /// Run as often as it has suspension points, in a lab.
    Small,
}

#[derive(Clone)]
pub struct Probe(Arc<Shared>);

struct Shared {
    size: Size,
    counts: [AtomicU64; 4],
    events: AtomicU64,
    /// The event at which it is stopped, counted from 1.
    cut_at: Option<u64>,
    is_cut: AtomicBool,
    victim: Mutex<Victim>,
}

/// What is stopped.
pub enum Victim {
    Nobody,
    Region(Region),
    Other(Box<dyn FnOnce() + Send>),
}

/// How many units have begun, and how they ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub started: u64,
    pub delivered: u64,
    /// Reported as cancelled, or as failed because the other side was.
    pub cancelled: u64,
    /// Dropped without a word.
    pub lost: u64,
}

impl Counts {
    pub fn plus(self, other: Self) -> Self {
        Self {
            started: self.started + other.started,
            delivered: self.delivered + other.delivered,
            cancelled: self.cancelled + other.cancelled,
            lost: self.lost + other.lost,
        }
    }
}

const STARTED: usize = 0;
const DELIVERED: usize = 1;
const CANCELLED: usize = 2;
const LOST: usize = 3;

impl Probe {
    pub fn new(size: Size, cut_at: Option<u64>) -> Self {
        Self(Arc::new(Shared {
            size,
            counts: Default::default(),
            events: AtomicU64::new(0),
            cut_at,
            is_cut: AtomicBool::new(false),
            victim: Mutex::new(Victim::Nobody),
        }))
    }

    /// One number for each size.
    pub fn pick(&self, full: u64, small: u64) -> u64 {
        match self.0.size {
            Size::Full => full,
            Size::Small => small,
        }
    }

    pub fn is_lab(&self) -> bool {
        self.0.size == Size::Small
    }

    /// Something has happened. The cut is made here, by whoever has come to it.
    pub fn event(&self) {
        let number = self.0.events.fetch_add(1, Ordering::SeqCst) + 1;
        if Some(number) != self.0.cut_at {
            return;
        }
        self.0.is_cut.store(true, Ordering::SeqCst);
        let mut victim = self.0.victim.lock().unwrap();
        match std::mem::replace(&mut *victim, Victim::Nobody) {
            Victim::Nobody => {}
            Victim::Region(region) => {
                region.cancel(CancelReason::new(CancelKind::User, "cut", region.cx().now()));
                *victim = Victim::Region(region);
            }
            Victim::Other(cut) => cut(),
        }
    }

    /// A unit of work begins.
    pub fn start(&self) -> Unit {
        let number = self.0.counts[STARTED].fetch_add(1, Ordering::SeqCst);
        self.event();
        Unit {
            probe: self.clone(),
            number,
            ended: LOST,
        }
    }

    pub fn counts(&self) -> Counts {
        let of = |which: usize| self.0.counts[which].load(Ordering::SeqCst);
        Counts {
            started: of(STARTED),
            delivered: of(DELIVERED),
            cancelled: of(CANCELLED),
            lost: of(LOST),
        }
    }

    pub fn events(&self) -> u64 {
        self.0.events.load(Ordering::SeqCst)
    }

    pub fn is_cut(&self) -> bool {
        self.0.is_cut.load(Ordering::SeqCst)
    }

    pub fn stops(&self, victim: Victim) {
        *self.0.victim.lock().unwrap() = victim;
    }

    /// Takes the region back, to close it.
    pub fn region(&self) -> Region {
        match std::mem::replace(&mut *self.0.victim.lock().unwrap(), Victim::Nobody) {
            Victim::Region(region) => region,
            Victim::Nobody | Victim::Other(_) => panic!("no region is at stake"),
        }
    }
}

/// A unit of work. Who has it says how it ended.
#[must_use]
pub struct Unit {
    probe: Probe,
    /// Counted from 0.
    pub number: u64,
    ended: usize,
}

impl Unit {
    pub fn delivered(self) {
        self.ends(DELIVERED);
    }

    pub fn cancelled(self) {
        self.ends(CANCELLED);
    }

    /// Delivered if it went well.
    pub fn ended<T, E>(self, result: &Result<T, E>) {
        self.ends(if result.is_ok() { DELIVERED } else { CANCELLED });
    }

    fn ends(mut self, how: usize) {
        self.ended = how;
        let probe = self.probe.clone();
        drop(self);
        probe.event();
    }
}

impl Drop for Unit {
    fn drop(&mut self) {
        self.probe.0.counts[self.ended].fetch_add(1, Ordering::SeqCst);
    }
}

/// Spawns and says nothing if the region is closing: whoever may be stopped anywhere cannot insist.
pub fn spawn<F, Fut>(cx: &Cx, name: &'static str, f: F)
where
    F: FnOnce(Cx) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let run = |cx: Cx| async move {
        f(cx).await;
        Ok::<(), std::convert::Infallible>(())
    };
    drop(cx.spawn(name, run));
}
