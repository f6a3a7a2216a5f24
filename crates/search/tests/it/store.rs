//! Through the store and a runtime, as the rest of Annals searches.

use std::path::PathBuf;

use crate::support::{self, NOW, issue};
use annals_core::{CancelKind, Code, Coded, Outcome, TaskError};
use annals_db::content::{upsert_issue, upsert_project};
use annals_db::control::{Alive, ProcessId};
use annals_db::{Db, OpenOptions};
use annals_net_adapter::{BackendKind, Cx, Runtime, RuntimeConfig};
use annals_search::documents::{drain, rebuild};
use annals_search::{Error, SearchRequest, run};

/// Runs `body` on every runtime that is compiled in, each with a file of its own.
fn on_every_runtime<Fut: Future<Output = Result<(), Error>>>(name: &str, body: impl Fn(Cx, PathBuf) -> Fut) {
    for kind in BackendKind::compiled() {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("search-{name}-{}", kind.as_str()));
        drop(std::fs::remove_dir_all(&folder));
        std::fs::create_dir_all(&folder).unwrap();
        let runtime = Runtime::build(
            *kind,
            &RuntimeConfig {
                workers: 1,
                ..RuntimeConfig::default()
            },
        )
        .unwrap();
        let main = runtime.run_main(|cx| body(cx, folder.join("annals.db")));
        assert!(matches!(main.outcome, Outcome::Ok(())), "{kind:?}: {:?}", main.outcome);
    }
}

async fn store(cx: &Cx, path: PathBuf) -> Result<Db, Error> {
    let me = ProcessId {
        host: "here".to_owned(),
        pid: 1,
        process_start: 1,
    };
    let db = Db::open(cx, &path, OpenOptions::write(Alive::new(me, |_, _| true))).await?;
    db.write(cx, |tx| {
        let (forge, _) = annals_db::content::upsert_forge(tx, &support::forge())?;
        let (project, _) = upsert_project(tx, forge, &support::project("group/app", "100"))?;
        for iid in 1..=250 {
            upsert_issue(tx, project, &issue(iid, &format!("Word{iid} common"), "body"))?;
        }
        Ok(())
    })
    .await?;
    Ok(db)
}

#[test]
fn what_was_stored_is_found_once_it_was_drained() {
    on_every_runtime("found", |cx, path| async move {
        let db = store(&cx, path).await?;
        let request = SearchRequest::new("common", NOW);
        let before = run(&cx, &db, &request).await?;
        assert_eq!((before.total, before.stale.dirty), (0, 250));
        let drained = drain(&cx, &db).await?;
        assert_eq!((drained.sources, drained.changed), (250, 250));
        let after = run(&cx, &db, &request).await?;
        assert_eq!(
            (after.total, after.stale.dirty, after.hits.len(), after.next_offset),
            (250, 0, 20, Some(20))
        );
        assert_eq!(
            run(&cx, &db, &SearchRequest::new("word7", NOW)).await?.hits[0].reference,
            "group/app#7"
        );
        let rebuilt = rebuild(&cx, &db).await?;
        assert_eq!(
            (rebuilt.rendered, rebuilt.changed, rebuilt.unchanged, rebuilt.removed),
            (250, 0, 250, 0)
        );
        assert_eq!(run(&cx, &db, &request).await?, after);
        db.close(&cx).await?;
        Ok(())
    });
}

#[test]
fn a_bad_value_is_told_with_its_place_and_a_command_that_works() {
    on_every_runtime("bad", |cx, path| async move {
        let db = store(&cx, path).await?;
        let refused = run(&cx, &db, &SearchRequest::new("x state:nope", NOW))
            .await
            .unwrap_err();
        let report = refused.report();
        assert_eq!(report.code, Code::QueryInvalid);
        assert_eq!(report.code.exit_code(), Some(2));
        assert_eq!(report.details["position"], 9);
        assert_eq!(report.details["key"], "state");
        assert_eq!(report.actions, ["annals search 'state:open,merged'"]);
        assert_eq!(
            report.message,
            "`nope` at character 9: states are open, closed and merged; for example `state:open,merged`"
        );
        db.close(&cx).await?;
        Ok(())
    });
}

#[test]
fn a_cancelled_search_or_drain_says_so_and_owes_what_it_did_not_do() {
    on_every_runtime("cancelled", |cx, path| async move {
        let db = store(&cx, path).await?;
        let region = cx
            .open_region(annals_net_adapter::RegionSpec::new("asked to stop"))
            .map_err(stopped)?;
        let inner = region.cx().clone();
        region.cancel(annals_core::CancelReason::new(CancelKind::User, "a test", cx.now()));
        for stopped in [
            run(&inner, &db, &SearchRequest::new("common", NOW)).await.unwrap_err(),
            drain(&inner, &db).await.unwrap_err(),
        ] {
            assert!(stopped.cancel_reason().is_some(), "{stopped}");
            assert_eq!(stopped.code(), Code::Cancelled);
        }
        region.close(&cx).await;
        assert_eq!(drain(&cx, &db).await?.sources, 250);
        db.close(&cx).await?;
        Ok(())
    });
}

fn stopped(_: annals_net_adapter::SpawnError) -> Error {
    Error::Db(annals_db::Error::Closed)
}
