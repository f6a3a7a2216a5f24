//! Bad and hostile input through the command line: a typed error, the right exit code, and nothing lost.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use annals_tests::mirror::assert_same;
use annals_tests::{Desk, Ended, Forge, Running, annals_bin, skip};
use rusqlite::Connection;
use serde_json::Value;

/// Nobody answers here; what is refused in time never asks.
const NOWHERE: &str = "http://127.0.0.1:9/group/project";

/// A command that writes the file, and two that read it.
const USERS_OF_THE_FILE: [&[&str]; 4] = [
    &["sync", NOWHERE],
    &["issues"],
    &["search", "x"],
    &["serve", "--bind", "127.0.0.1:0"],
];

/// What is stored, and what a journal would add to it. Looking at a file of SQLite may leave an empty journal beside it.
fn stored(desk: &Desk) -> (Vec<u8>, u64) {
    let journal = std::fs::metadata(desk.file("annals.db-wal")).map_or(0, |file| file.len());
    (std::fs::read(desk.db()).unwrap(), journal)
}

/// Every command ends with this, and no byte of the file changes.
fn refuses(desk: &Desk, exit: i32, code: &str) {
    let before = stored(desk);
    for command in USERS_OF_THE_FILE {
        desk.run(command).failure(exit, code);
        assert!(before == stored(desk), "{command:?} changed something");
    }
}

fn mirrored(issues: u32, mrs: u32) -> (Forge, Desk) {
    let forge = Forge::generated(issues, mrs, &[]);
    let desk = Desk::at(&forge);
    desk.run(&["sync", &forge.project_url()]).data();
    (forge, desk)
}

#[test]
fn bad_input_not_sqlite() {
    let desk = Desk::new();
    std::fs::write(desk.db(), "This was never a database. ".repeat(400)).unwrap();
    refuses(&desk, 10, "database_corrupt");
}

#[test]
fn bad_input_corrupt_page() {
    let (_forge, desk) = mirrored(10, 5);
    let mut bytes = std::fs::read(desk.db()).unwrap();
    // The first page, with the list of tables, stays; everything else becomes noise.
    let page = usize::from(u16::from_be_bytes([bytes[16], bytes[17]]));
    bytes[page..]
        .iter_mut()
        .enumerate()
        .for_each(|(at, byte)| *byte = (at * 31 % 251) as u8);
    std::fs::write(desk.db(), &bytes).unwrap();
    for command in [&["issues"][..], &["search", "x"], &["sync", NOWHERE]] {
        desk.run(command).failure(10, "database_corrupt");
    }
}

#[test]
fn bad_input_foreign_application_id() {
    let desk = Desk::new();
    let foreign = Connection::open(desk.db()).unwrap();
    foreign
        .execute_batch("CREATE TABLE notes (text); PRAGMA application_id = 252006674")
        .unwrap();
    foreign.close().unwrap();
    refuses(&desk, 11, "migration_failed");
}

#[test]
fn bad_input_database_of_another_program_without_application_id() {
    let desk = Desk::new();
    let foreign = Connection::open(desk.db()).unwrap();
    foreign
        .execute_batch("CREATE TABLE notes (text); INSERT INTO notes VALUES ('mine')")
        .unwrap();
    foreign.close().unwrap();
    refuses(&desk, 11, "migration_failed");
}

#[test]
fn bad_input_newer_schema() {
    let (_forge, desk) = mirrored(10, 5);
    let newer = Connection::open(desk.db()).unwrap();
    newer.execute_batch("PRAGMA user_version = 9999").unwrap();
    newer.close().unwrap();
    refuses(&desk, 11, "schema_too_new");
}

#[test]
fn bad_input_path_of_a_folder() {
    let desk = Desk::new();
    std::fs::create_dir(desk.db()).unwrap();
    for command in USERS_OF_THE_FILE {
        desk.run(command).failure(12, "io");
    }
}

#[test]
fn bad_input_unknown_config_key() {
    let desk = Desk::new();
    desk.configure("[sync]\npage_sise = 50\n\n[db]\nreaders = 0\n\n[nonsense]\nx = 1\n");
    let error = desk.run(&["projects"]).failure(3, "config_invalid");
    let told = error.to_string();
    for part in ["sync.page_sise", "page_size", "db.readers", "nonsense"] {
        assert!(told.contains(part), "{part} is not told: {error}");
    }
    Running::start(
        desk.annals(&["projects"])
            .env("ANNALS_SYNC__JOBZ", "4")
            .current_dir("/"),
    )
    .wait()
    .failure(3, "config_invalid");
    desk.run(&["projects", "--config", "nowhere.toml"])
        .failure(20, "config_not_found");
}

