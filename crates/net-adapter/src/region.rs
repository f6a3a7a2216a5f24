//! Regions: the owners of tasks.
//!
//! A region closes only when its tasks, child regions and blocking calls are done, its finalizers
//! have run and its permits are back, or when its bound is spent; what is then still alive is named
//! in the report. Nothing is ever detached: a dropped guard hands its region to the parent.

mod report;

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::task::{Poll, Waker};
use std::time::Duration;

use annals_core::{CancelKind, CancelReason, MonoTime, OutcomeKind};

use crate::Cx;
use crate::backend::BoxFuture;
use crate::budget::Ledger;
use crate::registry::{RegionChange, RegionEvent, RegionKind, RegionSnapshot};
use crate::runtime::Inner;
use crate::task::{Owner, SpawnError, TaskInfo, TaskKind, TaskRecord, Verdict};
use crate::token::{Token, lock};

pub use report::{
    DrainReport, Policy, RegionFailure, RegionOutcome, RegionReport, RegionSpec, RegionState, TaskReport,
};

struct State {
    phase: RegionState,
    live: BTreeMap<u64, Arc<TaskRecord>>,
    children: BTreeMap<u64, Weak<RegionInner>>,
    spawned: u64,
    /// The worst outcome so far, victims of fail-fast left out.
    worst: OutcomeKind,
    finalized: Finalized,
    reports: Vec<TaskReport>,
    drain: DrainReport,
    finalizers: Vec<Finalizer>,
    closer: Option<Waker>,
}

impl State {
    /// What is alive and in no report of stragglers: whoever is named there was killed.
    fn unnamed(&self) -> impl Iterator<Item = &Arc<TaskRecord>> {
        self.live.values().filter(|record| !record.is_killed())
    }
}

/// How long a task or a process that was killed may take to be gone.
const GRACE: Duration = Duration::from_millis(50);

/// How far the finalizers are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Finalized {
    No,
    Running,
    Yes,
}

pub(crate) struct Finalizer {
    pub(crate) name: &'static str,
    pub(crate) limit: Duration,
    pub(crate) run: Box<dyn FnOnce(Cx) -> BoxFuture<'static, ()> + Send>,
}

pub(crate) struct RegionInner {
    pub(crate) id: u64,
    kind: RegionKind,
    pub(crate) spec: RegionSpec,
    /// What its tasks may charge together, if that is limited.
    pub(crate) ledger: Option<Arc<Ledger>>,
    pub(crate) rt: Arc<Inner>,
    pub(crate) parent: Option<Arc<RegionInner>>,
    pub(crate) token: Arc<Token>,
    pub(crate) permits: AtomicI64,
    /// Raised by the parent when its own bound is spent: whatever is alive here is dropped now.
    cut: Arc<Token>,
    pub(crate) opened: MonoTime,
    state: Mutex<State>,
}

impl RegionInner {
    /// The region every other one lies in.
    pub(crate) fn root(rt: &Arc<Inner>, spec: RegionSpec) -> Arc<Self> {
        Self::new(rt, None, RegionKind::Root, Token::root(), spec, None)
    }

    fn new(
        rt: &Arc<Inner>,
        parent: Option<&Arc<Self>>,
        kind: RegionKind,
        token: Arc<Token>,
        spec: RegionSpec,
        ledger: Option<Arc<Ledger>>,
    ) -> Arc<Self> {
        let region = Arc::new(Self {
            id: rt.next_id(),
            kind,
            spec,
            ledger,
            rt: rt.clone(),
            parent: parent.cloned(),
            token,
            permits: AtomicI64::new(0),
            cut: Token::root(),
            opened: rt.backend().now(),
            state: Mutex::new(State {
                phase: RegionState::Open,
                live: BTreeMap::new(),
                children: BTreeMap::new(),
                spawned: 0,
                worst: OutcomeKind::Ok,
                finalized: Finalized::No,
                reports: Vec::new(),
                drain: DrainReport::default(),
                finalizers: Vec::new(),
                closer: None,
            }),
        });
        rt.registry().insert(region.id, Arc::downgrade(&region));
        region.tell(RegionChange::Opened);
        region
    }

