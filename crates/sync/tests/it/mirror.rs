//! The main job against the simulated forge: the mirror equals the model, and stays that way
//! without work.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

use crate::common::{self, World, sized, small};
use annals_net_adapter::{Cx, on_every_host, on_every_runtime};
use annals_sync::{Event, Target};
use annals_testkit::forge::{Access, GenSpec, Key, Keyset, Policy, SimOptions, State};

on_every_host!(
    first_run_mirrors_the_model,
    second_run_leaves_raw_dump_equal,
    cursor_equals_last_stored_row,
    not_modified_writes_nothing,
    unchanged_project_is_all_304_from_second_run,
    future_timestamp_does_not_move_cursor,
    removed_label_vanishes,
    changes_at_the_forge_come_in,
    deleted_note_vanishes_and_deleted_issue_is_gone,
    a_renamed_project_keeps_its_identity,
    row_moved_while_paging_is_not_lost_window,
    keyset_405_switches_strategy,
    a_full_first_page_is_never_taken_for_the_whole,
);
on_every_runtime!(
    several_pages_by_every_way_of_paging,
    bulk_update_1000_rows_in_one_second,
    only_get_and_graphql_post_leave_the_process,
    token_never_in_log_error_url_or_redirect,
);

async fn first_run_mirrors_the_model(cx: Cx) {
    let world = World::new(&cx, small(1)).await;
    let result = world.sync(&cx).await.unwrap();
    let project = &result.projects[0];
    assert_eq!(project.path, "annals-sample/generated");
    let rows: Vec<_> = project
        .streams
        .iter()
        .map(|s| (s.stream.as_str(), s.written, s.quarantined))
        .collect();
    assert_eq!(rows, [("issues", 12, 0), ("merge_requests", 8, 0)]);
    assert_eq!(
        (project.jobs.pending, project.jobs.failed, project.jobs.aborted),
        (0, 0, 0)
    );
    assert!(
        result.documents_regenerated >= 20 && result.revisions > 20,
        "{result:?}"
    );
    world.assert_whole(&cx, "after the first run").await;
    world.close(&cx).await;
}

async fn second_run_leaves_raw_dump_equal(cx: Cx) {
    let world = World::new(&cx, small(2)).await;
    world.sync(&cx).await.unwrap();
    let before = world.raw_dump(&cx).await;
    let result = world.sync(&cx).await.unwrap();
    assert_eq!(result.revisions, 0);
    assert!(world.raw_dump(&cx).await == before, "the second run wrote content");
    world.close(&cx).await;
}

async fn cursor_equals_last_stored_row(cx: Cx) {
    let world = World::new(&cx, small(3)).await;
    let result = world.sync(&cx).await.unwrap();
    for (table, stream) in [
        ("issues", &result.projects[0].streams[0]),
        ("merge_requests", &result.projects[0].streams[1]),
    ] {
        let last = world
            .db
            .read(&cx, move |conn| {
                let sql = format!(
                    "SELECT c.at = e.updated_at AND c.tie_id = e.native_id FROM cursors c,
                        (SELECT updated_at, native_id FROM {table} ORDER BY updated_at DESC, CAST(native_id AS INTEGER) DESC LIMIT 1) e
                     WHERE c.stream = '{table}'"
                );
                Ok(conn.query_row(&sql, (), |row| row.get::<_, bool>(0))?)
            })
            .await
            .unwrap();
        assert!(last, "{table}: {:?}", stream.cursor);
    }
    world.close(&cx).await;
}

async fn not_modified_writes_nothing(cx: Cx) {
    let world = World::new(&cx, small(4)).await;
    world.sync(&cx).await.unwrap();
    let seq = world.number(&cx, "SELECT content_seq FROM store").await;
    let validators = "SELECT group_concat(scope || hex(request_hash) || etag) FROM http_validators";
    let before = world.text(&cx, validators).await;
    let result = world.sync(&cx).await.unwrap();
    assert_eq!(result.not_modified, 5);
    assert_eq!(world.number(&cx, "SELECT content_seq FROM store").await, seq);
    assert_eq!(world.text(&cx, validators).await, before);
    world.close(&cx).await;
}

