//! Sweeps: what is gone at the forge, what is back, and what the streams had missed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::common::{World, options_for, process, sized, small};
use annals_core::{CancelKind, CancelReason, Code, Secret, Signal, UnixMs};
use annals_db::{Db, OpenOptions, dump};
use annals_net_adapter::lab::LabConfig;
use annals_net_adapter::{BackendKind, Cx, Outcome, on_every_host};
use annals_sync::{Deletions, Documents, Error, Event, Progress, Reading, SweepWhen, SyncOptions, SyncResult, Target};
use annals_testkit::forge::{
    Absence, Face, Fault, FaultPlan, Graphql, Key, Latency, Policy, Rule, SimOptions, Simulator, State, When,
};

on_every_host!(
    sweep_marks_deleted,
    sweep_marks_missing,
    sweep_marks_moved,
    sweep_marks_hidden,
    sweep_marks_back,
    sweep_resumes_at_its_position,
    sweep_asked_for_now_looks_again,
    sweep_heals_missed_update,
    sweep_walks_past_what_nobody_can_read,
    sweep_survives_an_entity_that_breaks_the_server,
    sweep_marks_what_is_gone_beside_many_that_break_the_server,
    sweep_mass_guard,
    sweep_consent_holds_until_all_is_marked,
    sweep_consent_outlives_a_walk_that_is_not_over,
    sweep_consent_outlives_a_week,
    sweep_is_done_once_a_week,
    sweep_without_graphql_reads_the_lists,
    a_query_that_is_refused_is_sent_again_next_time,
    a_query_that_is_refused_half_way_falls_back_to_the_lists,
    a_position_that_leads_nowhere_begins_anew,
    hidden_project_marks_no_entity,
    issue_transfer_points_to_target,
    ghost_author_former_name_in_history,
);

/// With a token: only then GraphQL is asked.
async fn world(cx: &Cx, state: State) -> World {
    let mut world = World::new(cx, state).await;
    let_in(&mut world.options);
    world
}

fn let_in(options: &mut SyncOptions) {
    let forges: Vec<_> = options.forges.values().map(|forge| forge.base_url.clone()).collect();
    for base_url in forges {
        options.credentials.insert(base_url, Secret::new("glpat-anything"));
    }
}

fn now(options: &SyncOptions) -> SyncOptions {
    SyncOptions {
        sweep: SweepWhen::Now,
        ..options.clone()
    }
}

async fn sweep(cx: &Cx, world: &World) -> Result<SyncResult, Error> {
    world.sync_as(cx, now(&world.options)).await
}

const GONE: &str = "SELECT group_concat(name, ' ') FROM (
    SELECT '#' || iid || ':' || gone_reason || coalesce('>' || moved_to, '') AS name FROM issues WHERE gone_at IS NOT NULL
    UNION ALL
    SELECT '!' || iid || ':' || gone_reason || coalesce('>' || moved_to, '') FROM merge_requests WHERE gone_at IS NOT NULL)";

const OPEN: &str = "SELECT count(*) FROM sweeps WHERE finished_at IS NULL";

async fn gone(cx: &Cx, world: &World) -> String {
    world.text(cx, GONE).await.unwrap_or_default()
}

/// An issue and a merge request vanish like this; what is left of them says `expected`.
async fn marks(cx: &Cx, absence: Absence, expected: &str) {
    let world = world(cx, small(61)).await;
    world.sync(cx).await.unwrap();
    let title = world.text(cx, "SELECT title FROM issues WHERE iid = 3").await;
    world.sim.with_state(|state| {
        assert!(state.vanish(Key::issue(3), absence) && state.vanish(Key::mr(2), absence));
    });
    // The streams say nothing about what is not in them.
    world.sync(cx).await.unwrap();
    assert_eq!(gone(cx, &world).await, "");
    sweep(cx, &world).await.unwrap();
    assert_eq!(gone(cx, &world).await, expected);
    let last = "SELECT group_concat(op) FROM (SELECT r.op FROM revisions r JOIN issues e ON e.revision_id = r.id WHERE e.iid = 3)";
    assert_eq!(world.text(cx, last).await.as_deref(), Some("gone"));
    assert_eq!(world.text(cx, "SELECT title FROM issues WHERE iid = 3").await, title);
    world.assert_whole(cx, expected).await;
    let before = world.raw_dump(cx).await;
    sweep(cx, &world).await.unwrap();
    assert_eq!(world.raw_dump(cx).await, before, "a sweep without news writes nothing");
    assert_eq!(world.number(cx, "SELECT count(*) FROM sweep_seen").await, 0);
    world.close(cx).await;
}

