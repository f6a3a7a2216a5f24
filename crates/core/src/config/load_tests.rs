#![allow(clippy::unwrap_used, reason = "a test may panic")]

use proptest::prelude::*;

use super::super::keys::DefaultValue;
use super::super::tree::RuntimeName;
use super::*;
use crate::code::Code;
use crate::report::Coded;

fn file(text: &str) -> Layers {
    Layers {
        file: Some((PathBuf::from("annals.toml"), text.to_owned())),
        ..Layers::default()
    }
}

fn with_override(key: &str, value: &str) -> Layers {
    let forge = "[forges.f]\nkind = \"gitlab\"\nbase_url = \"https://f.example\"\n";
    Layers {
        overrides: vec![(key.replace('*', "f"), value.to_owned())],
        ..file(if key.starts_with("forges.") { forge } else { "" })
    }
}

/// What is read where `with_override` sets nothing.
fn untouched(key: &str) -> Config {
    let mut layers = with_override(key, "");
    layers.overrides.clear();
    Config::load(&layers).unwrap()
}

fn errors(layers: &Layers) -> Vec<ConfigError> {
    Config::load(layers).map_or_else(|errors| errors.0, |_| Vec::new())
}

/// A valid value that is not the default, and values that break the rule, for every key.
const SAMPLES: &[(&str, &str, &[&str])] = &[
    ("runtime.default", "asupersync", &["async-std", ""]),
    ("runtime.workers", "2", &["-1", "1025", "two"]),
    ("runtime.max_blocking", "512", &["0", "513"]),
    ("runtime.max_tasks", "1000", &["0"]),
    ("runtime.slices.server", "tokio", &["Tokio"]),
    ("runtime.slices.ingest", "asupersync", &["none"]),
    ("runtime.slices.slack", "tokio", &["x"]),
    ("runtime.slices.queue", "tokio", &["x"]),
    ("runtime.shutdown.grace_ms", "0", &["600001"]),
    ("runtime.shutdown.cancel_ms", "1", &["1.5"]),
    ("runtime.shutdown.hard_ms", "600000", &["-1"]),
    ("db.path", "/var/lib/annals.db", &["", "a\0b"]),
    ("db.auto_migrate", "false", &["yes", "1"]),
    ("db.backups", "1", &["0"]),
    ("db.readers", "64", &["0", "65"]),
    ("forges.*.kind", "gitlab", &["github", "GitLab"]),
    (
        "forges.*.base_url",
        "http://127.0.0.1:1",
        &["f.example", "https://u:p@f.example"],
    ),
    ("forges.*.token_env", "MY_TOKEN", &["my-token", "glpat-1234", "1X"]),
    (
        "forges.*.projects",
        "a/b, c/d/e",
        &["a", "/a", "a//b", "https://f.example/a/b"],
    ),
    ("forges.*.concurrency", "1", &["0"]),
    ("forges.*.window", "50/s+100", &["600", "0/s"]),
    ("forges.*.ca_file", "/etc/ca.pem", &[""]),
    ("forges.*.enabled", "false", &["off"]),
    ("sync.rewind_s", "0", &["3601"]),
    ("sync.jobs", "1", &["0", "4 jobs"]),
    ("sync.sweep_every_d", "0", &["3651", "week"]),
    ("sync.max_wait_s", "0", &["86401"]),
    ("sync.events", "false", &["0"]),
    ("sync.page_size", "20", &["0", "101"]),
    ("search.mode", "lexical", &["fuzzy"]),
    ("embed.provider", "none", &["vertex"]),
    (
        "embed.base_url",
        "http://127.0.0.1:1",
        &["f.example", "https://u:p@f.example"],
    ),
    ("embed.model", "a-model", &[""]),
    ("embed.dims", "8", &["0", "8193"]),
    ("embed.batch", "1", &["0", "513"]),
    ("embed.timeout_s", "600", &["0", "601"]),
    ("embed.concurrency", "1", &["0", "17"]),
    ("embed.token_env", "MY_TOKEN", &["my-token", "sk-1234"]),
    (
        "server.listen",
        "[::1]:0",
        &[
            "0.0.0.0:80",
            "127.0.0.1",
            "localhost:80",
            "[::]:80",
            "[::ffff:0.0.0.0]:80",
        ],
    ),
    ("server.allowed_hosts", "Annals.example", &["a b", "host:80"]),
    ("server.drain_notice_ms", "60000", &["60001"]),
    ("server.graceful_shutdown_ms", "1000", &["999", "300001"]),
    ("cli.time", "iso", &["ISO"]),
    ("cli.tz", "Europe/Berlin", &["Berlin"]),
    ("cli.color", "never", &["no"]),
    ("cli.autocorrect", "false", &["maybe"]),
];

