//! A runtime: one backend, its root region, its blocking threads.

use std::collections::BTreeMap;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::num::NonZeroUsize;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::task::Poll;
use std::time::Duration;

use annals_core::{CancelKind, CancelReason, Outcome, TaskError};

use crate::Cx;
use crate::backend::{self, Backend, BackendKind};
use crate::blocking::Pool;
use crate::channel::{BroadcastReceiver, BroadcastSender};
use crate::net::{Net, RealNet};
use crate::region::{DrainReport, Policy, Region, RegionInner, RegionSpec, RegionState};
use crate::registry::{RegionEvent, RegionKind, RegistrySnapshot};
use crate::shutdown::{Rescue, ShutdownSignal};
use crate::sync::{SemPermit, Semaphore};
use crate::task::SpawnError;
use crate::token::lock;

/// A snapshot of the process environment, taken by `main`.
#[derive(Clone, Default)]
pub struct Environment(Arc<BTreeMap<String, String>>);

impl Environment {
    /// From name and value pairs.
    pub fn new(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(Arc::new(variables.into_iter().collect()))
    }

    /// A variable's value.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// All variables, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(k, v)| (k.as_str(), v.as_str()))
    }
}

impl fmt::Debug for Environment {
    /// Names only: values may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// How to build a runtime.
#[derive(Debug, Clone)]
pub struct RuntimeConfig {
    /// Name of its threads.
    pub name: &'static str,
    /// Worker threads; 0 is one per core.
    pub workers: usize,
    /// Blocking threads at most.
    pub max_blocking: usize,
    /// Tasks alive at most.
    pub max_tasks: usize,
    /// What `Cx::env` answers from.
    pub env: Environment,
    /// The shutdown it takes part in; share one between the runtimes of a process.
    pub shutdown: ShutdownSignal,
}

impl Default for RuntimeConfig {
    fn default() -> Self {
        Self {
            name: "annals",
            workers: 0,
            max_blocking: 32,
            max_tasks: 100_000,
            env: Environment::default(),
            shutdown: ShutdownSignal::default(),
        }
    }
}

/// Why a runtime could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The runtime is not part of this binary.
    #[error("the runtime {asked} is not compiled in; this binary has: {}", list(.compiled))]
    NotCompiled {
        /// What was asked for.
        asked: BackendKind,
        /// What there is.
        compiled: Vec<BackendKind>,
    },
    /// The backend refused its settings.
    #[error("configure the runtime: {0}")]
    Config(String),
    /// The operating system refused threads or the signal handler.
    #[error("start the runtime: {0}")]
    Os(#[source] io::Error),
}

fn list(kinds: &[BackendKind]) -> String {
    kinds.iter().map(|k| k.as_str()).collect::<Vec<_>>().join(", ")
}

/// A running runtime. Clones share it; dropping the last one stops it.
#[derive(Clone)]
pub struct Runtime {
    inner: Arc<Inner>,
    _owner: Arc<Owner>,
}

/// Ends the runtime when the last handle goes, which the tasks' own references must not prevent.
struct Owner(Arc<Inner>);

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.stop(Duration::ZERO);
    }
}

/// What `run_main` returns: how the body ended, and what was left afterwards.
#[derive(Debug)]
pub struct MainOutcome<T, E> {
    /// How the body ended.
    pub outcome: Outcome<T, E>,
    /// What was left when the runtime had drained.
    pub drain: DrainReport,
}

impl Runtime {
    /// Builds a runtime. No global state: several may live side by side.
    ///
    /// # Errors
    /// [`BuildError`] if the backend is not compiled in or cannot start.
    pub fn build(kind: BackendKind, config: &RuntimeConfig) -> Result<Self, BuildError> {
        let backend = backend::build(kind, config)?;
        let inner = Inner::start(
            kind,
            backend,
            Arc::new(RealNet),
            Some(Pool::new(config.max_blocking)),
            config,
        );
        Ok(Self::from_inner(inner))
    }

    pub(crate) fn from_inner(inner: Arc<Inner>) -> Self {
        Self {
            _owner: Arc::new(Owner(inner.clone())),
            inner,
        }
    }

    /// Which backend it runs on.
    #[must_use]
    pub fn kind(&self) -> BackendKind {
        self.inner.kind
    }