async fn sweep_marks_deleted(cx: Cx) {
    marks(&cx, Absence::Deleted, "#3:deleted !2:deleted").await;
}

async fn sweep_marks_missing(cx: Cx) {
    marks(&cx, Absence::Missing, "#3:missing !2:missing").await;
}

async fn sweep_marks_hidden(cx: Cx) {
    marks(&cx, Absence::Hidden, "#3:hidden !2:hidden").await;
}

async fn sweep_marks_moved(cx: Cx) {
    let absence = Absence::Moved { project: 77, iid: 44 };
    let expected = "#3:moved>annals-sample/elsewhere#44 !2:moved>annals-sample/elsewhere!44";
    marks(&cx, absence, expected).await;
}

async fn sweep_marks_back(cx: Cx) {
    let world = world(&cx, small(62)).await;
    world.sync(&cx).await.unwrap();
    let keys = [Key::issue(4), Key::mr(1)];
    world
        .sim
        .with_state(|state| keys.map(|key| state.vanish(key, Absence::Hidden)));
    sweep(&cx, &world).await.unwrap();
    assert_eq!(gone(&cx, &world).await, "#4:hidden !1:hidden");
    world.sim.with_state(|state| keys.map(|key| state.reappear(key)));
    // Nothing about them moved, so no stream shows them.
    world.sync(&cx).await.unwrap();
    assert_eq!(gone(&cx, &world).await, "#4:hidden !1:hidden");
    sweep(&cx, &world).await.unwrap();
    assert_eq!(gone(&cx, &world).await, "");
    for table in ["issues", "merge_requests"] {
        let sql = format!(
            "SELECT group_concat(op) FROM (SELECT r.op FROM revisions r JOIN {table} e ON e.id = r.subject_id
             WHERE r.subject_kind = '{}' AND e.iid IN (1, 4) AND r.op IN ('gone', 'back') ORDER BY r.id)",
            if table == "issues" { "issue" } else { "merge_request" }
        );
        let ops = world.db.read(&cx, move |conn| {
            Ok(conn.query_row(&sql, (), |row| row.get::<_, Option<String>>(0))?)
        });
        assert_eq!(ops.await.unwrap().as_deref(), Some("gone,back"), "{table}");
    }
    world.assert_whole(&cx, "when they are back").await;
    world.close(&cx).await;
}

fn posts(world: &World) -> usize {
    world.sim.log().iter().filter(|entry| entry.method == "POST").count()
}

async fn sweep_resumes_at_its_position(cx: Cx) {
    let mut world = world(&cx, small(63)).await;
    world.options.settings.page_size = 5;
    world.sync(&cx).await.unwrap();
    world
        .sim
        .with_state(|state| state.vanish(Key::issue(11), Absence::Deleted));
    let second = Rule::new(Fault::MalformedJson, "*/api/graphql", When::Nth(2));
    world.sim.set_faults(FaultPlan::none().with(second));
    world.sim.clear_log();
    let error = sweep(&cx, &world).await.unwrap_err();
    assert_eq!(error.code(), Code::Protocol, "{error}");
    assert_eq!(posts(&world), 4, "two pages of issues, and the others all the same");
    assert_eq!(gone(&cx, &world).await, "", "half a walk proves nothing");
    let position = "SELECT position FROM sweeps WHERE kind = 'issue' AND finished_at IS NULL";
    assert!(world.text(&cx, position).await.unwrap().starts_with("after:"));
    // Number 2 was met before it vanished; the next sweep is the one to notice.
    world.sim.set_faults(FaultPlan::none());
    world
        .sim
        .with_state(|state| state.vanish(Key::issue(2), Absence::Deleted));
    world.sim.clear_log();
    world.sync(&cx).await.unwrap();
    assert_eq!(posts(&world), 2, "the second and third page");
    assert_eq!(gone(&cx, &world).await, "#11:deleted");
    sweep(&cx, &world).await.unwrap();
    assert_eq!(gone(&cx, &world).await, "#2:deleted #11:deleted");
    world.close(&cx).await;
}

async fn sweep_asked_for_now_looks_again(cx: Cx) {
    let mut world = world(&cx, small(74)).await;
    world.options.settings.page_size = 5;
    world.sync(&cx).await.unwrap();
    let second = Rule::new(Fault::MalformedJson, "*/api/graphql", When::Nth(2));
    world.sim.set_faults(FaultPlan::none().with(second));
    sweep(&cx, &world).await.unwrap_err();
    world.sim.set_faults(FaultPlan::none());
    // Met by the half of the walk that is over.
    world
        .sim
        .with_state(|state| state.vanish(Key::issue(2), Absence::Deleted));
    sweep(&cx, &world).await.unwrap();
    assert_eq!(gone(&cx, &world).await, "#2:deleted");
    assert_eq!(world.number(&cx, OPEN).await, 0);
    world.close(&cx).await;
}