async fn unchanged_project_is_all_304_from_second_run(cx: Cx) {
    let world = World::new(&cx, small(5)).await;
    world.sync(&cx).await.unwrap();
    for run in 2..4 {
        world.sim.clear_log();
        let result = world.sync(&cx).await.unwrap();
        let stats = world.sim.stats();
        // The project, labels, milestones, and one request per stream.
        assert_eq!(
            (stats.requests, stats.conditional, stats.not_modified),
            (5, 5, 5),
            "run {run}"
        );
        assert_eq!((result.requests, result.not_modified), (5, 5), "run {run}");
    }
    world.close(&cx).await;
}

async fn future_timestamp_does_not_move_cursor(cx: Cx) {
    let world = World::new(&cx, small(6)).await;
    world.sync(&cx).await.unwrap();
    let cursor = "SELECT at FROM cursors WHERE stream = 'issues'";
    let before = world.number(&cx, cursor).await;
    // Two years ahead: not a time that can be right.
    world.sim.with_state(|state| {
        let ahead = state.now().0 + 2 * 365 * 86_400_000;
        state.edit_quietly(Key::issue(3), |entity| {
            entity.head.updated_at = annals_core::UnixMs(ahead);
            entity.head.title = "From the future".to_owned();
        });
    });
    world.sync(&cx).await.unwrap();
    assert_eq!(world.number(&cx, cursor).await, before);
    assert_eq!(
        world
            .number(
                &cx,
                "SELECT count(*) FROM issues WHERE title = 'From the future' AND flags & 1"
            )
            .await,
        1
    );
    // An hour ahead could be a slow clock, but the forge's own clock says otherwise.
    world.sim.with_state(|state| {
        let ahead = state.now().0 + 3_600_000;
        state.edit_quietly(Key::issue(4), |entity| {
            entity.head.updated_at = annals_core::UnixMs(ahead)
        });
    });
    world.sync(&cx).await.unwrap();
    assert_eq!(world.number(&cx, cursor).await, before);
    // What comes later at its right time is not hidden behind them.
    world
        .sim
        .with_state(|state| state.retitle(Key::issue(5), "Seen all the same"));
    world.sync(&cx).await.unwrap();
    assert!(world.number(&cx, cursor).await > before);
    world.assert_whole(&cx, "with two odd clocks").await;
    world.close(&cx).await;
}

async fn removed_label_vanishes(cx: Cx) {
    let world = World::new(&cx, small(7)).await;
    world.sync(&cx).await.unwrap();
    let labelled = "SELECT count(*) FROM issue_labels JOIN issues ON issues.id = issue_id WHERE iid = 1";
    world
        .sim
        .with_state(|state| state.edit(Key::issue(1), |entity, _| entity.head.labels = vec![0, 1]));
    world.sync(&cx).await.unwrap();
    assert_eq!(world.number(&cx, labelled).await, 2);
    world
        .sim
        .with_state(|state| state.edit(Key::issue(1), |entity, _| entity.head.labels = vec![1]));
    world.sync(&cx).await.unwrap();
    assert_eq!(world.number(&cx, labelled).await, 1);
    world.assert_whole(&cx, "after a label was taken off").await;
    world.close(&cx).await;
}

async fn changes_at_the_forge_come_in(cx: Cx) {
    let world = World::new(&cx, small(8)).await;
    world.sync(&cx).await.unwrap();
    let note = world.sim.with_state(|state| {
        state.retitle(Key::issue(2), "Another title");
        state.rename_label(0, "renamed");
        let note = state.add_note(Key::mr(3), 1, "first words");
        state.push(2);
        state.add_issue(0, "A new issue", "with a text");
        note
    });
    world.sync(&cx).await.unwrap();
    world.assert_whole(&cx, "after edits").await;
    world
        .sim
        .with_state(|state| state.rewrite_note(Key::mr(3), note, "better words"));
    let result = world.sync(&cx).await.unwrap();
    assert_eq!(result.projects[0].streams[1].written, 1);
    world.assert_whole(&cx, "after a rewritten note").await;
    world.close(&cx).await;
}

