//! `annals doctor` finds what is wrong, says what to do, and shows no secret.

use crate::support::forge::sample_forge;
use crate::support::{Desk, Ended};
use annals_testkit::forge::{Access, Policy, SimOptions};
use serde_json::Value;

fn check<'a>(checks: &'a Value, name: &str) -> &'a Value {
    let found = checks.as_array().unwrap().iter().find(|check| check["name"] == name);
    found.unwrap_or_else(|| panic!("no check {name} in {checks}"))
}

#[test]
fn a_sound_mirror_has_no_finding() {
    let desk = Desk::with_mirror();
    private(&desk);
    let checks = desk.run("doctor").data()["checks"].clone();
    for name in [
        "config",
        "runtimes",
        "mirror",
        "disk",
        "schema",
        "integrity",
        "last run",
    ] {
        assert_eq!(check(&checks, name)["status"], "ok", "{checks}");
    }
    let human = desk.run("doctor --human");
    assert_eq!(human.code, 0);
    assert!(human.stdout.contains("integrity"), "{}", human.stdout);
}

#[cfg(unix)]
fn private(desk: &Desk) {
    mode(desk, 0o600);
}

#[cfg(unix)]
fn mode(desk: &Desk, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(desk.path("annals.db"), std::fs::Permissions::from_mode(mode)).unwrap();
}

#[cfg(unix)]
#[test]
fn a_file_that_others_can_read_is_a_finding() {
    let desk = Desk::with_mirror();
    mode(&desk, 0o644);
    let ended = desk.run("doctor");
    assert_eq!((ended.code, ended.code_of_error().as_str()), (19, "check_failed"));
    let error = ended.error();
    assert_eq!(check(&error["details"]["checks"], "mirror")["status"], "fail");
    assert_eq!(error["actions"], serde_json::json!(["chmod 600 annals.db"]));
    let human = desk.run("doctor --human");
    assert_eq!(human.code, 19);
    assert!(
        human.stdout.contains("wrong") && human.stderr.contains("next: chmod 600 annals.db"),
        "{human:?}"
    );
}

#[test]
fn a_damaged_file_is_a_finding() {
    let desk = Desk::with_mirror();
    private(&desk);
    let file = desk.path("annals.db");
    let mut bytes = std::fs::read(&file).unwrap();
    let (from, to) = (4096 * 20, 4096 * 60);
    bytes[from..to].fill(0x5a);
    std::fs::write(&file, bytes).unwrap();
    let ended = desk.run("doctor");
    assert_eq!(ended.code, 19, "{ended:?}");
    assert_eq!(
        check(&ended.error()["details"]["checks"], "integrity")["status"],
        "fail"
    );
}

#[test]
fn a_broken_configuration_is_a_finding_too() {
    let desk = Desk::empty();
    std::fs::write(desk.path("annals.toml"), "[sync]\njob = 4\n[db]\nreaders = 0\n").unwrap();
    let error = desk.run("doctor --db mine.db").error();
    let checks = &error["details"]["checks"];
    for key in ["sync.job", "db.readers"] {
        let names = |check: &&Value| check["name"] == "config" && check["detail"].as_str().unwrap().contains(key);
        let found: Vec<&Value> = checks.as_array().unwrap().iter().filter(names).collect();
        assert_eq!(found.len(), 1, "{key}: {checks}");
        assert_eq!(found[0]["status"], "fail");
        assert!(found[0]["action"].is_null() && found[0]["hint"].is_string(), "{checks}");
    }
    assert!(error["actions"].is_null(), "only commands: {error}");
    assert_eq!(
        (&error["message"], &error["suggestion"]),
        (&"something is wrong with: config".into(), &"edit the named key".into())
    );
    assert!(
        check(checks, "mirror")["detail"].as_str().unwrap().contains("mine.db"),
        "the flags count all the same: {checks}"
    );
    // And the one command that says what this binary is answers all the same.
    assert_eq!(
        desk.run("version").envelope()["meta"]["warnings"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[test]
fn tokens_are_said_to_be_there_and_never_shown() {
    let desk = Desk::with_mirror();
    private(&desk);
    let config = "[db]\npath = \"annals.db\"\n[forges.main]\nkind = \"gitlab\"\nbase_url = \"https://forge.example\"\ntoken_env = \"WORK\"\n\
                  [forges.other]\nkind = \"gitlab\"\nbase_url = \"https://other.example\"\n";
    std::fs::write(desk.path("annals.toml"), config).unwrap();
    for mode in ["--robot", "--human"] {
        let mut command = desk.annals(["doctor", "-vvv", mode, "--config", "annals.toml"]);
        let ended = Ended::of(command.env("WORK", "glpat-Zq3x9PpLw0aB").output().unwrap());
        assert_eq!(ended.code, 0, "{ended:?}");
        let told = format!("{}{}", ended.stdout, ended.stderr);
        assert!(!told.contains("Zq3x9PpLw0aB"), "{told}");
        assert!(
            told.contains("token from WORK") && told.contains("ANNALS_TOKEN_OTHER"),
            "{told}"
        );
    }
}

#[test]
fn a_forge_that_only_the_mirror_knows_is_listed_with_its_variable() {
    let desk = Desk::empty();
    let options = SimOptions {
        policy: Policy {
            access: Access::TokenRequired("s3cret-s3cret".to_owned()),
            ..Policy::default()
        },
        ..SimOptions::default()
    };
    let url = sample_forge(options);
    let host = url.strip_prefix("http://").unwrap();
    let variable = format!("ANNALS_TOKEN_{}", host.replace(['.', ':'], "_"));
    let mut sync = desk.annals(["sync", &format!("{url}/annals-sample/tidewater"), "--db", "m.db"]);
    let ended = Ended::of(sync.env(&variable, "s3cret-s3cret").output().unwrap());
    assert_eq!(ended.code, 0, "{ended:?}");
    let checks = desk.run("doctor --db m.db").data()["checks"].clone();
    let forge = check(&checks, &format!("forge {host}"));
    let detail = forge["detail"].as_str().unwrap();
    assert_eq!(forge["status"], "info");
    assert!(
        detail.contains("not in the configuration") && detail.contains(&format!("{variable} would hold one")),
        "{detail}"
    );
    let mut doctor = desk.annals(["doctor", "--db", "m.db", "--human", "-vvv"]);
    let ended = Ended::of(doctor.env(&variable, "s3cret-s3cret").output().unwrap());
    assert!(ended.stdout.contains(&format!("token from {variable}")), "{ended:?}");
    assert!(!format!("{ended:?}").contains("s3cret"), "{ended:?}");
    // One that the configuration names is listed once, under its name.
    let config = format!("[forges.work]\nkind = \"gitlab\"\nbase_url = \"{url}\"\ntoken_env = \"WORK\"\n");
    std::fs::write(desk.path("annals.toml"), config).unwrap();
    let checks = desk.run("doctor --db m.db").data()["checks"].clone();
    let names = checks
        .as_array()
        .unwrap()
        .iter()
        .map(|check| check["name"].as_str().unwrap());
    let forges: Vec<&str> = names.filter(|name| name.starts_with("forge")).collect();
    assert_eq!(forges, ["forge work"]);
    assert!(
        check(&checks, "forge work")["detail"]
            .as_str()
            .unwrap()
            .contains("WORK or ANNALS_TOKEN_WORK")
    );
}