async fn a_position_that_leads_nowhere_begins_anew(cx: Cx) {
    let mut world = world(&cx, small(64)).await;
    world.options.settings.page_size = 5;
    world.sync(&cx).await.unwrap();
    world
        .sim
        .with_state(|state| state.vanish(Key::issue(1), Absence::Missing));
    let broken = world.db.write(&cx, |tx| {
        tx.execute(
            "UPDATE sweeps SET finished_at = NULL, position = 'after:of another version' WHERE kind = 'issue'",
            (),
        )?;
        Ok(())
    });
    broken.await.unwrap();
    world.sync(&cx).await.unwrap();
    assert_eq!(gone(&cx, &world).await, "#1:missing");
    assert_eq!(world.number(&cx, OPEN).await, 0);
    world.close(&cx).await;
}

async fn sweep_heals_missed_update(cx: Cx) {
    let world = world(&cx, small(65)).await;
    let late = Key::issue(5);
    world.sim.with_state(|state| state.vanish(late, Absence::Hidden));
    world.sync(&cx).await.unwrap();
    // An update that was dated behind the cursor, as by a node whose clock lags.
    let cursor = UnixMs(
        world
            .number(&cx, "SELECT at FROM cursors WHERE stream = 'issues'")
            .await,
    );
    world.sim.with_state(|state| {
        state.reappear(late);
        let keys = [Key::issue(1), Key::issue(2), Key::issue(3)];
        let missed = keys
            .into_iter()
            .find(|key| state.head(*key).unwrap().updated_at.0 < cursor.0 - 60_000)
            .unwrap();
        state.edit_quietly(missed, |entity| {
            entity.head.updated_at = UnixMs(cursor.0 - 30_000);
            entity.head.title = "Missed".to_owned();
        });
    });
    world.sync(&cx).await.unwrap();
    let missed = "SELECT count(*) FROM issues WHERE title = 'Missed'";
    assert_eq!(world.number(&cx, missed).await, 0, "no stream shows it");
    sweep(&cx, &world).await.unwrap();
    assert_eq!(world.number(&cx, missed).await, 1);
    world.assert_whole(&cx, "with what was missed").await;
    world.close(&cx).await;
}

/// How many issues were asked for by themselves.
fn issues_asked_for(world: &World) -> usize {
    let log = world.sim.log();
    let single = |target: &str| {
        let number = target.rsplit_once("/issues/").map(|(_, rest)| rest.to_owned());
        number.is_some_and(|number| number.parse::<i64>().is_ok())
    };
    log.iter().filter(|entry| single(&entry.target)).count()
}

/// Issues and merge requests, of which a sync stores nothing but themselves.
async fn bare(cx: &Cx, state: State) -> World {
    let mut world = world(cx, state).await;
    world.options.settings.events = false;
    world.options.documents = Documents::Leave;
    world
}

async fn sweep_walks_past_what_nobody_can_read(cx: Cx) {
    let mut state = sized(75, 215, 2);
    let mut by_update: Vec<_> = (1..=215)
        .map(|iid| (state.head(Key::issue(iid)).unwrap().updated_at, iid))
        .collect();
    by_update.sort_unstable();
    let (hidden, shown) = by_update.split_at(210);
    for (_, iid) in hidden {
        assert!(state.vanish(Key::issue(*iid), Absence::Hidden));
    }
    let mut world = bare(&cx, state).await;
    world.sync(&cx).await.unwrap();
    assert_eq!(world.number(&cx, "SELECT count(*) FROM issues").await, 5);
    let last = shown[0].1;
    world.sim.with_state(|state| {
        for (_, iid) in hidden {
            state.reappear(Key::issue(*iid));
        }
        state.vanish(Key::issue(last), Absence::Deleted);
    });
    // The index names them, and each by itself is refused.
    let refused = Rule::new(Fault::Forbidden, "*/issues/*", When::Always);
    world.sim.set_faults(FaultPlan::none().with(refused));
    world.sim.clear_log();
    world.options.sweep = SweepWhen::Now;
    let (result, told) = world.sync_told(&cx).await;
    result.unwrap();
    assert_eq!(issues_asked_for(&world), 200);
    let says_so = |event: &&Event| {
        matches!(
            event,
            Event::Warning {
                code: Code::Partial,
                ..
            }
        )
    };
    assert_eq!(
        told.iter().filter(says_so).count(),
        1,
        "a walk that is not over is told"
    );
    assert_eq!(world.number(&cx, OPEN).await, 1);
    world.options.sweep = SweepWhen::Due;
    world.sim.clear_log();
    world.sync(&cx).await.unwrap();
    let asked = issues_asked_for(&world);
    assert!(asked <= 11, "what was asked for before is not asked for again: {asked}");
    assert_eq!(gone(&cx, &world).await, format!("#{last}:hidden"));
    assert_eq!(world.number(&cx, OPEN).await, 0);
    world.close(&cx).await;
}

