//! Tokens: from where, into which file, and never into sight.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Stdio;

use annals_testkit::forge::SimOptions;
use annals_testkit::forge::gitlab::{Access, Policy};

use crate::support::forge::sample_forge;
use crate::support::{Desk, Ended};

const TOKEN: &str = "glpat-Zq3x9PpLw0aB";

/// A forge that answers nobody without the token.
fn private_forge() -> String {
    sample_forge(SimOptions {
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
    let project = format!("{forge}/annals-sample/tidewater");
    assert_eq!(
        desk.run(&format!("sync {project} --db m.db")).code,
        5,
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
        desk.run(&format!("sync {project} --db m.db")).code,
        5,
        "it is forgotten"
    );
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
    assert_eq!(piped(&desk, "auth login not/a-host", TOKEN).code_of_error(), "network");
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

    let project = format!("{forge}/annals-sample/tidewater");
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
