//! Entities that the forge shows no more, and those that a sweep found.

use annals_db::content;
use annals_db::ids::{EntityId, GoneReason};
use annals_db::{Error, WriteTx};

use super::aside::{Aside, put_aside};
use super::place::{Place, Wrote, fenced};
use super::row::write_row;
use crate::forge::{Bad, Row, Stream};

/// How an entity left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Departed {
    /// It is not readable any more.
    Gone(GoneReason),
    /// It is one of another project now, of this name.
    Moved(String),
}

impl Departed {
    /// The word for people.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Gone(reason) => reason.as_str(),
            Self::Moved(_) => GoneReason::Moved.as_str(),
        }
    }

    pub(super) fn mark(&self, tx: &WriteTx<'_>, entity: EntityId, wrote: &mut Wrote) -> Result<(), Error> {
        let change = match self {
            Self::Gone(reason) => content::mark_entity_gone(tx, entity, *reason)?,
            Self::Moved(to) => content::mark_entity_moved(tx, entity, to)?,
        };
        wrote.written += u64::from(change.is_written());
        Ok(())
    }
}

/// Marks all that a sweep found gone, in one transaction: the guard has judged them together.
pub fn write_departed(tx: &WriteTx<'_>, place: &Place, departed: &[(EntityId, Departed)]) -> Result<Wrote, Error> {
    fenced(tx, place, |wrote| {
        departed
            .iter()
            .try_for_each(|(entity, departed)| departed.mark(tx, *entity, wrote))
    })
}

/// Writes an entity that the streams had missed, or that is back. No cursor moves.
pub fn write_found(tx: &WriteTx<'_>, place: &Place, stream: Stream, found: &Result<Row, Bad>) -> Result<Wrote, Error> {
    fenced(tx, place, |wrote| match found {
        Ok(row) => {
            let open = Aside::read(tx, place.project, stream.as_str())?;
            write_row(tx, place, stream, row, &open, wrote)
        }
        Err(bad) => put_aside(tx, place.project, stream.as_str(), bad, wrote),
    })
}