#[test]
fn defaults_validate() {
    assert_eq!(Config::load(&Layers::default()), Ok(Config::default()));
    for key in KEYS {
        if let DefaultValue::Is(value) = key.default {
            let loaded = Config::load(&with_override(key.name, value.trim_matches(['[', ']'])));
            assert_eq!(loaded, Ok(untouched(key.name)), "{} = {value}", key.name);
        }
    }
}

#[test]
fn every_key_reaches_the_tree() {
    let sampled: Vec<_> = SAMPLES.iter().map(|(name, ..)| *name).collect();
    let known: Vec<_> = KEYS.iter().map(|key| key.name).collect();
    assert_eq!(sampled, known);
    for (name, good, _) in SAMPLES {
        let loaded = Config::load(&with_override(name, good)).unwrap();
        // There is one kind of forge so far, and the forge has it already.
        assert_eq!(loaded == untouched(name), *name == "forges.*.kind", "{name} = {good}");
    }
}

#[test]
fn each_slice_is_moved_by_its_own_key() {
    for slice in ["server", "ingest", "slack", "queue"] {
        let config = Config::load(&with_override(&format!("runtime.slices.{slice}"), "asupersync")).unwrap();
        assert!(config.runtime.slices.moved().eq([(slice, RuntimeName::Asupersync)]));
    }
}

#[test]
fn every_rule_has_a_failing_case() {
    for (name, _, bad) in SAMPLES {
        assert!(!bad.is_empty(), "{name}");
        for bad in *bad {
            let found = errors(&with_override(name, bad));
            assert_eq!(found.len(), 1, "{name} = {bad}: {found:?}");
            assert_eq!(
                (&found[0].key, &found[0].origin),
                (&name.replace('*', "f"), &Origin::CommandLine)
            );
        }
    }
}

#[test]
fn a_later_layer_wins() {
    let mut layers = file("[sync]\njobs = 2\npage_size = 20\nrewind_s = 9\n");
    layers.env = vec![
        ("ANNALS_SYNC__PAGE_SIZE".to_owned(), "30".to_owned()),
        ("ANNALS_SYNC__REWIND_S".to_owned(), "8".to_owned()),
        ("ANNALS_SYNC__JOBS".to_owned(), String::new()),
        ("ANNALS_ROBOT".to_owned(), "1".to_owned()),
        ("OTHER__THING".to_owned(), "1".to_owned()),
    ];
    layers.overrides = vec![("sync.rewind_s".to_owned(), "7".to_owned())];
    let sync = Config::load(&layers).unwrap().sync;
    assert_eq!((sync.jobs, sync.page_size, sync.rewind.as_secs()), (2, 30, 7));
}

#[test]
fn a_whole_file_is_read() {
    let config = Config::load(&file(
        r#"
        db.readers = 0x10
        [runtime]
        default = "asupersync"
        slices = { server = "tokio" }
        [forges.gitlab-com]
        kind = "gitlab"
        base_url = "https://GitLab.com/"
        token_env = "GITLAB_TOKEN"
        projects = ["fdroid/fdroiddata"]
        window = "50/s+100"
        [server]
        listen = "127.0.0.1:0"
        "#,
    ))
    .unwrap();
    assert_eq!(
        (config.db.readers, config.runtime.default),
        (16, Some(RuntimeName::Asupersync))
    );
    assert!(config.runtime.slices.moved().eq([("server", RuntimeName::Tokio)]));
    let forge = &config.forges["gitlab-com"];
    assert_eq!(forge.base_url.as_str(), "https://gitlab.com");
    assert_eq!(
        (forge.projects.as_slice(), forge.window.burst),
        (["fdroid/fdroiddata".to_owned()].as_slice(), 100)
    );
    assert_eq!(config.server.listen.port(), 0);
}

#[test]
fn config_reports_every_fault_at_once() {
    let mut layers = file(
        "readers = 3\n[sync]\njob = 1\npage_size = \"100\"\nevents = 1\n[telemetry]\nmodel = \"x\"\n[db]\nbackups = {}\n\
         [forges.Bad__Name]\nkind = \"gitlab\"\n[forges.a]\n[cli]\ncolor = \"allways\"\n",
    );
    layers.env = vec![("ANNALS_SYNC__JOBS".to_owned(), "0".to_owned())];
    layers.overrides = vec![("db".to_owned(), "x".to_owned())];
    let mut told: Vec<_> = errors(&layers).iter().map(ToString::to_string).collect();
    told.sort();
    assert_eq!(
        told,
        [
            "ANNALS_SYNC__JOBS: sync.jobs is `0` but must be an integer from 1 to 64",
            "annals.toml:10:9: forges.Bad__Name must be named with lower-case letters and digits, with single `-` or `_` between them",
            "annals.toml:14:9: cli.color is `\"allways\"` but must be one of `auto`, `always`, `never` (did you mean `always`?)",
            "annals.toml:1:1: readers must be a known key (did you mean `db.readers`?)",
            "annals.toml:3:1: sync.job must be a known key (did you mean `sync.jobs`?)",
            "annals.toml:4:13: sync.page_size is `\"100\"` but must be an integer from 1 to 100",
            "annals.toml:5:10: sync.events is `1` but must be true or false",
            "annals.toml:6:2: telemetry must be a known key",
            "annals.toml:9:11: db.backups is `a table` but must be an integer from 1 to 100",
            "command line: db must be followed by the name of a key",
            "configuration: forges.a.base_url must be set: the address of the forge",
            "configuration: forges.a.kind must be set: what the forge is",
        ]
    );
    let report = Config::load(&layers).unwrap_err().report();
    assert_eq!((report.code, report.exit_code(None)), (Code::ConfigInvalid, 3));
    assert_eq!(report.details["errors"].as_array().map(Vec::len), Some(12));
    assert_eq!(report.actions, ["annals doctor"]);
}

