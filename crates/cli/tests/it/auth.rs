//! Tokens: from where, into which file, and never into sight.

use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Stdio;

use annals_testkit::forge::gitlab::{Access, Policy};
use annals_testkit::forge::{Fault, FaultPlan, Rule, SimOptions, When};

use crate::support::forge::sample_forge;
use crate::support::{Desk, Ended};

const TOKEN: &str = "glpat-Zq3x9PpLw0aB";
const PROJECT: &str = "annals-sample/tidewater";

/// A forge that answers nobody without the token.
fn private_forge() -> String {
    private_forge_with(FaultPlan::none())
}

fn private_forge_with(faults: FaultPlan) -> String {
    sample_forge(SimOptions {
        faults,
        policy: Policy {
            access: Access::TokenRequired(TOKEN.to_owned()),
            ..Policy::default()
        },
        ..SimOptions::default()
    })
}

fn file(desk: &Desk) -> PathBuf {
    let folder = if cfg!(target_os = "macos") {
        "Library/Application Support"
    } else {
        ".config"
    };
    desk.path(folder).join("annals/credentials.toml")
}

/// Runs a command that reads `input`.
fn piped(desk: &Desk, line: &str, input: &str) -> Ended {
    let mut command = desk.annals(line.split_whitespace());
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let ended = Ended::of(child.wait_with_output().unwrap());
    assert!(!format!("{ended:?}").contains("Zq3x9PpLw0aB"), "{ended:?}");
    ended
}

#[test]
fn a_token_is_tried_kept_used_and_forgotten() {
    let (desk, forge) = (Desk::empty(), private_forge());
    let project = format!("{forge}/{PROJECT}");
    assert_eq!(
        desk.run(&format!("sync {project} --db m.db")).code_of_error(),
        "token_missing",
        "without a token"
    );

    let data = piped(&desk, &format!("auth login {forge}"), &format!("{TOKEN}\n")).data();
    let known = &data["forges"][0];
    assert_eq!(
        (&known["user"], &known["store"], &known["ok"], &known["expires_at"]),
        (&"reader".into(), &"file".into(), &true.into(), &"2031-01-31".into())
    );
    assert_eq!(
        (&known["token"], &known["scopes"][0]),
        (&"glpat-********".into(), &"read_api".into())
    );
    assert!(std::fs::read_to_string(file(&desk)).unwrap().contains(TOKEN));

    let synced = desk.run(&format!("sync {project} --db m.db --no-docs"));
    assert_eq!(synced.code, 0, "{synced:?}");
    let doctor = desk.run("doctor --db m.db --human");
    assert!(doctor.stdout.contains("token from credentials.toml"), "{doctor:?}");

    let status = desk.run("auth status --human").stdout;
    assert!(
        status.contains("glpat-********") && status.contains("reader") && !status.contains(TOKEN),
        "{status}"
    );
    // A variable is stronger, and is said to be.
    let mut command = desk.annals(["auth", "status"]);
    let host = forge.trim_start_matches("http://").replace(['.', ':'], "_");
    command.env(format!("ANNALS_TOKEN_{host}"), "other");
    assert_eq!(Ended::of(command.output().unwrap()).data()["forges"][0]["store"], "env");

    let data = desk.run(&format!("auth logout {forge}")).data();
    assert_eq!(
        (&data["forges"][0]["store"], &data["forges"][0]["ok"]),
        (&serde_json::Value::Null, &false.into())
    );
    assert!(!std::fs::read_to_string(file(&desk)).unwrap().contains(TOKEN));
    assert_eq!(desk.run(&format!("auth logout {forge}")).code_of_error(), "not_found");
    assert_eq!(
        desk.run(&format!("sync {project} --db m.db")).code_of_error(),
        "token_missing",
        "it is forgotten"
    );
}

/// A configuration with one forge.
fn configure(desk: &Desk, name: &str, base_url: &str) {
    let text = format!("[db]\npath = \"m.db\"\n[forges.{name}]\nkind = \"gitlab\"\nbase_url = \"{base_url}\"\n");
    std::fs::write(desk.path("annals.toml"), text).unwrap();
}

