//! The rows that an entity is linked to: labels, assignees, reviewers.

use std::collections::{BTreeMap, BTreeSet};

use annals_core::EntityKind;
use rusqlite::params;

use crate::ids::{EntityId, LabelId, UserId};
use crate::{Error, WriteTx};

/// The rows that an entity is linked to.
#[derive(PartialEq, Default)]
pub(super) struct Links {
    pub labels: BTreeSet<LabelId>,
    pub assignees: BTreeSet<UserId>,
    pub reviewers: BTreeMap<UserId, Option<String>>,
}

impl Links {
    /// The links that the file has.
    pub fn read(tx: &WriteTx<'_>, id: EntityId) -> Result<Self, Error> {
        let (column, labels, assignees) = link_tables(id.kind);
        let ids = |table: &str, other: &str| -> Result<Vec<i64>, Error> {
            let mut select = tx.prepare_cached(&format!("SELECT {other} FROM {table} WHERE {column} = ?1"))?;
            let rows = select.query_map(params![id.row], |row| row.get(0))?;
            Ok(rows.collect::<Result<_, _>>()?)
        };
        let mut links = Self {
            labels: ids(labels, "label_id")?.into_iter().map(LabelId).collect(),
            assignees: ids(assignees, "user_id")?.into_iter().map(UserId).collect(),
            reviewers: BTreeMap::new(),
        };
        if id.kind == EntityKind::MergeRequest {
            let mut select = tx.prepare_cached("SELECT user_id, state FROM mr_reviewers WHERE mr_id = ?1")?;
            let rows = select.query_map(params![id.row], |row| Ok((row.get(0)?, row.get(1)?)))?;
            links.reviewers = rows.collect::<Result<_, _>>()?;
        }
        Ok(links)
    }

    /// Replaces the links: what is not named any more is unlinked.
    pub fn replace(&self, tx: &WriteTx<'_>, id: EntityId) -> Result<(), Error> {
        let (column, labels, assignees) = link_tables(id.kind);
        let reviewers = (id.kind == EntityKind::MergeRequest).then_some("mr_reviewers");
        for table in [labels, assignees].into_iter().chain(reviewers) {
            let sql = format!("DELETE FROM {table} WHERE {column} = ?1");
            tx.prepare_cached(&sql)?.execute(params![id.row])?;
        }
        self.add(tx, id)
    }

    /// Adds the links of an entity that has none.
    pub fn add(&self, tx: &WriteTx<'_>, id: EntityId) -> Result<(), Error> {
        let (column, labels, assignees) = link_tables(id.kind);
        for label in &self.labels {
            let sql = format!("INSERT INTO {labels} ({column}, label_id) VALUES (?1, ?2)");
            tx.prepare_cached(&sql)?.execute(params![id.row, label])?;
        }
        for user in &self.assignees {
            let sql = format!("INSERT INTO {assignees} ({column}, user_id) VALUES (?1, ?2)");
            tx.prepare_cached(&sql)?.execute(params![id.row, user])?;
        }
        for (user, state) in &self.reviewers {
            tx.prepare_cached("INSERT INTO mr_reviewers (mr_id, user_id, state) VALUES (?1, ?2, ?3)")?
                .execute(params![id.row, user, state])?;
        }
        Ok(())
    }
}

const fn link_tables(kind: EntityKind) -> (&'static str, &'static str, &'static str) {
    match kind {
        EntityKind::Issue => ("issue_id", "issue_labels", "issue_assignees"),
        EntityKind::MergeRequest => ("mr_id", "mr_labels", "mr_assignees"),
    }
}
