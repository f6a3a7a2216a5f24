//! `annals verify`: whether the mirror is what the forge has.

use std::collections::BTreeMap;

use annals_core::{Code, EntityKind, Report, TaskError};
use annals_net_adapter::{Cx, Slice};
use annals_sync::verify::{self, Depth, Level, Reach, Repair, SampleSize, VerifyOptions, VerifyResult};
use annals_sync::{SyncOptions, Target};
use serde::Serialize;

use super::{Conduct, Run, place, sync};
use crate::error::Error;
use crate::given::quoted;
use crate::output::page::{counted, one_line};
use crate::output::table::{Column, Table};
use crate::output::{Mode, Page, Reply, Shape, Show, Style, progress};
use crate::session::Session;

/// Prove that the mirror is what the forge has, and name what is not
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Looks at the file first, then compares the ids and update times of everything with the forge, and a \
                  sample of entities field by field. With \
                  findings that are left it ends with exit code 19; a clean sample of N says that with 95 % \
                  confidence at most 3/N of the entities differ."
)]
pub struct Args {
    /// Look at the file alone; nothing is asked of a forge
    #[arg(long, conflicts_with_all = ["sample", "deep", "kind", "repair"])]
    local: bool,
    /// How many entities of each project to compare: a number, a percentage, or all
    #[arg(long, value_name = "N|P%|all", default_value = "200")]
    sample: SampleSize,
    /// Compare the sets of these entities too: discussions, events, files, commits
    #[arg(long)]
    deep: bool,
    /// Only entities of this kind
    #[arg(long, value_name = "KIND", value_parser = ["issue", "mr"])]
    kind: Option<String>,
    /// Mend what can be mended: entities from the forge, documents from their rows
    #[arg(long, conflicts_with = "local")]
    repair: bool,
    /// Which sample: the same number chooses the same entities
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
}

/// What was found.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct Data(VerifyResult);

#[rustfmt::skip]
const SHAPE: Shape = Shape {
    fields: &[
        "run_id", "levels.level", "levels.checked", "levels.findings", "levels.left_out", "findings.project",
        "findings.entity_type", "findings.iid", "findings.finding", "findings.fields", "findings.detail",
        "findings.repaired", "repaired", "bound", "requests",
    ],
    list: None,
    minimal: &["levels.level", "levels.findings", "bound"],
};

impl Run for Args {
    type Data = Data;
    const NAME: &'static str = "verify";
    const EXAMPLES: &'static [&'static str] = &[
        "annals verify --local",
        "annals verify -p group/project --sample all --deep",
    ];
    const ALIASES: &'static [&'static str] = &["fsck"];
    const SLICE: Option<Slice> = Some(Slice::Ingest);
    const CONDUCT: Conduct = Conduct::Works;

    fn shape(&self) -> Shape {
        SHAPE
    }

    async fn run(self, cx: &Cx, session: &Session) -> Result<Reply<Data>, Error> {
        let targets = targets(cx, session).await?;
        let options = self.options(session)?;
        let db = session.mirror_to_write(cx, session.auto_migrate()).await?;
        let (progress, watcher) = progress::watch(cx, session)?;
        let looked = Box::pin(verify::verify(cx, &db, targets, options, progress)).await;
        let _warnings = watcher.end(cx).await;
        let ended = match looked {
            Ok(result) => Ok(result),
            Err(error) => {
                let forges = sync::forges_of(cx, session, &db, &[]).await;
                Err(failed(cx, session, &forges, &error, self.next(session)))
            }
        };
        let closed = db.close(cx).await;
        let result = ended?;
        closed.map_err(|error| session.about_mirror(&error))?;
        Ok(Data(result).into())
    }
}

impl Args {
    /// What mends what was found; nothing does that a repair has left.
    fn next(&self, session: &Session) -> Option<String> {
        let of = session.global.project.as_deref();
        let of = of.map_or_else(String::new, |project| format!(" -p {}", quoted(project)));
        (!self.repair).then(|| format!("annals verify{of} --repair"))
    }

