//! Promises of the store as the rest of Annals holds it, on real runtimes and in the lab.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use annals_core::{Code, EntityKind, Iid, NativeId, Outcome, ProjectId, RunId, UnixMs};
use annals_db::backup::Target;
use annals_db::content::{self, EntityIn, ForgeIn, IssueIn, Payload, ProjectIn};
use annals_db::control::{self, Alive, NewRun, ProcessId};
use annals_db::ids::{ForgeKind, Pass, RunMode, RunOrigin, SourceKind, State};
use annals_db::read::{self, Depth, ListQuery, NotePage, Visibility};
use annals_db::work::{CursorPoint, cursor, dirty};
use annals_db::{Access, AutoMigrate, Db, Error, OpenOptions, ReadConn, WriteTx, dump, migrate};
use annals_net_adapter::{CancelKind, CancelReason, Cx, RegionSpec};
use annals_net_adapter::{on_every_host, on_every_runtime};

/// A folder that lives as long as the test, and the path of a database in it.
struct Place {
    _dir: tempfile::TempDir,
    path: PathBuf,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("annals.db");
        Self { _dir: dir, path }
    }

    fn bytes(&self) -> Vec<u8> {
        std::fs::read(&self.path).unwrap()
    }
}

/// Process `pid` of this machine; no other one runs.
fn alone(pid: i64) -> Alive {
    let me = ProcessId {
        host: "here".to_owned(),
        pid,
        process_start: 1,
    };
    Alive::new(me, |_, _| false)
}

async fn open(cx: &Cx, path: &Path) -> Db {
    Db::open(cx, path, OpenOptions::write(alone(1))).await.unwrap()
}

async fn mark(cx: &Cx, db: &Db, id: i64) -> Result<(), Error> {
    db.write(cx, move |tx| dirty::mark(tx, SourceKind::Issue, id, "test"))
        .await
}

async fn marks(cx: &Cx, db: &Db) -> u64 {
    db.read(cx, |conn| dirty::count(conn)).await.unwrap()
}

fn forge() -> ForgeIn {
    ForgeIn {
        name: "forge".to_owned(),
        kind: ForgeKind::Gitlab,
        base_url: "https://forge.example".to_owned(),
        api_url: "https://forge.example/api/v4".to_owned(),
    }
}

fn project() -> ProjectIn {
    ProjectIn {
        native_id: NativeId("1".to_owned()),
        path: "group/one".to_owned(),
        title: "One".to_owned(),
        description: None,
        default_branch: None,
        visibility: None,
        archived: false,
        web_url: None,
        created_at: None,
        updated_at: None,
        payload: None,
    }
}

fn issue(n: i64) -> IssueIn {
    EntityIn {
        native_id: NativeId(n.to_string()),
        iid: Iid(n),
        title: format!("issue {n}"),
        // Text that does not compress away.
        body: (0..40)
            .map(|k| format!("{:x} ", (n * 1_000_003 + k).wrapping_mul(0x9E37_79B9_7F4A)))
            .collect(),
        state: State::Open,
        state_reason: None,
        issue_type: None,
        confidential: false,
        locked: false,
        author: None,
        milestone: None,
        closed_by: None,
        labels: Vec::new(),
        assignees: Vec::new(),
        created_at: Some(UnixMs(n)),
        updated_at: Some(UnixMs(n)),
        closed_at: None,
        due_at: None,
        web_url: None,
        moved_to: None,
        flags: 0,
        payload: Some(Payload::raw(format!("{{\"id\":{n}}}"))),
    }
}

fn add_project(tx: &WriteTx<'_>) -> Result<ProjectId, Error> {
    let (id, _) = content::upsert_forge(tx, &forge())?;
    Ok(content::upsert_project(tx, id, &project())?.0)
}

/// A page as the engine stores one: rows, then the cursor at the last of them.
fn store_page(tx: &WriteTx<'_>, project: ProjectId, page: std::ops::Range<i64>) -> Result<(), Error> {
    for n in page.clone() {
        content::upsert_issue(tx, project, &issue(n))?;
    }
    let last = page.end - 1;
    let to = CursorPoint {
        at: UnixMs(last),
        tie_id: NativeId(last.to_string()),
    };
    cursor::advance(tx, project, "issues", Pass::Incremental, Some(&to), page.count() as u64)?;
    Ok(())
}

