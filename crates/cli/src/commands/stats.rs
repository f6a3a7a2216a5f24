//! `annals stats`: sizes, rows, cursors, and what is owed; with `--check` whether the file is sound.

use annals_core::{Code, Report};
use annals_db::read::{self, Depth, Stats};
use annals_net_adapter::Cx;
use serde::Serialize;

use super::Run;
use crate::error::Error;
use crate::output::page::{counted, one_line};
use crate::output::table::{Cell, Column, Table};
use crate::output::{Page, Reply, Shape, Show, Style};
use crate::session::Session;

/// Show sizes, rows, cursors and what is owed
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Look for damage too: every page, index and reference is read
    #[arg(long)]
    check: bool,
}

#[derive(Debug, Serialize)]
pub struct Data {
    #[serde(flatten)]
    stats: Stats,
    /// The schema of the file.
    schema: u32,
    /// Whether it was looked at and found sound; null if it was not looked at.
    sound: Option<bool>,
}

#[rustfmt::skip]
const SHAPE: Shape = Shape {
    fields: &[
        "tables.*", "blobs.count", "blobs.bytes", "blobs.stored_bytes",
        "cursors.project", "cursors.stream", "cursors.pass", "cursors.at", "cursors.rows", "cursors.updated_at",
        "jobs.done", "jobs.pending", "jobs.failed", "jobs.aborted", "dirty", "documents",
        "quarantine.open", "quarantine.given_up", "quarantine.resolved", "content_seq", "bytes", "schema", "sound",
    ],
    list: None,
    minimal: &["bytes", "documents", "dirty", "jobs.pending", "quarantine.open"],
};

impl Run for Args {
    type Data = Data;
    const NAME: &'static str = "stats";

    fn shape(&self) -> Shape {
        SHAPE
    }

    async fn run(self, cx: &Cx, session: &Session) -> Result<Reply<Data>, Error> {
        let db = session.mirror(cx).await?;
        let check = self.check;
        let read = db.read(cx, move |conn| {
            let findings = if check {
                read::check(conn, Depth::Full)?
            } else {
                Vec::new()
            };
            if !findings.is_empty() {
                return Ok(Err(findings));
            }
            Ok(Ok(Data {
                stats: read::stats(conn)?,
                schema: read::schema(conn)?,
                sound: check.then_some(true),
            }))
        });
        match read.await.map_err(|error| session.about_mirror(&error))? {
            Ok(data) => Ok(data.into()),
            Err(findings) => Err(session.naming_file(damaged(&findings)).into()),
        }
    }
}

fn damaged(findings: &[String]) -> Report {
    let more = match findings.len() {
        0 | 1 => String::new(),
        n => format!(" and {} more", n - 1),
    };
    let first = findings.first().map_or("", String::as_str);
    Report::new(Code::DatabaseCorrupt, format!("the file is damaged: {first}{more}"))
        .with_suggestion("put the newest sound copy in its place: the next `annals sync` fetches what came after it")
        .with_detail("findings", findings.to_vec())
}

impl Show for Data {
    fn show(&self, page: &mut Page) {
        let stats = &self.stats;
        page.line(format!(
            "{} KiB, schema {}, commit {}",
            stats.bytes / 1024,
            self.schema,
            stats.content_seq
        ));
        if self.sound == Some(true) {
            page.line(page.paint(
                Style::Good,
                "Every page, index and reference was read; the file is sound.",
            ));
        }
        page.blank();
        let mut table = Table::new(&[("TABLE", Column::Left), ("ROWS", Column::Right)]);
        for (name, rows) in stats.tables.iter().filter(|(_, rows)| **rows > 0) {
            table.row([name.as_str().into(), rows.to_string().into()]);
        }
        page.table(&table);
        page.line(page.paint(
            Style::Faint,
            &format!(
                "blobs: {} KiB kept in {} KiB",
                stats.blobs.bytes / 1024,
                stats.blobs.stored_bytes / 1024
            ),
        ));
        page.blank();
        if !stats.cursors.is_empty() {
            let mut table = Table::new(&[
                ("PROJECT", Column::Flexible),
                ("STREAM", Column::Left),
                ("PASS", Column::Left),
                ("READ UP TO", Column::Left),
                ("MOVED", Column::Left),
            ]);
            for cursor in &stats.cursors {
                table.row([
                    Cell::styled(one_line(&cursor.project), Style::Link),
                    one_line(&cursor.stream).into(),
                    cursor.pass.as_str().into(),
                    page.time(cursor.at).into(),
                    page.time(cursor.updated_at).into(),
                ]);
            }
            page.table(&table);
            page.blank();
        }
        let owed = [
            (stats.jobs.pending, "fetch", "owed"),
            (stats.jobs.failed, "fetch", "given up"),
            (stats.dirty, "change", "not searchable yet"),
            (stats.quarantine.open, "item", "set aside"),
        ];
        let owed: Vec<String> = owed
            .into_iter()
            .filter(|(count, _, _)| *count > 0)
            .map(|(count, noun, what)| format!("{} {what}", counted_fetches(count, noun)))
            .collect();
        page.line(if owed.is_empty() {
            "Nothing is owed.".to_owned()
        } else {
            owed.join(" · ")
        });
    }
}

fn counted_fetches(count: u64, noun: &str) -> String {
    if noun == "fetch" && count != 1 {
        format!("{count} fetches")
    } else {
        counted(count, noun)
    }
}
