//! Lists of issues and merge requests: one set of filters, one table.

use annals_core::time::When;
use annals_core::{Code, EntityKind, Report, UnixMs};
use annals_db::ids::State;
use annals_db::read::{self, Certainty, Direction, List, ListItem, ListQuery, NameFilter, Slice, Sort, Visibility};
use annals_net_adapter::Cx;
use clap::ValueEnum;
use serde::Serialize;

use super::place;
use crate::error::Error;
use crate::output::page::title;
use crate::output::table::{Cell, Column, Table};
use crate::output::{Meta, Page, Reply, Shape, Show, Style};
use crate::session::Session;

/// How many are listed unless something else is said.
const LIMIT: u16 = 20;

/// Filters and order of a list.
#[derive(Debug, clap::Args)]
pub struct Filters {
    /// Only in these states, separated by commas
    #[arg(long, value_name = "STATE", value_delimiter = ',')]
    state: Vec<StateWord>,
    /// Only by these authors, separated by commas
    #[arg(long, value_name = "NAME")]
    author: Option<String>,
    /// Only assigned to one of these; `none` and `any` are understood
    #[arg(long, value_name = "NAME")]
    assignee: Option<String>,
    /// Only with one of these labels; given twice, both must hold
    #[arg(long, value_name = "LABEL")]
    label: Vec<String>,
    /// Only of this milestone; `none` and `any` are understood
    #[arg(long, value_name = "TITLE")]
    milestone: Option<String>,
    /// Only changed at or after: a date, a time, or an age such as 7d
    #[arg(long, value_name = "WHEN")]
    after: Option<String>,
    /// Only changed before
    #[arg(long, value_name = "WHEN")]
    before: Option<String>,
    /// The order
    #[arg(long, value_enum, default_value_t, value_name = "BY")]
    sort: SortWord,
    /// The oldest or lowest first
    #[arg(long)]
    asc: bool,
    /// How many
    #[arg(short = 'n', long, default_value_t = LIMIT, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=500))]
    limit: u16,
    /// How many to leave out before them
    #[arg(long, default_value_t = 0, value_name = "N")]
    offset: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum StateWord {
    Open,
    Closed,
    Merged,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum SortWord {
    #[default]
    Updated,
    Created,
    Iid,
}

/// A part of what is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    pub offset: usize,
    pub limit: usize,
    pub ascending: bool,
}

/// A page of a list.
#[derive(Debug, Serialize)]
pub struct Data {
    items: Vec<ListItem>,
    #[serde(skip)]
    kind: EntityKind,
    #[serde(skip)]
    total: u64,
    #[serde(skip)]
    as_of: Option<UnixMs>,
}

/// The shape of [`Data`].
#[rustfmt::skip]
pub const SHAPE: Shape = Shape {
    fields: &[
        "items.ref", "items.kind", "items.project", "items.project_id", "items.forge", "items.iid", "items.title",
        "items.state", "items.state_reason", "items.draft", "items.confidential", "items.author", "items.assignees",
        "items.labels", "items.milestone", "items.created_at", "items.updated_at", "items.closed_at",
        "items.merged_at", "items.url", "items.gone_at", "items.gone_reason", "items.certainty",
    ],
    list: Some("items"),
    minimal: &["ref", "title", "state", "updated_at"],
};

impl Filters {
    /// Reads the list.
    pub async fn list(self, cx: &Cx, session: &Session, kind: EntityKind) -> Result<Reply<Data>, Error> {
        let query = self.query(kind, session.ages_from(cx)?, session)?;
        let db = session.mirror(cx).await?;
        let called = session.global.project.clone();
        let flags = self.flags() + &session.as_of_flag();
        let as_of = session.as_of(cx)?;
        let found = db.read(cx, move |conn| {
            let mut query = query;
            if called.is_some() {
                match place::project(conn, called.as_deref())? {
                    Ok(project) => query.projects = vec![project.id],
                    Err(report) => {
                        let name = match kind {
                            EntityKind::Issue => "issues",
                            EntityKind::MergeRequest => "mrs",
                        };
                        let say = |project: &str| format!("annals {name} -p {project}{flags}");
                        return Ok(Err(place::with_actions(report, say)));
                    }
                }
            }
            let mut list = match as_of {
                None => read::list(conn, &Visibility::all(), &query)?,
                Some(at) => read::as_of::list(conn, &Visibility::all(), &query, at)?,
            };
            annals_search::reference::qualify(conn, &mut list.items)?;
            Ok(Ok(list))
        });
        let List { items, total, .. } = found.await.map_err(|error| session.about_mirror(&error))??;
        let end = self.offset.saturating_add(items.len());
        let meta = Meta {
            total: Some(total),
            next_offset: (!items.is_empty() && (end as u64) < total).then_some(end),
            ..Meta::default()
        };
        let data = Data {
            items,
            kind,
            total,
            as_of,
        };
        Ok(Reply::Data(data, meta))
    }

