//! `annals search QUERY`: what the mirror knows about it.

use annals_core::config::SearchMode;
use annals_core::text::nearest;
use annals_core::{Code, EntityKind, Iid, ProjectId, Report, UnixMs};
use annals_db::ReadConn;
use annals_db::read::{self, Certainty, Visibility};
use annals_net_adapter::Cx;
use annals_search::Way;
use annals_search::answer::{Facet, FacetCounts, Hit, Mode, SearchRequest, SearchResults};
use serde::Serialize;

use super::{AsOf, Run, Tool, list, place};
use crate::error::Error;
use crate::output::page::{one_line, title};
use crate::output::{Meta, Page, Reply, Shape, Show, Style};
use crate::session::Session;

/// How many hits unless something else is said.
const LIMIT: u16 = 20;

/// Search issues, merge requests and discussions
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A query:
  word word        both, in any order        word*    words that begin so
  \"a phrase\"       next to each other        -word    not this one; also before a phrase or filter
Filters, with commas meaning any:
  project:group/app  forge:gitlab.com  kind:issue,mr,discussion,commit  state:open,closed,merged
  author:  assignee:  reviewer:  label:  milestone:  path:src/
  after:30d  before:2024-06-01  created-after:6mo  created-before:2024-05-01T12:00Z
  is:draft,confidential,resolved,unresolved,gone,bot
People, labels and milestones also take `none` and `any`.
For example: annals search 'cutover race label:bug after:1y'")]
pub struct Args {
    /// What to look for; several words need no quotes
    #[arg(required = true, num_args = 1.., value_name = "QUERY")]
    query: Vec<String>,
    /// How to search
    #[arg(long, value_name = "MODE", value_parser = clap::builder::PossibleValuesParser::new(annals_core::config::SearchMode::NAMES))]
    mode: Option<String>,
    /// Count all hits by these: project, kind, author, label, state
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    facets: Vec<String>,
    /// How many hits
    #[arg(short = 'n', long, default_value_t = LIMIT, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=500))]
    limit: u16,
    /// How many hits to leave out before them
    #[arg(long, default_value_t = 0, value_name = "N")]
    offset: usize,
}

/// The hits, and what is said beside them.
#[derive(Debug, Serialize)]
pub struct Data {
    #[serde(flatten)]
    results: SearchResults,
    #[serde(skip)]
    as_of: Option<UnixMs>,
    /// How many hits nobody had seen yet then.
    #[serde(skip)]
    derived: u64,
}

#[rustfmt::skip]
const SHAPE: Shape = Shape {
    fields: &[
        "hits.doc_key", "hits.kind", "hits.ref", "hits.title", "hits.snippet", "hits.highlights.*", "hits.score",
        "hits.url", "hits.updated_at", "facets.*",
    ],
    list: Some("hits"),
    minimal: &["ref", "title", "snippet"],
};

impl Run for Args {
    type Data = Data;
    const NAME: &'static str = "search";
    const AS_OF: AsOf = AsOf::Taken;
    const EXAMPLES: &'static [&'static str] = &[
        "annals search 'cutover race label:bug after:1y'",
        "annals search 'author:dev-three is:unresolved' -n 5 --facets label,state --fields minimal",
    ];
    const ALIASES: &'static [&'static str] = &["find", "grep", "query"];
    const TOOL: Tool = Tool::Reads;

    fn shape(&self) -> Shape {
        SHAPE
    }

    fn overrides(&self) -> Vec<(String, String)> {
        self.mode
            .iter()
            .map(|mode| ("search.mode".to_owned(), mode.clone()))
            .collect()
    }

    async fn run(self, cx: &Cx, session: &Session) -> Result<Reply<Data>, Error> {
        let (flags, as_of) = (self.flags() + &session.as_of_flag(), session.as_of(cx)?);
        let mut request = SearchRequest {
            limit: usize::from(self.limit),
            offset: self.offset,
            facets: facets(&self.facets)?,
            ..SearchRequest::new(self.query.join(" "), cx.unix_ms())
        };
        let db = session.mirror(cx).await?;
        if let Some(called) = session.global.project.clone() {
            let found = db.read(cx, move |conn| place::project(conn, Some(&called)));
            let query = place::shell_word(&request.query);
            let project = found
                .await
                .map_err(|error| session.about_mirror(&error))?
                .map_err(|report| {
                    // What begins with a dash is no flag behind `--`.
                    place::with_actions(report, |project| {
                        format!("annals search -p {project}{flags} -- {query}")
                    })
                })?;
            request.projects = vec![project.id];
        }
        let way = Way {
            mode: session.config().search.mode,
            embed: session.config().embed.clone(),
        };
        let found = match as_of {
            None => Box::pin(annals_search::run_as(cx, &db, &request, &way)).await,
            // What was has no vectors: it is searched by words.
            Some(at) => Box::pin(annals_search::run_as_of(cx, &db, &request, at)).await,
        };
        let mut results = found.map_err(|error| by_words(session.about_search(&error), &request.query))?;
        let asks_for_vectors = matches!(session.config().search.mode, SearchMode::Semantic | SearchMode::Hybrid);
        if as_of.is_some() && asks_for_vectors {
            let warning = "searched by words only: of what was there are no vectors";
            results.warnings.push(warning.to_owned());
        }
        let derived = match as_of {
            None => 0,
            Some(at) => {
                let hits = results.hits.iter();
                let named: Vec<_> = hits.filter_map(|hit| Some((hit.project_id, hit.entity?))).collect();
                let found = db.read(cx, move |conn| derived(conn, &named, at));
                found.await.map_err(|error| session.about_mirror(&error))?
            }
        };
        let meta = Meta {
            more: list::derived(as_of.map(|at| list::Standing { at, derived })),
            warnings: results.warnings.clone(),
            total: Some(results.total),
            next_offset: results.next_offset,
            mode: serde_json::to_value(results.mode).ok(),
            stale: serde_json::to_value(results.stale).ok(),
            ..Meta::default()
        };
        Ok(Reply::Data(
            Data {
                results,
                as_of,
                derived,
            },
            meta,
        ))
    }
}