    /// Tells whoever listens to `Runtime::region_events`.
    fn tell(&self, change: RegionChange) {
        let events = self.rt.region_events();
        if events.has_receivers() {
            events.send(RegionEvent {
                region: self.id,
                parent: self.parent.as_ref().map(|p| p.id),
                name: self.spec.name,
                change,
            });
        }
    }

    /// The names from the root down, joined by slashes.
    pub(crate) fn path(&self) -> String {
        match &self.parent {
            Some(parent) => format!("{}/{}", parent.path(), self.spec.name),
            None => self.spec.name.to_owned(),
        }
    }

    fn refuse_unless_open(&self, phase: RegionState) -> Result<(), SpawnError> {
        if phase == RegionState::Open {
            Ok(())
        } else {
            Err(self.refusal(phase))
        }
    }

    fn refusal(&self, phase: RegionState) -> SpawnError {
        let region = self.path();
        if phase == RegionState::Closed {
            SpawnError::RegionClosed { region }
        } else {
            SpawnError::RegionClosing { region }
        }
    }

    /// Opens a child region. A task that still runs may do so even while its region closes: a
    /// request that is in flight when a server drains still needs regions of its own.
    pub(crate) fn open_child(
        self: &Arc<Self>,
        kind: RegionKind,
        token: Arc<Token>,
        spec: RegionSpec,
        ledger: Option<Arc<Ledger>>,
    ) -> Result<Arc<Self>, SpawnError> {
        let child = Self::new(&self.rt, Some(self), kind, token, spec, ledger);
        let phase = {
            let mut state = lock(&self.state);
            if state.phase < RegionState::Finalizing {
                state.children.insert(child.id, Arc::downgrade(&child));
                return Ok(child);
            }
            state.phase
        };
        self.rt.registry().remove(&child.id);
        child.tell(RegionChange::Closed);
        Err(self.refusal(phase))
    }

    /// Registers a task; the region waits for the returned guard.
    pub(crate) fn begin(
        self: &Arc<Self>,
        name: &'static str,
        kind: TaskKind,
        owner: Owner,
    ) -> Result<Live, SpawnError> {
        let mut state = lock(&self.state);
        // A finalizer may still use blocking calls and processes.
        if owner == Owner::Region || state.phase == RegionState::Closed {
            self.refuse_unless_open(state.phase)?;
        }
        self.rt.count_task()?;
        let record = Arc::new(TaskRecord::new(
            self.rt.next_id(),
            state.spawned,
            name,
            kind,
            owner,
            self.rt.backend().now(),
        ));
        state.spawned += 1;
        state.live.insert(record.id, record.clone());
        Ok(Live {
            region: self.clone(),
            record,
            finished: false,
        })
    }

    pub(crate) fn add_finalizer(&self, finalizer: Finalizer) -> Result<(), SpawnError> {
        let mut state = lock(&self.state);
        self.refuse_unless_open(state.phase)?;
        state.finalizers.push(finalizer);
        Ok(())
    }