#[test]
fn bad_input_query() {
    let (_forge, desk) = mirrored(5, 2);
    let error = desk.run(&["search", "words state:opne"]).failure(2, "query_invalid");
    assert!(error["details"]["position"].is_number(), "{error}");
    assert!(error["details"]["example"].is_string(), "{error}");
    let long = "a".repeat(1025);
    desk.run(&["search", &long]).failure(2, "query_invalid");
    // Nothing else is an error, however it looks.
    for query in [
        "\"",
        "(",
        "AND OR NOT",
        "*",
        "-",
        "a:b:c",
        "\u{202e}x",
        "';DROP TABLE issues;--",
        "NEAR(a b)",
    ] {
        desk.run(&["search", "--", query]).data();
    }
}

#[test]
fn bad_input_ref() {
    let (_forge, desk) = mirrored(5, 2);
    for words in [
        &["show", "x"][..],
        &["show", "0"],
        &["show", "issue", "!2"],
        &["show", "a/b"],
    ] {
        let error = desk.run(words).failure(2, "usage");
        assert!(error["suggestion"].is_string(), "{error}");
    }
    desk.run(&["show", "issue", "99999"]).failure(17, "not_found");
    desk.run(&["show", "nobody/nothing#1"]).failure(17, "not_found");
}

#[test]
fn bad_input_fields() {
    let (_forge, desk) = mirrored(5, 2);
    let error = desk.run(&["issues", "--fields", "titel"]).failure(2, "usage");
    assert!(error.to_string().contains("title"), "it names the valid ones: {error}");
}

#[test]
fn bad_input_token_on_the_command_line() {
    const SECRET: &str = "s3cret-s3cret-s3cret";
    let desk = Desk::new();
    for target in [
        format!("http://oauth2:{SECRET}@127.0.0.1:9/group/project"),
        format!("http://{SECRET}@127.0.0.1:9/group/project"),
        format!("glpat-{SECRET}"),
        format!("--token={SECRET}"),
    ] {
        for mode in ["--robot", "--human"] {
            let ended = desk.run(&["sync", &target, mode]);
            assert_eq!(ended.code(), 2, "{ended}");
            assert!(
                !format!("{}{}", ended.stdout, ended.stderr).contains("s3cret"),
                "{ended}"
            );
            assert!(ended.stderr.to_lowercase().contains("revoke"), "{ended}");
        }
    }
    desk.run(&["sync", &format!("http://u:{SECRET}@127.0.0.1:9/g/p")])
        .failure(2, "usage");
    assert!(!desk.db().exists(), "nothing was begun");
}

#[test]
fn bad_input_address_of_a_project() {
    let desk = Desk::new();
    for target in [
        "http://127.0.0.1:9",
        "ftp://127.0.0.1/g/p",
        "http://127.0.0.1:9/g/p/-/issues/3",
        "http://[/g/p",
    ] {
        desk.run(&["sync", target]).failure(2, "usage");
    }
    desk.run(&["sync", "nobody/nothing"]).failure(17, "not_found");
    let error = desk.run(&["sync", NOWHERE]).failure(8, "network");
    assert!(error["retryable"].is_boolean(), "{error}");
}