#[test]
fn a_kept_token_goes_to_no_other_forge_of_the_name() {
    let (desk, forge, other) = (Desk::empty(), private_forge(), private_forge());
    configure(&desk, "work", &forge);
    piped(&desk, "auth login work", TOKEN).data();
    configure(&desk, "work", &other);
    let ended = desk.run(&format!("sync {other}/{PROJECT}"));
    assert_eq!((ended.code, ended.code_of_error().as_str()), (4, "token_missing"));
    let doctor = desk.run("doctor --human");
    assert!(!doctor.stdout.contains("credentials.toml"), "{doctor:?}");
    let status = desk.run("auth status").data();
    let of = |url: &str| {
        let forges = status["forges"].as_array().unwrap();
        forges.iter().find(|known| known["url"] == url).unwrap()["ok"].clone()
    };
    assert_eq!((of(&forge), of(&other)), (true.into(), false.into()), "{status}");
    let synced = desk.run(&format!("sync {forge}/{PROJECT} --no-docs"));
    assert_eq!(synced.code, 0, "{synced:?}");
}

#[test]
fn a_variable_is_not_sent_without_tls_where_nobody_configured_that() {
    let desk = Desk::empty();
    let mut command = desk.annals(["sync", "http://forge.example/group/app", "--db", "m.db"]);
    command.env("ANNALS_TOKEN_FORGE_EXAMPLE", TOKEN);
    let ended = Ended::of(command.output().unwrap());
    assert_eq!(ended.code_of_error(), "config_invalid", "{ended:?}");
    assert!(
        ended.stderr.contains("https") && !ended.stderr.contains(TOKEN),
        "{ended:?}"
    );
}

#[test]
fn a_token_kept_for_an_http_address_is_used_beside_the_variable_of_the_host() {
    let (desk, forge) = (Desk::empty(), private_forge());
    // Not this machine, as an address; and yet it leads here.
    let forge = forge.replace("127.0.0.1", "0.0.0.0");
    std::fs::create_dir_all(file(&desk).parent().unwrap()).unwrap();
    let text = format!("[forges.a]\nbase_url = \"{forge}\"\ntoken = \"{TOKEN}\"\n");
    std::fs::write(file(&desk), text).unwrap();
    std::fs::set_permissions(file(&desk), std::fs::Permissions::from_mode(0o600)).unwrap();
    let mut command = desk.annals(["sync", &format!("{forge}/{PROJECT}"), "--db", "m.db", "--no-docs"]);
    let host = forge.trim_start_matches("http://").replace(['.', ':'], "_");
    command.env(format!("ANNALS_TOKEN_{host}"), "that-of-https");
    let ended = Ended::of(command.output().unwrap());
    assert_eq!(ended.code, 0, "{ended:?}");
}

#[test]
fn words_behind_auth_are_never_repeated() {
    let desk = Desk::empty();
    for line in [
        "auth login gitlab.com Zq3x9PpLw0aBcDeFgHiJ",
        "auth Zq3x9PpLw0aBcDeFgHiJ",
        "auth login --Zq3x9PpLw0aBcDeFgHiJ",
        "auth status --color Zq3x9PpLw0aBcDeFgHiJ",
        "--db m.db auth login gitlab.com Zq3x9PpLw0aBcDeFgHiJ",
    ] {
        for mode in ["--robot", "--human"] {
            let ended = desk.run(&format!("{line} {mode}"));
            assert_eq!(ended.code, 2, "{ended:?}");
            assert!(!format!("{ended:?}").contains("Zq3x"), "{ended:?}");
            assert!(ended.stderr.contains("revoke"), "{ended:?}");
        }
    }
}

