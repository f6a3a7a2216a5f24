//! An entity as a person reads it.

use annals_core::EntityKind;
use annals_db::read::{Certainty, Discussion, Event, File, Note, Revision, StateDiff};
use serde_json::Value;

use super::show::{Data, Standing};
use crate::output::page::{counted, one_line, title};
use crate::output::table::{Cell, Column, Table};
use crate::output::{Page, Show, Style};

impl Show for Data {
    fn show(&self, page: &mut Page) {
        let item = &self.entity.item;
        let reference = page.paint(Style::Link, &one_line(&item.reference));
        let name = page.paint(Style::Strong, &title(&item.title));
        page.line(format!("{reference}  {name}"));
        page.line(self.status_line());
        if let Some(standing) = &self.as_of {
            page.line(page.paint(Style::Attention, &standing_line(standing, page)));
        }
        self.facts(page);
        if let Some(url) = &item.url {
            page.line(page.paint(Style::Faint, &one_line(url)));
        }
        if !self.entity.body.trim().is_empty() {
            page.blank();
            page.body(&self.entity.body, "");
        }
        self.parts(page);
    }
}

impl Data {
    fn status_line(&self) -> String {
        let item = &self.entity.item;
        let mut words = vec![item.state.to_string()];
        let mut flag = |set: bool, word: &str| {
            if set {
                words.push(word.to_owned());
            }
        };
        flag(item.draft, "draft");
        flag(item.confidential, "confidential");
        flag(self.entity.locked, "locked");
        if let Some(kind) = self
            .entity
            .issue_type
            .as_deref()
            .filter(|kind| !kind.eq_ignore_ascii_case("issue"))
        {
            words.push(one_line(kind));
        }
        if let Some(milestone) = &item.milestone {
            words.push(format!("milestone {}", one_line(milestone)));
        }
        if !item.labels.is_empty() {
            words.push(format!("[{}]", one_line(&item.labels.join(", "))));
        }
        words.join(" · ")
    }

    fn facts(&self, page: &mut Page) {
        let item = &self.entity.item;
        let by = |name: &str| {
            if name.is_empty() {
                String::new()
            } else {
                format!(" by {}", one_line(name))
            }
        };
        let mut facts = Vec::new();
        if let Some(at) = item.created_at {
            facts.push(format!("opened {}{}", page.full_time(at), by(&item.author)));
        }
        let merged_by = self
            .entity
            .merge_request
            .as_ref()
            .and_then(|part| part.merged_by.as_deref());
        if let Some(at) = item.merged_at {
            facts.push(format!(
                "merged {}{}",
                page.full_time(at),
                by(merged_by.unwrap_or_default())
            ));
        } else if let Some(at) = item.closed_at {
            let closed_by = self.entity.closed_by.as_deref().unwrap_or_default();
            facts.push(format!("closed {}{}", page.full_time(at), by(closed_by)));
        }
        if let Some(at) = item.gone_at {
            let reason = item
                .gone_reason
                .map_or_else(String::new, |reason| format!(", {reason}"));
            let line = format!("gone from the forge since {}{reason}; kept here", page.full_time(at));
            facts.push(page.paint(Style::Attention, &line));
        }
        if let Some(to) = &self.entity.moved_to {
            facts.push(format!("moved to {}", one_line(to)));
        }
        if !item.assignees.is_empty() {
            facts.push(format!("assigned to {}", one_line(&item.assignees.join(", "))));
        }
        if let Some(at) = self.entity.due_at {
            facts.push(format!("due {}", at.date_text()));
        }
        if let Some(part) = &self.entity.merge_request {
            if let (Some(from), Some(to)) = (&part.source_branch, &part.target_branch) {
                facts.push(format!("{} into {}", one_line(from), one_line(to)));
            }
            if !part.reviewers.is_empty() {
                let names: Vec<&str> = part.reviewers.iter().map(|reviewer| reviewer.user.as_str()).collect();
                facts.push(format!("reviewed by {}", one_line(&names.join(", "))));
            }
        }
        if self.entity.time_suspect {
            facts.push("a time of this entity cannot be right; the payload has it as it was sent".to_owned());
        }
        for fact in facts {
            page.line(fact);
        }
    }

    fn parts(&self, page: &mut Page) {
        match &self.discussions {
            Some(discussions) => {
                section(page, &format!("Discussions ({})", counted(self.notes, "note")));
                for (index, discussion) in discussions.iter().enumerate() {
                    if index > 0 {
                        page.blank();
                    }
                    thread(discussion, page);
                }
            }
            None if self.notes > 0 => {
                page.blank();
                let line = format!("{}; --discussions shows them", counted(self.notes, "note"));
                page.line(page.paint(Style::Faint, &line));
            }
            None => {}
        }
        if let Some(events) = &self.events {
            section(page, &format!("Events ({})", events.len()));
            table_of_events(events, page);
        }
        if let Some(files) = &self.files {
            section(page, &format!("Files ({})", files.len()));
            if self.entity.item.kind == EntityKind::Issue {
                page.line("An issue changes no files.");
            }
            table_of_files(files, page);
        }
        if let Some(revisions) = &self.revisions {
            section(page, &format!("Revisions ({})", revisions.len()));
            table_of_revisions(revisions, page);
        }
        if let Some(diff) = &self.diff {
            differences(diff, page);
        }
        if let Some(raw) = &self.raw {
            section(page, "What the forge sent");
            page.body(&format!("{raw:#}"), "");
        }
    }
}