impl Args {
    /// The flags as they could be typed again.
    fn flags(&self) -> String {
        let mut flags = Vec::new();
        flags.extend(self.mode.clone().map(|mode| ("--mode", mode)));
        flags.extend((!self.facets.is_empty()).then(|| ("--facets", self.facets.join(","))));
        flags.extend((self.limit != LIMIT).then(|| ("-n", self.limit.to_string())));
        flags.extend((self.offset != 0).then(|| ("--offset", self.offset.to_string())));
        place::flags(flags)
    }
}

/// How many of these issues and merge requests nobody had seen yet at a moment.
fn derived(conn: &ReadConn<'_>, named: &[(ProjectId, (EntityKind, Iid))], at: UnixMs) -> Result<u64, annals_db::Error> {
    let mut derived = 0;
    for (project, (kind, iid)) in named {
        let was = read::as_of::entity(conn, &Visibility::all(), *kind, *project, *iid, at)?;
        derived += u64::from(was.is_some_and(|was| was.item.certainty == Some(Certainty::Derived)));
    }
    Ok(derived)
}

/// Without an embedder the same can still be searched for by its words.
fn by_words(error: Error, query: &str) -> Error {
    match error {
        Error::Told(report) if report.code == Code::EmbedderUnavailable => {
            let command = format!("annals search --mode lexical -- {}", place::shell_word(query));
            report.with_action(command).into()
        }
        other => other,
    }
}

fn facets(names: &[String]) -> Result<Vec<Facet>, Report> {
    let mut wanted = Vec::new();
    for name in names.iter().map(|name| name.trim()).filter(|name| !name.is_empty()) {
        let facet = Facet::of(name).ok_or_else(|| {
            let valid: Vec<&str> = Facet::ALL.iter().map(|facet| facet.as_str()).collect();
            let mut report = Report::new(
                Code::Usage,
                format!("`{name}` is not a facet; there are {}", valid.join(", ")),
            );
            report.suggestion = nearest(name, valid.iter().copied()).map(str::to_owned);
            report.with_detail("valid", valid)
        })?;
        if !wanted.contains(&facet) {
            wanted.push(facet);
        }
    }
    Ok(wanted)
}

impl Show for Data {
    fn show(&self, page: &mut Page) {
        for hit in &self.results.hits {
            show_hit(hit, page);
        }
        page.count(
            self.results.hits.len(),
            self.results.total,
            "hit",
            "-n and --offset for more",
        );
        if let Some(at) = self.as_of {
            list::as_of_line(at, self.derived, page);
        }
        if self.results.stale.dirty > 0 {
            let line = format!(
                "{} changes are not searchable yet; the next sync makes them so",
                self.results.stale.dirty
            );
            page.line(page.paint(Style::Attention, &line));
        }
        if let Some(unembedded) = self.results.stale.unembedded.filter(|owed| *owed > 0) {
            let found = match self.results.mode {
                Mode::Semantic => "not found, or by an older text",
                Mode::Hybrid | Mode::Lexical => "found by their words only",
            };
            let line = format!("{unembedded} documents are {found}; `annals embed` makes their vectors");
            page.line(page.paint(Style::Attention, &line));
        }
        for (facet, counts) in &self.results.facets {
            show_facet(*facet, counts, page);
        }
    }
}

