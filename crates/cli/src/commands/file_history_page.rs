//! The history of a file for a person: its names, the merge requests, then notes and commits.

use annals_core::text::cut_chars;
use annals_db::ids::State;
use annals_db::read::{FileCommit, FileNote, FileRequest};

use super::file_history::Data;
use super::list;
use crate::output::page::{counted, one_line, title};
use crate::output::table::{Cell, Column, Table};
use crate::output::{Page, Show, Style};

impl Show for Data {
    fn show(&self, page: &mut Page) {
        let path = page.paint(Style::Strong, &one_line(&self.path));
        let place = self
            .project
            .as_deref()
            .map_or(String::new(), |project| format!(" in {}", one_line(project)));
        page.line(format!("{path}{place}"));
        for name in self.rename_chain.iter().filter(|name| **name != self.path) {
            page.line(format!("  also {}", one_line(name)));
        }
        if self.beside.chain_truncated {
            let line = format!(
                "  it has more names than the {} that are followed",
                self.rename_chain.len()
            );
            page.line(page.paint(Style::Attention, &line));
        }
        requests(&self.merge_requests, page);
        page.count(
            self.merge_requests.len(),
            self.beside.total_mrs,
            "merge request",
            "-n for more",
        );
        if let Some(notes) = &self.discussions {
            page.blank();
            for note in notes {
                self::note(note, page);
            }
            page.line(page.paint(Style::Faint, &counted(notes.len() as u64, "note")));
        }
        if let Some(commits) = &self.commits {
            page.blank();
            self::commits(commits, page);
            page.line(page.paint(Style::Faint, &counted(commits.len() as u64, "commit")));
        }
        list::standing_line(self.beside.standing, page);
        for diagnostic in &self.beside.diagnostics {
            page.line(page.paint(Style::Attention, &one_line(&diagnostic.message)));
            for action in &diagnostic.actions {
                let word = page.paint(Style::Link, "next:");
                page.line(format!("  {word} {}", one_line(action)));
            }
        }
    }
}

fn requests(requests: &[FileRequest], page: &mut Page) {
    if requests.is_empty() {
        return;
    }
    let mut table = Table::new(&[
        ("MR", Column::Left),
        ("CHANGE", Column::Left),
        ("STATE", Column::Left),
        ("TITLE", Column::Flexible),
        ("AUTHOR", Column::Left),
        ("MERGED OR UPDATED", Column::Left),
    ]);
    for request in requests {
        let style = match request.state {
            State::Open => Style::Good,
            State::Merged => Style::Strong,
            State::Closed | State::Other => Style::Faint,
        };
        table.row([
            Cell::styled(format!("!{}", request.iid), Style::Link),
            request.change_type.as_str().into(),
            Cell::styled(request.state.as_str(), style),
            title(&request.title).into(),
            one_line(&request.author).into(),
            page.time(request.moved_at).into(),
        ]);
    }
    page.table(&table);
}

fn note(note: &FileNote, page: &mut Page) {
    let reference = page.paint(Style::Link, &format!("!{}", note.iid));
    let line = note.line.map_or(String::new(), |line| format!(":{line}"));
    let place = one_line(note.path.as_deref().unwrap_or("–"));
    let state = match note.resolved {
        Some(true) => " · resolved",
        Some(false) => " · open",
        None => "",
    };
    let rest = page.paint(Style::Faint, &format!("{}{state}", page.time(note.created_at)));
    page.line(format!(
        "{reference}  {place}{line}  {}  {rest}",
        one_line(&note.author)
    ));
    page.body(&note.snippet, "    ");
}

fn commits(commits: &[FileCommit], page: &mut Page) {
    if commits.is_empty() {
        return;
    }
    let mut table = Table::new(&[
        ("COMMIT", Column::Left),
        ("CHANGE", Column::Left),
        ("TITLE", Column::Flexible),
        ("AUTHOR", Column::Left),
        ("COMMITTED", Column::Left),
    ]);
    for commit in commits {
        table.row([
            Cell::styled(cut_chars(&commit.oid, 12), Style::Link),
            commit.change_type.as_str().into(),
            title(&commit.title).into(),
            one_line(commit.author.as_deref().unwrap_or("–")).into(),
            page.time(commit.committed_at).into(),
        ]);
    }
    page.table(&table);
}
