//! `annals mrs`: a list of merge requests, or one.

use annals_core::EntityKind;
use annals_net_adapter::Cx;

use super::either::Either;
use super::{AsOf, Run, Tool, list, show};
use crate::error::Error;
use crate::output::{Reply, Shape};
use crate::session::Session;

/// List merge requests, or show one
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The number of one merge request, to show it
    iid: Option<String>,
    #[command(flatten)]
    filters: list::Filters,
    #[command(flatten)]
    parts: show::Parts,
}

impl Run for Args {
    type Data = Either<list::Data, show::Data>;
    const NAME: &'static str = "mrs";
    const AS_OF: AsOf = AsOf::Taken;
    const EXAMPLES: &'static [&'static str] = &[
        "annals mrs --state merged --author dev-three --sort created --asc -n 50",
        "annals mrs 42 --files",
    ];
    const ALIASES: &'static [&'static str] = &["mr", "merge-requests", "merge-request", "prs", "pr"];
    const TOOL: Tool = Tool::Reads;

    fn shape(&self) -> Shape {
        if self.iid.is_some() { show::SHAPE } else { list::SHAPE }
    }

    async fn run(self, cx: &Cx, session: &Session) -> Result<Reply<Self::Data>, Error> {
        match self.iid {
            Some(iid) => Ok(show::one(cx, session, &["mr".to_owned(), iid], self.parts)
                .await?
                .map(Either::Right)),
            None if self.parts.any() => Err(show::Parts::without_one("mr").into()),
            None => Ok(self
                .filters
                .list(cx, session, EntityKind::MergeRequest)
                .await?
                .map(Either::Left)),
        }
    }
}