/// The moment, and what of the page nobody saw then.
fn standing_line(standing: &Standing, page: &Page) -> String {
    let at = page.full_time(standing.at);
    match standing.certainty {
        Certainty::Recorded => format!("as of {at}"),
        Certainty::Derived => format!(
            "as of {at}, before it was first seen: the text is of that first time; state, labels and milestone are as \
             the forge's events tell"
        ),
    }
}

/// What differs between two revisions, field by field; of long texts the lines that differ.
fn differences(diff: &StateDiff, page: &mut Page) {
    section(page, &format!("Revision {} to {}", diff.from, diff.to));
    if diff.changes.is_empty() {
        page.line("Nothing differs.");
    }
    for change in &diff.changes {
        page.line(page.paint(Style::Strong, &change.field));
        let (before, after) = (plain(&change.before), plain(&change.after));
        let (before, after): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
        let same = before.iter().zip(&after).take_while(|(a, b)| a == b).count();
        let (before, after) = (before.get(same..).unwrap_or(&[]), after.get(same..).unwrap_or(&[]));
        let tail = before
            .iter()
            .rev()
            .zip(after.iter().rev())
            .take_while(|(a, b)| a == b)
            .count();
        for (lines, sign, style) in [(before, "-", Style::Attention), (after, "+", Style::Good)] {
            let differing = lines.len() - tail;
            for line in lines.iter().take(differing) {
                page.line(page.paint(style, &format!("{sign} {}", one_line(line))));
            }
        }
    }
}

/// A value as lines of text.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join("\n"),
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => value.to_string(),
    }
}

fn section(page: &mut Page, heading: &str) {
    page.blank();
    page.heading(heading);
}

/// A discussion: where it is, then each note under its author.
pub fn thread(discussion: &Discussion, page: &mut Page) {
    let position = discussion.notes.first().and_then(|note| note.position.as_ref());
    if let Some(position) = position {
        let path = position.new_path.as_ref().or(position.old_path.as_ref());
        let line = position
            .new_line
            .or(position.old_line)
            .map_or_else(String::new, |line| format!(":{line}"));
        let outdated = if position.outdated { " (outdated)" } else { "" };
        let place = format!("on {}{line}{outdated}", one_line(path.map_or("", String::as_str)));
        page.line(page.paint(Style::Link, &place));
    }
    for (index, note) in discussion.notes.iter().enumerate() {
        let last = index + 1 == discussion.notes.len();
        let resolved = if last && discussion.resolved { ", resolved" } else { "" };
        note_lines(note, resolved, page);
    }
}

fn note_lines(note: &Note, resolved: &str, page: &mut Page) {
    let when = note
        .created_at
        .map_or_else(String::new, |at| format!(" · {}", page.full_time(at)));
    let mut marks = String::new();
    if note.internal {
        marks.push_str(", internal");
    }
    if note.gone_at.is_some() {
        marks.push_str(", gone from the forge");
    }
    let author = if note.author.is_empty() {
        "ghost".to_owned()
    } else {
        one_line(&note.author)
    };
    if note.system {
        let line = format!("{author} {}{when}", one_line(&note.body));
        return page.line(page.paint(Style::Faint, &line));
    }
    let author = page.paint(Style::Strong, &author);
    let rest = page.paint(Style::Faint, &format!("{when}{marks}{resolved}"));
    page.line(format!("{author}{rest}"));
    page.body(&note.body, "    ");
}

fn table_of_events(events: &[Event], page: &mut Page) {
    let mut table = Table::new(&[
        ("WHEN", Column::Left),
        ("WHO", Column::Left),
        ("WHAT", Column::Flexible),
    ]);
    for event in events {
        let subject = event
            .subject
            .as_deref()
            .map(|subject| format!(" {}", one_line(subject)))
            .unwrap_or_default();
        let what = format!("{} {}{subject}", event.kind, one_line(&event.action));
        let when = event.at.map_or_else(|| "–".to_owned(), |at| page.full_time(at));
        table.row([when.into(), one_line(&event.actor).into(), what.into()]);
    }
    page.table(&table);
}

fn table_of_files(files: &[File], page: &mut Page) {
    let mut table = Table::new(&[
        ("CHANGE", Column::Left),
        ("+", Column::Right),
        ("-", Column::Right),
        ("PATH", Column::Flexible),
    ]);
    let lines = |count: Option<i64>| count.map_or_else(String::new, |count| count.to_string());
    for file in files {
        let path = if file.old_path == file.new_path || file.old_path.is_empty() {
            one_line(&file.new_path)
        } else {
            format!("{} → {}", one_line(&file.old_path), one_line(&file.new_path))
        };
        table.row([
            file.change.to_string().into(),
            Cell::styled(lines(file.additions), Style::Good),
            Cell::styled(lines(file.deletions), Style::Attention),
            path.into(),
        ]);
    }
    if !files.is_empty() {
        page.table(&table);
    }
}

fn table_of_revisions(revisions: &[Revision], page: &mut Page) {
    let mut table = Table::new(&[
        ("#", Column::Right),
        ("VALID FROM", Column::Left),
        ("SEEN", Column::Left),
        ("WHAT", Column::Left),
        ("CHANGED", Column::Flexible),
    ]);
    for revision in revisions {
        table.row([
            revision.seq.to_string().into(),
            revision.valid_from.utc_text().into(),
            page.full_time(revision.observed_at).into(),
            revision.op.to_string().into(),
            one_line(&revision.changed.join(", ")).into(),
        ]);
    }
    page.table(&table);
}