#[test]
fn a_token_kept_before_the_configuration_is_found_and_forgotten_after_it() {
    let (desk, forge) = (Desk::empty(), private_forge());
    piped(&desk, &format!("auth login {forge}"), TOKEN).data();
    configure(&desk, "work", &forge);
    let synced = desk.run(&format!("sync {forge}/{PROJECT} --no-docs"));
    assert_eq!(synced.code, 0, "{synced:?}");
    let status = desk.run("auth status").data();
    assert_eq!(status["forges"].as_array().unwrap().len(), 1, "{status}");
    assert_eq!(
        (&status["forges"][0]["name"], &status["forges"][0]["store"]),
        (&"work".into(), &"file".into())
    );
    desk.run("auth logout work").data();
    assert!(!std::fs::read_to_string(file(&desk)).unwrap().contains(TOKEN));

    // And the other way round: the name that it was kept under is enough.
    piped(&desk, "auth login work", TOKEN).data();
    std::fs::remove_file(desk.path("annals.toml")).unwrap();
    desk.run("auth logout work").data();
    assert!(!std::fs::read_to_string(file(&desk)).unwrap().contains(TOKEN));
}

#[test]
fn a_kept_token_is_used_by_every_command_that_asks_a_forge() {
    let rule = Rule::new(Fault::Forbidden, "*/issues/12", When::First(1));
    let (desk, forge) = (Desk::empty(), private_forge_with(FaultPlan::none().with(rule)));
    configure(&desk, "work", &forge);
    piped(&desk, "auth login work", TOKEN).data();
    desk.run(&format!("projects add {forge}/{PROJECT}")).data();
    assert_eq!(desk.run("sync").code, 0);

    let failed = desk.run(&format!("sync -p {PROJECT} --issue 12"));
    assert_eq!(failed.code_of_error(), "forbidden", "{failed:?}");
    let error = failed.error();
    let run = error["details"]["run_id"].as_str().unwrap();
    let retried = desk.run(&format!("sync-runs --run-id {run} --retry-failed")).data();
    assert_eq!(retried["status"], "done", "{retried}");
    assert!(retried["requests"].as_u64().unwrap() > 0, "{retried}");

    let verified = desk.run("verify --sample 5").data();
    assert!(verified["requests"].as_u64().unwrap() > 0, "{verified}");
    assert_eq!(verified["findings"], serde_json::json!([]));
}

#[test]
fn a_blank_variable_hides_no_other() {
    let (desk, forge) = (Desk::empty(), private_forge());
    configure(&desk, "work", &forge);
    let mut text = std::fs::read_to_string(desk.path("annals.toml")).unwrap();
    text.push_str("token_env = \"WORK\"\n");
    std::fs::write(desk.path("annals.toml"), text).unwrap();
    let mut command = desk.annals(["sync", &format!("{forge}/{PROJECT}"), "--no-docs"]);
    command.env("WORK", " ").env("ANNALS_TOKEN_WORK", TOKEN);
    let ended = Ended::of(command.output().unwrap());
    assert_eq!(ended.code, 0, "{ended:?}");
}

#[test]
fn a_token_that_the_forge_refuses_is_not_kept() {
    let (desk, forge) = (Desk::empty(), private_forge());
    let ended = piped(&desk, &format!("auth login {forge}"), "glpat-wrong-wrong\n");
    assert_eq!((ended.code, ended.code_of_error().as_str()), (5, "auth_rejected"));
    for nothing in ["", "\n", "   \n"] {
        assert_eq!(
            piped(&desk, &format!("auth login {forge}"), nothing).code_of_error(),
            "usage"
        );
    }
    assert_eq!(
        piped(&desk, "auth login", TOKEN).code_of_error(),
        "usage",
        "which forge?"
    );
    // Nobody listens there.
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nobody = format!("auth login http://{closed}");
    assert_eq!(piped(&desk, &nobody, TOKEN).code_of_error(), "network");
    // What may be a token is no host to look for.
    for word in ["Zq3x9PpLw0aB", "own-Zq3x9PpLw0aB.01.0w1x9a"] {
        let ended = piped(&desk, &format!("auth login {word}"), TOKEN);
        assert_eq!(ended.code_of_error(), "usage", "{ended:?}");
    }
    assert!(!file(&desk).exists());
}

