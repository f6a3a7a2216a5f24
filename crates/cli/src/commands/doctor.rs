//! `annals doctor`: what is wrong here, and what to do about it.

use annals_core::{Code, Coded, Report};
use annals_net_adapter::Cx;
use annals_search::embed::{self, Patience};
use serde::Serialize;

use super::{Needs, Run, checks};
use crate::error::Error;
use crate::output::table::{Cell, Column, Table};
use crate::output::{Mode, Page, Reply, Shape, Show, Style};
use crate::session::Session;

/// Check the configuration, the mirror and this machine
#[derive(Debug, clap::Args)]
pub struct Args {}

#[derive(Debug, Serialize)]
pub struct Data {
    checks: Vec<Check>,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    pub name: String,
    pub status: Status,
    pub detail: String,
    /// The command that helps.
    pub action: Option<String>,
    /// What helps, where that is no command.
    pub hint: Option<String>,
}

/// What a check came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Ok,
    /// Worth knowing; nothing is wrong.
    Info,
    /// A finding.
    Fail,
}

impl Check {
    pub fn new(name: impl Into<String>, status: Status, detail: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            status,
            detail: detail.into(),
            action: None,
            hint: None,
        }
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    #[must_use]
    pub fn action(mut self, action: impl Into<String>) -> Self {
        self.action = Some(action.into());
        self
    }
}

impl Run for Args {
    type Data = Data;
    const NAME: &'static str = "doctor";
    const EXAMPLES: &'static [&'static str] = &["annals doctor"];
    const ALIASES: &'static [&'static str] = &["diagnose"];
    const NEEDS: Needs = Needs::ConfigIfSound;

    fn shape(&self) -> Shape {
        Shape {
            fields: &[
                "checks.name",
                "checks.status",
                "checks.detail",
                "checks.action",
                "checks.hint",
            ],
            list: Some("checks"),
            minimal: &["name", "status"],
        }
    }

    async fn run(self, cx: &Cx, session: &Session) -> Result<Reply<Data>, Error> {
        let mut all = checks::setting(session);
        let (mirror, mirrored) = checks::mirror(cx, session).await;
        all.extend(mirror);
        all.extend(checks::forges(session, &mirrored));
        all.extend(embedder(cx, session).await?);
        all.push(checks::git(session));
        for check in &mut all {
            check.action = check.action.take().map(|action| session.given.command(&action));
        }
        let data = Data { checks: all };
        let findings: Vec<&Check> = data
            .checks
            .iter()
            .filter(|check| check.status == Status::Fail)
            .collect();
        if findings.is_empty() {
            return Ok(data.into());
        }
        let mut names: Vec<&str> = findings.iter().map(|check| check.name.as_str()).collect();
        names.dedup();
        let mut report = Report::new(
            Code::CheckFailed,
            format!("something is wrong with: {}", names.join(", ")),
        );
        for check in findings.iter().rev() {
            if let Some(action) = &check.action {
                report = report.with_action(action);
            }
        }
        if report.actions.is_empty() {
            report.suggestion = findings.iter().find_map(|check| check.hint.clone());
        }
        match session.out.mode {
            Mode::Human => session.out.page(cx, |page| data.show(page))?,
            Mode::Robot => {
                let checks = serde_json::to_value(&data.checks).unwrap_or_default();
                report = report.with_detail("checks", checks);
            }
        }
        Err(report.into())
    }
}

/// Whether the embedder answers, where a server is configured. It is sent one word that is nobody's.
async fn embedder(cx: &Cx, session: &Session) -> Result<Option<Check>, Error> {
    let settings = &session.config().embed;
    let answered = match embed::embedder(cx, settings, Patience::Interactive) {
        Ok(Some(embedder)) if embed::is_configured(settings) => embedder.embed(cx, &["annals"]).await,
        Ok(_) => return Ok(None),
        Err(error) => Err(error),
    };
    let check = match answered {
        Ok(vectors) => {
            let model = settings.model.as_deref().unwrap_or_default();
            let dims = vectors.first().map_or(0, Vec::len);
            let detail = format!("{} {model} answers, with {dims} numbers", settings.provider);
            Check::new("embedder", Status::Ok, detail)
        }
        Err(error) if error.stop().is_some() => return Err(Error::of(&error)),
        Err(error) => {
            let report = error.report();
            let check = Check::new("embedder", Status::Fail, report.message);
            match report.suggestion {
                Some(help) => check.hint(help),
                None => check,
            }
        }
    };
    Ok(Some(check))
}

impl Show for Data {
    fn show(&self, page: &mut Page) {
        let mut table = Table::new(&[
            ("CHECK", Column::Left),
            ("", Column::Left),
            ("DETAIL", Column::Flexible),
        ]);
        for check in &self.checks {
            let (word, style) = match check.status {
                Status::Ok => ("ok", Style::Good),
                Status::Info => ("–", Style::Faint),
                Status::Fail => ("wrong", Style::Bad),
            };
            let action = check
                .action
                .as_deref()
                .or(check.hint.as_deref())
                .map(|action| format!(" → {action}"))
                .unwrap_or_default();
            let detail = crate::output::page::one_line(&format!("{}{action}", check.detail));
            table.row([check.name.as_str().into(), Cell::styled(word, style), detail.into()]);
        }
        // What is wrong must be readable to its end, however narrow the screen is.
        page.look.screen = None;
        page.table(&table);
    }
}
