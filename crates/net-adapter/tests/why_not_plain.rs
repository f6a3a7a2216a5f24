//! Why the code of Annals does not hold a token and a `JoinSet`: five things that plain tokio parts let happen, each beside
//! the same work done with the adapter. docs/adr/0008 draws the conclusion.
//!
//! The plain halves are tokio's by nature and are left out where tokio is not built in; the adapter's halves run on every
//! runtime.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::Duration;

use annals_net_adapter::channel::{TryReserveError, mpsc};
use annals_net_adapter::lab::LabConfig;
use annals_net_adapter::testing::real;
use annals_net_adapter::{
    BackendKind, CancelKind, CancelReason, Cancelled, Cx, GroupSpec, Outcome, Policy, RegionSpec, Runtime,
    RuntimeConfig,
};

const PATIENCE: Duration = Duration::from_secs(30);

/// What work waits for that knows nothing of contexts: an answer from outside.
#[derive(Clone, Default)]
struct Gate(Arc<Mutex<(bool, Option<Waker>)>>);

impl Gate {
    fn open(&self) {
        let waker = {
            let mut state = self.0.lock().unwrap();
            state.0 = true;
            state.1.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    async fn passed(&self) {
        poll_fn(|context| {
            let mut state = self.0.lock().unwrap();
            if state.0 {
                return Poll::Ready(());
            }
            state.1 = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

/// Waits for the state that a test asserts.
async fn until(cx: &Cx, reached: impl Fn() -> bool) {
    while !reached() {
        cx.sleep(Duration::from_millis(1)).await.unwrap();
    }
}

fn reason(cx: &Cx) -> CancelReason {
    CancelReason::new(CancelKind::User, "test", cx.now())
}

/// Work that has been asked to end and does not look.
async fn deaf(gate: Gate, effects: Arc<AtomicU32>) {
    gate.passed().await;
    effects.fetch_add(1, Ordering::SeqCst);
}

/// Nobody is left behind: an owner that has gone has no work that still happens.
#[test]
fn plain_token_task_outlives_its_owner() {
    #[cfg(feature = "tokio")]
    plain::token_task_outlives_its_owner();

    // Left alone, a region ends after its tasks.
    async fn waits(cx: Cx) {
        let (gate, effects) = (Gate::default(), Arc::new(AtomicU32::new(0)));
        let region = cx.open_region(RegionSpec::new("owner")).unwrap();
        let work = deaf(gate.clone(), effects.clone());
        let work = |_| async move {
            work.await;
            Ok::<_, Cancelled>(())
        };
        region.cx().spawn("deaf", work).unwrap();
        let opens = |cx: Cx| async move {
            cx.sleep(Duration::from_millis(1)).await?;
            gate.open();
            Ok::<_, Cancelled>(())
        };
        region.cx().spawn("opens", opens).unwrap();
        assert!(region.close(&cx).await.drain.quiescent);
        assert_eq!(effects.load(Ordering::SeqCst), 1, "before its owner had gone");
    }

    // In a hurry, it says who would have stayed, and that one does nothing any more.
    async fn names(cx: Cx) {
        let (gate, effects) = (Gate::default(), Arc::new(AtomicU32::new(0)));
        let region = cx.open_region(RegionSpec::new("owner")).unwrap();
        let work = deaf(gate.clone(), effects.clone());
        let work = |_| async move {
            work.await;
            Ok::<_, Cancelled>(())
        };
        region.cx().spawn("deaf", work).unwrap();
        let drain = region.close_within(Duration::from_millis(10)).await.drain;
        let left: Vec<_> = drain.stragglers.iter().map(|task| task.name).collect();
        assert_eq!((drain.quiescent, left), (false, vec!["deaf"]));
        until(&cx, || Arc::strong_count(&effects) == 1).await;
        gate.open();
        assert_eq!(effects.load(Ordering::SeqCst), 0, "it was dropped where it stood");
    }

    for &kind in BackendKind::compiled() {
        real(kind, waits);
        // `real` would complain of the straggler.
        let config = RuntimeConfig {
            workers: 2,
            ..RuntimeConfig::default()
        };
        let main = Runtime::build(kind, &config).unwrap().run_main(|cx| async move {
            names(cx).await;
            Ok::<_, Cancelled>(())
        });
        assert!(main.outcome.is_ok(), "{kind}: {:?}", main.outcome);
        assert_eq!(main.drain.stragglers.len(), 1, "{kind}: the runtime knows it too");
    }
}

/// A job of a queue that is claimed before the work and has to be given back whatever happens. Giving it back is a request
/// to somebody else, so it cannot be done by a destructor.
#[derive(Default)]
struct Job {
    claimed: AtomicBool,
    given_back: AtomicU32,
}

impl Job {
    fn claim(&self) {
        self.claimed.store(true, Ordering::SeqCst);
    }

    async fn give_back(&self, request: impl Future) {
        request.await;
        self.claimed.store(false, Ordering::SeqCst);
        self.given_back.fetch_add(1, Ordering::SeqCst);
    }
}

/// Finish or roll back: cleanup that has to wait is done although the owner let go.
#[test]
fn plain_joinset_drop_skips_cleanup() {
    #[cfg(feature = "tokio")]
    plain::joinset_drop_skips_cleanup();

    async fn body(cx: Cx) {
        let job = Arc::new(Job::default());
        let around = cx.open_region(RegionSpec::new("around")).unwrap();
        let region = around.cx().open_region(RegionSpec::new("worker")).unwrap();
        job.claim();
        let owed = job.clone();
        let give_back = |cx: Cx| async move { owed.give_back(cx.sleep_full(Duration::from_millis(1))).await };
        region.cx().defer("give back", PATIENCE, give_back).unwrap();
        let work = |cx: Cx| async move { cx.or_cancel(Gate::default().passed()).await };
        region.cx().spawn("work", work).unwrap();

        drop(region);
        assert!(around.close(&cx).await.drain.quiescent);
        assert!(!job.claimed.load(Ordering::SeqCst));
        assert_eq!(job.given_back.load(Ordering::SeqCst), 1);
    }

    for &kind in BackendKind::compiled() {
        real(kind, body);
    }
}

/// What was promised is kept, or said: a place in a channel that nobody will ever use.
#[test]
fn plain_channel_loses_reserved_slot_silently() {
    #[cfg(feature = "tokio")]
    plain::channel_loses_reserved_slot_silently();

    async fn body(cx: Cx) -> String {
        let (tx, _rx) = mpsc::<u32>(1.try_into().unwrap());
        let parked = Arc::new(Mutex::new(Vec::new()));
        let region = cx.open_region(RegionSpec::new("batch")).unwrap();
        let (sender, shelf) = (tx.clone(), parked.clone());
        let reserve = |cx: Cx| async move {
            let permit = sender.reserve(&cx).await.unwrap();
            shelf.lock().unwrap().push(permit);
            Ok::<_, Cancelled>(())
        };
        region.cx().spawn("reserves", reserve).unwrap();
        let report = region.close(&cx).await;
        assert_eq!(tx.try_reserve(&cx).unwrap_err(), TryReserveError::Full);
        format!("{:?} with {} open", report.overall, report.drain.open_permits)
    }

    for &kind in BackendKind::compiled() {
        let report = LabConfig::new(1).on(kind).run(body);
        let complaint = report.clean().unwrap_err().to_string();
        assert!(
            complaint.contains("1 permits were not given back"),
            "{kind}: {complaint}"
        );
        assert_eq!(report.outcome.ok().as_deref(), Some("Ok with 1 open"), "{kind}");
    }
}

/// Stores a page, waits for the acknowledgement, and says how many rows it had.
async fn page(stored: Arc<AtomicU32>, acknowledged: Gate) -> u32 {
    stored.fetch_add(1, Ordering::SeqCst);
    acknowledged.passed().await;
    7
}

/// Every result is accounted for, in the order in which it was asked for.
#[test]
fn plain_joinset_loses_late_result() {
    #[cfg(feature = "tokio")]
    plain::joinset_loses_late_result();

    async fn body(cx: Cx) {
        let (stored, acknowledged) = (Arc::new(AtomicU32::new(0)), Gate::default());
        let quick = Arc::new(AtomicBool::new(false));
        let region = cx.open_region(RegionSpec::collect_all("run")).unwrap();
        let mut group = region.cx().group::<u32, Cancelled>(GroupSpec {
            name: "pages",
            policy: Policy::CollectAll,
            max_in_flight: 2.try_into().unwrap(),
        });
        let (count, gate) = (stored.clone(), acknowledged.clone());
        let late = |cx: Cx| async move { Ok(cx.masked(PATIENCE, |_| page(count, gate)).await.unwrap()) };
        group.spawn(region.cx(), late).await.unwrap();
        let done = quick.clone();
        let early = |_| async move {
            done.store(true, Ordering::SeqCst);
            Ok(1)
        };
        group.spawn(region.cx(), early).await.unwrap();
        until(&cx, || {
            stored.load(Ordering::SeqCst) == 1 && quick.load(Ordering::SeqCst)
        })
        .await;

        region.cancel(reason(&cx));
        acknowledged.open();
        assert_eq!(group.join_all(region.cx()).await, [Outcome::Ok(7), Outcome::Ok(1)]);
        assert!(region.close(&cx).await.drain.quiescent);
    }

    for &kind in BackendKind::compiled() {
        real(kind, body);
    }
}

/// Reads, waits and writes: two of these at the same time lose an update. `rests` lets others run.
async fn add<Fut: Future>(total: Arc<AtomicU32>, later: u32, rest: impl Fn() -> Fut) {
    for _ in 0..later {
        rest().await;
    }
    let read = total.load(Ordering::SeqCst);
    rest().await;
    total.store(read + 1, Ordering::SeqCst);
}

/// Schedules per kind of test.
const RUNS: u64 = 32;

/// A failure can be found and replayed: the same race, 32 times plainly and 32 seeds in the lab.
#[test]
fn plain_test_misses_lost_update() {
    #[cfg(feature = "tokio")]
    assert_eq!((0..RUNS).filter(|_| plain::two_additions() != 2).count(), 0);

    async fn two_additions(cx: Cx) -> u32 {
        let total = Arc::new(AtomicU32::new(0));
        let region = cx.open_region(RegionSpec::new("additions")).unwrap();
        for later in [0, 2] {
            let total = total.clone();
            let adds = move |cx: Cx| async move {
                add(total, later, || cx.yield_now()).await;
                Ok::<_, Cancelled>(())
            };
            region.cx().spawn("adds", adds).unwrap();
        }
        region.close(&cx).await;
        total.load(Ordering::SeqCst)
    }

    for &kind in BackendKind::compiled() {
        let run = |seed| LabConfig::new(seed).on(kind).run(two_additions);
        let lost = |seed: &u64| run(*seed).outcome.ok() == Some(1);
        let found: Vec<u64> = (0..RUNS).filter(lost).collect();
        assert!(
            !found.is_empty() && found.len() < usize::try_from(RUNS).unwrap(),
            "{kind}: {found:?}"
        );
        assert_eq!((0..RUNS).filter(lost).collect::<Vec<_>>(), found, "{kind}: again");
        let line = run(found[0]).replay_line();
        assert!(line.contains(&format!("backend={kind} seed={}", found[0])), "{line}");
    }
}

/// The same work with tokio's own parts, on one thread with the paused clock, as a `#[tokio::test(start_paused = true)]` is.
#[cfg(feature = "tokio")]
mod plain {
    use tokio::runtime::Builder;
    use tokio::sync::{mpsc, oneshot, watch};
    use tokio::task::{JoinSet, yield_now};

    use super::*;

    fn test<T>(body: impl Future<Output = T>) -> T {
        let mut builder = Builder::new_current_thread();
        builder.enable_time().start_paused(true).build().unwrap().block_on(body)
    }

    async fn until(reached: impl Fn() -> bool) {
        while !reached() {
            yield_now().await;
        }
    }

    pub fn token_task_outlives_its_owner() {
        /// Starts work, gives it a token, raises it, and is gone. (The token of tokio-util has a tree and no wait either.)
        fn owner(gate: Gate, effects: Arc<AtomicU32>) -> oneshot::Receiver<()> {
            let (cancel, token) = watch::channel(false);
            let (done, ended) = oneshot::channel();
            tokio::spawn(async move {
                deaf(gate, effects).await;
                drop(token);
                done.send(()).unwrap();
            });
            cancel.send(true).unwrap();
            ended
        }

        test(async {
            let (gate, effects) = (Gate::default(), Arc::new(AtomicU32::new(0)));
            let ended = owner(gate.clone(), effects.clone());
            gate.open();
            ended.await.unwrap();
            assert_eq!(effects.load(Ordering::SeqCst), 1, "after its owner had gone");
        });
    }

    pub fn joinset_drop_skips_cleanup() {
        test(async {
            let job = Arc::new(Job::default());
            let mut set = JoinSet::new();
            let owed = job.clone();
            set.spawn(async move {
                owed.claim();
                Gate::default().passed().await;
                owed.give_back(yield_now()).await;
            });
            until(|| job.claimed.load(Ordering::SeqCst)).await;

            drop(set);
            until(|| Arc::strong_count(&job) == 1).await;
            assert!(job.claimed.load(Ordering::SeqCst), "for ever");
            assert_eq!(job.given_back.load(Ordering::SeqCst), 0);
        });
    }

    pub fn channel_loses_reserved_slot_silently() {
        test(async {
            let (tx, _rx) = mpsc::channel::<u32>(1);
            let parked = Arc::new(Mutex::new(Vec::new()));
            let mut set = JoinSet::new();
            let (sender, shelf) = (tx.clone(), parked.clone());
            set.spawn(async move {
                let permit = sender.reserve_owned().await.unwrap();
                shelf.lock().unwrap().push(permit);
            });
            while let Some(ended) = set.join_next().await {
                ended.expect("all is well");
            }
            assert!(set.is_empty(), "and nothing is left");
            assert!(matches!(tx.try_send(1), Err(mpsc::error::TrySendError::Full(1))));
        });
    }

    pub fn joinset_loses_late_result() {
        test(async {
            let (stored, acknowledged) = (Arc::new(AtomicU32::new(0)), Gate::default());
            let quick = Arc::new(AtomicBool::new(false));
            let mut set = JoinSet::new();
            set.spawn(page(stored.clone(), acknowledged.clone()));
            let done = quick.clone();
            set.spawn(async move {
                done.store(true, Ordering::SeqCst);
                1
            });
            until(|| stored.load(Ordering::SeqCst) == 1 && quick.load(Ordering::SeqCst)).await;

            set.abort_all();
            acknowledged.open();
            let mut results = Vec::new();
            while let Some(ended) = set.join_next().await {
                results.push(ended.ok());
            }
            assert_eq!(
                results,
                [Some(1), None],
                "the second comes first, and the rows of a stored page are unknown"
            );
            assert_eq!(stored.load(Ordering::SeqCst), 1);
        });
    }

    pub fn two_additions() -> u32 {
        test(async {
            let total = Arc::new(AtomicU32::new(0));
            let mut set = JoinSet::new();
            for later in [0, 2] {
                set.spawn(add(total.clone(), later, yield_now));
            }
            set.join_all().await;
            total.load(Ordering::SeqCst)
        })
    }
}
