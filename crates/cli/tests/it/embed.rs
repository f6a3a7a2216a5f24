//! `annals embed` and the modes of `annals search`.

use annals_testkit::embedder::Manners;

use crate::support::forge::embedder;
use crate::support::{Desk, Ended};

/// A mirror of the sample project whose configuration names this embedder.
fn desk_with(base_url: &str, model: &str) -> Desk {
    let desk = Desk::with_mirror();
    configure(&desk, base_url, model);
    desk
}

fn configure(desk: &Desk, base_url: &str, model: &str) {
    let text = format!(
        "[db]\npath = \"annals.db\"\n[embed]\nprovider = \"ollama\"\nbase_url = \"{base_url}\"\nmodel = \"{model}\"\n"
    );
    std::fs::write(desk.path("annals.toml"), text).unwrap();
}

/// Where nobody listens.
fn nowhere() -> String {
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    format!("http://127.0.0.1:{port}")
}

#[test]
fn a_sync_has_embedded_everything_offline() {
    let desk = Desk::with_mirror();
    let data = desk.run("embed").data();
    assert_eq!(
        (&data["embedded"], &data["failed"], &data["remaining"]),
        (&0.into(), &0.into(), &0.into())
    );
    assert_eq!(
        (&data["set"]["provider"], &data["set"]["active"]),
        (&"hashing".into(), &true.into())
    );
    let usual = desk.run("search cutover").envelope();
    assert_eq!(
        (&usual["meta"]["mode"], &usual["meta"]["stale"]),
        (&"lexical".into(), &serde_json::json!({"dirty": 0}))
    );
    let alike = desk.run("search --mode semantic -n 3 cutovers raced").envelope();
    assert_eq!(alike["meta"]["mode"], "semantic");
    assert_eq!(alike["meta"]["stale"], serde_json::json!({"dirty": 0, "unembedded": 0}));
    let first = alike["data"]["hits"][0]["ref"].as_str().unwrap();
    assert!(
        ["annals-sample/tidewater#12", "annals-sample/tidewater#39"].contains(&first),
        "both are about one: {first}"
    );
    let both = desk.run("search --mode hybrid cutover race").envelope();
    assert_eq!(both["meta"]["mode"], "hybrid");
    assert!(both["meta"]["total"].as_u64() > desk.run("search cutover race").envelope()["meta"]["total"].as_u64());
}

#[test]
fn embed_goes_on_where_it_was() {
    let desk = desk_with(&embedder(Manners::default()), "meaning");
    let some = desk.run("embed -n 3").data();
    assert_eq!((&some["embedded"], &some["set"]["active"]), (&3.into(), &false.into()));
    let rest = some["remaining"].as_u64().unwrap();
    assert!(rest > 100, "{some}");
    let said = desk.run("embed --human -n 2").stdout;
    assert!(
        said.starts_with("2 documents embedded, ") && said.contains("the old vectors answer"),
        "{said}"
    );
    let all = desk.run("embed").data();
    assert_eq!((&all["embedded"], &all["remaining"]), (&(rest - 2).into(), &0.into()));
    assert_eq!(all["set"]["active"], true);
    assert_eq!(desk.run("embed").data()["embedded"], 0);
    assert_eq!(desk.run("embed --full -n 5").data()["embedded"], 5);
    // A model that knows meanings is configured: both is what is done.
    assert_eq!(desk.run("search cutover").envelope()["meta"]["mode"], "hybrid");
    assert_eq!(
        desk.run("search --mode lexical cutover").envelope()["meta"]["mode"],
        "lexical"
    );
}

#[test]
fn ollama_model_missing_exit_15() {
    let desk = desk_with(&embedder(Manners::default()), "nowhere");
    let ended = desk.run("embed");
    assert_eq!(ended.code, 15, "{ended:?}");
    let error = ended.error();
    assert_eq!(
        (&error["code"], &error["details"]["model"]),
        (&"model_missing".into(), &"nowhere".into())
    );
    assert!(error["suggestion"].as_str().unwrap().contains("ollama pull nowhere"));
}

