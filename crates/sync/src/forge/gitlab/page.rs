//! One page of issues or merge requests.

use std::collections::{BTreeMap, BTreeSet};

use annals_core::{Code, Iid};
use annals_net_adapter::Cx;
use annals_net_adapter::http::Validators;

use super::client::{GitLab, keep, now, row};
use super::project::{MrShape, Projection};
use super::url::Keyset;
use crate::forge::error::ForgeError;
use crate::forge::host::Reply;
use crate::forge::paging::{LoopGuard, More, PageHead};
use crate::forge::raw::RawItem;
use crate::forge::{Answer, Bad, Fetch, Page, PageAt, PagePosition, Row, Via};

impl GitLab {
    pub(super) async fn fetch_page(
        &self,
        cx: &Cx,
        via: Via<'_>,
        place: PageAt<'_>,
        guard: &mut LoopGuard,
        kept: Option<&Validators>,
    ) -> Fetch<Page> {
        let PageAt { stream, at, .. } = place;
        loop {
            let keyset = self.capabilities.keyset(stream);
            let url = self.urls.page(place, keyset)?;
            guard.before_request(&url).map_err(|fault| self.paging(fault))?;
            let fresh = match self.get(cx, via, &url, kept).await? {
                Reply::Fresh(fresh) => fresh,
                // This installation does not page this list by position: ask without, once and for all.
                Reply::Refused(405) if keyset == Keyset::Ask && asks_for_keyset(at) => {
                    self.capabilities.without_keyset(stream);
                    continue;
                }
                other => return self.other(other),
            };
            let head = PageHead::read(&fresh.headers, &url).map_err(|fault| self.paging(fault))?;
            let items = RawItem::array(&fresh.body, self.urls.most_items())
                .map_err(|bad| ForgeError::body(self.host.name(), bad))?;
            let number = if let PagePosition::Window(window) = at {
                window.page
            } else {
                1
            };
            let asked = self.urls.page_size();
            let more = head.more(number, items.len(), asked);
            let mut projection = Projection::new(now(cx, &fresh));
            let mut bad = Vec::new();
            let mut before = if let PagePosition::Window(window) = at {
                window.start
            } else {
                None
            };
            let rows = keep(&mut bad, &items, |item| {
                let row = row(item, stream.kind(), MrShape::Row, &mut projection).map_err(|bad| bad.near(before))?;
                before = row.at.or(before);
                Ok(row)
            });
            let identities = rows.iter().map(|row| (row.native_id.as_str(), row.at));
            guard.after_page(identities).map_err(|fault| self.paging(fault))?;
            let rows = distinct(rows, &mut bad);
            let is_first = matches!(at, PagePosition::Window(window) if window.page == 1);
            // Kept only where it says all there is to say: a full page may get a successor, an empty
            // list may be a forge's bad moment, and what could not be read is to be sent again.
            let is_whole = is_first
                && more == More::End
                && !head.is_full(items.len(), asked)
                && !items.is_empty()
                && bad.is_empty();
            return Ok(Answer::New(Page {
                rows,
                bad,
                odd: projection.odd,
                more,
                kept: is_whole.then(|| self.kept(&url, &fresh.validators)),
                date: fresh.date,
                bytes: u64::try_from(fresh.body.len()).unwrap_or(u64::MAX),
            }));
        }
    }
}

fn asks_for_keyset(at: &PagePosition) -> bool {
    matches!(at, PagePosition::Window(window) if window.page == 1)
}

/// One row per id, the newest; and no two ids with one number: nobody can say which of them is
/// right, so both are put aside.
fn distinct(rows: Vec<Row>, bad: &mut Vec<Bad>) -> Vec<Row> {
    let mut newest: BTreeMap<String, usize> = BTreeMap::new();
    for (at, row) in rows.iter().enumerate() {
        let known = newest.entry(row.native_id.0.clone()).or_insert(at);
        if rows.get(*known).is_some_and(|other| other.at <= row.at) {
            *known = at;
        }
    }
    let chosen: BTreeSet<usize> = newest.into_values().collect();
    let mut claims: BTreeMap<Iid, usize> = BTreeMap::new();
    for row in chosen.iter().filter_map(|at| rows.get(*at)) {
        *claims.entry(row.iid).or_default() += 1;
    }
    let mut kept = Vec::with_capacity(rows.len());
    for (at, row) in rows.into_iter().enumerate() {
        if !chosen.contains(&at) {
            continue;
        }
        if claims.get(&row.iid).is_some_and(|n| *n > 1) {
            bad.push(Bad {
                native_ref: row.native_id.0,
                iid: Some(row.iid),
                raw: row.raw,
                code: Code::IidConflict,
                message: format!("number {} is claimed by two ids of one page", row.iid),
            });
        } else {
            kept.push(row);
        }
    }
    kept
}
