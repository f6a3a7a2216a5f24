//! An answer for a person, being written.

use std::ops::Range;

use annals_core::UnixMs;
use annals_core::config::TimeStyle;
use annals_core::text::{visible, visible_line};
use annals_core::time::{Zone, relative};

use super::style::{Palette, Style};
use super::table::Table;
use super::width::{width, wrap};

/// Data that a person can read.
pub trait Show {
    /// Writes it. Text that came from a forge goes through [`Page::text`], [`Page::body`] or [`one_line`].
    fn show(&self, page: &mut Page);
}

/// How an answer looks: decided once per command.
#[derive(Debug, Clone)]
pub struct Look {
    pub palette: Palette,
    /// Columns of the screen, if there is one.
    pub screen: Option<usize>,
    pub times: TimeStyle,
    pub zone: Zone,
    pub now: UnixMs,
}

/// Lines for a person.
#[derive(Debug)]
pub struct Page {
    pub look: Look,
    text: String,
}

/// Lines of running text are not longer than this, however wide the screen is.
const WIDEST_TEXT: usize = 110;

impl Page {
    pub fn new(look: Look) -> Self {
        Self {
            look,
            text: String::new(),
        }
    }

    pub fn into_text(self) -> String {
        self.text
    }

    /// One line, as it is: its forge text must have been made visible.
    pub fn line(&mut self, line: impl AsRef<str>) {
        self.text.push_str(line.as_ref());
        self.text.push('\n');
    }

    pub fn blank(&mut self) {
        self.text.push('\n');
    }

    pub fn heading(&mut self, heading: &str) {
        let line = self.paint(Style::Strong, heading);
        self.line(line);
    }

    pub fn paint(&self, style: Style, text: &str) -> String {
        self.look.palette.paint(style, text)
    }

    pub fn table(&mut self, table: &Table) {
        self.text.push_str(&table.render(self.look.palette, self.look.screen));
    }

    /// Forge text of any length, broken into lines that fit, each behind `indent`.
    pub fn body(&mut self, text: &str, indent: &str) {
        let room = self.text_width().saturating_sub(width(indent));
        for line in visible(text).replace('\t', "    ").trim_end().lines() {
            for piece in wrap(line.trim_end(), room) {
                let piece = if piece.is_empty() {
                    String::new()
                } else {
                    format!("{indent}{piece}")
                };
                self.line(piece);
            }
        }
    }

    /// One line of forge text in which some ranges stand out, broken into lines that fit, each behind `indent`.
    pub fn highlighted(&mut self, text: &str, ranges: &[Range<usize>], indent: &str) {
        let room = self.text_width().saturating_sub(width(indent));
        let (mut line, mut used, mut at) = (String::new(), 0, 0);
        for word in text.split(' ') {
            let shown = width(&one_line(word));
            if used > 0 && used + 1 + shown > room {
                self.line(format!("{indent}{line}"));
                (line, used) = (String::new(), 0);
            }
            if used > 0 {
                line.push(' ');
                used += 1;
            }
            line.push_str(&self.marked(word, at, ranges));
            used += shown;
            at += word.len() + 1;
        }
        if used > 0 {
            self.line(format!("{indent}{line}"));
        }
    }

    /// A word that stands at byte `at` of the text the ranges are of.
    fn marked(&self, word: &str, at: usize, ranges: &[Range<usize>]) -> String {
        let mut marked = String::new();
        let mut done = 0;
        for range in ranges {
            let start = range.start.saturating_sub(at).max(done);
            let end = range.end.saturating_sub(at).min(word.len());
            if let (Some(before), Some(found)) = (word.get(done..start), word.get(start..end)) {
                marked.push_str(&one_line(before));
                marked.push_str(&self.paint(Style::Found, &one_line(found)));
                done = end;
            }
        }
        marked.push_str(&one_line(word.get(done..).unwrap_or_default()));
        marked
    }

    fn text_width(&self) -> usize {
        self.look.screen.unwrap_or(WIDEST_TEXT).min(WIDEST_TEXT)
    }

    /// `20 of 143 shown; --limit …` after a list that does not show everything, the count alone after one that does.
    pub fn count(&mut self, shown: usize, total: u64, noun: &str, more: &str) {
        let nouns = if total == 1 { noun.to_owned() } else { plural(noun) };
        let line = if shown as u64 == total {
            format!("{total} {nouns}")
        } else {
            format!("{shown} of {total} {nouns} shown; {more}")
        };
        let line = self.paint(Style::Faint, &line);
        self.line(line);
    }

