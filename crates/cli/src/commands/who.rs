//! `annals who PATH, QUERY or REF`: whom to ask about it.

use annals_core::files::repository_path;
use annals_core::{Report, UnixMs};
use annals_db::ReadConn;
use annals_db::ids::EntityId;
use annals_db::read::{self, Matter, Part, Person, ProjectName, Visibility, Who, WhoQuery};
use annals_net_adapter::Cx;
use annals_search::answer::SearchRequest;
use serde::Serialize;

use super::place::{self, Reference};
use super::{AsOf, Run, Tool, file_history, list, show, timeline};
use crate::error::Error;
use crate::output::page::{counted, one_line};
use crate::output::{Meta, Page, Reply, Shape, Show, Style};
use crate::session::Session;

/// How many people unless something else is said.
const LIMIT: u16 = 10;

/// How many of the best hits of a query are looked at.
const HITS: usize = 100;

/// Show who knows about a file, a subject, or an issue or merge request
#[derive(Debug, clap::Args)]
#[command(after_help = "\
What was done counts: merged 3, reviewed 2, a note on a line 2, written 2, a comment 1; after 180 days half of it.
  a file                 the merge requests that touch it, across its renames, and the notes on its lines
  a REF, see annals help show   it, and what it closes or is closed by
  anything else          the best 100 hits of a search for it
Bots and deleted accounts are left out.")]
pub struct Args {
    /// A file, a REF, or what to search for
    #[arg(value_name = "PATH|QUERY|REF", required = true, num_args = 1..)]
    about: Vec<String>,
    /// Only what was done at or after: a date, a time, or an age such as 1y
    #[arg(long, value_name = "WHEN")]
    after: Option<String>,
    /// How many people
    #[arg(short = 'n', long, default_value_t = LIMIT, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=500))]
    limit: u16,
    /// With every single thing they did
    #[arg(long)]
    explain: bool,
}

/// The people; their evidence is null unless it was asked for.
#[derive(Debug, Serialize)]
pub struct Data {
    people: Vec<Person>,
    #[serde(skip)]
    about: About,
    #[serde(skip)]
    total: u64,
    #[serde(skip)]
    standing: Option<list::Standing>,
}

/// What the words were taken for.
#[derive(Debug, Clone, Serialize)]
pub struct About {
    kind: &'static str,
    /// The path, the reference or the query.
    text: String,
    /// How many issues and merge requests were looked at, where they are known one by one.
    entities: Option<usize>,
}

#[rustfmt::skip]
const SHAPE: Shape = Shape {
    fields: &[
        "people.user", "people.forge", "people.score",
        "people.reasons.reason", "people.reasons.count", "people.reasons.score", "people.reasons.last_at",
        "people.evidence.reason", "people.evidence.ref", "people.evidence.at", "people.evidence.score",
    ],
    list: Some("people"),
    minimal: &["user", "score"],
};

impl Run for Args {
    type Data = Data;
    const NAME: &'static str = "who";
    const TOOL: Tool = Tool::Reads;
    const EXAMPLES: &'static [&'static str] = &["annals who src/cutover.rs --explain", "annals who 'cutover race'"];
    const ALIASES: &'static [&'static str] = &["experts"];
    const AS_OF: AsOf = AsOf::Taken;

    fn shape(&self) -> Shape {
        SHAPE
    }

    async fn run(self, cx: &Cx, session: &Session) -> Result<Reply<Data>, Error> {
        let now = cx.unix_ms();
        let after = timeline::when(
            "after",
            self.after.as_deref(),
            session.ages_from(cx)?,
            &session.config().cli.tz,
        )?;
        let db = session.mirror(cx).await?;
        let as_of = session.as_of(cx)?;
        let flags = self.flags() + &session.as_of_flag();
        let (words, flag) = (self.about.clone(), session.global.project.clone());
        let meant = db.read(cx, move |conn| {
            Ok(meant(conn, &words, flag.as_deref(), as_of)?.map_err(|report| {
                // What begins with a dash is no flag behind `--`.
                let words: Vec<String> = words.iter().map(|word| place::shell_word(word)).collect();
                place::with_actions(report, |project| {
                    format!("annals who -p {project}{flags} -- {}", words.join(" "))
                })
            }))
        });
        let (matter, about) = match meant.await.map_err(|error| session.about_mirror(&error))?? {
            Meant::This(matter, about) => (matter, about),
            Meant::Query { text, project } => {
                let request = SearchRequest {
                    limit: HITS,
                    projects: project.iter().map(|project| project.id).collect(),
                    ..SearchRequest::new(text.clone(), now)
                };
                let found = match as_of {
                    None => annals_search::run(cx, &db, &request).await,
                    Some(at) => Box::pin(annals_search::run_as_of(cx, &db, &request, at)).await,
                };
                let found = found.map_err(|error| session.about_search(&error))?;
                let hits = found.hits.into_iter();
                let named: Vec<_> = hits.filter_map(|hit| Some((hit.project_id, hit.entity?))).collect();
                let entities = db.read(cx, move |conn| {
                    let mut entities: Vec<EntityId> = Vec::new();
                    for (project, (kind, iid)) in named {
                        let found = read::entity_updated_at(conn, project, kind, iid)?;
                        entities.extend(
                            found
                                .map(|(entity, _)| entity)
                                .filter(|entity| !entities.contains(entity)),
                        );
                    }
                    Ok(entities)
                });
                let entities = entities.await.map_err(|error| session.about_mirror(&error))?;
                let about = About {
                    kind: "query",
                    text,
                    entities: Some(entities.len()),
                };
                (Matter::Entities(entities), about)
            }
        };
        let query = WhoQuery {
            as_of,
            ..self.query(matter, after, now)
        };
        let found = db.read(cx, move |conn| {
            let mut found = read::who(conn, &Visibility::all(), &query)?;
            for one in found
                .people
                .iter_mut()
                .flat_map(|person| person.evidence.iter_mut().flatten())
            {
                annals_search::reference::name(conn, one.project_id, &mut one.reference)?;
            }
            Ok(found)
        });
        let Who { people, total, derived } = found.await.map_err(|error| session.about_mirror(&error))?;
        let standing = as_of.map(|at| list::Standing { at, derived });
        let mut meta = Meta {
            more: list::derived(standing),
            total: Some(total),
            ..Meta::default()
        };
        let told = serde_json::to_value(&about).unwrap_or_default();
        meta.more.insert("about".to_owned(), told);
        let data = Data {
            people,
            about,
            total,
            standing,
        };
        Ok(Reply::Data(data, meta))
    }
}

