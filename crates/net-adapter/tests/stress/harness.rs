//! Runs a scenario again and again, each time stopped elsewhere.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use annals_net_adapter::lab::{Injection, LabConfig, cancel_everywhere};
use annals_net_adapter::{BackendKind, Cx, Outcome, RegionSpec, Runtime, RuntimeConfig};

use crate::host;
use crate::probe::{Counts, Probe, Size, Victim};

/// Rounds of each scenario in the ordinary suite; `ANNALS_STRESS_ROUNDS` raises it.
const ROUNDS: u64 = 200;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

pub fn rounds() -> u64 {
    number("ANNALS_STRESS_ROUNDS").unwrap_or(ROUNDS)
}

/// A generator for the moments of one test. The seed is printed; `ANNALS_STRESS_SEED` sets it.
pub fn moments(name: &str, kind: BackendKind) -> fastrand::Rng {
    let seed = number("ANNALS_STRESS_SEED").unwrap_or_else(|| fastrand::u64(..));
    eprintln!("{name} on {kind}: ANNALS_STRESS_SEED={seed}");
    fastrand::Rng::with_seed(seed)
}

/// One test at a time: the sockets and the children of the process are counted.
pub fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

pub fn build(kind: BackendKind) -> Runtime {
    let config = RuntimeConfig {
        workers: 2,
        ..RuntimeConfig::default()
    };
    Runtime::build(kind, &config).unwrap()
}

/// On a real runtime: once whole, then as often as asked, stopped at a drawn event.
pub fn real<F, Fut>(name: &str, kind: BackendKind, scenario: F)
where
    F: Fn(Cx, Probe) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let _alone = alone();
    on(name, &[build(kind)], scenario);
}

/// The same on the first of several runtimes, none of which may keep anything.
pub fn on<F, Fut>(name: &str, runtimes: &[Runtime], scenario: F)
where
    F: Fn(Cx, Probe) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let kind = runtimes[0].kind();
    let mut rng = moments(name, kind);
    let main = runtimes[0].run_main(|cx| async move {
        let before = host::sockets();
        let whole = round(&cx, None, &scenario, "whole").await;
        let (counts, events) = (whole.counts(), whole.events());
        assert_eq!(counts.delivered, counts.started, "nobody stopped it: {counts:?}");
        assert!(events >= 10, "only {events} moments to stop it at");
        host::is_empty(runtimes, before, "whole");
        let mut total = Counts::default();
        for n in 0..rounds() {
            let at = rng.u64(1..=events);
            let why = format!("round {n}, event {at} of {events}");
            let counts = round(&cx, Some(at), &scenario, &why).await.counts();
            assert_eq!(counts.delivered + counts.cancelled, counts.started, "{why}: {counts:?}");
            host::is_empty(runtimes, before, &why);
            total = total.plus(counts);
        }
        assert!(
            rounds() < 50 || (total.delivered > 0 && total.cancelled > 0),
            "the cuts hit nothing: {total:?}"
        );
        eprintln!("{name} on {kind}: {} rounds, {events} events, {total:?}", rounds());
        Ok::<_, Infallible>(())
    });
    match main.outcome {
        Outcome::Ok(()) => {}
        Outcome::Panicked(message) => panic!("{message}"),
        other => panic!("{other:?}"),
    }
    for runtime in runtimes {
        let drain = runtime.shutdown(Duration::from_secs(30));
        assert!(drain.quiescent && drain.stragglers.is_empty(), "{drain:?}");
        assert_eq!((drain.open_permits, drain.panicked), (0, 0), "{drain:?}");
    }
}

async fn round<F, Fut>(cx: &Cx, cut_at: Option<u64>, scenario: &F, why: &str) -> Probe
where
    F: Fn(Cx, Probe) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let spec = RegionSpec {
        cleanup: Duration::from_secs(60),
        ..RegionSpec::collect_all("round")
    };
    let region = cx.open_region(spec).unwrap();
    let inside = region.cx().clone();
    let probe = Probe::new(Size::Full, cut_at);
    probe.stops(Victim::Region(region));
    let (scenario, told) = (scenario.clone(), probe.clone());
    let run = |cx: Cx| async move {
        scenario(cx, told).await;
        Ok::<_, Infallible>(())
    };
    let mut task = inside.spawn("scenario", run).unwrap();
    if let Outcome::Panicked(message) = task.join(cx).await.unwrap() {
        panic!("{why}: {message}");
    }
    let report = probe.region().close(cx).await;
    let drain = &report.drain;
    assert!(drain.quiescent && drain.stragglers.is_empty(), "{why}: {drain:?}");
    assert_eq!(
        (drain.open_permits, drain.panicked),
        (0, 0),
        "{why}: {:?}",
        report.cause()
    );
    probe
}

/// In a lab: once whole, then at every poll of every task, by a request and by a drop.
pub fn lab<F, Fut>(name: &str, kind: BackendKind, scenario: F)
where
    F: Fn(Cx, Probe) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let latest = Arc::new(Mutex::new(Probe::new(Size::Small, None)));
    let told = latest.clone();
    let run = move |cx: Cx| {
        let probe = Probe::new(Size::Small, None);
        *told.lock().unwrap() = probe.clone();
        scenario(cx, probe)
    };
    let mut total = Counts::default();
    let points = cancel_everywhere(&LabConfig::new(7).on(kind), run, |report| {
        let why = report.replay_line();
        report.clean().unwrap_or_else(|failure| panic!("{name}: {failure}"));
        let counts = latest.lock().unwrap().counts();
        let ended = counts.delivered + counts.cancelled + counts.lost;
        assert_eq!(ended, counts.started, "{name}: {why}: {counts:?}");
        match report.injected() {
            None => assert_eq!(
                counts.delivered, counts.started,
                "{name}: nobody stopped it: {counts:?}"
            ),
            Some(Injection::Request) => assert_eq!(counts.lost, 0, "{name}: {why}: {counts:?}"),
            // Whose future is dropped can say nothing; the region reports it.
            Some(Injection::Drop) => {}
        }
        total = total.plus(counts);
    });
    assert!(points >= 20, "{name}: only {points} points");
    eprintln!("{name} in the lab on {kind}: {points} points, {total:?}");
}