    /// A time in a list.
    pub fn time(&self, at: Option<UnixMs>) -> String {
        at.map_or_else(|| "–".to_owned(), |at| self.look.time(at))
    }

    /// A time where there is room: in full, and how long ago.
    pub fn full_time(&self, at: UnixMs) -> String {
        let full = match self.look.times {
            TimeStyle::Local => self.look.zone.text(at),
            TimeStyle::Relative | TimeStyle::Iso => at.utc_text(),
        };
        format!("{full} ({})", relative(at, self.look.now))
    }
}

impl Look {
    fn time(&self, at: UnixMs) -> String {
        match self.times {
            TimeStyle::Relative => relative(at, self.now),
            TimeStyle::Iso => at.rfc3339(),
            TimeStyle::Local => self.zone.text(at),
        }
    }
}

/// Forge text on one line, harmless; `(none)` for nothing at all is the caller's.
pub fn one_line(text: &str) -> String {
    visible_line(text).into_owned()
}

/// A title on one line.
pub fn title(text: &str) -> String {
    if text.trim().is_empty() {
        "(no title)".to_owned()
    } else {
        one_line(text)
    }
}

/// `5 notes`, `1 note`.
pub fn counted(count: u64, noun: &str) -> String {
    if count == 1 {
        format!("1 {noun}")
    } else {
        format!("{count} {}", plural(noun))
    }
}

fn plural(noun: &str) -> String {
    match noun.strip_suffix('y') {
        Some(stem) if !stem.ends_with(['a', 'e', 'o']) => format!("{stem}ies"),
        _ => format!("{noun}s"),
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    pub fn look() -> Look {
        Look {
            palette: Palette::Plain,
            screen: Some(40),
            times: TimeStyle::Relative,
            zone: Zone::utc(),
            now: UnixMs(1_700_000_000_000),
        }
    }

    #[test]
    fn forge_text_is_wrapped_indented_and_inert() {
        let mut page = Page::new(look());
        page.body(
            "one two three four five six seven eight nine\r\n\n\tcode \x1b[31mred\n\n",
            "  ",
        );
        assert_eq!(
            page.into_text(),
            "  one two three four five six seven\n  eight nine\n\n      code \\x1b[31mred\n"
        );
    }

    #[test]
    fn what_was_asked_for_stands_out_and_escapes_do_not_work() {
        let mut page = Page::new(Look {
            palette: Palette::Coloured,
            screen: Some(24),
            ..look()
        });
        page.highlighted(
            "a cutover\u{1b}x race é of a long line",
            &[2..9, 12..16, 17..19, 99..100],
            "  ",
        );
        assert_eq!(
            page.into_text(),
            "  a \x1b[1;33mcutover\x1b[0m\\x1bx \x1b[1;33mrace\x1b[0m \x1b[1;33mé\x1b[0m\n  of a long line\n"
        );
    }

    #[test]
    fn a_list_says_how_much_of_it_is_shown() {
        let mut page = Page::new(look());
        page.count(20, 143, "hit", "-n for more");
        page.count(1, 1, "issue", "");
        page.count(0, 0, "reply", "");
        assert_eq!(
            page.into_text(),
            "20 of 143 hits shown; -n for more\n1 issue\n0 replies\n"
        );
    }

    #[test]
    fn times_follow_their_style() {
        let at = UnixMs(1_700_000_000_000 - 3 * UnixMs::DAY_MS);
        let mut page = Page::new(look());
        assert_eq!(page.time(Some(at)), "3d ago");
        assert_eq!(page.time(None), "–");
        assert_eq!(page.full_time(at), "2023-11-11 22:13:20 UTC (3d ago)");
        page.look.times = TimeStyle::Iso;
        assert_eq!(page.time(Some(at)), "2023-11-11T22:13:20.000Z");
        page.look.times = TimeStyle::Local;
        assert_eq!("+02:00".parse().map(|zone| page.look.zone = zone), Ok(()));
        assert_eq!(page.time(Some(at)), "2023-11-12 00:13:20 +02:00");
    }

    #[test]
    fn an_empty_title_is_said() {
        assert_eq!(title(" \n"), "(no title)");
        assert_eq!(title("a\x1b]0;x\x07\nb"), "a\\x1b]0;x\\x07 b");
    }
}