/// What the words mean.
enum Meant {
    This(Matter, About),
    Query { text: String, project: Option<ProjectName> },
}

/// A reference if they are one, a file if a project has it, else a query.
fn meant(
    conn: &ReadConn<'_>,
    words: &[String],
    flag: Option<&str>,
    as_of: Option<UnixMs>,
) -> Result<Result<Meant, Report>, annals_db::Error> {
    let all = Visibility::all();
    if let Ok(reference) = Reference::parse(words) {
        let entity = match show::entity_of(conn, &reference, flag, as_of)? {
            Ok(entity) => entity,
            Err(report) => return Ok(Err(report)),
        };
        let mut entities = vec![entity];
        entities.extend(read::linked(conn, &all, entity)?);
        let about = About {
            kind: "ref",
            text: words.join(" "),
            entities: Some(entities.len()),
        };
        return Ok(Ok(Meant::This(Matter::Entities(entities), about)));
    }
    if let [word] = words
        && let Ok(path) = repository_path(word)
    {
        let mut known = read::projects_with_path(conn, &all, &path, as_of)?;
        if flag.is_some() {
            match place::project(conn, flag)? {
                Ok(project) => known.retain(|one| one.id == project.id),
                Err(report) => return Ok(Err(report)),
            }
        }
        if !known.is_empty() {
            return Ok(match file_history::owner(conn, flag, &path, as_of)? {
                file_history::Owner::One(project) => {
                    let about = About {
                        kind: "file",
                        text: path.clone(),
                        entities: None,
                    };
                    let project = project.id;
                    Ok(Meant::This(Matter::File { project, path }, about))
                }
                file_history::Owner::Refused(report) => Err(report),
                file_history::Owner::None => Ok(Meant::Query {
                    text: word.clone(),
                    project: None,
                }),
            });
        }
    }
    let project = match flag {
        Some(_) => match place::project(conn, flag)? {
            Ok(project) => Some(project),
            Err(report) => return Ok(Err(report)),
        },
        None => None,
    };
    Ok(Ok(Meant::Query {
        text: words.join(" "),
        project,
    }))
}

impl Args {
    fn query(&self, matter: Matter, after: Option<UnixMs>, now: UnixMs) -> WhoQuery {
        WhoQuery {
            matter,
            after,
            limit: usize::from(self.limit),
            evidence: if self.explain { Part::Included } else { Part::LeftOut },
            now,
            as_of: None,
        }
    }

    /// The flags as they could be typed again.
    fn flags(&self) -> String {
        let mut flags = Vec::new();
        flags.extend(self.after.clone().map(|text| ("--after", text)));
        flags.extend((self.limit != LIMIT).then(|| ("-n", self.limit.to_string())));
        place::flags(flags) + if self.explain { " --explain" } else { "" }
    }
}

impl Show for Data {
    fn show(&self, page: &mut Page) {
        let about = &self.about;
        let what = match about.kind {
            "file" => "the file",
            "ref" => "",
            _ => "the search for",
        };
        let looked = about.entities.map_or(String::new(), |n| {
            format!(" · {} looked at", counted(n as u64, "issue or merge request"))
        });
        let head = format!("{what} {}{looked}", one_line(&about.text));
        page.line(page.paint(Style::Faint, head.trim_start()));
        for person in &self.people {
            let user = page.paint(Style::Strong, &one_line(&person.user));
            let reasons = person.reasons.iter().map(|reason| {
                let last = reason
                    .last_at
                    .map_or(String::new(), |at| format!(" ({})", page.time(Some(at))));
                format!("{} {}{last}", reason.reason.as_str().replace('_', " "), reason.count)
            });
            let reasons: Vec<String> = reasons.collect();
            page.line(format!("{:>8.1}  {user}  {}", person.score, reasons.join(", ")));
            for one in person.evidence.iter().flatten() {
                let reference = page.paint(Style::Link, &one_line(&one.reference));
                let what = one.reason.as_str().replace('_', " ");
                page.line(format!(
                    "          {:.2}  {reference}  {what}  {}",
                    one.score,
                    page.time(one.at)
                ));
            }
        }
        page.count(self.people.len(), self.total, "account", "-n for more");
        list::standing_line(self.standing, page);
    }
}