async fn deleted_note_vanishes_and_deleted_issue_is_gone(cx: Cx) {
    let world = World::new(&cx, small(9)).await;
    let note = world
        .sim
        .with_state(|state| state.add_note(Key::issue(4), 0, "soon gone"));
    world.sync(&cx).await.unwrap();
    world.sim.with_state(|state| state.delete_note(Key::issue(4), note));
    world.sync(&cx).await.unwrap();
    world.assert_whole(&cx, "after a deleted note").await;
    // A list still shows the issue that is deleted before its discussions are asked for.
    world.sim.with_state(|state| state.touch(Key::issue(5)));
    let id = common::project_id(&cx, &world.db).await;
    let row = world.number(&cx, "SELECT id FROM issues WHERE iid = 5").await;
    world
        .db
        .write(&cx, move |tx| {
            use annals_db::{ids, work};
            let entity = ids::EntityId::issue(row);
            let job = work::JobIn {
                project: common::row_of(id),
                entity,
                iid: annals_core::Iid(5),
                job_type: ids::JobType::Discussions,
                cause_at: annals_core::UnixMs(1),
                scope: None,
            };
            work::job::enqueue(tx, &job)
        })
        .await
        .unwrap();
    world.sim.with_state(|state| state.delete(Key::issue(5)));
    world.sync(&cx).await.unwrap();
    assert_eq!(
        world
            .text(&cx, "SELECT gone_reason FROM issues WHERE iid = 5")
            .await
            .as_deref(),
        Some("missing")
    );
    world.assert_whole(&cx, "after a deleted issue").await;
    world.close(&cx).await;
}

async fn a_renamed_project_keeps_its_identity(cx: Cx) {
    let world = World::new(&cx, small(10)).await;
    let old = world.sim.project_url();
    world.sync(&cx).await.unwrap();
    world
        .sim
        .with_state(|state| state.rename_project("annals-sample/elsewhere"));
    // By its old address: known here, so the forge is asked by id and tells the new path.
    let options = world.options.clone();
    let target = vec![Target::Url(old)];
    let result = annals_sync::sync(&cx, &world.db, target, options, annals_sync::Progress::silent())
        .await
        .unwrap();
    assert_eq!(result.projects[0].path, "annals-sample/elsewhere");
    assert_eq!(world.number(&cx, "SELECT count(*) FROM projects").await, 1);
    assert_eq!(
        world
            .number(
                &cx,
                "SELECT count(*) FROM project_paths WHERE path_folded = 'annals-sample/generated'"
            )
            .await,
        1
    );
    // The links of its entities moved with it, so whoever changed is read again.
    world.close(&cx).await;
}

/// Rows that are updated while a list is read move to its end; the row after them must not be lost.
async fn row_moved_while_paging_is_not_lost_window(cx: Cx) {
    use annals_testkit::forge::{Fault, FaultPlan, Rule, When};
    let plan = FaultPlan::none().with(Rule::new(Fault::RowMoves, "*/issues?*", When::First(3)));
    let policy = Policy {
        keyset: Keyset::Ignored,
        ..Policy::default()
    };
    let mut state = sized(11, 30, 2);
    // All in one second, so that only page numbers tell the pages apart.
    let keys: Vec<_> = (1..=30).map(Key::issue).collect();
    state.touch_together(&keys);
    let world = World::with(
        &cx,
        state,
        SimOptions {
            faults: plan,
            policy,
            ..SimOptions::default()
        },
    )
    .await;
    let mut options = world.options.clone();
    options.settings.page_size = 10;
    world.sync_as(&cx, options).await.unwrap();
    assert_eq!(world.number(&cx, "SELECT count(*) FROM issues").await, 30);
    world.assert_whole(&cx, "after rows moved").await;
    world.close(&cx).await;
}

