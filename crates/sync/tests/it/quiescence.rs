//! Whatever went wrong on the way, a mirror that is left in peace ends as the model says: for any seed, any faults of
//! the forge, any instant at which the process dies, and whatever people do to the project meanwhile.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a test may panic"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use annals_core::CancelReason;
use annals_db::{Db, OpenOptions};
use annals_net_adapter::lab::LabConfig;
use annals_net_adapter::{BackendKind, CancelKind, Cx};
use annals_sync::{Error, Progress, SyncResult, Target};
use annals_testkit::disk::{Blow, Disk, Failure, Lasting, Step};
use annals_testkit::forge::model::{self, sql};
use annals_testkit::forge::rng::Rng;
use annals_testkit::forge::{Churn, Deletions, FaultPlan, Latency, SimOptions, Simulator, State};

use crate::churn::{QUIET_RUNS, faults, is_quiet};
use crate::common::file::{Folder, assert_let_go};
use crate::common::{options_for, process, sized};

/// Seeds of the ordinary suite, on each runtime. `ANNALS_CRASH_SEED=17` tries one alone.
const SEEDS: u64 = 500;

/// One run by a process of its own.
struct Life {
    pid: i64,
    page_size: usize,
    faults: FaultPlan,
    /// The process is asked to stop after so long.
    stop: Option<Duration>,
}

/// Returns how it ended, and the forge as it left it.
fn live(backend: BackendKind, path: &Path, state: State, life: Life, why: &str) -> (Result<SyncResult, Error>, State) {
    let path = path.to_owned();
    let quiet = life.stop.is_none() && life.faults.is_none();
    let mut lab = LabConfig::new(life.pid.unsigned_abs()).on(backend);
    lab.max_steps = 20_000_000;
    // Time goes on between two lives.
    lab.epoch.0 += life.pid * 3_600_000;
    let report = lab.run(move |cx| async move {
        let options = SimOptions {
            addr: "127.0.0.1:4711".parse().unwrap(),
            faults: life.faults,
            latency: Latency::Fixed(Duration::from_millis(5)),
            ..SimOptions::default()
        };
        let sim = Simulator::start(&cx, state, options).await.unwrap();
        if let Some(after) = life.stop {
            let shutdown = cx.shutdown().clone();
            // It ends with the scenario if that is faster.
            let _stopper = cx.spawn("stop", move |cx| async move {
                cx.sleep(after).await?;
                shutdown.begin(CancelReason::new(CancelKind::User, "test", cx.now()));
                Ok::<(), Error>(())
            });
        }
        let result = sync_of(&cx, &path, life.pid, life.page_size, &sim).await;
        if let Err(error) = &result
            && quiet
        {
            let asked: Vec<_> = sim
                .log()
                .into_iter()
                .map(|entry| format!("{} {}", entry.status, entry.target))
                .collect();
            eprintln!("{error} after\n{}", asked.join("\n"));
        }
        let state = sim.state();
        let _report = sim.stop().await;
        (result, state)
    });
    if let Err(failure) = report.clean() {
        panic!("{why}: {failure}");
    }
    report.outcome.ok().unwrap()
}

async fn sync_of(cx: &Cx, path: &Path, pid: i64, page_size: usize, sim: &Simulator) -> Result<SyncResult, Error> {
    let db = Db::open(cx, path, OpenOptions::write(process(pid))).await?;
    let mut options = options_for(sim);
    options.settings.page_size = page_size;
    let target = Target::Url(sim.project_url());
    let result = annals_sync::sync(cx, &db, vec![target], options, Progress::silent()).await;
    let closed = db.close(cx).await;
    let result = result?;
    closed?;
    Ok(result)
}

/// The file is sound and equals the model; nothing is owed.
fn assert_is_model(path: &Path, state: &State, why: &str) {
    let conn = rusqlite::Connection::open(path).unwrap();
    let integrity: String = conn.query_row("PRAGMA integrity_check", (), |row| row.get(0)).unwrap();
    assert_eq!(integrity, "ok", "{why}");
    let native = state.project().id.to_string();
    let id: i64 = conn.query_row(sql::PROJECT, (native,), |row| row.get(0)).unwrap();
    let lines = |query| conn.prepare(query)?.query_map((id,), |row| row.get(0))?.collect();
    let found = sql::dump::<rusqlite::Error>(lines).unwrap();
    if let Some(difference) = model::first_difference(&model::expected_dump(state), &found) {
        panic!("{why}: the mirror differs from the model {difference}");
    }
    let owed: i64 = conn.query_row(sql::OWED, (id,), |row| row.get(0)).unwrap();
    assert_eq!(owed, 0, "{why}: something is still owed");
    // Not owed and not there would be lost.
    let bare = "SELECT count(*) FROM documents d WHERE trim(d.title || d.body) <> ''
                AND NOT EXISTS (SELECT 1 FROM embeddings e WHERE e.document_id = d.id)";
    let bare: i64 = conn.query_row(bare, (), |row| row.get(0)).unwrap();
    assert_eq!(bare, 0, "{why}: documents without vectors");
    assert_let_go(path, why);
}