async fn sweep_survives_an_entity_that_breaks_the_server(cx: Cx) {
    let world = bare(&cx, small(76)).await;
    world.sync(&cx).await.unwrap();
    world.sim.with_state(|state| {
        for iid in [3, 5] {
            state.vanish(Key::issue(iid), Absence::Deleted);
        }
    });
    let broken = Rule::new(Fault::InternalError, "*/issues/3", When::Always);
    world.sim.set_faults(FaultPlan::none().with(broken));
    sweep(&cx, &world).await.unwrap();
    assert_eq!(gone(&cx, &world).await, "#5:deleted", "the other one proves nothing");
    world.sim.set_faults(FaultPlan::none());
    sweep(&cx, &world).await.unwrap();
    assert_eq!(gone(&cx, &world).await, "#3:deleted #5:deleted");
    world.close(&cx).await;
}

async fn sweep_marks_what_is_gone_beside_many_that_break_the_server(cx: Cx) {
    let world = bare(&cx, sized(80, 30, 4)).await;
    world.sync(&cx).await.unwrap();
    let broken = [3, 4, 5, 6, 7];
    world.sim.with_state(|state| {
        for iid in broken.into_iter().chain([9]) {
            assert!(state.vanish(Key::issue(iid), Absence::Deleted));
        }
    });
    let rules = broken.map(|iid| Rule::new(Fault::InternalError, &format!("*/issues/{iid}"), When::Always));
    let plan = rules.into_iter().fold(FaultPlan::none(), FaultPlan::with);
    world.sim.set_faults(plan);
    let error = sweep(&cx, &world).await.unwrap_err();
    assert!(matches!(error, Error::Incomplete(_)), "so many are told: {error}");
    assert_eq!(gone(&cx, &world).await, "#9:deleted");
    assert_eq!(world.number(&cx, OPEN).await, 1);
    // Three of them counted as asked for; the next one is about the two others.
    world.sim.clear_log();
    world.sync(&cx).await.unwrap();
    assert_eq!(world.number(&cx, OPEN).await, 0);
    assert_eq!(gone(&cx, &world).await, "#9:deleted");
    world.sim.set_faults(FaultPlan::none());
    sweep(&cx, &world).await.unwrap();
    assert_eq!(
        gone(&cx, &world).await,
        "#3:deleted #4:deleted #5:deleted #6:deleted #7:deleted #9:deleted"
    );
    world.close(&cx).await;
}

/// Thirty of forty issues are gone, which nothing but somebody's word lets a sweep mark.
async fn mostly_gone(cx: &Cx, seed: u64) -> World {
    let mut world = bare(cx, sized(seed, 40, 2)).await;
    world.options.settings.page_size = 5;
    world.sync(cx).await.unwrap();
    world.sim.with_state(|state| {
        for iid in 1..=30 {
            assert!(state.vanish(Key::issue(iid), Absence::Deleted));
        }
    });
    world
}

const MARKED: &str = "SELECT count(*) FROM issues WHERE gone_at IS NOT NULL";

async fn sweep_consent_outlives_a_walk_that_is_not_over(cx: Cx) {
    let world = mostly_gone(&cx, 81).await;
    let accepted = SyncOptions {
        deletions: Deletions::Accepted,
        ..now(&world.options)
    };
    for broken in [1, 2] {
        let rule = Rule::new(Fault::MalformedJson, "*/api/graphql", When::Nth(broken));
        world.sim.set_faults(FaultPlan::none().with(rule));
        let options = if broken == 1 { &accepted } else { &world.options };
        let error = world.sync_as(&cx, options.clone()).await.unwrap_err();
        assert_eq!(error.code(), Code::Protocol, "{error}");
        assert_eq!(world.number(&cx, MARKED).await, 0);
    }
    world.sim.set_faults(FaultPlan::none());
    world.sync(&cx).await.unwrap();
    assert_eq!(
        (world.number(&cx, MARKED).await, world.number(&cx, OPEN).await),
        (30, 0)
    );
    world.close(&cx).await;
}