    /// Runs `f` on this thread until it ends, then cancels and drains what it left behind. Once the runtime ends or has
    /// ended, `f` is not run and counts as cancelled.
    pub fn run_main<F, Fut, T, E>(&self, f: F) -> MainOutcome<T, E>
    where
        F: FnOnce(Cx) -> Fut,
        Fut: Future<Output = Result<T, E>>,
        E: TaskError,
    {
        let cleanup = RegionSpec::new("main").cleanup;
        let mut ended = None;
        let body = async {
            let outcome = match self.inner.admit_main() {
                Some((root, place)) => {
                    let cx = Cx::root(root, "main");
                    let driven = cx.clone();
                    let outcome = driven
                        .counted(crate::cx::settle("main", async move { f(cx).await }))
                        .await;
                    drop(place);
                    outcome
                }
                None => {
                    // What it holds may be what the end waits for.
                    drop(f);
                    Outcome::Cancelled(self.inner.gone())
                }
            };
            let drained = self.inner.drain_alone(cleanup).await;
            ended = Some((outcome, drained.unwrap_or_else(|| self.inner.left_alive())));
        };
        self.inner.backend.block_on(pin!(body));
        let (outcome, drain) = ended.unwrap_or_else(|| (Outcome::Cancelled(self.inner.gone()), DrainReport::default()));
        MainOutcome { outcome, drain }
    }

    /// Opens a region directly under the root, for a part of the process that lives as long as it.
    ///
    /// # Errors
    /// [`SpawnError`] once the runtime is ending.
    pub fn open_slice(&self, name: &'static str) -> Result<Region, SpawnError> {
        let root = self.inner.root().ok_or(SpawnError::RuntimeGone)?;
        Cx::root(root, name).open_region_of(RegionKind::Slice, RegionSpec::collect_all(name))
    }

    /// Every region alive, parents first.
    #[must_use]
    pub fn snapshot(&self) -> RegistrySnapshot {
        self.inner.snapshot()
    }

    /// What happens to regions from now on. A reader that is more than 1,024 events behind loses the oldest; the
    /// regions never wait for it.
    #[must_use]
    pub fn region_events(&self) -> BroadcastReceiver<RegionEvent> {
        self.inner.events.subscribe()
    }

    /// Cancels everything, waits at most `bound` for it, and stops the workers. A second call returns the first report,
    /// also one that comes meanwhile; whoever still drains when its own bound is spent stops the workers. Not for the
    /// runtime's own tasks, for which it would wait.
    pub fn shutdown(&self, bound: Duration) -> DrainReport {
        let begun = self.inner.backend.now();
        let mut report = lock(&self.inner.report).clone();
        if report.is_none() {
            let drained = async { report = self.inner.drain_alone(bound).await };
            self.inner.backend.block_on(pin!(drained));
        }
        let Some(report) = report else {
            return self.inner.left_alive();
        };
        self.inner
            .stop(bound.saturating_sub(self.inner.backend.now().since(begun)));
        report
    }

    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.inner
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime")
            .field("kind", &self.inner.kind)
            .finish_non_exhaustive()
    }
}

/// Region events kept for a slow reader.
const EVENTS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1023);

/// Stragglers that a runtime's report names; a server that runs for months must stay flat.
const NAMED_STRAGGLERS: usize = 64;

/// Whether a region is this one or somewhere below it.
fn lies_in(region: &RegionInner, of: &RegionInner) -> bool {
    let mut at = Some(region);
    while let Some(region) = at {
        if region.id == of.id {
            return true;
        }
        at = region.parent.as_deref();
    }
    false
}

/// Bodies of `run_main` at once; whoever drains takes all the places.
const MAINS: usize = 1024;

/// What contexts and regions share.
pub(crate) struct Inner {
    kind: BackendKind,
    backend: Arc<dyn Backend>,
    net: Arc<dyn Net>,
    pool: Option<Arc<Pool>>,
    shutdown: ShutdownSignal,
    env: Environment,
    root: Mutex<Option<Arc<RegionInner>>>,
    registry: Mutex<BTreeMap<u64, Weak<RegionInner>>>,
    events: BroadcastSender<RegionEvent>,
    ids: AtomicU64,
    live_tasks: AtomicUsize,
    max_tasks: usize,
    /// Name lookups at work at once.
    lookups: Semaphore,
    /// Child processes at once.
    children: Semaphore,
    /// Stragglers and open permits of regions that closed before the root.
    leaks: Mutex<DrainReport>,
    report: Mutex<Option<DrainReport>>,
    mains: Semaphore,
    #[cfg(feature = "lab")]
    lab: Option<Arc<crate::lab::LabState>>,
}

impl Inner {
    pub(crate) fn start(
        kind: BackendKind,
        backend: Arc<dyn Backend>,
        net: Arc<dyn Net>,
        pool: Option<Arc<Pool>>,
        config: &RuntimeConfig,
    ) -> Arc<Self> {
        let inner = Self::bare(kind, backend, net, pool, config);
        Self::with_root(Arc::new(inner))
    }

