//! What a reader may see.

/// A limit that is part of every query, so that nothing outside it is returned or counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visibility {
    /// Rows of the projects the reader may see; `None` is all of them.
    pub projects: Option<Vec<i64>>,
    /// Whether the reader sees what is hidden from most at the forge.
    pub confidential: bool,
}

impl Visibility {
    /// Everything.
    #[must_use]
    pub const fn all() -> Self {
        Self {
            projects: None,
            confidential: true,
        }
    }
}
