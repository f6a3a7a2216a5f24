//! What an `annals.toml` may say that lay in the folder and that nobody named (ADR 0017).
//!
//! `0.0.0.0` stands for a machine elsewhere: as an address it is none of this machine, and yet it leads here.

use std::io::{ErrorKind, Write};
use std::net::TcpListener;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use annals_testkit::forge::SimOptions;
use annals_testkit::forge::gitlab::{Access, Policy};
use serde_json::Value;

use crate::support::forge::sample_forge;
use crate::support::{Desk, Ended};

const TOKEN: &str = "glpat-Zq3x9PpLw0aB";
const PROJECT: &str = "annals-sample/tidewater";

/// A forge elsewhere that answers nobody without the token.
fn forge_elsewhere() -> String {
    let forge = sample_forge(SimOptions {
        policy: Policy {
            access: Access::TokenRequired(TOKEN.to_owned()),
            ..Policy::default()
        },
        ..SimOptions::default()
    });
    forge.replace("127.0.0.1", "0.0.0.0")
}

/// Somebody elsewhere who waits for secrets.
fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://0.0.0.0:{}", listener.local_addr().unwrap().port());
    (listener, url)
}

fn has_visitor(listener: &TcpListener) -> bool {
    listener.set_nonblocking(true).unwrap();
    match listener.accept() {
        Ok(_) => true,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
            false
        }
    }
}