async fn keyset_405_switches_strategy(cx: Cx) {
    let policy = Policy {
        keyset: Keyset::Refused,
        ..Policy::default()
    };
    let world = World::with(
        &cx,
        small(12),
        SimOptions {
            policy,
            ..SimOptions::default()
        },
    )
    .await;
    world.sync(&cx).await.unwrap();
    world.assert_whole(&cx, "without keyset").await;
    let refused = world.sim.stats().by_status.get(&405).copied();
    assert_eq!(refused, Some(2), "asked once per stream");
    world.sim.clear_log();
    world.sync(&cx).await.unwrap();
    let stats = world.sim.stats();
    assert_eq!(
        (stats.requests, stats.not_modified),
        (5, 5),
        "the answer is remembered with the forge"
    );
    world.close(&cx).await;
}

/// A first page with as many rows as were asked for says nothing about what follows, and its
/// validator would stay the same when a second page appears.
async fn a_full_first_page_is_never_taken_for_the_whole(cx: Cx) {
    let policy = Policy {
        keyset: Keyset::Ignored,
        ..Policy::default()
    };
    let mut state = sized(13, 5, 1);
    let keys: Vec<_> = (1..=5).map(Key::issue).collect();
    state.touch_together(&keys);
    let world = World::with(
        &cx,
        state,
        SimOptions {
            policy,
            ..SimOptions::default()
        },
    )
    .await;
    let mut options = world.options.clone();
    options.settings.page_size = 5;
    world.sync_as(&cx, options.clone()).await.unwrap();
    world.sim.with_state(|state| state.add_issue(0, "On page two", ""));
    world.sync_as(&cx, options).await.unwrap();
    world.assert_whole(&cx, "after a second page appeared").await;
    world.close(&cx).await;
}

async fn several_pages_by_every_way_of_paging(cx: Cx) {
    for keyset in [Keyset::Supported, Keyset::Ignored, Keyset::Refused] {
        let policy = Policy {
            keyset,
            ..Policy::default()
        };
        let world = World::with(
            &cx,
            sized(14, 250, 120),
            SimOptions {
                policy,
                ..SimOptions::default()
            },
        )
        .await;
        let mut options = world.options.clone();
        options.settings.page_size = 20;
        let result = world.sync_as(&cx, options).await.unwrap();
        assert!(result.projects[0].streams[0].pages >= 13, "{keyset:?}");
        world.assert_whole(&cx, &format!("{keyset:?}")).await;
        world.close(&cx).await;
    }
}

async fn bulk_update_1000_rows_in_one_second(cx: Cx) {
    for keyset in [Keyset::Supported, Keyset::Ignored] {
        let mut state = sized(15, 1_200, 0);
        let keys: Vec<_> = (101..=1_100).map(Key::issue).collect();
        state.touch_together(&keys);
        let policy = Policy {
            keyset,
            ..Policy::default()
        };
        let world = World::with(
            &cx,
            state,
            SimOptions {
                policy,
                ..SimOptions::default()
            },
        )
        .await;
        let mut options = world.options.clone();
        options.settings.events = false;
        world.sync_as(&cx, options.clone()).await.unwrap();
        assert_eq!(
            world.number(&cx, "SELECT count(*) FROM issues").await,
            1_200,
            "{keyset:?}"
        );
        // The crowded second is at the end: the next run reads it again, and writes nothing.
        let before = world.raw_dump(&cx).await;
        world.sync_as(&cx, options).await.unwrap();
        assert!(world.raw_dump(&cx).await == before, "{keyset:?}");
        world.close(&cx).await;
    }
}

async fn only_get_and_graphql_post_leave_the_process(cx: Cx) {
    let mut world = World::new(&cx, State::generated(GenSpec::new(16))).await;
    let token = annals_core::Secret::new("glpat-anything");
    world
        .options
        .credentials
        .insert(world.sim.url().parse().unwrap(), token);
    world.sync(&cx).await.unwrap();
    world.sim.with_state(|state| state.add_note(Key::issue(1), 0, "more"));
    world.sync(&cx).await.unwrap();
    let stats = world.sim.stats();
    assert_eq!(stats.writes_refused, 0);
    assert_eq!(stats.by_method.keys().collect::<Vec<_>>(), ["GET", "POST"]);
    let posted = world.sim.log().into_iter().filter(|entry| entry.method == "POST");
    assert!(posted.clone().count() > 0 && posted.clone().all(|entry| entry.target == "/api/graphql"));
    assert!(
        stats.peak_in_flight <= 4,
        "more at once than the host allows: {}",
        stats.peak_in_flight
    );
    world.close(&cx).await;
}