/// A place that cannot be written, whoever asks.
#[test]
fn bad_input_read_only() {
    let name = "bad_input_read_only";
    let (forge, desk) = mirrored(10, 5);
    let before = desk.mirror().canonical(forge.url());
    let sync = format!("{} sync {} --db annals.db", annals_bin().display(), forge.project_url());
    let ended = if rustix::process::geteuid().is_root() {
        // Rules of permission do not bind the super-user; a read-only mount does.
        let Some(shell) = Shell::with_mounts() else {
            return skip(name, "no mount namespace", "run as root with CAP_SYS_ADMIN");
        };
        shell.run(
            &desk,
            &format!("mount --bind . . && cd \"$PWD\" && mount -o remount,bind,ro . && exec {sync}"),
        )
    } else {
        let set = |mode| std::fs::set_permissions(desk.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        std::fs::set_permissions(desk.db(), std::fs::Permissions::from_mode(0o400)).unwrap();
        set(0o500);
        let ended = desk.run(&["sync", &forge.project_url()]);
        set(0o700);
        ended
    };
    ended.failure(12, "io");
    assert_same(
        "a file that cannot be written changed",
        &before,
        &desk.mirror().canonical(forge.url()),
    );
}

/// A disk of 2 MB, too small for the project; then it is made larger and the sync goes on.
#[test]
fn disk_full_rolls_back_page_and_cursor() {
    let name = "disk_full_rolls_back_page_and_cursor";
    let Some(shell) = Shell::with_mounts() else {
        return skip(name, "no mount namespace", "run as root, or allow user namespaces");
    };
    let (forge, whole) = mirrored(150, 50);
    let reference = whole.mirror().canonical(forge.url());
    let desk = Desk::at(&forge);
    std::fs::create_dir(desk.file("disk")).unwrap();
    let sync = format!(
        "{} sync {} --db disk/annals.db",
        annals_bin().display(),
        forge.project_url()
    );
    let script = format!(
        "mount -t tmpfs -o size=2m annals disk || exit 99
         {sync} 2> full.err > full.out; echo $? > full.code
         mkdir copy; cp disk/annals.db* copy/
         mount -o remount,size=64m disk || exit 99
         {sync}; code=$?
         cp disk/annals.db* .
         exit $code"
    );
    let ended = shell.run(&desk, &script);
    let told = |file: &str| std::fs::read_to_string(desk.file(file)).unwrap();
    let envelope: Value = serde_json::from_str(told("full.err").lines().last().unwrap()).unwrap();
    let error = &envelope["error"];
    // What was stored makes the run partial; a disk so full that not even that can be written leaves the plain error.
    match told("full.code").trim() {
        "22" => assert_eq!(codes(error), BTreeSet::from(["disk_full".to_owned()]), "{error}"),
        code => assert_eq!((code, &error["code"]), ("12", &"disk_full".into()), "{error}"),
    }
    assert_eq!(error["retryable"], true, "{error}");
    let copy = annals_tests::Mirror::open(&desk.file("copy/annals.db"));
    copy.check();
    assert!(copy.count("issues", "true") > 0, "what was stored before stays");

    assert_eq!(ended.data()["status"], "done");
    let mirror = desk.mirror();
    mirror.check();
    assert_same("after a full disk", &reference, &mirror.canonical(forge.url()));
}

/// The same by the limit of a process, which any user can set.
#[test]
fn file_too_large_for_its_limit_loses_nothing() {
    let (forge, whole) = mirrored(150, 50);
    let reference = whole.mirror().canonical(forge.url());
    let desk = Desk::at(&forge);
    let sync = format!("{} sync {} --db annals.db", annals_bin().display(), forge.project_url());
    // Without the signal, a write beyond the limit fails as on a full disk.
    let ended = Shell::plain().run(&desk, &format!("trap '' XFSZ; ulimit -f 2048; exec {sync}"));
    let error = ended.failure(22, "partial");
    assert_eq!(codes(&error), BTreeSet::from(["io".to_owned()]), "{error}");
    desk.mirror().check();

    assert_eq!(desk.run(&["sync", &forge.project_url()]).data()["status"], "done");
    desk.mirror().check();
    assert_same("after a limit", &reference, &desk.mirror().canonical(forge.url()));
}

/// Why a partial run is partial.
fn codes(error: &Value) -> BTreeSet<String> {
    let failures = error["details"]["failures"].as_array().unwrap();
    failures
        .iter()
        .map(|failure| failure["code"].as_str().unwrap().to_owned())
        .collect()
}

/// Runs a script.
struct Shell(&'static [&'static str]);

impl Shell {
    const fn plain() -> Self {
        Self(&["sh", "-c"])
    }

    /// One that may mount for itself; none where that is not allowed.
    fn with_mounts() -> Option<Self> {
        let ways: [&'static [&'static str]; 2] = [&["unshare", "-m", "sh", "-c"], &["unshare", "-rm", "sh", "-c"]];
        let works = |way: &&&[&str]| {
            let mut probe = Command::new(way[0]);
            probe.args(&way[1..]).arg("mount -t tmpfs annals /mnt");
            probe.output().is_ok_and(|output| output.status.success())
        };
        ways.iter().find(works).map(|way| Self(way))
    }

    /// In the folder of a desk, with the environment of its programs.
    fn run(&self, desk: &Desk, script: &str) -> Ended {
        let mut command = desk.bare(&[]);
        let mut shell = Command::new(self.0[0]);
        shell.args(&self.0[1..]).arg(script).current_dir(desk.path());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        command.stdin(std::process::Stdio::null());
        Running::start(shell.stdin(std::process::Stdio::null())).wait()
    }
}

#[test]
fn a_new_file_is_for_its_owner_alone() {
    let (_forge, desk) = mirrored(3, 1);
    let mode = std::fs::metadata(desk.db()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(
        !Path::new(&format!("{}-wal", desk.db().display())).exists(),
        "a finished run leaves one file"
    );
}
