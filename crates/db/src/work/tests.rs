//! Promises of the work tables and of the control plane, on a database in memory.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use annals_core::{Code, Iid, NativeId, ProjectId, RunId, UnixMs};
use rusqlite::Connection;
use serde_json::json;

use super::job::{Claim, Failure, JobEnd, JobIn};
use super::{CursorPoint, QuarantineIn, StoredValidators, cursor, dirty, job, quarantine, validator};
use crate::content::{Change, Payload};
use crate::control::{self, Acquired, Alive, Lock, LockRequest, NewRun, ProcessId, RunEnd, StreamRow, heal, lock};
use crate::ids::{EntityId, JobStatus, JobType, Pass, RunMode, RunOrigin, RunStatus, SourceKind, StreamStatus};
use crate::{Error, WriteTx, migrate};

const T0: i64 = 1_700_000_000_000;
const PROJECT: ProjectId = ProjectId(1);
const ALL: &[JobType] = JobType::ALL;

/// A file with one project and a clock that the test moves.
struct Store {
    conn: Connection,
    now: i64,
}

impl Store {
    fn new() -> Self {
        let conn = Connection::open_in_memory().unwrap();
        crate::file::set_pragmas(&conn, crate::file::Role::Writer).unwrap();
        for step in migrate::embedded() {
            conn.execute_batch(step.sql).unwrap();
        }
        conn.execute_batch(
            "INSERT INTO forges (id, name, kind, base_url, api_url) VALUES (1, 'f', 'gitlab', 'https://f', 'https://f');
             INSERT INTO projects (id, forge_id, native_id, path, path_folded, title, archived, tracked, state, changed_seq)
             VALUES (1, 1, '1', 'g/p', 'g/p', 'p', 0, 1, 'active', 0)",
        )
        .unwrap();
        Self { conn, now: T0 }
    }