    #[cfg(feature = "lab")]
    pub(crate) fn start_lab(
        kind: BackendKind,
        backend: Arc<dyn Backend>,
        net: Arc<dyn Net>,
        lab: Arc<crate::lab::LabState>,
    ) -> Arc<Self> {
        let mut inner = Self::bare(kind, backend, net, None, &RuntimeConfig::default());
        inner.lab = Some(lab);
        Self::with_root(Arc::new(inner))
    }

    fn bare(
        kind: BackendKind,
        backend: Arc<dyn Backend>,
        net: Arc<dyn Net>,
        pool: Option<Arc<Pool>>,
        config: &RuntimeConfig,
    ) -> Self {
        Self {
            kind,
            backend,
            net,
            pool,
            shutdown: config.shutdown.clone(),
            env: config.env.clone(),
            root: Mutex::new(None),
            registry: Mutex::default(),
            events: BroadcastSender::new(EVENTS),
            ids: AtomicU64::new(1),
            live_tasks: AtomicUsize::new(0),
            max_tasks: config.max_tasks,
            lookups: Semaphore::new(8),
            children: Semaphore::new(64),
            leaks: Mutex::default(),
            report: Mutex::default(),
            mains: Semaphore::new(MAINS),
            #[cfg(feature = "lab")]
            lab: None,
        }
    }

    fn with_root(inner: Arc<Self>) -> Arc<Self> {
        let spec = RegionSpec {
            policy: Policy::CollectAll,
            ..RegionSpec::new("root")
        };
        let root = RegionInner::root(&inner, spec);
        *lock(&inner.root) = Some(root);
        inner
    }

    pub(crate) fn root(&self) -> Option<Arc<RegionInner>> {
        lock(&self.root).clone()
    }

    fn gone(&self) -> CancelReason {
        CancelReason::new(CancelKind::Shutdown, "runtime", self.backend.now())
    }

    pub(crate) fn cancel_root(&self, reason: CancelReason) {
        if let Some(root) = self.root() {
            root.token.raise(reason);
        }
    }

    /// A place for a body of `run_main`, for which a shutdown from another thread waits. None once the end has begun.
    fn admit_main(&self) -> Option<(Arc<RegionInner>, SemPermit)> {
        let place = self.mains.try_acquire(1)?;
        let is_ended = lock(&self.report).is_some();
        self.root().filter(|_| !is_ended).map(|root| (root, place))
    }

    /// Closes the root region; the first report stays. One at a time: a region has one closer.
    pub(crate) async fn drain(self: &Arc<Self>, bound: Duration) -> DrainReport {
        if let Some(report) = lock(&self.report).clone() {
            return report;
        }
        let Some(root) = self.root() else {
            return DrainReport::default();
        };
        let own = root.close(None, bound).await.drain;
        // A straggler of a region that closed long ago, and has ended since, is not left behind.
        let quiescent = own.quiescent && self.live_tasks.load(Ordering::Acquire) == 0;
        // Whose region is held open by its guard nobody has named yet.
        let mut report = if quiescent {
            lock(&self.leaks).clone()
        } else {
            self.left_alive()
        };
        report.elapsed = own.elapsed;
        report.quiescent = quiescent;
        lock(&self.report).get_or_insert(report).clone()
    }

    /// Drains when nobody else does and the bodies of `run_main` have ended, which must not be left without a clock.
    /// `None` if that does not come to pass within `bound`. Ends also when every worker is stuck inside a poll, so that
    /// none is left to tell the time or to run a finalizer.
    async fn drain_alone(self: &Arc<Self>, bound: Duration) -> Option<DrainReport> {
        let begun = self.backend.now();
        if let Some(root) = self.root() {
            let reason = CancelReason::new(CancelKind::Shutdown, root.path(), begun);
            root.token.raise(reason);
        }
        let backend = self.backend.clone();
        let rescue = Rescue::after(bound, move |probe| backend.spawn(probe));
        let mut places = pin!(self.mains.slots(MAINS));
        // Not by the runtime's clock: whoever waits for somebody else's drain may have none any more.
        let alone = poll_fn(|context| match places.as_mut().poll(context) {
            Poll::Ready(alone) => Poll::Ready(alone.ok()),
            Poll::Pending => rescue.poll_late(context).map(|()| None),
        });
        let _alone = alone.await?;
        let mut drained = pin!(self.drain(bound.saturating_sub(self.backend.now().since(begun))));
        let report = poll_fn(|context| match drained.as_mut().poll(context) {
            Poll::Ready(report) => Poll::Ready(report),
            Poll::Pending => rescue
                .poll_stuck(context)
                .map(|()| lock(&self.report).get_or_insert_with(|| self.left_alive()).clone()),
        });
        Some(report.await)
    }

