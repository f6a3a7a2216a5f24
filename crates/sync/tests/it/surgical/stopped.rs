//! Stopping and killing a surgical run at every await, over many schedules. Whatever is in the file
//! then is whole, nothing of the run is left open, and the next sync ends where it would have without
//! the run, or where an uninterrupted run and that sync would have: which of the two hangs on nothing
//! but whether the one transaction was in.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use annals_core::UnixMs;
use annals_db::{Db, OpenOptions};
use annals_net_adapter::lab::{CancelPoint, Injection, LabConfig, LabReport};
use annals_net_adapter::{BackendKind, Cx};
use annals_sync::surgical::{Extent, Request};
use annals_sync::{Error, Progress, SurgicalOptions, SyncResult, Target, surgical};
use annals_testkit::forge::{SimOptions, Simulator, State};

use super::{THREE, edit_three};
use crate::common::{options_for, process, sized};

/// Schedules; each takes its share of the places to stop at.
const SEEDS: u64 = 8;

/// Places per schedule, of the run itself and of the tasks below it each; `ANNALS_CANCEL_POINTS` raises it.
fn points() -> usize {
    std::env::var("ANNALS_CANCEL_POINTS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(8)
}

#[derive(Clone, Copy)]
enum What {
    Sync,
    Surgical,
}

fn before() -> State {
    sized(601, 4, 2)
}

fn after() -> State {
    let mut state = before();
    edit_three(&mut state);
    state
}

/// A lab whose clock says that `hours` have gone by.
fn lab(backend: BackendKind, seed: u64, hours: i64) -> LabConfig {
    let lab = LabConfig::new(seed).on(backend);
    let epoch = UnixMs(lab.epoch.0 + hours * 3_600_000);
    LabConfig { epoch, ..lab }
}

/// One run in a lab over the file at `path`.
async fn run_over(cx: Cx, path: PathBuf, pid: i64, state: State, what: What) -> Result<SyncResult, Error> {
    let db = Db::open(&cx, &path, OpenOptions::write(process(pid))).await?;
    let sim = SimOptions {
        // The forge is the same in every run.
        addr: "127.0.0.1:4712".parse().unwrap(),
        ..SimOptions::default()
    };
    let sim = Simulator::start(&cx, state, sim).await.unwrap();
    let (options, project) = (options_for(&sim), Target::Url(sim.project_url()));
    let result = match what {
        What::Sync => annals_sync::sync(&cx, &db, vec![project], options, Progress::silent()).await,
        What::Surgical => {
            let request = Request::new(project, THREE, Extent::Whole).unwrap();
            surgical(&cx, &db, request, SurgicalOptions::new(options), Progress::silent()).await
        }
    };
    db.close(&cx).await?;
    let _report = sim.stop().await;
    result
}

/// A folder with a file in it that was synced before the forge changed.
struct Bench {
    folder: tempfile::TempDir,
    backend: BackendKind,
    expected: Expected,
}

/// What the file holds in the end. The two differ where a surgical run fetches what a sync has no reason to: all sets of
/// its targets, and a merge request's own page, whose bytes are kept with its revision.
#[derive(Default)]
struct Expected {
    /// After a sync alone.
    synced: String,
    /// After the surgical run and a sync.
    both: String,
}

impl Bench {
    fn new(backend: BackendKind) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("base.db");
        let report = lab(backend, 0, 0).run(move |cx| run_over(cx, path, 1, before(), What::Sync));
        report.clean().unwrap();
        report.outcome.ok().unwrap().unwrap();
        let mut bench = Self {
            folder,
            backend,
            expected: Expected::default(),
        };
        let file = bench.copy("alone");
        bench.expected.synced = bench.heal(&file, "a sync alone");
        let file = bench.copy("undisturbed");
        let report = bench.surgical(&file, 0, None);
        report.clean().unwrap();
        report.outcome.ok().unwrap().unwrap();
        bench.expected.both = bench.heal(&file, "undisturbed");
        assert_ne!(
            bench.expected.synced, bench.expected.both,
            "nothing tells the two apart"
        );
        bench
    }

    fn copy(&self, name: &str) -> PathBuf {
        let file = self.folder.path().join(format!("{name}.db"));
        std::fs::copy(self.folder.path().join("base.db"), &file).unwrap();
        file
    }

    fn surgical(&self, file: &Path, seed: u64, cancel_at: Option<CancelPoint>) -> LabReport<Result<SyncResult, Error>> {
        let mut lab = lab(self.backend, seed, 1);
        lab.cancel_at = cancel_at;
        let file = file.to_owned();
        lab.run(move |cx| run_over(cx, file, 2, after(), What::Surgical))
    }

    /// A normal sync by another process, and what the file holds then.
    fn heal(&self, file: &Path, why: &str) -> String {
        let path = file.to_owned();
        let report = lab(self.backend, 99, 2).run(move |cx| run_over(cx, path, 3, after(), What::Sync));
        report
            .clean()
            .unwrap_or_else(|failure| panic!("{why}, the sync after: {failure}"));
        if let Err(error) = report.outcome.ok().unwrap() {
            panic!("{why}, the sync after: {error} {:?}", error.report());
        }
        let conn = rusqlite::Connection::open(file).unwrap();
        annals_db::dump::canonical(&conn).unwrap()
    }

    /// Stops a run at its share of all awaits of each schedule; `check` looks at the file right after.
    fn at_every_await(&self, injection: Injection, mut check: impl FnMut(&Path, &str)) {
        for seed in 0..SEEDS {
            let counted = {
                let file = self.copy("counted");
                let first = self.surgical(&file, seed, None);
                first.clean().unwrap();
                let file = self.copy("counted");
                let second = self.surgical(&file, seed, None);
                assert_eq!(first.trace_hash, second.trace_hash, "seed {seed}: one seed, two traces");
                first.polls
            };
            let all: Vec<(u64, u64)> = counted
                .iter()
                .flat_map(|(task, polls)| (1..=*polls).map(|poll| (*task, poll)))
                .collect();
            assert!(all.len() > 50, "only {} suspension points", all.len());
            // The first task is the run, and the process with it; the others are parts that may die alone.
            let first = all[0].0;
            let (run, parts): (Vec<_>, Vec<_>) = all.into_iter().partition(|(task, _)| *task == first);
            for (task, poll) in share(&run, seed).chain(share(&parts, seed)) {
                let why = format!("{} seed {seed} task {task} poll {poll} {injection:?}", self.backend);
                let file = self.copy("stopped");
                let at = CancelPoint { task, poll, injection };
                drop(self.surgical(&file, seed, Some(at)));
                let expected = match targets_written(&file, &why) {
                    0 => &self.expected.synced,
                    _ => &self.expected.both,
                };
                check(&file, &why);
                let found = self.heal(&file, &why);
                if found != *expected {
                    let mut lines = found.lines().zip(expected.lines());
                    let (found, expected) = lines.find(|(a, b)| a != b).unwrap_or(("more", "or less"));
                    panic!("{why}: the file ends differently: {found}\ninstead of {expected}");
                }
                assert_let_go(&file, &why);
                for name in ["stopped.db-wal", "stopped.db-shm"] {
                    let _gone = std::fs::remove_file(self.folder.path().join(name));
                }
            }
        }
    }
}

