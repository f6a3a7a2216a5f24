//! From a command's data to what is printed.

use annals_core::{Code, Report, Signal, UnixMs};
use annals_net_adapter::Cx;
use serde::Serialize;
use serde_json::Value;

use super::budget::Budget;
use super::envelope::{self, Meta, Ran};
use super::fields::{Selection, Shape};
use super::page::{Look, Page, Show};
use super::style::Style;
use super::table::{Cell, Column, Table};
use super::{Console, Mode, Palette, stdout};
use crate::autocorrect::Correction;
use crate::error::Error;
use crate::given::Given;
use crate::pager::Pager;

/// What a command answers.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one of them per command")]
pub enum Reply<D> {
    /// This; it is still to be printed.
    Data(D, Meta),
    /// It has printed everything itself.
    Printed,
}

impl<D> Reply<D> {
    /// The same with other data.
    pub fn map<E>(self, f: impl FnOnce(D) -> E) -> Reply<E> {
        match self {
            Self::Data(data, meta) => Reply::Data(f(data), meta),
            Self::Printed => Reply::Printed,
        }
    }
}

impl<D> From<D> for Reply<D> {
    fn from(data: D) -> Self {
        Self::Data(data, Meta::default())
    }
}

/// How this invocation prints.
#[derive(Debug)]
pub struct Output {
    pub command: &'static str,
    pub mode: Mode,
    pub console: Console,
    pub stderr: Palette,
    /// How pages look; its time is the start of the command.
    pub look: Look,
    pub selection: Option<Selection>,
    pub shape: Shape,
    /// How long the line may be.
    pub budget: Option<Budget>,
    pub corrections: Vec<Correction>,
    /// What shows a page that is longer than the screen.
    pub pager: Option<Pager>,
}

impl Output {
    /// Prints an answer; a page that is for the pager is returned instead.
    ///
    /// # Errors
    /// [`Error::ClosedPipe`], or a failure to write.
    pub fn print<D: Serialize + Show>(&self, cx: &Cx, data: &D, meta: &Meta) -> Result<Option<String>, Error> {
        let page = match (self.mode, &self.selection) {
            (Mode::Robot, None) if self.budget.is_none() => return self.envelope(cx, data, meta).map(|()| None),
            (Mode::Robot, None) => return self.within_budget(cx, json(data)?, meta).map(|()| None),
            (Mode::Robot, Some(selection)) => {
                return self.within_budget(cx, selection.of(json(data)?), meta).map(|()| None);
            }
            (Mode::Human, None) => self.text(cx, |page| data.show(page)),
            (Mode::Human, Some(selection)) => {
                let picked = selection.of(json(data)?);
                self.text(cx, |page| picked_page(&picked, selection, &self.shape, page))
            }
        };
        let long = self.pager.as_ref().is_some_and(|pager| pager.is_for(&page));
        if !long {
            stdout::print(&page)?;
        }
        self.warn(&meta.warnings);
        Ok(long.then_some(page))
    }

    /// Prints a page for a person, whatever the mode.
    ///
    /// # Errors
    /// [`Error::ClosedPipe`], or a failure to write.
    pub fn page(&self, cx: &Cx, write: impl FnOnce(&mut Page)) -> Result<(), Error> {
        stdout::print(&self.text(cx, write))
    }

    fn text(&self, cx: &Cx, write: impl FnOnce(&mut Page)) -> String {
        let mut page = Page::new(Look {
            now: cx.unix_ms(),
            ..self.look.clone()
        });
        write(&mut page);
        page.into_text()
    }

    fn within_budget(&self, cx: &Cx, data: Value, meta: &Meta) -> Result<(), Error> {
        let Some(budget) = &self.budget else {
            return self.envelope(cx, &data, meta);
        };
        let ran = self.ran(cx);
        let length =
            |data: &Value, meta: &Meta| envelope::success(data, meta, &ran).map_or(usize::MAX, |line| line.len());
        let (data, meta) = budget.fit(data, meta.clone(), &self.shape, length)?;
        self.envelope(cx, &data, &meta)
    }

