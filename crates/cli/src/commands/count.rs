//! `annals count [KIND]`: how many issues and merge requests there are, and of what.

use annals_core::{Code, EntityKind, Report, UnixMs};
use annals_db::read::{self, Count, CountBy, CountQuery, Group, Visibility};
use annals_net_adapter::Cx;
use clap::ValueEnum;
use serde::Serialize;

use super::{AsOf, Run, Tool, list, place};
use crate::error::Error;
use crate::output::page::one_line;
use crate::output::table::{Column, Table};
use crate::output::{Meta, Page, Reply, Shape, Show};
use crate::session::Session;

/// Count issues and merge requests
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The filters are those of `annals issues`. With --by, -n and --offset choose groups, of which the most \
                        frequent come first; --asc turns that round."
)]
pub struct Args {
    /// Only of this kind
    #[arg(value_name = "KIND")]
    kind: Option<KindWord>,
    /// Also how many of each value
    #[arg(long, value_name = "FIELD")]
    by: Option<ByWord>,
    #[command(flatten)]
    filters: list::Filters,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum KindWord {
    #[value(alias = "issue")]
    Issues,
    #[value(aliases = ["mr", "merge-requests", "merge_requests"])]
    Mrs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ByWord {
    Kind,
    Project,
    State,
    Author,
    Assignee,
    Label,
    Milestone,
    /// The month
    Created,
    /// The month
    Updated,
    /// The month it was closed or merged in
    Closed,
}

/// How many there are; without `--by` there are no groups.
#[derive(Debug, Serialize)]
pub struct Data {
    total: u64,
    groups: Vec<Group>,
    #[serde(skip)]
    by: Option<ByWord>,
    #[serde(skip)]
    all_groups: u64,
    #[serde(skip)]
    standing: Option<list::Standing>,
}

impl Run for Args {
    type Data = Data;
    const NAME: &'static str = "count";
    const TOOL: Tool = Tool::Reads;
    const EXAMPLES: &'static [&'static str] = &[
        "annals count issues --state open",
        "annals count --by label --after 30d",
    ];
    const AS_OF: AsOf = AsOf::Taken;

    fn shape(&self) -> Shape {
        Shape {
            fields: &["total", "groups.value", "groups.count"],
            list: None,
            minimal: &["total"],
        }
    }

    async fn run(self, cx: &Cx, session: &Session) -> Result<Reply<Data>, Error> {
        if self.filters.is_sorted() {
            let message = "--sort is for lists; groups are in the order of their counts";
            return Err(Report::new(Code::Usage, message).into());
        }
        let as_of = session.as_of(cx)?;
        let query = CountQuery {
            as_of,
            ..self.query(session.ages_from(cx)?, session)?
        };
        let called = session.global.project.clone();
        let (by, part) = (self.by, self.filters.part());
        let words = self.words() + &session.as_of_flag();
        let db = session.mirror(cx).await?;
        let found = db.read(cx, move |conn| {
            let mut query = query;
            if called.is_some() {
                match place::project(conn, called.as_deref())? {
                    Ok(project) => query.lists.iter_mut().for_each(|list| list.projects = vec![project.id]),
                    Err(report) => {
                        let say = |project: &str| format!("annals count{words} -p {project}");
                        return Ok(Err(place::with_actions(report, say)));
                    }
                }
            }
            let mut found = read::count(conn, &Visibility::all(), &query)?;
            for group in &mut found.groups {
                if let Some(project) = group.project_id {
                    group.value = annals_search::reference::called(conn, project)?;
                }
            }
            Ok(Ok(found))
        });
        let Count {
            total,
            mut groups,
            derived,
        } = found.await.map_err(|error| session.about_mirror(&error))??;
        let all_groups = groups.len() as u64;
        if part.ascending {
            groups.reverse();
        }
        let groups: Vec<Group> = groups.into_iter().skip(part.offset).take(part.limit).collect();
        let end = part.offset.saturating_add(groups.len());
        let standing = as_of.map(|at| list::Standing { at, derived });
        let meta = Meta {
            more: list::derived(standing),
            total: Some(all_groups).filter(|_| by.is_some()),
            next_offset: (!groups.is_empty() && (end as u64) < all_groups).then_some(end),
            ..Meta::default()
        };
        let data = Data {
            total,
            groups,
            by,
            all_groups,
            standing,
        };
        Ok(Reply::Data(data, meta))
    }
}

impl Args {
    fn query(&self, now: UnixMs, session: &Session) -> Result<CountQuery, Report> {
        let lists = match self.kind {
            Some(KindWord::Issues) => vec![self.filters.query(EntityKind::Issue, now, session)?],
            Some(KindWord::Mrs) => vec![self.filters.query(EntityKind::MergeRequest, now, session)?],
            None => {
                // An issue is never merged, so that state finds only merge requests.
                let mrs = self.filters.query(EntityKind::MergeRequest, now, session)?;
                let issues = read::ListQuery {
                    kind: EntityKind::Issue,
                    ..mrs.clone()
                };
                vec![issues, mrs]
            }
        };
        Ok(CountQuery {
            lists,
            by: self.by.map(ByWord::field),
            as_of: None,
        })
    }

    /// What was asked for as it could be typed again.
    fn words(&self) -> String {
        let kind = self
            .kind
            .map_or(String::new(), |kind| format!(" {}", list::name_of(&kind)));
        let by = self.by.map(|by| ("--by", list::name_of(&by)));
        kind + &place::flags(by) + &self.filters.flags()
    }
}

impl ByWord {
    const fn field(self) -> CountBy {
        match self {
            Self::Kind => CountBy::Kind,
            Self::Project => CountBy::Project,
            Self::State => CountBy::State,
            Self::Author => CountBy::Author,
            Self::Assignee => CountBy::Assignee,
            Self::Label => CountBy::Label,
            Self::Milestone => CountBy::Milestone,
            Self::Created => CountBy::Created,
            Self::Updated => CountBy::Updated,
            Self::Closed => CountBy::Closed,
        }
    }
}

impl Show for Data {
    fn show(&self, page: &mut Page) {
        let Some(by) = self.by else {
            page.line(self.total.to_string());
            list::standing_line(self.standing, page);
            return;
        };
        let name = list::name_of(&by);
        let head = name.to_uppercase();
        let mut table = Table::new(&[(head.as_str(), Column::Flexible), ("COUNT", Column::Right)]);
        for group in &self.groups {
            let value = group.value.as_deref().map_or_else(|| "(none)".to_owned(), one_line);
            table.row([value.into(), group.count.to_string().into()]);
        }
        if !self.groups.is_empty() {
            page.table(&table);
        }
        page.count(self.groups.len(), self.all_groups, "group", "-n and --offset for more");
        page.line(format!("{} in all", self.total));
        list::standing_line(self.standing, page);
    }
}