/// A seed's share of these places. Each seed begins elsewhere, so that all of them together leave little out.
fn share(all: &[(u64, u64)], seed: u64) -> impl Iterator<Item = (u64, u64)> + '_ {
    let stride = (all.len() / points()).max(1);
    let skip = usize::try_from(seed).unwrap() * stride / usize::try_from(SEEDS).unwrap();
    all.iter().copied().skip(skip).step_by(stride)
}

fn count(path: &Path, sql: &str) -> i64 {
    let conn = rusqlite::Connection::open(path).unwrap();
    conn.query_row(sql, (), |row| row.get(0)).unwrap()
}

/// How many targets have their new state: every one, or none.
fn targets_written(path: &Path, why: &str) -> i64 {
    let conn = rusqlite::Connection::open(path).unwrap();
    let intact: String = conn.query_row("PRAGMA integrity_check", (), |row| row.get(0)).unwrap();
    assert_eq!(intact, "ok", "{why}");
    let written = "SELECT (SELECT count(*) FROM issues WHERE title = 'another title')
                        + (SELECT count(*) FROM merge_requests WHERE title = 'another title')";
    let written = count(path, written);
    assert!(
        written == 0 || written == 3,
        "{why}: {written} of 3 targets are written"
    );
    // What is written is owed to the index, or in it.
    let unmarked = "SELECT count(*) FROM issues e WHERE e.title = 'another title'
        AND NOT EXISTS (SELECT 1 FROM dirty_sources d WHERE d.source_kind = 'issue' AND d.source_id = e.id)
        AND NOT EXISTS (SELECT 1 FROM documents d WHERE d.kind = 'issue' AND d.source_id = e.id AND d.title = e.title)";
    assert_eq!(count(path, unmarked), 0, "{why}: a document that nobody will make");
    written
}

