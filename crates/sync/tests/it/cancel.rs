//! Stopping a run: at every await, by signal, by cancellation, and in both orders. Whatever is in
//! the file then is whole, and the next run ends where an uninterrupted one would have.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test may panic"
)]

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::common::file::{Folder, assert_let_go, assert_whole_batches, dump};
use crate::common::{options_for, process, sized};
use annals_core::{CancelKind, CancelReason, Signal};
use annals_db::{Db, OpenOptions};
use annals_net_adapter::lab::{CancelPoint, Injection, LabConfig};
use annals_net_adapter::{BackendKind, Cx, RegionSpec};
use annals_sync::{Error, Progress, SyncResult, Target};
use annals_testkit::forge::{Fault, FaultPlan, Latency, Rule, SimOptions, Simulator, State, When};

/// How many instants are tried; `ANNALS_CANCEL_POINTS` raises it.
fn points() -> usize {
    std::env::var("ANNALS_CANCEL_POINTS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(120)
}

fn forge_state() -> State {
    sized(51, 5, 3)
}

/// One run in a lab over the file at `path`.
async fn run_over(cx: Cx, path: PathBuf, pid: i64, sim: SimOptions) -> Result<SyncResult, Error> {
    let db = Db::open(&cx, &path, OpenOptions::write(process(pid))).await?;
    let sim = Simulator::start(&cx, forge_state(), sim).await.unwrap();
    let mut options = options_for(&sim);
    options.settings.page_size = 2;
    // The port is another each time; the forge is the same.
    let result = annals_sync::sync(
        &cx,
        &db,
        vec![Target::Url(sim.project_url())],
        options,
        Progress::silent(),
    )
    .await;
    db.close(&cx).await?;
    let _report = sim.stop().await;
    result
}

fn at_fixed_port() -> SimOptions {
    SimOptions {
        addr: "127.0.0.1:4711".parse().unwrap(),
        ..SimOptions::default()
    }
}

fn uninterrupted(backend: BackendKind) -> String {
    let folder = Folder::new();
    let path = folder.file();
    let report = LabConfig::new(1)
        .on(backend)
        .run(move |cx| run_over(cx, path, 1, at_fixed_port()));
    report.clean().unwrap();
    report.outcome.ok().unwrap().unwrap();
    dump(&folder.file())
}

/// A second run over the same file, by another process, reaches the end.
fn finish(backend: BackendKind, path: &Path, why: &str) -> String {
    let again = path.to_owned();
    let report = LabConfig::new(2)
        .on(backend)
        .run(move |cx| run_over(cx, again, 2, at_fixed_port()));
    report.clean().unwrap();
    if let Err(error) = report.outcome.ok().unwrap() {
        panic!("{why}, the run after: {error} {:?}", error.report());
    }
    dump(path)
}

#[test]
fn inv1_kill_at_every_await_leaves_whole_batches() {
    for backend in BackendKind::compiled().iter().copied() {
        let expected = uninterrupted(backend);
        let counted = {
            let path = Folder::new();
            let file = path.file();
            LabConfig::new(1)
                .on(backend)
                .run(move |cx| run_over(cx, file, 1, at_fixed_port()))
                .polls
        };
        let all: Vec<(u64, u64)> = counted
            .iter()
            .flat_map(|(task, polls)| (1..=*polls).map(|p| (*task, p)))
            .collect();
        assert!(all.len() > 200, "only {} suspension points", all.len());
        let stride = (all.len() / points()).max(1);
        for (n, (task, poll)) in all.iter().copied().step_by(stride).enumerate() {
            let injection = if n % 2 == 0 {
                Injection::Request
            } else {
                Injection::Drop
            };
            let why = format!("{backend} task {task} poll {poll} {injection:?}");
            let folder = Folder::new();
            let path = folder.file();
            let mut lab = LabConfig::new(1).on(backend);
            lab.cancel_at = Some(CancelPoint { task, poll, injection });
            let file = path.clone();
            let report = lab.run(move |cx| run_over(cx, file, 1, at_fixed_port()));
            drop(report);
            if !path.exists() {
                continue;
            }
            let is_new = rusqlite::Connection::open(&path)
                .unwrap()
                .query_row("SELECT count(*) FROM sqlite_schema WHERE name = 'issues'", (), |row| {
                    row.get::<_, i64>(0)
                })
                .unwrap();
            if is_new == 1 {
                assert_whole_batches(&path, &why);
            }
            let found = finish(backend, &path, &why);
            assert!(found == expected, "{why}: the file ends differently");
            assert_let_go(&path, &why);
        }
    }
}

/// How a run is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blow {
    Signal,
    Cancel,
}