async fn sweep_consent_outlives_a_week(cx: Cx) {
    let world = mostly_gone(&cx, 82).await;
    sweep(&cx, &world).await.unwrap_err();
    let aged = world.db.write(&cx, |tx| {
        tx.execute(
            "UPDATE sweeps SET position = 'accepted', started_at = started_at - 8 * 86400000 WHERE kind = 'issue'",
            (),
        )?;
        Ok(())
    });
    aged.await.unwrap();
    world.sync(&cx).await.unwrap();
    assert_eq!(
        (world.number(&cx, MARKED).await, world.number(&cx, OPEN).await),
        (30, 0)
    );
    world.close(&cx).await;
}

async fn sweep_consent_holds_until_all_is_marked(cx: Cx) {
    let world = bare(&cx, sized(77, 230, 4)).await;
    world.sync(&cx).await.unwrap();
    world.sim.with_state(|state| {
        for iid in 1..=225 {
            assert!(state.vanish(Key::issue(iid), Absence::Deleted));
        }
        state.vanish(Key::mr(1), Absence::Deleted);
    });
    let marked = "SELECT count(*) FROM issues WHERE gone_at IS NOT NULL";
    let code = |error: &Error| match error {
        Error::Incomplete(incomplete) => incomplete.failures.first().map(|failure| failure.report.code),
        _ => None,
    };
    let error = sweep(&cx, &world).await.unwrap_err();
    assert_eq!(code(&error), Some(Code::SweepSuspicious), "{error}");
    assert_eq!(
        gone(&cx, &world).await,
        "!1:deleted",
        "merge requests do not wait for issues"
    );
    world.sim.clear_log();
    let error = world.sync(&cx).await.unwrap_err();
    assert_eq!(code(&error), Some(Code::SweepSuspicious), "{error}");
    assert!(error.to_string().contains("225 of 230 issues"), "{error}");
    assert_eq!(issues_asked_for(&world), 25, "a sample");
    let accepted = SyncOptions {
        deletions: Deletions::Accepted,
        ..now(&world.options)
    };
    world.sync_as(&cx, accepted).await.unwrap();
    assert_eq!(world.number(&cx, marked).await, 200);
    // As the warning says, the next one goes on; nobody has to be asked again.
    world.sync(&cx).await.unwrap();
    assert_eq!(world.number(&cx, marked).await, 225);
    assert_eq!(world.number(&cx, OPEN).await, 0);
    // A consent is for one sweep.
    world.sim.with_state(|state| {
        for iid in 1..=225 {
            state.reappear(Key::issue(iid));
        }
    });
    for _ in 0..2 {
        sweep(&cx, &world).await.unwrap();
    }
    assert_eq!(world.number(&cx, marked).await, 0, "all are back");
    world.sim.with_state(|state| {
        for iid in 100..=150 {
            state.vanish(Key::issue(iid), Absence::Deleted);
        }
    });
    let error = sweep(&cx, &world).await.unwrap_err();
    assert_eq!(code(&error), Some(Code::SweepSuspicious), "{error}");
    assert_eq!(world.number(&cx, marked).await, 0);
    world.close(&cx).await;
}

async fn sweep_mass_guard(cx: Cx) {
    let world = world(&cx, sized(66, 60, 4)).await;
    world.sync(&cx).await.unwrap();
    world.sim.with_state(|state| {
        for iid in 10..31 {
            assert!(state.vanish(Key::issue(iid), Absence::Deleted));
        }
        state.vanish(Key::mr(1), Absence::Deleted);
    });
    for _ in 0..2 {
        let error = sweep(&cx, &world).await.unwrap_err();
        let Error::Incomplete(incomplete) = &error else {
            panic!("{error}")
        };
        let codes: Vec<_> = incomplete.failures.iter().map(|failure| failure.report.code).collect();
        assert_eq!(codes, [Code::SweepSuspicious], "{error}");
        assert!(
            error.to_string().contains("21 of 60 issues"),
            "it says how many: {error}"
        );
        assert_eq!(gone(&cx, &world).await, "!1:deleted", "no issue is marked");
    }
    // A forge that came to its senses needs nobody's word.
    world.sim.with_state(|state| state.reappear(Key::issue(10)));
    let mut options = now(&world.options);
    let part = world.sync_as(&cx, options.clone()).await;
    part.unwrap();
    assert_eq!(
        world
            .number(&cx, "SELECT count(*) FROM issues WHERE gone_at IS NOT NULL")
            .await,
        20
    );
    world.sim.with_state(|state| {
        for iid in 31..55 {
            state.vanish(Key::issue(iid), Absence::Deleted);
        }
    });
    options.deletions = Deletions::Accepted;
    world.sync_as(&cx, options).await.unwrap();
    assert_eq!(
        world
            .number(&cx, "SELECT count(*) FROM issues WHERE gone_at IS NOT NULL")
            .await,
        44
    );
    world.assert_whole(&cx, "after somebody looked").await;
    world.close(&cx).await;
}