    fn envelope<D: Serialize>(&self, cx: &Cx, data: &D, meta: &Meta) -> Result<(), Error> {
        let line = envelope::success(data, meta, &self.ran(cx)).map_err(|error| not_json(&error))?;
        stdout::print(&line)
    }

    fn ran(&self, cx: &Cx) -> Ran<'_> {
        Ran {
            command: self.command,
            corrections: &self.corrections,
            elapsed_ms: elapsed_ms(cx),
        }
    }

    /// Says what a person should know beside the answer.
    pub fn warn(&self, warnings: &[String]) {
        for warning in warnings {
            let word = self.stderr.paint(Style::Attention, "warning:");
            self.console.say(&format!("{word} {}", super::page::one_line(warning)));
        }
    }
}

/// Milliseconds since the process started.
pub fn elapsed_ms(cx: &Cx) -> u64 {
    cx.now().0 / 1_000_000
}

/// How failures are told.
#[derive(Debug)]
pub struct Telling<'a> {
    pub mode: Mode,
    pub palette: Palette,
    /// The files that next steps must name.
    pub given: &'a Given,
    /// What a program should know beside it.
    pub warnings: &'a [String],
}

/// Tells a failure: for a person with what to do about it, for a program as the last line.
pub fn fail(console: &Console, how: &Telling<'_>, report: &Report, signal: Option<Signal>, ran: &Ran<'_>) {
    let report = how.given.report(report);
    match how.mode {
        Mode::Robot => console.say(&envelope::failure(&report, how.warnings, signal, ran)),
        Mode::Human => console.say(&failure_page(&report, how)),
    }
}

fn failure_page(report: &Report, how: &Telling<'_>) -> String {
    let palette = how.palette;
    let head = palette.paint(Style::Bad, &format!("error[{}]:", report.code));
    let mut text = format!("{head} {}\n", annals_core::text::visible(&report.message));
    if let Some(candidates) = report.details.get("candidates").and_then(Value::as_array) {
        for candidate in candidates.iter().filter_map(Value::as_str) {
            text.push_str(&format!("  {}\n", super::page::one_line(candidate)));
        }
    }
    let mut hint = |word: &str, line: &str| {
        text.push_str(&format!("  {} {line}\n", palette.paint(Style::Link, word)));
    };
    if let Some(ms) = report.retry_after_ms {
        hint("again in:", &format!("{} s", ms.div_ceil(1000)));
    }
    if let Some(suggestion) = &report.suggestion {
        // A name that was probably meant, or a sentence.
        let word = if suggestion.contains(' ') {
            "hint:"
        } else {
            "did you mean:"
        };
        hint(word, &super::page::one_line(suggestion));
    }
    for action in &report.actions {
        hint("next:", &super::page::one_line(action));
    }
    // Where no command runs as it stands, the table still knows in words what helps.
    if report.suggestion.is_none() && report.actions.is_empty() && report.code != Code::Cancelled {
        hint("next:", &how.given.sentence(report.code.next()).replace('`', ""));
    }
    text
}

fn json<D: Serialize>(data: &D) -> Result<Value, Error> {
    serde_json::to_value(data).map_err(|error| not_json(&error))
}

fn not_json(error: &serde_json::Error) -> Error {
    Report::new(Code::Internal, format!("the answer is not JSON: {error}")).into()
}

/// Selected fields for a person: a table of a list's items, else lines.
fn picked_page(picked: &Value, selection: &Selection, shape: &Shape, page: &mut Page) {
    let items = shape.list.and_then(|list| picked.get(list)).and_then(Value::as_array);
    let columns = shape.list.and_then(|list| selection.columns(list));
    let (Some(items), Some(columns)) = (items, columns) else {
        return lines(picked, page);
    };
    let heads: Vec<(&str, Column)> = columns.iter().map(|column| (*column, Column::Left)).collect();
    let mut table = Table::new(&heads);
    for item in items {
        table.row(columns.iter().map(|column| {
            let value = column.split('.').try_fold(item, |value, name| value.get(name));
            Cell::from(plain(value.unwrap_or(&Value::Null)))
        }));
    }
    page.table(&table);
}