#[test]
fn a_server_that_embeds_needs_a_model() {
    let told = |text: &str| -> Vec<_> { errors(&file(text)).iter().map(ToString::to_string).collect() };
    assert_eq!(
        told("[embed]\nprovider = \"ollama\"\n"),
        ["configuration: embed.model must be set: the model that `ollama` is to use"]
    );
    assert_eq!(told("[embed]\nprovider = \"openai\"\nmodel = \" \"\n").len(), 1);
    let config = Config::load(&file("[embed]\nprovider = \"ollama\"\nmodel = \"m\"\ndims = 8\n")).unwrap();
    assert_eq!((config.embed.model.as_deref(), config.embed.dims), (Some("m"), Some(8)));
}

#[test]
fn a_file_that_is_no_toml_says_where() {
    let found = errors(&file("[sync]\njobs = glpat-secret\n"));
    assert!(!found.is_empty());
    assert_eq!(found[0].position.map(|at| at.line), Some(2));
    assert!(found[0].to_string().starts_with("annals.toml:2:"), "{}", found[0]);
}

#[test]
fn secrets_never_reach_an_error() {
    let mut layers = file("token = \"glpat-1\"\nbroken = glpat-2\n");
    layers.overrides = vec![("forges.f.base_url".to_owned(), "https://u:glpat-3@f.example".to_owned())];
    let told = format!("{:?}", Config::load(&layers).unwrap_err().report());
    assert!(!told.contains("glpat"), "{told}");
    let layers = file(
        "token = \"glpat-1\"\n[forges.f]\nkind = \"gitlab\"\ntoken = \"glpat-4\"\ntoken_env = \"glpat-5\"\n\
         base_url = \"https://glpat-6@f.example\"\n",
    );
    let found = errors(&layers);
    assert_eq!(found.len(), 4);
    let told = format!("{found:?} {}", ConfigErrors(found.clone()));
    assert!(!told.contains("glpat"), "{told}");
}

#[test]
fn nothing_is_interpolated() {
    for text in [
        "[db]\npath = \"${HOME}/x.db\"\n",
        "[server]\nallowed_hosts = [\"${HOST}\"]\n",
    ] {
        let found = errors(&file(text));
        assert_eq!(found.len(), 1);
        assert!(found[0].must_be.contains("ANNALS_"), "{}", found[0]);
    }
}

#[test]
fn a_variable_finds_the_forge_of_the_file() {
    let mut layers = file("[forges.my-lab]\nkind = \"gitlab\"\nbase_url = \"https://a.example\"\n");
    layers.env = vec![("ANNALS_FORGES__MY_LAB__CONCURRENCY".to_owned(), "9".to_owned())];
    assert_eq!(Config::load(&layers).unwrap().forges["my-lab"].concurrency, 9);
}

#[test]
fn two_forges_cannot_share_an_address() {
    let found = errors(&file(
        "[forges.a]\nkind = \"gitlab\"\nbase_url = \"https://x.example\"\n[forges.b]\nkind = \"gitlab\"\nbase_url = \"https://X.example/\"\n",
    ));
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0].key.as_str(), &found[0].origin),
        ("forges.b.base_url", &Origin::Together)
    );
}

proptest! {
    #[test]
    fn no_input_panics(text in any::<String>(), key in "[a-z_.*]{0,24}", value in any::<String>()) {
        let mut layers = file(&text);
        layers.env = vec![(format!("ANNALS_{}", key.to_uppercase().replace('.', "__")), value.clone())];
        layers.overrides = vec![(key, value)];
        let _outcome = Config::load(&layers).map_err(|errors| errors.report());
    }

    #[test]
    fn no_value_panics(sample in prop::sample::select(SAMPLES), value in any::<String>()) {
        let _outcome = Config::load(&with_override(sample.0, &value));
    }
}
