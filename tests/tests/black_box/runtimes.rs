//! Which runtimes a binary has, and what it says about those it has not.

use std::collections::BTreeMap;

use annals_tests::{Desk, Running, RuntimeMode};
use serde_json::Value;

const KNOWN: [&str; 2] = ["tokio", "asupersync"];

fn version(desk: &Desk) -> Value {
    Running::start(&mut desk.bare(&["version", "--robot"])).wait().data()
}

fn compiled(desk: &Desk) -> Vec<String> {
    let version = version(desk);
    let runtimes = version["runtimes"].as_array().unwrap_or_else(|| panic!("{version}"));
    runtimes.iter().map(|name| name.as_str().unwrap().to_owned()).collect()
}

#[test]
fn version_lists_what_is_compiled_in() {
    let desk = Desk::new();
    let compiled = compiled(&desk);
    assert!(!compiled.is_empty());
    assert!(
        compiled.iter().all(|name| KNOWN.contains(&name.as_str())),
        "{compiled:?}"
    );
    let expected: &[&str] = match RuntimeMode::from_env() {
        // Only a binary with both has a choice.
        Some(_) => &KNOWN,
        None if cfg!(feature = "tokio") => &["tokio"],
        None => &["asupersync"],
    };
    let mut sorted = compiled;
    sorted.sort_unstable();
    let mut expected = expected.to_vec();
    expected.sort_unstable();
    assert_eq!(sorted, expected);
}

#[test]
fn slices_run_where_the_configuration_says() {
    let version = version(&Desk::new());
    let slices: BTreeMap<String, String> = serde_json::from_value(version["slices"].clone()).unwrap();
    let of = |slice: &str| slices.get(slice).unwrap_or_else(|| panic!("{version}")).as_str();
    let (default, server, ingest) = match RuntimeMode::from_env() {
        Some(RuntimeMode::Tokio) => ("tokio", "tokio", "tokio"),
        Some(RuntimeMode::Asupersync) => ("asupersync", "asupersync", "asupersync"),
        Some(RuntimeMode::MixedServer) => ("tokio", "asupersync", "tokio"),
        Some(RuntimeMode::MixedIngest) => ("tokio", "tokio", "asupersync"),
        None if cfg!(feature = "tokio") => ("tokio", "tokio", "tokio"),
        None => ("asupersync", "asupersync", "asupersync"),
    };
    assert_eq!((of("default"), of("server"), of("ingest")), (default, server, ingest));
}

#[test]
fn a_runtime_that_is_not_compiled_in_is_named_with_those_that_are() {
    let desk = Desk::new();
    let compiled = compiled(&desk);
    for missing in KNOWN
        .iter()
        .filter(|name| !compiled.iter().any(|known| known == **name))
    {
        let error = Running::start(&mut desk.annals(&["projects", "--runtime", missing]))
            .wait()
            .failure(3, "runtime_not_built");
        assert_eq!(error["details"]["asked"], *missing, "{error}");
        assert_eq!(error["details"]["compiled"], serde_json::json!(compiled), "{error}");
        let message = error["message"].as_str().unwrap();
        assert!(compiled.iter().all(|name| message.contains(name.as_str())), "{message}");

        desk.configure(&format!("[runtime.slices]\ningest = \"{missing}\"\n"));
        Running::start(&mut desk.annals(&["projects"]))
            .wait()
            .failure(3, "runtime_not_built");
    }
}

#[test]
fn a_runtime_that_nobody_knows_is_a_mistake_on_the_command_line() {
    let desk = Desk::new();
    let error = desk.run(&["projects", "--runtime", "smol"]).failure(2, "usage");
    assert!(error["message"].as_str().unwrap().contains("smol"), "{error}");
}
