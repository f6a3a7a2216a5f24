//! A sync on a disk that fails at its n-th operation, for every n: whatever is in the file then is whole, the failure
//! has a name, and the next run on a sound disk ends where an undisturbed one would have.
//!
//! A run has thousands of steps, so those of one kind (say, writes to the log) are tried with a stride that grows with
//! their number; every kind is tried at its first and at its last step. `ANNALS_DISK_STRIDE=1` tries them all. A failure prints
//! the line that tries its step alone.

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

use annals_core::Code;
use annals_db::{Db, OpenOptions};
use annals_net_adapter::lab::LabConfig;
use annals_net_adapter::{BackendKind, Cx};
use annals_sync::{Error, Progress, SyncResult, Target};
use annals_testkit::disk::{Blow, Disk, Failure, Lasting, Step};
use annals_testkit::forge::{SimOptions, Simulator, State};

use crate::common::file::{Folder, assert_let_go, assert_whole_batches, dump};
use crate::common::{options_for, process, sized};

/// Names one step: `once:io:17`.
const REPLAY: &str = "ANNALS_DISK";

/// Steps of one kind that are tried, about; `ANNALS_DISK_STRIDE` sets the stride itself.
const OF_A_KIND: usize = 8;

fn forge_state() -> State {
    sized(61, 3, 1)
}

/// What a run finds when it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ground {
    /// No file.
    Nothing,
    /// A file with its schema, and nothing in it.
    Schema,
    /// A mirror of the forge before its last changes.
    Mirror,
}

/// Makes it. The forge has changed since only if there is a mirror.
fn lay(backend: BackendKind, ground: Ground, path: &Path) {
    let file = path.to_owned();
    match ground {
        Ground::Nothing => {}
        Ground::Schema => {
            let report = LabConfig::new(9).on(backend).run(move |cx| async move {
                let db = Db::open(&cx, &file, OpenOptions::write(process(9))).await.unwrap();
                db.close(&cx).await.unwrap();
            });
            report.clean().unwrap();
        }
        Ground::Mirror => run(backend, path, 9, forge_state()).unwrap().unwrap(),
    }
}

/// The forge that a run on this ground finds.
fn forge_of(ground: Ground) -> State {
    let mut state = forge_state();
    if ground == Ground::Mirror {
        use annals_testkit::forge::Key;
        state.retitle(Key::issue(2), "Another title");
        state.add_note(Key::mr(1), 0, "One more word");
        state.push(1);
        state.add_issue(1, "A new one", "with a text");
    }
    state
}

/// One run over the file at `path`, opened and closed; the outer error is what the lab found.
fn run(backend: BackendKind, path: &Path, pid: i64, state: State) -> Result<Result<(), Error>, String> {
    let path = path.to_owned();
    // Another process draws other ids.
    let mut lab = LabConfig::new(pid.unsigned_abs()).on(backend);
    lab.max_steps = 20_000_000;
    // Time goes on between two lives.
    lab.epoch.0 += pid * 3_600_000;
    let report = lab.run(move |cx| run_over(cx, path, pid, state));
    report.clean().map_err(|failure| failure.to_string())?;
    Ok(report.outcome.ok().unwrap().map(|_| ()))
}

async fn run_over(cx: Cx, path: PathBuf, pid: i64, state: State) -> Result<SyncResult, Error> {
    let db = Db::open(&cx, &path, OpenOptions::write(process(pid))).await?;
    // The port is in the addresses that are stored.
    let options = SimOptions {
        addr: "127.0.0.1:4711".parse().unwrap(),
        ..SimOptions::default()
    };
    let sim = Simulator::start(&cx, state, options).await.unwrap();
    let mut options = options_for(&sim);
    options.settings.page_size = 2;
    let target = Target::Url(sim.project_url());
    let result = annals_sync::sync(&cx, &db, vec![target], options, Progress::silent()).await;
    let closed = db.close(&cx).await;
    let _report = sim.stop().await;
    let result = result?;
    closed?;
    Ok(result)
}

/// One kind of failure on one kind of ground, at every step or at those that `ANNALS_DISK` names.
struct Walk {
    test: &'static str,
    ground: Ground,
    failure: Failure,
    lasting: Lasting,
}

fn walk(test: &'static str, ground: Ground, failure: Failure, lasting: Lasting) {
    let walk = Walk {
        test,
        ground,
        failure,
        lasting,
    };
    walk.go();
}