    /// The report of a drain that is not waited for any longer.
    fn left_alive(&self) -> DrainReport {
        let regions: Vec<_> = self.registry().values().filter_map(Weak::upgrade).collect();
        let mut report = lock(&self.leaks).clone();
        report.quiescent = false;
        report.open_permits += regions.iter().map(|region| region.snapshot().permits).sum::<u64>();
        let alive = regions.iter().flat_map(|region| region.left());
        let room = NAMED_STRAGGLERS.saturating_sub(report.stragglers.len());
        report.stragglers.extend(alive.take(room));
        report
    }

    /// The slices of this name.
    pub(crate) fn slices(&self, name: &str) -> Vec<Arc<RegionInner>> {
        let regions: Vec<_> = self.registry().values().filter_map(Weak::upgrade).collect();
        let is_asked = |region: &RegionInner| region.snapshot().kind == RegionKind::Slice;
        let named = regions.into_iter().filter(|region| region.spec.name == name);
        named.filter(|region| is_asked(region)).collect()
    }

    /// Whether no task is alive in this region or below it, and nothing there is being closed.
    pub(crate) fn is_quiet(&self, region: &RegionInner) -> bool {
        let regions: Vec<_> = self.registry().values().filter_map(Weak::upgrade).collect();
        regions.iter().filter(|inner| lies_in(inner, region)).all(|inner| {
            let shown = inner.snapshot();
            shown.live_tasks.is_empty() && shown.state == RegionState::Open
        })
    }

    pub(crate) fn stop(&self, bound: Duration) {
        self.cancel_root(self.gone());
        drop(lock(&self.root).take());
        self.backend.shutdown(bound);
    }

    /// Adds a closed region's counts to the runtime's.
    pub(crate) fn record_drain(&self, drain: &DrainReport) {
        let mut total = lock(&self.leaks);
        total.completed += drain.completed;
        total.failed += drain.failed;
        total.cancelled += drain.cancelled;
        total.panicked += drain.panicked;
        total.open_permits += drain.open_permits;
        let room = NAMED_STRAGGLERS.saturating_sub(total.stragglers.len());
        total.stragglers.extend(drain.stragglers.iter().take(room).cloned());
    }

    pub(crate) fn next_id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn count_task(&self) -> Result<(), SpawnError> {
        let before = self.live_tasks.fetch_add(1, Ordering::AcqRel);
        if before >= self.max_tasks {
            self.uncount_task();
            return Err(SpawnError::TaskLimit { limit: self.max_tasks });
        }
        Ok(())
    }

    pub(crate) fn uncount_task(&self) {
        self.live_tasks.fetch_sub(1, Ordering::AcqRel);
    }

    pub(crate) fn registry(&self) -> MutexGuard<'_, BTreeMap<u64, Weak<RegionInner>>> {
        lock(&self.registry)
    }

    pub(crate) fn snapshot(&self) -> RegistrySnapshot {
        let regions: Vec<_> = self.registry().values().filter_map(Weak::upgrade).collect();
        RegistrySnapshot {
            runtime: self.kind,
            regions: regions.iter().map(|r| r.snapshot()).collect(),
        }
    }

    pub(crate) fn region_events(&self) -> &BroadcastSender<RegionEvent> {
        &self.events
    }

    pub(crate) fn backend(&self) -> &Arc<dyn Backend> {
        &self.backend
    }

    pub(crate) fn net(&self) -> &Arc<dyn Net> {
        &self.net
    }

    pub(crate) fn pool(&self) -> Option<&Arc<Pool>> {
        self.pool.as_ref()
    }

    pub(crate) fn lookups(&self) -> &Semaphore {
        &self.lookups
    }

    pub(crate) fn children(&self) -> &Semaphore {
        &self.children
    }

    pub(crate) fn shutdown_signal(&self) -> &ShutdownSignal {
        &self.shutdown
    }

    pub(crate) fn env(&self) -> &Environment {
        &self.env
    }

    /// A generator for one task: from the operating system, in the lab from the seed.
    pub(crate) fn split_rng(&self, task: u64) -> fastrand::Rng {
        #[cfg(feature = "lab")]
        if let Some(lab) = &self.lab {
            return lab.split_rng(task);
        }
        let _ = task;
        fastrand::Rng::new()
    }

    #[cfg(feature = "lab")]
    pub(crate) fn lab(&self) -> Option<&Arc<crate::lab::LabState>> {
        self.lab.as_ref()
    }
}