/// Whether somebody comes while this runs; who comes is hung up on.
fn is_visited(listener: TcpListener, run: impl FnOnce()) -> bool {
    listener.set_nonblocking(true).unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let seen = over.clone();
    let waits = std::thread::spawn(move || {
        loop {
            // Looked at before, so that nobody who came by then is missed.
            let is_over = seen.load(Ordering::SeqCst);
            match listener.accept() {
                Ok(_) => return true,
                Err(_) if is_over => return false,
                Err(_) => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    });
    run();
    over.store(true, Ordering::SeqCst);
    waits.join().unwrap()
}

fn write(desk: &Desk, text: &str) {
    std::fs::write(desk.path("annals.toml"), text).unwrap();
}

fn warnings(envelope: &Value) -> String {
    envelope["meta"]["warnings"].to_string()
}

fn login(desk: &Desk, words: &[&str]) -> Ended {
    let mut command = desk.annals(["auth", "login"].iter().chain(words));
    let piped = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = piped.spawn().unwrap();
    // It may have gone by then, which is as it should be.
    drop(child.stdin.take().unwrap().write_all(TOKEN.as_bytes()));
    Ended::of(child.wait_with_output().unwrap())
}

#[test]
fn a_found_file_names_no_variable_for_a_forge_elsewhere() {
    let (desk, forge) = (Desk::empty(), forge_elsewhere());
    write(
        &desk,
        &format!(
            "[db]\npath = \"m.db\"\n[forges.work]\nkind = \"gitlab\"\nbase_url = \"{forge}\"\ntoken_env = \"AWS_SECRET\"\n"
        ),
    );
    let project = format!("{forge}/{PROJECT}");
    let sync = |words: &[&str]| {
        let mut command = desk.annals(["sync", &project, "--no-docs"].iter().chain(words));
        command.env("AWS_SECRET", TOKEN).env("ANNALS_TOKEN_WORK", TOKEN);
        Ended::of(command.output().unwrap())
    };
    let ended = sync(&[]);
    assert_eq!(ended.code_of_error(), "token_missing", "nothing was sent: {ended:?}");
    let told = warnings(&ended.failure());
    for part in ["AWS_SECRET", "ANNALS_TOKEN_WORK", &forge, "--config ./annals.toml"] {
        assert!(told.contains(part), "{told}");
    }
    let human = sync(&["--human"]);
    assert!(human.stderr.contains("warning: ./annals.toml lay here"), "{human:?}");
    let doctor = desk.run("doctor --human");
    assert!(doctor.stdout.contains("AWS_SECRET"), "{doctor:?}");
    // Whoever names the file trusts it.
    let named = sync(&["--config", "./annals.toml"]);
    assert_eq!(named.code, 0, "{named:?}");
    assert_eq!(warnings(&named.envelope()), "[]");
}

#[test]
fn a_found_file_sends_nothing_to_an_embedder_elsewhere() {
    let desk = Desk::with_mirror();
    let (evil, url) = listener();
    write(
        &desk,
        &format!(
            "[db]\npath = \"annals.db\"\n[embed]\nprovider = \"openai\"\nmodel = \"m\"\nbase_url = \"{url}\"\n\
             token_env = \"GITHUB_TOKEN\"\n"
        ),
    );
    for line in ["doctor", "search race --mode semantic", "embed"] {
        let mut command = desk.annals(line.split_whitespace());
        let ended = Ended::of(command.env("GITHUB_TOKEN", TOKEN).output().unwrap());
        assert!(!has_visitor(&evil), "{line}: {ended:?}");
    }
    let told = warnings(&desk.run("search race").envelope());
    assert!(told.contains(&format!("a key, to {url}")), "{told}");
    // The same file, named.
    assert!(is_visited(evil, || {
        assert_ne!(desk.run("doctor --config annals.toml").code, 0);
    }));
}

#[test]
fn a_found_file_opens_the_server_to_no_other_host() {
    let desk = Desk::with_mirror();
    write(
        &desk,
        "[db]\npath = \"annals.db\"\n[server]\nallowed_hosts = [\"evil.example\"]\n",
    );
    let told = warnings(&desk.run("issues -n 1").envelope());
    assert!(
        told.contains("server.allowed_hosts") && told.contains("evil.example"),
        "{told}"
    );
    let told = warnings(&desk.run("issues -n 1 --config annals.toml").envelope());
    assert_eq!(told, "[]");
}

#[test]
fn a_login_by_a_name_that_only_a_found_file_knows_is_refused() {
    let desk = Desk::empty();
    let (evil, url) = listener();
    let text = format!(
        "[forges.gitlab-com]\nkind = \"gitlab\"\nbase_url = \"{}\"\n",
        url.replace("http:", "https:")
    );
    write(&desk, &text);
    for words in [&["gitlab-com"][..], &[]] {
        let ended = login(&desk, words);
        assert_eq!(ended.code_of_error(), "usage", "{ended:?}");
        assert!(!has_visitor(&evil), "{ended:?}");
    }
}

#[test]
fn a_login_without_tls_is_refused_before_the_token_is_read() {
    let desk = Desk::empty();
    let (evil, url) = listener();
    let ended = login(&desk, &[&url]);
    assert_eq!(ended.code_of_error(), "usage", "{ended:?}");
    let advice = ended.error()["suggestion"].as_str().unwrap().to_owned();
    assert!(advice.contains(&url.replace("http:", "https:")), "{advice}");
    // A file that lay here cannot allow it.
    write(&desk, &format!("[forges.x]\nkind = \"gitlab\"\nbase_url = \"{url}\"\n"));
    assert_eq!(login(&desk, &[&url]).code_of_error(), "usage");
    assert!(!has_visitor(&evil));
    // One that the user names can.
    assert!(is_visited(evil, || {
        assert_ne!(login(&desk, &[&url, "--config", "annals.toml"]).code, 2);
    }));
}

#[test]
fn init_names_the_file_where_a_found_one_would_not_do() {
    for (flags, is_named) in [
        ("--forge https://gitlab.com", false),
        ("--forge https://gitlab.com --token-env WORK", true),
        ("--forge https://my-corp.example", true),
        ("--forge http://127.0.0.1:8080 --token-env WORK", false),
    ] {
        let data = Desk::empty().run(&format!("init {flags}")).data();
        let next = data["next"].as_array().unwrap();
        assert!(
            next[0].as_str().unwrap().starts_with("annals auth login http"),
            "{data}"
        );
        for next in next {
            assert_eq!(
                next.as_str().unwrap().contains("--config annals.toml"),
                is_named,
                "{data}"
            );
        }
    }
}
