//! What a document must be besides matching words, as SQL over `documents d`.
//!
//! Every value is bound. Names of people, labels, milestones and paths are looked up in the tables that hold them
//! now, so that a filter never answers from what a document was when it was rendered.

mod path;
mod relation;
mod values;

use annals_core::ProjectId;
use annals_db::Visibility;
use rusqlite::{Connection, types::Value};

use values::Values;

use crate::documents::Flags;
use crate::query::{Bound, Condition, Fact, Filter, Query, Sign, TimeField};

/// A condition over `documents d`; `?1` is left for the engine's words.
#[derive(Debug, Clone)]
pub struct Scope {
    condition: String,
    values: Vec<Value>,
}

impl Scope {
    /// What `query` filters by and `visibility` lets through. Nothing gone is in it unless the query asks, and
    /// nothing that was purged is ever.
    ///
    /// # Errors
    /// A failure of the file.
    pub fn new(conn: &Connection, query: &Query, visibility: &Visibility) -> Result<Self, annals_db::Error> {
        let mut values = Values(Vec::new());
        let hidden = Flags::PURGED
            .with(Flags::GONE, !query.asks_for_gone())
            .with(Flags::CONFIDENTIAL, !visibility.shows_confidential());
        let mut all = vec![format!("d.flags & {} = 0", hidden.0)];
        if let Some(projects) = visibility.project_ids() {
            all.push(format!("d.project_id IN {}", values.listed(projects)));
        }
        if !visibility.shows_confidential() {
            // What changed since its document was made may have become confidential.
            all.push(
                "NOT EXISTS (SELECT 1 FROM dirty_sources s WHERE s.source_kind = d.kind AND s.source_id = d.source_id)"
                    .to_owned(),
            );
        }
        for Filter { sign, condition } in &query.filters {
            let any = conditions(conn, &mut values, condition)?;
            let test = if *sign == Sign::Require {
                "IS TRUE"
            } else {
                "IS NOT TRUE"
            };
            all.push(format!("({}) {test}", any.join(" OR ")));
        }
        Ok(Self {
            condition: all.join(" AND "),
            values: values.0,
        })
    }

    /// The same in these projects only; in all if there are none.
    #[must_use]
    pub fn of(self, projects: &[ProjectId]) -> Self {
        if projects.is_empty() {
            return self;
        }
        let mut values = Values(self.values);
        let listed = values.numbers(projects.iter().map(|project| project.0));
        Self {
            condition: format!("{} AND d.project_id IN {listed}", self.condition),
            values: values.0,
        }
    }

    /// The condition as SQL.
    pub(crate) fn condition(&self) -> &str {
        &self.condition
    }

    /// What its parameters are bound to, from `?2` on.
    pub(crate) fn values(&self) -> &[Value] {
        &self.values
    }
}

/// What a condition's values ask, any of which will do. There are never many conditions, however many values: SQLite refuses an
/// expression that is a thousand deep.
fn conditions(conn: &Connection, values: &mut Values, condition: &Condition) -> Result<Vec<String>, annals_db::Error> {
    Ok(match condition {
        Condition::Project(patterns) => vec![path::project(values, patterns)],
        Condition::Forge(names) => {
            let named = relation::folded(conn, "SELECT id, name FROM forges", names)?;
            let forges = values.numbers(named);
            vec![format!(
                "d.project_id IN (SELECT id FROM projects WHERE forge_id IN {forges})"
            )]
        }
        Condition::Kind(kinds) => vec![format!(
            "d.kind IN {}",
            values.words(kinds.iter().map(|kind| kind.as_str()))
        )],
        Condition::State(states) => {
            vec![format!(
                "d.state IN {}",
                values.words(states.iter().map(|state| state.as_str()))
            )]
        }
        Condition::Person(role, names) => relation::person(values, *role, names),
        Condition::Label(names) => relation::label(values, names),
        Condition::Milestone(names) => relation::milestone(conn, values, names)?,
        Condition::Path(patterns) => vec![path::changed(values, patterns)],
        Condition::Time(field, bound, times) => {
            let column = if *field == TimeField::Updated {
                "d.updated_at"
            } else {
                "d.created_at"
            };
            // What fits any of the times fits the widest.
            let (than, widest) = match bound {
                Bound::From => (">=", times.iter().min()),
                Bound::Before => ("<", times.iter().max()),
            };
            let widest = widest.map(|time| format!("{column} {than} {}", values.bind(time.0)));
            vec![widest.unwrap_or_else(|| "FALSE".to_owned())]
        }
        Condition::Is(facts) => {
            let asked = Fact::ALL.iter().filter(|fact| facts.contains(fact));
            asked.map(|fact| is(*fact)).collect()
        }
    })
}

fn is(fact: Fact) -> String {
    let flag = match fact {
        Fact::Draft => Flags::DRAFT,
        Fact::Confidential => Flags::CONFIDENTIAL,
        Fact::Resolved => Flags::RESOLVED,
        Fact::Unresolved => Flags::UNRESOLVED,
        Fact::Gone => Flags::GONE,
        Fact::Bot => return "d.author_id IN (SELECT id FROM users WHERE kind = 'bot')".to_owned(),
    };
    format!("d.flags & {} <> 0", flag.0)
}
