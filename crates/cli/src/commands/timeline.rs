//! `annals timeline [REF]`: what happened, one line each, oldest first.

use annals_core::time::When;
use annals_core::{Code, Report, UnixMs};
use annals_db::read::{self, Timeline, TimelineEvent, TimelineKind, TimelineQuery, Visibility};
use annals_net_adapter::Cx;
use serde::Serialize;

use super::place::{self, Reference};
use super::{AsOf, Run, Tool, list, show};
use crate::error::Error;
use crate::output::page::one_line;
use crate::output::table::{Cell, Column, Table};
use crate::output::{Meta, Page, Reply, Shape, Show, Style};
use crate::session::Session;

/// How many events unless something else is said.
const LIMIT: u16 = 20;

/// Show what happened, oldest first
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Without REF it tells what happened in the project of -p, or everywhere. Of more events than -n the \
                        newest are shown; --before the first of them goes further back."
)]
pub struct Args {
    /// One issue or merge request
    #[arg(value_name = "REF", num_args = 0..=2)]
    reference: Vec<String>,
    /// Only at or after: a date, a time, or an age such as 7d
    #[arg(long, value_name = "WHEN")]
    after: Option<String>,
    /// Only before
    #[arg(long, value_name = "WHEN")]
    before: Option<String>,
    /// Only of these kinds, separated by commas
    #[arg(long, value_name = "KIND", value_delimiter = ',', value_parser = kinds())]
    kind: Vec<String>,
    /// How many of the newest
    #[arg(short = 'n', long, default_value_t = LIMIT, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=500))]
    limit: u16,
}

fn kinds() -> clap::builder::PossibleValuesParser {
    clap::builder::PossibleValuesParser::new(TimelineKind::ALL.iter().map(|kind| kind.as_str()))
}

/// What happened.
#[derive(Debug, Serialize)]
pub struct Data {
    events: Vec<TimelineEvent>,
    #[serde(skip)]
    total: u64,
    #[serde(skip)]
    standing: Option<list::Standing>,
}

impl Run for Args {
    type Data = Data;
    const NAME: &'static str = "timeline";
    const TOOL: Tool = Tool::Reads;
    const EXAMPLES: &'static [&'static str] = &[
        "annals timeline --after 7d",
        "annals timeline 'group/project!42' --kind state,label",
    ];
    const ALIASES: &'static [&'static str] = &["log", "events"];
    const AS_OF: AsOf = AsOf::Taken;

    fn shape(&self) -> Shape {
        Shape {
            fields: &["events.at", "events.kind", "events.actor", "events.ref", "events.text"],
            list: Some("events"),
            minimal: &["at", "ref", "text"],
        }
    }

    async fn run(self, cx: &Cx, session: &Session) -> Result<Reply<Data>, Error> {
        let reference = match self.reference.as_slice() {
            [] => None,
            words => Some(Reference::parse(words)?),
        };
        let as_of = session.as_of(cx)?;
        let mut query = TimelineQuery {
            as_of,
            ..self.query(session.ages_from(cx)?, session)?
        };
        let as_of_flag = session.as_of_flag();
        let flag = session.global.project.clone();
        let db = session.mirror(cx).await?;
        let found = db.read(cx, move |conn| {
            let flags = self.flags() + &as_of_flag;
            if let Some(reference) = &reference {
                match show::entity_of(conn, reference, flag.as_deref(), as_of)? {
                    Ok(entity) => query.entity = Some(entity),
                    Err(report) => {
                        return Ok(Err(place::with_actions(report, |project| {
                            format!("{}{flags}", reference.command_of("timeline", project))
                        })));
                    }
                }
            } else if flag.is_some() {
                match place::project(conn, flag.as_deref())? {
                    Ok(project) => query.projects = vec![project.id],
                    Err(report) => {
                        let say = |project: &str| format!("annals timeline -p {project}{flags}");
                        return Ok(Err(place::with_actions(report, say)));
                    }
                }
            }
            let mut found = read::timeline(conn, &Visibility::all(), &query)?;
            for event in &mut found.events {
                annals_search::reference::name(conn, event.project_id, &mut event.reference)?;
            }
            Ok(Ok(found))
        });
        let Timeline { events, total, derived } = found.await.map_err(|error| session.about_mirror(&error))??;
        let standing = as_of.map(|at| list::Standing { at, derived });
        let meta = Meta {
            more: list::derived(standing),
            total: Some(total),
            ..Meta::default()
        };
        let data = Data {
            events,
            total,
            standing,
        };
        Ok(Reply::Data(data, meta))
    }
}

impl Args {
    fn query(&self, now: UnixMs, session: &Session) -> Result<TimelineQuery, Report> {
        let zone = &session.config().cli.tz;
        let kinds = TimelineKind::ALL.iter().copied();
        Ok(TimelineQuery {
            after: when("after", self.after.as_deref(), now, zone)?,
            before: when("before", self.before.as_deref(), now, zone)?,
            kinds: kinds
                .filter(|kind| self.kind.iter().any(|word| word == kind.as_str()))
                .collect(),
            limit: usize::from(self.limit),
            ..TimelineQuery::default()
        })
    }

    /// The flags as they could be typed again.
    fn flags(&self) -> String {
        let one = |name: &'static str, text: &Option<String>| text.clone().map(|text| (name, text));
        let mut flags = Vec::new();
        flags.extend(one("--after", &self.after));
        flags.extend(one("--before", &self.before));
        flags.extend((!self.kind.is_empty()).then(|| ("--kind", self.kind.join(","))));
        flags.extend((self.limit != LIMIT).then(|| ("-n", self.limit.to_string())));
        place::flags(flags)
    }
}

/// The time that a flag names.
///
/// # Errors
/// `usage`, with examples.
pub fn when(
    flag: &str,
    text: Option<&str>,
    now: UnixMs,
    zone: &annals_core::time::Zone,
) -> Result<Option<UnixMs>, Report> {
    let read = |text: &str| {
        When::parse(text, now, zone).map(When::first).map_err(|error| {
            Report::new(Code::Usage, format!("--{flag}: {error}"))
                .with_suggestion("2024-02-29, 2024-02-29T12:00Z or 7d")
        })
    };
    text.map(read).transpose()
}

impl Show for Data {
    fn show(&self, page: &mut Page) {
        if !self.events.is_empty() {
            let mut table = Table::new(&[
                ("WHEN", Column::Left),
                ("REF", Column::Left),
                ("WHAT", Column::Left),
                ("WHO", Column::Left),
                ("", Column::Flexible),
            ]);
            for event in &self.events {
                table.row([
                    page.time(event.at).into(),
                    Cell::styled(one_line(&event.reference), Style::Link),
                    event.kind.as_str().into(),
                    one_line(event.actor.as_deref().unwrap_or("–")).into(),
                    one_line(&event.text).into(),
                ]);
            }
            page.table(&table);
        }
        page.count(self.events.len(), self.total, "event", "-n and --before for more");
        list::standing_line(self.standing, page);
    }
}