    /// Whether an order was asked for.
    pub(super) fn is_sorted(&self) -> bool {
        self.sort != SortWord::default()
    }

    /// Which part was asked for, from which end.
    pub(super) fn part(&self) -> Part {
        Part {
            offset: self.offset,
            limit: usize::from(self.limit),
            ascending: self.asc,
        }
    }

    /// The flags as they could be typed again.
    pub(super) fn flags(&self) -> String {
        let states: Vec<String> = self.state.iter().map(name_of).collect();
        let one = |name: &'static str, text: &Option<String>| text.clone().map(|text| (name, text));
        let mut flags = Vec::new();
        flags.extend((!states.is_empty()).then(|| ("--state", states.join(","))));
        flags.extend(one("--author", &self.author));
        flags.extend(one("--assignee", &self.assignee));
        flags.extend(self.label.iter().map(|label| ("--label", label.clone())));
        flags.extend(one("--milestone", &self.milestone));
        flags.extend(one("--after", &self.after));
        flags.extend(one("--before", &self.before));
        flags.extend((self.sort != SortWord::default()).then(|| ("--sort", name_of(&self.sort))));
        flags.extend((self.limit != LIMIT).then(|| ("-n", self.limit.to_string())));
        flags.extend((self.offset != 0).then(|| ("--offset", self.offset.to_string())));
        let asc = if self.asc { " --asc" } else { "" };
        place::flags(flags) + asc
    }

