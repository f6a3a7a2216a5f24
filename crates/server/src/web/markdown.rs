//! Forge text as HTML, from an allow-list: no raw HTML passes, nothing is fetched from elsewhere.

use maud::{Markup, PreEscaped};
use pulldown_cmark::{CowStr, Event, HeadingLevel, Options, Parser, Tag, TagEnd, html};

/// Renders a body. Raw HTML in it is shown as text; an image becomes a link; a link that is not http, https or mailto
/// becomes its text.
pub(crate) fn render(text: &str) -> Markup {
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TASKLISTS;
    // Whether each open link was let through, so that its end is treated alike.
    let mut links = Vec::new();
    let events = Parser::new_ext(text, options).map(|event| match event {
        Event::Html(raw) | Event::InlineHtml(raw) => Event::Text(raw),
        Event::Start(Tag::HtmlBlock) => Event::Start(Tag::Paragraph),
        Event::End(TagEnd::HtmlBlock) => Event::End(TagEnd::Paragraph),
        Event::Start(Tag::Heading { level, .. }) => Event::Start(Tag::Heading {
            level: below_the_page(level),
            id: None,
            classes: Vec::new(),
            attrs: Vec::new(),
        }),
        Event::End(TagEnd::Heading(level)) => Event::End(TagEnd::Heading(below_the_page(level))),
        Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
            let open = opening(&dest_url);
            links.push(open.is_some());
            open.map_or(Event::Text(CowStr::Borrowed("")), |html| Event::InlineHtml(html.into()))
        }
        Event::End(TagEnd::Link | TagEnd::Image) => {
            if links.pop() == Some(true) {
                Event::InlineHtml("</a>".into())
            } else {
                Event::Text(CowStr::Borrowed(""))
            }
        }
        other => other,
    });
    let mut out = String::with_capacity(text.len() + text.len() / 4);
    html::push_html(&mut out, events);
    PreEscaped(out)
}

/// The page's own headings come first; forge text starts below them.
fn below_the_page(level: HeadingLevel) -> HeadingLevel {
    match level {
        HeadingLevel::H1 => HeadingLevel::H3,
        HeadingLevel::H2 => HeadingLevel::H4,
        HeadingLevel::H3 => HeadingLevel::H5,
        HeadingLevel::H4 | HeadingLevel::H5 | HeadingLevel::H6 => HeadingLevel::H6,
    }
}

fn opening(url: &str) -> Option<String> {
    let (scheme, _) = url.split_once(':')?;
    let allowed = ["http", "https", "mailto"]
        .iter()
        .any(|s| scheme.eq_ignore_ascii_case(s));
    allowed.then(|| {
        let href = maud::html! { (url) }.into_string();
        format!("<a href=\"{href}\" rel=\"noopener noreferrer nofollow ugc\">")
    })
}

#[cfg(test)]
mod tests {
    use super::render;

    #[test]
    fn forge_text_renders_inert() {
        let hostile = [
            "<script>alert(1)</script>",
            "<img src=x onerror=alert(1)>",
            "a <b onclick=alert(1)>b</b>",
            "[x](javascript:alert(1))",
            "[x](JaVaScRiPt:alert(1))",
            "[x](data:text/html,<script>alert(1)</script>)",
            "[x](vbscript:x)",
            "![x](javascript:alert(1))",
            "[x](<https://a\"onmouseover=\"alert(1)>)",
            "<a href=\"javascript:alert(1)\">x</a>",
            "<svg/onload=alert(1)>",
            "<!-- --><script>",
            "```html\n<script>alert(1)</script>\n```",
            "`<script>`",
            "<iframe src=//evil>",
            "| <script> |\n|---|\n| <img src=x> |",
            "# <h1 onload=x>",
            "<https://a/\"><script>>",
            "[a]: javascript:alert(1)\n[a]",
            "<div>\n<script>\n</div>",
            "&lt;script&gt;",
            "<style>*{display:none}</style>",
        ];
        for text in hostile {
            let html = render(text).into_string();
            let lower = html.to_lowercase();
            for bad in [
                "<script",
                "<img",
                "<svg",
                "<iframe",
                "<style",
                "<b ",
                "<h1",
                "<a href=\"javascript",
                "<a href=\"data",
                "<a href=\"vbscript",
            ] {
                assert!(!lower.contains(bad), "{text:?} gave {html}");
            }
            let attribute = lower.contains("\"onmouseover=") || lower.contains("\" onmouseover=");
            assert!(!attribute, "{text:?} gave {html}");
        }
    }

    #[test]
    fn links_and_structure_survive() {
        let html =
            render("# Title\n\nSee [it](https://a.example/b?c=d&e) and ![pic](http://a.example/p.png).").into_string();
        assert!(html.contains("<h3>Title</h3>"), "{html}");
        assert!(
            html.contains("<a href=\"https://a.example/b?c=d&amp;e\" rel=\"noopener noreferrer nofollow ugc\">it</a>"),
            "{html}"
        );
        assert!(html.contains(">pic</a>"), "{html}");
    }
}