    fn finish(&self, record: &TaskRecord, outcome: OutcomeKind, verdict: Option<Verdict>) {
        let (message, cancelled) = match verdict {
            None => (None, None),
            Some(Verdict::Message(message)) => (Some(message), None),
            Some(Verdict::Cancelled(reason)) => (Some(reason.to_string()), Some(reason)),
        };
        let report = TaskReport {
            name: record.name,
            index: record.index,
            outcome,
            message,
            cancelled,
        };
        let owned = record.owner == Owner::Region;
        let counts = report.counts() && owned;
        let is_cause = outcome == OutcomeKind::Err || outcome == OutcomeKind::Panicked;
        let fail_fast = is_cause && owned && self.spec.policy == Policy::FailFast;
        let origin = format!("{}/{}", self.path(), record.name);
        let closer = {
            let mut state = lock(&self.state);
            match outcome {
                OutcomeKind::Ok => state.drain.completed += 1,
                OutcomeKind::Err => state.drain.failed += 1,
                OutcomeKind::Cancelled => state.drain.cancelled += 1,
                // The caller of a blocking call has its panic; nobody may have that of a task.
                OutcomeKind::Panicked if !owned => state.drain.failed += 1,
                OutcomeKind::Panicked => state.drain.panicked += 1,
            }
            // A region that serves a million connections stays flat: full, it keeps only failures.
            let kept = state.reports.len();
            if owned && (kept < self.spec.keep_reports || (is_cause && kept < self.spec.keep_reports + 32)) {
                state.reports.push(report);
            }
            if counts {
                state.worst = state.worst.max(outcome);
            }
            // Counted out before its region can be seen empty, or a drain at that moment finds a task that nobody has.
            self.rt.uncount_task();
            state.live.remove(&record.id);
            state.closer.take()
        };
        if fail_fast {
            self.token
                .raise(CancelReason::new(CancelKind::FailFast, origin, self.rt.backend().now()));
        }
        if let Some(closer) = closer {
            closer.wake();
        }
    }

    /// A child is over. What was still open in it is from now on a child of the next one that is not over itself.
    fn child_closed(&self, id: u64, orphans: BTreeMap<u64, Weak<Self>>) {
        let closer = {
            let mut state = lock(&self.state);
            if state.phase == RegionState::Closed {
                drop(state);
                if let Some(parent) = &self.parent {
                    parent.child_closed(id, orphans);
                }
                return;
            }
            let open = |orphan: &Weak<Self>| {
                let orphan = orphan.upgrade();
                orphan.is_some_and(|orphan| lock(&orphan.state).phase != RegionState::Closed)
            };
            state
                .children
                .extend(orphans.into_iter().filter(|(_, orphan)| open(orphan)));
            state.children.remove(&id);
            state.closer.take()
        };
        if let Some(closer) = closer {
            closer.wake();
        }
    }

    fn advance(&self, to: RegionState) {
        let moved = {
            let mut state = lock(&self.state);
            let moved = state.phase < to;
            state.phase = state.phase.max(to);
            moved
        };
        if moved {
            self.tell(RegionChange::State(to));
        }
    }

