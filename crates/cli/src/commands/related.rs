//! `annals related REF`: what an issue or merge request has to do with others.

use annals_core::config::EmbedProvider;
use annals_core::{EntityKind, Report};
use annals_db::ReadConn;
use annals_db::read::{self, ProjectName, Visibility};
use annals_net_adapter::Cx;
use annals_search::related::{Related, Subject, related};
use annals_search::vector::{EmbeddingSet, Exact};
use serde::Serialize;

use super::place::{self, Reference};
use super::{Run, Tool, show};
use crate::error::Error;
use crate::output::page::{counted, one_line, title};
use crate::output::{Meta, Page, Reply, Shape, Show, Style};
use crate::session::Session;

/// How many unless something else is said.
const LIMIT: u16 = 10;

/// Show what has to do with an issue or merge request, and why
#[derive(Debug, clap::Args)]
#[command(
    after_help = "What speaks for another one: a reference between them, files that both change, a similar text, a \
                        label that few have. Ways to write REF: issue 12, mr 42, '#12', '!42', group/project#12, \
                        group/project!42, or the address at the forge."
)]
pub struct Args {
    /// Of which one
    #[arg(value_name = "REF", required = true, num_args = 1..=2)]
    reference: Vec<String>,
    /// How many
    #[arg(short = 'n', long, default_value_t = LIMIT, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=100))]
    limit: u16,
}

/// Related entities, the most related first.
#[derive(Debug, Serialize)]
pub struct Data {
    items: Vec<Related>,
}

const SHAPE: Shape = Shape {
    fields: &[
        "items.ref",
        "items.title",
        "items.score",
        "items.why.kind",
        "items.why.detail",
    ],
    list: Some("items"),
    minimal: &["ref", "title", "why"],
};

impl Run for Args {
    type Data = Data;
    const NAME: &'static str = "related";
    const TOOL: Tool = Tool::Reads;
    const EXAMPLES: &'static [&'static str] = &["annals related 'group/project!42' -n 5"];
    const ALIASES: &'static [&'static str] = &["similar"];

    fn shape(&self) -> Shape {
        SHAPE
    }

    async fn run(self, cx: &Cx, session: &Session) -> Result<Reply<Data>, Error> {
        let reference = Reference::parse(&self.reference)?;
        let db = session.mirror(cx).await?;
        let (flag, limit) = (session.global.project.clone(), usize::from(self.limit));
        let found = db.read(cx, move |conn| {
            let (named, flag) = (reference.project.as_deref(), flag.as_deref());
            let project = match (named, flag) {
                (Some(named), Some(flag)) => place::both(conn, named, flag)?,
                (one, other) => place::project(conn, one.or(other))?,
            };
            match project {
                Ok(project) => find(conn, &project, &reference, limit),
                Err(report) => Ok(Err(place::with_actions(report, |project| {
                    let shown = reference.command(project);
                    shown.replacen("annals show", "annals related", 1)
                }))),
            }
        });
        let (data, has_vectors) = found.await.map_err(|error| session.about_mirror(&error))??;
        let mut meta = Meta::default();
        if !has_vectors && session.config().embed.provider != EmbedProvider::None {
            let warning = "texts were not compared, because no document has a vector; `annals embed` makes them";
            meta.warnings.push(warning.to_owned());
        }
        Ok(Reply::Data(data, meta))
    }
}

/// What is related, and whether there are vectors that texts could be compared by.
fn find(
    conn: &ReadConn<'_>,
    project: &ProjectName,
    reference: &Reference,
    limit: usize,
) -> Result<Result<(Data, bool), Report>, annals_db::Error> {
    let all = Visibility::all();
    let kind = reference.kind.unwrap_or(EntityKind::Issue);
    let Some(entity) = read::entity(conn, &all, kind, project.id, reference.iid)? else {
        return Ok(Err(show::missing(conn, project, reference, None)?));
    };
    let subject = Subject {
        id: entity.id(),
        project: project.id,
        iid: reference.iid,
    };
    let items = related(conn, &Exact, &all, subject, limit)?;
    Ok(Ok((Data { items }, EmbeddingSet::active(conn)?.is_some())))
}

impl Show for Data {
    fn show(&self, page: &mut Page) {
        for item in &self.items {
            let reference = page.paint(Style::Link, &one_line(&item.reference));
            let name = page.paint(Style::Strong, &title(&item.title));
            page.line(format!("{reference}  {name}  {}", page.time(item.updated_at)));
            for why in &item.why {
                page.line(format!("    {}", one_line(&why.detail)));
            }
        }
        let line = match self.items.len() {
            0 => "nothing is known to have to do with it".to_owned(),
            some => format!("{} shown, the most related first", counted(some as u64, "item")),
        };
        page.line(page.paint(Style::Faint, &line));
    }
}
