//! The sets: from the preflight alone, in this run's scope alone, and owed to the next sync if they are
//! not in when the run ends.

use annals_core::{Code, Iid, UnixMs};
use annals_db::ids::{EntityId, JobType};
use annals_db::work::JobIn;
use annals_db::work::job;
use annals_net_adapter::{Cx, on_every_host};
use annals_sync::surgical::Extent;
use annals_sync::{EntityRef, Error};
use annals_testkit::forge::Key;

use super::{THREE, edited, ledger, options, plant, rows, run, run_with};
use crate::common::{World, project_id, row_of};

on_every_host!(
    failed_run_aborts_pending_scoped_jobs,
    unrelated_pending_jobs_untouched,
    scoped_job_never_fetches,
    aborted_scope_leaves_unscoped_debt,
);

/// The file refuses a note of issue 3; whatever comes after it in the stage never has its turn.
const REFUSE_NOTE: &str = "CREATE TRIGGER planted BEFORE INSERT ON notes WHEN NEW.body = 'poison'
                           BEGIN SELECT RAISE(ABORT, 'planted'); END";

async fn poisoned(cx: &Cx, seed: u64) -> World {
    let world = edited(cx, seed).await;
    world.sim.with_state(|state| {
        state.add_note(Key::issue(3), 0, "poison");
        // Its jobs come last.
        state.touch(Key::mr(1));
    });
    plant(cx, &world, REFUSE_NOTE).await;
    world
}

async fn failed_run_aborts_pending_scoped_jobs(cx: Cx) {
    let world = poisoned(&cx, 301).await;
    let error = run(&cx, &world, &THREE).await.unwrap_err();
    let Error::Incomplete(incomplete) = &error else {
        panic!("{error:?}")
    };
    let result = &incomplete.result;
    assert_eq!((incomplete.code, result.status.as_str()), (Code::Partial, "partial"));
    let jobs = result.projects[0].jobs;
    // Both sets of issue 2 are in; those of the others, seven, are not.
    assert_eq!((jobs.done, jobs.aborted), (2, 7));
    let aborted = "SELECT count(*) FROM dependent_jobs WHERE scope_run_id IS NOT NULL AND status = 'aborted'
                   AND aborted_reason IS NOT NULL AND claimed_by IS NULL";
    assert_eq!(world.number(&cx, aborted).await, 7);
    let open =
        "SELECT count(*) FROM dependent_jobs WHERE scope_run_id IS NOT NULL AND status IN ('pending', 'claimed')";
    assert_eq!(world.number(&cx, open).await, 0);
    assert_eq!(result.failed_iids, [EntityRef::issue(3), EntityRef::merge_request(1)]);
    let rows = ledger(&cx, &world, &result.run_id).await;
    assert_eq!(
        rows[6..],
        [
            "issue 2 dependents ok",
            "issue 3 dependents failed database",
            "merge_request 1 dependents failed database",
        ]
    );
    world.close(&cx).await;
}

async fn aborted_scope_leaves_unscoped_debt(cx: Cx) {
    let world = poisoned(&cx, 302).await;
    run(&cx, &world, &THREE).await.unwrap_err();
    let lost = "SELECT count(*) FROM dependent_jobs a WHERE a.status = 'aborted' AND NOT EXISTS (
        SELECT 1 FROM dependent_jobs j WHERE j.scope_run_id IS NULL AND j.status = 'pending'
          AND j.entity_type = a.entity_type AND j.entity_id = a.entity_id AND j.job_type = a.job_type
          AND j.cause_at >= a.cause_at)";
    assert_eq!(world.number(&cx, lost).await, 0);
    let owed = "SELECT count(*) FROM dependent_jobs WHERE scope_run_id IS NULL AND status = 'pending'";
    assert_eq!(world.number(&cx, owed).await, 7);
    plant(&cx, &world, "DROP TRIGGER planted").await;
    world.sync(&cx).await.unwrap();
    assert_eq!(world.number(&cx, owed).await, 0);
    assert!(
        world.mirror(&cx).await == world.model(),
        "the next sync does what was owed"
    );
    world.close(&cx).await;
}

async fn unrelated_pending_jobs_untouched(cx: Cx) {
    const UNSCOPED: &str = "SELECT * FROM dependent_jobs WHERE scope_run_id IS NULL ORDER BY id";
    let world = edited(&cx, 303).await;
    let project = row_of(project_id(&cx, &world.db).await);
    // One of a target itself, one of somebody else.
    let planted = world.db.write(&cx, move |tx| {
        for (iid, job_type) in [(2, JobType::Discussions), (5, JobType::Events)] {
            let row = tx.query_row("SELECT id FROM issues WHERE iid = ?1", (iid,), |row| row.get(0))?;
            let job = JobIn {
                project,
                entity: EntityId::issue(row),
                iid: Iid(iid),
                job_type,
                cause_at: UnixMs(1),
                scope: None,
            };
            job::enqueue(tx, &job)?;
        }
        Ok(())
    });
    planted.await.unwrap();
    let before = rows(&cx, &world, UNSCOPED).await;
    assert!(
        before.iter().filter(|row| row.contains(" pending ")).count() == 2,
        "{before:?}"
    );
    run(&cx, &world, &THREE).await.unwrap();
    assert_eq!(rows(&cx, &world, UNSCOPED).await, before);
    world.close(&cx).await;
}

/// A job that turns up in the scope without anything fetched for it.
const STRAY: &str = "CREATE TRIGGER planted AFTER INSERT ON dependent_jobs
    WHEN NEW.scope_run_id IS NOT NULL AND NEW.job_type = 'closes'
    BEGIN INSERT INTO dependent_jobs (project_id, entity_type, entity_id, iid, job_type, status, scope_run_id, attempts,
                                      not_before, cause_at, updated_at)
          VALUES (NEW.project_id, NEW.entity_type, NEW.entity_id, NEW.iid, 'events', 'pending', NEW.scope_run_id, 0, 0,
                  NEW.cause_at, NEW.updated_at); END";

async fn scoped_job_never_fetches(cx: Cx) {
    let mut world = edited(&cx, 304).await;
    world.options.settings.events = false;
    plant(&cx, &world, STRAY).await;
    world.sim.clear_log();
    let targets = [EntityRef::merge_request(1)];
    let error = run_with(&cx, &world, &targets, Extent::Whole, options(&world))
        .await
        .unwrap_err();
    let Error::Incomplete(incomplete) = &error else {
        panic!("{error:?}")
    };
    let asked: Vec<String> = world.sim.log().into_iter().map(|entry| entry.target).collect();
    // The entity, its discussions, files, commits, and what it closes.
    assert_eq!(asked.len(), 5, "{asked:?}");
    assert!(!asked.iter().any(|target| target.contains("_events")), "{asked:?}");
    let jobs = incomplete.result.projects[0].jobs;
    assert_eq!((jobs.done, jobs.failed), (4, 1));
    assert_eq!(incomplete.result.failed_iids, targets);
    let rows = ledger(&cx, &world, &incomplete.result.run_id).await;
    assert!(
        rows.contains(&"merge_request 1 dependents failed internal".to_owned()),
        "{rows:?}"
    );
    // It failed for this run, and is owed to the next.
    let owed = "SELECT count(*) FROM dependent_jobs WHERE scope_run_id IS NULL AND status = 'pending'
                AND job_type = 'events' AND entity_type = 'merge_request'";
    assert_eq!(world.number(&cx, owed).await, 1);
    world.close(&cx).await;
}