    /// Resolves when neither a task nor a child region is left.
    async fn emptied(&self) {
        poll_fn(|context| {
            let mut state = lock(&self.state);
            if state.live.is_empty() && state.children.is_empty() {
                return Poll::Ready(());
            }
            state.closer = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Waits until the region is empty, `at` is reached or the parent cuts it short; says whether it is empty.
    async fn emptied_by(&self, at: MonoTime, cut: Option<&Arc<Token>>) -> bool {
        let mut emptied = pin!(self.emptied());
        let mut timer = self.rt.backend().sleep_until(at);
        let mut cut = cut.map(|token| token.raised());
        poll_fn(|context| {
            if emptied.as_mut().poll(context).is_ready() {
                return Poll::Ready(true);
            }
            if cut.as_mut().is_some_and(|cut| Pin::new(cut).poll(context).is_ready()) {
                return Poll::Ready(false);
            }
            timer.as_mut().poll(context).map(|()| false)
        })
        .await
    }

    /// The close protocol. With `natural`, tasks may end by themselves until that context or the
    /// region is cancelled; then, or at once, they have `bound`.
    pub(crate) async fn close(self: &Arc<Self>, natural: Option<&Cx>, bound: Duration) -> RegionReport {
        let now = || self.rt.backend().now();
        let started = now();
        let mut spent_at = None;
        self.advance(RegionState::Closing);
        let mut empty = false;
        if let Some(cx) = natural {
            match cx.or_cancel(self.emptied_or_cancelled()).await {
                Ok(is_empty) => empty = is_empty,
                Err(cancelled) => self.token.raise(cancelled.0),
            }
        }
        if !empty {
            self.advance(RegionState::Draining);
            self.token
                .raise(CancelReason::new(CancelKind::Shutdown, self.path(), now()));
            spent_at = Some(now().after(bound));
            let bound = self.rt.shutdown_signal().clamp_drain(bound, now());
            empty = self.emptied_by(now().after(bound), Some(&self.cut)).await;
        }
        if !empty && !self.cut_children().await {
            self.drop_stragglers().await;
        }
        self.advance(RegionState::Finalizing);
        let spent_at = spent_at.unwrap_or_else(|| now().after(bound));
        self.finalize().await;
        if lock(&self.state).unnamed().next().is_some() {
            // A finalizer that was cut short leaves the calls it had begun.
            let left = self.rt.shutdown_signal().clamp(spent_at.since(now()), now());
            if !self.emptied_by(now().after(left), Some(&self.cut)).await {
                self.drop_stragglers().await;
            }
        }
        self.seal(started)
    }

    /// The close of a region in which nothing is left and nothing is to be run: there is nothing to wait for.
    fn close_if_over(self: &Arc<Self>) -> Option<RegionReport> {
        let started = self.rt.backend().now();
        {
            let mut state = lock(&self.state);
            let over = state.live.is_empty() && state.children.is_empty() && state.finalizers.is_empty();
            if !over || state.phase != RegionState::Open || self.permits.load(Ordering::Acquire) != 0 {
                return None;
            }
            state.phase = RegionState::Closed;
            state.finalized = Finalized::Yes;
        }
        self.tell(RegionChange::State(RegionState::Closing));
        self.tell(RegionChange::State(RegionState::Finalizing));
        Some(self.seal(started))
    }

    /// Waits for the natural end, as long as neither the region nor its deadline ends it; says whether it is empty.
    async fn emptied_or_cancelled(self: &Arc<Self>) -> bool {
        let own = Cx::root(self.clone(), self.spec.name);
        let mut cancelled = pin!(own.cancelled());
        let mut emptied = pin!(self.emptied());
        poll_fn(|context| {
            if emptied.as_mut().poll(context).is_ready() {
                return Poll::Ready(true);
            }
            cancelled.as_mut().poll(context).map(|_| false)
        })
        .await
    }

    /// Has the child regions spend no more of their own bounds: what hangs is named there, and not the task here that
    /// waits for it. Says whether this leaves the region empty.
    async fn cut_children(&self) -> bool {
        let now = || self.rt.backend().now();
        let children: Vec<_> = lock(&self.state).children.values().filter_map(Weak::upgrade).collect();
        for child in &children {
            let reason = CancelReason::new(CancelKind::Straggler, self.path(), now());
            child.cut.raise(reason);
        }
        // Two graces: the child needs one of its own.
        let empty = !children.is_empty() && self.emptied_by(now().after(GRACE * 2), None).await;
        for child in children.iter().filter(|_| !empty) {
            child.cut_off();
        }
        empty
    }

    /// A region whose guard somebody keeps does not close, and yet nothing in it is to outlive the bound.
    fn cut_off(&self) {
        let (named, children) = {
            let mut state = lock(&self.state);
            let named = self.name_stragglers(&mut state);
            let children: Vec<_> = state.children.values().filter_map(Weak::upgrade).collect();
            (named, children)
        };
        self.kill(&named);
        for child in children {
            child.cut_off();
        }
    }

    /// What outlived a bound here, or is alive: for the report of a runtime that waits no longer.
    pub(crate) fn left(&self) -> Vec<TaskInfo> {
        let state = lock(&self.state);
        let (path, at) = (self.path(), self.rt.backend().now());
        let unnamed = state.unnamed().map(|record| record.info(path.clone(), at));
        state.drain.stragglers.iter().cloned().chain(unnamed).collect()
    }

    /// Names what outlived the bound, drops its futures and kills its processes. A task stuck inside a poll, or a
    /// blocking call, cannot be dropped: it stays reported and the close does not wait for it.
    async fn drop_stragglers(&self) {
        let named = self.name_stragglers(&mut lock(&self.state));
        self.kill(&named);
        if named.iter().any(|r| r.kind != TaskKind::Blocking) {
            let at = self.rt.backend().now().after(GRACE);
            self.emptied_by(at, None).await;
        }
    }

    /// Puts into the report what is alive and not there yet. Whoever gets the records wakes them, without the lock.
    fn name_stragglers(&self, state: &mut State) -> Vec<Arc<TaskRecord>> {
        let (path, at) = (self.path(), self.rt.backend().now());
        let named: Vec<_> = state.unnamed().cloned().collect();
        for record in &named {
            record.mark_killed();
        }
        let infos = named.iter().map(|record| record.info(path.clone(), at));
        state.drain.stragglers.extend(infos);
        named
    }

    fn kill(&self, stragglers: &[Arc<TaskRecord>]) {
        for record in stragglers {
            tracing::warn!(task = record.name, region = %self.path(), "task outlived its region's bound");
            record.kill();
        }
    }

    /// Runs the finalizers once, on a task of their own: a close that is dropped half-way does not take them with it,
    /// and the next one waits for them.
    async fn finalize(self: &Arc<Self>) {
        {
            let mut state = lock(&self.state);
            if state.finalized == Finalized::No {
                if state.finalizers.is_empty() {
                    state.finalized = Finalized::Yes;
                    return;
                }
                state.finalized = Finalized::Running;
                drop(state);
                let running = FinalizerRun(self.clone());
                self.rt
                    .backend()
                    .spawn(Box::pin(async move { running.0.run_finalizers().await }));
            }
        }
        poll_fn(|context| {
            let mut state = lock(&self.state);
            if state.finalized == Finalized::Yes {
                return Poll::Ready(());
            }
            state.closer = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    async fn run_finalizers(self: &Arc<Self>) {
        loop {
            let Some(finalizer) = lock(&self.state).finalizers.pop() else {
                return;
            };
            let cx = Cx::root(self.clone(), "finalizer");
            let limit = self.rt.shutdown_signal().clamp(finalizer.limit, cx.now());
            let run = finalizer.run;
            let ended = cx.masked(limit, |cx| crate::cx::caught(finalizer.name, run(cx))).await;
            match ended {
                Ok(Ok(())) => {}
                Ok(Err(panic)) => {
                    lock(&self.state).drain.panicked += 1;
                    tracing::error!(finalizer = finalizer.name, %panic, "finalizer panicked");
                }
                Err(exceeded) => tracing::warn!(finalizer = finalizer.name, %exceeded, "finalizer was cut short"),
            }
        }
    }

    fn seal(self: &Arc<Self>, started: MonoTime) -> RegionReport {
        let open_permits = u64::try_from(self.permits.load(Ordering::Acquire)).unwrap_or(0);
        let mut state = lock(&self.state);
        // From here on nobody begins a call; one that somebody began a moment ago is named like the others.
        state.phase = RegionState::Closed;
        let named = self.name_stragglers(&mut state);
        let mut drain = state.drain.clone();
        drain.elapsed = self.rt.backend().now().since(started);
        drain.open_permits = open_permits;
        drain.quiescent = drain.stragglers.is_empty() && state.live.is_empty() && state.children.is_empty();
        let orphans = std::mem::take(&mut state.children);
        let mut tasks = std::mem::take(&mut state.reports);
        let worst = state.worst;
        drop(state);
        self.kill(&named);
        tasks.sort_by_key(|t| t.index);
        let mut overall = worst;
        if drain.panicked > 0 {
            overall = OutcomeKind::Panicked;
        }
        if self.rt.registry().remove(&self.id).is_some() {
            self.tell(RegionChange::Closed);
        }
        self.rt.record_drain(&drain);
        if let Some(parent) = &self.parent {
            parent.child_closed(self.id, orphans);
        }
        RegionReport { overall, tasks, drain }
    }

    pub(crate) fn snapshot(&self) -> RegionSnapshot {
        let now = self.rt.backend().now();
        let path = self.path();
        let state = lock(&self.state);
        RegionSnapshot {
            id: self.id,
            parent: self.parent.as_ref().map(|p| p.id),
            name: self.spec.name,
            kind: self.kind,
            state: state.phase,
            age: now.since(self.opened),
            live_tasks: state.live.values().map(|r| r.info(path.clone(), now)).collect(),
            permits: u64::try_from(self.permits.load(Ordering::Acquire)).unwrap_or(0),
            deadline: self.spec.budget.deadline,
            cancelled: self.token.reason(),
        }
    }
}

/// Finalizers at work. However they end, even with the runtime, the close that waits for them goes on.
struct FinalizerRun(Arc<RegionInner>);

impl Drop for FinalizerRun {
    fn drop(&mut self) {
        let closer = {
            let mut state = lock(&self.0.state);
            state.finalized = Finalized::Yes;
            state.closer.take()
        };
        if let Some(closer) = closer {
            closer.wake();
        }
    }
}

/// A task the region waits for.
pub(crate) struct Live {
    region: Arc<RegionInner>,
    pub(crate) record: Arc<TaskRecord>,
    finished: bool,
}

impl Live {
    pub(crate) fn finish(mut self, outcome: OutcomeKind, verdict: Option<Verdict>) {
        self.finished = true;
        self.region.finish(&self.record, outcome, verdict);
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        if !self.finished {
            self.region.finish(&self.record, OutcomeKind::Cancelled, None);
        }
    }
}

/// The guard of an open region: one owner.
///
/// Dropping it cancels the region; the parent waits for what is left in it.
#[must_use = "dropping the guard cancels the region"]
pub struct Region {
    pub(crate) inner: Option<Arc<RegionInner>>,
    cx: Cx,
}

impl Region {
    pub(crate) fn guard(inner: Arc<RegionInner>, cx: Cx) -> Self {
        Self { inner: Some(inner), cx }
    }

    /// The context whose tasks belong to this region.
    pub fn cx(&self) -> &Cx {
        &self.cx
    }

    /// Asks everything in the region to end.
    pub fn cancel(&self, reason: CancelReason) {
        #[cfg(feature = "lab")]
        self.cx.trace(crate::lab::Event::Cancel, self.cx.region_inner().id);
        self.cx.region_inner().token.raise(reason);
    }

    /// Where the region is in its life.
    #[must_use]
    pub fn state(&self) -> RegionState {
        lock(&self.cx.region_inner().state).phase
    }

    /// Takes no new tasks and waits for the natural end of those that run. If `cx` is cancelled
    /// meanwhile, so are they, and they have the region's cleanup time to end.
    ///
    /// # Errors
    /// None: every task's outcome is in the report.
    ///
    /// # Cancel safety
    /// If the future is dropped, the region is cancelled and its parent waits for the rest.
    pub async fn close(mut self, cx: &Cx) -> RegionReport {
        let inner = self.cx.region_inner().clone();
        let report = inner.close(Some(cx), inner.spec.cleanup).await;
        self.inner = None;
        report
    }

    /// Closes a region in which nothing runs any more, without waiting; gives any other back.
    pub(crate) fn close_if_over(mut self) -> Result<RegionReport, Self> {
        match self.cx.region_inner().close_if_over() {
            Some(report) => {
                self.inner = None;
                Ok(report)
            }
            None => Err(self),
        }
    }

    /// Takes no new tasks, cancels those that run and waits at most `bound` for them.
    ///
    /// # Errors
    /// None: what is left is named in the report.
    ///
    /// # Cancel safety
    /// As [`Self::close`].
    pub async fn close_within(mut self, bound: Duration) -> RegionReport {
        let inner = self.cx.region_inner().clone();
        let report = inner.close(None, bound).await;
        self.inner = None;
        report
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        let Some(inner) = self.inner.take() else { return };
        let now = inner.rt.backend().now();
        inner
            .token
            .raise(CancelReason::new(CancelKind::GuardDropped, inner.path(), now));
        let rt = inner.rt.clone();
        // Not a task of any region: the parent waits for its child, and so for this.
        rt.backend().spawn(Box::pin(async move {
            inner.close(None, inner.spec.cleanup).await;
        }));
    }
}

impl std::fmt::Debug for Region {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Region")
            .field("name", &self.cx.region_inner().spec.name)
            .field("state", &self.state())
            .finish()
    }
}