fn lines(value: &Value, page: &mut Page) {
    let mut all = Vec::new();
    flatten(value, "", &mut all);
    let mut table = Table::pairs();
    for (name, value) in all {
        table.row([name.into(), value.into()]);
    }
    page.table(&table);
}

/// The values below `value` with their dotted names.
fn flatten(value: &Value, name: &str, all: &mut Vec<(String, String)>) {
    let mut member = |part: &str, value: &Value| {
        let name = if name.is_empty() {
            part.to_owned()
        } else {
            format!("{name}.{part}")
        };
        flatten(value, &name, all);
    };
    match value {
        Value::Object(members) => members.iter().for_each(|(part, value)| member(part, value)),
        Value::Array(items) if items.iter().any(|item| item.is_object() || item.is_array()) => {
            items
                .iter()
                .enumerate()
                .for_each(|(index, value)| member(&index.to_string(), value));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            // Names may be a forge's own, as those in a payload are.
            all.push((super::page::one_line(name), plain(value)));
        }
    }
}

/// A value on one line.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => super::page::one_line(text),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => super::page::one_line(&value.to_string()),
    }
}

/// A look before anything is known of the time.
pub fn timeless(palette: Palette, screen: Option<usize>, config: &annals_core::config::CliSettings) -> Look {
    Look {
        palette,
        screen,
        times: config.time,
        zone: config.tz.clone(),
        now: UnixMs(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_ends_with_what_helps() {
        let plain = Telling {
            mode: Mode::Human,
            palette: Palette::Plain,
            given: &Given::default(),
            warnings: &[],
        };
        let report = Report::new(Code::Network, "forge.example refused the connection");
        assert_eq!(
            failure_page(&report, &plain),
            "error[network]: forge.example refused the connection\n  next: annals doctor\n"
        );
        let report = Report::new(Code::Ambiguous, "`app` is the name of 2 projects")
            .with_detail("candidates", vec!["a/app", "b/\x1bapp"]);
        assert_eq!(
            failure_page(&report, &plain),
            "error[ambiguous]: `app` is the name of 2 projects\n  a/app\n  b/\\x1bapp\n  next: repeat with -p PROJECT\n"
        );
    }

    #[test]
    fn names_of_a_payload_are_as_inert_as_its_values() {
        let mut all = Vec::new();
        flatten(&serde_json::json!({"raw": {"a\x1b[2J\n": "b\x1bc"}}), "", &mut all);
        assert_eq!(all.len(), 1);
        let (name, value) = &all[0];
        assert!(
            name.starts_with("raw.a") && !format!("{name}{value}").contains(['\x1b', '\n']),
            "{all:?}"
        );
    }

    #[test]
    fn selected_fields_of_a_list_are_columns_as_asked_for() {
        const SHAPE: Shape = Shape {
            fields: &["items.a", "items.b.c", "n"],
            list: Some("items"),
            minimal: &["a"],
        };
        let shown = |asked: &str, picked: &Value| {
            let mut page = Page::new(super::super::page::tests::look());
            if let Ok(Some(selection)) = Selection::parse(asked, &SHAPE) {
                picked_page(picked, &selection, &SHAPE, &mut page);
            }
            page.into_text()
        };
        let picked =
            serde_json::json!({"items": [{"a": "x\ty", "b": {"c": null}}, {"a": ["p", "q"], "b": {"c": true}}]});
        assert_eq!(shown("b.c,a", &picked), "b.c   a\n      x y\ntrue  p, q\n");
        assert_eq!(
            shown("a,n", &serde_json::json!({"items": [{"a": 1}], "n": 2})),
            "items.0.a  1\nn          2\n"
        );
    }
}
