//! What programs and readers of manuals are told.

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::Desk;

/// The whole answer in one file, so that a change of it is seen in review.
///
/// To write it anew: `ANNALS_WRITE_DOCS=1 cargo test -p annals-cli robot_docs`.
#[test]
fn robot_docs_golden() {
    let mut data = Desk::empty().run("robot-docs").data();
    assert_eq!(data["version"], env!("CARGO_PKG_VERSION"));
    data["version"] = "VERSION".into();
    let made = serde_json::to_string_pretty(&data).unwrap() + "\n";
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/golden/robot-docs.json");
    if std::env::var_os("ANNALS_WRITE_DOCS").is_some() {
        std::fs::write(file, &made).unwrap();
    }
    let known = std::fs::read_to_string(file).unwrap_or_default();
    assert!(
        known == made,
        "{file} is not what `annals robot-docs` says: ANNALS_WRITE_DOCS=1 cargo test -p annals-cli robot_docs"
    );
}

#[test]
fn robot_docs_of_one_command() {
    let desk = Desk::empty();
    let names = |line: &str| -> Vec<String> {
        let data = desk.run(line).data();
        let commands = data["commands"].as_array().unwrap().iter();
        commands
            .map(|command| command["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names("robot-docs search"), ["search"]);
    assert_eq!(
        names("robot-docs projects"),
        ["projects", "projects list", "projects add"]
    );
    assert_eq!(names("robot-docs projects add"), ["projects add"]);
    let error = desk.run("robot-docs serach").error();
    assert_eq!(
        (&error["code"], &error["suggestion"]),
        (&"usage".into(), &"search".into())
    );
    // A list tells its items' names as `--fields` takes them, and each form of an answer is told.
    let issues = desk.run("robot-docs issues").data();
    let schemas = issues["commands"][0]["data_schema"].as_array().unwrap().clone();
    assert_eq!(schemas.len(), 2, "{issues}");
    assert_eq!(
        (&schemas[0]["list"], &schemas[1]["list"]),
        (&"items".into(), &Value::Null)
    );
    // A person gets the same, indented.
    let human = desk.run("robot-docs search --human").stdout;
    let read: Value = serde_json::from_str(&human).unwrap();
    assert_eq!(read, desk.run("robot-docs search").data());
    assert!(human.lines().count() > 20);
}

#[test]
fn man_pages_render() {
    let desk = Desk::empty();
    let main = desk.run("man --robot");
    assert_eq!((main.code, main.stderr.as_str()), (0, ""));
    let written = desk.run("man --out man1").data();
    let pages: Vec<&str> = written["pages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|page| page.as_str().unwrap())
        .collect();
    assert_eq!(
        std::fs::read_to_string(desk.path("man1/annals.1")).unwrap(),
        main.stdout
    );
    let docs = desk.run("robot-docs").data();
    for command in docs["commands"].as_array().unwrap() {
        let page = format!("annals-{}.1", command["name"].as_str().unwrap().replace(' ', "-"));
        assert!(pages.contains(&page.as_str()), "no {page} among {pages:?}");
    }
    for page in pages {
        let rendered = Command::new("groff")
            .args(["-man", "-Tutf8", "-ww", "-P-cbou"])
            .arg(desk.path("man1").join(page))
            .stdin(Stdio::null())
            .output();
        let Ok(rendered) = rendered else {
            return crate::support::skip("man_pages_render", "no groff", "apt-get install groff");
        };
        let (text, said) = (
            String::from_utf8_lossy(&rendered.stdout),
            String::from_utf8_lossy(&rendered.stderr),
        );
        assert!(rendered.status.success() && said.is_empty(), "{page}: {said}");
        let name = page.trim_end_matches(".1");
        assert!(text.contains("SYNOPSIS") && text.contains(name), "{page}: {text}");
    }
}

#[test]
fn a_man_page_that_cannot_be_written_is_an_error() {
    let desk = Desk::empty();
    std::fs::write(desk.path("man1"), "in the way").unwrap();
    let error = desk.run("man --out man1/inner").error();
    assert_eq!(error["code"], "io");
    assert!(error["message"].as_str().unwrap().contains("man1"), "{error}");
}
