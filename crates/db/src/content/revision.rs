//! The history of a subject: one immutable row per state it was seen in.

use annals_core::UnixMs;
use rusqlite::{Row, params};

use super::blob::{self, Hash, Payload};
use super::state::State;
use crate::ids::{RevisionId, RevisionOp, SubjectKind};
use crate::{Error, WriteTx};

/// The version of the code that turns payloads into states. A state of another version is computed
/// again from its payload.
pub const PROJECTION: i64 = 1;

/// The newest revision of a subject.
#[derive(Debug, Clone)]
pub(crate) struct Newest {
    pub id: RevisionId,
    seq: i64,
    valid_from: i64,
    observed_at: i64,
    pub state_hash: Hash,
}

impl Newest {
    /// The columns a query selects from `revisions r`, left-joined on the subject's `revision_id`.
    pub const COLUMNS: &'static str = "r.id, r.seq, r.valid_from, r.observed_at, r.state_hash";

    /// Reads these columns from position `at` on.
    pub fn at(row: &Row<'_>, at: usize) -> rusqlite::Result<Option<Self>> {
        let Some(id) = row.get(at)? else {
            return Ok(None);
        };
        Ok(Some(Self {
            id,
            seq: row.get(at + 1)?,
            valid_from: row.get(at + 2)?,
            observed_at: row.get(at + 3)?,
            state_hash: row.get(at + 4)?,
        }))
    }
}

/// What a revision belongs to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject {
    pub kind: SubjectKind,
    pub row: i64,
}

/// Writes the revision of a new state.
pub(crate) fn write(
    tx: &WriteTx<'_>,
    subject: Subject,
    op: RevisionOp,
    newest: Option<&Newest>,
    state: &State,
    forge_time: Option<UnixMs>,
    payload: Option<&Payload>,
) -> Result<RevisionId, Error> {
    blob::put_hashed(tx, &state.hash, &state.bytes)?;
    let payload = payload.map(|payload| blob::put(tx, payload.as_bytes())).transpose()?;
    insert(tx, subject, op, newest, &state.hash, forge_time, payload.as_ref())
}

/// Writes that a subject is gone; its last state stays what it was.
pub(crate) fn write_gone(tx: &WriteTx<'_>, subject: Subject, newest: Option<&Newest>) -> Result<RevisionId, Error> {
    let newest = newest.ok_or_else(|| Error::corrupt(format!("{} {} has no revision", subject.kind, subject.row)))?;
    insert(
        tx,
        subject,
        RevisionOp::Gone,
        Some(newest),
        &newest.state_hash,
        None,
        None,
    )
}

fn insert(
    tx: &WriteTx<'_>,
    subject: Subject,
    op: RevisionOp,
    newest: Option<&Newest>,
    state_hash: &Hash,
    forge_time: Option<UnixMs>,
    payload: Option<&Hash>,
) -> Result<RevisionId, Error> {
    let (observed_at, valid_from) = times(newest, tx.now(), forge_time);
    let seq = newest.map_or(1, |newest| newest.seq + 1);
    tx.prepare_cached(
        "INSERT INTO revisions (subject_kind, subject_id, seq, op, valid_from, observed_at, payload_hash, state_hash,
                                projection)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?
    .execute(params![
        subject.kind,
        subject.row,
        seq,
        op,
        valid_from,
        observed_at,
        payload,
        state_hash,
        PROJECTION
    ])?;
    Ok(RevisionId(tx.last_insert_rowid()))
}

/// When it was seen and since when it holds. Neither ever runs backwards along the chain, even if a
/// clock did, and nothing holds before it could have been seen.
fn times(newest: Option<&Newest>, now: UnixMs, forge_time: Option<UnixMs>) -> (i64, i64) {
    let observed_at = newest.map_or(now.0, |newest| newest.observed_at.max(now.0));
    let floor = newest.map_or(i64::MIN, |newest| newest.valid_from);
    let valid_from = forge_time.map_or(observed_at, |at| at.0).min(observed_at).max(floor);
    (observed_at, valid_from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn newest(valid_from: i64, observed_at: i64) -> Newest {
        Newest {
            id: RevisionId(1),
            seq: 1,
            valid_from,
            observed_at,
            state_hash: [0; 32],
        }
    }

    #[test]
    fn revision_chain_monotone_under_clock_skew() {
        let cases = [
            // (previous, now, forge time) -> (observed, valid)
            (None, 100, Some(40), (100, 40)),
            (None, 100, Some(400), (100, 100)),
            (None, 100, None, (100, 100)),
            (Some((40, 100)), 120, Some(90), (120, 90)),
            (Some((40, 100)), 120, Some(20), (120, 40)),
            (Some((40, 100)), 80, Some(90), (100, 90)),
            (Some((40, 100)), 80, None, (100, 100)),
            (Some((100, 100)), 80, Some(10), (100, 100)),
        ];
        for (previous, now, forge, expected) in cases {
            let previous = previous.map(|(valid, observed)| newest(valid, observed));
            assert_eq!(times(previous.as_ref(), UnixMs(now), forge.map(UnixMs)), expected);
        }
    }
}