/// After a death, before anybody else has opened the file: looked at in a copy, because looking mends.
fn assert_is_sound(path: &Path, why: &str) {
    let copy = Folder::new();
    for suffix in ["", "-wal", "-journal"] {
        let of = |path: &Path| PathBuf::from(format!("{}{suffix}", path.display()));
        if of(path).exists() {
            std::fs::copy(of(path), of(&copy.file())).unwrap();
        }
    }
    let conn = rusqlite::Connection::open(copy.file()).unwrap();
    let integrity: String = conn.query_row("PRAGMA integrity_check", (), |row| row.get(0)).unwrap();
    assert_eq!(integrity, "ok", "{why}");
}

/// What became of the lives of all seeds.
#[derive(Default)]
struct Tally {
    crashes: BTreeMap<Step, u64>,
    ends: BTreeMap<&'static str, u64>,
    edits: u64,
}

fn one_seed(backend: BackendKind, seed: u64, tally: &mut Tally) {
    let why = format!(
        "ANNALS_CRASH_SEED={seed} cargo test -p annals-sync --test it \
         any_faults_and_crashes_then_quiescence_equals_the_model # {backend}"
    );
    let mut rng = Rng::keyed(seed, &[0xc4a5]);
    let draw = |rng: &mut Rng, n: u64| u32::try_from(rng.below(n)).unwrap();
    let mut state = sized(seed, 1 + draw(&mut rng, 4), draw(&mut rng, 3));
    let mut churn = Churn::new(seed, Deletions::Left);
    let page_size = 2 + rng.index(3);
    let folder = Folder::new();
    let path = folder.file();
    let mut pid = 0;
    for _ in 0..=rng.below(3) {
        pid += 1;
        let disk = Disk::watch(&path).unwrap();
        if rng.permille(700) {
            let at = 1 + usize::try_from(rng.below(1_500)).unwrap();
            disk.strike(Blow {
                at,
                failure: Failure::Io,
                lasting: Lasting::Ever,
            });
        }
        let stop = rng.permille(250).then(|| Duration::from_millis(rng.below(400)));
        let permille = rng.below(40);
        let life = Life {
            pid,
            page_size,
            faults: faults(rng.bits(), permille),
            stop,
        };
        let (ended, after) = live(backend, &path, state, life, &why);
        state = after;
        if let Some(step) = disk.struck() {
            *tally.crashes.entry(step).or_default() += 1;
        }
        drop(disk);
        let end = ended.as_ref().map_or_else(|error| error.code().as_str(), |_| "done");
        *tally.ends.entry(end).or_default() += 1;
        assert_is_sound(&path, &why);
        churn.stir(&mut state, rng.below(4));
    }
    tally.edits += churn.done();
    for quiet in 0.. {
        assert!(quiet < QUIET_RUNS, "{why}: it does not come to rest");
        pid += 1;
        let life = Life {
            pid,
            page_size,
            faults: FaultPlan::none(),
            stop: None,
        };
        let (ended, after) = live(backend, &path, state, life, &why);
        state = after;
        let result = ended.unwrap_or_else(|error| panic!("{why}, in peace: {error} {:?}", error.report()));
        if is_quiet(&result) {
            break;
        }
    }
    assert_is_model(&path, &state, &why);
}

#[test]
fn any_faults_and_crashes_then_quiescence_equals_the_model() {
    let asked = std::env::var("ANNALS_CRASH_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    for backend in BackendKind::compiled().iter().copied() {
        let mut tally = Tally::default();
        let seeds = asked.map_or(0..SEEDS, |seed: u64| seed..seed + 1);
        for seed in seeds {
            one_seed(backend, seed, &mut tally);
        }
        let crashes: u64 = tally.crashes.values().sum();
        let at: Vec<_> = tally
            .crashes
            .iter()
            .map(|(step, count)| format!("{count} × {step}"))
            .collect();
        eprintln!(
            "{backend}: {crashes} crashes ({}); runs ended as {:?}; {} edits",
            at.join(", "),
            tally.ends,
            tally.edits
        );
        assert!(asked.is_some() || crashes > SEEDS / 4, "only {crashes} processes died");
    }
}
