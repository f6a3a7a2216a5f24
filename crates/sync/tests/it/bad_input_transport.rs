//! Bad answers below the level of payloads, a row of the specification's table each: what misleads on the way is
//! refused by name, costs no row, and what is valid around it is stored.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

use std::collections::BTreeSet;
use std::time::Duration;

use crate::common::{World, sized};
use annals_core::Code;
use annals_net_adapter::lab::LabConfig;
use annals_net_adapter::{BackendKind, Cx};
use annals_sync::Error;
use annals_testkit::forge::faults::Context;
use annals_testkit::forge::{Fault, FaultPlan, Rule, SimOptions, When};

fn in_the_lab<F, Fut>(test: F)
where
    F: Fn(Cx) -> Fut + Copy + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    for backend in BackendKind::compiled() {
        let mut lab = LabConfig::new(6).on(*backend);
        lab.max_steps = 20_000_000;
        lab.run(test).clean().unwrap();
    }
}

/// Every list of issues answers so. The run says `code`, merge requests are stored, no cursor of issues moves, and
/// the next run is whole.
async fn only_issues_fail(cx: &Cx, fault: Fault, code: Code) {
    let why = fault.name();
    let plan = FaultPlan::none().with(Rule::new(fault, "*/issues?*", When::Always));
    let options = SimOptions {
        faults: plan,
        ..SimOptions::default()
    };
    let mut world = World::with(cx, sized(95, 6, 3), options).await;
    world.options.settings.page_size = 100;
    let error = world.sync(cx).await.unwrap_err();
    let Error::Incomplete(incomplete) = &error else {
        panic!("{why}: {error}")
    };
    let codes: BTreeSet<&str> = incomplete.failures.iter().map(|f| f.report.code.as_str()).collect();
    assert_eq!(codes, BTreeSet::from([code.as_str()]), "{why}");
    assert_eq!(
        world.number(cx, "SELECT count(*) FROM merge_requests").await,
        3,
        "{why}"
    );
    let cursor = "SELECT count(*) FROM cursors WHERE stream = 'issues'";
    assert_eq!(world.number(cx, cursor).await, 0, "{why}");
    world.sim.set_faults(FaultPlan::none());
    world.sync(cx).await.unwrap();
    world.assert_whole(cx, why).await;
    world.close(cx).await;
}

#[test]
fn bad_input_html_truncated_or_mislabelled() {
    in_the_lab(|cx| async move {
        for fault in [Fault::HtmlPage, Fault::TruncatedJson, Fault::WrongContentType] {
            only_issues_fail(&cx, fault, Code::Protocol).await;
        }
    });
}

#[test]
fn bad_input_redirects() {
    in_the_lab(|cx| async move {
        for fault in [Fault::RedirectLoop, Fault::RedirectElsewhere] {
            only_issues_fail(&cx, fault, Code::Network).await;
        }
    });
}

#[test]
fn bad_input_bodies_that_lie_or_never_end() {
    in_the_lab(|cx| async move {
        for fault in [Fault::GzipBomb, Fault::LongLength, Fault::Stall] {
            only_issues_fail(&cx, fault, Code::Network).await;
        }
    });
}

#[test]
fn bad_input_paging_that_misleads() {
    in_the_lab(|cx| async move {
        for (fault, code) in [
            (Fault::ForeignNext, Code::PageLinkForeign),
            (Fault::NextIsHere, Code::PageLoop),
        ] {
            let plan = FaultPlan::none().with(Rule::new(fault, "*/issues?*", When::Always));
            let options = SimOptions {
                faults: plan,
                ..SimOptions::default()
            };
            let mut world = World::with(&cx, sized(96, 9, 3), options).await;
            world.options.settings.page_size = 3;
            let error = world.sync(&cx).await.unwrap_err();
            let Error::Incomplete(incomplete) = &error else {
                panic!("{error}")
            };
            assert_eq!(incomplete.failures[0].report.code, code);
            assert_eq!(world.number(&cx, "SELECT count(*) FROM merge_requests").await, 3);
            // Shrinking totals are normal.
            let plan = FaultPlan::none().with(Rule::new(Fault::WrongTotals, "*", When::Always));
            world.sim.set_faults(plan);
            world.sync(&cx).await.unwrap();
            world.assert_whole(&cx, fault.name()).await;
            world.close(&cx).await;
        }
    });
}

#[test]
fn bad_input_retry_after() {
    in_the_lab(|cx| async move {
        for (value, waits) in [
            ("-5", 0),
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
            ("whenever", 60),
            ("2", 2),
        ] {
            let options = SimOptions {
                faults: FaultPlan::none().with(Rule::once(Fault::TooManyRequests, "*/issues?*")),
                context: Context {
                    retry_after: value.to_owned(),
                    ..Context::default()
                },
                ..SimOptions::default()
            };
            let world = World::with(&cx, sized(97, 3, 2), options).await;
            let began = cx.now();
            world.sync(&cx).await.unwrap();
            let took = cx.now().since(began);
            let waits = Duration::from_secs(waits);
            assert!(
                took >= waits && took < waits + Duration::from_secs(1),
                "{value:?}: {took:?}"
            );
            world.assert_whole(&cx, value).await;
            world.close(&cx).await;
        }
        // A huge one is more patience than a run has: it ends, and says until when.
        let options = SimOptions {
            faults: FaultPlan::none().with(Rule::new(Fault::TooManyRequests, "*/issues?*", When::Always)),
            context: Context {
                retry_after: "99999999999999999999".to_owned(),
                ..Context::default()
            },
            ..SimOptions::default()
        };
        let world = World::with(&cx, sized(98, 3, 2), options).await;
        let error = world.sync(&cx).await.unwrap_err();
        assert_eq!(
            error.report().retry_after_ms,
            Some(86_400_000),
            "capped at a day: {error}"
        );
        world.close(&cx).await;
    });
}

#[test]
fn bad_input_an_empty_list_where_rows_were() {
    in_the_lab(|cx| async move {
        let world = World::new(&cx, sized(99, 30, 3)).await;
        world.sync(&cx).await.unwrap();
        // Lists and index are empty: nothing is deleted for that, since each single one is there.
        world
            .sim
            .with_policy(|policy| policy.graphql = annals_testkit::forge::Graphql::Missing);
        let plan = FaultPlan::none().with(Rule::new(Fault::EmptyList, "*/issues?*", When::Always));
        world.sim.set_faults(plan);
        let options = annals_sync::SyncOptions {
            sweep: annals_sync::SweepWhen::Now,
            ..world.options.clone()
        };
        world.sync_as(&cx, options).await.unwrap();
        let gone = "SELECT count(*) FROM issues WHERE gone_at IS NOT NULL";
        assert_eq!(world.number(&cx, gone).await, 0);
        let singles = world.sim.stats().by_path.get("/api/v4/projects/:n/issues/:n").copied();
        assert_eq!(singles, Some(30), "each was asked for");
        world.sim.set_faults(FaultPlan::none());
        world.sync(&cx).await.unwrap();
        world.assert_whole(&cx, "after an empty list").await;
        world.close(&cx).await;
    });
}
