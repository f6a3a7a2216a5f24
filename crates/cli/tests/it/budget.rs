//! An answer that must be short is one, and says how to get the rest.

use serde_json::Value;

use crate::support::Desk;

/// The words of a command that an answer names, without `annals`.
fn words(line: &str) -> Vec<&str> {
    line.split(' ').skip(1).collect()
}

#[test]
fn the_pages_of_a_budget_are_the_list() {
    let desk = Desk::with_mirror();
    for (line, list) in [
        ("issues -n 500", "items"),
        ("mrs -n 500", "items"),
        ("search the -n 500", "hits"),
    ] {
        let whole = desk.run(line).data()[list].as_array().unwrap().clone();
        let (mut seen, mut next, mut pages) = (Vec::new(), format!("annals {line} --max-bytes 4096"), 0);
        loop {
            let ended = desk.run_words(words(&next));
            assert!(ended.stdout.len() <= 4096, "{next}: {} bytes", ended.stdout.len());
            let envelope = ended.envelope();
            let items = envelope["data"][list].as_array().unwrap();
            assert!(!items.is_empty(), "{next}");
            seen.extend(items.iter().cloned());
            pages += 1;
            let truncated = &envelope["meta"]["truncated"];
            if truncated.is_null() {
                break;
            }
            assert_eq!(truncated["lists"][0]["shown"], items.len());
            assert_eq!(envelope["meta"]["next_offset"], seen.len());
            truncated["next"].as_str().unwrap().clone_into(&mut next);
        }
        assert!(pages > 2, "{line} was never cut");
        assert_eq!(seen, whole, "{line}");
    }
}

#[test]
fn what_has_no_pages_says_what_it_takes() {
    let desk = Desk::with_mirror();
    let line = "show mr 4 --discussions --events --files";
    let whole = desk.run(line).data();
    let cut = desk.run(&format!("{line} --max-bytes 3000"));
    assert!(cut.stdout.len() <= 3000, "{}", cut.stdout.len());
    let envelope = cut.envelope();
    assert_eq!(envelope["data"]["entity"], whole["entity"]);
    let next = envelope["meta"]["truncated"]["next"].as_str().unwrap();
    assert_eq!(desk.run_words(words(next)).data(), whole);
    let error = desk.run(&format!("{line} --max-bytes 1024")).error();
    assert_eq!(error["code"], "usage");
    assert!(error["details"]["needed_bytes"].as_u64().unwrap() > 1024, "{error}");
    let minimal = desk.run(&format!("{line} --max-bytes 1024 --fields minimal"));
    assert_eq!(minimal.envelope()["meta"]["truncated"], Value::Null);
}

#[test]
fn a_budget_is_for_programs() {
    let desk = Desk::with_mirror();
    let page = |flags: &str| desk.run(&format!("issues --human {flags}")).stdout;
    assert_eq!(page(""), page("--max-bytes 1024"));
    assert_eq!(desk.run("issues --max-bytes 10").code_of_error(), "usage");
}