/// A hit: what it is, and why it is here.
pub fn show_hit(hit: &Hit, page: &mut Page) {
    let kind = match hit.kind {
        annals_db::ids::SourceKind::Discussion => " · in a discussion",
        annals_db::ids::SourceKind::Issue
        | annals_db::ids::SourceKind::MergeRequest
        | annals_db::ids::SourceKind::Commit => "",
    };
    let reference = page.paint(Style::Link, &one_line(&hit.reference));
    let name = page.paint(Style::Strong, &title(&hit.title));
    let rest = page.paint(Style::Faint, &format!("{}{kind}", page.time(hit.updated_at)));
    page.line(format!("{reference}  {name}  {rest}"));
    page.highlighted(&hit.snippet, &hit.highlights, "    ");
}

fn show_facet(facet: Facet, counts: &FacetCounts, page: &mut Page) {
    let mut parts: Vec<String> = counts
        .values
        .iter()
        .take(12)
        .map(|value| format!("{} {}", one_line(&value.value), value.count))
        .collect();
    let more = counts.values.len().saturating_sub(12) + counts.more;
    if more > 0 {
        parts.push(format!("and {more} more"));
    }
    let name = page.paint(Style::Strong, facet.as_str());
    page.line(format!("{name}: {}", parts.join(", ")));
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use annals_db::ids::SourceKind;
    use annals_search::query::{Fact, State, filter};
    use clap::Args as _;

    /// The filters with their values, as the help lists them: `key:` and what stands behind it.
    fn filters_of_the_help() -> Vec<(String, String)> {
        let help = Args::augment_args(clap::Command::new("search"))
            .render_help()
            .to_string();
        let lines = help.lines().skip_while(|line| !line.starts_with("Filters")).skip(1);
        let words = lines
            .take_while(|line| line.starts_with("  "))
            .flat_map(str::split_whitespace);
        let split = |word: &str| {
            word.split_once(':')
                .map(|(key, values)| (key.to_owned(), values.to_owned()))
        };
        words.map(|word| split(word).unwrap()).collect()
    }

    /// The query language's own table of keys, which it keeps to itself.
    fn keys_of_the_language() -> Vec<String> {
        let source = include_str!("../../../search/src/query/filter.rs");
        let table = source.split_once("/// The keys of filters.").unwrap().1;
        let table = table.split_once(");").unwrap().0;
        let names = table.split('"').skip(1).step_by(2).map(str::to_owned);
        names.collect()
    }

    #[test]
    fn the_help_lists_the_filters_of_the_query_language() {
        let told = filters_of_the_help();
        let mut listed: Vec<&str> = told.iter().map(|(key, _)| key.as_str()).collect();
        let language = keys_of_the_language();
        let mut keys: Vec<&str> = language.iter().map(String::as_str).collect();
        listed.sort_unstable();
        keys.sort_unstable();
        assert_eq!(listed, keys);
        for (key, values) in &told {
            let values = if values.is_empty() { "x" } else { values };
            let understood = filter(key, values, UnixMs(1_700_000_000_000));
            assert!(matches!(understood, Ok(Some(_))), "{key}:{values} {understood:?}");
        }
        let values = |wanted: &str| told.iter().find(|(key, _)| key == wanted).unwrap().1.clone();
        let all = |names: Vec<&str>| names.join(",");
        let kinds = SourceKind::ALL.iter().map(|kind| match kind {
            SourceKind::MergeRequest => "mr",
            SourceKind::Issue | SourceKind::Discussion | SourceKind::Commit => kind.as_str(),
        });
        assert_eq!(values("kind"), all(kinds.collect()));
        assert_eq!(
            values("state"),
            all(State::ALL.iter().map(|state| state.as_str()).collect())
        );
        assert_eq!(values("is"), all(Fact::ALL.iter().map(|fact| fact.as_str()).collect()));
        let guide = include_str!("../../../../docs/quick-start.md");
        for key in keys {
            assert!(
                guide.contains(&format!("{key}:")),
                "docs/quick-start.md does not know {key}:"
            );
        }
    }

    #[test]
    fn facets_are_checked_and_not_repeated() {
        assert_eq!(
            facets(&["label".into(), " state".into(), "label".into()]),
            Ok(vec![Facet::Label, Facet::State])
        );
        let report = facets(&["lable".into()]).err();
        assert_eq!(report.and_then(|report| report.suggestion).as_deref(), Some("label"));
    }
}
