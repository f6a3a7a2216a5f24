//! What can go wrong in a search, in the words a caller acts on.

use annals_core::{CancelReason, Code, Coded, Report, TaskError};

use crate::embed::EmbedError;
use crate::query::Invalid;

/// A failure of searching or of making documents.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A filter has a value it cannot have, or the query is too long.
    #[error(transparent)]
    Query(#[from] Invalid),
    /// More documents than a search as of a time past makes.
    #[error(
        "there were {documents} documents then, and a search of the past goes over {} at most",
        crate::as_of::MOST_DOCUMENTS
    )]
    TooMany {
        /// How many there were.
        documents: u64,
    },
    /// Vectors could not be made, or the process is stopping.
    #[error(transparent)]
    Embed(#[from] EmbedError),
    /// The store failed, or `cx` was cancelled.
    #[error(transparent)]
    Db(#[from] annals_db::Error),
}

impl Error {
    /// The code of this failure.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Query(_) => Code::QueryInvalid,
            Self::TooMany { .. } => Code::Usage,
            Self::Embed(error) => error.code(),
            Self::Db(error) => error.code(),
        }
    }
}

impl Coded for Error {
    fn code(&self) -> Code {
        Self::code(self)
    }

    fn report(&self) -> Report {
        match self {
            Self::Query(invalid) => Report::new(self.code(), self.to_string())
                .with_action(format!("annals search '{}'", invalid.example))
                .with_detail("position", invalid.place())
                .with_detail("key", invalid.key)
                .with_detail("found", invalid.found.as_str())
                .with_detail("example", invalid.example),
            Self::TooMany { documents } => Report::new(self.code(), self.to_string())
                .with_suggestion("name projects with project: or -p")
                .with_detail("documents", *documents)
                .with_detail("most", crate::as_of::MOST_DOCUMENTS),
            Self::Embed(error) => error.report(),
            Self::Db(error) => error.report(),
        }
    }
}

impl TaskError for Error {
    fn cancel_reason(&self) -> Option<&CancelReason> {
        match self {
            Self::Query(_) | Self::TooMany { .. } => None,
            Self::Embed(error) => error.cancel_reason(),
            Self::Db(error) => error.cancel_reason(),
        }
    }
}
