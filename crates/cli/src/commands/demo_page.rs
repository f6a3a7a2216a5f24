//! What the demo says to a person.

use std::time::Duration;

use super::demo::Data;
use super::demo_forge::SampleForge;
use super::search::show_hit;
use super::sync::requests;
use super::{show_page, sync_runs};
use crate::given::{Given, quoted};
use crate::output::page::{counted, one_line};
use crate::output::{Page, Show, Style};

impl Show for Data {
    fn show(&self, page: &mut Page) {
        mirrored(self, page);
    }
}

/// Before the sync.
pub fn begin(forge: &SampleForge, given: &Given, page: &mut Page) {
    page.line(format!(
        "A forge with a sample project now runs inside this process, at {}.",
        forge.url()
    ));
    page.line("Nothing leaves this machine. What follows works the same with a forge of yours.");
    page.blank();
    command(&given.command(&format!("annals sync {}", forge.project_url())), page);
}

/// After the sync: what it did, a search, a thread, the history of a file.
pub fn mirrored(data: &Data, page: &mut Page) {
    let counts = data.counts;
    let took = sync_runs::seconds(Duration::from_millis(data.took_ms));
    page.blank();
    page.line("The demo has done the same by itself, without the progress and the table that the command shows.");
    page.line(format!(
        "{}, {} and {} are in {}.",
        counted(counts.issues, "issue"),
        counted(counts.merge_requests, "merge request"),
        counted(counts.notes, "note"),
        one_line(&data.db)
    ));
    let news = if data.sync.stored_something() {
        ""
    } else {
        "; nothing was new, so nothing was written"
    };
    page.line(page.paint(
        Style::Faint,
        &format!("It took {took} and {}{news}.", requests(&data.sync)),
    ));
    page.blank();
    command(
        &format!("annals search '{}' --db {}", data.search.query, quoted(&data.db)),
        page,
    );
    for hit in &data.search.hits {
        show_hit(hit, page);
    }
    page.count(data.search.hits.len(), data.search.total, "hit", "-n for more");
    if let Some(thread) = &data.thread {
        page.blank();
        command(
            &format!(
                "annals show '{}' --discussions --db {}",
                one_line(&thread.reference),
                quoted(&data.db)
            ),
            page,
        );
        show_page::thread(&thread.discussion, page);
    }
    if let Some(history) = &data.file_history {
        page.blank();
        command(
            &format!("annals file-history {} --db {}", history.path, quoted(&data.db)),
            page,
        );
        history.show(page);
    }
    page.blank();
}

/// The page is there.
pub fn serves(data: &Data, page: &mut Page) {
    let address = page.paint(Style::Link, &data.address);
    page.line(format!("Search it in a browser: {address}"));
    page.line(page.paint(
        Style::Faint,
        "Ctrl-C ends the demo; the file stays, and a second demo goes on from it.",
    ));
}

/// The page is not there, but could be.
pub fn would_serve(data: &Data, page: &mut Page) {
    command(&format!("annals serve --db {}", quoted(&data.db)), page);
    page.line(format!(
        "Left out because of --exit; the search page would be at {}",
        data.address
    ));
}

/// A command as a person would type it.
fn command(line: &str, page: &mut Page) {
    page.line(page.paint(Style::Strong, &format!("$ {line}")));
}