async fn a_transaction_is_whole_or_absent(cx: Cx) {
    let place = Place::new();
    let db = open(&cx, &place.path).await;
    mark(&cx, &db, 1).await.unwrap();
    let failed: Result<(), _> = db
        .write(&cx, |tx| {
            dirty::mark(tx, SourceKind::Issue, 2, "test")?;
            Err(Error::Closed)
        })
        .await;
    assert!(matches!(failed, Err(Error::Closed)));
    assert_eq!(marks(&cx, &db).await, 1);
    mark(&cx, &db, 3).await.unwrap();
    assert_eq!(marks(&cx, &db).await, 2);
    db.close(&cx).await.unwrap();
    assert!(matches!(mark(&cx, &db, 4).await, Err(Error::Closed)));
}

async fn a_panic_undoes_its_transaction(cx: Cx) {
    let place = Place::new();
    let db = open(&cx, &place.path).await;
    // In a region of its own, so that the panic is reported there.
    let region = cx.open_region(RegionSpec::collect_all("panicking")).unwrap();
    let panicked = db
        .write(region.cx(), |tx| -> Result<(), Error> {
            dirty::mark(tx, SourceKind::Issue, 1, "test")?;
            panic!("in the middle");
        })
        .await;
    let Err(Error::Panicked(message)) = panicked else {
        panic!("{panicked:?}");
    };
    assert_eq!(message.message, "in the middle");
    let _report = region.close(&cx).await;
    assert_eq!(marks(&cx, &db).await, 0);
    mark(&cx, &db, 2).await.unwrap();
    assert_eq!(marks(&cx, &db).await, 1);
    db.close(&cx).await.unwrap();
}

async fn writes_are_queued_in_order(cx: Cx) {
    let place = Place::new();
    let db = open(&cx, &place.path).await;
    let outcome = cx
        .region(RegionSpec::new("writers"), |cx| async move {
            for id in 0..100 {
                let (db, _) = (db.clone(), id);
                cx.spawn("writer", move |cx| async move { mark(&cx, &db, id).await })
                    .unwrap();
            }
            Ok::<_, Error>(db)
        })
        .await;
    let db = outcome.body.ok().unwrap();
    assert_eq!(marks(&cx, &db).await, 100);
    db.close(&cx).await.unwrap();
}

/// Writers go on while copies are made; each copy is one whole commit, and readable by its owner alone.
async fn backup_of_live_file_is_consistent(cx: Cx) {
    const PAGE: i64 = 20;
    let place = Place::new();
    let folder = place.path.parent().unwrap().to_owned();
    let db = open(&cx, &place.path).await;
    let project = db.write(&cx, add_project).await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let (stopped, writes, file) = (stop.clone(), db.clone(), place.path.clone());
    let outcome = cx
        .region(RegionSpec::new("live"), |cx| async move {
            let mut writer = cx
                .spawn("writer", move |cx| async move {
                    let mut pages = 0;
                    while pages < 3 || !stopped.load(Ordering::SeqCst) {
                        let page = pages * PAGE + 1..(pages + 1) * PAGE + 1;
                        writes.write(&cx, move |tx| store_page(tx, project, page)).await?;
                        pages += 1;
                        cx.yield_now().await;
                    }
                    Ok::<_, Error>(pages)
                })
                .unwrap();
            let mut copies = Vec::new();
            for n in 0..4 {
                let target = Target::File(folder.join(format!("copy-{n}")));
                copies.push(annals_db::backup(&cx, &file, target).await?);
            }
            stop.store(true, Ordering::SeqCst);
            let pages = writer.join(&cx).await?;
            Ok::<_, Error>((copies, pages))
        })
        .await;
    let (copies, pages) = outcome.body.ok().unwrap();
    assert!(matches!(pages, Outcome::Ok(3..)), "{pages:?}");
    for copy in copies {
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(
                std::fs::metadata(&copy.path).unwrap().permissions().mode() & 0o777,
                0o600
            );
        }
        let bytes = std::fs::read(&copy.path).unwrap();
        assert_eq!(
            (copy.bytes, &copy.sha256),
            (bytes.len() as u64, &content::blob::hex(&content::blob::hash(&bytes)))
        );
        let read = Db::open(&cx, &copy.path, OpenOptions::read()).await.unwrap();
        let (issues, at, wrong) = read
            .read(&cx, |conn| {
                let count = |sql| conn.query_row(sql, [], |row| row.get::<_, i64>(0));
                let at = count("SELECT coalesce(max(at), 0) FROM cursors")?;
                Ok((
                    count("SELECT count(*) FROM issues")?,
                    at,
                    read::check(conn, Depth::Full)?,
                ))
            })
            .await
            .unwrap();
        assert_eq!(
            (issues, issues % PAGE, wrong),
            (at, 0, Vec::new()),
            "a page is whole, with its cursor"
        );
        // What the file has issued since must not be issued again by the copy.
        let seq = |db: Db, cx: Cx| async move { db.read(&cx, |conn| read::content_seq(conn)).await.unwrap() };
        let before = seq(read, cx.clone()).await;
        let restored = open(&cx, &copy.path).await;
        assert_eq!(seq(restored.clone(), cx.clone()).await, before + 1_000_000);
        restored.close(&cx).await.unwrap();
    }
    db.close(&cx).await.unwrap();
}

