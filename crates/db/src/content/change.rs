//! The answer every write gives.

/// What writing an item did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Change {
    /// The file did not have it; it has its first revision now.
    New,
    /// Its state is another one; it has one more revision.
    Changed,
    /// Only columns outside its state moved; no revision.
    Touched,
    /// Nothing was written.
    Unchanged,
}

impl Change {
    /// Whether anything was written.
    #[must_use]
    pub const fn is_written(self) -> bool {
        !matches!(self, Self::Unchanged)
    }

    /// Whether a revision was written.
    #[must_use]
    pub const fn is_revised(self) -> bool {
        matches!(self, Self::New | Self::Changed)
    }

    /// Why a document of it must be made again.
    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Changed => "changed",
            Self::Touched | Self::Unchanged => "touched",
        }
    }
}

/// In how many pages a set came, which decides what an absent child means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SetShape {
    /// One answer held all of it: what is not in it is gone.
    OnePage,
    /// Several answers: a row may have slipped between two of them, so absence counts only when the
    /// next fetch says the same.
    ManyPages,
    /// A child could not be read, so that nobody can say which one: absence means nothing.
    Unproven,
}

/// What replacing a set did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SetChange {
    /// Children that are new.
    pub new: u64,
    /// Children whose state changed.
    pub changed: u64,
    /// Children of which only columns outside the state moved.
    pub touched: u64,
    /// Children that were as they are.
    pub unchanged: u64,
    /// Children that are gone now.
    pub gone: u64,
    /// Children that were missing for the first time.
    pub missing: u64,
}

impl SetChange {
    /// Whether anything was written.
    #[must_use]
    pub const fn is_written(&self) -> bool {
        self.new + self.changed + self.touched + self.gone + self.missing > 0
    }

    /// Rows that were written.
    #[must_use]
    pub const fn written(&self) -> u64 {
        self.new + self.changed + self.touched + self.gone + self.missing
    }

    /// Counts one child.
    pub fn count(&mut self, change: Change) {
        match change {
            Change::New => self.new += 1,
            Change::Changed => self.changed += 1,
            Change::Touched => self.touched += 1,
            Change::Unchanged => self.unchanged += 1,
        }
    }
}

impl std::ops::AddAssign for SetChange {
    fn add_assign(&mut self, other: Self) {
        self.new += other.new;
        self.changed += other.changed;
        self.touched += other.touched;
        self.unchanged += other.unchanged;
        self.gone += other.gone;
        self.missing += other.missing;
    }
}
