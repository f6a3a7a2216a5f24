//! `annals version`: what this binary is.

use std::collections::BTreeMap;

use annals_net_adapter::{BackendKind, Cx};
use serde::Serialize;

use super::{Needs, Run};
use crate::error::Error;
use crate::output::table::Table;
use crate::output::{Meta, Page, Reply, Shape, Show};
use crate::session::Session;

/// Show the version, the schema it knows and the runtimes built in
#[derive(Debug, clap::Args)]
pub struct Args {}

#[derive(Debug, Serialize)]
pub struct Data {
    version: &'static str,
    /// The schema of files that this binary writes.
    schema: u32,
    /// The runtimes built in.
    runtimes: Vec<&'static str>,
    /// On which of them what runs.
    slices: BTreeMap<&'static str, &'static str>,
}

const SHAPE: Shape = Shape {
    fields: &["version", "schema", "runtimes", "slices.*"],
    list: None,
    minimal: &["version"],
};

impl Run for Args {
    type Data = Data;
    const NAME: &'static str = "version";
    const EXAMPLES: &'static [&'static str] = &["annals version"];
    const ALIASES: &'static [&'static str] = &["ver"];
    const NEEDS: Needs = Needs::ConfigIfSound;

    fn shape(&self) -> Shape {
        SHAPE
    }

    async fn run(self, _: &Cx, session: &Session) -> Result<Reply<Data>, Error> {
        let data = Data {
            version: env!("CARGO_PKG_VERSION"),
            schema: newest_schema(),
            runtimes: BackendKind::compiled().iter().map(|kind| kind.as_str()).collect(),
            slices: slices(session),
        };
        let warnings = session.faults.iter().map(|fault| fault.message.clone()).collect();
        Ok(Reply::Data(
            data,
            Meta {
                warnings,
                ..Meta::default()
            },
        ))
    }
}

/// The schema that this binary knows.
pub fn newest_schema() -> u32 {
    annals_db::migrate::embedded().last().map_or(0, |step| step.version)
}

/// Which runtime everything runs on, by slice; `default` is the rest.
pub fn slices(session: &Session) -> BTreeMap<&'static str, &'static str> {
    let default = [("default", session.runtimes.default().kind().as_str())];
    let moved = session
        .runtimes
        .describe()
        .into_iter()
        .map(|(slice, kind)| (slice.as_str(), kind.as_str()));
    moved.chain(default).collect()
}

impl Show for Data {
    fn show(&self, page: &mut Page) {
        let slices: Vec<String> = self
            .slices
            .iter()
            .map(|(slice, runtime)| format!("{slice}={runtime}"))
            .collect();
        let mut table = Table::pairs();
        table.row(["annals".into(), self.version.into()]);
        table.row(["schema".into(), self.schema.to_string().into()]);
        table.row(["runtimes".into(), self.runtimes.join(", ").into()]);
        table.row(["slices".into(), slices.join(" ").into()]);
        page.table(&table);
    }
}