async fn a_backup_replaces_nothing_and_keeps_the_newest_of_its_own(cx: Cx) {
    let place = Place::new();
    let folder = place.path.parent().unwrap().to_owned();
    let target = |keep| Target::Folder {
        folder: folder.clone(),
        keep: NonZeroUsize::new(keep),
    };
    let missing = annals_db::backup(&cx, &place.path, target(1)).await;
    assert!(matches!(missing, Err(Error::NoFile { .. })), "{missing:?}");
    let db = open(&cx, &place.path).await;
    let to = Target::File(folder.join("mine"));
    std::fs::write(folder.join("mine"), "precious").unwrap();
    let refused = annals_db::backup(&cx, &place.path, to).await;
    assert_eq!(refused.map_err(|error| error.code()), Err(Code::Conflict));
    assert_eq!(std::fs::read(folder.join("mine")).unwrap(), b"precious");

    // Three of ours, and what only looks so.
    let stamps = ["20200101T000000.000Z", "20210101T000000.000Z", "20220101T000000.000Z"];
    for stamp in stamps {
        std::fs::write(folder.join(format!("annals.db.backup-{stamp}")), "").unwrap();
    }
    let others = [
        "annals.db.backup-20200101T000000.000Z.part",
        "annals.db.backup-old",
        "other.db.backup-20200101T000000.000Z",
    ];
    for other in others {
        std::fs::write(folder.join(other), "").unwrap();
    }
    let made = annals_db::backup(&cx, &place.path, target(2)).await.unwrap();
    let removed: Vec<_> = stamps[..2]
        .iter()
        .map(|stamp| folder.join(format!("annals.db.backup-{stamp}")))
        .collect();
    assert_eq!(made.removed, removed);
    assert!(made.path.exists());
    for other in others {
        assert!(folder.join(other).exists(), "{other}");
    }
    db.close(&cx).await.unwrap();
}

on_every_host!(a_transaction_is_whole_or_absent, writes_are_queued_in_order);
on_every_runtime!(
    backup_of_live_file_is_consistent,
    a_backup_replaces_nothing_and_keeps_the_newest_of_its_own,
    a_panic_undoes_its_transaction,
    cancelled_read_is_interrupted,
    cancelled_between_statements_is_interrupted,
    cancelled_write_waiting_for_the_file_never_begins,
    disk_full_rolls_back_page_and_cursor,
    read_commands_never_write,
    content_seq_skips_after_an_unclean_end,
    opening_what_cannot_be_read_says_why,
    an_older_file_is_migrated_only_where_allowed,
    closing_moves_the_log_into_the_file,
);

/// Runs `work` in a region that is cancelled once `begun` is set; returns what it ended with.
async fn cancel_once_begun<T: Send + 'static>(
    cx: &Cx,
    db: &Db,
    begun: Arc<AtomicBool>,
    work: impl FnOnce(&ReadConn<'_>) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let region = cx.open_region(RegionSpec::collect_all("cancelled")).unwrap();
    let (inside, db) = (region.cx().clone(), db.clone());
    let ended = {
        let mut reader = std::pin::pin!(async { db.read(&inside, work).await });
        let mut watcher = std::pin::pin!(async {
            while !begun.load(Ordering::SeqCst) {
                cx.yield_now().await;
            }
            region.cancel(CancelReason::new(CancelKind::User, "test", cx.now()));
        });
        let mut watched = false;
        std::future::poll_fn(|context| {
            if !watched {
                watched = watcher.as_mut().poll(context).is_ready();
            }
            reader.as_mut().poll(context)
        })
        .await
    };
    let _report = region.close(cx).await;
    ended
}

