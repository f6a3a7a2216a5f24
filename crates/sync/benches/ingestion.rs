//! One scenario of `cargo xtask kpi`: the sync engine over the simulated forge in the lab, cut at its awaits. It prints trace
//! hashes as `annals-net-adapter`'s bench `adapter` does; the comparing is done there.
//!
//! A run has more awaits than can be cut for every seed in the time that a report may take. Each seed has a schedule of its
//! own and cuts every so-many-th await of that, beginning with another one; no schedule is cut at all of its awaits. The run
//! that is not cut must be a sync that is done. What the file holds after each run goes into the hash. That every cut leaves
//! whole batches is a test's to say: `inv1_kill_at_every_await_leaves_whole_batches`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    missing_docs,
    reason = "a program for developers that prints and may panic"
)]

#[path = "../tests/it/common/mod.rs"]
mod common;

use std::error::Error;
use std::hash::Hasher;
use std::path::{Path, PathBuf};

use annals_core::Outcome;
use annals_db::ids::RunStatus;
use annals_db::{Db, OpenOptions};
use annals_net_adapter::lab::{CancelPoint, Injection, LabConfig, LabReport};
use annals_net_adapter::{BackendKind, Cx};
use annals_sync::{Progress, SyncResult, Target};
use annals_testkit::forge::{SimOptions, Simulator};
use common::{Place, options_for, process, sized};

#[derive(serde::Serialize)]
struct Trace {
    host: &'static str,
    scenario: &'static str,
    control: bool,
    planted: bool,
    seed: u64,
    runs: u64,
    hash: String,
    /// Of the run that was not cut.
    events: u64,
    unclean: Option<String>,
}

/// FNV-1a, 64 bits.
struct Fnv(u64);

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

fn main() {
    // `cargo bench` adds an argument of its own.
    let mut numbers = std::env::args().filter_map(|argument| argument.parse().ok());
    let seeds: u64 = numbers.next().expect("ingestion SEEDS");
    let mut traces = Vec::new();
    for &kind in BackendKind::compiled() {
        traces.extend((0..seeds).map(|seed| trace(kind, seed, seeds)));
    }
    println!("{}", serde_json::to_string(&traces).unwrap());
}

fn trace(kind: BackendKind, seed: u64, seeds: u64) -> Trace {
    let config = LabConfig::new(seed).on(kind);
    let mut hash = Fnv(0xcbf2_9ce4_8422_2325);
    let mut unclean = None;
    let mut runs = 0;
    let mut run = |cancel_at| {
        let place = Place::new();
        let file = place.path.clone();
        let config = LabConfig {
            cancel_at,
            ..config.clone()
        };
        let report: LabReport<Synced> = config.run(move |cx| ingestion(cx, file));
        let stored = stored(&place.path);
        if cancel_at.is_none() {
            let Outcome::Ok(Ok(done)) = &report.outcome else {
                panic!("seed {seed}: {:?}", report.outcome);
            };
            assert_eq!(done.status, RunStatus::Done, "seed {seed}");
            assert!(!stored.is_empty(), "seed {seed}: nothing was mirrored");
        }
        runs += 1;
        hash.write_u64(report.trace_hash);
        hash.write(stored.as_bytes());
        let said = || report.clean().err().map(|failure| failure.to_string());
        unclean = unclean.take().or_else(said);
        report
    };
    let whole = run(None);
    let polls = whole.polls.iter();
    let points = polls.flat_map(|(task, polls)| (1..=*polls).map(move |poll| (*task, poll)));
    for (task, poll) in points.skip(seed as usize).step_by(seeds as usize) {
        for injection in [Injection::Request, Injection::Drop] {
            run(Some(CancelPoint { task, poll, injection }));
        }
    }
    Trace {
        host: kind.as_str(),
        scenario: "ingestion cancelled at every await",
        control: false,
        planted: false,
        seed,
        runs,
        hash: format!("{:016x}", hash.finish()),
        events: whole.events,
        unclean,
    }
}

type Synced = Result<SyncResult, Box<dyn Error + Send + Sync>>;

/// A first sync. Any part of it may be cut, so nothing of it may insist; what the whole of it came to, its caller judges.
async fn ingestion(cx: Cx, file: PathBuf) -> Synced {
    let db = Db::open(&cx, &file, OpenOptions::write(process(1))).await?;
    let synced = first_sync(&cx, &db).await;
    let closed = db.close(&cx).await;
    let synced = synced?;
    closed?;
    Ok(synced)
}

async fn first_sync(cx: &Cx, db: &Db) -> Synced {
    let options = SimOptions {
        addr: "127.0.0.1:4711".parse()?,
        ..SimOptions::default()
    };
    let sim = Simulator::start(cx, sized(51, 5, 3), options).await?;
    let mut options = options_for(&sim);
    options.settings.page_size = 2;
    let target = Target::Url(sim.project_url());
    let synced = annals_sync::sync(cx, db, vec![target], options, Progress::silent()).await;
    sim.stop().await;
    Ok(synced?)
}

/// The content of the file, where a cut left one.
fn stored(path: &Path) -> String {
    let dump = |conn: rusqlite::Connection| annals_db::dump::canonical(&conn).ok();
    let file = path.exists().then(|| rusqlite::Connection::open(path).ok());
    file.flatten().and_then(dump).unwrap_or_default()
}