async fn sweep_is_done_once_a_week(cx: Cx) {
    let world = world(&cx, small(67)).await;
    world.sync(&cx).await.unwrap();
    assert_eq!(posts(&world), 2, "a first sync sweeps");
    world.sim.clear_log();
    world.sync(&cx).await.unwrap();
    assert_eq!(posts(&world), 0);
    let aged = world.db.write(&cx, |tx| {
        tx.execute("UPDATE sweeps SET finished_at = finished_at - 7 * 86400000", ())?;
        Ok(())
    });
    aged.await.unwrap();
    let mut never = world.options.clone();
    never.settings.sweep_every = Duration::ZERO;
    world.sync_as(&cx, never).await.unwrap();
    assert_eq!(posts(&world), 0, "only when asked");
    world.sync(&cx).await.unwrap();
    assert_eq!(posts(&world), 2);
    world.close(&cx).await;
}

async fn sweep_without_graphql_reads_the_lists(cx: Cx) {
    let policy = Policy {
        graphql: Graphql::Missing,
        ..Policy::default()
    };
    let options = SimOptions {
        policy,
        ..SimOptions::default()
    };
    let mut world = World::with(&cx, small(68), options).await;
    world.options.settings.page_size = 5;
    world.sync(&cx).await.unwrap();
    assert_eq!(posts(&world), 0, "a stranger posts nothing");
    let_in(&mut world.options);
    world.options = now(&world.options);
    let (result, told) = world.sync_told(&cx).await;
    result.unwrap();
    assert_eq!(posts(&world), 1, "asked once");
    let says_so = |event: &&Event| matches!(event, Event::Warning { message, .. } if message.contains("GraphQL"));
    assert_eq!(told.iter().filter(says_so).count(), 1, "and told once");
    world.sim.with_state(|state| {
        state.vanish(Key::issue(3), Absence::Deleted);
        state.vanish(Key::mr(8), Absence::Missing);
    });
    world.sim.clear_log();
    sweep(&cx, &world).await.unwrap();
    assert_eq!(posts(&world), 0, "and never again");
    assert_eq!(gone(&cx, &world).await, "#3:deleted !8:missing");
    assert_eq!(world.sim.stats().writes_refused, 0);
    world.close(&cx).await;
}

async fn a_query_that_is_refused_is_sent_again_next_time(cx: Cx) {
    let world = world(&cx, small(78)).await;
    let first = Rule::new(Fault::Forbidden, "*/api/graphql", When::Nth(1));
    world.sim.set_faults(FaultPlan::none().with(first));
    world.sync(&cx).await.unwrap();
    assert_eq!(posts(&world), 2, "the other kind asks all the same");
    assert_eq!(world.number(&cx, OPEN).await, 0, "the lists were read instead");
    world.sim.clear_log();
    sweep(&cx, &world).await.unwrap();
    assert_eq!(posts(&world), 2, "one refusal is not for good");
    world.close(&cx).await;
}

async fn a_query_that_is_refused_half_way_falls_back_to_the_lists(cx: Cx) {
    let mut world = world(&cx, small(79)).await;
    world.options.settings.page_size = 5;
    world.sync(&cx).await.unwrap();
    world
        .sim
        .with_state(|state| state.vanish(Key::issue(11), Absence::Deleted));
    let second = Rule::new(Fault::Forbidden, "*/api/graphql", When::Nth(2));
    world.sim.set_faults(FaultPlan::none().with(second));
    sweep(&cx, &world).await.unwrap();
    assert_eq!(gone(&cx, &world).await, "#11:deleted");
    assert_eq!(world.number(&cx, OPEN).await, 0);
    world.close(&cx).await;
}