/// Never ends by itself.
const FOREVER: &str = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT count(*) FROM c";

async fn one_reader(cx: &Cx, place: &Place) -> Db {
    let options = OpenOptions {
        readers: std::num::NonZeroUsize::MIN,
        ..OpenOptions::write(alone(1))
    };
    Db::open(cx, &place.path, options).await.unwrap()
}

async fn cancelled_read_is_interrupted(cx: Cx) {
    let place = Place::new();
    let db = one_reader(&cx, &place).await;
    for _ in 0..20 {
        let begun = Arc::new(AtomicBool::new(false));
        let flag = begun.clone();
        let ended = cancel_once_begun(&cx, &db, begun, move |conn| {
            flag.store(true, Ordering::SeqCst);
            Ok(conn.query_row(FOREVER, [], |row| row.get::<_, i64>(0))?)
        })
        .await;
        let Err(Error::Cancelled(reason)) = ended else {
            panic!("{ended:?}");
        };
        assert_eq!(reason.kind, CancelKind::User);
        // The only connection came back clean: no transaction is open on it, so it sees new commits.
        let before = marks(&cx, &db).await;
        mark(&cx, &db, 1).await.unwrap();
        assert_eq!(marks(&cx, &db).await, before + 1);
    }
    db.close(&cx).await.unwrap();
}

async fn cancelled_between_statements_is_interrupted(cx: Cx) {
    let place = Place::new();
    let db = one_reader(&cx, &place).await;
    let begun = Arc::new(AtomicBool::new(false));
    let flag = begun.clone();
    // Each statement is over at once; the cancellation falls between two of them.
    let ended = cancel_once_begun(&cx, &db, begun, move |conn| -> Result<(), Error> {
        loop {
            conn.query_row("SELECT 1", [], |row| row.get::<_, i64>(0))?;
            flag.store(true, Ordering::SeqCst);
            std::thread::yield_now();
        }
    })
    .await;
    assert!(matches!(ended, Err(Error::Cancelled(_))), "{ended:?}");
    assert_eq!(marks(&cx, &db).await, 0);
    db.close(&cx).await.unwrap();
}

async fn cancelled_write_waiting_for_the_file_never_begins(cx: Cx) {
    let place = Place::new();
    let db = open(&cx, &place.path).await;
    let other = rusqlite::Connection::open(&place.path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let region = cx.open_region(RegionSpec::collect_all("cancelled")).unwrap();
    let (inside, waiting) = (region.cx().clone(), db.clone());
    let mut writer = std::pin::pin!(async move { mark(&inside, &waiting, 1).await });
    let mut rounds = 0;
    let ended = std::future::poll_fn(|context| {
        rounds += 1;
        if rounds == 3 {
            region.cancel(CancelReason::new(CancelKind::User, "test", cx.now()));
        }
        context.waker().wake_by_ref();
        writer.as_mut().poll(context)
    })
    .await;
    assert!(matches!(ended, Err(Error::Cancelled(_))), "{ended:?}");
    let _report = region.close(&cx).await;
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(marks(&cx, &db).await, 0);
    mark(&cx, &db, 2).await.unwrap();
    db.close(&cx).await.unwrap();
}

async fn disk_full_rolls_back_page_and_cursor(cx: Cx) {
    let place = Place::new();
    let db = open(&cx, &place.path).await;
    let project = db.write(&cx, add_project).await.unwrap();
    let limit = |pages: &'static str| {
        let db = db.clone();
        let cx = cx.clone();
        async move {
            let sql = format!("PRAGMA max_page_count = {pages}");
            db.write(&cx, move |tx| Ok(tx.query_row(&sql, [], |row| row.get::<_, i64>(0))?))
                .await
                .unwrap()
        }
    };
    limit("400").await;
    let mut stored = 0;
    let error = loop {
        let page = stored * 50 + 1..stored * 50 + 51;
        match db.write(&cx, move |tx| store_page(tx, project, page)).await {
            Ok(()) => stored += 1,
            Err(error) => break error,
        }
        assert!(stored < 100, "the limit did not hold");
    };
    assert_eq!(error.code(), Code::DiskFull);
    assert!(stored > 0, "nothing was stored before the disk was full");
    let check = |stored: i64| {
        let (db, cx) = (db.clone(), cx.clone());
        async move {
            db.read(&cx, move |conn| {
                let cursor = cursor::get(conn, project, "issues", Pass::Incremental)?.unwrap();
                let issues: i64 = conn.query_row("SELECT count(*) FROM issues", [], |row| row.get(0))?;
                let newest: i64 = conn.query_row("SELECT max(updated_at) FROM issues", [], |row| row.get(0))?;
                assert_eq!(cursor.point.unwrap().at, UnixMs(newest));
                assert_eq!((issues, newest), (stored * 50, stored * 50));
                assert_eq!(read::check(conn, Depth::Full)?, [""; 0]);
                Ok(())
            })
            .await
            .unwrap();
        }
    };
    check(stored).await;
    limit("1000000").await;
    let page = stored * 50 + 1..stored * 50 + 51;
    db.write(&cx, move |tx| store_page(tx, project, page)).await.unwrap();
    check(stored + 1).await;
    db.close(&cx).await.unwrap();
}