async fn token_never_in_log_error_url_or_redirect(cx: Cx) {
    use annals_testkit::forge::{Fault, FaultPlan, Rule};
    const TOKEN: &str = "glpat-a-very-secret-token";
    let policy = Policy {
        access: Access::TokenRequired(TOKEN.to_owned()),
        ..Policy::default()
    };
    let world = World::with(
        &cx,
        small(17),
        SimOptions {
            policy,
            ..SimOptions::default()
        },
    )
    .await;
    // Without the token: refused, with the name of the variable to set.
    let error = world.sync(&cx).await.unwrap_err();
    assert_eq!(error.code().as_str(), "token_missing");
    let report = serde_json::to_string(&error.report().robot_error(None)).unwrap();
    assert!(report.contains("ANNALS_TEST_TOKEN"), "{report}");
    // With it, through a redirect to another origin, in everything that is told, written or thrown.
    let host = annals_sync::forge::host::Host::new("forge", client(&cx), Default::default());
    let options = annals_sync::forge::gitlab::GitLabOptions {
        base_url: world.sim.url(),
        token: Some(annals_core::Secret::new(TOKEN)),
        token_variables: vec!["ANNALS_TEST_TOKEN".to_owned()],
        page_size: 100,
        capabilities: serde_json::json!({}),
    };
    let forge = annals_sync::forge::gitlab::GitLab::new(std::sync::Arc::new(host), options.clone()).unwrap();
    assert!(!format!("{options:?}").contains(TOKEN));
    let (progress, mut events) = annals_sync::Progress::channel(std::num::NonZeroUsize::new(100).unwrap());
    let meter = annals_sync::forge::meter::Meter::new(progress);
    let budget = annals_sync::forge::budget::ByteBudget::new(1 << 20);
    let ask = async || {
        let flight = budget.flight();
        let via = annals_sync::forge::Via {
            flight: &flight,
            meter: &meter,
        };
        let at = annals_sync::forge::ProjectRef::Path("annals-sample/generated".to_owned());
        annals_sync::forge::Forge::project(&forge, &cx, via, &at, None).await
    };
    let answer = ask().await.unwrap();
    assert!(
        matches!(answer, annals_sync::forge::Answer::New(_)),
        "the token opens the door"
    );
    world.sim.clear_log();
    world
        .sim
        .set_faults(FaultPlan::none().with(Rule::once(Fault::RedirectElsewhere, "*")));
    let error = ask().await.unwrap_err();
    assert_eq!(annals_core::Coded::code(&error).as_str(), "network");
    let log = world.sim.log();
    assert!(
        log.iter().skip(1).all(|entry| !entry.token),
        "the token travelled with a redirect: {log:?}"
    );
    let told = format!(
        "{error} {error:?} {:?} {:?}",
        annals_core::Coded::report(&error),
        events.drain()
    );
    assert!(!told.contains(TOKEN), "{told}");
    assert!(log.iter().all(|entry| !entry.target.contains(TOKEN)));
    world.close(&cx).await;
}

fn client(cx: &Cx) -> std::sync::Arc<dyn annals_net_adapter::http::HttpClient> {
    use annals_net_adapter::net::{TlsClient, TlsRoots};
    let tls = TlsClient::new(TlsRoots::Bundled, &[]).unwrap();
    annals_net_adapter::http::http_client(cx, annals_net_adapter::http::HttpConfig::new(tls)).unwrap()
}

#[test]
fn events_serialise_with_a_tag() {
    let event = Event::Warning {
        project: None,
        code: annals_core::Code::Transform,
        message: "x".into(),
    };
    let text = serde_json::to_string(&event).unwrap();
    assert_eq!(
        text,
        r#"{"event":"warning","project":null,"code":"transform","message":"x"}"#
    );
}
