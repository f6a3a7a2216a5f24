//! Counts over the whole match set, exact. A filter by a counted value finds as many documents as were counted.

use std::collections::BTreeMap;

use annals_db::ids::SourceKind;
use rusqlite::{Connection, OptionalExtension, params};

use crate::index::Found;

/// The most values that are listed of one facet.
const LISTED: usize = 100;

/// What can be counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Facet {
    /// By project path.
    Project,
    /// By kind of document.
    Kind,
    /// By the author's user name.
    Author,
    /// By label name; a discussion has its parent's labels.
    Label,
    /// By state.
    State,
}

impl Facet {
    /// Every one there is.
    pub const ALL: &[Self] = &[Self::Project, Self::Kind, Self::Author, Self::Label, Self::State];

    /// Its name, which is the key of the filter by it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Project => "project",
            Self::Kind => "kind",
            Self::Author => "author",
            Self::Label => "label",
            Self::State => "state",
        }
    }

    /// The facet with this name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|facet| facet.as_str() == name)
    }
}

/// What was counted, by facet.
pub type Facets = BTreeMap<Facet, FacetCounts>;

/// The values of one facet.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct FacetCounts {
    /// The most frequent values, most frequent first, then by name.
    pub values: Vec<FacetValue>,
    /// How many more values there are.
    pub more: usize,
}

/// One value of a facet.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct FacetValue {
    /// The value.
    pub value: String,
    /// How many documents have it.
    pub count: u64,
}

/// Counts by row; names are looked up at the end.
pub(super) struct Tally {
    wanted: Vec<Facet>,
    projects: BTreeMap<i64, u64>,
    kinds: BTreeMap<String, u64>,
    authors: BTreeMap<i64, u64>,
    states: BTreeMap<String, u64>,
    /// By kind and row of what was found.
    sources: BTreeMap<(Labelled, i64), u64>,
}

/// What can have labels of its own or of its parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Labelled {
    Issue,
    MergeRequest,
    Discussion,
}

impl Tally {
    pub fn new(wanted: &[Facet]) -> Self {
        // Who asks twice is told once.
        let mut wanted = wanted.to_vec();
        wanted.sort_unstable();
        wanted.dedup();
        Self {
            wanted,
            projects: BTreeMap::new(),
            kinds: BTreeMap::new(),
            authors: BTreeMap::new(),
            states: BTreeMap::new(),
            sources: BTreeMap::new(),
        }
    }

    pub fn count(&mut self, found: &Found<'_>) {
        for facet in &self.wanted {
            match facet {
                Facet::Project => *self.projects.entry(found.project_id).or_default() += 1,
                Facet::Kind => add(&mut self.kinds, found.kind.as_str()),
                Facet::Author => {
                    if let Some(author) = found.author_id {
                        *self.authors.entry(author).or_default() += 1;
                    }
                }
                Facet::State => {
                    if let Some(state) = found.state {
                        add(&mut self.states, state);
                    }
                }
                Facet::Label => {
                    let kind = match found.kind {
                        SourceKind::Issue => Labelled::Issue,
                        SourceKind::MergeRequest => Labelled::MergeRequest,
                        SourceKind::Discussion => Labelled::Discussion,
                        SourceKind::Commit => continue,
                    };
                    *self.sources.entry((kind, found.source_id)).or_default() += 1;
                }
            }
        }
    }

    pub fn name(self, conn: &Connection) -> Result<Facets, annals_db::Error> {
        let mut facets = Facets::new();
        for facet in &self.wanted {
            let named = match facet {
                Facet::Project => folded(
                    conn,
                    "SELECT path_folded, path FROM projects WHERE id = ?1",
                    &self.projects,
                )?,
                // Forges give the texts of deleted accounts to a ghost, who may have no name: nobody's are not counted.
                Facet::Author => folded(
                    conn,
                    "SELECT username_folded, username FROM users WHERE id = ?1",
                    &self.authors,
                )?,
                Facet::Kind => plain(&self.kinds),
                Facet::State => plain(&self.states),
                Facet::Label => self.labels(conn)?,
            };
            facets.insert(*facet, ranked(named));
        }
        Ok(facets)
    }