impl Walk {
    fn go(&self) {
        for backend in BackendKind::compiled().iter().copied() {
            let laid = Folder::new();
            lay(backend, self.ground, &laid.file());
            let (expected, steps) = self.undisturbed(backend, &laid.file());
            let chosen = self.chosen(&steps);
            let mut hits: BTreeMap<Step, usize> = BTreeMap::new();
            for at in &chosen {
                if let Some(step) = self.once(backend, &laid.file(), *at, &expected) {
                    *hits.entry(step).or_default() += 1;
                }
            }
            let told: Vec<_> = hits.iter().map(|(step, count)| format!("{count} × {step}")).collect();
            eprintln!(
                "{}: {} of {} steps: {}",
                self.test,
                chosen.len(),
                steps.len(),
                told.join(", ")
            );
            let kinds = steps.iter().filter(|step| self.failure.befalls(step.operation));
            for kind in kinds.filter(|_| std::env::var_os(REPLAY).is_none()) {
                assert!(hits.contains_key(kind), "{}: no {kind} failed", self.test);
            }
        }
    }

    fn undisturbed(&self, backend: BackendKind, laid: &Path) -> (String, Vec<Step>) {
        let folder = copy_of(laid);
        let disk = Disk::watch(&folder.file()).unwrap();
        run(backend, &folder.file(), 1, forge_of(self.ground)).unwrap().unwrap();
        let steps = disk.steps();
        assert_eq!(disk.struck(), None);
        (dump(&folder.file()), steps)
    }

    /// The steps to try, by number.
    fn chosen(&self, steps: &[Step]) -> Vec<usize> {
        let name = format!("{:?}:{}:", self.lasting, self.failure.name()).to_lowercase();
        if let Ok(asked) = std::env::var(REPLAY) {
            let number = asked.rsplit(':').next().and_then(|at| at.parse().ok());
            let at: usize = number.unwrap_or_else(|| panic!("{REPLAY}={asked} names no step"));
            assert!(asked.split(':').count() == 3, "{REPLAY}={asked} names no step");
            if !asked.starts_with(&name) {
                return Vec::new();
            }
            assert!(
                (1..=steps.len()).contains(&at),
                "{REPLAY}={asked}: there are {} steps",
                steps.len()
            );
            return vec![at];
        }
        let asked: Option<usize> = std::env::var("ANNALS_DISK_STRIDE")
            .ok()
            .and_then(|text| text.parse().ok());
        let mut kinds: BTreeMap<Step, Vec<usize>> = BTreeMap::new();
        for (at, step) in steps
            .iter()
            .enumerate()
            .filter(|(_, step)| self.failure.befalls(step.operation))
        {
            kinds.entry(*step).or_default().push(at + 1);
        }
        let mut chosen: Vec<usize> = kinds
            .values()
            .flat_map(|of_kind| {
                let stride = asked.unwrap_or(of_kind.len() / OF_A_KIND).max(1);
                of_kind.iter().step_by(stride).chain(of_kind.last()).copied()
            })
            .collect();
        chosen.sort_unstable();
        chosen.dedup();
        chosen
    }

    /// Fails step `at` of a run and lets another process finish. Returns what failed.
    fn once(&self, backend: BackendKind, laid: &Path, at: usize, expected: &str) -> Option<Step> {
        let Self {
            test, failure, lasting, ..
        } = *self;
        let replay = format!("{REPLAY}={lasting:?}:{}:{at}", failure.name())
            .to_lowercase()
            .replace("annals_disk", REPLAY);
        let why = format!("{replay} cargo test -p annals-sync --test it {test} # {backend}");
        let folder = copy_of(laid);
        let path = folder.file();
        let disk = Disk::watch(&path).unwrap();
        disk.strike(Blow { at, failure, lasting });
        let ended = run(backend, &path, 1, forge_of(self.ground)).unwrap_or_else(|problem| panic!("{why}: {problem}"));
        let struck = disk.struck();
        drop(disk);
        let why = match struck {
            Some(step) => format!("{why} # {step}"),
            None => why,
        };
        // Looking would mend what the next run has to; so a copy is looked at.
        let seen = copy_of(&path);
        if is_made(&seen.file()) {
            assert_whole_batches(&seen.file(), &why);
        }
        match &ended {
            // What failed was tried again, or could be done without.
            Ok(()) => assert!(dump(&path) == expected, "{why}: it ended well, and the file differs"),
            Err(error) => self.is_told(error, &why),
        }
        let again = run(backend, &path, 2, forge_of(self.ground)).unwrap_or_else(|problem| panic!("{why}: {problem}"));
        if let Err(error) = again {
            panic!("{why}, the run after: {error} {:?}", error.report());
        }
        assert!(dump(&path) == expected, "{why}: the file ends differently");
        assert_let_go(&path, &why);
        struck
    }

