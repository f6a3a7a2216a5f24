//! The configuration: from where, and everything that is wrong with it.

use crate::support::{Desk, Ended};

#[test]
fn config_reports_every_fault_at_once() {
    let desk = Desk::empty();
    std::fs::write(
        desk.path("annals.toml"),
        "[sync]\njob = 4\npage_size = 1000\n[forges.Main]\nkind = \"gitlab\"\n",
    )
    .unwrap();
    let mut command = desk.annals(["issues", "--tz", "Nowhere"]);
    command.env("ANNALS_DB__READERS", "none");
    let ended = Ended::of(command.output().unwrap());
    assert_eq!(ended.code, 3);
    let error = ended.error();
    assert_eq!(error["code"], "config_invalid");
    let faults = error["details"]["errors"].as_array().unwrap();
    let keys: Vec<&str> = faults.iter().map(|fault| fault["key"].as_str().unwrap()).collect();
    assert_eq!(
        keys,
        ["forges.Main", "sync.job", "sync.page_size", "db.readers", "cli.tz"],
        "{error}"
    );
    assert_eq!(
        (&faults[1]["suggestion"], &faults[1]["line"]),
        (&"sync.jobs".into(), &2.into())
    );
}

#[test]
fn a_named_file_must_be_there() {
    let desk = Desk::empty();
    let ended = desk.run("issues --config no.toml");
    assert_eq!((ended.code, ended.code_of_error().as_str()), (20, "config_not_found"));
    std::fs::create_dir(desk.path("folder.toml")).unwrap();
    assert_eq!(desk.run("issues --config folder.toml").code_of_error(), "io");
    std::fs::write(desk.path("bytes.toml"), b"\xff\xfe").unwrap();
    assert_eq!(desk.run("issues --config bytes.toml").code_of_error(), "config_invalid");
}

#[test]
fn each_layer_is_over_the_one_before() {
    let desk = Desk::empty();
    let path_of = |command: &mut std::process::Command| {
        let error = Ended::of(command.output().unwrap()).error();
        error["details"]["path"].as_str().unwrap().to_owned()
    };
    let home = desk.folder.path().to_str().unwrap().to_owned();
    let data = if cfg!(target_os = "macos") {
        "Library/Application Support"
    } else {
        ".local/share"
    };
    assert_eq!(
        path_of(&mut desk.annals(["issues"])),
        format!("{home}/{data}/annals/annals.db")
    );
    let user = desk.path(".user/annals");
    std::fs::create_dir_all(&user).unwrap();
    std::fs::write(user.join("annals.toml"), "[db]\npath = \"user.db\"\n").unwrap();
    let with_user = |args: &[&str]| {
        let mut command = desk.annals(args);
        command.env("XDG_CONFIG_HOME", desk.path(".user"));
        command
    };
    assert_eq!(path_of(&mut with_user(&["issues"])), "user.db");
    std::fs::write(desk.path("annals.toml"), "[db]\npath = \"local.db\"\n").unwrap();
    assert_eq!(path_of(&mut with_user(&["issues"])), "local.db");
    std::fs::write(desk.path("named.toml"), "[db]\npath = \"named.db\"\n").unwrap();
    assert_eq!(
        path_of(&mut with_user(&["issues", "--config", "named.toml"])),
        "named.db"
    );
    let mut command = with_user(&["issues", "--config", "named.toml"]);
    assert_eq!(path_of(command.env("ANNALS_DB__PATH", "variable.db")), "variable.db");
    let mut command = with_user(&["issues", "--config", "named.toml", "--db", "flag.db"]);
    assert_eq!(path_of(command.env("ANNALS_DB__PATH", "variable.db")), "flag.db");
}

#[test]
fn a_runtime_that_is_not_built_in_is_named() {
    let desk = Desk::empty();
    let compiled = desk.run("version").data()["runtimes"].clone();
    for name in ["tokio", "asupersync"] {
        let ended = desk.run(&format!("migrate --runtime {name}"));
        if compiled.as_array().unwrap().contains(&name.into()) {
            assert_eq!(ended.code_of_error(), "not_found", "{name} runs");
            continue;
        }
        assert_eq!(ended.code, 3);
        let error = ended.error();
        assert_eq!(error["code"], "runtime_not_built");
        assert_eq!(
            (&error["details"]["asked"], &error["details"]["compiled"]),
            (&name.into(), &compiled)
        );
    }
}

#[test]
fn the_log_holds_no_secret() {
    let desk = Desk::empty();
    std::fs::write(
        desk.path("annals.toml"),
        "[db]\npath = \"annals.db\"\n[forges.main]\nkind = \"gitlab\"\nbase_url = \"http://127.0.0.1:9\"\nprojects = [\"a/b\"]\n",
    )
    .unwrap();
    for format in ["text", "json"] {
        let mut command = desk.annals(["sync", "-vvv", "--log-format", format]);
        command.env("ANNALS_TOKEN_MAIN", "glpat-Zq3x9PpLw0aB");
        let ended = Ended::of(command.output().unwrap());
        assert_eq!(ended.code, 8, "{ended:?}");
        assert!(!ended.stderr.contains("Zq3x9PpLw0aB"), "{}", ended.stderr);
        assert!(
            ended.stderr.lines().count() > 1,
            "something is logged: {}",
            ended.stderr
        );
    }
}