/// Everything a reading command may ask.
fn read_everything(conn: &ReadConn<'_>, project: ProjectId) -> Result<String, Error> {
    let all = Visibility::all();
    read::projects(conn, &all)?;
    read::find_projects(conn, &all, "forge.example/group/one")?;
    for kind in EntityKind::ALL {
        let list = read::list(conn, &all, &ListQuery::of(kind))?;
        for item in list.items {
            let entity = read::entity(conn, &all, kind, project, item.iid)?.unwrap();
            read::threads(conn, &all, entity.id(), NotePage::ALL)?;
            read::events(conn, entity.id())?;
            read::files(conn, entity.id())?;
            read::revisions(conn, entity.id())?;
            read::raw(conn, entity.id())?;
        }
    }
    read::runs(conn, &all, None, 20)?;
    read::stats(conn)?;
    read::check(conn, Depth::Full)?;
    dump::canonical(conn)?;
    dump::raw(conn)
}

async fn read_commands_never_write(cx: Cx) {
    let place = Place::new();
    let db = open(&cx, &place.path).await;
    let project = db.write(&cx, add_project).await.unwrap();
    db.write(&cx, move |tx| store_page(tx, project, 1..51)).await.unwrap();
    db.close(&cx).await.unwrap();

    let before = place.bytes();
    let reader = Db::open(&cx, &place.path, OpenOptions::read()).await.unwrap();
    let first = reader
        .read(&cx, move |conn| read_everything(conn, project))
        .await
        .unwrap();
    let refused = reader
        .write(&cx, |tx| dirty::mark(tx, SourceKind::Issue, 1, "test"))
        .await;
    assert!(matches!(refused, Err(Error::Closed)));
    let refused = reader
        .read(&cx, |conn| Ok(conn.execute("DELETE FROM issues", [])?))
        .await;
    assert!(refused.is_err());
    reader.close(&cx).await.unwrap();
    assert_eq!(place.bytes(), before);

    // The same beside a writer that has not closed: what is in its log is seen, and stays there.
    let db = open(&cx, &place.path).await;
    db.write(&cx, move |tx| store_page(tx, project, 51..61)).await.unwrap();
    let before = place.bytes();
    let reader = Db::open(&cx, &place.path, OpenOptions::read()).await.unwrap();
    let second = reader
        .read(&cx, move |conn| read_everything(conn, project))
        .await
        .unwrap();
    assert_ne!(first, second);
    reader.close(&cx).await.unwrap();
    drop(reader);
    assert_eq!(place.bytes(), before);
    db.close(&cx).await.unwrap();
}

async fn content_seq_skips_after_an_unclean_end(cx: Cx) {
    let place = Place::new();
    let seq = |db: &Db| {
        let (db, cx) = (db.clone(), cx.clone());
        async move { db.read(&cx, |conn| read::content_seq(conn)).await.unwrap() }
    };
    let db = open(&cx, &place.path).await;
    db.write(&cx, add_project).await.unwrap();
    assert_eq!(seq(&db).await, 1);
    db.close(&cx).await.unwrap();
    let db = open(&cx, &place.path).await;
    assert_eq!(seq(&db).await, 1);
    drop(db);
    // The next process finds that the one before went without closing.
    let options = OpenOptions::write(alone(2));
    let db = Db::open(&cx, &place.path, options.clone()).await.unwrap();
    assert_eq!(seq(&db).await, 1_000_001);
    db.close(&cx).await.unwrap();
    let db = Db::open(&cx, &place.path, options).await.unwrap();
    assert_eq!(seq(&db).await, 1_000_001);
    db.close(&cx).await.unwrap();
}

