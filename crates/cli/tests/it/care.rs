//! `annals backup`, `health` and `stats`: what operators run.

use std::io::ErrorKind;
use std::net::TcpListener;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::support::{Desk, Ended};

#[test]
fn health_without_network() {
    let desk = Desk::with_mirror();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    desk.sql(&format!(
        "UPDATE forges SET base_url = '{address}', api_url = '{address}/api/v4'"
    ));
    let config = format!("[db]\npath = \"annals.db\"\n[forges.far]\nkind = \"gitlab\"\nbase_url = \"{address}\"\n");
    std::fs::write(desk.path("annals.toml"), config).unwrap();
    let before = std::fs::read(desk.path("annals.db")).unwrap();
    let run = |words: &[&str]| {
        let mut command = desk.annals(words);
        for proxy in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"] {
            command.env(proxy, &address);
        }
        Ended::of(command.output().unwrap())
    };
    let data = run(&["health"]).data();
    assert_eq!(std::fs::read(desk.path("annals.db")).unwrap(), before, "it wrote");
    assert_eq!((&data["status"], &data["findings"]), (&json!("healthy"), &json!([])));
    assert_eq!(
        (&data["last_run"]["status"], &data["lock"]),
        (&json!("done"), &json!([]))
    );

    desk.sql("UPDATE sync_runs SET finished_at = finished_at - 2 * 86400000");
    let stale = run(&["health"]);
    let error = stale.error();
    assert_eq!((stale.code, &error["code"]), (19, &json!("check_failed")));
    assert_eq!(error["details"]["health"]["status"], "unhealthy");
    assert_eq!(error["details"]["health"]["findings"][0]["finding"], "stale");
    assert_eq!(error["actions"], json!(["annals sync annals-sample/tidewater"]));
    assert_eq!(run(&["health", "--max-age", "3d"]).code, 0);
    assert_eq!(
        listener.accept().err().map(|error| error.kind()),
        Some(ErrorKind::WouldBlock),
        "it asked the network"
    );
}

#[test]
fn a_mirror_without_a_finished_run_is_not_healthy() {
    let desk = Desk::with_mirror();
    desk.sql("UPDATE sync_runs SET status = 'partial'");
    let error = desk.run("health --max-age 7d").error();
    assert_eq!(error["details"]["health"]["findings"][0]["finding"], "never_synced");
    assert_eq!(desk.run("health --max-age soon").code, 2);
    assert_eq!(desk.run("health --db no.db").code, 17);
}

#[test]
fn a_backup_can_be_read_and_its_sum_is_right() {
    let desk = Desk::with_mirror();
    let data = desk.run("backup copy.db").data();
    assert_eq!((&data["path"], &data["quick_check"]), (&json!("copy.db"), &json!("ok")));
    let bytes = std::fs::read(desk.path("copy.db")).unwrap();
    assert_eq!(data["bytes"], bytes.len());
    let sum = annals_db::content::blob::hex(&annals_db::content::blob::hash(&bytes));
    assert_eq!(data["sha256"], sum);
    let of = |db: &str| desk.run(&format!("issues -n 500 --db {db}")).data();
    assert_eq!(of("copy.db"), of("annals.db"));
    // What is there is not replaced.
    let again = desk.run("backup copy.db");
    assert_eq!((again.code, again.code_of_error().as_str()), (21, "conflict"));
    assert_eq!(std::fs::read(desk.path("copy.db")).unwrap(), bytes);
}

#[test]
fn kept_backups_are_the_newest() {
    let desk = Desk::with_mirror();
    let made: Vec<String> = (0..3)
        .map(|_| desk.run("backup --keep 2").data()["path"].as_str().unwrap().to_owned())
        .collect();
    let there = |path: &String| desk.path(path).exists();
    assert_eq!(
        made.iter().map(there).collect::<Vec<_>>(),
        [false, true, true],
        "{made:?}"
    );
    std::fs::create_dir(desk.path("copies")).unwrap();
    let inside = desk.run("backup copies").data();
    assert!(
        inside["path"].as_str().unwrap().starts_with("copies/annals.db.backup-"),
        "{inside}"
    );
    assert!(there(&made[2]), "other folders are left alone");
}

/// A limit on the size of files stands for a full disk: the copy cannot be written to its end.
#[cfg(unix)]
#[test]
fn a_backup_that_does_not_fit_leaves_nothing_behind() {
    let desk = Desk::with_mirror();
    std::fs::create_dir(desk.path("copies")).unwrap();
    let limited = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 64; exec \"$0\" \"$@\""])
        .arg(env!("CARGO_BIN_EXE_annals"))
        .args(["backup", "copies/copy.db", "--robot"])
        .env("HOME", desk.folder.path())
        .current_dir(desk.folder.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let ended = Ended::of(limited);
    assert_eq!(ended.code, 12, "{ended:?}");
    assert_eq!(std::fs::read_dir(desk.path("copies")).unwrap().count(), 0);
    assert_eq!(desk.run("backup copies/copy.db").code, 0);
}

#[test]
fn stats_counts_what_is_there_and_check_finds_damage() {
    let desk = Desk::with_mirror();
    let data = desk.run("stats --check").data();
    let conn = rusqlite::Connection::open(desk.path("annals.db")).unwrap();
    for table in ["issues", "notes", "mr_file_changes", "documents"] {
        let rows: i64 = conn
            .query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))
            .unwrap();
        assert_eq!(data["tables"][table], rows, "{table}");
    }
    assert_eq!(
        (&data["sound"], &data["dirty"], &data["jobs"]["pending"]),
        (&json!(true), &json!(0), &json!(0))
    );
    assert_eq!(desk.run("stats").data()["sound"], json!(null), "not looked at");
    drop(conn);
    desk.sql("PRAGMA foreign_keys = OFF; INSERT INTO mr_labels (mr_id, label_id) VALUES (99999, 99998)");
    let damaged = desk.run("stats --check");
    assert_eq!(
        (damaged.code, damaged.code_of_error().as_str()),
        (10, "database_corrupt")
    );
    assert_eq!(damaged.error()["details"]["findings"].as_array().unwrap().len(), 2);
    assert_eq!(desk.run("stats").code, 0);
}