    fn options(&self, session: &Session) -> Result<VerifyOptions, Report> {
        Ok(VerifyOptions {
            sync: SyncOptions {
                holder: "annals verify".to_owned(),
                ..session.sync_options()?
            },
            reach: if self.local { Reach::Local } else { Reach::Forge },
            sample: self.sample,
            kinds: match self.kind.as_deref() {
                Some("issue") => vec![EntityKind::Issue],
                Some(_) => vec![EntityKind::MergeRequest],
                None => Vec::new(),
            },
            depth: if self.deep { Depth::Sets } else { Depth::Entity },
            seed: self.seed,
            repair: if self.repair { Repair::Mend } else { Repair::Leave },
        })
    }
}

/// The project of `-p`; every tracked one without it.
async fn targets(cx: &Cx, session: &Session) -> Result<Vec<Target>, Error> {
    let db = session.mirror(cx).await?;
    let Some(name) = session.global.project.clone() else {
        return Ok(Vec::new());
    };
    let found = db.read(cx, move |conn| place::project(conn, Some(&name))).await;
    let project = found.map_err(|error| session.about_mirror(&error))??;
    Ok(vec![Target::Id(project.id)])
}

/// The end of a verification that is not clean: a person sees what was found first.
fn failed(
    cx: &Cx,
    session: &Session,
    forges: &[crate::tokens::Forge],
    error: &annals_sync::Error,
    next: Option<String>,
) -> Error {
    let found = match error {
        annals_sync::Error::Findings(result) | annals_sync::Error::Unverified { result, .. } => Some(result),
        _ => None,
    };
    if let Some(result) = found
        && session.out.mode == Mode::Human
        && let Err(unseen) = session.out.page(cx, |page| show(result, page))
    {
        return unseen;
    }
    match error.cancel_reason() {
        Some(reason) => Error::Cancelled {
            reason: reason.clone(),
            details: None,
        },
        // What ended it comes first, with what to do about it; what was found is beside it.
        None => match error {
            annals_sync::Error::Unverified { cause, result } => match sync::told(session, forges, cause) {
                Error::Told(report) => result.describe(*report).into(),
                ended => ended,
            },
            _ => match (sync::told(session, forges, error), next) {
                (Error::Told(report), Some(next)) if report.code == Code::CheckFailed => {
                    report.with_action(next).into()
                }
                (told, _) => told,
            },
        },
    }
}

impl Show for Data {
    fn show(&self, page: &mut Page) {
        show(&self.0, page);
    }
}

fn show(result: &VerifyResult, page: &mut Page) {
    if !result.findings.is_empty() {
        let mut table = Table::new(&[
            ("FINDING", Column::Left),
            ("WHERE", Column::Left),
            ("WHAT", Column::Flexible),
        ]);
        for finding in &result.findings {
            let project = finding.project.as_deref().unwrap_or("the file");
            let place = match finding.entity_type.zip(finding.iid) {
                Some((kind, iid)) => format!("{project}{}{iid}", kind.sigil()),
                None => project.to_owned(),
            };
            let mended = if finding.repaired { " (mended)" } else { "" };
            table.row([
                finding.finding.to_string().into(),
                one_line(&place).into(),
                one_line(&format!("{}{mended}", finding.detail)).into(),
            ]);
        }
        page.table(&table);
    }
    let checked: BTreeMap<_, _> = result.levels.iter().map(|level| (name(level.level), level)).collect();
    let mut parts: Vec<String> = checked
        .iter()
        .map(|(name, level)| match level.left_out {
            0 => format!("{name}: {} looked at", level.checked),
            left_out => format!("{name}: {} looked at, {left_out} not to be compared", level.checked),
        })
        .collect();
    parts.push(counted(result.left(), "finding"));
    if let Some(bound) = result.bound {
        parts.push(format!(
            "at most {:.1} % of the entities differ (95 % confidence)",
            bound * 100.0
        ));
    }
    page.line(page.paint(Style::Faint, &parts.join(" · ")));
}

const fn name(level: Level) -> &'static str {
    match level {
        Level::Local => "file",
        Level::Index => "index",
        Level::Sample => "sample",
        Level::Deep => "sets",
    }
}