#[test]
fn credentials_file_mode_enforced() {
    let (desk, forge) = (Desk::empty(), private_forge());
    piped(&desk, &format!("auth login {forge}"), TOKEN).data();
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&file(&desk)), 0o600);
    assert_eq!(mode(file(&desk).parent().unwrap()), 0o700);
    let beside = std::fs::read_dir(file(&desk).parent().unwrap()).unwrap();
    assert_eq!(beside.count(), 1, "nothing is left behind");

    let project = format!("{forge}/{PROJECT}");
    for open in [0o640, 0o604, 0o644, 0o666] {
        std::fs::set_permissions(file(&desk), std::fs::Permissions::from_mode(open)).unwrap();
        for line in [
            format!("sync {project} --db m.db"),
            "auth status".to_owned(),
            format!("auth logout {forge}"),
        ] {
            let ended = desk.run(&line);
            assert_eq!(ended.code, 3, "{line} {open:o}: {ended:?}");
            let error = ended.error();
            assert_eq!(error["code"], "credentials_too_open");
            assert!(
                error["actions"][0].as_str().unwrap().starts_with("chmod 600 "),
                "{error}"
            );
        }
        let doctor = desk.run("doctor");
        assert_eq!(doctor.code, 19, "{doctor:?}");
        assert!(doctor.error().to_string().contains("chmod 600"), "{doctor:?}");
    }
    std::fs::set_permissions(file(&desk), std::fs::Permissions::from_mode(0o400)).unwrap();
    assert_eq!(desk.run("auth status").code, 0);
    std::fs::set_permissions(file(&desk), std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::write(file(&desk), format!("[forges.a]\ntoken = {TOKEN}")).unwrap();
    let broken = desk.run("auth status");
    assert_eq!(broken.code_of_error(), "config_invalid");
    assert!(!broken.stderr.contains(TOKEN), "{broken:?}");
    std::fs::write(file(&desk), format!("[forges.a]\ntoken = \"{TOKEN}\"")).unwrap();
    let broken = desk.run(&format!("auth login {forge}"));
    assert_eq!(broken.code_of_error(), "config_invalid");
    let advice = broken.error()["suggestion"].as_str().unwrap().to_owned();
    assert!(
        advice.contains("credentials.toml: add base_url") && advice.contains("[forges.a]"),
        "{advice}"
    );
    assert!(!broken.stderr.contains(TOKEN), "{broken:?}");
}

#[test]
fn a_configuration_to_begin_with() {
    let desk = Desk::empty();
    let line = "init --forge https://GitLab.example.com:8443/git --token-env WORK_TOKEN --db here.db";
    let data = desk.run(line).data();
    assert_eq!(data["forges"][0], "gitlab-example-com-8443");
    assert_eq!(
        (&data["config"], &data["db"]),
        (&"annals.toml".into(), &"here.db".into())
    );
    let text = std::fs::read_to_string(desk.path("annals.toml")).unwrap();
    assert!(
        text.contains("base_url = \"https://gitlab.example.com:8443/git\""),
        "{text}"
    );
    assert!(
        desk.run("auth status").data()["forges"][0]["url"]
            .as_str()
            .unwrap()
            .ends_with("/git")
    );

    // What is there stays, whoever wrote it.
    let ended = desk.run("init");
    assert_eq!((ended.code, ended.code_of_error().as_str()), (21, "refused"));
    assert_eq!(std::fs::read_to_string(desk.path("annals.toml")).unwrap(), text);
    std::fs::write(desk.path("annals.toml"), "broken = [").unwrap();
    assert_eq!(desk.run("issues").code, 3);
    assert_eq!(desk.run("init --force").code, 0);
    assert_eq!(desk.run("issues").code_of_error(), "not_found", "and it can be read");
    assert_eq!(
        desk.run("init --config other.toml --human").stdout.lines().next(),
        Some("wrote other.toml")
    );
    for bad in [
        "init --forge ftp://x --force",
        "init --forge https://x.example --token-env lower --force",
        "init --token-env A --force",
    ] {
        assert!([2, 3].contains(&desk.run(bad).code), "{bad}");
    }
    assert_eq!(desk.run("init --config no/such/folder.toml").code_of_error(), "io");
}
