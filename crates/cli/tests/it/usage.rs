//! A command line that cannot be meant is told what could be.

use crate::support::Desk;

#[test]
fn mistakes_are_answered_with_what_was_meant() {
    let desk = Desk::empty();
    for (line, suggestion, action) in [
        ("serach x", "search", "annals help"),
        ("issue 12", "issues", "annals help"),
        ("issues --stat open", "--state", "annals help issues"),
        ("issues --state opne", "open", "annals help issues"),
        ("version --runtime tokyo", "tokio", "annals help version"),
        ("explain not-fuond", "not_found", "annals help explain"),
    ] {
        let error = desk.run(&format!("--no-autocorrect {line}")).error();
        assert_eq!(
            (&error["code"], &error["suggestion"]),
            (&"usage".into(), &suggestion.into()),
            "{line}"
        );
        let actions: Vec<&str> = error["actions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|action| action.as_str().unwrap())
            .collect();
        assert!(actions.contains(&action), "{line}: {actions:?}");
    }
    let human = desk.run("serach x --human --no-autocorrect");
    assert_eq!(human.code, 2);
    assert_eq!(human.stdout, "");
    assert!(human.stderr.contains("did you mean: search\n"), "{}", human.stderr);
}

#[test]
fn help_and_version_are_plain_text_for_everybody() {
    let desk = Desk::empty();
    for line in [
        "--help",
        "help",
        "help sync",
        "sync --help",
        "--version",
        "--help --robot",
    ] {
        let ended = desk.run(line);
        assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{line}");
        assert!(
            !ended.stdout.starts_with('{') && ended.stdout.len() > 10,
            "{line}: {}",
            ended.stdout
        );
    }
    assert_eq!(
        desk.run("--version").stdout,
        format!("annals {}\n", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn a_person_who_names_no_command_sees_the_help() {
    let ended = Desk::empty().run("--human");
    assert_eq!((ended.code, ended.stdout.as_str()), (2, ""));
    assert!(
        ended.stderr.contains("Usage: annals") && ended.stderr.contains("demo"),
        "{}",
        ended.stderr
    );
}

#[test]
fn token_as_argument_refused() {
    let desk = Desk::empty();
    let secret = "glpat-Zq3x9PpLw0aB";
    for line in [
        format!("sync {secret}"),
        format!("sync --token {secret}"),
        format!("sync --token={secret}"),
        format!("sync --private-token={secret} https://forge.example/a/b"),
        format!("sync https://oauth2:{secret}@forge.example/a/b"),
        format!("projects add https://{secret}@forge.example/a/b"),
        format!("show https://u:{secret}@forge.example/a/b/-/issues/1"),
        format!("sync --jobs {secret}"),
        format!("auth login {secret}"),
        format!("auth login gitlab.com --token {secret}"),
        format!("init --token-env {secret}"),
        secret.to_owned(),
    ] {
        for mode in ["--robot", "--human"] {
            let ended = desk.run(&format!("{line} {mode}"));
            assert_eq!(ended.code, 2, "{line}");
            let told = format!("{}{}", ended.stdout, ended.stderr);
            assert!(!told.contains("Zq3x9PpLw0aB"), "{told}");
            assert!(told.contains("Revoke it") && told.contains("ANNALS_TOKEN_"), "{told}");
        }
    }
    assert!(!desk.path(".local").exists(), "nothing was opened");
}

#[test]
fn ambiguous_project_exit_18() {
    let desk = Desk::with_mirror();
    desk.sql(
        "INSERT INTO forges (name, kind, base_url, api_url) VALUES ('two', 'gitlab', 'https://two.example', 'https://two.example/api/v4');
         INSERT INTO projects SELECT NULL, (SELECT id FROM forges WHERE name = 'two'), native_id, path, path_folded, title, description,
                default_branch, visibility, archived, web_url, tracked, state, moved_to_id, created_at, updated_at, NULL, changed_seq
           FROM projects LIMIT 1;",
    );
    let ended = desk.run("show 12");
    assert_eq!(ended.code, 18);
    let candidates = ended.error()["details"]["candidates"].clone();
    assert_eq!(candidates.as_array().unwrap().len(), 2);
    assert!(
        candidates
            .as_array()
            .unwrap()
            .contains(&"two.example/annals-sample/tidewater".into()),
        "{candidates}"
    );
    // Each of them can be typed.
    for candidate in candidates.as_array().unwrap() {
        let ended = desk.run_words(["issues", "-p", candidate.as_str().unwrap()]);
        assert_eq!(ended.code, 0, "{ended:?}");
    }
    assert_eq!(desk.run("issues -p tidewater").code_of_error(), "ambiguous");
}

#[test]
fn a_project_is_known_by_the_end_of_its_path() {
    let desk = Desk::with_mirror();
    for project in ["tidewater", "Annals-Sample/Tidewater", "annals-sample/tidewater"] {
        let total = desk.run_words(["issues", "-p", project]).envelope()["meta"]["total"].clone();
        assert_eq!(total, 40, "{project}");
    }
    let error = desk.run("issues -p annals-sample/tidewtaer").error();
    assert_eq!(
        (&error["code"], &error["suggestion"]),
        (&"not_found".into(), &"annals-sample/tidewater".into())
    );
}

#[test]
fn every_usage_error_leads_to_the_help_of_its_command() {
    let desk = Desk::with_mirror();
    for (line, help) in [
        ("issues --state opne", "annals help issues"),
        ("show", "annals help show"),
        ("show nonsense", "annals help show"),
        ("issues --discussions", "annals help issues"),
        ("issues --fields nothing", "annals help issues"),
        ("search x --facets colour", "annals help search"),
        ("search after:soon", "annals help search"),
        ("sync --token x", "annals help sync"),
        ("sync a -p b", "annals help sync"),
        ("projects ad x", "annals help projects"),
        ("--color alwys version", "annals help version"),
        ("nothing", "annals help"),
        ("help nothing", "annals help"),
    ] {
        let ended = desk.run(&format!("--no-autocorrect {line}"));
        assert_eq!(ended.code, 2, "{line}: {ended:?}");
        let actions = ended.error()["actions"].clone();
        let helps = actions.as_array().unwrap().iter().filter_map(|action| action.as_str());
        let helps: Vec<&str> = helps.filter(|action| action.starts_with("annals help")).collect();
        assert_eq!(helps, [help], "{line}");
        let docs = help.replace("annals help", "annals robot-docs");
        assert!(
            actions.as_array().unwrap().contains(&docs.as_str().into()),
            "{line}: {actions}"
        );
        let shown = desk.run(help.strip_prefix("annals ").unwrap());
        assert!(
            shown.code == 0 && shown.stdout.contains("Usage: annals"),
            "{help}: {shown:?}"
        );
    }
}

#[test]
fn the_last_of_a_repeated_option_counts() {
    let desk = Desk::with_mirror();
    assert_eq!(desk.run("-J -J version --robot -q -q").code, 0);
    for line in [
        "issues --db no.db --db annals.db",
        "--db no.db issues --db annals.db",
        "--db no.db --db annals.db issues",
    ] {
        assert_eq!(desk.run(line).code, 0, "{line}");
    }
    let ended = desk.run("--db annals.db issues --db no.db");
    assert_eq!(ended.code, 17, "{ended:?}");
    assert!(
        ended.stderr.contains("--db no.db`"),
        "and it is the one that is named: {ended:?}"
    );
    assert_eq!(desk.run("version --runtime asupersync --runtime tokio").code, 0);
    assert_eq!(
        desk.run("issues -n 3 -n 2").data()["items"].as_array().unwrap().len(),
        2
    );
    assert_eq!(desk.run("issues --asc --asc --human --human").code, 0);
    // What adds up still does.
    let total = |line: &str| desk.run(line).envelope()["meta"]["total"].as_u64().unwrap();
    assert!(total("issues --label bug --label search") < total("issues --label bug"));
    assert!(total("issues --state open --state closed") > total("issues --state open"));
    assert!(total("search cutover race") < total("search cutover"));
}
