//! Slips are put right, and said.

use serde_json::json;

use crate::support::Desk;

#[test]
fn a_slip_is_put_right_and_said() {
    let desk = Desk::with_mirror();
    let ended = desk.run("isues --lable bug -n 2");
    let envelope = ended.envelope();
    assert_eq!(
        envelope["meta"]["corrections"],
        json!([
            {"from": "isues", "to": "issues", "rule": "similar"},
            {"from": "--lable", "to": "--label", "rule": "similar"},
        ])
    );
    assert_eq!(
        (&envelope["meta"]["command"], ended.stderr.as_str()),
        (&"issues".into(), "")
    );
    assert_eq!(envelope["data"], desk.run("issues --label bug -n 2").data());
    assert_eq!(desk.run("issues").envelope()["meta"]["corrections"], json!([]));

    let human = desk.run("isues -n 2 --human");
    assert_eq!(human.code, 0);
    assert_eq!(
        human.stderr,
        "note: `isues` was read as `issues`; --no-autocorrect leaves words as they are\n"
    );
    assert_eq!(human.stdout, desk.run("issues -n 2 --human").stdout);
    assert_eq!(desk.run("isues -n 2 --human -q").stderr, "", "quiet is quiet");

    // A failure says it too.
    let failure = desk.run("shwo 9999").failure();
    assert_eq!(
        (&failure["error"]["code"], &failure["meta"]["corrections"][0]["to"]),
        (&"not_found".into(), &"show".into())
    );
}

#[test]
fn what_cannot_be_put_right_as_a_whole_is_told_as_it_was_typed() {
    let desk = Desk::with_mirror();
    let failure = desk.run("isues --frobnicate").failure();
    assert_eq!(failure["meta"]["corrections"], json!([]));
    assert_eq!(
        (&failure["error"]["code"], &failure["error"]["suggestion"]),
        (&"usage".into(), &"issues".into())
    );
}

#[test]
fn nobody_is_corrected_against_their_will() {
    let desk = Desk::with_mirror();
    assert_eq!(desk.run("isues --no-autocorrect").code_of_error(), "usage");
    let mut command = desk.annals(["isues"]);
    command.env("ANNALS_CLI__AUTOCORRECT", "false");
    assert_eq!(
        crate::support::Ended::of(command.output().unwrap()).code_of_error(),
        "usage"
    );
    std::fs::write(
        desk.path("off.toml"),
        "[db]\npath = \"annals.db\"\n[cli]\nautocorrect = false\n",
    )
    .unwrap();
    for line in ["isues --config off.toml", "--config=off.toml isues"] {
        assert_eq!(desk.run(line).code_of_error(), "usage", "{line}");
    }
    assert_eq!(desk.run("--config annals.toml isues").code, 0);
}
