//! What the adapter's primitives cost beside tokio's own, in one process, taking turns.

use std::convert::Infallible;
use std::time::Instant;

use annals_net_adapter::{BackendKind, Cx, RegionSpec, Runtime, RuntimeConfig};
use tokio::runtime::Handle;

/// Operations in a turn.
const TURN: u32 = 5_000;
const BATCH: u32 = 1_000;
const BLOCKING: u32 = 500;

#[derive(serde::Serialize)]
struct Cost {
    what: &'static str,
    /// The largest ratio that is on target.
    bound: f64,
    /// Nanoseconds of one operation, by round.
    ours: Vec<f64>,
    theirs: Vec<f64>,
}

/// Prints a JSON list.
pub fn print(rounds: u32) {
    let rows = [
        ("spawn and join one by one / tokio's", 2.5),
        ("spawn 1,000, then join them / tokio's", 2.5),
        ("open and close an empty region / tokio's spawn and join", 0.5),
        ("blocking call / tokio's", 1.5),
    ];
    let mut costs = rows.map(|(what, bound)| Cost {
        what,
        bound,
        ours: Vec::new(),
        theirs: Vec::new(),
    });
    let tokio = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let runtime = Runtime::build(BackendKind::Tokio, &RuntimeConfig::default()).unwrap();
    // Borrowed, because a runtime must not end within another.
    let (measured, own_runtime) = (&mut costs, &tokio);
    let main = runtime.run_main(|cx| async move {
        // The first round warms up and is not kept.
        for round in 0..=rounds {
            let pairs = [
                (one_by_one(&cx).await, own(own_runtime, own_one_by_one)),
                (batches(&cx).await, own(own_runtime, own_batches)),
                (regions(&cx).await, own(own_runtime, own_one_by_one)),
                (blocking(&cx).await, own(own_runtime, own_blocking)),
            ];
            if round > 0 {
                for (cost, (ours, theirs)) in measured.iter_mut().zip(pairs) {
                    cost.ours.push(ours);
                    cost.theirs.push(theirs);
                }
            }
        }
        Ok::<(), Infallible>(())
    });
    assert!(main.outcome.is_ok());
    println!("{}", serde_json::to_string(&costs).unwrap());
}

fn per_operation(start: Instant, count: u32) -> f64 {
    start.elapsed().as_secs_f64() * 1e9 / f64::from(count)
}

/// On a thread of its own, because a runtime is not entered within another.
fn own<Fut: Future<Output = f64>>(tokio: &tokio::runtime::Runtime, turn: impl FnOnce(Handle) -> Fut + Send) -> f64 {
    let handle = tokio.handle().clone();
    std::thread::scope(|scope| scope.spawn(|| tokio.block_on(turn(handle))).join()).unwrap()
}

async fn nothing(_: Cx) -> Result<(), Infallible> {
    Ok(())
}

async fn one_by_one(cx: &Cx) -> f64 {
    let start = Instant::now();
    for _ in 0..TURN {
        let mut task = cx.spawn("bench", nothing).unwrap();
        assert!(task.join(cx).await.unwrap().is_ok());
    }
    per_operation(start, TURN)
}

async fn own_one_by_one(tokio: Handle) -> f64 {
    let start = Instant::now();
    for _ in 0..TURN {
        tokio.spawn(async {}).await.unwrap();
    }
    per_operation(start, TURN)
}

async fn batches(cx: &Cx) -> f64 {
    let start = Instant::now();
    for _ in 0..TURN / BATCH {
        let mut tasks: Vec<_> = (0..BATCH).map(|_| cx.spawn("bench", nothing).unwrap()).collect();
        for task in &mut tasks {
            assert!(task.join(cx).await.unwrap().is_ok());
        }
    }
    per_operation(start, TURN)
}

async fn own_batches(tokio: Handle) -> f64 {
    let start = Instant::now();
    for _ in 0..TURN / BATCH {
        let tasks: Vec<_> = (0..BATCH).map(|_| tokio.spawn(async {})).collect();
        for task in tasks {
            task.await.unwrap();
        }
    }
    per_operation(start, TURN)
}

async fn regions(cx: &Cx) -> f64 {
    let start = Instant::now();
    for _ in 0..TURN {
        let region = cx.open_region(RegionSpec::new("bench")).unwrap();
        assert!(region.close(cx).await.drain.quiescent);
    }
    per_operation(start, TURN)
}

async fn blocking(cx: &Cx) -> f64 {
    let start = Instant::now();
    for _ in 0..BLOCKING {
        assert!(cx.blocking("bench", |_| Ok::<(), Infallible>(())).await.is_ok());
    }
    per_operation(start, BLOCKING)
}

async fn own_blocking(tokio: Handle) -> f64 {
    let start = Instant::now();
    for _ in 0..BLOCKING {
        tokio.spawn_blocking(|| ()).await.unwrap();
    }
    per_operation(start, BLOCKING)
}
