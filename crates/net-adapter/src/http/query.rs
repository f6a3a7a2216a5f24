//! Adding parameters to a URL's query without touching what is already there.

use std::fmt::Write as _;

/// Appends `pairs` to the query of `url`, before its fragment, in the order given.
///
/// Keys and values are percent-encoded except for the unreserved characters of RFC 3986, so a space
/// is `%20` and a plus `%2B`; a server that reads forms and one that reads URIs see the same value.
/// The existing query stays byte for byte as it is. Without pairs the result is `url`.
#[must_use]
pub fn append_query_params(url: &str, pairs: &[(&str, &str)]) -> String {
    if pairs.is_empty() {
        return url.to_owned();
    }
    let (base, fragment) = match url.split_once('#') {
        Some((base, fragment)) => (base, Some(fragment)),
        None => (url, None),
    };
    let mut out = String::with_capacity(url.len() + pairs.iter().map(|(k, v)| k.len() + v.len() + 2).sum::<usize>());
    out.push_str(base);
    // Only the first question mark begins the query; a later one is data.
    let mut separator = match base.split_once('?') {
        None => "?",
        Some((_, query)) if query.is_empty() || query.ends_with('&') => "",
        Some(_) => "&",
    };
    for (key, value) in pairs {
        out.push_str(separator);
        encode_into(&mut out, key);
        out.push('=');
        encode_into(&mut out, value);
        separator = "&";
    }
    if let Some(fragment) = fragment {
        out.push('#');
        out.push_str(fragment);
    }
    out
}

fn encode_into(out: &mut String, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => write!(out, "%{byte:02X}").unwrap_or_default(), // a String takes everything
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn append_query_params_table() {
        let cases: &[(&str, &[(&str, &str)], &str)] = &[
            ("http://h/a", &[], "http://h/a"),
            ("http://h/a?x=1#f", &[], "http://h/a?x=1#f"),
            ("http://h/a?", &[], "http://h/a?"),
            ("http://h/a", &[("k", "v")], "http://h/a?k=v"),
            ("http://h", &[("k", "v")], "http://h?k=v"),
            ("http://h/", &[("k", "v")], "http://h/?k=v"),
            ("http://h/a?x=1", &[("k", "v")], "http://h/a?x=1&k=v"),
            ("http://h/a?", &[("k", "v")], "http://h/a?k=v"),
            ("http://h/a?x=1&", &[("k", "v")], "http://h/a?x=1&k=v"),
            ("http://h/a?x=1&&", &[("k", "v")], "http://h/a?x=1&&k=v"),
            ("http://h/a?x", &[("k", "v")], "http://h/a?x&k=v"),
            ("http://h/a?x=", &[("k", "v")], "http://h/a?x=&k=v"),
            ("http://h/a?x?", &[("k", "v")], "http://h/a?x?&k=v"),
            ("http://h/a&", &[("k", "v")], "http://h/a&?k=v"),
            ("http://h/a#f", &[("k", "v")], "http://h/a?k=v#f"),
            ("http://h/a?x=1#f", &[("k", "v")], "http://h/a?x=1&k=v#f"),
            ("http://h/a#f?g", &[("k", "v")], "http://h/a?k=v#f?g"),
            ("http://h/a#f#g", &[("k", "v")], "http://h/a?k=v#f#g"),
            ("http://h/a#", &[("k", "v")], "http://h/a?k=v#"),
            ("http://h/a?#f", &[("k", "v")], "http://h/a?k=v#f"),
            (
                "http://h/a",
                &[("k", "1"), ("k", "2"), ("a", "0")],
                "http://h/a?k=1&k=2&a=0",
            ),
            ("http://h/a", &[("scope[]", "a b")], "http://h/a?scope%5B%5D=a%20b"),
            (
                "http://h/a",
                &[("t", "2024-02-29T23:59:59+00:00")],
                "http://h/a?t=2024-02-29T23%3A59%3A59%2B00%3A00",
            ),
            ("http://h/a", &[("k", "&=#?/%")], "http://h/a?k=%26%3D%23%3F%2F%25"),
            ("http://h/a", &[("k", "-._~")], "http://h/a?k=-._~"),
            ("http://h/a", &[("", "")], "http://h/a?="),
            (
                "http://h/a",
                &[("ключ", "値")],
                "http://h/a?%D0%BA%D0%BB%D1%8E%D1%87=%E5%80%A4",
            ),
            ("http://h/a?q=%2B+%zz", &[("k", "v")], "http://h/a?q=%2B+%zz&k=v"),
            ("/relative", &[("k", "v")], "/relative?k=v"),
            ("", &[("k", "v")], "?k=v"),
        ];
        for (url, pairs, expected) in cases {
            assert_eq!(append_query_params(url, pairs), *expected, "{url} + {pairs:?}");
        }
    }

    /// parsed(out) = parsed(in) ++ pairs, and the rest of the URL is unchanged.
    #[test]
    fn append_query_params_property() {
        const PIECES: &[&str] = &[
            "", "a", "=", "&", "?", "%20", "+", "é", "x=1", "/", "[]", "%", ";", " ", "値", "#", "\n",
        ];
        let mut rng = fastrand::Rng::with_seed(7);
        let mut text = |at_most: usize, not: &[&str]| -> String {
            let pieces: Vec<_> = PIECES.iter().filter(|p| !not.contains(p)).collect();
            (0..rng.usize(..=at_most))
                .map(|_| **rng.choice(&pieces).unwrap())
                .collect()
        };
        for _ in 0..4000 {
            let mut url = String::from("http://h/p");
            // White space and line ends are not part of any URL; keys and values may hold them.
            if !text(1, &[]).is_empty() {
                url = format!("{url}?{}", text(6, &["#", " ", "\n"]));
            }
            if !text(1, &[]).is_empty() {
                url = format!("{url}#{}", text(4, &[" ", "\n"]));
            }
            let count = text(4, &[]).len() % 4;
            let pairs: Vec<_> = (0..count).map(|_| (text(3, &[]), text(3, &[]))).collect();
            let borrowed: Vec<(&str, &str)> = pairs.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();

            let out = append_query_params(&url, &borrowed);

            let (before, after) = (url::Url::parse(&url).unwrap(), url::Url::parse(&out).unwrap());
            let expected: Vec<(String, String)> = before.query_pairs().into_owned().chain(pairs).collect();
            assert_eq!(
                after.query_pairs().into_owned().collect::<Vec<_>>(),
                expected,
                "{url:?} -> {out:?}"
            );
            assert_eq!(after.fragment(), before.fragment(), "{url:?} -> {out:?}");
            assert_eq!(after.path(), before.path());
        }
    }
}
