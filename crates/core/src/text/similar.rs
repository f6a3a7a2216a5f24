//! What somebody probably meant to type.

/// The candidate nearest to a mistyped word, if one is near enough to be meant: about one slip in
/// three letters. Between equals the first wins.
#[must_use]
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let allowed = (word.chars().count() / 3).clamp(1, 4);
    let distances = candidates
        .into_iter()
        .map(|candidate| (distance(&word, candidate), candidate));
    let best = distances.min_by_key(|(distance, _)| *distance)?;
    if best.0 <= allowed { Some(best.1) } else { None }
}

/// Whether one letter more, less, other or exchanged makes the difference.
#[must_use]
pub fn one_edit_apart(a: &str, b: &str) -> bool {
    distance(a, b) == 1
}

/// How alike two words are, from 0 to 1, where equal beginnings count more (Jaro-Winkler).
#[must_use]
pub fn closeness(a: &str, b: &str) -> f64 {
    strsim::jaro_winkler(a, b)
}

fn distance(a: &str, b: &str) -> usize {
    strsim::osa_distance(a, b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_word_and_a_stranger_finds_none() {
        let keys = ["jobs", "rewind_s", "max_wait_s", "page_size", "events"];
        for (typed, meant) in [
            ("job", Some("jobs")),
            ("josb", Some("jobs")),
            ("page-size", Some("page_size")),
            ("PAGE_SIZE", Some("page_size")),
            ("maxwait", None),
            ("rewind_ms", Some("rewind_s")),
            ("token", None),
            ("", None),
        ] {
            assert_eq!(nearest(typed, keys), meant, "{typed}");
        }
        assert_eq!(nearest("x", []), None);
    }

    #[test]
    fn one_edit_is_exactly_one() {
        for (a, b, one) in [
            ("label", "lable", true),
            ("label", "labels", true),
            ("label", "label", false),
            ("label", "able", false),
        ] {
            assert_eq!(one_edit_apart(a, b), one, "{a} {b}");
        }
        assert!(closeness("serach", "search") > 0.9);
    }
}