    /// Everything that failed has a name that says what to do about it.
    fn is_told(&self, error: &Error, why: &str) {
        let right: &[Code] = match self.failure {
            // A file that cannot be made says so; its cause is the disk.
            Failure::Io if self.ground == Ground::Nothing => &[Code::Io, Code::MigrationFailed],
            Failure::Io => &[Code::Io],
            Failure::Full => &[Code::DiskFull],
            Failure::Busy => &[Code::DatabaseLocked],
        };
        let codes: Vec<Code> = match error {
            Error::Incomplete(incomplete) => incomplete.failures.iter().map(|failure| failure.report.code).collect(),
            error => vec![error.code()],
        };
        assert!(
            !codes.is_empty() && codes.iter().all(|code| right.contains(code)),
            "{why}: {codes:?} is not {right:?}: {error} {:?}",
            error.report()
        );
    }
}

/// Whether there is a schema: before that there is nothing to be whole.
fn is_made(path: &Path) -> bool {
    let sql = "SELECT count(*) FROM sqlite_schema WHERE name = 'documents'";
    let made = |conn: rusqlite::Connection| conn.query_row(sql, (), |row| row.get::<_, i64>(0)).unwrap() == 1;
    path.exists() && made(rusqlite::Connection::open(path).unwrap())
}

/// The file and its log, as they are.
fn copy_of(file: &Path) -> Folder {
    let folder = Folder::new();
    for suffix in ["", "-wal", "-journal"] {
        let of = |path: &Path| PathBuf::from(format!("{}{suffix}", path.display()));
        if of(file).exists() {
            std::fs::copy(of(file), of(&folder.file())).unwrap();
        }
    }
    folder
}

#[test]
fn nth_operation_fails_once_in_a_first_sync() {
    walk(
        "nth_operation_fails_once_in_a_first_sync",
        Ground::Schema,
        Failure::Io,
        Lasting::Once,
    );
}

#[test]
fn nth_operation_fails_once_in_a_later_sync() {
    walk(
        "nth_operation_fails_once_in_a_later_sync",
        Ground::Mirror,
        Failure::Io,
        Lasting::Once,
    );
}

#[test]
fn nth_operation_fails_once_while_the_file_is_made() {
    walk(
        "nth_operation_fails_once_while_the_file_is_made",
        Ground::Nothing,
        Failure::Io,
        Lasting::Once,
    );
}

/// As a kill: nothing reaches the file after the n-th operation, of which a write is half done.
#[test]
fn nothing_is_written_after_the_nth_operation_of_a_first_sync() {
    walk(
        "nothing_is_written_after_the_nth_operation_of_a_first_sync",
        Ground::Schema,
        Failure::Io,
        Lasting::Ever,
    );
}

#[test]
fn nothing_is_written_after_the_nth_operation_of_a_later_sync() {
    walk(
        "nothing_is_written_after_the_nth_operation_of_a_later_sync",
        Ground::Mirror,
        Failure::Io,
        Lasting::Ever,
    );
}

#[test]
fn nothing_is_written_after_the_nth_operation_while_the_file_is_made() {
    walk(
        "nothing_is_written_after_the_nth_operation_while_the_file_is_made",
        Ground::Nothing,
        Failure::Io,
        Lasting::Ever,
    );
}

#[test]
fn disk_is_full_from_the_nth_write_of_a_first_sync() {
    walk(
        "disk_is_full_from_the_nth_write_of_a_first_sync",
        Ground::Schema,
        Failure::Full,
        Lasting::Ever,
    );
}

#[test]
fn disk_is_full_from_the_nth_write_of_a_later_sync() {
    walk(
        "disk_is_full_from_the_nth_write_of_a_later_sync",
        Ground::Mirror,
        Failure::Full,
        Lasting::Ever,
    );
}

#[test]
fn disk_is_full_at_the_nth_write_of_a_first_sync() {
    walk(
        "disk_is_full_at_the_nth_write_of_a_first_sync",
        Ground::Schema,
        Failure::Full,
        Lasting::Once,
    );
}

#[test]
fn file_is_locked_from_the_nth_operation_of_a_later_sync() {
    walk(
        "file_is_locked_from_the_nth_operation_of_a_later_sync",
        Ground::Mirror,
        Failure::Busy,
        Lasting::Ever,
    );
}

#[test]
fn file_is_locked_at_the_nth_operation_of_a_later_sync() {
    walk(
        "file_is_locked_at_the_nth_operation_of_a_later_sync",
        Ground::Mirror,
        Failure::Busy,
        Lasting::Once,
    );
}
