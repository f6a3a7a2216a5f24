//! Which entities are fetched: some of every kind and age, and the same ones for the same seed.

use annals_core::{EntityKind, Iid, ProjectId, UnixMs};
use annals_db::content::blob;
use annals_db::{Error, ReadConn};

use super::options::SampleSize;

/// Into how many ages the entities of a kind are divided.
const AGES: usize = 4;

/// An entity that the file shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shown {
    /// Its kind.
    pub kind: EntityKind,
    /// Its number.
    pub iid: Iid,
    /// When it was updated, as far as that is known.
    pub at: UnixMs,
}

/// Every entity of a kind that is not gone, the longest untouched first.
///
/// # Errors
/// A failure of the file.
pub fn shown(conn: &ReadConn<'_>, project: ProjectId, kind: EntityKind) -> Result<Vec<Shown>, Error> {
    let table = match kind {
        EntityKind::Issue => "issues",
        EntityKind::MergeRequest => "merge_requests",
    };
    let mut select = conn.prepare_cached(&format!(
        "SELECT iid, coalesce(updated_at, 0) FROM {table} WHERE project_id = ?1 AND gone_at IS NULL
         ORDER BY updated_at, iid"
    ))?;
    let rows = select.query_map((project.0,), |row| {
        Ok(Shown {
            kind,
            iid: Iid(row.get(0)?),
            at: UnixMs(row.get(1)?),
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Chooses from all kinds together, each kind and age by its share. `kinds` are in order of age.
pub fn choose(kinds: &[Vec<Shown>], size: SampleSize, seed: u64) -> Vec<Shown> {
    let all: usize = kinds.iter().map(Vec::len).sum();
    let wanted = usize::try_from(size.of(all as u64)).unwrap_or(usize::MAX);
    let strata: Vec<&[Shown]> = kinds
        .iter()
        .filter(|kind| !kind.is_empty())
        .flat_map(|kind| kind.chunks(kind.len().div_ceil(AGES)))
        .collect();
    let mut chosen = Vec::new();
    let mut passed = 0;
    for stratum in strata {
        // Shares add up to the whole: each stratum is owed what is due by its end.
        let before = passed * wanted / all.max(1);
        passed += stratum.len();
        let due = passed * wanted / all.max(1) - before;
        let mut drawn: Vec<_> = stratum.iter().map(|shown| (draw(seed, shown), *shown)).collect();
        drawn.sort_unstable();
        chosen.extend(drawn.into_iter().take(due).map(|(_, shown)| shown));
    }
    chosen.sort_unstable_by_key(|shown| (shown.kind, shown.iid));
    chosen
}

/// A number that looks random and hangs on nothing but the seed and the entity.
fn draw(seed: u64, shown: &Shown) -> blob::Hash {
    blob::hash(format!("{seed}/{}/{}", shown.kind, shown.iid).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(kind: EntityKind, n: i64) -> Vec<Shown> {
        (1..=n)
            .map(|iid| Shown {
                kind,
                iid: Iid(iid),
                at: UnixMs(iid * 1000),
            })
            .collect()
    }

    #[test]
    fn verify_same_seed_same_sample() {
        let kinds = [kind(EntityKind::Issue, 120), kind(EntityKind::MergeRequest, 40)];
        let one = choose(&kinds, SampleSize::Count(20), 7);
        assert_eq!(one, choose(&kinds, SampleSize::Count(20), 7));
        assert_ne!(one, choose(&kinds, SampleSize::Count(20), 8));
    }

    #[test]
    fn every_kind_and_age_has_its_share() {
        let kinds = [kind(EntityKind::Issue, 120), kind(EntityKind::MergeRequest, 40)];
        let chosen = choose(&kinds, SampleSize::Count(16), 1);
        assert_eq!(chosen.len(), 16);
        for age in 0..4 {
            let of = |kind, n: i64| {
                chosen
                    .iter()
                    .filter(|shown| shown.kind == kind && (shown.iid.0 - 1) * 4 / n == age)
                    .count()
            };
            assert_eq!((of(EntityKind::Issue, 120), of(EntityKind::MergeRequest, 40)), (3, 1));
        }
    }

    #[test]
    fn the_whole_is_everything_once() {
        let kinds = [kind(EntityKind::Issue, 5), Vec::new()];
        assert_eq!(choose(&kinds, SampleSize::All, 3), kinds[0]);
        assert_eq!(choose(&[Vec::new()], SampleSize::Count(3), 3), []);
    }
}