async fn opening_what_cannot_be_read_says_why(cx: Cx) {
    let place = Place::new();
    let error = Db::open(&cx, &place.path, OpenOptions::read()).await.unwrap_err();
    assert_eq!(error.code(), Code::NotFound);
    assert!(!place.path.exists());

    let db = open(&cx, &place.path).await;
    db.close(&cx).await.unwrap();
    rusqlite::Connection::open(&place.path)
        .unwrap()
        .execute_batch("PRAGMA user_version = 99")
        .unwrap();
    let before = place.bytes();
    for options in [OpenOptions::read(), OpenOptions::write(alone(1))] {
        let error = Db::open(&cx, &place.path, options).await.unwrap_err();
        assert_eq!(error.code(), Code::SchemaTooNew);
    }
    assert_eq!(place.bytes(), before);

    std::fs::write(&place.path, vec![b'x'; 10_000]).unwrap();
    for options in [OpenOptions::read(), OpenOptions::write(alone(1))] {
        let error = Db::open(&cx, &place.path, options).await.unwrap_err();
        assert_eq!(error.code(), Code::DatabaseCorrupt);
    }
    assert_eq!(place.bytes(), vec![b'x'; 10_000]);

    let folder = place.path.with_file_name("folder");
    std::fs::create_dir(&folder).unwrap();
    let error = Db::open(&cx, &folder, OpenOptions::write(alone(1))).await.unwrap_err();
    assert_eq!(error.code(), Code::Io);
}

async fn an_older_file_is_migrated_only_where_allowed(cx: Cx) {
    let place = Place::new();
    let options = OpenOptions {
        access: Access::Write {
            alive: alone(1),
            migrate: AutoMigrate::Off,
        },
        ..OpenOptions::read()
    };
    // A new file has no older schema to protect.
    let db = Db::open(&cx, &place.path, options).await.unwrap();
    assert_eq!(db.migrated().unwrap().applied, ["foundation", "absent_twice"]);
    let run = NewRun {
        run_id: RunId::new(UnixMs(1), [1; 10]),
        parent: None,
        mode: RunMode::Normal,
        origin: RunOrigin::Cli,
        project: None,
        requested: serde_json::json!({"projects": []}),
    };
    let alive = db.alive().unwrap().clone();
    db.write(&cx, move |tx| control::begin_run(tx, &run, &alive))
        .await
        .unwrap();
    let runs = db
        .read(&cx, |conn| read::runs(conn, &Visibility::all(), None, 20))
        .await
        .unwrap();
    assert_eq!(
        serde_json::to_value(&runs[0]).unwrap()["requested"],
        serde_json::json!({"projects": []})
    );
    db.close(&cx).await.unwrap();
    let conn = rusqlite::Connection::open(&place.path).unwrap();
    assert_eq!(
        migrate::inspect(&conn, migrate::embedded()).unwrap(),
        migrate::Status { found: 2, known: 2 }
    );
}

async fn closing_moves_the_log_into_the_file(cx: Cx) {
    let place = Place::new();
    let db = open(&cx, &place.path).await;
    let project = db.write(&cx, add_project).await.unwrap();
    db.write(&cx, move |tx| store_page(tx, project, 1..51)).await.unwrap();
    let log = place.path.with_file_name("annals.db-wal");
    assert!(std::fs::metadata(&log).unwrap().len() > 0);
    db.checkpoint(&cx).await.unwrap();
    assert_eq!(std::fs::metadata(&log).unwrap().len(), 0);
    db.write(&cx, move |tx| store_page(tx, project, 51..61)).await.unwrap();
    assert_eq!(db.read(&cx, |conn| read::content_seq(conn)).await.unwrap(), 3);
    db.close(&cx).await.unwrap();
    assert!(!log.exists(), "the last to close takes the log away");
    // A whole file on its own, readable by nobody else.
    let copy = place.path.with_file_name("copy.db");
    std::fs::copy(&place.path, &copy).unwrap();
    let db = Db::open(&cx, &copy, OpenOptions::read()).await.unwrap();
    let issues = db
        .read(&cx, |conn| {
            read::list(conn, &Visibility::all(), &ListQuery::of(EntityKind::Issue))
        })
        .await;
    assert_eq!(issues.unwrap().total, 60);
}
