//! A list under something, walked to its end: every page, then one answer.

use ::url::Url;
use annals_core::UnixMs;
use annals_db::content::SetShape;
use annals_net_adapter::Cx;
use annals_net_adapter::http::Validators;
use bytes::Bytes;

use super::client::{GitLab, now};
use super::url::Urls;
use crate::forge::error::ForgeError;
use crate::forge::host::Reply;
use crate::forge::paging::{LoopGuard, More, PageHead};
use crate::forge::raw::RawItem;
use crate::forge::{Answer, Fetch, Kept, Via};

/// Most decoded bytes a set may have: 256 MiB.
pub const MAX_SET_BYTES: u64 = 256 * 1024 * 1024;

/// A whole list.
pub struct List {
    /// Its items, in the order they came.
    pub items: Vec<RawItem>,
    /// Validators, if it was one page.
    pub kept: Option<Kept>,
    /// The clock its times are judged by.
    pub now: UnixMs,
    bodies: Vec<Bytes>,
}

impl List {
    /// In how many pages it came.
    pub fn shape(&self) -> SetShape {
        if self.bodies.len() > 1 {
            SetShape::ManyPages
        } else {
            SetShape::OnePage
        }
    }

    /// Its pages as one JSON array of arrays.
    pub fn raw(&self) -> Vec<u8> {
        let mut raw = vec![b'['];
        for (n, body) in self.bodies.iter().enumerate() {
            if n > 0 {
                raw.push(b',');
            }
            raw.extend_from_slice(body.trim_ascii());
        }
        raw.push(b']');
        raw
    }
}

impl GitLab {
    /// All pages of the list at `first`.
    pub(super) async fn list(&self, cx: &Cx, via: Via<'_>, first: Url, kept: Option<&Validators>) -> Fetch<List> {
        let mut guard = LoopGuard::default();
        let mut list = List {
            items: Vec::new(),
            kept: None,
            now: cx.unix_ms(),
            bodies: Vec::new(),
        };
        let (mut url, mut number, mut bytes) = (first.clone(), 1, 0);
        loop {
            guard.before_request(&url).map_err(|fault| self.paging(fault))?;
            let condition = if number == 1 { kept } else { None };
            let fresh = match self.get(cx, via, &url, condition).await? {
                Reply::Fresh(fresh) => fresh,
                other if number == 1 => return self.other(other),
                Reply::Forbidden => {
                    return Err(ForgeError::Forbidden {
                        host: self.host.name().to_owned(),
                        what: format!("page {number} of a list"),
                    });
                }
                // A list that ends in the middle was never whole.
                Reply::Missing | Reply::Deleted | Reply::Elsewhere(_) | Reply::NotModified => {
                    return Err(ForgeError::protocol(
                        self.host.name(),
                        "a list that ended in the middle",
                    ));
                }
                Reply::Refused(status) => return Err(self.refused(status)),
            };
            bytes += u64::try_from(fresh.body.len()).unwrap_or(u64::MAX);
            if bytes > MAX_SET_BYTES {
                return Err(ForgeError::SetTooLarge {
                    host: self.host.name().to_owned(),
                    limit: MAX_SET_BYTES,
                });
            }
            let items = RawItem::array(&fresh.body, self.urls.most_items())
                .map_err(|bad| ForgeError::body(self.host.name(), bad))?;
            guard
                .after_page(items.iter().map(|item| item.bytes()))
                .map_err(|fault| self.paging(fault))?;
            let head = PageHead::read(&fresh.headers, &url).map_err(|fault| self.paging(fault))?;
            let asked = self.urls.page_size();
            let more = head.more(number, items.len(), asked);
            let is_full = head.is_full(items.len(), asked);
            if number == 1 {
                list.now = now(cx, &fresh);
            }
            if !items.is_empty() || list.bodies.is_empty() {
                list.bodies.push(fresh.body.clone());
            }
            list.items.extend(items);
            match more {
                More::End => {
                    if number == 1 && !is_full {
                        list.kept = Some(self.kept(&first, &fresh.validators));
                    }
                    return Ok(Answer::New(list));
                }
                More::Page(page) => url = Urls::at_page(&first, page),
                More::Opaque(next) => url = next,
            }
            number += 1;
        }
    }

    pub(super) fn paging(&self, fault: crate::forge::paging::PagingFault) -> ForgeError {
        ForgeError::Paging {
            host: self.host.name().to_owned(),
            fault,
        }
    }
}