/// A place to stop it at: what goes on at the forge, and when.
struct At {
    name: &'static str,
    sim: fn() -> SimOptions,
    after: Duration,
}

fn places() -> [At; 5] {
    let slow = || SimOptions {
        latency: Latency::Fixed(Duration::from_millis(100)),
        ..at_fixed_port()
    };
    [
        At {
            name: "the first answer",
            sim: slow,
            after: Duration::from_millis(50),
        },
        At {
            name: "head",
            sim: slow,
            after: Duration::from_millis(650),
        },
        At {
            name: "sleep",
            sim: || SimOptions {
                faults: FaultPlan::none().with(Rule::new(Fault::TooManyRequests, "*/discussions?*", When::First(1))),
                context: annals_testkit::forge::faults::Context {
                    retry_after: "30".into(),
                    ..Default::default()
                },
                ..at_fixed_port()
            },
            after: Duration::from_secs(2),
        },
        At {
            name: "body",
            sim: || SimOptions {
                faults: FaultPlan::none().with(Rule::new(Fault::SlowBytes, "*/issues?*", When::Always)),
                slow: Duration::from_millis(50),
                ..at_fixed_port()
            },
            after: Duration::from_secs(2),
        },
        At {
            name: "write",
            sim: slow,
            after: Duration::from_millis(1_450),
        },
    ]
}

/// Runs over `path` and stops it with these blows, half a second apart. Returns how it ended.
fn stopped(backend: BackendKind, path: &Path, at: &At, blows: &'static [Blow]) -> Option<Error> {
    let (sim, after, file) = ((at.sim)(), at.after, path.to_owned());
    let ended = Arc::new(Mutex::new(None));
    let slot = ended.clone();
    let report = LabConfig::new(3).on(backend).run(move |cx| async move {
        let region = cx.open_region(RegionSpec::collect_all("test")).unwrap();
        let shutdown = cx.shutdown().clone();
        let mut task = region.cx().spawn("run", move |cx| run_over(cx, file, 1, sim)).unwrap();
        cx.sleep(after).await.unwrap();
        for blow in blows {
            let reason = |kind| CancelReason::new(kind, "test", cx.now());
            match blow {
                Blow::Signal => shutdown.begin(reason(CancelKind::Signal(Signal::Int))),
                Blow::Cancel => region.cancel(reason(CancelKind::User)),
            }
            cx.sleep_full(Duration::from_millis(500)).await;
        }
        let began = cx.now();
        // A drain alone lets what is under way finish; then the region is empty by itself.
        let outcome = task.join(&cx).await;
        let took = cx.now().since(began);
        *slot.lock().unwrap() = Some((format!("{outcome:?}"), took));
        let report = region.close_within(Duration::from_secs(3)).await;
        assert!(
            report.drain.quiescent && report.drain.open_permits == 0,
            "{:?}",
            report.drain
        );
        outcome.ok().and_then(|outcome| match outcome {
            annals_net_adapter::Outcome::Err(error) => Some(error),
            _ => None,
        })
    });
    report
        .clean()
        .unwrap_or_else(|failure| panic!("{} {blows:?}: {failure}", at.name));
    let (outcome, took) = ended.lock().unwrap().take().unwrap();
    assert!(took < Duration::from_secs(10), "{} {blows:?}: {took:?}", at.name);
    assert!(outcome.contains("Cancelled"), "{} {blows:?}: {outcome}", at.name);
    report.outcome.ok().flatten()
}

fn inv4(blows: &'static [Blow]) {
    for backend in BackendKind::compiled().iter().copied() {
        let expected = uninterrupted(backend);
        for at in places() {
            let why = format!("{backend} {blows:?} during {}", at.name);
            let folder = Folder::new();
            let path = folder.file();
            stopped(backend, &path, &at, blows);
            let status = rusqlite::Connection::open(&path)
                .unwrap()
                .query_row(
                    "SELECT group_concat(status || ':' || error_code) FROM sync_runs",
                    (),
                    |row| row.get::<_, Option<String>>(0),
                )
                .unwrap();
            // Stopped before it had a row, it has none.
            assert!(
                status.is_none() || status.as_deref() == Some("cancelled:cancelled"),
                "{why}: {status:?}"
            );
            assert_whole_batches(&path, &why);
            assert_let_go(&path, &why);
            let found = finish(backend, &path, &why);
            assert!(found == expected, "{why}: the file ends differently");
        }
    }
}

