//! How a list is walked, as pure decisions: what the headers of a page say about the next one,
//! where the next window opens, and when a forge is leading us in circles.
//!
//! The promise: no row is skipped by walking on, no request leaves the forge's own origin because
//! of a link, and no walk is endless.

mod guard;
mod head;
mod link;
mod window;

pub use guard::{LoopGuard, MAX_PAGES};
pub use head::{More, NextPage, PageHead};
pub use link::parse_link;
pub use window::{Step, Window};

/// Why a list cannot be walked further. The cursor has not moved past anything unread.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PagingFault {
    /// The same request or the same page came up twice.
    #[error("page loop: {what}")]
    Loop {
        /// What repeated.
        what: &'static str,
    },
    /// The next link points away from the forge.
    #[error("the next link points to another origin ({origin}); it is not followed")]
    ForeignLink {
        /// Scheme, host and port of the link.
        origin: String,
    },
    /// A paging header that cannot be read.
    #[error("unreadable paging header {header}")]
    Header {
        /// Its name.
        header: &'static str,
    },
}
