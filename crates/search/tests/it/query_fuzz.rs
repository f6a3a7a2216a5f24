//! Whatever is typed is a query, or is refused for a value with an example; it never panics.

use annals_core::UnixMs;
use annals_search::query::{MAX_CHARS, parse};
use proptest::prelude::*;

/// Pieces that mean something, so that random input reaches every branch.
fn fragment() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "\"",
        "-",
        "--",
        "*",
        ":",
        ",",
        " ",
        "\u{3000}",
        "label:",
        "-label:",
        "after:",
        "before:7d",
        "is:draft",
        "state:open",
        "path:src/",
        "project:*",
        "none",
        "any",
        "2024-05-01",
        "日本",
        "é",
        "e\u{301}",
        "\u{0}",
        "\u{202e}",
        "\u{1f642}",
        "AND",
        "OR",
        "NEAR(",
        ")",
        "^",
        "lable:",
        "12h",
        "99999999999999999999y",
        "kind:mr,issue",
        "author:@x",
        "is:gone",
        "created-after:",
        "'",
        ";",
        "%",
        "_",
        "\\",
        "[",
        "]",
        "{",
        "}",
    ]);
    prop_oneof![
        4 => known.prop_map(str::to_owned),
        2 => any::<String>(),
        1 => "[a-z]{1,8}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn fuzz_10k_queries_never_an_error(parts in prop::collection::vec(fragment(), 0..24), now in any::<i64>()) {
        let text = parts.concat();
        match parse(&text, UnixMs(now)) {
            Ok(query) => {
                prop_assert!(query.terms.iter().all(|t| !t.text.words().is_empty()));
                prop_assert!(query.terms.iter().flat_map(|t| t.text.words()).all(|word| !word.is_empty()));
                prop_assert_eq!(parse(&text, UnixMs(now)).unwrap(), query);
            }
            Err(refused) => {
                // Refused for a filter that stands there, or for length; never for how it is written.
                let long = text.chars().count() > MAX_CHARS || refused.reason.contains("64");
                prop_assert!(!refused.key.is_empty() || long, "{}", refused);
                prop_assert!(text.to_ascii_lowercase().contains(refused.key));
                prop_assert!(refused.position <= text.chars().count());
                prop_assert!(parse(refused.example, UnixMs(1_718_452_800_000)).is_ok());
            }
        }
    }
}