    fn write<T>(&self, f: impl FnOnce(&WriteTx<'_>) -> Result<T, Error>) -> T {
        WriteTx::run(&self.conn, UnixMs(self.now), f).unwrap()
    }

    fn enqueue(&self, row: i64, job_type: JobType, cause_at: i64, scope: Option<&RunId>) {
        let entity = EntityId::issue(row);
        let scope = scope.cloned();
        let job = JobIn {
            project: PROJECT,
            entity,
            iid: Iid(row),
            job_type,
            cause_at: UnixMs(cause_at),
            scope,
        };
        self.write(|tx| job::enqueue(tx, &job));
    }

    fn claim(&self, run: &RunId, scope: Option<&RunId>, limit: usize) -> Vec<job::Job> {
        self.write(|tx| {
            job::claim(
                tx,
                &Claim {
                    project: PROJECT,
                    scope,
                    run_id: run,
                    types: ALL,
                    limit,
                },
            )
        })
    }

    fn begin(&self, n: u8, alive: &Alive) -> RunId {
        let run_id = RunId::new(UnixMs(self.now), [n; 10]);
        let run = NewRun {
            run_id: run_id.clone(),
            parent: None,
            mode: RunMode::Normal,
            origin: RunOrigin::Cli,
            project: Some(PROJECT),
            requested: json!({}),
        };
        self.write(|tx| control::begin_run(tx, &run, alive));
        run_id
    }

    fn acquire(&self, run_id: &RunId, alive: &Alive) -> Acquired {
        let request = LockRequest {
            project: PROJECT,
            run_id: run_id.clone(),
            holder: "annals sync".to_owned(),
        };
        self.write(|tx| control::acquire(tx, &request, alive))
    }

    fn status(&self, run_id: &RunId) -> String {
        let sql = "SELECT status || coalesce(' ' || error_code, '') FROM sync_runs WHERE run_id = ?1";
        self.conn.query_row(sql, [run_id.as_str()], |row| row.get(0)).unwrap()
    }

    fn jobs(&self) -> String {
        let sql = "SELECT coalesce(group_concat(status || iif(scope_run_id IS NULL, '', '*'), ' '), '')
                   FROM (SELECT * FROM dependent_jobs ORDER BY id)";
        self.conn.query_row(sql, [], |row| row.get(0)).unwrap()
    }
}

/// A process of host `here` that thinks the pids in `running` run.
fn process(pid: i64, running: &'static [i64]) -> Alive {
    let me = ProcessId {
        host: "here".to_owned(),
        pid,
        process_start: 7,
    };
    Alive::new(me, move |pid, start| start == 7 && running.contains(&pid))
}

fn got(acquired: Acquired) -> Lock {
    match acquired {
        Acquired::Yes(lock) => lock,
        Acquired::Held(holder) => panic!("held by {holder:?}"),
    }
}

#[test]
fn cursor_never_moves_backwards() {
    let store = Store::new();
    let advance = |at: i64, tie: &str, rows: u64| {
        let to = CursorPoint {
            at: UnixMs(at),
            tie_id: NativeId(tie.to_owned()),
        };
        store.write(|tx| cursor::advance(tx, PROJECT, "issues", Pass::Incremental, Some(&to), rows))
    };
    let at = || {
        let cursor = cursor::get(&store.conn, PROJECT, "issues", Pass::Incremental)
            .unwrap()
            .unwrap();
        (cursor.point.map(|point| (point.at.0, point.tie_id.0)), cursor.rows)
    };
    assert!(advance(100, "9", 3));
    assert!(advance(100, "10", 1), "ids of digits are numbers");
    assert_eq!(at(), (Some((100, "10".to_owned())), 4));
    assert!(!advance(100, "9", 0));
    assert!(!advance(50, "99", 0));
    assert_eq!(at(), (Some((100, "10".to_owned())), 4), "nothing is written");
    assert!(advance(50, "99", 2), "rows that were behind it count");
    assert_eq!(at(), (Some((100, "10".to_owned())), 6));
    let nowhere = store.write(|tx| cursor::advance(tx, PROJECT, "refs", Pass::Full, None, 0));
    assert!(!nowhere);
    for (floor, expected) in [(7, 7), (9, 7), (5, 5)] {
        store.write(|tx| cursor::begin(tx, PROJECT, "refs", Pass::Full, Some(UnixMs(floor))));
        let begun = cursor::get(&store.conn, PROJECT, "refs", Pass::Full).unwrap().unwrap();
        assert_eq!(
            (begun.point, begun.floor_at),
            (None, Some(UnixMs(expected))),
            "lowered at most"
        );
    }
    store.write(|tx| cursor::end(tx, PROJECT, "refs", Pass::Full));
    assert_eq!(cursor::get(&store.conn, PROJECT, "refs", Pass::Full).unwrap(), None);
}

#[test]
fn dirty_row_arriving_during_render_survives() {
    let store = Store::new();
    let mark = |row| store.write(|tx| dirty::mark(tx, SourceKind::Issue, row, "new"));
    for row in [3, 1, 3, 2, 3] {
        mark(row);
    }
    let taken = dirty::take(&store.conn, 2).unwrap();
    let ids: Vec<_> = taken.iter().map(|source| (source.source_id, source.up_to.0)).collect();
    assert_eq!(
        ids,
        [(3, 5), (1, 2)],
        "the longest waiting first, each with its newest row"
    );
    mark(3);
    store.write(|tx| taken.iter().try_for_each(|source| dirty::clear(tx, source)));
    let left: Vec<_> = dirty::take(&store.conn, 10)
        .unwrap()
        .iter()
        .map(|source| source.source_id)
        .collect();
    assert_eq!(left, [2, 3]);
    assert_eq!(dirty::count(&store.conn).unwrap(), 2);
}

#[test]
fn jobs_are_owed_once_and_claimed_in_order() {
    let store = Store::new();
    let run = store.begin(1, &process(1, &[]));
    store.enqueue(2, JobType::Discussions, 20, None);
    store.enqueue(1, JobType::Events, 10, None);
    store.enqueue(1, JobType::Discussions, 10, None);
    store.enqueue(2, JobType::Discussions, 15, None);
    store.enqueue(1, JobType::Events, 30, None);
    let order: Vec<_> = store
        .claim(&run, None, 10)
        .iter()
        .map(|job| (job.cause_at.0, job.entity.row, job.job_type))
        .collect();
    assert_eq!(
        order,
        [
            (10, 1, JobType::Discussions),
            (20, 2, JobType::Discussions),
            (30, 1, JobType::Events)
        ],
        "the cause is raised, never lowered"
    );
    assert!(store.claim(&run, None, 10).is_empty());
}

#[test]
fn a_claim_sorts_nothing() {
    let store = Store::new();
    let mut plan = store.conn.prepare(&format!("EXPLAIN QUERY PLAN {}", job::DUE)).unwrap();
    let steps: Vec<String> = plan
        .query_map([Some(1), Some(1), None::<i64>], |row| row.get(3))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert!(
        steps.iter().any(|step| step.contains("dependent_jobs_claim")),
        "{steps:?}"
    );
    assert!(!steps.iter().any(|step| step.contains("ORDER BY")), "{steps:?}");
}

#[test]
fn job_pending_again_when_cause_moves_while_claimed() {
    let store = Store::new();
    let run = store.begin(1, &process(1, &[]));
    store.enqueue(1, JobType::Events, 10, None);
    let job = store.claim(&run, None, 1).remove(0);
    store.enqueue(1, JobType::Events, 11, None);
    assert_eq!(store.jobs(), "claimed");
    assert_eq!(store.write(|tx| job::complete(tx, &job, &run)), JobEnd::Again);
    let job = store.claim(&run, None, 1).remove(0);
    assert_eq!(job.cause_at, UnixMs(11));
    assert_eq!(store.write(|tx| job::complete(tx, &job, &run)), JobEnd::Done);
    assert_eq!(store.write(|tx| job::complete(tx, &job, &run)), JobEnd::NotOurs);
    store.enqueue(1, JobType::Events, 12, None);
    assert_eq!(store.jobs(), "done pending", "a finished job does not stand in the way");
}

#[test]
fn failed_job_waits_longer_each_time_and_is_given_up() {
    let mut store = Store::new();
    let run = store.begin(1, &process(1, &[]));
    store.enqueue(1, JobType::Events, 10, None);
    let transient = Failure::Transient { random: u64::MAX };
    let mut waits = Vec::new();
    loop {
        let job = store.claim(&run, None, 1).remove(0);
        let status = store.write(|tx| job::fail(tx, &job, &run, Code::Network, transient));
        if status == JobStatus::Failed {
            break;
        }
        let until: i64 = store
            .conn
            .query_row("SELECT not_before FROM dependent_jobs", [], |row| row.get(0))
            .unwrap();
        waits.push((until - store.now) / 1000);
        assert!(store.claim(&run, None, 1).is_empty(), "not before its time");
        store.now = until;
    }
    assert_eq!(waits, [30, 60, 120, 240, 480, 480, 480]);
    assert_eq!(job::counts(&store.conn, Some(PROJECT)).unwrap().failed, 1);
    store.now += 8 * 24 * 3600 * 1000;
    assert_eq!(store.write(job::prune), 1);
}

#[test]
fn a_job_that_cannot_succeed_is_given_up_at_once() {
    let store = Store::new();
    let run = store.begin(1, &process(1, &[]));
    store.enqueue(1, JobType::Events, 10, None);
    let job = store.claim(&run, None, 1).remove(0);
    let status = store.write(|tx| job::fail(tx, &job, &run, Code::SetTooLarge, Failure::Permanent));
    assert_eq!((status, store.jobs().as_str()), (JobStatus::Failed, "failed"));
}

#[test]
fn stale_claim_reclaimed() {
    let mut store = Store::new();
    let dead = store.begin(1, &process(1, &[]));
    store.enqueue(1, JobType::Events, 10, None);
    assert_eq!(store.claim(&dead, None, 1).len(), 1);
    let healed = store.write(|tx| heal(tx, &process(2, &[1])));
    assert_eq!((healed.runs.len(), healed.reclaimed), (0, 0), "it runs and beats");
    store.now += control::STALE_AFTER_MS;
    let healed = store.write(|tx| heal(tx, &process(2, &[1])));
    assert_eq!(healed.runs, std::slice::from_ref(&dead));
    assert_eq!(
        (store.status(&dead).as_str(), store.jobs().as_str()),
        ("failed interrupted", "pending")
    );
}

#[test]
fn aborted_scope_leaves_unscoped_debt() {
    let store = Store::new();
    let alive = process(1, &[]);
    let run = store.begin(1, &alive);
    for row in 1..=3 {
        store.enqueue(row, JobType::Events, 10, Some(&run));
    }
    assert!(
        store.claim(&run, None, 9).is_empty(),
        "scoped jobs are their run's alone"
    );
    let jobs = store.claim(&run, Some(&run), 2);
    store.write(|tx| job::complete(tx, &jobs[0], &run));
    let end = RunEnd {
        status: RunStatus::Cancelled,
        counters: json!({}),
        error_code: Some(Code::Cancelled),
        error: None,
    };
    store.write(|tx| control::finish_run(tx, &run, &end));
    assert_eq!(store.jobs(), "done* aborted* aborted* pending pending");
}

#[test]
fn validators_belong_to_one_request() {
    let store = Store::new();
    let etag = |etag: &str| StoredValidators {
        etag: Some(etag.to_owned()),
        last_modified: None,
    };
    let get = |request| validator::get(&store.conn, PROJECT, "issues", request).unwrap();
    store.write(|tx| validator::put(tx, PROJECT, "issues", &[1; 32], &etag("a")));
    assert_eq!(get(&[1; 32]), Some(etag("a")));
    assert_eq!(get(&[2; 32]), None);
    store.write(|tx| validator::put(tx, PROJECT, "issues", &[2; 32], &etag("b")));
    assert_eq!((get(&[1; 32]), get(&[2; 32])), (None, Some(etag("b"))));
    store.write(|tx| validator::put(tx, PROJECT, "issues", &[2; 32], &StoredValidators::default()));
    assert_eq!(get(&[2; 32]), None);
}

#[test]
fn quarantine_keeps_one_open_row_per_item() {
    let store = Store::new();
    let put = |bytes: &str| {
        let item = QuarantineIn {
            project: PROJECT,
            stream: "issues".to_owned(),
            native_ref: "7".to_owned(),
            payload: Payload::raw(bytes),
            code: Code::Transform,
            message: "iid is no number".to_owned(),
        };
        store.write(|tx| quarantine::put(tx, &item))
    };
    assert_eq!(
        [put("a"), put("a"), put("b")],
        [Change::New, Change::Unchanged, Change::Changed]
    );
    let blobs: i64 = store
        .conn
        .query_row("SELECT count(*) FROM blobs", [], |row| row.get(0))
        .unwrap();
    assert_eq!(blobs, 1, "the bytes of before are dropped");
    for _ in 0..quarantine::MAX_ATTEMPTS {
        assert_eq!(quarantine::due(&store.conn, PROJECT).unwrap().len(), 1);
        store.write(|tx| quarantine::count_attempt(tx, PROJECT, "issues", "7"));
    }
    assert!(quarantine::due(&store.conn, PROJECT).unwrap().is_empty());
    let resolve = || store.write(|tx| quarantine::resolve(tx, PROJECT, "issues", "7"));
    assert_eq!([resolve(), resolve()], [Change::Changed, Change::Unchanged]);
    assert_eq!(put("b"), Change::New, "it went bad again");
}

#[test]
fn lock_second_sync_names_holder() {
    let mut store = Store::new();
    let (first, second) = (process(1, &[2]), process(2, &[1]));
    let (run, other) = (store.begin(1, &first), store.begin(2, &second));
    let lock = got(store.acquire(&run, &first));
    store.now += 4000;
    let Acquired::Held(holder) = store.acquire(&other, &second) else {
        panic!("two runs hold one lock");
    };
    assert_eq!(
        (holder.run_id.as_ref(), holder.process.pid, holder.age_ms),
        (Some(&run), 1, 4000)
    );
    store.write(|tx| lock::release(tx, &lock));
    assert_eq!(lock::held(&store.conn, PROJECT, UnixMs(store.now)).unwrap(), None);
    let next = got(store.acquire(&other, &second));
    assert_eq!((lock.fence, next.fence), (1, 2), "the fence outlives the hold");
}

#[test]
fn lock_takeover_after_30s() {
    let mut store = Store::new();
    let elsewhere = Alive::new(
        ProcessId {
            host: "elsewhere".to_owned(),
            pid: 1,
            process_start: 7,
        },
        |_, _| true,
    );
    let here = process(2, &[]);
    let (run, other) = (store.begin(1, &elsewhere), store.begin(2, &here));
    let lock = got(store.acquire(&run, &elsewhere));
    store.now += 20_000;
    store.write(|tx| control::beat(tx, &lock));
    store.now += control::STALE_AFTER_MS - 1;
    assert!(
        matches!(store.acquire(&other, &here), Acquired::Held(_)),
        "about another machine nothing is known"
    );
    store.now += 1;
    got(store.acquire(&other, &here));
}

#[test]
fn lock_of_dead_process_taken_at_once() {
    let store = Store::new();
    let (dead, next) = (process(1, &[]), process(2, &[]));
    let (run, other) = (store.begin(1, &dead), store.begin(2, &next));
    got(store.acquire(&run, &dead));
    got(store.acquire(&other, &next));
    // A pid that was given to another process since is as dead.
    let reused = Alive::new(next.me.clone(), |pid, start| pid == 1 && start == 8);
    let third = store.begin(3, &reused);
    assert!(matches!(store.acquire(&third, &process(3, &[2])), Acquired::Held(_)));
}

#[test]
fn fenced_out_run_cannot_write() {
    let mut store = Store::new();
    let (slow, next) = (process(1, &[2]), process(2, &[1]));
    let (run, other) = (store.begin(1, &slow), store.begin(2, &next));
    let lost = got(store.acquire(&run, &slow));
    store.now += control::STALE_AFTER_MS;
    let held = got(store.acquire(&other, &next));
    let page = |lock: &Lock| {
        WriteTx::run(&store.conn, UnixMs(store.now), |tx| {
            control::check_fence(tx, lock)?;
            dirty::mark(tx, SourceKind::Issue, 1, "page")
        })
    };
    let error = page(&lost).unwrap_err();
    assert_eq!(error.code(), Code::LockLost);
    assert!(error.to_string().contains(run.as_str()));
    page(&held).unwrap();
    assert_eq!(dirty::count(&store.conn).unwrap(), 1);
    let beat = WriteTx::run(&store.conn, UnixMs(store.now), |tx| control::beat(tx, &lost));
    assert_eq!(beat.unwrap_err().code(), Code::LockLost);
    // What it gives back when it ends is not the lock of its successor.
    store.write(|tx| lock::release(tx, &lost));
    let end = RunEnd {
        status: RunStatus::Failed,
        counters: json!({}),
        error_code: Some(Code::LockLost),
        error: None,
    };
    store.write(|tx| control::finish_run(tx, &run, &end));
    page(&held).unwrap();
}

#[test]
fn lock_reacquired_by_its_run_gets_a_new_fence() {
    let store = Store::new();
    let alive = process(1, &[]);
    let run = store.begin(1, &alive);
    let first = got(store.acquire(&run, &alive));
    let second = got(store.acquire(&run, &alive));
    assert_eq!(second.fence, first.fence + 1);
    let stale = WriteTx::run(&store.conn, UnixMs(store.now), |tx| control::check_fence(tx, &first));
    assert_eq!(stale.unwrap_err().code(), Code::LockLost);
}

#[test]
fn run_dead_in_preflight_is_healed() {
    let store = Store::new();
    let dead = process(1, &[]);
    let run = store.begin(1, &dead);
    store.write(|tx| control::set_phase(tx, &run, "preflight"));
    let lock = got(store.acquire(&run, &dead));
    store.enqueue(1, JobType::Events, 10, Some(&run));
    let stream = StreamRow {
        project: PROJECT,
        stream: "issues".to_owned(),
        status: StreamStatus::Running,
        pages: 1,
        rows: 2,
        written: 2,
        unchanged: 0,
        quarantined: 0,
        cursor_from: None,
        cursor_to: None,
        error_code: None,
    };
    store.write(|tx| control::put_stream(tx, &run, &stream));
    let healed = store.write(|tx| heal(tx, &process(2, &[])));
    assert_eq!(healed.runs, std::slice::from_ref(&run));
    assert_eq!(store.status(&run), "failed interrupted");
    assert_eq!(store.jobs(), "aborted* pending");
    assert_eq!(lock::held(&store.conn, PROJECT, UnixMs(store.now)).unwrap(), None);
    let stream: String = store
        .conn
        .query_row("SELECT status FROM sync_run_streams", [], |row| row.get(0))
        .unwrap();
    assert_eq!(stream, "failed");
    let fenced = WriteTx::run(&store.conn, UnixMs(store.now), |tx| control::check_fence(tx, &lock));
    assert_eq!(fenced.unwrap_err().code(), Code::LockLost);
    assert_eq!(store.write(|tx| heal(tx, &process(2, &[]))), control::Healed::default());
}

#[test]
fn a_run_closes_once() {
    let mut store = Store::new();
    let alive = process(1, &[]);
    let run = store.begin(1, &alive);
    got(store.acquire(&run, &alive));
    store.enqueue(1, JobType::Events, 10, None);
    assert_eq!(store.claim(&run, None, 1).len(), 1);
    let end = |status, code| RunEnd {
        status,
        counters: json!({"pages": 3}),
        error_code: code,
        error: None,
    };
    store.now += 500;
    store.write(|tx| control::finish_run(tx, &run, &end(RunStatus::Cancelled, Some(Code::Cancelled))));
    store.write(|tx| control::finish_run(tx, &run, &end(RunStatus::Done, None)));
    assert_eq!(store.status(&run), "cancelled cancelled");
    assert_eq!(store.jobs(), "pending");
    assert_eq!(lock::all_held(&store.conn, UnixMs(store.now)).unwrap(), []);
}