#[test]
fn an_embedder_that_is_away_is_exit_14_or_a_warning() {
    let desk = desk_with(&embedder(Manners::default()), "meaning");
    assert_eq!(desk.run("embed").code, 0);
    configure(&desk, &nowhere(), "meaning");
    let ended = desk.run("search --mode semantic cutover");
    assert_eq!(ended.code, 14, "{ended:?}");
    assert_eq!(ended.error()["actions"][0], "annals search --mode lexical -- cutover");
    assert_eq!(desk.run("search --mode lexical -- cutover").code, 0);
    let usual = desk.run("search cutover").envelope();
    assert_eq!(usual["meta"]["mode"], "lexical");
    assert!(
        usual["meta"]["warnings"][0].as_str().unwrap().contains("by words only"),
        "{usual}"
    );
}

#[test]
fn the_key_of_an_embedder_is_shown_nowhere() {
    let manners = Manners {
        key: Some("sk-right".to_owned()),
        ..Manners::default()
    };
    let desk = desk_with(&embedder(manners), "meaning");
    let with = |key: &str| {
        let mut command = desk.annals(["embed", "-vvv", "--progress=json"]);
        Ended::of(command.env("ANNALS_TOKEN_EMBED", key).output().unwrap())
    };
    // The log goes on behind the answer while a runtime stops.
    let code = |ended: &Ended| {
        let mut lines = ended.stderr.lines();
        let answer = lines.find(|line| line.starts_with("{\"ok\":false")).unwrap();
        let answer: serde_json::Value = serde_json::from_str(answer).unwrap();
        answer["error"]["code"].as_str().unwrap().to_owned()
    };
    let none = desk.run("embed");
    assert_eq!((none.code, none.code_of_error().as_str()), (4, "token_missing"));
    let wrong = with("sk-s3cret-wrong");
    assert_eq!((wrong.code, code(&wrong).as_str()), (5, "auth_rejected"));
    let unusable = with("sk-s3cret\u{e9}");
    assert_eq!((unusable.code, code(&unusable).as_str()), (3, "config_invalid"));
    for ended in [&wrong, &unusable] {
        let said = format!("{}{}", ended.stdout, ended.stderr);
        assert!(!said.contains("s3cret"), "{said}");
    }
    let right = with("sk-right");
    assert_eq!(right.code, 0, "{right:?}");
    assert!(!right.stderr.contains("sk-right"), "not in the log either");
}

#[test]
fn without_an_embedder_there_is_nothing_to_do() {
    let desk = Desk::with_mirror();
    std::fs::write(
        desk.path("annals.toml"),
        "[db]\npath = \"annals.db\"\n[embed]\nprovider = \"none\"\n",
    )
    .unwrap();
    let ended = desk.run("embed");
    assert_eq!((ended.code, ended.code_of_error().as_str()), (2, "option_off"));
    assert_eq!(desk.run("search cutover").code, 0);
    let empty = Desk::empty();
    assert_eq!(empty.run("embed --db none.db").code, 17);
    assert!(!empty.path("none.db").exists(), "no file is made for nothing");
}

#[test]
fn doctor_asks_the_embedder_that_is_configured() {
    let desk = desk_with(&embedder(Manners::default()), "meaning");
    let check = |desk: &Desk| {
        let ended = desk.run("doctor");
        let checks = match ended.code {
            0 => ended.data()["checks"].clone(),
            _ => ended.error()["details"]["checks"].clone(),
        };
        let checks = checks.as_array().unwrap();
        checks.iter().find(|check| check["name"] == "embedder").cloned()
    };
    let answers = check(&desk).unwrap();
    assert_eq!(answers["status"], "ok", "{answers}");
    configure(&desk, &nowhere(), "meaning");
    let away = check(&desk).unwrap();
    assert_eq!(away["status"], "fail");
    assert!(away["hint"].as_str().unwrap().contains("embed.base_url"), "{away}");
    assert_eq!(
        check(&Desk::with_mirror()),
        None,
        "nobody is asked where none is configured"
    );
}
