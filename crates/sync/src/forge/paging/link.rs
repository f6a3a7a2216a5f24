//! The `Link` header.

/// The entries of a `Link` header (RFC 8288): target and relation types in lower case. What does
/// not follow the grammar is skipped to the next comma.
#[must_use]
pub fn parse_link(header: &str) -> Vec<(String, Vec<String>)> {
    let mut entries = Vec::new();
    let mut rest = header;
    // Only separators may stand before a target; anything else was a broken entry and is skipped.
    while let Some((_, after)) = rest.split_once('<') {
        let Some((target, after)) = after.split_once('>') else {
            break;
        };
        let (params, next) = split_params(after);
        let rels = params
            .iter()
            .filter(|(name, _)| name == "rel")
            .flat_map(|(_, value)| {
                value
                    .split_ascii_whitespace()
                    .map(str::to_ascii_lowercase)
                    .collect::<Vec<_>>()
            })
            .collect();
        entries.push((target.trim().to_owned(), rels));
        rest = next;
    }
    entries
}

/// Parameters up to the comma that ends the entry, and what follows it.
fn split_params(text: &str) -> (Vec<(String, String)>, &str) {
    let mut params = Vec::new();
    let (mut name, mut value) = (String::new(), String::new());
    let (mut in_value, mut quoted, mut escaped) = (false, false, false);
    let mut push = |name: &mut String, value: &mut String| {
        if !name.trim().is_empty() {
            params.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
        name.clear();
        value.clear();
    };
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => {
                value.push(c);
                escaped = false;
            }
            '\\' if quoted => escaped = true,
            '"' if in_value => quoted = !quoted,
            _ if quoted => value.push(c),
            ';' => {
                push(&mut name, &mut value);
                in_value = false;
            }
            ',' => {
                push(&mut name, &mut value);
                return (params, text.get(at + 1..).unwrap_or_default());
            }
            '=' if !in_value => in_value = true,
            _ if in_value => value.push(c),
            _ => name.push(c),
        }
    }
    push(&mut name, &mut value);
    (params, "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn link_header_grammar() {
        let one = |t: &str| parse_link(t);
        assert_eq!(one(""), vec![]);
        assert_eq!(one("<a>"), vec![("a".into(), vec![])]);
        assert_eq!(
            one("<a,b;c>; rel=\"next prev\""),
            vec![("a,b;c".into(), vec!["next".into(), "prev".into()])]
        );
        assert_eq!(
            one("<a>; title=\"x, <b>; rel=next\"; REL=Next,<c>;rel=last"),
            vec![("a".into(), vec!["next".into()]), ("c".into(), vec!["last".into()])]
        );
        assert_eq!(one("garbage, <a>; rel=next"), vec![("a".into(), vec!["next".into()])]);
        assert_eq!(one("<never closed"), vec![]);
        assert_eq!(
            one("<a>; rel=\"never closed"),
            vec![("a".into(), vec!["never".into(), "closed".into()])]
        );
    }

    proptest! {
        #[test]
        fn no_header_makes_it_panic(text in "[<>;,=\"\\\\ a-z]{0,60}") {
            for (target, _) in parse_link(&text) {
                prop_assert!(!target.contains('>'));
            }
        }
    }
}
