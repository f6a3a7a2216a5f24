//! What every kind of input means, one line a case.
//!
//! The right-hand side is [`described`]: required terms plain, excluded ones with `-`, tokens that stand together in
//! `[…]`, a prefix with `*`, then filters, then warnings after `!`; a refusal is `ERR key@position`.

use std::fmt::Write as _;

use annals_core::UnixMs;
use annals_search::query::{self, Bound, Condition, Fact, Name, Pattern, Query, Sign, TimeField, parse};

/// 2024-06-15T12:00:00Z
const NOW: UnixMs = UnixMs(1_718_452_800_000);

#[rustfmt::skip]
const TABLE: &[(&str, &str)] = &[
    // Words.
    ("", ""),
    ("   \t\n ", ""),
    ("race", "race"),
    ("cutover race", "cutover race"),
    ("  cutover \t race\n", "cutover race"),
    ("cutover\u{3000}race", "cutover race"),
    ("cutover\u{a0}race", "cutover race"),
    ("Race RACE rAcE", "race race race"),
    ("Ünïcode", "unicode"),
    ("crème brûlée", "creme brulee"),
    ("Straße", "strasse"),
    ("ΑΘΗΝΑ", "αθηνα"),
    ("Ёлка", "елка"),
    ("ﬁle", "file"),
    ("42", "42"),
    ("v1.2.3", "[v1 2 3]"),
    ("foo-bar", "[foo bar]"),
    ("foo/bar.rs", "[foo bar rs]"),
    ("a+b=c", "[a b c]"),
    ("don't", "[don t]"),
    ("C++", "c"),
    ("#42", "42"),
    ("!7", "7"),
    ("@ada", "ada"),
    ("user@example.org", "[user example org]"),
    ("日本", "[日 本]"),
    ("日本語 検索", "[日 本 語] [検 索]"),
    ("fix日本", "[fix 日 本]"),
    ("검색", "[검 색]"),
    ("...", ""),
    ("!?", ""),
    ("🙂", ""),
    ("\u{0}", ""),
    ("a\u{0}b", "[a b]"),
    ("\u{202e}abc", "abc"),
    ("<script>alert(1)</script>", "[script alert 1 script]"),
    ("'; DROP TABLE documents; --", "drop table documents"),
    ("AND", "and"),
    ("foo OR bar", "foo or bar"),
    ("foo NOT bar", "foo not bar"),
    ("NEAR(a b)", "[near a] b"),
    ("(foo bar)", "foo bar"),
    ("^foo", "foo"),
    ("{title}", "title"),
    ("foo + bar", "foo bar"),
    ("foo,bar", "[foo bar]"),
    // Phrases.
    ("\"cutover race\"", "[cutover race]"),
    ("\"one\"", "one"),
    ("\"\"", ""),
    ("\" \"", ""),
    ("\"...\"", ""),
    ("\"open phrase", "[open phrase]"),
    ("\"", ""),
    ("\"\"\"", ""),
    ("a \"b c\" d", "a [b c] d"),
    ("a\"b c\"d", "a [b c] d"),
    ("\"a b\"\"c d\"", "[a b] [c d]"),
    ("\"a   b\"", "[a b]"),
    ("\"a-b c\"", "[a b c]"),
    ("\"Été à Paris\"", "[ete a paris]"),
    ("\"label:bug\"", "[label bug]"),
    ("\"a -b\"", "[a b]"),
    ("\"a*\"", "a"),
    ("\"a b\"*", "[a b]"),
    ("5\" screen", "5 screen"),
    ("“smart quotes”", "smart quotes"),
    // Prefixes.
    ("cut*", "cut*"),
    ("Cut* RAC*", "cut* rac*"),
    ("cut**", "cut*"),
    ("*", ""),
    ("**", ""),
    ("*foo", "foo"),
    ("fo*o", "[fo o]"),
    ("foo-ba*", "[foo ba]*"),
    ("std::*", "std"),
    ("foo. *", "foo"),
    ("日本*", "[日 本]*"),
    ("é*", "e*"),
    ("cafe\u{301}*", "cafe*"),
    ("हिन्*", "हिन्*"),
    ("-cut*", "-cut*"),
    // Negation.
    ("-race", "-race"),
    ("cutover -race", "cutover -race"),
    ("-\"cutover race\"", "-[cutover race]"),
    ("-foo-bar", "-[foo bar]"),
    ("-", ""),
    ("- foo", "foo"),
    ("foo -", "foo"),
    ("foo- bar", "foo bar"),
    ("--jobs", "jobs"),
    ("---", ""),
    ("-日本", "-[日 本]"),
    ("-...", ""),
    ("\u{2212}foo", "foo"),
    ("-foo\"bar baz\"", "-foo -[bar baz]"),
    ("foo\"-bar baz\"", "foo [bar baz]"),
    ("-a -b -c", "-a -b -c"),
    // project:
    ("project:group/app", "project=group/app"),
    ("project:Group/App", "project=group/app"),
    ("PROJECT:group/app", "project=group/app"),
    ("project:/group/app", "project=group/app"),
    ("project:group/", "project=group/**"),
    ("project:group/*", "project~group/*"),
    ("project:*/app", "project~*/app"),
    ("project:a/b,c/d", "project=a/b|=c/d"),
    ("project:a/b project:c/d", "project=a/b project=c/d"),
    ("-project:a/b", "-project=a/b"),
    ("project:\"a/b c\"", "project=a/b c"),
    ("project:app?", "project~app?"),
    ("project:", "ERR project@8"),
    ("project:/", "ERR project@8"),
    ("project:a/b,/", "ERR project@12"),
    // forge:
    ("forge:gitlab.com", "forge=gitlab.com"),
    ("forge:GitLab.com,work", "forge=gitlab.com|work"),
    ("-forge:work", "-forge=work"),
    ("forge:", "ERR forge@6"),
    // kind:
    ("kind:issue", "kind=issue"),
    ("kind:mr", "kind=merge_request"),
    ("kind:merge_request", "kind=merge_request"),
    ("kind:issue,mr,discussion,commit", "kind=issue|merge_request|discussion|commit"),
    ("Kind:MR", "kind=merge_request"),
    ("-kind:discussion", "-kind=discussion"),
    ("kind:pull", "ERR kind@5"),
    ("kind:issue,ticket", "ERR kind@11"),
    ("race kind:", "ERR kind@10"),
    // author: assignee: reviewer:
    ("author:ada", "author=ada"),
    ("author:@ada", "author=ada"),
    ("author:Ada", "author=ada"),
    ("author:José", "author=jose"),
    ("author:ada,bob", "author=ada|bob"),
    ("author:ada author:bob", "author=ada author=bob"),
    ("author:none", "author=NONE"),
    ("author:any", "author=ANY"),
    ("author:\"none\"", "author=none"),
    ("author:NONE", "author=NONE"),
    ("-author:bot", "-author=bot"),
    ("author:\"Ada Lovelace\"", "author=ada lovelace"),
    ("author:\"unclosed name", "author=unclosed name"),
    ("assignee:none", "assignee=NONE"),
    ("assignee:ada", "assignee=ada"),
    ("-assignee:any", "-assignee=ANY"),
    ("reviewer:@bob", "reviewer=bob"),
    ("reviewer:any,bob", "reviewer=ANY|bob"),
    ("author:", "ERR author@7"),
    ("author: ada", "ERR author@7"),
    ("author:\"\"", "ERR author@7"),
    ("author:,", "ERR author@7"),
    ("reviewer:", "ERR reviewer@9"),
    ("x assignee:", "ERR assignee@11"),
    // label: milestone:
    ("label:bug", "label=bug"),
    ("label:Bug", "label=bug"),
    ("label:bug,feature", "label=bug|feature"),
    ("label:bug label:feature", "label=bug label=feature"),
    ("label:\"good first issue\"", "label=good first issue"),
    ("label:\"a,b\",c", "label=a,b|c"),
    ("label:bug,\"good first issue\",x", "label=bug|good first issue|x"),
    ("label:priority::high", "label=priority::high"),
    ("label:bug,", "label=bug"),
    ("label:,bug", "label=bug"),
    ("label:bug, fix", "fix label=bug"),
    ("-label:wontfix", "-label=wontfix"),
    ("label:none", "label=NONE"),
    ("label:\"any\"", "label=any"),
    ("label:ünïcode", "label=unicode"),
    ("label:日本", "label=日本"),
    ("label:\"x\"fix", "fix label=x"),
    ("label:", "ERR label@6"),
    ("milestone:1.0", "milestone=1.0"),
    ("milestone:\"Version 2\"", "milestone=version 2"),
    ("milestone:none", "milestone=NONE"),
    ("milestone:any", "milestone=ANY"),
    ("milestone:", "ERR milestone@10"),
    // state:
    ("state:open", "state=open"),
    ("state:OPEN", "state=open"),
    ("state:open,closed,merged", "state=open|closed|merged"),
    ("-state:merged", "-state=merged"),
    ("state:opened", "ERR state@6"),
    ("é state:done", "ERR state@8"),
    ("state:\"open\"", "state=open"),
    ("state:", "ERR state@6"),
    // path:
    ("path:src/main.rs", "path=src/main.rs"),
    ("path:./src//main.rs", "path=src/main.rs"),
    ("path:/src/main.rs", "path=src/main.rs"),
    ("path:src/", "path=src/**"),
    ("path:*.rs", "path~*.rs"),
    ("path:src/**/mod.rs", "path~src/**/mod.rs"),
    ("path:src/*/", "path~src/*"),
    ("path:README.md,docs/", "path=README.md|=docs/**"),
    ("path:\"with blank.txt\"", "path=with blank.txt"),
    ("path:[id].tsx", "path=[id].tsx"),
    ("path:C:\\x", "path=C:\\x"),
    ("-path:vendor/", "-path=vendor/**"),
    ("path:.", "ERR path@5"),
    ("path:/", "ERR path@5"),
    ("path:../x", "ERR path@5"),
    ("path:", "ERR path@5"),
    // Times.
    ("after:2024-05-01", "updated>=2024-05-01T00:00:00Z"),
    ("before:2024-05-01", "updated<2024-05-01T00:00:00Z"),
    ("created-after:2024-05-01", "created>=2024-05-01T00:00:00Z"),
    ("created-before:2024-05-01", "created<2024-05-01T00:00:00Z"),
    ("after:2024-05-01T10:30:00Z", "updated>=2024-05-01T10:30:00Z"),
    ("after:2024-05-01T10:30:00+02:00", "updated>=2024-05-01T08:30:00Z"),
    ("after:2024-05-01T10:30", "updated>=2024-05-01T10:30:00Z"),
    ("after:\"2024-05-01 10:30\"", "updated>=2024-05-01T10:30:00Z"),
    ("after:2024-05-01t10:30:00z", "updated>=2024-05-01T10:30:00Z"),
    ("after:12h", "updated>=2024-06-15T00:00:00Z"),
    ("after:7d", "updated>=2024-06-08T12:00:00Z"),
    ("after:3w", "updated>=2024-05-25T12:00:00Z"),
    ("after:6mo", "updated>=2023-12-15T12:00:00Z"),
    ("after:1y", "updated>=2023-06-15T12:00:00Z"),
    ("After:7D", "updated>=2024-06-08T12:00:00Z"),
    ("after:0d", "updated>=2024-06-15T12:00:00Z"),
    ("before:1d", "updated<2024-06-14T12:00:00Z"),
    ("-after:1d", "-updated>=2024-06-14T12:00:00Z"),
    ("after:30d before:7d", "updated>=2024-05-16T12:00:00Z updated<2024-06-08T12:00:00Z"),
    ("after:1d,2d", "updated>=2024-06-14T12:00:00Z|2024-06-13T12:00:00Z"),
    ("after:2024-02-30", "ERR after@6"),
    ("after:yesterday", "ERR after@6"),
    ("after:2024", "ERR after@6"),
    ("after:2024-05", "ERR after@6"),
    ("after:7", "ERR after@6"),
    ("after:7m", "ERR after@6"),
    ("after:-7d", "ERR after@6"),
    ("after:99999999999999999999d", "ERR after@6"),
    ("after:99999y", "ERR after@6"),
    ("before:", "ERR before@7"),
    ("created-after:soon", "ERR created-after@14"),
    ("x created-before:", "ERR created-before@17"),
    // is:
    ("is:draft", "is=draft"),
    ("is:draft,confidential", "is=draft|confidential"),
    ("is:resolved", "is=resolved"),
    ("is:unresolved", "is=unresolved"),
    ("is:gone", "is=gone"),
    ("is:bot", "is=bot"),
    ("-is:bot", "-is=bot"),
    ("IS:Draft", "is=draft"),
    ("is:open", "ERR is@3"),
    ("is:draft,open", "ERR is@9"),
    ("is:", "ERR is@3"),
    // Unknown keys are text; near misses say so.
    ("std::vec", "[std vec]"),
    ("http://x", "[http x]"),
    ("https://example.org/a?b=c", "[https example org a b c]"),
    ("foo:bar", "[foo bar]"),
    (":", ""),
    ("::", ""),
    (":bug", "bug"),
    ("title:\"a b\"", "title [a b]"),
    ("12:30", "[12 30]"),
    ("lable:bug", "[lable bug] !label"),
    ("labels:bug", "[labels bug] !label"),
    ("Authr:ada", "[authr ada] !author"),
    ("-lable:\"x y\"", "-lable -[x y] !label"),
    ("create-after:1d", "[create after 1d] !created-after"),
    ("\"lable:bug\"", "[lable bug]"),
    // Together.
    ("cutover race label:bug -state:closed after:7d", "cutover race label=bug -state=closed updated>=2024-06-08T12:00:00Z"),
    ("kind:mr path:src/ \"data race\" cut* -flaky", "[data race] cut* -flaky kind=merge_request path=src/**"),
    ("label:bug", "label=bug"),
    ("-label:bug -race", "-race -label=bug"),
    ("state:nope label:bug kind:nope", "ERR state@6"),
];

