//! No walk is endless.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use url::Url;

use super::PagingFault;

/// Most pages one pass over a list may have.
pub const MAX_PAGES: u32 = 100_000;

/// Notices when a pass over a list goes in circles. One guard lives as long as one pass.
#[derive(Debug, Default)]
pub struct LoopGuard {
    asked: HashSet<u64>,
    last_page: Option<u64>,
    pages: u32,
}

impl LoopGuard {
    /// Call before a request is sent.
    ///
    /// # Errors
    /// [`PagingFault::Loop`] when this pass has sent the same one, or [`MAX_PAGES`] of them.
    pub fn before_request(&mut self, url: &Url) -> Result<(), PagingFault> {
        self.pages += 1;
        if self.pages > MAX_PAGES {
            return Err(PagingFault::Loop {
                what: "more than 100,000 pages in one pass",
            });
        }
        if self.asked.insert(hash_of(url.as_str())) {
            Ok(())
        } else {
            Err(PagingFault::Loop {
                what: "the forge led back to a request already sent",
            })
        }
    }

    /// Call with the identities of the rows of a page, in the order they came.
    ///
    /// # Errors
    /// [`PagingFault::Loop`] when the page before had the same rows.
    pub fn after_page<T: Hash>(&mut self, rows: impl IntoIterator<Item = T>) -> Result<(), PagingFault> {
        let mut hasher = DefaultHasher::new();
        let mut any = false;
        for row in rows {
            any = true;
            row.hash(&mut hasher);
        }
        let page = any.then(|| hasher.finish());
        if page.is_some() && page == self.last_page {
            return Err(PagingFault::Loop {
                what: "two pages in a row held the same rows",
            });
        }
        self.last_page = page;
        Ok(())
    }
}

fn hash_of(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use annals_core::UnixMs;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn page_loop_guard_stops_circles() {
        let mut guard = LoopGuard::default();
        guard.before_request(&url("https://a/1")).unwrap();
        guard.after_page([("1", Some(UnixMs(1)))]).unwrap();
        guard.before_request(&url("https://a/2")).unwrap();
        assert!(matches!(
            guard.after_page([("1", Some(UnixMs(1)))]),
            Err(PagingFault::Loop { .. })
        ));
        assert!(matches!(
            guard.before_request(&url("https://a/1")),
            Err(PagingFault::Loop { .. })
        ));
        // Two empty pages are no loop: an empty page ends the list anyway.
        let mut guard = LoopGuard::default();
        guard.after_page::<u8>([]).unwrap();
        guard.after_page::<u8>([]).unwrap();
        // The same row with another time is another page.
        guard.after_page([("1", Some(UnixMs(1)))]).unwrap();
        guard.after_page([("1", Some(UnixMs(2)))]).unwrap();
    }

    #[test]
    fn endless_paging_ends() {
        let mut guard = LoopGuard::default();
        let fault = (0..=MAX_PAGES).find_map(|n| guard.before_request(&url(&format!("https://a/{n}"))).err());
        assert!(matches!(fault, Some(PagingFault::Loop { .. })));
    }
}
