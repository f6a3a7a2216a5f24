//! A disk that is really full: a file system in memory, as small as the test wants it.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus};

use annals_tests::mirror::assert_same;
use annals_tests::{Desk, Ended, Forge, Mirror, annals_bin, program, skip};

/// Mounts a disk of so many KiB, syncs to it, keeps what was then in the file, makes room, and syncs again.
const SCRIPT: &str = r#"
    set -eu
    annals=$1 url=$2 kib=$3
    mount -t tmpfs -o size=${kib}k tmpfs disk
    for run in full roomy; do
        code=0
        "$annals" --db disk/annals.db sync "$url" >$run.out 2>$run.err || code=$?
        echo $code >$run.code
        mkdir $run
        cp disk/annals.db* $run/ || true
        mount -o remount,size=256m disk
    done
"#;

/// Disks from one that holds nothing to one that holds nearly everything.
const KIB: [u32; 10] = [4, 64, 400, 700, 900, 1100, 1300, 1500, 1700, 1900];

fn ended(desk: &Desk, run: &str) -> Ended {
    let read = |end: &str| std::fs::read_to_string(desk.file(&format!("{run}.{end}"))).unwrap();
    let code: i32 = read("code").trim().parse().unwrap();
    Ended {
        what: format!("annals sync, {run}"),
        status: ExitStatus::from_raw(code << 8),
        stdout: read("out"),
        stderr: read("err"),
    }
}

fn inside(folder: &Path) -> Command {
    // The environment of every other test, around a shell.
    let mut command = Command::new("unshare");
    for (name, value) in program::annals().get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.current_dir(folder).args(["-rm", "sh", "-c"]);
    command
}

#[test]
fn a_sync_to_a_full_disk_loses_nothing() {
    const NAME: &str = "a_sync_to_a_full_disk_loses_nothing";
    let probe = Desk::new();
    std::fs::create_dir(probe.file("disk")).unwrap();
    let mounts = inside(probe.path()).arg("mount -t tmpfs tmpfs disk").output();
    if !mounts.is_ok_and(|output| output.status.success()) {
        return skip(
            NAME,
            "no file system can be mounted here",
            "allow user namespaces; apt-get install util-linux",
        );
    }
    let forge = Forge::generated(40, 20, &[]);
    let expected = {
        let desk = Desk::at(&forge);
        desk.run(&["sync", &forge.project_url()]).data();
        desk.mirror().canonical(forge.url())
    };
    let (mut full, mut stored) = (0, 0);
    for kib in KIB {
        let what = format!("a disk of {kib} KiB");
        let desk = Desk::at(&forge);
        std::fs::create_dir(desk.file("disk")).unwrap();
        let url = forge.project_url();
        let mut command = inside(desk.path());
        command
            .args([SCRIPT, "sh"])
            .arg(annals_bin())
            .args([url.as_str(), &kib.to_string()]);
        let output = command.output().unwrap();
        assert!(
            output.status.success(),
            "{what}: {}",
            String::from_utf8_lossy(&output.stderr)
        );

        let first = ended(&desk, "full");
        if first.code() != 0 {
            full += 1;
            is_told(&what, &first);
        }
        let left = desk.file("full/annals.db");
        if left.exists() {
            // Its log lies beside it, as a process that died would have left it.
            let mirror = Mirror::open(&left);
            mirror.check();
            stored += u32::from(mirror.is_made() && mirror.count("issues", "true") > 0 && first.code() != 0);
        }
        let second = ended(&desk, "roomy");
        assert_eq!(second.data()["status"], "done", "{what}, with room: {second}");
        let mirror = Mirror::open(&desk.file("roomy/annals.db"));
        mirror.check();
        assert_eq!(mirror.locks(), 0, "{what}");
        assert_same(&what, &expected, &mirror.canonical(forge.url()));
    }
    eprintln!(
        "{full} of {} disks were too small; on {stored} of them something was stored",
        KIB.len()
    );
    assert!(
        full >= 4 && stored >= 2,
        "{full} disks were full, {stored} of them in the middle of a sync"
    );
}

/// A full disk is called a full disk: by the run, or by everything in it that failed.
fn is_told(what: &str, ended: &Ended) {
    let error = ended.error();
    let failures = error["details"]["failures"].as_array().cloned().unwrap_or_default();
    let codes: Vec<&str> = match error["code"].as_str().unwrap() {
        "partial" => failures.iter().filter_map(|failure| failure["code"].as_str()).collect(),
        code => vec![code],
    };
    // A file that cannot even be made says that.
    let is_full = |code: &&str| matches!(*code, "disk_full" | "migration_failed");
    assert!(
        !codes.is_empty() && codes.iter().all(is_full),
        "{what}: {codes:?}: {ended}"
    );
}
