//! What a run costs its hosts: requests, answers that brought nothing new, and time spent waiting;
//! and which of them will not let it in.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use annals_core::UnixMs;
use annals_net_adapter::Cx;

use crate::progress::{Event, Progress};

/// Counts for one run. Cheap to clone; all clones count together.
#[derive(Debug, Clone, Default)]
pub struct Meter {
    counts: Arc<Counts>,
    progress: Progress,
}

#[derive(Debug, Default)]
struct Counts {
    requests: AtomicU64,
    not_modified: AtomicU64,
    waited_ns: AtomicU64,
    refused_by: Mutex<BTreeSet<String>>,
}

impl Meter {
    /// A meter at zero that tells of waits.
    #[must_use]
    pub fn new(progress: Progress) -> Self {
        Self {
            counts: Arc::default(),
            progress,
        }
    }

    /// Requests sent.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.counts.requests.load(Ordering::Relaxed)
    }

    /// Answers that said "not modified".
    #[must_use]
    pub fn not_modified_answers(&self) -> u64 {
        self.counts.not_modified.load(Ordering::Relaxed)
    }

    /// Milliseconds spent waiting for slots and because hosts asked for it, summed over all tasks.
    #[must_use]
    pub fn waited_ms(&self) -> u64 {
        self.counts.waited_ns.load(Ordering::Relaxed) / 1_000_000
    }

    pub(crate) fn request(&self) {
        self.counts.requests.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn not_modified(&self) {
        self.counts.not_modified.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn waited(&self, d: Duration) {
        let ns = u64::try_from(d.as_nanos()).unwrap_or(u64::MAX);
        self.counts.waited_ns.fetch_add(ns, Ordering::Relaxed);
    }

    /// Remembers that a host refused our credential: this run asks it nothing more.
    pub(crate) fn refused(&self, host: &str) {
        self.counts
            .refused_by
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(host.to_owned());
    }

    /// Whether a host refused our credential in this run.
    pub(crate) fn is_refused(&self, host: &str) -> bool {
        self.counts
            .refused_by
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(host)
    }

    /// Tells that a wait begins.
    pub(crate) fn waiting(&self, cx: &Cx, host: &str, wait: Duration, why: &'static str) {
        let ms = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
        let until = UnixMs(cx.unix_ms().0.saturating_add(ms));
        self.progress.tell(Event::Waiting {
            host: host.to_owned(),
            until,
            why,
        });
    }
}