/// Nothing is held, claimed or open.
fn assert_let_go(path: &Path, why: &str) {
    for (what, sql) in [
        ("a lock", "SELECT count(*) FROM sync_locks WHERE holder IS NOT NULL"),
        (
            "a claim",
            "SELECT count(*) FROM dependent_jobs WHERE status = 'claimed'",
        ),
        (
            "a job of a run that is over",
            "SELECT count(*) FROM dependent_jobs WHERE scope_run_id IS NOT NULL AND status IN ('pending', 'claimed')",
        ),
        ("a run", "SELECT count(*) FROM sync_runs WHERE status = 'running'"),
    ] {
        assert_eq!(count(path, sql), 0, "{why}: {what} is open");
    }
}

#[test]
fn surgical_cancel_at_every_stage() {
    for backend in BackendKind::compiled().iter().copied() {
        let bench = Bench::new(backend);
        let mut ends = BTreeSet::new();
        bench.at_every_await(Injection::Request, |file, why| {
            let conn = rusqlite::Connection::open(file).unwrap();
            let mut select = conn
                .prepare("SELECT status, error_code FROM sync_runs WHERE mode = 'surgical'")
                .unwrap();
            let runs = select.query_map((), |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
            let runs: Vec<(String, Option<String>)> = runs.collect::<Result<_, _>>().unwrap();
            assert!(runs.len() <= 1, "{why}: {runs:?}");
            ends.extend(runs);
            assert_let_go(file, why);
        });
        // Some were stopped, some had nothing left to be stopped at.
        let cancelled = ("cancelled".to_owned(), Some("cancelled".to_owned()));
        assert!(ends.contains(&cancelled), "{backend}: {ends:?}");
        assert!(ends.contains(&("done".to_owned(), None)), "{backend}: {ends:?}");
    }
}

#[test]
fn surgical_kill_at_every_stage_then_sync_heals() {
    for backend in BackendKind::compiled().iter().copied() {
        let bench = Bench::new(backend);
        let mut phases = BTreeSet::new();
        bench.at_every_await(Injection::Drop, |file, _| {
            let conn = rusqlite::Connection::open(file).unwrap();
            let mut select = conn
                .prepare("SELECT phase FROM sync_runs WHERE mode = 'surgical' AND status = 'running'")
                .unwrap();
            let found = select.query_map((), |row| row.get(0)).unwrap();
            phases.extend(found.collect::<Result<Vec<String>, _>>().unwrap());
        });
        // In between a run waits for nothing but the disk, which in a lab takes no time.
        for phase in ["preflight", "embed"] {
            assert!(phases.contains(phase), "{backend}: killed only in {phases:?}");
        }
    }
}