#[test]
fn inv4_signal_only() {
    inv4(&[Blow::Signal]);
}

#[test]
fn inv4_cancel_only() {
    inv4(&[Blow::Cancel]);
}

#[test]
fn inv4_signal_then_cancel() {
    inv4(&[Blow::Signal, Blow::Cancel]);
}

#[test]
fn inv4_cancel_then_signal() {
    inv4(&[Blow::Cancel, Blow::Signal]);
}

/// After the signal no page and no set begins; what was under way is committed.
#[test]
fn inv3_drain_finishes_current_page_and_starts_none() {
    for backend in BackendKind::compiled().iter().copied() {
        for (n, millis) in (50..4_000).step_by(70).enumerate() {
            // Small pages to be stopped between them; large ones, so that a set is one request.
            let page_size = if n % 2 == 0 { 2 } else { 100 };
            let report = LabConfig::new(4).on(backend).run(move |cx| async move {
                let folder = Folder::new();
                let db = Db::open(&cx, &folder.file(), OpenOptions::write(process(1)))
                    .await
                    .unwrap();
                let latency = Latency::Fixed(Duration::from_millis(100));
                let sim = Simulator::start(
                    &cx,
                    forge_state(),
                    SimOptions {
                        latency,
                        ..SimOptions::default()
                    },
                )
                .await
                .unwrap();
                let mut options = options_for(&sim);
                options.settings.page_size = page_size;
                options.settings.events = false;
                let shutdown = cx.shutdown().clone();
                let (run_db, target) = (db.clone(), Target::Url(sim.project_url()));
                let mut run = cx
                    .spawn("run", move |cx| async move {
                        annals_sync::sync(&cx, &run_db, vec![target], options, Progress::silent()).await
                    })
                    .unwrap();
                cx.sleep(Duration::from_millis(millis)).await.unwrap();
                shutdown.begin(CancelReason::new(CancelKind::Signal(Signal::Term), "test", cx.now()));
                let begun = sim.stats();
                let outcome = run.join(&cx).await.unwrap();
                if page_size == 100 {
                    // Those that were being connected arrive; four are the most that can be.
                    let late = sim.stats().requests - begun.requests;
                    assert!(
                        late + begun.in_flight <= 4,
                        "{late} sets began after the signal at {millis} ms"
                    );
                } else {
                    // Later pages of a set belong to it; each page of a stream is a unit of its own.
                    let pages = |log: &annals_testkit::forge::server::Stats| {
                        log.by_path.get("/api/v4/projects/:n/issues").copied()
                    };
                    let late = pages(&sim.stats()).unwrap_or_default() - pages(&begun).unwrap_or_default();
                    assert!(
                        late <= begun.in_flight,
                        "{late} pages began after the signal at {millis} ms"
                    );
                }
                let done = outcome.is_ok();
                // Every list page that was asked for is in the file.
                let pages = sim
                    .log()
                    .iter()
                    .filter(|entry| entry.target.contains("/issues?") && entry.target.contains("updated_at"))
                    .filter(|entry| entry.status == 200)
                    .count();
                let stored = db
                    .read(&cx, |conn| {
                        Ok(conn.query_row(
                            "SELECT coalesce(sum(pages), 0) FROM sync_run_streams WHERE stream = 'issues'",
                            (),
                            |row| row.get::<_, i64>(0),
                        )?)
                    })
                    .await
                    .unwrap();
                assert_eq!(usize::try_from(stored).unwrap(), pages, "at {millis} ms");
                let sets = sim
                    .log()
                    .iter()
                    .filter(|entry| entry.target.contains("/discussions?"))
                    .count();
                let recorded = db
                    .read(&cx, |conn| {
                        let sql = "SELECT count(*) FROM dependent_sets WHERE job_type = 'discussions'";
                        Ok(conn.query_row(sql, (), |row| row.get::<_, i64>(0))?)
                    })
                    .await
                    .unwrap();
                let recorded = usize::try_from(recorded).unwrap();
                assert!(
                    page_size == 2 || recorded == sets,
                    "a set that was fetched was not committed at {millis} ms: {recorded} of {sets}"
                );
                if !done {
                    assert!(
                        matches!(outcome, annals_net_adapter::Outcome::Cancelled(_)),
                        "{outcome:?}"
                    );
                }
                db.close(&cx).await.unwrap();
                let _report = sim.stop().await;
            });
            report.clean().unwrap();
        }
    }
}