    pub(super) fn query(&self, kind: EntityKind, now: UnixMs, session: &Session) -> Result<ListQuery, Report> {
        if kind == EntityKind::Issue && self.state.contains(&StateWord::Merged) {
            let report = Report::new(Code::Usage, "an issue is never merged; its state is open or closed");
            return Err(report.with_action("annals mrs --state merged"));
        }
        let zone = &session.config().cli.tz;
        let when = |flag: &str, text: &Option<String>| {
            let read = |text: &String| {
                When::parse(text, now, zone).map(When::first).map_err(|error| {
                    Report::new(Code::Usage, format!("--{flag}: {error}"))
                        .with_suggestion("2024-02-29, 2024-02-29T12:00Z or 7d")
                })
            };
            text.as_ref().map(read).transpose()
        };
        let name = |text: &Option<String>| text.as_deref().map(NameFilter::parse);
        Ok(ListQuery {
            states: self.state.iter().map(|word| word.state()).collect(),
            author: name(&self.author),
            assignee: name(&self.assignee),
            labels: self.label.iter().map(|text| NameFilter::parse(text)).collect(),
            milestone: name(&self.milestone),
            after: when("after", &self.after)?,
            before: when("before", &self.before)?,
            sort: self.sort.sort(),
            direction: if self.asc {
                Direction::Ascending
            } else {
                Direction::Descending
            },
            slice: Slice::Offset {
                offset: self.offset,
                limit: usize::from(self.limit),
            },
            ..ListQuery::of(kind)
        })
    }
}

/// What is typed for a value.
pub(super) fn name_of(value: &impl ValueEnum) -> String {
    value
        .to_possible_value()
        .map_or_else(String::new, |word| word.get_name().to_owned())
}

impl StateWord {
    const fn state(self) -> State {
        match self {
            Self::Open => State::Open,
            Self::Closed => State::Closed,
            Self::Merged => State::Merged,
        }
    }
}

impl SortWord {
    const fn sort(self) -> Sort {
        match self {
            Self::Updated => Sort::Updated,
            Self::Created => Sort::Created,
            Self::Iid => Sort::Iid,
        }
    }
}

impl Show for Data {
    fn show(&self, page: &mut Page) {
        let noun = match self.kind {
            EntityKind::Issue => "issue",
            EntityKind::MergeRequest => "merge request",
        };
        if !self.items.is_empty() {
            let first = self.items.first().map(|item| &item.project_id);
            let one_project = self.items.iter().all(|item| Some(&item.project_id) == first);
            let mut table = Table::new(&[
                ("REF", Column::Left),
                ("STATE", Column::Left),
                ("TITLE", Column::Flexible),
                ("AUTHOR", Column::Left),
                ("UPDATED", Column::Left),
            ]);
            for item in &self.items {
                let short = format!("{}{}", item.kind.sigil(), item.iid);
                table.row([
                    Cell::styled(
                        if one_project {
                            short
                        } else {
                            crate::output::page::one_line(&item.reference)
                        },
                        Style::Link,
                    ),
                    state(item),
                    headline(item).into(),
                    crate::output::page::one_line(&item.author).into(),
                    page.time(item.updated_at).into(),
                ]);
            }
            page.table(&table);
        }
        page.count(self.items.len(), self.total, noun, "-n and --offset for more");
        if let Some(at) = self.as_of {
            let derived = self
                .items
                .iter()
                .filter(|item| item.certainty == Some(Certainty::Derived));
            as_of_line(at, derived.count() as u64, page);
        }
    }
}

/// The moment an answer is as of, and how much of it nobody had seen then.
#[derive(Debug, Clone, Copy)]
pub struct Standing {
    pub at: UnixMs,
    pub derived: u64,
}

/// How sure an answer is that does not say it item by item: what it adds to `meta`.
pub fn derived(standing: Option<Standing>) -> serde_json::Map<String, serde_json::Value> {
    let mut more = serde_json::Map::new();
    if let Some(standing) = standing {
        more.insert("derived".to_owned(), standing.derived.into());
    }
    more
}

/// [`as_of_line`], if the answer is as of a moment.
pub fn standing_line(standing: Option<Standing>, page: &mut Page) {
    if let Some(Standing { at, derived }) = standing {
        as_of_line(at, derived, page);
    }
}

/// The moment a list is as of, and how much of it nobody saw then.
pub fn as_of_line(at: UnixMs, derived: u64, page: &mut Page) {
    let mut line = format!("as of {}", page.full_time(at));
    if derived > 0 {
        line.push_str(&format!(
            "; {derived} with the text of when they were first seen, later"
        ));
    }
    page.line(page.paint(Style::Faint, &line));
}

/// The state for the eye.
pub fn state(item: &ListItem) -> Cell {
    let style = match item.state {
        State::Open => Style::Good,
        State::Merged => Style::Strong,
        State::Closed | State::Other => Style::Faint,
    };
    let word = if item.gone_at.is_some() {
        "gone".to_owned()
    } else {
        item.state.to_string()
    };
    Cell::styled(word, style)
}

/// The title with what must not be overlooked.
fn headline(item: &ListItem) -> String {
    let mut text = String::new();
    if item.confidential {
        text.push_str("(confidential) ");
    }
    if item.draft && !item.title.to_lowercase().starts_with("draft") {
        text.push_str("(draft) ");
    }
    text.push_str(&title(&item.title));
    if !item.labels.is_empty() {
        text.push_str(&format!(
            "  [{}]",
            crate::output::page::one_line(&item.labels.join(", "))
        ));
    }
    text
}
