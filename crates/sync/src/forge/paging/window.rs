//! Reading a list that is sorted by update time in windows that open one behind the other.

use annals_core::UnixMs;

/// Where a list that is sorted ascending by update time is being read: the lower bound that was
/// asked for, and which page of that request comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Lower bound; none reads from the beginning.
    pub start: Option<UnixMs>,
    /// Page within the window, from 1.
    pub page: u64,
}

/// What to ask for after a page of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The list is read to its end.
    End,
    /// The next page of the same window.
    SameWindow(Window),
    /// Page one of a later window: everything before it has been read.
    NewWindow(Window),
}

impl Window {
    /// The window that begins `rewind_ms` before a cursor.
    #[must_use]
    pub fn from_cursor(at: Option<UnixMs>, rewind_ms: i64) -> Self {
        Self {
            start: at.map(|at| UnixMs(at.0.saturating_sub(rewind_ms))),
            page: 1,
        }
    }

    /// What comes after a page whose first and last trusted rows were updated at `first` and
    /// `last`, when the answer said `more` follows.
    ///
    /// A new window must leave out at least the first row of this page. That makes every new
    /// window progress, and keeps two honest answers from looking like a page loop.
    #[must_use]
    pub fn after(self, first: Option<UnixMs>, last: Option<UnixMs>, more: Option<u64>, rewind_ms: i64) -> Step {
        let Some(next_page) = more else { return Step::End };
        if let (Some(first), Some(last)) = (first, last) {
            let start = UnixMs(last.0.saturating_sub(rewind_ms));
            if first < start && self.start.is_none_or(|old| old < start) {
                return Step::NewWindow(Self {
                    start: Some(start),
                    page: 1,
                });
            }
        }
        Step::SameWindow(Self {
            start: self.start,
            page: next_page,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: i64 = 1_700_000_000_000;

    #[test]
    fn paging_window() {
        let at = |ms: i64| Some(UnixMs(T + ms));
        let start = Window::from_cursor(None, 2000);
        assert_eq!(start, Window { start: None, page: 1 });
        // Rows spread over time: the next window opens behind the last row, minus the rewind.
        assert_eq!(
            start.after(at(0), at(60_000), Some(2), 2000),
            Step::NewWindow(Window {
                start: at(58_000),
                page: 1
            })
        );
        // Rows crowded into less than the rewind: only the page number can make progress.
        assert_eq!(
            start.after(at(0), at(1_999), Some(2), 2000),
            Step::SameWindow(Window { start: None, page: 2 })
        );
        assert_eq!(
            start.after(at(0), at(2_000), Some(2), 2000),
            Step::SameWindow(Window { start: None, page: 2 })
        );
        // A page without one trusted time.
        assert_eq!(
            start.after(None, None, Some(2), 2000),
            Step::SameWindow(Window { start: None, page: 2 })
        );
        assert_eq!(start.after(at(0), at(60_000), None, 2000), Step::End);
        let window = Window {
            start: at(58_000),
            page: 3,
        };
        assert_eq!(
            window.after(at(58_500), at(59_900), Some(4), 2000),
            Step::SameWindow(Window {
                start: at(58_000),
                page: 4
            })
        );
    }

    #[test]
    fn every_new_window_leaves_out_the_first_row() {
        // The property behind the loop guard: an honest forge can never repeat a page.
        for first in 0..50_i64 {
            for last in first..50 {
                let window = Window {
                    start: Some(UnixMs(-5)),
                    page: 1,
                };
                if let Step::NewWindow(next) = window.after(Some(UnixMs(first)), Some(UnixMs(last)), Some(2), 7) {
                    assert!(next.start > Some(UnixMs(first)) && next.start > window.start);
                }
            }
        }
    }
}
