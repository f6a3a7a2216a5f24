//! `annals issues`: a list of issues, or one.

use annals_core::EntityKind;
use annals_net_adapter::Cx;

use super::either::Either;
use super::{AsOf, Run, Tool, list, show};
use crate::error::Error;
use crate::output::{Reply, Shape};
use crate::session::Session;

/// List issues, or show one
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The number of one issue, to show it
    iid: Option<String>,
    #[command(flatten)]
    filters: list::Filters,
    #[command(flatten)]
    parts: show::Parts,
}

impl Run for Args {
    type Data = Either<list::Data, show::Data>;
    const NAME: &'static str = "issues";
    const AS_OF: AsOf = AsOf::Taken;
    const EXAMPLES: &'static [&'static str] = &[
        "annals issues --state open --label bug --after 30d",
        "annals issues 12 --discussions",
    ];
    const ALIASES: &'static [&'static str] = &["issue"];
    const TOOL: Tool = Tool::Reads;

    fn shape(&self) -> Shape {
        if self.iid.is_some() { show::SHAPE } else { list::SHAPE }
    }

    async fn run(self, cx: &Cx, session: &Session) -> Result<Reply<Self::Data>, Error> {
        match self.iid {
            Some(iid) => Ok(show::one(cx, session, &["issue".to_owned(), iid], self.parts)
                .await?
                .map(Either::Right)),
            None if self.parts.any() => Err(show::Parts::without_one("issue").into()),
            None => Ok(self
                .filters
                .list(cx, session, EntityKind::Issue)
                .await?
                .map(Either::Left)),
        }
    }
}
