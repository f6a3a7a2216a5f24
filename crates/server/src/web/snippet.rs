//! A snippet with what was asked for marked.

use std::ops::Range;

use annals_core::text::visible_line;
use maud::{Markup, html};

/// Marks `ranges` of `text`; escaping happens after cutting, so a mark never splits an escape.
pub(super) fn marked(text: &str, ranges: &[Range<usize>]) -> Markup {
    let mut at = 0;
    let mut parts = Vec::new();
    for range in ranges {
        let (Some(before), Some(hit)) = (text.get(at..range.start), text.get(range.clone())) else {
            continue;
        };
        parts.push((before, false));
        parts.push((hit, true));
        at = range.end;
    }
    parts.push((text.get(at..).unwrap_or_default(), false));
    html! {
        bdi dir="auto" {
            @for (part, is_hit) in parts {
                @if is_hit { mark { (visible_line(part)) } } @else { (visible_line(part)) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::marked;

    #[test]
    fn marks_are_applied_before_escaping() {
        let html = marked("a <b> c", std::slice::from_ref(&(2..5))).into_string();
        assert_eq!(html, "<bdi dir=\"auto\">a <mark>&lt;b&gt;</mark> c</bdi>");
    }

    #[test]
    fn a_range_off_a_character_border_is_left_out() {
        assert_eq!(
            marked("é", std::slice::from_ref(&(1..2))).into_string(),
            "<bdi dir=\"auto\">é</bdi>"
        );
    }
}