async fn hidden_project_marks_no_entity(cx: Cx) {
    let world = world(&cx, small(69)).await;
    world.sync(&cx).await.unwrap();
    for (face, state, code) in [
        (Face::Hidden, "hidden", Code::Forbidden),
        (Face::Missing, "missing", Code::NotFoundRemote),
    ] {
        world.sim.with_state(|state| state.show_as(face));
        assert_eq!(sweep(&cx, &world).await.unwrap_err().code(), code);
        assert_eq!(gone(&cx, &world).await, "");
        assert_eq!(
            world.text(&cx, "SELECT state FROM projects").await.as_deref(),
            Some(state)
        );
        world.sim.with_state(|state| state.show_as(Face::Shown));
        sweep(&cx, &world).await.unwrap();
    }
    // Hidden while the sweep asks: what is not readable then says nothing either.
    world
        .sim
        .with_state(|state| state.vanish(Key::issue(2), Absence::Missing));
    let project = world.sim.with_state(|state| state.project().id);
    let second = Rule::new(Fault::Forbidden, &format!("*/projects/{project}"), When::Nth(2));
    world.sim.set_faults(FaultPlan::none().with(second));
    let error = sweep(&cx, &world).await.unwrap_err();
    assert_eq!(error.code(), Code::Forbidden, "{error}");
    assert_eq!(gone(&cx, &world).await, "");
    world.sim.set_faults(FaultPlan::none());
    world.sync(&cx).await.unwrap();
    assert_eq!(gone(&cx, &world).await, "#2:missing");
    world.close(&cx).await;
}

async fn issue_transfer_points_to_target(cx: Cx) {
    let world = world(&cx, small(70)).await;
    world.sync(&cx).await.unwrap();
    world.sim.with_state(|state| state.transfer(6, 4_711));
    world.sync(&cx).await.unwrap();
    let issue = "SELECT state || ' ' || moved_to || ' ' || (gone_at IS NULL) FROM issues WHERE iid = 6";
    // Still readable, so it is not gone.
    assert_eq!(world.text(&cx, issue).await.as_deref(), Some("closed 4711 1"));
    sweep(&cx, &world).await.unwrap();
    assert_eq!(world.text(&cx, issue).await.as_deref(), Some("closed 4711 1"));
    world
        .sim
        .with_state(|state| state.vanish(Key::issue(6), Absence::Moved { project: 77, iid: 9 }));
    sweep(&cx, &world).await.unwrap();
    assert_eq!(gone(&cx, &world).await, "#6:moved>annals-sample/elsewhere#9");
    world.close(&cx).await;
}