    fn labels(&self, conn: &Connection) -> Result<Named, annals_db::Error> {
        let mut rows: BTreeMap<(Labelled, i64), u64> = BTreeMap::new();
        for ((kind, id), count) in &self.sources {
            *rows.entry(parent(conn, *kind, *id)?).or_default() += count;
        }
        let names = label_names(conn)?;
        let mut of_issue = conn.prepare_cached("SELECT label_id FROM issue_labels WHERE issue_id = ?1")?;
        let mut of_mr = conn.prepare_cached("SELECT label_id FROM mr_labels WHERE mr_id = ?1")?;
        let mut named = Named::new();
        for ((kind, id), count) in rows {
            let statement = if kind == Labelled::MergeRequest {
                &mut of_mr
            } else {
                &mut of_issue
            };
            let mut labels = statement.query(params![id])?;
            let mut worn = Vec::new();
            while let Some(label) = labels.next()? {
                worn.extend(names.get(&label.get(0)?));
            }
            worn.sort_unstable();
            worn.dedup_by(|a, b| a.0 == b.0);
            for (folded, shown) in worn {
                count_as(&mut named, folded, shown, count);
            }
        }
        Ok(named)
    }
}

/// Row → folded name and name of every label.
fn label_names(conn: &Connection) -> Result<BTreeMap<i64, (String, String)>, annals_db::Error> {
    let mut statement = conn.prepare_cached("SELECT id, name_folded, name FROM labels")?;
    let names = statement.query_map([], |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?))))?;
    Ok(names.collect::<Result<_, _>>()?)
}

/// Folded name → the spelling shown, and the count. Two labels that differ in case are one value, as they are for
/// the filter.
type Named = BTreeMap<String, (String, u64)>;

fn count_as(named: &mut Named, folded: &str, shown: &str, count: u64) {
    match named.get_mut(folded) {
        Some(value) => {
            value.1 += count;
            if shown < value.0.as_str() {
                shown.clone_into(&mut value.0);
            }
        }
        None if folded.is_empty() => {}
        None => {
            named.insert(folded.to_owned(), (shown.to_owned(), count));
        }
    }
}

fn add(counts: &mut BTreeMap<String, u64>, value: &str) {
    match counts.get_mut(value) {
        Some(count) => *count += 1,
        None => {
            counts.insert(value.to_owned(), 1);
        }
    }
}

fn plain(counts: &BTreeMap<String, u64>) -> Named {
    counts
        .iter()
        .map(|(value, count)| (value.clone(), (value.clone(), *count)))
        .collect()
}

fn folded(conn: &Connection, sql: &str, counts: &BTreeMap<i64, u64>) -> Result<Named, annals_db::Error> {
    let mut named = Named::new();
    let mut statement = conn.prepare_cached(sql)?;
    for (id, count) in counts {
        let row: Option<(String, String)> = statement
            .query_row(params![id], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        if let Some((folded, shown)) = row {
            count_as(&mut named, &folded, &shown, *count);
        }
    }
    Ok(named)
}

fn parent(conn: &Connection, kind: Labelled, id: i64) -> Result<(Labelled, i64), annals_db::Error> {
    if kind != Labelled::Discussion {
        return Ok((kind, id));
    }
    let mut statement = conn.prepare_cached("SELECT issue_id, mr_id FROM discussions WHERE id = ?1")?;
    Ok(statement.query_row(params![id], |row| {
        Ok(match row.get::<_, Option<i64>>(0)? {
            Some(issue) => (Labelled::Issue, issue),
            None => (Labelled::MergeRequest, row.get(1)?),
        })
    })?)
}

fn ranked(named: Named) -> FacetCounts {
    let mut values: Vec<FacetValue> = named
        .into_values()
        .map(|(value, count)| FacetValue { value, count })
        .collect();
    values.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.value.cmp(&b.value)));
    let more = values.len().saturating_sub(LISTED);
    values.truncate(LISTED);
    FacetCounts { values, more }
}