#[test]
fn query_table_200_cases() {
    assert!(TABLE.len() >= 200, "{} cases", TABLE.len());
    let mut wrong = String::new();
    for (input, expected) in TABLE {
        let found = described(input);
        if found != *expected {
            writeln!(wrong, "{input:?}\n  expected {expected}\n  found    {found}").unwrap();
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn a_query_over_its_limits_is_refused_where_it_goes_over() {
    let at = |text: &str| parse(text, NOW).map_err(|e| e.position);
    assert!(at(&"é".repeat(1_024)).is_ok());
    assert_eq!(at(&"é".repeat(1_025)), Err(1_024));
    assert!(at(&"a ".repeat(64)).is_ok());
    assert_eq!(at(&"a ".repeat(65)), Err(128));
    assert_eq!(at(&"is:bot ".repeat(65)), Err(448));
}

#[test]
fn a_refusal_shows_an_example_that_is_accepted() {
    for key in [
        "project",
        "forge",
        "kind",
        "author",
        "assignee",
        "reviewer",
        "label",
        "milestone",
        "state",
        "path",
    ]
    .into_iter()
    .chain(["after", "before", "created-after", "created-before", "is"])
    {
        let refused = parse(&format!("{key}:"), NOW).unwrap_err();
        assert_eq!(refused.key, key);
        assert!(refused.to_string().contains(refused.example), "{refused}");
        let accepted = parse(refused.example, NOW).unwrap();
        assert_eq!(accepted.filters.len(), 1, "{}", refused.example);
    }
}

#[test]
fn what_cannot_be_searched_is_said() {
    let warnings = |text: &str| parse(text, NOW).unwrap().warnings;
    for (query, word) in [("🙂", "🙂"), ("*", "*"), ("race -🙂 🙂", "🙂"), ("\"...\"", "...")] {
        let expected = format!("`{word}` has nothing that can be searched and was left out");
        assert_eq!(warnings(query), [expected], "{query}");
    }
    assert!(warnings("").is_empty() && warnings("\"\" race").is_empty());
}

#[test]
fn only_is_gone_asks_for_the_gone() {
    let asks = |text| parse(text, NOW).unwrap().asks_for_gone();
    assert!(asks("is:gone") && asks("x is:draft,gone"));
    assert!(!asks("gone") && !asks("-is:gone") && !asks("is:draft"));
}

fn described(input: &str) -> String {
    let query = match parse(input, NOW) {
        Ok(query) => query,
        Err(refused) => return format!("ERR {}@{}", refused.key, refused.position),
    };
    let Query {
        terms,
        filters,
        warnings,
    } = query;
    let mut out: Vec<String> = Vec::new();
    for term in terms {
        let words = term.text.words().join(" ");
        let tokens = if term.text.words().len() > 1 {
            format!("[{words}]")
        } else {
            words
        };
        let star = if term.text.is_prefix() { "*" } else { "" };
        out.push(format!("{}{tokens}{star}", dash(term.sign)));
    }
    for filter in filters {
        out.push(format!("{}{}", dash(filter.sign), condition(&filter.condition)));
    }
    for warning in warnings
        .into_iter()
        .filter(|warning| !warning.ends_with("was left out"))
    {
        let meant = warning.split('`').nth(3).unwrap().trim_end_matches(':').to_owned();
        out.push(format!("!{meant}"));
    }
    out.join(" ")
}

fn dash(sign: Sign) -> &'static str {
    match sign {
        Sign::Require => "",
        Sign::Exclude => "-",
    }
}

fn condition(condition: &Condition) -> String {
    match condition {
        Condition::Project(patterns) => format!("project{}", paths(patterns)),
        Condition::Forge(names) => format!("forge={}", names.join("|")),
        Condition::Kind(kinds) => format!("kind={}", joined(kinds, |k| k.as_str().to_owned())),
        Condition::Person(role, who) => format!("{}={}", role.as_str(), names(who)),
        Condition::Label(labels) => format!("label={}", names(labels)),
        Condition::Milestone(titles) => format!("milestone={}", names(titles)),
        Condition::State(states) => format!("state={}", joined(states, |s| s.as_str().to_owned())),
        Condition::Path(patterns) => format!("path{}", paths(patterns)),
        Condition::Time(field, bound, times) => {
            let field = if *field == TimeField::Updated {
                "updated"
            } else {
                "created"
            };
            let bound = if *bound == Bound::From { ">=" } else { "<" };
            format!("{field}{bound}{}", joined(times, |t| t.rfc3339().replace(".000Z", "Z")))
        }
        Condition::Is(facts) => format!("is={}", joined::<Fact>(facts, |f| f.as_str().to_owned())),
    }
}

fn joined<T>(items: &[T], show: impl Fn(&T) -> String) -> String {
    items.iter().map(show).collect::<Vec<_>>().join("|")
}

fn names(names: &[Name]) -> String {
    joined(names, |name| match name {
        Name::Nothing => "NONE".to_owned(),
        Name::Anything => "ANY".to_owned(),
        Name::Is(name) => name.clone(),
    })
}

fn paths(patterns: &[Pattern]) -> String {
    joined(patterns, |pattern| match pattern {
        Pattern::Exact(path) => format!("={path}"),
        Pattern::Under(path) => format!("={path}**"),
        Pattern::Glob(path) => format!("~{path}"),
    })
}

#[test]
fn what_follows_a_quote_in_a_field_is_not_dropped() {
    let label = |value: &str| match query::filter("label", value, NOW).unwrap().unwrap().condition {
        Condition::Label(names) => names,
        other => panic!("{other:?}"),
    };
    let is = |name: &str| Name::Is(name.to_owned());
    assert_eq!(label("\"a, b\" , c"), [is("a, b"), is("c")]);
    assert_eq!(label("\"a\"b c,\"d\" "), [is("a"), is("b c"), is("d")]);
    assert_eq!(label("\"a\" \"b\""), [is("a"), is("b")]);
}

#[test]
fn messages_hold_no_control_characters() {
    let warned = parse("la\u{1b}bel:x", NOW).unwrap();
    assert!(warned.warnings[0].contains("la\\x1bbel:"), "{:?}", warned.warnings);
    let refused = parse("state:\u{1b}[31m\u{202e}", NOW).unwrap_err();
    assert!(refused.to_string().contains("\\x1b[31m\\u{202e}"), "{refused}");
    assert_eq!(refused.found, "\u{1b}[31m\u{202e}");
}

#[test]
fn a_path_longer_than_any_is_refused_by_a_field_too() {
    for (key, value) in [("path", "a".repeat(60_000)), ("project", "*".repeat(60_000))] {
        let refused = query::filter(key, &value, NOW).unwrap_err();
        assert_eq!((refused.key, refused.position), (key, 0));
        assert!(query::filter(key, &value[..4_096], NOW).is_ok());
    }
}
