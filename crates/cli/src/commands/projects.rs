//! `annals projects`: what is mirrored; and a project added to it.

use annals_db::read::{self, ProjectRow, Visibility};
use annals_net_adapter::Cx;
use annals_sync::Added;
use serde::Serialize;

use super::either::Either;
use super::sync::{forges_of, told};
use super::{Conduct, Run, Tool};
use crate::error::Error;
use crate::output::page::{counted, one_line};
use crate::output::table::{Cell, Column, Table};
use crate::output::{Page, Reply, Shape, Show, Style};
use crate::session::Session;

/// List the mirrored projects, or add one
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// List the mirrored projects, as `annals projects` alone does
    List,
    /// Add a project, for the next sync to mirror
    Add {
        /// Its address
        #[arg(value_name = "URL")]
        url: String,
    },
}

#[derive(Debug, Serialize)]
pub struct Projects {
    projects: Vec<ProjectRow>,
}

#[derive(Debug, Serialize)]
pub struct AddedProject {
    path: String,
    forge: String,
    /// Whether it was mirrored before.
    was_known: bool,
}

#[rustfmt::skip]
const LIST: Shape = Shape {
    fields: &[
        "projects.id", "projects.path", "projects.forge", "projects.forge_url", "projects.state",
        "projects.forge_kind", "projects.title", "projects.description", "projects.default_branch",
        "projects.archived", "projects.tracked", "projects.url", "projects.last_synced_at", "projects.counts.issues",
        "projects.counts.open_issues", "projects.counts.merge_requests", "projects.counts.open_merge_requests",
        "projects.counts.discussions", "projects.counts.notes", "projects.cursors.project", "projects.cursors.stream",
        "projects.cursors.pass", "projects.cursors.at", "projects.cursors.rows", "projects.cursors.updated_at",
        "projects.last_run.run_id", "projects.last_run.status", "projects.last_run.started_at",
        "projects.last_run.finished_at", "projects.last_run.error_code",
    ],
    list: Some("projects"),
    minimal: &["path", "forge", "state", "last_synced_at"],
};

const ADDED: Shape = Shape {
    fields: &["path", "forge", "was_known"],
    list: None,
    minimal: &["path"],
};

impl Run for Args {
    type Data = Either<Projects, AddedProject>;
    const NAME: &'static str = "projects";
    const EXAMPLES: &'static [&'static str] = &[
        "annals projects",
        "annals projects list --fields path,last_synced_at",
        "annals projects add https://gitlab.com/group/project",
    ];
    const ALIASES: &'static [&'static str] = &["project", "repos", "repo"];
    const TOOL: Tool = Tool::Reads;
    const CONDUCT: Conduct = Conduct::Works;

    fn shape(&self) -> Shape {
        match self.what {
            None | Some(What::List) => LIST,
            Some(What::Add { .. }) => ADDED,
        }
    }

    async fn run(self, cx: &Cx, session: &Session) -> Result<Reply<Self::Data>, Error> {
        match self.what {
            None | Some(What::List) => {
                let db = session.mirror(cx).await?;
                let projects = db.read(cx, |conn| read::projects(conn, &Visibility::all())).await;
                Ok(Either::Left(Projects {
                    projects: projects.map_err(|error| session.about_mirror(&error))?,
                })
                .into())
            }
            Some(What::Add { url }) => {
                let options = session.sync_options()?;
                let db = session.mirror_to_write(cx, session.auto_migrate()).await?;
                let added = Box::pin(annals_sync::add(cx, &db, &url, &options)).await;
                let forges = forges_of(cx, session, &db, std::slice::from_ref(&url)).await;
                let closed = db.close(cx).await;
                let Added {
                    path, forge, was_known, ..
                } = added.map_err(|error| told(session, &forges, &error))?;
                closed.map_err(|error| session.about_mirror(&error))?;
                Ok(Either::Right(AddedProject { path, forge, was_known }).into())
            }
        }
    }
}

impl Show for Projects {
    fn show(&self, page: &mut Page) {
        let mut table = Table::new(&[
            ("PROJECT", Column::Flexible),
            ("FORGE", Column::Left),
            ("STATE", Column::Left),
            ("ISSUES", Column::Right),
            ("MRS", Column::Right),
            ("NOTES", Column::Right),
            ("SYNCED", Column::Left),
        ]);
        for project in &self.projects {
            let state = if project.tracked {
                project.name.state.to_string()
            } else {
                "not tracked".to_owned()
            };
            let synced = project
                .last_synced_at
                .map_or_else(|| "never".to_owned(), |at| page.time(Some(at)));
            table.row([
                Cell::styled(one_line(&project.name.path), Style::Link),
                one_line(&project.name.forge).into(),
                state.into(),
                project.counts.issues.to_string().into(),
                project.counts.merge_requests.to_string().into(),
                project.counts.notes.to_string().into(),
                synced.into(),
            ]);
        }
        if !self.projects.is_empty() {
            page.table(&table);
        }
        page.line(page.paint(Style::Faint, &counted(self.projects.len() as u64, "project")));
    }
}

impl Show for AddedProject {
    fn show(&self, page: &mut Page) {
        let path = one_line(&self.path);
        let word = if self.was_known {
            "was already there"
        } else {
            "is added"
        };
        page.line(format!("{path} {word}; annals sync {path} mirrors it"));
    }
}