async fn ghost_author_former_name_in_history(cx: Cx) {
    let world = world(&cx, small(71)).await;
    world.sync(&cx).await.unwrap();
    let (former, ghost) = world.sim.with_state(|state| {
        let users = &state.project().users;
        let ghost = users.iter().position(|user| user.username == "ghost").unwrap();
        let former = state.head(Key::issue(7)).unwrap().author;
        let name = users[usize::try_from(former).unwrap()].username.clone();
        (name, u32::try_from(ghost).unwrap())
    });
    assert_ne!(former, "ghost");
    // Deleting an account moves no date.
    world.sim.with_state(|state| {
        state.edit_quietly(Key::issue(7), |entity| entity.head.author = ghost);
    });
    let mut options = world.options.clone();
    options.reading = Reading::Full;
    world.sync_as(&cx, options).await.unwrap();
    let author = "SELECT u.kind FROM issues e JOIN users u ON u.id = e.author_id WHERE e.iid = 7";
    assert_eq!(world.text(&cx, author).await.as_deref(), Some("ghost"));
    let authors = world.db.read(&cx, |conn| {
        let mut select = conn.prepare(
            "SELECT r.projection FROM revisions r JOIN issues e ON e.id = r.subject_id
             WHERE r.subject_kind = 'issue' AND e.iid = 7 ORDER BY r.seq",
        )?;
        let hashes = select.query_map((), |row| row.get::<_, i64>(0))?;
        Ok(hashes.count())
    });
    assert_eq!(authors.await.unwrap(), 2, "a revision more");
    let states = world.db.read(&cx, |conn| {
        let mut select = conn.prepare(
            "SELECT r.state_hash FROM revisions r JOIN issues e ON e.id = r.subject_id
             WHERE r.subject_kind = 'issue' AND e.iid = 7 ORDER BY r.seq",
        )?;
        let hashes: Vec<annals_db::content::blob::Hash> =
            select.query_map((), |row| row.get(0))?.collect::<Result<_, _>>()?;
        hashes
            .iter()
            .map(|hash| annals_db::content::blob::get(conn, hash))
            .collect::<Result<Vec<_>, _>>()
    });
    let names: Vec<String> = states
        .await
        .unwrap()
        .iter()
        .map(|state| {
            let state: serde_json::Value = serde_json::from_slice(state).unwrap();
            state["author"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(names, [former.as_str(), "ghost"]);
    world.assert_whole(&cx, "with a ghost").await;
    world.close(&cx).await;
}

/// The forge of the interrupted sweeps: two of its entities are gone, one was missed.
fn after_changes(state: &mut State) {
    state.vanish(Key::issue(2), Absence::Deleted);
    state.vanish(Key::mr(3), Absence::Missing);
    state.reappear(Key::issue(4));
}

fn before_changes() -> State {
    let mut state = sized(72, 6, 4);
    state.vanish(Key::issue(4), Absence::Hidden);
    state
}

/// A sync of the forge as it was, then a sweep of it as it is, stopped after `stop` if it says so.
async fn swept(cx: Cx, path: PathBuf, pid: i64, stop: Option<Duration>) -> bool {
    let db = Db::open(&cx, &path, OpenOptions::write(process(pid))).await.unwrap();
    let options = SimOptions {
        addr: "127.0.0.1:4711".parse().unwrap(),
        latency: Latency::Fixed(Duration::from_millis(20)),
        ..SimOptions::default()
    };
    let sim = Simulator::start(&cx, before_changes(), options).await.unwrap();
    let mut options = options_for(&sim);
    let_in(&mut options);
    options.settings.page_size = 2;
    let target = vec![Target::Url(sim.project_url())];
    if pid == 1 {
        annals_sync::sync(&cx, &db, target.clone(), options.clone(), Progress::silent())
            .await
            .unwrap();
    }
    sim.with_state(after_changes);
    let (run_db, options) = (db.clone(), now(&options));
    let mut run = cx
        .spawn("run", move |cx| async move {
            annals_sync::sync(&cx, &run_db, target, options, Progress::silent()).await
        })
        .unwrap();
    if let Some(after) = stop {
        cx.sleep(after).await.unwrap();
        cx.shutdown()
            .begin(CancelReason::new(CancelKind::Signal(Signal::Int), "test", cx.now()));
    }
    let is_done = matches!(run.join(&cx).await.unwrap(), Outcome::Ok(_));
    db.close(&cx).await.unwrap();
    let _report = sim.stop().await;
    is_done
}

fn canonical(path: &Path) -> String {
    dump::canonical(&rusqlite::Connection::open(path).unwrap()).unwrap()
}

#[test]
fn ctrl_c_during_sweep() {
    for backend in BackendKind::compiled().iter().copied() {
        let run = |path: &Path, pid: i64, stop: Option<Duration>| {
            let path = path.to_owned();
            let report = LabConfig::new(5).on(backend).run(move |cx| swept(cx, path, pid, stop));
            report.clean().unwrap();
            report.outcome.ok().unwrap()
        };
        let folder = tempfile::tempdir().unwrap();
        let whole = folder.path().join("whole.db");
        assert!(run(&whole, 1, None));
        let expected = canonical(&whole);
        let (mut during_sweep, mut millis) = (0, 10);
        loop {
            let path = folder.path().join(format!("{millis}.db"));
            if run(&path, 1, Some(Duration::from_millis(millis))) {
                break;
            }
            let conn = rusqlite::Connection::open(&path).unwrap();
            let text = |sql: &str| conn.query_row(sql, (), |row| row.get::<_, String>(0)).unwrap();
            let count = |sql: &str| conn.query_row(sql, (), |row| row.get::<_, i64>(0)).unwrap();
            assert_eq!(text("PRAGMA integrity_check"), "ok");
            let last = "SELECT status || ' ' || phase FROM sync_runs ORDER BY started_at DESC, run_id DESC LIMIT 1";
            assert_eq!(text(last), "cancelled finish", "{millis} ms");
            assert_eq!(count("SELECT count(*) FROM sync_locks WHERE holder IS NOT NULL"), 0);
            // Where a sweep marked anything, it marked all of its kind and is over.
            for (table, kind) in [("issues", "issue"), ("merge_requests", "merge_request")] {
                let marked = count(&format!("SELECT count(*) FROM {table} WHERE gone_at IS NOT NULL"));
                assert!(marked <= 1, "{table} at {millis} ms");
                let open = format!("SELECT count(*) FROM sweeps WHERE kind = '{kind}' AND finished_at IS NULL");
                during_sweep += count(&open);
            }
            assert!(run(&path, 2, None), "the run after {millis} ms");
            assert!(canonical(&path) == expected, "stopped at {millis} ms");
            millis += 15;
        }
        assert!(during_sweep > 3, "only {during_sweep} stops fell into a sweep");
    }
}
