//! A thousand tasks in three levels of regions, cancelled at any moment; and one that is meant to be left behind, so that
//! a count of none can be believed.

use std::convert::Infallible;
use std::time::Duration;

use annals_net_adapter::{
    BackendKind, CancelKind, CancelReason, Cancelled, Cx, DrainReport, RegionSpec, Runtime, RuntimeConfig,
};

#[derive(Default, serde::Serialize)]
struct Storms {
    host: &'static str,
    rounds: u64,
    /// Runtimes that said at their end what was left.
    snapshots: u64,
    tasks: u64,
    /// Tasks that were left, by name.
    orphans: Vec<&'static str>,
    permits: u64,
    /// The same for the run that leaves one behind.
    control: Vec<&'static str>,
}

/// Prints a JSON list, one entry per compiled runtime.
pub fn print(rounds: u64) {
    let all: Vec<Storms> = BackendKind::compiled()
        .iter()
        .map(|kind| storms(*kind, rounds))
        .collect();
    println!("{}", serde_json::to_string(&all).unwrap());
}

fn storms(kind: BackendKind, rounds: u64) -> Storms {
    let mut storms = Storms {
        host: kind.as_str(),
        rounds,
        ..Storms::default()
    };
    for round in 0..rounds {
        let drain = drained(kind, |cx| storm(cx, Duration::from_micros(round % 200 * 37)));
        storms.snapshots += 1;
        storms.tasks += drain.completed + drain.failed + drain.cancelled + drain.panicked;
        storms.orphans.extend(left(&drain));
        storms.permits += drain.open_permits;
    }
    let leak = drained(kind, |cx| async move {
        let spec = RegionSpec {
            cleanup: Duration::from_millis(50),
            ..RegionSpec::new("control")
        };
        let region = cx.open_region(spec).unwrap();
        region
            .cx()
            .spawn("leak on purpose", |_| std::future::pending::<Result<(), Infallible>>())
            .unwrap();
        region.cancel(CancelReason::new(CancelKind::User, "control", cx.now()));
        region.close(&cx).await;
    });
    storms.control = left(&leak);
    storms
}

/// What a runtime left behind, by name.
fn left(drain: &DrainReport) -> Vec<&'static str> {
    let mut names: Vec<_> = drain.stragglers.iter().map(|task| task.name).collect();
    if !drain.quiescent && names.is_empty() {
        names.push("(without a name)");
    }
    names
}

fn drained<Fut: Future<Output = ()>>(kind: BackendKind, body: impl FnOnce(Cx) -> Fut) -> DrainReport {
    let config = RuntimeConfig {
        workers: 2,
        ..RuntimeConfig::default()
    };
    let runtime = Runtime::build(kind, &config).unwrap();
    let main = runtime.run_main(|cx| async move {
        body(cx).await;
        Ok::<(), Infallible>(())
    });
    main.drain
}

async fn storm(cx: Cx, cancel_after: Duration) {
    let region = cx.open_region(RegionSpec::collect_all("storm")).unwrap();
    for _ in 0..10 {
        region.cx().spawn("trunk", |cx| branch(cx, 1)).unwrap();
    }
    cx.sleep(cancel_after).await.unwrap();
    region.cancel(CancelReason::new(CancelKind::User, "storm", cx.now()));
    region.close(&cx).await;
}

/// Ten more of the next level, and a pause at the last.
async fn branch(cx: Cx, level: u32) -> Result<(), Cancelled> {
    if level == 3 {
        let pause = cx.rng().u64(0..5_000);
        return cx.sleep(Duration::from_micros(pause)).await;
    }
    let Ok(region) = cx.open_region(RegionSpec::collect_all("branch")) else {
        return cx.checkpoint();
    };
    for _ in 0..10 {
        if region.cx().spawn("branch", branch_of(level + 1)).is_err() {
            break;
        }
    }
    region.close(&cx).await;
    Ok(())
}

type Boxed = std::pin::Pin<Box<dyn Future<Output = Result<(), Cancelled>> + Send>>;

/// A recursive future has to be boxed.
fn branch_of(level: u32) -> impl FnOnce(Cx) -> Boxed + Send + 'static {
    move |cx| Box::pin(branch(cx, level))
}
