//! `annals sync --dry-run`: what a run would do, from the file alone.

use annals_net_adapter::Cx;
use annals_sync::{Plan, SyncOptions, Target};

use crate::error::Error;
use crate::output::page::{counted, one_line};
use crate::output::table::{Column, Table};
use crate::output::{Page, Shape, Style};
use crate::session::Session;

#[rustfmt::skip]
pub const SHAPE: Shape = Shape {
    fields: &[
        "projects.path", "projects.known", "projects.streams.stream", "projects.streams.cursor",
        "projects.streams.full_cursor", "projects.streams.floor", "projects.jobs", "projects.sweep",
        "projects.requests", "dirty", "requests",
    ],
    list: None,
    minimal: &["requests"],
};

/// Reads what a run would do. Without a file every address is new.
pub async fn plan(cx: &Cx, session: &Session, targets: Vec<Target>, options: &SyncOptions) -> Result<Plan, Error> {
    let is_there = session.db_path()?.exists();
    if !is_there {
        return annals_sync::plan_anew(&targets, options).map_err(|error| super::sync::told(session, &[], &error));
    }
    let db = session.mirror(cx).await?;
    let planned = annals_sync::plan(cx, &db, &targets, options).await;
    let closed = db.close(cx).await;
    let plan = planned.map_err(|error| super::sync::told(session, &[], &error))?;
    closed.map_err(|error| session.about_mirror(&error))?;
    Ok(plan)
}

pub fn show(plan: &Plan, page: &mut Page) {
    let mut table = Table::new(&[
        ("PROJECT", Column::Flexible),
        ("ISSUES FROM", Column::Left),
        ("MERGE REQUESTS FROM", Column::Left),
        ("DETAILS DUE", Column::Right),
        ("SWEEP", Column::Left),
        ("REQUESTS", Column::Right),
    ]);
    for project in &plan.projects {
        let from = |name: &str| {
            let stream = project.streams.iter().find(|stream| stream.stream == name);
            let cursor = stream.and_then(|stream| stream.full_cursor.as_ref().or(stream.cursor.as_ref()));
            let time = cursor.and_then(|cursor| cursor.split('/').next());
            time.map_or_else(|| "the beginning".to_owned(), str::to_owned)
        };
        table.row([
            one_line(&project.path).into(),
            from("issues").into(),
            from("merge_requests").into(),
            project.jobs.to_string().into(),
            if project.sweep { "yes" } else { "no" }.to_owned().into(),
            project
                .requests
                .map_or_else(|| "unknown".to_owned(), |n| format!("{n} or more"))
                .into(),
        ]);
    }
    if !plan.projects.is_empty() {
        page.table(&table);
    }
    let summary = format!(
        "nothing was asked and nothing was written · {} owed · about {}",
        counted(plan.dirty, "document"),
        counted(plan.requests, "request")
    );
    page.line(page.paint(Style::Faint, &summary));
}
